"""Mappings: how a layer's loops are split over the levels of a hierarchy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import prod
from operator import mul
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

RELEVANT = {"W": "KCRSG", "I": "NCPQRSG", "O": "NKPQG"}
"""The dimensions that index each tensor."""

Axis = Literal["", "X", "Y"]
Amount = TypeVar("Amount", int, NDArray[np.int64])


def loop_bounds(layer: Layer) -> dict[str, int]:
    """Return how far each loop of a layer runs; K and C per group."""
    return {
        "N": layer.N,
        "K": layer.K // layer.groups,
        "C": layer.C // layer.groups,
        "P": layer.P,
        "Q": layer.Q,
        "R": layer.R,
        "S": layer.S,
        "G": layer.groups,
    }


def tile_words(layer: Layer, extent: Table[str, Amount]) -> tuple[Amount, Amount, Amount]:
    """Return the words of weights, inputs and outputs in a tile of these extents, numbers or arrays of them."""
    height = (extent["P"] - 1) * layer.stride_h + (extent["R"] - 1) * layer.dilation_h + 1
    width = (extent["Q"] - 1) * layer.stride_w + (extent["S"] - 1) * layer.dilation_w + 1
    weights, outputs = (reduce(mul, [extent[d] for d in DIMENSIONS if d in RELEVANT[t]]) for t in "WO")
    return weights, extent["N"] * extent["C"] * extent["G"] * height * width, outputs


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop.

    Attributes:
        dimension: of `DIMENSIONS`.
        factor: iterations, or instances side by side.
        axis: mesh axis it is unrolled over; "" for a temporal loop.
        residual: iterations in the last round of the loops outside it over the same dimension; 0 if as
            many as always. An imperfect factor in the sense of Ruby (Horeni et al., ISPASS 2022).
    """

    dimension: str
    factor: int
    axis: Axis = ""
    residual: int = 0

    def __post_init__(self) -> None:
        if self.dimension not in tuple(DIMENSIONS):
            raise ArmillaryError(f"loop dimension {self.dimension!r} is unknown; choose one of {list(DIMENSIONS)}")
        if self.factor < 1:
            raise ArmillaryError(f"loop {self.dimension} has factor {self.factor}; it must be at least 1")
        if not 0 <= self.residual < self.factor:
            raise ArmillaryError(
                f"loop {self.dimension}{self.factor} has remainder {self.residual}; it must be 1 to {self.factor - 1}"
            )

    @property
    def last(self) -> int:
        """Iterations in the last round."""
        return self.residual or self.factor

    def __str__(self) -> str:
        rest = f",{self.residual}" if self.residual else ""
        return f"{self.dimension}{self.factor}{rest}{self.axis}"


def rounds(loops: Sequence[Loop]) -> int:
    """Return how often the innermost of nested loops over one dimension turns in all, the outermost given first."""
    every = last = 1
    for loop in reversed(loops):
        last += (loop.last - 1) * every
        every *= loop.factor
    return last


