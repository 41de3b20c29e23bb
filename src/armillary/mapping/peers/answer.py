"""What another program found, and how it is run: with a time limit, its crash an answer."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LAST_WORDS = 400


@dataclass(frozen=True)
class PeerAnswer:
    """The best mapping that a program found for a layer.

    Attributes:
        program: and its version.
        delay_cycles: NaN if it found none; likewise the energy.
        energy_pj: by the program's own model.
        evaluated: mappings that it looked at.
        seconds: that it took, its start included.
        failure: why it found none, empty otherwise.
    """

    program: str
    delay_cycles: float
    energy_pj: float
    evaluated: int
    seconds: float
    failure: str = ""

    @property
    def edp(self) -> float:
        """Energy times delay, pJ cycles."""
        return self.delay_cycles * self.energy_pj

    @staticmethod
    def failed(program: str, why: str, seconds: float) -> PeerAnswer:
        """Return that a program found nothing."""
        return PeerAnswer(program, float("nan"), float("nan"), 0, seconds, why)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its standard output, why it failed if it did, and the seconds it took."""

    output: str
    failure: str
    seconds: float


def start(command: Sequence[str], folder: Path, *, given: str = "", time_limit_s: float) -> Ended:
    """Run a program in a folder; it and what it started are killed at the limit."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(given, timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Ended("", f"took more than {time_limit_s:g} s", time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    if process.returncode:
        return Ended(output, f"exit status {process.returncode}: {output.strip()[-_LAST_WORDS:]}", seconds)
    return Ended(output, "", seconds)
