"""How a dimension's loops can be split, by the rounds that they leave: what the proof branches on.

From the innermost loop outwards, a factor f leaves ceil(n / f) rounds of n. So the rounds left outside any loop are
among the ceilings of n by a whole number: 63 values for 1,024. The proof decides rounds, the outermost first. A
mapping's tiles are then known up to the fewest iterations that make so many rounds.

Three numbers of rounds stand around a level: outside its temporal loop, between that and its spatial loops, and inside
both. An option is a choice of the last two and of the spatial factors for one dimension, given the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.mapping.genes import GeneSpace
from armillary.mapping.proven.listing import count_or_list
from armillary.mapping.walk import ON_X, ON_Y, TEMPORAL

Ints = NDArray[np.int64]
_D = len(DIMENSIONS)


class Options(NamedTuple):
    """Choices of every level and dimension; K dimensions, L levels, M numbers of rounds at most, n options.

    Attributes:
        first: number of the first option, shape [L, K, M + 1]; those of number i end where those of i + 1 begin.
        between: rounds between the temporal and the spatial loops, shape [n].
        middle: rounds between the spatial loops on Y and X, shape [n].
        inside: rounds inside all loops of the level, as a number of `values`, shape [n].
        along_x: spatial factor on X, shape [n].
        along_y: on Y, shape [n].
    """

    first: Ints
    between: Ints
    middle: Ints
    inside: Ints
    along_x: Ints
    along_y: Ints


@dataclass(frozen=True)
class Rounds:
    """The splits of a layer's dimensions that turn.

    Attributes:
        dims: their numbers, shape [K].
        bounds: how far they run, shape [K].
        counts: how many numbers of rounds each may leave, shape [K].
        values: these numbers, rising, shape [K, M]; the last ones of a row are not used.
        options: of every level.
    """

    dims: Ints
    bounds: Ints
    counts: Ints
    values: Ints
    options: Options

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a table over all states: a number of rounds per dimension."""
        return tuple(self.counts.tolist())

    @property
    def strides(self) -> Ints:
        """Of such a table, flat, shape [K]."""
        return np.array([int(np.prod(self.shape[k + 1 :])) for k in range(len(self.dims))], dtype=np.int64)

    def extents(self, k: int) -> NDArray[np.float64]:
        """Return the fewest iterations of a tile that leave each number of rounds, shape [counts]."""
        return np.asarray(np.ceil(self.bounds[k] / self.values[k, : self.counts[k]]))


def rounds_of(space: GeneSpace) -> Rounds:
    """Return the splits that a space's rules allow; capacities and the product over an axis are not looked at."""
    dims = sorted((d for d in range(_D) if space.bounds[DIMENSIONS[d]] > 1), key=lambda d: _by_axis(space, d))
    bounds = [space.bounds[DIMENSIONS[d]] for d in dims]
    values = [_values(bound, space.perfect) for bound in bounds]
    most, levels = max(map(len, values), default=1), len(space.levels)
    first = np.zeros((levels, len(dims), most + 1), dtype=np.int64)
    columns: list[list[Ints]] = []
    count = 0
    for level in range(levels):
        for k, d in enumerate(dims):
            given, ends = _of_level(space, level, d, bounds[k], values[k])
            first[level, k, : len(ends)] = count + ends
            first[level, k, len(ends) :] = count + ends[-1]
            count += int(ends[-1])
            columns.append(given)
    joined = [np.concatenate(column) if columns else np.zeros(0, np.int64) for column in zip(*columns, strict=True)]
    padded = np.zeros((len(dims), most), dtype=np.int64)
    for k, row in enumerate(values):
        padded[k, : len(row)] = row
    options = Options(first, *joined) if joined else Options(first, *(np.zeros(0, np.int64),) * 5)
    options = _only_complete(options, np.array(list(map(len, values)), dtype=np.int64))
    return Rounds(
        np.array(dims, dtype=np.int64), np.array(bounds, dtype=np.int64), np.array(list(map(len, values))), padded,
        options,
    )  # fmt: skip


def _by_axis(space: GeneSpace, d: int) -> tuple[bool, bool]:
    """Return a key that puts dimensions first which may lie on X, then those on Y.

    How many instances an axis uses is decided with its last dimension, and bounds the delay of all that follow.
    """
    slots = slice(space.rules.first[d], space.rules.first[d + 1])
    kinds, most = space.rules.kind[slots], space.rules.most[slots]
    return tuple(not ((kinds == axis) & (most > 1)).any() for axis in (ON_X, ON_Y))  # type: ignore[return-value]


def _values(bound: int, perfect: bool) -> Ints:
    factors = np.arange(1, bound + 1, dtype=np.int64)
    if perfect:
        return np.asarray(factors[bound % factors == 0])
    return np.unique(-(-bound // factors))


def _of_level(space: GeneSpace, level: int, d: int, bound: int, values: Ints) -> tuple[list[Ints], Ints]:
    """Return the options of one level and dimension, and where those of each number of rounds outside begin."""
    rules = space.rules
    slots = {int(rules.kind[s]): s for s in range(rules.first[d], rules.first[d + 1]) if rules.level[s] == level}
    turns = TEMPORAL in slots
    fixed = int(rules.fixed[slots[TEMPORAL]]) if turns else 0
    reach = min(
        [space.levels[n].rules.max_tile.get(DIMENSIONS[d], bound) for n in range(level, len(space.levels))],
        default=bound,
    )
    most = [int(rules.most[slots[kind]]) if kind in slots else 1 for kind in (ON_X, ON_Y)]
    return _listed(values, bound, turns, fixed, reach, most[0], most[1], space.perfect, level == 0)


def _listed(
    values: Ints,
    bound: int,
    turns: bool,
    fixed: int,
    reach: int,
    most_x: int,
    most_y: int,
    perfect: bool,
    innermost: bool,
) -> tuple[list[Ints], Ints]:
    ends = np.zeros(len(values) + 1, dtype=np.int64)
    rules = (values, bound, turns, fixed, reach, most_x, most_y, perfect, innermost)
    count = count_or_list(*rules, np.zeros((5, 1), dtype=np.int64), ends, False)
    columns = np.zeros((5, max(1, count)), dtype=np.int64)
    count_or_list(*rules, columns, ends, True)
    return list(columns[:, :count]), ends


def _only_complete(options: Options, counts: Ints) -> Options:
    """Leave out options that no choice of the levels inside completes."""
    levels, dims, most = options.first.shape
    kept = np.ones(len(options.inside), dtype=bool)
    for k in range(dims):
        can = np.zeros(most, dtype=bool)
        can[counts[k] - 1] = True
        for level in range(levels):
            before, can = can, np.zeros(most, dtype=bool)
            for i in range(int(counts[k])):
                some = slice(options.first[level, k, i], options.first[level, k, i + 1])
                kept[some] = before[options.inside[some]]
                can[i] = kept[some].any()
    return _kept(options, kept)


def kept_options(rounds: Rounds, kept: NDArray[np.bool_]) -> Rounds:
    """Return the splits with some of their options, shape [n], and of these only such as others complete."""
    return replace(rounds, options=_only_complete(_kept(rounds.options, kept), rounds.counts))


def _kept(options: Options, kept: NDArray[np.bool_]) -> Options:
    place = np.concatenate([[0], np.cumsum(kept)])
    return Options(place[options.first], *(column[kept] for column in options[1:]))
