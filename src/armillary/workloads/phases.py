"""The phases of a language model: prefill reads a prompt, decode adds one token to those that a cache holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from armillary.types import ArmillaryError
from armillary.workloads import zoo

PhaseName = Literal["prefill", "decode"]
PHASES: tuple[PhaseName, ...] = ("prefill", "decode")
TOKENS = 2048
"""The prompt of a prefill and the cache of a decode step where a request does not say; Llama 3's blocks are most often
measured at this length."""


@dataclass(frozen=True)
class Phase:
    """How many tokens a language model works on in one inference.

    Attributes:
        name: `prefill` or `decode`.
        seq: tokens that it reads of each sequence.
        past: tokens that its cache holds of each sequence.
        batch: sequences at once.
    """

    name: PhaseName
    seq: int
    past: int
    batch: int

    @property
    def tokens(self) -> int:
        """Tokens of one inference: in prefill those of all prompts, in decode the new ones, one a sequence."""
        return self.batch * self.seq

    def __str__(self) -> str:
        return f"{self.name}-seq{self.seq}-past{self.past}-batch{self.batch}"


def phase_of(name: str | None, *, seq: int | None, past: int | None, batch: int | None) -> Phase | None:
    """Return the phase that is asked for; None if none is.

    Args:
        name: `prefill` of `seq` tokens behind none, or `decode` of one behind `past`.
        seq: tokens that are read; by default `TOKENS` in prefill, 1 in decode.
        past: tokens in the cache; by default none in prefill, `TOKENS` in decode.
        batch: sequences at once; 1 if it is not given.

    Raises:
        ArmillaryError: if there is no such phase, or numbers are given without one.
    """
    if name is None:
        given = {"--seq": seq, "--past": past, "--batch": batch}
        if extra := [option for option, value in given.items() if value is not None]:
            raise ArmillaryError(f"{extra[0]} says how large a phase is; give --phase {' or '.join(PHASES)}, too")
        return None
    if name == "prefill":
        return Phase("prefill", TOKENS if seq is None else seq, past or 0, batch or 1)
    if name == "decode":
        return Phase("decode", 1 if seq is None else seq, TOKENS if past is None else past, batch or 1)
    raise ArmillaryError(f"--phase {name!r} is not allowed; choose one of {list(PHASES)}")


def dims_of_phase(name: str, phase: Phase | None, dims: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of a workload's open dimensions in a phase; those that are given come first.

    Args:
        name: a name of the zoo, or an ONNX file.
        phase: which; None for `dims` alone.
        dims: sizes by name.

    Raises:
        ArmillaryError: if the workload has no phases, or a dimension that the phase sets in the zoo is given, too.
    """
    return dict(dims) if phase is None else {**_open(name, phase, dims), **dims}


def _open(name: str, phase: Phase, dims: Mapping[str, int]) -> dict[str, int]:
    if name in zoo.names():
        wanted = {"seq": phase.seq, "past": phase.past, "batch": phase.batch}
        if twice := sorted(wanted.keys() & dims.keys()):
            raise ArmillaryError(f"--dim {twice[0]}={dims[twice[0]]} sets what --phase sets; give --{twice[0]} instead")
        there = zoo.dimensions(name)
        if "past" not in there:
            raise ArmillaryError(f"workload {name!r} has no phases; its open dimensions are {sorted(there)}")
        return {key: value for key, value in wanted.items() if key in there}
    if not Path(name).is_file():
        return {}  # who loads it says what is wrong
    from armillary.workloads.onnx.phases import sizes_of

    return sizes_of(Path(name), phase.seq, phase.past, phase.batch)
