"""What platforms share that run as programs which are told everything at the start and tell everything at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.cores import available
from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.tools.verilator import Simulator, build
from armillary.user_cache import cache_folder


class RunError(Exception):
    """A simulation that did not end, or whose results are not those of the reference."""


def built(sources: Mapping[str, str], top: str, harness: Path, defines: Mapping[str, int]) -> Path:
    """Return a simulator, built if it is not there yet; registers and memories start with the values of a seed.

    Args:
        sources: text of every module by file name.
        top: the top module.
        harness: file of what runs it.
        defines: what the harness is compiled with.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    made_of = Simulator(
        sources=sources,
        top=top,
        harness=harness.read_text(),
        defines=defines,
        optimization="-O1",
        unknown="unique",
    )
    return build(made_of, cache=cache_folder("rtl"), compilers=available())


def told(simulator: Path, stdin: bytes, seed: int) -> bytes:
    """Return what a simulator says of its input; `seed` is of what every register and memory holds at the start.

    Raises:
        RunError: if it does not end well.
        AccidentError: if it is killed.
    """
    random = ("+verilator+rand+reset+2", f"+verilator+seed+{seed % (1 << 31) + 1}")
    ended = run(Command((str(simulator), *random), stdin=stdin), keep_failed=True)
    if not ended.ok:
        raise RunError(f"the simulator: {ended.failure}{ended.kept}")
    return ended.stdout


def compare(name: str, own: NDArray[np.int64], theirs: NDArray[np.int64], where: str) -> None:
    """Refuse results that are not the reference's.

    Args:
        name: of the results.
        own: the reference's.
        theirs: the hardware's.
        where: they were found, for the message.

    Raises:
        RunError: names the first that differs.
    """
    if not np.array_equal(own, theirs):
        place = np.argwhere(own != theirs)[0]
        raise RunError(
            f"{name}{place.tolist()} is {theirs[tuple(place)]}, the reference says {own[tuple(place)]}; {where}"
        )
