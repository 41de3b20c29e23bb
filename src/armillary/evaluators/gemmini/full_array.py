"""Random mappings that use the array as far as the layer allows: those of the dissertation, Sections 5.2 and 6.1.2.

Of random mappings that leave most of the array idle there are too many to learn from. A mapping is a point of the unit
cube, so that any sampler draws it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from itertools import product
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.gemmini import Accelerator
from armillary.mapping.genes import GeneSpace
from armillary.mapping.mapspace import MapSpace, Splits
from armillary.mapping.walk import TEMPORAL
from armillary.workloads.layer import Layer

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Way = tuple[NDArray[np.intp], ...]
"""For each dimension, the splits to choose of."""


class FullArrayMappings(Protocol):
    """Mappings of a layer that use an array as far as the layer allows."""

    @property
    def width(self) -> int:
        """Coordinates of a point."""
        ...

    def codes(self, points: Floats) -> Codes:
        """Return the coded mappings of points of the unit cube, shape [n, width]."""
        ...

    def factors(self, codes: Codes) -> tuple[Codes, Codes]:
        """Return the temporal and the spatial factors, the innermost level first, shape [levels, dimensions, n]."""
        ...

    def batch(self, codes: Codes) -> MappingBatch:
        """Return coded mappings as the cost model takes them."""
        ...

    def mapping(self, code: Codes) -> Mapping:
        """Return one coded mapping, shape [codes]."""
        ...


def full_array_mappings(accelerator: Accelerator, layer: Layer, *, remainders: bool = False) -> FullArrayMappings:
    """Return the mappings of a layer that use an accelerator's array as far as the layer allows.

    Args:
        accelerator: of which the array and the dataflow count, not the memories.
        layer: as the accelerator runs it.
        remainders: whether the last round of a loop may be short, or all factors must divide.
    """
    hierarchy = accelerator.hierarchy()
    return _WithRemainders(GeneSpace(hierarchy, layer)) if remainders else Dividing(MapSpace(hierarchy, layer))


class Dividing:
    """Mappings all of whose factors divide.

    Of several dimensions that share a side of the array, all ways to fill it as far as any does are as likely.
    """

    def __init__(self, space: MapSpace) -> None:
        self.space, self.ways = space, fullest(space)
        self.width = 1 + len(space.sizes)

    def codes(self, points: Floats) -> Codes:
        """Return coded mappings; see `FullArrayMappings`."""
        sizes = self.space.sizes
        codes = np.minimum((points[:, 1:] * sizes).astype(np.int64), sizes - 1)
        ways = _picked(points[:, 0], len(self.ways))
        for number, way in enumerate(self.ways):
            own = ways == number
            for d, splits in enumerate(way):
                codes[own, d] = splits[_picked(points[own, 1 + d], len(splits))]
        return codes

    def factors(self, codes: Codes) -> tuple[Codes, Codes]:
        """Return the factors; see `FullArrayMappings`."""
        batch = self.batch(codes)
        return batch.temporal.numpy().astype(np.int64), batch.spatial.numpy().astype(np.int64)

    def batch(self, codes: Codes) -> MappingBatch:
        """Return mappings; see `FullArrayMappings`."""
        return self.space.decode(codes)

    def mapping(self, code: Codes) -> Mapping:
        """Return one mapping; see `FullArrayMappings`."""
        return self.space.mapping(code)


def fullest(space: MapSpace) -> list[Way]:
    """Return every way to choose splits that fill each side of the array as far as any choice does."""
    sides = sorted({(slot.level, slot.kind) for splits in space.splits for slot in splits.slots} - _none_of(space))
    allowed: list[list[Way]] = []
    for level, kind in sides:
        used = [_used(splits, level, kind) for splits in space.splits]
        fanout = space.levels[level].fanout[kind - 1]
        choices = [way for way in product(*(np.unique(each).tolist() for each in used)) if prod(way) <= fanout]
        most = max(map(prod, choices))
        allowed.append(
            [
                tuple(np.flatnonzero(each == factor) for each, factor in zip(used, way, strict=True))
                for way in choices
                if prod(way) == most
            ]
        )
    everything = tuple(np.arange(len(splits.factors)) for splits in space.splits)
    joined = [reduce(_both, ways, everything) for ways in product(*allowed)]
    return [way for way in joined if all(map(len, way))]


def _none_of(space: MapSpace) -> set[tuple[int, int]]:
    return {(level, TEMPORAL) for level in range(len(space.levels))}


def _used(splits: Splits, level: int, kind: int) -> Codes:
    """Return how far each split of a dimension goes along a side of the array."""
    there = [i for i, slot in enumerate(splits.slots) if (slot.level, slot.kind) == (level, kind)]
    return np.asarray(splits.factors[:, there].prod(axis=1))


def _both(one: Way, other: Way) -> Way:
    return tuple(np.intersect1d(a, b) for a, b in zip(one, other, strict=True))


class _WithRemainders:
    """Mappings whose last rounds may be short.

    Dimensions that share a side of the array fill it one after the other, in a random order.
    """

    def __init__(self, space: GeneSpace) -> None:
        self._space = space
        sides: dict[tuple[int, int], list[int]] = defaultdict(list)
        for slot, (level, kind) in enumerate(zip(space.rules.level.tolist(), space.rules.kind.tolist(), strict=True)):
            if kind != TEMPORAL:
                sides[level, kind].append(slot)
        self._sides = {(level, kind): slots for (level, kind), slots in sides.items()}
        self._dimension = np.repeat(np.arange(len(DIMENSIONS)), np.diff(space.rules.first))
        self.width = space.width + len(DIMENSIONS)

    def codes(self, points: Floats) -> Codes:
        """Return coded mappings; see `FullArrayMappings`."""
        genes = self._space.of_cube(points[:, len(DIMENSIONS) :])
        for (level, kind), slots in self._sides.items():
            order = np.argsort(points[:, self._dimension[slots]], axis=1)
            left = np.full(len(points), self._space.levels[level].fanout[kind - 1], dtype=np.int64)
            for turn in range(len(slots)):
                for place, slot in enumerate(slots):
                    own = order[:, turn] == place
                    genes[own, slot] = np.minimum(self._bound(slot), left[own])
                    left[own] //= genes[own, slot]
                    self._leave(genes, own, slot)
        return genes

    def _leave(self, genes: Codes, rows: NDArray[np.bool_], slot: int) -> None:
        """Shorten the loops inside a spatial one so that enough is left for it."""
        full = genes[rows, slot]
        # ceil(bound / inside) >= full
        room = np.where(full > 1, (self._bound(slot) - 1) // np.maximum(full - 1, 1), self._bound(slot))
        for inside in range(self._space.rules.first[self._dimension[slot]], slot):
            genes[rows, inside] = np.clip(genes[rows, inside], 1, room)
            room = np.maximum(room // genes[rows, inside], 1)

    def _bound(self, slot: int) -> int:
        return self._space.bounds[DIMENSIONS[self._dimension[slot]]]

    def factors(self, codes: Codes) -> tuple[Codes, Codes]:
        """Return the factors; see `FullArrayMappings`."""
        nests, _ = self._space.nests(codes)
        temporal, spatial = (np.moveaxis(each, 0, -1).astype(np.int64) for each in (nests.temporal, nests.spatial))
        return temporal, spatial

    def batch(self, codes: Codes) -> MappingBatch:
        """Return mappings; see `FullArrayMappings`."""
        return MappingBatch.of([self._space.mapping(code) for code in codes])

    def mapping(self, code: Codes) -> Mapping:
        """Return one mapping; see `FullArrayMappings`."""
        return self._space.mapping(code)


def _picked(points: Floats, choices: int) -> NDArray[np.int64]:
    """Return which of some choices each number of 0 to 1 stands for."""
    return np.minimum((points * choices).astype(np.int64), choices - 1)
