"""What operators beside the array compute and move, in numbers of values: what a vector unit is charged for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

WorkKind = Literal[
    "clamp",
    "scale",
    "function",
    "sum",
    "combine",
    "softmax",
    "normalization",
    "pool",
    "reduce",
    "stride",
    "move",
    "unknown",
]
WORK_KINDS: tuple[WorkKind, ...] = get_args(WorkKind)
"""What work is.

`clamp`: values kept between bounds, as ReLU does. `scale`: values times and plus constants, requantisation too.
`function`: any other function of one value. `sum`: two tensors of one size added. `combine`: any other operation on
several tensors, value by value. `pool`: windows. `reduce`: sums and maxima over axes. `stride`: values that layers
alone read, from other places of the same tensor. `move`: values that change places otherwise. `unknown`: work that
nobody can tell from shapes, such as sorting; its amounts are 0.
"""
_AMOUNTS = ("adds", "multiplies", "functions", "reads", "writes", "passed")


@dataclass(frozen=True, slots=True)
class VectorWork:
    """One run of an operator beside the array, with the functions of its result that follow it value by value.

    Attributes:
        name: of the operator; equal work under two names is the same.
        kind: of it.
        adds: additions, subtractions, comparisons.
        multiplies: multiplications.
        functions: values of functions such as exp, a square root or one over x.
        reads: values from memory.
        writes: values to memory.
        passed: of the values read, those that need no memory in between where the hardware does this work with a layer:
            that the layer before puts out and nothing but this reads, or, of `stride`, all. 0 where there is none.
    """

    name: str = field(compare=False)
    kind: WorkKind
    adds: int = 0
    multiplies: int = 0
    functions: int = 0
    reads: int = 0
    writes: int = 0
    passed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in WORK_KINDS:
            raise ValueError(f"work {self.name}: kind={self.kind!r} is not allowed; choose one of {list(WORK_KINDS)}")
        for amount in _AMOUNTS:
            if getattr(self, amount) < 0:
                raise ValueError(f"work {self.name}: {amount}={getattr(self, amount)} is not allowed; it is 0 or more")
        if self.passed > self.reads:
            raise ValueError(f"work {self.name}: passed={self.passed} must be at most reads={self.reads}")


@dataclass(frozen=True, slots=True)
class VectorUse:
    """Work, and how often it is done per inference."""

    work: VectorWork
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"work {self.work.name}: count={self.count} is not allowed; it must be 1 or more")


def merge_work(uses: Sequence[VectorUse]) -> tuple[VectorUse, ...]:
    """Merge equal work into one use with summed counts, in order of first appearance."""
    merged: dict[VectorWork, VectorUse] = {}
    for use in uses:
        known = merged.get(use.work)
        merged[use.work] = use if known is None else replace(known, count=known.count + use.count)
    return tuple(merged.values())
