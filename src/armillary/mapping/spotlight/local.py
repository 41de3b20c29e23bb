"""A thorough search of a layer's mappings: a population whose neighbours are tried until nothing improves.

A neighbour moves one prime factor of one dimension from one place to another, takes another order at one level, or
unrolls another dimension over an axis. Only orders that can differ in cost are tried. The best mappings of an earlier
chip may start the next search: what the new chip cannot unroll is turned in time first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from armillary.mapping.mapspace import primes
from armillary.mapping.spotlight.fixed import Usual
from armillary.mapping.spotlight.mapspace import (
    ARRAY,
    DRAM,
    FLEXIBLE,
    LANES,
    NOTHING,
    REGISTERS,
    TIMES_OF,
    Maps,
    UnrolledSpace,
    unroll,
)
from armillary.mapping.spotlight.search import LayerSearch

DISTINCT = partial(UnrolledSpace, every_order=False)
"""The space to search thoroughly: only loop orders that can differ in cost."""

_TRIES = 6
_FILLED = 0.5


class LocalMaps(LayerSearch):
    """A population of mappings and mutations of its best.

    Args:
        space: the mappings; its orders should be those that differ.
        rng: of this search.
        start: mappings to begin with, of another chip perhaps.
        size: how many mappings survive.
        alike: how many of them may unroll the same dimensions.
        first: random mappings before the first neighbours.
    """

    def __init__(
        self,
        space: UnrolledSpace,
        rng: np.random.Generator,
        *,
        start: Maps | None = None,
        size: int = 64,
        alike: int = 4,
        first: int = 500,
    ) -> None:
        super().__init__(space, rng)
        self._size, self._alike = size, alike
        self._first, self._told = first, 0
        self._primes = _primes_of(space.bounds)
        self._maps: Maps | None = None
        self._values = np.empty(0)
        self._start = None if start is None else space.adopted(start)

    @property
    def population(self) -> Maps | None:
        """The survivors, the best first."""
        return self._maps

    def ask(self, n: int) -> Maps:
        """Return the start and random mappings at first, then neighbours of the survivors."""
        if self._maps is None or self._told < self._first:
            first = self._sensible(n)
            if self._start is None or self._told:
                return first
            return Maps.joined([self._start, first]).select(slice(n))
        rank = self.rng.integers(len(self._maps), size=(2, _TRIES * n)).min(axis=0)
        children = self._neighbours(self._maps.select(rank))
        children = children.select(self.space.legal(children)).select(slice(n))
        return children if len(children) == n else Maps.joined([children, self.drawn(n - len(children))])

    def tell(self, maps: Maps, values: NDArray[np.float64]) -> None:
        """Keep the best of old and new, none twice, and few that unroll the same dimensions."""
        self._told += len(maps)
        every = maps if self._maps is None else Maps.joined([self._maps, maps])
        scores = np.concatenate([self._values, values])
        _, first = np.unique(every.keys(), return_index=True)
        order = first[np.argsort(scores[first], kind="stable")]
        keep = order[_among_first(every.select(order), self._alike)][: self._size]
        self._maps, self._values = every.select(keep), scores[keep]

    def _sensible(self, n: int) -> Maps:
        """Return random mappings, a half of them of the usual dataflows, that fill the array where they can."""
        drawn = self.drawn(n)
        every = drawn
        if self.space.dataflow is FLEXIBLE:
            known = Usual(self.space).random(n // 2, self.rng)
            known = replace(known, orders=self.rng.integers(len(self.space.orders), size=(len(known), 2)))
            every = Maps.joined([known, drawn]).select(slice(n))
        filled = every.select(np.arange(len(every)))
        self.space.fill(filled, np.arange(len(every)))
        filled = Maps.joined([filled, every, drawn])
        return filled.select(self.space.legal(filled)).select(slice(n))

    def _neighbours(self, maps: Maps) -> Maps:
        """Return one neighbour of each mapping, or one of its neighbours' neighbours."""
        n, rng = len(maps), self.rng
        factors, orders = maps.factors.copy(), maps.orders.copy()
        axes = {name: getattr(maps, name).copy() for name in ("rows", "columns", "lanes")}
        what = rng.random(n)
        turned = what < 0.2
        level = rng.integers(2, size=n)
        orders[turned, level[turned]] = rng.integers(len(self.space.orders), size=int(turned.sum()))
        self._unroll_another(np.flatnonzero((what >= 0.2) & (what < 0.4)), factors, axes)
        moved = Maps(factors, **axes, orders=orders)
        again = np.flatnonzero((what >= 0.4) | (rng.random(n) < 0.3))
        for _ in range(3):
            self._move_factor(again, moved)
            again = again[rng.random(len(again)) < 0.4]
        repaired = self.space.repaired(moved)
        self.space.fill(repaired, np.flatnonzero(rng.random(n) < _FILLED))
        return repaired

    def _unroll_another(
        self, which: NDArray[np.intp], factors: NDArray[np.int64], axes: Mapping[str, NDArray[np.int64]]
    ) -> None:
        """Let mappings unroll other dimensions over one axis or two, as much of the time loops as fits."""
        pairs, lanes = self.space.axes
        array = which[self.rng.random(len(which)) < 0.6]
        chosen = pairs[self.rng.integers(len(pairs), size=len(array))]
        lane = np.setdiff1d(which, array)
        for name, members, dims, most, place in (
            ("rows", array, chosen[:, 0], self.space.rows, ARRAY),
            ("columns", array, chosen[:, 1], self.space.columns, ARRAY),
            ("lanes", lane, lanes[self.rng.integers(len(lanes), size=len(lane))], self.space.lanes, LANES),
        ):
            old = axes[name][members]
            changed = (old != dims) & (dims != NOTHING)
            members, old, dims = members[changed], old[changed], dims[changed]
            axes[name][members] = dims
            had = old != NOTHING
            _merge(factors, members[had], old[had], place, TIMES_OF[place])
            unroll(factors, members, dims, TIMES_OF[place], place, most)

    def _move_factor(self, which: NDArray[np.intp], maps: Maps) -> None:
        """Move a prime factor of a dimension of mappings from a place to another one, in place."""
        if not len(which):
            return
        pick = self._primes[self.rng.integers(len(self._primes), size=len(which))]
        dims, prime = pick[:, 0], pick[:, 1]
        source, target = self.rng.integers(5, size=(2, len(which)))
        # towards the array and the lanes only where they unroll the dimension
        unrolls = (maps.rows[which] == dims) | (maps.columns[which] == dims)
        target = np.where((target == ARRAY) & ~unrolls, DRAM, target)
        target = np.where((target == LANES) & (maps.lanes[which] != dims), REGISTERS, target)
        fits = (maps.factors[which, dims, source] % prime == 0) & (source != target)
        which, dims, source, target, prime = (x[fits] for x in (which, dims, source, target, prime))
        maps.factors[which, dims, source] //= prime
        maps.factors[which, dims, target] *= prime


def _among_first(maps: Maps, most: int) -> NDArray[np.bool_]:
    """Return which mappings are among the first so many that unroll the same dimensions, shape [n]."""
    key = (maps.rows * (NOTHING + 1) + maps.columns) * (NOTHING + 1) + maps.lanes
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = np.arange(len(key)) - np.repeat(starts, np.diff(np.append(starts, len(key))))
    return rank < most


def _merge(
    factors: NDArray[np.int64], which: NDArray[np.intp], dims: NDArray[np.int64], source: int, target: int
) -> None:
    factors[which, dims, target] *= factors[which, dims, source]
    factors[which, dims, source] = 1


def _primes_of(bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs of dimension and prime factor, a pair per distinct factor, shape [pairs, 2]."""
    pairs = [(d, prime) for d, bound in enumerate(bounds.tolist()) for prime, _ in primes(bound)]
    return np.array(pairs or [(0, 1)], dtype=np.int64)
