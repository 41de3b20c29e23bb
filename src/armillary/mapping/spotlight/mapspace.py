"""The mappings of a layer onto a `spotlight` chip: tile factors, loop orders, and what is unrolled where.

Every dimension's bound is split perfectly over register file, scratchpad and DRAM. Of the scratchpad's loops one is
unrolled over the rows of the array and another one over its columns; of the register file's loops one is unrolled over
the lanes. An unrolled loop takes the largest divisor of its factor that there is room for, and turns for the rest. So
a dimension has factors at five places, the innermost first: registers, lanes, array, scratchpad, DRAM.

Source: the Spotlight chapter, Section 4.1.1. Where the release rounds up, ours is exact: the product of a dimension's
    factors is its bound, and every multiply-accumulate is counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import permutations
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch, loop_places
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS
from armillary.hardware.mapping import RELEVANT, LevelMapping, Loop, Mapping, loop_bounds, tile_words
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.mapspace import factorizations
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

REGISTERS, LANES, ARRAY, SCRATCHPAD, DRAM = range(5)
"""Places of a dimension's factors."""
TIMES_OF = {ARRAY: SCRATCHPAD, LANES: REGISTERS}
"""Where the loops turn that are unrolled over the array and the lanes."""
NOTHING = len(DIMENSIONS)
"""Stands for the dimension of an axis over which nothing is unrolled."""
_DRAWS = 40
_TABLE_VALUES, _TABLE_MOST = 4096, 1024

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Dataflow:
    """Which dimensions may be unrolled over the rows and the columns of the array, and over the lanes of a PE."""

    name: str
    rows: str = DIMENSIONS
    columns: str = DIMENSIONS
    lanes: str = DIMENSIONS


FLEXIBLE = Dataflow("flexible")
EYERISS = Dataflow("eyeriss_like", rows="RC", columns="P")
NVDLA = Dataflow("nvdla_like", rows="C", columns="KG")
SHIDIANNAO = Dataflow("shidiannao_like", rows="P", columns="Q")


@dataclass(frozen=True)
class Maps:
    """Mappings of one layer.

    Attributes:
        factors: shape [n, dimensions, places].
        rows: dimension unrolled over the rows, shape [n].
        columns: likewise over the columns.
        lanes: likewise over the lanes.
        orders: of the loops in scratchpad and DRAM, numbers into `UnrolledSpace.orders`, shape [n, 2].
    """

    factors: Integers
    rows: Integers
    columns: Integers
    lanes: Integers
    orders: Integers

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Maps:
        """Return some of the mappings."""
        return Maps(*(getattr(self, f.name)[which] for f in fields(self)))

    def tile(self, level: int) -> Integers:
        """Return the extents of a level's tiles, 0 the register file, 1 the scratchpad, 2 DRAM, [n, dimensions]."""
        extent = self.factors[:, :, REGISTERS]
        for place in range(LANES, (ARRAY, DRAM, DRAM + 1)[level]):  # faster than to reduce a short axis
            extent = extent * self.factors[:, :, place]
        return extent

    def keys(self) -> NDArray[np.void]:
        """Return a comparable key per mapping, shape [n]."""
        table = np.concatenate(
            [self.factors.reshape(len(self), -1), *(getattr(self, n)[:, None] for n in ("rows", "columns", "lanes"))],
            axis=1,
        )
        table = np.ascontiguousarray(np.concatenate([table, self.orders], axis=1))
        return table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))[:, 0]

    @staticmethod
    def joined(parts: Sequence[Maps]) -> Maps:
        """Return the mappings of several batches."""
        return Maps(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Maps)))


