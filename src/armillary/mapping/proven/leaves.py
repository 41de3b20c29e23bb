"""From decided rounds to mappings: all factors and orders that may differ in cost, as rows of a gene space."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from math import prod

import numpy as np

from armillary.mapping.genes import Genes, GeneSpace
from armillary.mapping.proven.rounds import Ints, Rounds
from armillary.mapping.proven.terms import ALL, K, P, Q, R, S
from armillary.mapping.walk import ON_X, ON_Y, TEMPORAL

_D = 8
_WINDOW = (P, Q, R, S)
MOST = 20_000
"""Mappings of one choice of rounds that are looked at; of more, the bound stays."""


class Leaves:
    """Turns choices of rounds into rows.

    Args:
        space: of the rows.
        rounds: of its dimensions.
        group: of each dimension that turns, the tensor that it does not index, shape [K].
        keeps: what each level keeps, as a row says it, as bits, shape [L].
        windows: whether neighbouring windows overlap, so that orders and factors within a group matter, too.
    """

    def __init__(self, space: GeneSpace, rounds: Rounds, group: Ints, keeps: Ints, *, windows: bool) -> None:
        self._space, self._rounds, self._keeps, self._windows = space, rounds, keeps, windows
        self._group = dict(zip(rounds.dims.tolist(), group.tolist(), strict=True))
        rules = space.rules
        self._slots = {
            (int(rules.level[s]), d, int(rules.kind[s])): s
            for d in range(_D)
            for s in range(rules.first[d], rules.first[d + 1])
        }

    def rows(self, chosen: Ints, pattern: Ints) -> Genes | None:
        """Return every mapping of one choice, options of shape [L, K] and patterns of shape [L]; None if too many."""
        factors = [self._factors(chosen, level, k) for level, k in np.ndindex(chosen.shape)]
        orders = [self._orders(chosen, pattern, level) for level in range(len(pattern))]
        if prod(map(len, factors)) * prod(map(len, orders)) > MOST:
            return None
        base = self._base(chosen)
        slots = [self._slots.get((level, int(self._rounds.dims[k]), TEMPORAL)) for level, k in np.ndindex(chosen.shape)]
        rows = []
        for ways in product(*factors):
            row = base.copy()
            for slot, factor in zip(slots, ways, strict=True):
                if slot is not None:
                    row[slot] = factor
            for order in product(*orders):
                row[self._space.slots : self._space.slots + _D * len(order)] = [d for level in order for d in level]
                rows.append(row.copy())
        return np.array(rows)

    def _base(self, chosen: Ints) -> Genes:
        """Return a row with the spatial factors and what is kept."""
        row = np.ones(self._space.width, dtype=np.int64)
        options = self._rounds.options
        for level, k in np.ndindex(chosen.shape):
            o, d = chosen[level, k], int(self._rounds.dims[k])
            for kind, factors in ((ON_X, options.along_x), (ON_Y, options.along_y)):
                if (slot := self._slots.get((level, d, kind))) is not None:
                    row[slot] = factors[o]
        row[-len(self._keeps) :] = self._keeps
        return row

    def _outside(self, chosen: Ints, level: int, k: int) -> int:
        if level + 1 == len(chosen):
            return 1
        return int(self._rounds.values[k, self._rounds.options.inside[chosen[level + 1, k]]])

    def _factors(self, chosen: Ints, level: int, k: int) -> list[int]:
        """Return the temporal factors that may differ in cost.

        The smallest factor that leaves so many rounds has the smallest tiles. A larger one is only better where a last
        round of one iteration spares what others need: its own, or that of a loop outside it.
        """
        outside, inside = self._outside(chosen, level, k), int(self._rounds.options.between[chosen[level, k]])
        least = -(-inside // outside)
        if inside == outside or outside == 1 or self._space.perfect:
            return [least]
        most = -(-inside // (outside - 1)) - 1
        if self._may_be_short_outside(chosen, level, k) or (self._windows and int(self._rounds.dims[k]) in _WINDOW):
            return list(range(least, most + 1))
        one, rest = divmod(inside - 1, outside - 1)
        return sorted({least, one}) if rest == 0 else [least]

    def _may_be_short_outside(self, chosen: Ints, level: int, k: int) -> bool:
        """Return whether a loop over the dimension outside a temporal loop may have a last round of one iteration."""
        options = self._rounds.options
        for number in range(level + 1, len(chosen)):
            o = int(chosen[number, k])
            outside, between, middle = self._outside(chosen, number, k), int(options.between[o]), int(options.middle[o])
            inside = int(self._rounds.values[k, options.inside[o]])
            if outside > 1 and between > outside and (between - 1) % (outside - 1) == 0:
                return True
            for inner, outer, factor in ((middle, between, options.along_y[o]), (inside, middle, options.along_x[o])):
                if outer > 1 and factor > 1 and inner - (outer - 1) * int(factor) == 1:
                    return True
        return False

    def _turning(self, chosen: Ints, level: int) -> list[int]:
        between = self._rounds.options.between
        return [
            int(d)
            for k, d in enumerate(self._rounds.dims)
            if int(between[chosen[level, k]]) > self._outside(chosen, level, k)
        ]

    def _orders(self, chosen: Ints, pattern: Ints, level: int) -> list[tuple[int, ...]]:
        """Return the orders of a level's loops that may differ in cost, innermost first, shape [8] each."""
        rules = self._space.rules
        held, count = int(rules.held[level]), int(rules.turning[level])
        order = rules.order[level].tolist()
        turning = self._turning(chosen, level)
        free = [d for d in order[held:count] if d in turning]
        rest = [d for d in order[held:count] if d not in turning]
        ways = self._ways(free, int(pattern[level]))
        return [(*order[:held], *way, *rest, *order[count:]) for way in ways]

    def _ways(self, free: list[int], rests: int) -> Iterator[tuple[int, ...]] | list[tuple[int, ...]]:
        inner = [d for d in free if self._group[d] == rests]
        outer = [d for d in free if self._group[d] != rests]
        if not self._windows:
            return [(*inner, *outer)]
        found: dict[tuple[frozenset[int], tuple[int, ...]], tuple[int, ...]] = {}
        for way in permutations(free):
            if inner and self._group[way[0]] != rests:
                continue
            found.setdefault(self._signature(way), way)
        return list(found.values())

    def _signature(self, way: tuple[int, ...]) -> tuple[frozenset[int], tuple[int, ...]]:
        """Return what of an order costs depend on: the loops at which a tensor rests, and those that slide inputs."""
        resting = []
        for d in way:
            if self._group[d] == ALL or self._group[d] != self._group[way[0]]:
                break
            resting.append(d)
        sliding: list[int] = []
        axis: set[int] = set()
        for d in way:
            if d != K:
                axis = axis or ({P, R} if d in (P, R) else {Q, S} if d in (Q, S) else set())
                if d not in axis:
                    break
            sliding.append(d)
        return frozenset(resting), tuple(sliding)
