"""The mappings of a layer onto a hierarchy, each a short row of integers.

A mapping is coded by eight numbers that say how each dimension's bound is split over its loops, and
per level one number for the order of the temporal loops and one for what bypasses it. Codes make
sampling uniform, neighbourhoods small, and a hundred million mappings fit into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from math import comb, prod

import numpy as np
import scipy  # whose parts load when they are used, statistics slowly
import torch
from numpy.typing import NDArray

from armillary.cost_model.batch import MappingBatch
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy, Level
from armillary.hardware.mapping import Axis, LevelMapping, Loop, Mapping, loop_bounds
from armillary.mapping.walk import ON_X, ON_Y, TEMPORAL
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_MOST_SPLITS = 2_000_000
AXES: tuple[Axis, Axis] = ("X", "Y")


@dataclass(frozen=True)
class Slot:
    """A loop that a dimension may have: its level (0 the innermost) and whether it is temporal, on X or on Y."""

    level: int
    kind: int


@dataclass(frozen=True)
class Splits:
    """All ways to split a dimension's bound over its slots, int64, shape [ways, slots]."""

    slots: tuple[Slot, ...]
    factors: NDArray[np.int64]


class MapSpace:
    """Every mapping that a hierarchy's rules allow for a layer, whether or not its tiles fit.

    Splits respect the rules, the largest tiles and each single fan-out; capacities and the product of several
    loops on one mesh axis are for the cost model to judge.

    Raises:
        ArmillaryError: if the rules leave some dimension without a split, or there are too many to list.
    """

    def __init__(self, hierarchy: Hierarchy, layer: Layer) -> None:
        self.hierarchy, self.layer = hierarchy, layer
        self.levels = hierarchy.inner_first
        bounds = loop_bounds(layer)
        self.splits = tuple(_splits(self.levels, d, bounds[d], layer) for d in DIMENSIONS)
        self._turning = [d for d in DIMENSIONS if bounds[d] > 1]
        self.orders = tuple(_orders(level, self._turning) for level in self.levels)
        outermost = len(self.levels) - 1
        self.keeps = tuple(_keeps(level, number == outermost) for number, level in enumerate(self.levels))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many values each code has, shape [8 + 2 x levels]: splits, then orders, then bypasses."""
        counts = [len(s.factors) for s in self.splits]
        return np.array([*counts, *map(len, self.orders), *map(len, self.keeps)], dtype=np.int64)

    @property
    def size(self) -> int:
        """How many mappings there are."""
        return prod(int(n) for n in self.sizes)

    def __repr__(self) -> str:
        return f"{self.size:,} mappings of {self.layer.name} onto {self.hierarchy.name}"

    def random(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return n codes, uniform and independent, shape [n, codes]."""
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)))

    def sobol(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return n codes of a scrambled Sobol sequence, shape [n, codes]."""
        sequence = scipy.stats.qmc.Sobol(len(self.sizes), scramble=True, seed=seed)
        points = sequence.random_base2(max(0, (n - 1).bit_length()))[:n]
        return np.minimum((points * self.sizes).astype(np.int64), self.sizes - 1)

    def all(self, first: int, last: int) -> NDArray[np.int64]:
        """Return codes number first..last-1 of the space in lexicographic order, shape [last - first, codes]."""
        return numbered(self.sizes, first, last)

    def decode(self, codes: NDArray[np.int64]) -> MappingBatch:
        """Return coded mappings, shape [n, codes], as tensors."""
        shape = (len(self.levels), len(DIMENSIONS), len(codes))
        temporal, spatial = np.ones(shape), np.ones(shape)
        along_y = np.ones(shape)
        for d, splits in enumerate(self.splits):
            factors = splits.factors[codes[:, d]]
            for slot, factor in zip(splits.slots, factors.T, strict=True):
                if slot.kind == TEMPORAL:
                    temporal[slot.level, d] = factor
                else:
                    spatial[slot.level, d] *= factor
                    if slot.kind == ON_Y:
                        along_y[slot.level, d] = factor
        at = len(DIMENSIONS)
        place = np.stack([orders[codes[:, at + i]].T for i, orders in enumerate(self.orders)]).astype(float)
        at += len(self.levels)
        keeps = np.stack([kept[codes[:, at + i]].T for i, kept in enumerate(self.keeps)])
        spatial_place = np.broadcast_to(np.arange(shape[1], dtype=float)[:, None], (shape[0], 2, *shape[1:])).copy()
        return MappingBatch(*map(torch.from_numpy, (temporal, spatial, along_y, place, spatial_place, keeps)))

    def genes(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return coded mappings, shape [n, codes], as the rows of a `GeneSpace`, shape [n, width]."""
        at = len(DIMENSIONS)
        factors = [splits.factors[codes[:, d]] for d, splits in enumerate(self.splits)]
        orders = [orders[codes[:, at + i]].argsort(axis=1) for i, orders in enumerate(self.orders)]
        at += len(self.levels)
        bits = 1 << np.arange(len(TENSORS))
        keeps = [(kept[codes[:, at + i]] @ bits)[:, None] for i, kept in enumerate(self.keeps)]
        return np.concatenate([*factors, *orders, *keeps], axis=1)

    def mapping(self, code: NDArray[np.int64]) -> Mapping:
        """Return one coded mapping, shape [codes]; loops that do not turn are left out."""
        batch = self.decode(code[None])
        levels = []
        for number in range(len(self.levels) - 1, -1, -1):
            keeps = "".join(t for t, kept in zip(TENSORS, batch.keeps[number, :, 0].tolist(), strict=True) if kept)
            outer_first = np.argsort(-batch.place[number, :, 0].numpy())
            temporal = [Loop(DIMENSIONS[d], int(batch.temporal[number, d, 0])) for d in outer_first]
            along_y = batch.along_y[number, :, 0]
            along_x = batch.spatial[number, :, 0] / along_y
            spatial = [
                Loop(DIMENSIONS[d], int(factors[d]), axis)
                for axis, factors in zip(AXES, (along_x, along_y), strict=True)
                for d in range(len(DIMENSIONS))
            ]
            turning = (tuple(loop for loop in loops if loop.factor > 1) for loops in (temporal, spatial))
            levels.append(LevelMapping(keeps, *turning))
        return Mapping(tuple(levels))


def numbered(sizes: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
    """Return codes number first..last-1 of all with these sizes in lexicographic order, shape [last - first, codes]."""
    left = np.arange(first, last, dtype=np.int64)
    codes = np.empty((len(left), len(sizes)), dtype=np.int64)
    for column in range(len(sizes) - 1, -1, -1):
        left, codes[:, column] = np.divmod(left, sizes[column])
    return codes


def _splits(levels: tuple[Level, ...], dimension: str, bound: int, layer: Layer) -> Splits:
    slots, limits = [], []
    for number, level in enumerate(levels):
        for kind, allowed, fanout in (
            (ON_X, level.rules.spatial_x, level.fanout[0]),
            (ON_Y, level.rules.spatial_y, level.fanout[1]),
        ):
            if dimension in allowed and fanout > 1 and bound > 1:
                slots.append(Slot(number, kind))
                limits.append((1, fanout))
        if dimension in level.rules.temporal:
            fixed = level.rules.factors.get(dimension)
            slots.append(Slot(number, TEMPORAL))
            limits.append((fixed, fixed) if fixed else (1, bound))
    factors = factorizations(bound, limits)
    kept = factors[_within_tiles(levels, dimension, slots, factors)]
    if not len(kept):
        raise ArmillaryError(
            f"layer {layer.name}: the rules leave no way to split {dimension}={bound} over levels "
            f"{[level.name for level in levels]}"
        )
    return Splits(tuple(slots), kept)


def _within_tiles(
    levels: tuple[Level, ...], dimension: str, slots: list[Slot], factors: NDArray[np.int64]
) -> NDArray[np.bool_]:
    ok = np.ones(len(factors), dtype=bool)
    for number, level in enumerate(levels):
        most = level.rules.max_tile.get(dimension)
        if most is not None:
            inside = [i for i, slot in enumerate(slots) if slot.level <= number]
            ok &= factors[:, inside].prod(axis=1) <= most
    return ok


def factorizations(bound: int, limits: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the ordered factorizations of a bound into factors within limits, shape [ways, slots]."""
    if not limits:
        return np.ones((1 if bound == 1 else 0, 0), dtype=np.int64)
    rows = np.ones((1, len(limits)), dtype=np.int64)
    for prime, power in primes(bound):
        ways = np.array(list(_compositions(power, len(limits))), dtype=np.int64).reshape(-1, len(limits))
        if len(rows) * len(ways) > _MOST_SPLITS:
            raise ArmillaryError(
                f"a bound of {bound} splits in more than {_MOST_SPLITS:,} ways over {len(limits)} loops; "
                "allow fewer loops with the levels' rules"
            )
        rows = (rows[:, None] * prime ** ways[None]).reshape(-1, len(limits))
        rows = rows[(rows <= [most for _, most in limits]).all(axis=1)]
    return rows[(rows >= [least for least, _ in limits]).all(axis=1)]


def primes(n: int) -> list[tuple[int, int]]:
    """Return the prime factors of a number with their powers."""
    found = []
    prime = 2
    while n > 1:
        power = 0
        while n % prime == 0:
            n //= prime
            power += 1
        if power:
            found.append((prime, power))
        prime += 1 if prime * prime <= n or n == 1 else n - prime
    return found


def _compositions(total: int, parts: int) -> list[list[int]]:
    """Return the ways to write a total as a sum of so many numbers, in order."""
    if parts == 0:
        return [[]] if total == 0 else []
    bars = combinations(range(total + parts - 1), parts - 1)
    ways = [[b - a - 1 for a, b in zip((-1, *cut), (*cut, total + parts - 1), strict=True)] for cut in bars]
    assert len(ways) == comb(total + parts - 1, parts - 1)
    return ways


def _orders(level: Level, turning: list[str]) -> NDArray[np.int64]:
    """Return every order of the loops that can turn here: the place of each dimension, shape [orders, 8]."""
    here = [d for d in turning if d in level.rules.temporal and level.rules.factors.get(d) != 1]
    first = [d for d in level.rules.innermost if d in here]
    rest = [d for d in here if d not in first]
    never = [d for d in DIMENSIONS if d not in here]
    rows = []
    for order in permutations(rest):
        places = {d: i for i, d in enumerate([*first, *order, *never])}
        rows.append([places[d] for d in DIMENSIONS])
    return np.array(rows, dtype=np.int64)


def _keeps(level: Level, outermost: bool) -> NDArray[np.bool_]:
    """Return what a level may keep, shape [choices, tensors]; the outermost keeps everything."""
    rows = []
    free = [] if outermost else [t for t in level.rules.may_bypass if t in level.keeps]
    for number in range(2 ** len(free)):
        passed = {t for i, t in enumerate(free) if number >> i & 1}
        rows.append([t in level.keeps and t not in passed for t in TENSORS])
    return np.array(rows, dtype=bool)
