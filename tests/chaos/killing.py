"""Runs that are killed at a moment, and what they leave behind."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VICTIM = Path(__file__).with_name("victim.py")
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 0.02
_PATIENCE_S = 10.0  # for orphans to end
LONGEST_S = 600.0
_FILES = ("out.txt", "said.txt", "counts.json")


@dataclass(frozen=True)
class Kill:
    """When a run is killed.

    Attributes:
        operation: of which kind: one of `victim.OPERATIONS`; `time`, or `worker`: at a time, one of its descendants.
        which: of them, from 1.
        side: `before` or `after` it is done.
        after_s: when, for the two that go by time.
    """

    operation: str
    which: int = 1
    side: str = "before"
    after_s: float = 0.0

    @property
    def by_time(self) -> bool:
        """Whether the moment is told in seconds."""
        return self.operation in ("time", "worker")

    @property
    def told(self) -> str:
        """What the run was doing, in words."""
        return self.operation if self.by_time else f"{self.side} {self.operation}"


NEVER = Kill("none")


@dataclass(frozen=True)
class Run:
    """How a run ended.

    Attributes:
        status: as `subprocess` has it.
        out: standard output.
        said: standard error.
        counts: operations by kind, of one that ended by itself.
        seconds: that it took.
        orphans: processes that did not end with it.
        struck: whether the kill came before its end.
    """

    status: int
    out: str
    said: str
    counts: Mapping[str, int]
    seconds: float
    orphans: tuple[str, ...]
    struck: bool

    @property
    def stage(self) -> str:
        """The last stage that it announced."""
        announced = [line.split(" ...")[0].split(":")[0] for line in self.said.splitlines() if " ..." in line]
        return announced[-1] if announced else "start"


def adopt_orphans() -> None:
    """Become the parent of whatever processes our children leave behind, so that none is overlooked (Linux)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system does not let a process adopt orphans")


def run(arguments: Sequence[str], folder: Path, kill: Kill = NEVER, **more: str) -> Run:
    """Run a command of Armillary, with cache and temporary files in a folder, and kill it.

    Args:
        arguments: of `armillary`.
        folder: which is its own.
        kill: when.
        more: variables of the environment.
    """
    begun, others = time.monotonic(), children()
    process = started(arguments, folder, kill, **more)
    struck = _struck(process, kill) if kill.by_time else False
    status = process.wait(LONGEST_S)
    out, said, counts = (folder / name for name in _FILES)
    return Run(
        status=status,
        out=out.read_text(errors="replace"),
        said=said.read_text(errors="replace"),
        counts=json.loads(counts.read_text()) if counts.exists() else {},
        seconds=time.monotonic() - begun,
        orphans=tuple(left_running(others)),
        struck=struck or status == -signal.SIGKILL,
    )


def started(arguments: Sequence[str], folder: Path, kill: Kill = NEVER, **more: str) -> subprocess.Popen[bytes]:
    """Start a command of Armillary as `run` does; kills by time are not for it."""
    out, said, counts = (folder / name for name in _FILES)
    counts.unlink(missing_ok=True)
    moment = (NEVER if kill.by_time else kill).operation, str(kill.which), kill.side
    with out.open("w") as to_out, said.open("w") as to_said:
        return subprocess.Popen(
            [sys.executable, str(VICTIM), *moment, str(counts), *arguments],
            stdout=to_out,
            stderr=to_said,
            stdin=subprocess.DEVNULL,
            env=_environment(folder) | more,
            process_group=0,
        )


def _environment(folder: Path) -> dict[str, str]:
    for name in ("cache", "tmp", "kept"):
        (folder / name).mkdir(exist_ok=True)
    return os.environ | {
        "ARMILLARY_CACHE": str(folder / "cache"),
        "ARMILLARY_KEPT": str(folder / "kept"),
        "ARMILLARY_OPTIMIZATION": "-O1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # or Python's own renames would be counted
        "TMPDIR": str(folder / "tmp"),
    }


def _struck(process: subprocess.Popen[bytes], kill: Kill) -> bool:
    """Kill a process or one that it started, at a time; return whether there was one to kill."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(kill.after_s)
        return False
    if kill.operation == "time":
        process.kill()
        return True
    descendants = list(_descendants(process.pid))
    if not descendants:
        return False
    with suppress(ProcessLookupError):
        os.kill(random.Random(kill.which).choice(descendants), signal.SIGKILL)
    return True


def _descendants(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)


def left_running(others: Set[int]) -> Iterator[str]:
    """Wait for what a run left behind to end; yield the command lines of what does not, and end that.

    Args:
        others: children that we had before it, such as Python's own helpers, which stay.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while left := _running(children() - others):
        if time.monotonic() > deadline:
            for child in left | {below for one in left for below in _descendants(one)}:
                with suppress(OSError):
                    yield Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")[:200]
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            deadline = time.monotonic() + _PATIENCE_S
        time.sleep(_LOOK_S)


def children() -> set[int]:
    """Return our children, those that ended without our notice among them."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def _running(processes: Set[int]) -> set[int]:
    """Return which children run, after having taken notice of the end of the others."""
    return {child for child in processes if os.waitpid(child, os.WNOHANG)[0] == 0}