class UnrolledSpace:
    """Every mapping of a layer onto a chip that a dataflow allows.

    Args:
        chip: onto which.
        layer: what is mapped.
        dataflow: what may be unrolled where.
        every_order: all orders of the loops, or only those that differ in what they can reuse; see `orders`.
    """

    def __init__(self, chip: Chip, layer: Layer, dataflow: Dataflow = FLEXIBLE, *, every_order: bool = True) -> None:
        self.chip, self.layer, self.dataflow = chip, layer, dataflow
        self.rows, self.columns, self.lanes = chip.rows, chip.columns, chip.simd_lanes
        self.capacity = chip.register_file_bytes, chip.scratchpad_kib * 1024
        self.bounds = np.array(list(loop_bounds(layer).values()), dtype=np.int64)
        self._every_order = every_order

    @cached_property
    def orders(self) -> Integers:
        """The place of each dimension's loop in an order, 0 the innermost, shape [orders, dimensions].

        Of all orders only a few differ in their cost: a tensor rests while loops that do not index it turn
        innermost, and a sliding window is reused along the one loop that turns first.
        """
        turning = tuple(int(d) for d in np.flatnonzero(self.bounds > 1))
        return _every(turning) if self._every_order else _distinct(turning)

    @cached_property
    def axes(self) -> tuple[Integers, Integers]:
        """What the array and the lanes can unroll: pairs of rows and columns, shape [pairs, 2]; lanes, shape [n]."""
        flow = self.dataflow
        rows, columns, lanes = (self._turning(dims) for dims in (flow.rows, flow.columns, flow.lanes))
        pairs = [(r, c) for r in rows for c in columns if r != c]
        pairs += [(r, NOTHING) for r in rows if columns == [r]] + [(NOTHING, c) for c in columns if rows == [c]]
        pairs += [(r, NOTHING) for r in rows if not columns] + [(NOTHING, c) for c in columns if not rows]
        return np.array(pairs or [(NOTHING, NOTHING)]), np.array(lanes or [NOTHING])

    def _turning(self, dimensions: str) -> list[int]:
        return [i for i, d in enumerate(DIMENSIONS) if d in dimensions and self.bounds[i] > 1]

    def random(self, n: int, rng: np.random.Generator) -> Maps:
        """Return random mappings, legal or not: what is unrolled, the factors and the orders, all uniform."""
        pairs, lanes = self.axes
        rows, columns = pairs[rng.integers(len(pairs), size=n)].T
        lane = lanes[rng.integers(len(lanes), size=n)]
        factors = np.ones((n, len(DIMENSIONS), 5), dtype=np.int64)
        for d in np.flatnonzero(self.bounds > 1).tolist():
            ways = _ways(int(self.bounds[d]))
            factors[:, d, [REGISTERS, SCRATCHPAD, DRAM]] = ways[rng.integers(len(ways), size=n)]
        maps = Maps(factors, rows, columns, lane, rng.integers(len(self.orders), size=(n, 2)))
        self._unroll(maps)
        return maps

    def _unroll(self, maps: Maps) -> None:
        """Unroll as much as there is room for of the loops in scratchpad and register file, in place."""
        for dims, most, target in self._axes_of(maps):
            which = np.flatnonzero(dims != NOTHING)
            unroll(maps.factors, which, dims[which], TIMES_OF[target], target, most)

    def fill(self, maps: Maps, which: NDArray[np.intp]) -> None:
        """Unroll what there is room for of all loops of the unrolled dimensions of some mappings, in place."""
        for dims, most, target in self._axes_of(maps):
            members = which[dims[which] != NOTHING]
            for source in (REGISTERS, SCRATCHPAD, DRAM):
                unroll(maps.factors, members, dims[members], source, target, most)

    def _axes_of(self, maps: Maps) -> tuple[tuple[Integers, int, int], ...]:
        """Return of every axis the dimension that each mapping unrolls over it, its room, and the factors' place."""
        return (
            (maps.rows, self.rows, ARRAY),
            (maps.columns, self.columns, ARRAY),
            (maps.lanes, self.lanes, LANES),
        )

    def legal(self, maps: Maps) -> NDArray[np.bool_]:
        """Return whether the tiles of mappings fit into the register file and the scratchpad, shape [n]."""
        inner, outer = (held_words(self.layer, maps.tile(level)) <= self.capacity[level] for level in (0, 1))
        return inner & outer

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Maps, int]:
        """Return n random legal mappings and how many illegal ones were drawn in between.

        Where almost nothing is legal, the mapping that turns every loop in DRAM fills the rest.
        """
        parts: list[Maps] = []
        found = illegal = 0
        for _ in range(_DRAWS):
            maps = self.random(max(n - found, n // 2), rng)
            fits = self.legal(maps)
            illegal += int((~fits).sum())
            parts.append(maps.select(fits))
            found += len(parts[-1])
            if found >= n:
                break
        else:
            parts.append(self.outermost(n - found))
        return Maps.joined(parts).select(slice(n)), illegal

    def outermost(self, n: int) -> Maps:
        """Return n times the mapping whose every loop turns in DRAM; it always fits."""
        factors = np.ones((n, len(DIMENSIONS), 5), dtype=np.int64)
        factors[:, :, DRAM] = self.bounds
        pairs, lanes = self.axes
        rows, columns = np.repeat(pairs[:1], n, axis=0).T
        return Maps(factors, rows, columns, np.repeat(lanes[:1], n), np.zeros((n, 2), dtype=np.int64))

    def repaired(self, maps: Maps) -> Maps:
        """Return mappings with what this chip and dataflow cannot unroll turned in time instead."""
        factors = maps.factors.copy()
        dims = np.arange(len(DIMENSIONS))
        limit = np.where(
            maps.rows[:, None] == dims, self.rows, np.where(maps.columns[:, None] == dims, self.columns, 1)
        )
        for place, to, most in (
            (ARRAY, SCRATCHPAD, limit),
            (LANES, REGISTERS, np.where(maps.lanes[:, None] == dims, self.lanes, 1)),
        ):
            over = factors[:, :, place] > most
            factors[:, :, to] *= np.where(over, factors[:, :, place], 1)
            factors[:, :, place] = np.where(over, 1, factors[:, :, place])
        return Maps(factors, maps.rows, maps.columns, maps.lanes, maps.orders)

    def adopted(self, maps: Maps) -> Maps:
        """Return mappings of another chip as this one can run them, without those that do not fit."""
        maps = self.repaired(maps)
        self._unroll(maps)
        return maps.select(self.legal(maps))

    def decode(self, maps: Maps) -> MappingBatch:
        """Return mappings as the cost model takes them."""
        n, dims = len(maps), np.arange(len(DIMENSIONS))
        by_place = np.ascontiguousarray(maps.factors.transpose(2, 1, 0).astype(float))
        temporal = by_place[[REGISTERS, SCRATCHPAD, DRAM]]
        spatial = np.stack([by_place[LANES], by_place[ARRAY], np.ones((len(DIMENSIONS), n))])
        place = np.empty((3, len(DIMENSIONS), n))
        place[0] = dims[:, None]
        place[1:] = self.orders[maps.orders].transpose(1, 2, 0)
        along_y = np.ones_like(spatial)
        along_y[1] = np.where(dims[:, None] == maps.rows, spatial[1], 1.0)
        spatial_place = np.broadcast_to(dims.astype(float)[:, None], (3, 2, len(dims), n)).copy()
        keeps = np.ones((3, len(TENSORS), n), dtype=bool)
        return MappingBatch(*map(torch.from_numpy, (temporal, spatial, along_y, place, spatial_place, keeps)))

    def mapping(self, maps: Maps, number: int) -> Mapping:
        """Return one of the mappings; loops that do not turn are left out."""
        factors = maps.factors[number]

        def loops(places: Integers, place: int) -> tuple[Loop, ...]:
            outer_first = np.argsort(-places, kind="stable").tolist()
            return tuple(Loop(DIMENSIONS[d], int(factors[d, place])) for d in outer_first if factors[d, place] > 1)

        def across(dimension: Integers, axis: str, place: int) -> tuple[Loop, ...]:
            d = int(dimension[number])
            turns = d != NOTHING and factors[d, place] > 1
            return (Loop(DIMENSIONS[d], int(factors[d, place]), "Y" if axis == "Y" else "X"),) if turns else ()

        array = across(maps.columns, "X", ARRAY) + across(maps.rows, "Y", ARRAY)
        order = self.orders[maps.orders[number]]
        return Mapping(
            (
                LevelMapping(TENSORS, loops(order[1], DRAM), ()),
                LevelMapping(TENSORS, loops(order[0], SCRATCHPAD), array),
                LevelMapping(TENSORS, loops(np.arange(len(DIMENSIONS)), REGISTERS), across(maps.lanes, "X", LANES)),
            )
        )

    def maps_of(self, mapping: Mapping) -> Maps:
        """Return a mapping of the layer, onto another chip perhaps, as one of this space's.

        Loops that do not turn have left no trace in it: what stands for them is any that the space has, and an axis
        over which nothing is unrolled gets a dimension that it may unroll.

        Raises:
            ArmillaryError: if the mapping has other levels, or other factors than the layer's bounds.
        """
        if len(mapping.levels) != len(TIMES_OF) + 1:
            raise ArmillaryError(f"mapping {mapping} has {len(mapping.levels)} levels, not {len(TIMES_OF) + 1}")
        factors = np.ones((1, len(DIMENSIONS), 5), dtype=np.int64)
        axes = {"Y": NOTHING, "X": NOTHING, "lanes": NOTHING}
        for level, turning, across in zip(
            mapping.levels, (DRAM, SCRATCHPAD, REGISTERS), (None, ARRAY, LANES), strict=True
        ):
            for loop in level.temporal:
                factors[0, DIMENSIONS.index(loop.dimension), turning] *= loop.factor
            for loop in level.spatial:
                if across is None:
                    raise ArmillaryError(f"mapping {mapping} unrolls {loop.dimension} at DRAM, which has no fan-out")
                axes["lanes" if across == LANES else loop.axis] = DIMENSIONS.index(loop.dimension)
                factors[0, DIMENSIONS.index(loop.dimension), across] *= loop.factor
        if (factors[0].prod(axis=1) != self.bounds).any():
            raise ArmillaryError(f"mapping {mapping} does not split the bounds of layer {self.layer.name}")
        rows, columns, lanes = self._filled_axes(axes["Y"], axes["X"], axes["lanes"])
        levels = reversed(mapping.levels[:2])
        orders = [nearest_order(self.orders, [loop.dimension for loop in level.temporal]) for level in levels]
        return Maps(factors, np.array([rows]), np.array([columns]), np.array([lanes]), np.array([orders]))

    def _filled_axes(self, rows: int, columns: int, lanes: int) -> tuple[int, int, int]:
        """Return the dimensions of the three axes, those that are not known as the space allows them."""
        pairs, all_lanes = self.axes
        fits = ((pairs[:, 0] == rows) | (rows == NOTHING)) & ((pairs[:, 1] == columns) | (columns == NOTHING))
        pair = pairs[fits][0] if fits.any() else (rows, columns)
        return int(pair[0]), int(pair[1]), int(all_lanes[0]) if lanes == NOTHING else lanes


def nearest_order(orders: Integers, outer_first: Sequence[str]) -> int:
    """Return the number of the order in which most of the innermost of these loops stand as given."""
    wanted = [DIMENSIONS.index(d) for d in reversed(outer_first)]
    among = np.full(len(DIMENSIONS), False)
    among[wanted] = True
    own = np.argsort(np.where(among, orders, len(DIMENSIONS)), axis=1, kind="stable")[:, : len(wanted)]
    return int((own == np.array(wanted, dtype=np.int64)).cumprod(axis=1).sum(axis=1).argmax())


def held_words(layer: Layer, extent: Integers) -> Integers:
    """Return the words that the tiles of all three tensors take together, of extents [n, dimensions], shape [n]."""
    return np.asarray(np.sum(tile_words(layer, dict(zip(DIMENSIONS, extent.T, strict=True))), axis=0))


def unroll(factors: Integers, which: NDArray[np.intp], dims: Integers, source: int, target: int, most: int) -> None:
    """Move the largest divisor of a loop's factor that there is room for to the array or the lanes, in place.

    Args:
        factors: of mappings, shape [n, dimensions, places].
        which: mappings, shape [k].
        dims: the dimension of each, shape [k].
        source: place of the loop.
        target: place that has room for `most`.
        most: in all.
    """
    here, amount = factors[which, dims, target], factors[which, dims, source]
    share = largest_divisors(amount, most // here)
    factors[which, dims, source] = amount // share
    factors[which, dims, target] = here * share


def largest_divisors(values: Integers, most: Integers) -> Integers:
    """Return the largest divisor of each value that is at most so much, shape [n]."""
    within = np.minimum(values, most)
    if not len(values):
        return within
    if values.max() <= _TABLE_VALUES and within.max() <= _TABLE_MOST:
        table = _divisor_table()
        for value in set(values[~table.known[values]].tolist()):
            table.fill(value)
        return np.asarray(table.largest[values, within], dtype=np.int64)
    return np.array([_largest(*pair) for pair in zip(values.tolist(), within.tolist(), strict=True)], dtype=np.int64)


@dataclass(frozen=True)
class _DivisorTable:
    """The largest divisor of each value at most so much, rows filled when they are first asked for."""

    largest: NDArray[np.int32]
    known: NDArray[np.bool_]

    def fill(self, value: int) -> None:
        """Fill the row of a value."""
        numbers = np.arange(1, self.largest.shape[1])
        row = np.where(value % numbers == 0, numbers, 1)
        self.largest[value, 1:] = np.maximum.accumulate(row)
        self.known[value] = True


@lru_cache(maxsize=1)
def _divisor_table() -> _DivisorTable:
    return _DivisorTable(
        np.ones((_TABLE_VALUES + 1, _TABLE_MOST + 1), dtype=np.int32), np.zeros(_TABLE_VALUES + 1, dtype=np.bool_)
    )


@lru_cache(maxsize=1_000_000)
def _largest(value: int, most: int) -> int:
    return max((d for d in range(1, most + 1) if value % d == 0), default=1)


@lru_cache(maxsize=10_000)
def _ways(bound: int) -> Integers:
    """Return the ordered splits of a bound over registers, scratchpad and DRAM, shape [ways, 3]."""
    return factorizations(bound, [(1, bound)] * 3)


@lru_cache(maxsize=1000)
def _every(turning: tuple[int, ...]) -> Integers:
    return places(permutations(DIMENSIONS[d] for d in turning))


@lru_cache(maxsize=1000)
def _distinct(turning: tuple[int, ...]) -> Integers:
    """Return one order per pair of innermost loops that can matter.

    The innermost loop decides which tensor rests. It rests on while the loops that follow do not index it either, so
    those come next; among them the second innermost matters for windows that slide along two axes.
    """
    names = [DIMENSIONS[d] for d in turning]
    found: dict[tuple[str, ...], None] = {}
    for first in names:
        resting = [t for t in TENSORS if first not in RELEVANT[t]]
        same = [d for d in names if d != first and resting and all(d not in RELEVANT[t] for t in resting)]
        rest = [d for d in names if d != first and d not in same]
        for second in same or rest or [first]:
            group = [d for d in same if d != second]
            others = [d for d in rest if d != second]
            order = dict.fromkeys([first, second, *group, *others])
            found[tuple(order)] = None
    return places(found or [()])


def places(orders: Iterable[Sequence[str]]) -> Integers:
    """Return the place of each dimension in orders given innermost first, shape [orders, dimensions]."""
    return np.array([loop_places(tuple(order)) for order in orders], dtype=np.int64)


def size_of(space: UnrolledSpace) -> int:
    """Return how many mappings a space holds, legal or not."""
    pairs, lanes = space.axes
    splits = prod(len(_ways(bound)) for bound in space.bounds.tolist())
    return len(pairs) * len(lanes) * splits * len(space.orders) ** 2
