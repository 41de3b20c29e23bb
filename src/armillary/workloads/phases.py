"""The phases of a language model: prefill reads a prompt, decode adds one token to those that a cache holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from armillary.types import ArmillaryError
from armillary.workloads import zoo

PHASES = ("prefill", "decode")


@dataclass(frozen=True)
class Phase:
    """How many tokens a language model works on.

    Attributes:
        seq: tokens that it reads.
        past: tokens that its cache holds.
        batch: sequences at once.
    """

    seq: int
    past: int
    batch: int


def dims_of_phase(
    name: str, phase: str | None, dims: Mapping[str, int], *, seq: int | None, past: int | None, batch: int | None
) -> dict[str, int]:
    """Return the sizes of a workload's open dimensions in a phase; those that are given come first.

    Args:
        name: a name of the zoo, or an ONNX file.
        phase: `prefill` of `seq` tokens behind none, or `decode` of one behind `past`; None for `dims` alone.
        dims: sizes by name.
        seq: tokens that are read; needed by prefill, 1 for decode.
        past: tokens in the cache; needed by decode, 0 for prefill.
        batch: sequences at once; 1 if it is not given.

    Raises:
        ArmillaryError: if there is no such phase, one of the numbers is missing, or the workload has no phases.
    """
    if phase is None:
        given = {"--seq": seq, "--past": past, "--batch": batch}
        if extra := [option for option, value in given.items() if value is not None]:
            raise ArmillaryError(f"{extra[0]} says how large a phase is; give --phase {' or '.join(PHASES)}, too")
        return dict(dims)
    if phase not in PHASES:
        raise ArmillaryError(f"--phase {phase!r} is not allowed; choose one of {list(PHASES)}")
    if phase == "prefill" and seq is None:
        raise ArmillaryError("--phase prefill needs --seq, the tokens that it reads")
    if phase == "decode" and past is None:
        raise ArmillaryError("--phase decode needs --past, the tokens that the cache holds")
    tokens = Phase(seq or 1, past or 0, batch or 1)
    return {**_open(name, tokens), **dims}


def _open(name: str, phase: Phase) -> dict[str, int]:
    if name in zoo.names():
        wanted = {"seq": phase.seq, "past": phase.past, "batch": phase.batch}
        there = zoo.dimensions(name)
        if "past" not in there:
            raise ArmillaryError(f"workload {name!r} has no phases; its open dimensions are {sorted(there)}")
        return {key: value for key, value in wanted.items() if key in there}
    if not Path(name).is_file():
        return {}  # who loads it says what is wrong
    from armillary.workloads.onnx.phases import sizes_of

    return sizes_of(Path(name), phase.seq, phase.past, phase.batch)
