"""The mappings of a layer onto a hierarchy as short rows of whole numbers; `walk` takes steps between them.

A row holds the factor that each loop would like (all but the outermost over a dimension, which takes what is left),
the order of each level's temporal loops, and what each level keeps. Every row is a mapping of the layer: from the
innermost loop outwards a factor f leaves ceil(n / f) rounds, the last of which is short where f does not divide n
(an imperfect factor: Ruby, Horeni et al., ISPASS 2022). Where only perfect factors are allowed, a loop takes the
largest divisor up to what it would like.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.kernel.nest import Array, Nest
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy, Level
from armillary.hardware.mapping import Axis, LevelMapping, Loop, Mapping, loop_bounds
from armillary.mapping.walk import ON_X, ON_Y, TEMPORAL, Rules, decode_some, held, split
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Genes = NDArray[np.int64]
_D = len(DIMENSIONS)
_UNLIMITED = 1 << 62
_AXES: tuple[Axis, ...] = ("", "X", "Y")
"""By kind of slot."""


class GeneSpace:
    """The mappings that a hierarchy's rules allow for a layer.

    Args:
        hierarchy: onto which.
        layer: of what.
        perfect: whether all factors must divide.

    Raises:
        ArmillaryError: if the rules leave some dimension without a loop.
    """

    def __init__(self, hierarchy: Hierarchy, layer: Layer, *, perfect: bool = False) -> None:
        self.hierarchy, self.layer, self.perfect = hierarchy, layer, perfect
        self.levels = hierarchy.inner_first
        self.bounds = loop_bounds(layer)
        self.rules = self._rules()
        self.slots = len(self.rules.level)
        self.width = self.slots + (_D + 1) * len(self.levels)

    @property
    def parts(self) -> NDArray[np.int64]:
        """The part of each column: a dimension's split, a level's order, or what a level keeps, shape [width]."""
        levels = np.arange(len(self.levels))
        of_dimensions = np.repeat(np.arange(_D), np.diff(self.rules.first))
        return np.concatenate([of_dimensions, _D + np.repeat(levels, _D), _D + len(levels) + levels])

    @property
    def is_point(self) -> bool:
        """Whether there is nothing to choose: no factor, no order, no bypass."""
        rules = self.rules
        return not len(rules.free) and not (rules.turning > 1).any() and not rules.choice.any()

    def _rules(self) -> Rules:
        slots = [self._slots(d) for d in DIMENSIONS]
        rows = [slot for of_one in slots for slot in of_one]
        first = np.cumsum([0, *map(len, slots)])
        last = set((first[1:] - 1).tolist())
        free = [
            i
            for i, (d, _, _, most, fixed, _) in enumerate(rows)
            if i not in last and not fixed and most > 1 and self.bounds[d] > 1
        ]
        ordered = [self._ordered(level) for level in self.levels]
        rest = [[d for d in DIMENSIONS if d not in order] for order in ordered]
        able = [_bits(level.keeps) for level in self.levels]
        choice = [_bits("".join(t for t in level.rules.may_bypass if t in level.keeps)) for level in self.levels]
        part = [int(level.part_of is not None) for level in self.levels]
        for number in np.flatnonzero(part).tolist():
            choice[number + 1] |= able[number + 1] & able[number]
        choice[-1] = 0
        columns = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 5).T
        return Rules(
            first=first,
            level=columns[0].copy(),
            kind=columns[1].copy(),
            most=columns[2].copy(),
            fixed=columns[3].copy(),
            reach=columns[4].copy(),
            free=np.array(free, dtype=np.int64),
            order=np.array([[DIMENSIONS.index(d) for d in a + b] for a, b in zip(ordered, rest, strict=True)]),
            held=np.array(
                [sum(d in level.rules.innermost for d in o) for level, o in zip(self.levels, ordered, strict=True)]
            ),
            turning=np.array(list(map(len, ordered))),
            able=np.array(able),
            choice=np.array(choice),
            part=np.array(part),
            perfect=self.perfect,
        )

    def _slots(self, dimension: str) -> list[tuple[str, int, int, int, int, int]]:
        """Return the loops that a dimension may have, innermost first: itself, level, kind, most, fixed, reach."""
        bound = self.bounds[dimension]
        reaches = [level.rules.max_tile.get(dimension, _UNLIMITED) for level in self.levels]
        found = []
        for number, level in enumerate(self.levels):
            reach = min(reaches[number:])
            for kind, allowed, fanout in (
                (ON_X, level.rules.spatial_x, level.fanout[0]),
                (ON_Y, level.rules.spatial_y, level.fanout[1]),
            ):
                if dimension in allowed and fanout > 1 and bound > 1:
                    found.append((dimension, number, kind, fanout, 0, reach))
            if dimension in level.rules.temporal:
                fixed = level.rules.factors.get(dimension, 0)
                found.append((dimension, number, TEMPORAL, _UNLIMITED, fixed, reach))
        if not found and bound > 1:
            raise ArmillaryError(
                f"layer {self.layer.name}: the rules leave no way to split {dimension}={bound} over levels "
                f"{[level.name for level in self.levels]}"
            )
        return found

    def _ordered(self, level: Level) -> list[str]:
        """Return the dimensions whose temporal loops can turn at a level, those that the rules order first."""
        here = [
            d
            for d in DIMENSIONS
            if self.bounds[d] > 1 and d in level.rules.temporal and level.rules.factors.get(d) != 1
        ]
        first = [d for d in level.rules.innermost if d in here]
        return first + [d for d in here if d not in first]

    def random(self, n: int, rng: np.random.Generator) -> Genes:
        """Return n rows: each loop a random share of its dimension, orders and bypasses uniform, shape [n, width]."""
        return self.of_cube(rng.random((n, self.width)))

    def of_cube(self, points: Array) -> Genes:
        """Return the rows of points of the unit cube, shape [n, width]."""
        rules, genes = self.rules, np.ones(points.shape, dtype=np.int64)
        for d, dimension in enumerate(DIMENSIONS):
            own = slice(rules.first[d], rules.first[d + 1])
            # Logarithms of uniform numbers, normalised, are uniform shares of the bound's logarithm.
            shares = -np.log(np.maximum(points[:, own], 1e-12))
            shares /= shares.sum(axis=1, keepdims=True)
            genes[:, own] = np.rint(self.bounds[dimension] ** shares)
        orders = points[:, self.slots : -len(self.levels)].reshape(len(points), len(self.levels), _D)
        for number in range(len(self.levels)):
            at, held, turning = self.slots + number * _D, rules.held[number], rules.turning[number]
            free = rules.order[number, held:turning]
            genes[:, at : at + _D] = rules.order[number]
            genes[:, at + held : at + turning] = free[np.argsort(orders[:, number, : len(free)], axis=1)]
        passed = (points[:, -len(self.levels) :] * 8).astype(np.int64) & rules.choice
        genes[:, -len(self.levels) :] = rules.able & ~passed
        for number in np.flatnonzero(rules.part).tolist():
            self._share(genes[:, -len(self.levels) :], number, points[:, -len(self.levels) + number])
        return genes

    def _share(self, bits: Genes, inner: int, points: Array) -> None:
        """Give one tensor of a memory to the part that has none, in rows of shape [n, L]; points choose which."""
        outer, both = inner + 1, int(self.rules.able[inner] & self.rules.able[inner + 1])
        for row, point in zip(bits, (points * 8 % 1).tolist(), strict=True):
            if held(row, self.rules, outer) < 0:
                free = (int(row[outer]) or both) & both
                some = [1 << t for t in range(len(TENSORS)) if free >> t & 1]
                given = some[int(point * len(some))] if some else 0
                row[outer] ^= given
                row[inner] |= given

    def keeps(self) -> list[tuple[int, ...]]:
        """Return every choice of what the levels keep, as a row says it: bits by level."""
        ways = [
            [able & ~passed for passed in range(8) if not passed & ~choice]
            for able, choice in zip(self.rules.able.tolist(), self.rules.choice.tolist(), strict=True)
        ]
        found = {self.held(way): way for way in reversed(list(product(*ways)))}
        return [way for kept, way in reversed(found.items()) if min(kept) >= 0]

    def held(self, bits: Sequence[int]) -> tuple[int, ...]:
        """Return what each level holds, as bits, of what a row says of the levels; see `walk.held`."""
        return tuple(held(bits, self.rules, level) for level in range(len(self.levels)))

    def outermost(self) -> Genes:
        """Return the row whose loops all turn as far outside as the rules allow, shape [1, width]."""
        genes = self.of_cube(np.zeros((1, self.width)))
        genes[:, : self.slots] = 1
        return genes

    def row(self, mapping: Mapping) -> Genes:
        """Return the row of a mapping that keeps to the rules, shape [1, width]."""
        gene, levels, rules = self.outermost(), mapping.inner_first, self.rules
        factors = {(n, loop.axis, loop.dimension): loop.factor for n, one in enumerate(levels) for loop in one.loops}
        for slot, d in enumerate(np.repeat(np.arange(_D), np.diff(rules.first)).tolist()):
            axis = _AXES[int(rules.kind[slot])]
            gene[0, slot] = factors.get((int(rules.level[slot]), axis, DIMENSIONS[d]), 1)
        for number, level in enumerate(levels):
            order, fixed = rules.order[number].tolist(), rules.order[number, : rules.held[number]].tolist()
            turning = [DIMENSIONS.index(loop.dimension) for loop in reversed(level.temporal)]
            at = self.slots + number * _D
            gene[0, at : at + _D] = list(dict.fromkeys([*fixed, *turning, *order]))
            outer = _bits(levels[number + 1].keeps) if rules.part[number] else 0
            gene[0, self.width - len(levels) + number] = _bits(level.keeps) | outer & int(rules.able[number])
        return gene

    def nests(self, genes: Genes) -> tuple[Nest, NDArray[np.bool_]]:
        """Return rows as the kernel takes them, stacked, and which keep to the rules of factors, shape [n]."""
        nests = blank(len(genes), len(self.levels))
        sound = np.empty(len(genes), dtype=bool)
        decode_some(genes, self.rules, bounds_of(self.layer), nests, sound)
        return nests, sound

    def mapping(self, gene: Genes) -> Mapping:
        """Return the mapping of one row, shape [width]; loops that do not turn are left out."""
        orders = gene[self.slots : -len(self.levels)].reshape(-1, _D).tolist()
        kept = self.held(gene[-len(self.levels) :].tolist())
        factors, lasts, chain = self._chain(gene)
        levels = []
        for number in range(len(self.levels) - 1, -1, -1):
            loops: dict[int, dict[int, Loop]] = {TEMPORAL: {}, ON_X: {}, ON_Y: {}}
            for slot, d in enumerate(chain):
                if self.rules.level[slot] == number and factors[slot] > 1:
                    kind, residual = int(self.rules.kind[slot]), lasts[slot] % factors[slot]
                    loops[kind][d] = Loop(DIMENSIONS[d], factors[slot], _AXES[kind], residual)
            temporal = tuple(loops[TEMPORAL][d] for d in reversed(orders[number]) if d in loops[TEMPORAL])
            spatial = (*loops[ON_X].values(), *loops[ON_Y].values())
            keeps = "".join(t for t in TENSORS if kept[number] & _bits(t))
            levels.append(LevelMapping(keeps, temporal, spatial))
        return Mapping(tuple(levels))

    def _chain(self, gene: Genes) -> tuple[list[int], list[int], list[int]]:
        """Return the factor, the iterations of the last round and the dimension of every slot."""
        factors, lasts = np.ones(self.slots, dtype=np.int64), np.ones(self.slots, dtype=np.int64)
        chain = np.repeat(np.arange(_D), np.diff(self.rules.first)).tolist()
        for d in range(_D):
            split(gene, self.rules, d, self.bounds[DIMENSIONS[d]], factors, lasts)
        return factors.tolist(), lasts.tolist(), chain


def bounds_of(layer: Layer) -> NDArray[np.int64]:
    """Return how far each loop of a layer runs, shape [8]."""
    return np.array(list(loop_bounds(layer).values()), dtype=np.int64)


def blank(*shape: int) -> Nest:
    """Return nests to decode into, of a shape [..., levels]: no loop turns, spatial loops in the dimensions' order."""
    t, t_last, s, s_last, y, order = (np.ones((*shape, _D)) for _ in range(6))
    across = np.broadcast_to(np.arange(_D, dtype=float), (*shape, _D))
    return Nest(t, t_last, s, s_last, y, order, across.copy(), across.copy(), np.ones((*shape, len(TENSORS))))


def _bits(tensors: str) -> int:
    return sum(1 << TENSORS.index(t) for t in tensors)
