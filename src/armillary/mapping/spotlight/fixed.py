"""Humble ways to map: three fixed dataflows, and a grid of sensible mappings."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.spotlight.mapspace import (
    ARRAY,
    DRAM,
    EYERISS,
    FLEXIBLE,
    LANES,
    NOTHING,
    NVDLA,
    REGISTERS,
    SCRATCHPAD,
    SHIDIANNAO,
    Dataflow,
    Integers,
    Maps,
    UnrolledSpace,
    largest_divisors,
    nearest_order,
    places,
)
from armillary.mapping.spotlight.search import LayerSearch
from armillary.workloads.layer import Layer

KNOWN = (EYERISS, NVDLA, SHIDIANNAO)
"""The fixed dataflows."""
_N, _K, _C, _P, _Q, _R, _S, _G = range(8)
_WEIGHTS_REST, _OUTPUTS_REST = "PQNCRSKG", "CRSPQNKG"
_TILES = (1, 4, 16, 64)
_LANE_CHOICE = (_C, _K, _G, _Q, _P, _N)


class FixedSpace(UnrolledSpace):
    """The mappings of Spotlight-F: Eyeriss-, NVDLA- and ShiDianNao-like, with free tile factors of K and C alone.

    Filter windows are whole in the register file, output rows and columns fill the array where the dataflow unrolls
    them and turn in the scratchpad or in DRAM otherwise. Weights rest innermost, or outputs (ShiDianNao-like).
    """

    def __init__(self, chip: Chip, layer: Layer, flows: tuple[Dataflow, ...] = KNOWN) -> None:
        super().__init__(chip, layer)
        self._flows = [UnrolledSpace(chip, layer, flow) for flow in flows]

    @cached_property
    def orders(self) -> Integers:
        """Weights resting, and outputs resting."""
        return places([_WEIGHTS_REST, _OUTPUTS_REST])

    def random(self, n: int, rng: np.random.Generator) -> Maps:
        """Return random mappings of the three dataflows, legal or not."""
        flow = rng.integers(len(self._flows), size=n)
        parts = []
        for number, space in enumerate(self._flows):
            parts.append(self._fixed(space.random(int((flow == number).sum()), rng), space.dataflow is SHIDIANNAO, rng))
        return Maps.joined(parts).select(rng.permutation(n))

    def _fixed(self, maps: Maps, outputs_rest: bool, rng: np.random.Generator) -> Maps:
        """Return mappings with everything but the factors of K and C as the dataflow has it."""
        factors = maps.factors.copy()
        for d in range(len(DIMENSIONS)):
            if d in (_K, _C):
                continue
            across = np.where(maps.rows == d, self.rows, np.where(maps.columns == d, self.columns, 1))
            factors[:, d] = 1
            factors[:, d, ARRAY] = largest_divisors(np.full(len(maps), self.bounds[d]), across)
            lanes = np.where(maps.lanes == d, self.lanes, 1)
            left = self.bounds[d] // factors[:, d, ARRAY]
            factors[:, d, LANES] = largest_divisors(left, lanes)
            left //= factors[:, d, LANES]
            if d in (_R, _S):
                factors[:, d, REGISTERS] = left
            else:
                where = np.where((d in (_P, _Q)) & (rng.random(len(maps)) < 0.5), SCRATCHPAD, DRAM)
                factors[np.arange(len(maps)), d, where] *= left
        orders = np.full((len(maps), 2), int(outputs_rest))
        return Maps(factors, maps.rows, maps.columns, maps.lanes, orders)


class Usual:
    """Random mappings of known dataflows, as mappings of another space.

    Args:
        space: in whose numbering of orders they are given; the dataflows are all three, or the one it allows.
    """

    def __init__(self, space: UnrolledSpace) -> None:
        flows = KNOWN if space.dataflow is FLEXIBLE else (space.dataflow,)
        self._fixed = FixedSpace(space.chip, space.layer, flows)
        self._orders = np.array([_like(space.orders, order, space.bounds > 1) for order in self._fixed.orders])

    def random(self, n: int, rng: np.random.Generator) -> Maps:
        """Return n random mappings, legal or not."""
        maps = self._fixed.random(n, rng)
        return replace(maps, orders=self._orders[maps.orders])


def _like(orders: Integers, order: Integers, turning: NDArray[np.bool_]) -> int:
    """Return the number of the order in which most of the innermost turning loops are the same."""
    outer_first = np.flatnonzero(turning)[np.argsort(-order[turning], kind="stable")]
    return nearest_order(orders, [DIMENSIONS[d] for d in outer_first])


class GridMaps(LayerSearch):
    """A grid of sensible mappings, one after another: it needs no search.

    Every ordered pair of dimensions fills the array as far as it divides, whole filter windows lie in the register
    file with tiles of 1, 4, 16 or 64 output and input channels, and the scratchpad takes what fits of the rest.
    """

    def __init__(self, space: UnrolledSpace, rng: np.random.Generator) -> None:
        super().__init__(space, rng)
        self._grid = grid(space)
        self._next = 0

    def ask(self, n: int) -> Maps:
        """Return the next of the grid; after the last it begins anew."""
        which = (self._next + np.arange(n)) % len(self._grid)
        self._next += n
        return self._grid.select(which)

    def tell(self, maps: Maps, values: NDArray[np.float64]) -> None:
        """Learn nothing."""


def grid(space: UnrolledSpace) -> Maps:
    """Return the legal mappings of the grid, each once."""
    turning = [d for d in (_K, _C, _N, _G, _P, _Q) if space.bounds[d] > 1]
    pairs = list(permutations(turning, 2)) or [(turning[0] if turning else NOTHING, NOTHING)]
    found = [_sensible(space, *pair, *tiles) for pair, tiles in product(pairs, product(_TILES, _TILES))]
    every = Maps.joined(found)
    every = every.select(space.legal(every))
    if not len(every):
        return space.outermost(1)
    _, first = np.unique(every.keys(), return_index=True)
    return every.select(np.sort(first))


def _sensible(space: UnrolledSpace, rows: int, columns: int, k_tile: int, c_tile: int) -> Maps:
    factors = np.ones((1, len(DIMENSIONS), 5), dtype=np.int64)
    left = space.bounds.copy()

    def put(d: int, place: int, most: int) -> None:
        share = int(largest_divisors(left[d : d + 1], np.array([most]))[0])
        factors[0, d, place] *= share
        left[d] //= share

    for d, most in ((rows, space.rows), (columns, space.columns)):
        if d != NOTHING:
            put(d, ARRAY, most)
    lanes = next((d for d in _LANE_CHOICE if left[d] > 1), NOTHING)
    if lanes != NOTHING:
        put(lanes, LANES, space.lanes)
    for d, most in ((_R, int(left[_R])), (_S, int(left[_S])), (_K, k_tile), (_C, c_tile)):
        put(d, REGISTERS, most)
    axes = [np.array([value]) for value in (rows, columns, lanes)]
    maps = Maps(factors, axes[0], axes[1], axes[2], np.zeros((1, 2), dtype=np.int64))
    for d in (_Q, _P, _C, _K, _N, _G):
        whole = factors[0, d, SCRATCHPAD]
        factors[0, d, SCRATCHPAD] = whole * left[d]
        if space.legal(maps)[0]:
            left[d] = 1
        else:
            factors[0, d, SCRATCHPAD] = whole
    factors[0, :, DRAM] = left
    return maps