@dataclass(frozen=True, slots=True)
class LevelMapping:
    """What happens at one level.

    Attributes:
        keeps: the tensors held here, of "WIO"; the others bypass the level.
        temporal: loops over the tiles of the level below, the outermost first.
        spatial: loops over the instances below; those on X before those on Y, and on each axis the
            one that neighbours differ in first, as in Timeloop's mapping files. A dimension may lie on both axes.
    """

    keeps: str
    temporal: tuple[Loop, ...] = ()
    spatial: tuple[Loop, ...] = ()

    def __post_init__(self) -> None:
        if set(self.keeps) - set(TENSORS) or len(set(self.keeps)) < len(self.keeps):
            raise ArmillaryError(f"keeps={self.keeps!r} is not allowed; name each of W, I and O at most once")
        if any(loop.axis for loop in self.temporal) or not all(loop.axis for loop in self.spatial):
            raise ArmillaryError("temporal loops have no axis, spatial loops have X or Y")
        axes = [loop.axis for loop in self.spatial]
        if axes != sorted(axes):
            raise ArmillaryError(f"spatial loops on X stand before those on Y, got {' '.join(map(str, self.spatial))}")
        for loops, kind in ((self.temporal, "temporal"), (self.spatial, "spatial")):
            names = [loop.dimension + loop.axis for loop in loops]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ArmillaryError(f"two {kind} loops over {twice[0]} at one level; join their factors")

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The temporal loops, then the spatial ones inside them, the outermost first: those on Y, then those on X."""
        return (*self.temporal, *reversed(self.spatial))

    def unrolled(self, axis: Axis) -> int:
        """Return the instances used along a mesh axis."""
        return prod(loop.factor for loop in self.spatial if loop.axis == axis)

    def __str__(self) -> str:
        loops = " ".join(map(str, (*self.temporal, *self.spatial)))
        return f"[{self.keeps}] {loops or 'N1'}"


@dataclass(frozen=True, slots=True)
class Mapping:
    """The loops of every level, outermost level first.

    The text form is `L1[WIO] K8 Q28 - L0[W] C4 K4X`: level 0 is the innermost, `X` and `Y` mark
    spatial loops, `N1` stands for no loop. `K14,13X` is an imperfect factor: 14 instances, and 13 in
    the last round of the loops over K outside it.

    Raises:
        ArmillaryError: if there is no level, or the outermost loop over a dimension has a remainder.
    """

    levels: tuple[LevelMapping, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise ArmillaryError("a mapping has at least one level")
        for dimension in DIMENSIONS:
            turning = [loop for loop in self.over(dimension) if loop.factor > 1]
            if turning and turning[0].residual:
                raise ArmillaryError(
                    f"loop {turning[0]} has a remainder, but no loop over {dimension} outside it; write "
                    f"{dimension}{turning[0].residual}{turning[0].axis}"
                )

    @staticmethod
    def parse(text: str) -> Mapping:
        """Return the mapping of a text.

        Raises:
            ArmillaryError: names the level or loop that is wrong.
        """
        parts = re.split(r"\s+-\s+", text.strip())
        levels = []
        for place, part in enumerate(parts):
            number = len(parts) - 1 - place
            try:
                levels.append(_parse_level(part, number))
            except ArmillaryError as fault:
                raise ArmillaryError(f"mapping {text!r}: level {number}: {fault}") from None
        return Mapping(tuple(levels))

    @property
    def inner_first(self) -> tuple[LevelMapping, ...]:
        """The levels from registers to DRAM."""
        return self.levels[::-1]

    @property
    def imperfect(self) -> bool:
        """Whether some loop has a remainder."""
        return any(loop.residual for level in self.levels for loop in level.loops)

    def over(self, dimension: str) -> list[Loop]:
        """Return the loops over a dimension, the outermost first."""
        return [loop for level in self.levels for loop in level.loops if loop.dimension == dimension]

    def extents(self) -> dict[str, int]:
        """Return how far the loops over each dimension run together: the product of their factors if all divide."""
        return {d: rounds(self.over(d)) for d in DIMENSIONS}

    def faults(self, hierarchy: Hierarchy, layer: Layer) -> Iterator[str]:
        """Yield what makes this no mapping of the layer onto the hierarchy; capacities and fan-outs aside."""
        if len(self.levels) != len(hierarchy.levels):
            yield (f"the mapping has {len(self.levels)} levels, hierarchy {hierarchy.name} has {len(hierarchy.levels)}")
            return
        for number, (mapped, level) in enumerate(zip(self.levels, hierarchy.levels, strict=True)):
            foreign = set(mapped.keeps) - set(level.keeps)
            if foreign:
                yield f"level {level.name} keeps {mapped.keeps!r}, but can keep {level.keeps!r} only"
            twice = set(mapped.keeps) & set(self.levels[number - 1].keeps) if level.part_of else set()
            if twice:
                yield f"level {level.name} keeps {mapped.keeps!r}, but {level.part_of} keeps {sorted(twice)[0]}, too"
            if number == 0 and set(level.keeps) - set(mapped.keeps):
                yield f"the outermost level {level.name} keeps {mapped.keeps!r}; it must keep {level.keeps!r}"
        extents = self.extents()
        for dimension, bound in loop_bounds(layer).items():
            if extents[dimension] != bound:
                yield (
                    f"the factors of {dimension} multiply to {extents[dimension]}, layer {layer.name} has "
                    f"{dimension}={bound}"
                )

    def __str__(self) -> str:
        outermost = len(self.levels) - 1
        return " - ".join(f"L{outermost - i}{level}" for i, level in enumerate(self.levels))

    __repr__ = __str__


@lru_cache(maxsize=1 << 16)  # mappings of a search or a log share most of their levels
def _parse_level(text: str, number: int) -> LevelMapping:
    head, *tokens = text.split() or [""]
    match = re.fullmatch(r"L(\d+)\[(\w*)\]", head)
    if match is None:
        raise ArmillaryError(f"{head!r} is no level; write e.g. L{number}[WIO]")
    if int(match[1]) != number:
        raise ArmillaryError(f"is called L{match[1]}; levels count down to L0, the innermost, which stands last")
    if not tokens:
        raise ArmillaryError("has no loop; write N1 for none")
    loops = [_parse_loop(token) for token in tokens]
    temporal = tuple(loop for loop in loops if not loop.axis)
    spatial = tuple(loop for loop in loops if loop.axis)
    if (*temporal, *spatial) != tuple(loops):
        raise ArmillaryError(f"spatial loops stand after temporal ones, got {' '.join(tokens)}")
    return LevelMapping(match[2], temporal, spatial)


@lru_cache(maxsize=1 << 12)
def _parse_loop(token: str) -> Loop:
    match = re.fullmatch(r"([A-Z])(\d+)(?:,([1-9]\d*))?([XY]?)", token)
    if match is None:
        raise ArmillaryError(
            f"{token!r} is no loop; write a dimension, a factor, a remainder if it has one, and X or Y if spatial, "
            "e.g. K4, K4X or K4,3X"
        )
    axis: Axis = "X" if match[4] == "X" else "Y" if match[4] == "Y" else ""
    return Loop(match[1], int(match[2]), axis, int(match[3] or 0))
