"""What all boundaries inside a level cost together at least, for every state at once.

`tables` bounds each boundary by itself: the state that is best for one may be far from that which is best for the next.
Here the boundaries are a chain, from the innermost outwards: the rounds at a boundary are at least those outside it,
and what is further inside costs at least what a chain from there on does. A tensor that rests at a boundary may go on
to rest at those further inside, if only loops turn that it does not need: that is a run. Runs of every length are told
apart, as a tensor comes anew only with the rounds outside the level where its run begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import Array
from armillary.mapping.proven.rounds import Ints, Rounds
from armillary.mapping.proven.terms import Terms

_compiled, _ = compilers(Path(__file__))
_SAFE = 1 - 1e-6
"""What rounding to single precision may add is taken off."""
Floats = NDArray[np.float32]


class Least(NamedTuple):
    """What the options of a level and dimension have in common; L levels, K dimensions, M numbers of rounds at most.

    Attributes:
        inside: the fewest rounds inside a level for each number outside, as places in `values`; -1 where there is no
            option, shape [L, K, M].
        spread: the fewest instances that a level gives a dimension in a whole round, shape [L, K].
        once: likewise in the only round, shape [L, K].
        most: the most instances, shape [L, K].
    """

    inside: Ints
    spread: Array
    once: Array
    most: Array


def least_of(rounds: Rounds) -> Least:
    """Return what the options of every level and dimension have in common."""
    first, o = rounds.options.first, rounds.options
    levels, dims, most = first.shape
    inside = np.full((levels, dims, most), -1, dtype=np.int64)
    spread, once, widest = (np.ones((levels, dims)) for _ in range(3))
    for level, k in np.ndindex(levels, dims):
        for i in range(int(rounds.counts[k])):
            begin, end = first[level, k, i], first[level, k, i + 1]
            if end > begin:
                inside[level, k, i] = o.inside[begin:end].min()
        some = slice(first[level, k, 0], first[level, k, -1])
        x, y = o.along_x[some], o.along_y[some]
        if len(x):
            spread[level, k], widest[level, k] = (x * y).min(), (x * y).max()
            once[level, k] = np.where((x > 1) & (y > 1), (y - 1) * x + 1, x * y).min()
    return Least(inside, spread, once, widest)


def place(boundary: int, length: int) -> int:
    """Return where the runs that begin at a level and rest at so many boundaries from it inwards stand in a table."""
    return boundary * (boundary - 1) // 2 + length - 1


class Resting(NamedTuple):
    """What resting tensors cost where their runs begin, see `chains_of`.

    Attributes:
        costs: by the level where the run begins, the boundary and the tensor, for every state outside the level.
        through: by the same, whether the tiles of a state inside the level may fit so far inside.
    """

    costs: Mapping[tuple[int, int, int], Array]
    through: Mapping[tuple[int, int, int], NDArray[np.bool_]]


def chains_of(
    rounds: Rounds, least: Least, others: Mapping[tuple[int, int], Array], resting: Resting
) -> tuple[Floats, float]:
    """Return the least costs of all boundaries from one inwards, and those of all.

    Args:
        rounds: of the layer's dimensions.
        least: what their options have in common.
        others: of a boundary and the tensor that rests there, what crosses it but for that tensor, for every state;
            infinite where tiles do not fit.
        resting: what the resting tensors cost.

    Returns:
        By `place` and resting tensor, for every state at the outermost boundary of a run, what crosses there and further
        inside but for the run's tensor as long as it rests, shape [places, 3, states]; and the least of all boundaries.
    """
    shape, levels = rounds.shape, least.inside.shape[0]
    chain = np.zeros((place(levels, 1), 3, int(np.prod(shape))), dtype=np.float32)
    inner: Array | Floats = np.zeros((1,) * len(shape), dtype=np.float32)
    for b in range(1, levels):
        best = np.full(shape, np.inf, dtype=np.float32)
        for t in range(3):
            own = np.zeros((1,) * len(shape))
            for length in range(1, b + 1):
                whole = others[b, t] + inner
                if length > 1:
                    further = chain[place(b - 1, length - 1), t].reshape(shape)
                    whole = others[b, t] + _from_outside(further, least.inside[b - 1])
                    whole = np.where(resting.through[b, b - length + 1, t], whole, np.inf)
                row = chain[place(b, length), t]
                row[:] = np.broadcast_to(whole * _SAFE, shape).ravel()
                _least_further(row, rounds.counts)
                own = own + resting.costs[b, b - length + 1, t]
                best = np.minimum(best, own + _from_outside(row.reshape(shape), least.inside[b]))
        inner = best * np.float32(_SAFE)
    return chain, float(inner[(0,) * len(shape)])


def _from_outside(table: Floats, inside: Ints) -> Floats:
    """Return for every state outside a level the cost of the least state inside it."""
    reach = [row[:count] for row, count in zip(inside, table.shape, strict=True)]
    found = table[np.ix_(*(np.maximum(row, 0) for row in reach))]
    for k, row in enumerate(reach):
        if (row < 0).any():
            found[(slice(None),) * k + (row < 0,)] = np.inf
    return found


@_compiled
def _least_further(row, counts):
    """Put the least of all states with at least so many rounds in place of every state's."""
    stride = len(row)
    for k in range(len(counts)):
        block = stride
        stride //= counts[k]
        for begin in range(0, len(row), block):
            for at in range(begin + block - stride - 1, begin - 1, -1):
                if row[at + stride] < row[at]:
                    row[at] = row[at + stride]


def spread_rounds(rounds: Array, spread: float, once: float, *, perfect: bool) -> Array:
    """Return how often a tensor arrives at least at the instances of a level that a dimension is spread over.

    Args:
        rounds: in which it arrives at the level.
        spread: instances in every whole round.
        once: instances if there is only one.
        perfect: whether the last round is whole, too.
    """
    if perfect:
        return rounds * spread
    return np.where(rounds == 1, once, (rounds - 1) * spread + 1)


def rest_costs(terms: Terms, outside: Array, arriving: Array, read: Array, b: int, t: int, words: float) -> Array:
    """Return the energy of a tensor that rests at a boundary.

    Args:
        terms: what crosses boundaries.
        outside: the most instances, side by side outside a level, that add to one output, shape [L].
        arriving: how often it arrives inside the boundary.
        read: how often it is read outside.
        b: the boundary.
        t: the tensor.
        words: its elements.
    """
    u, m = int(terms.source[b, t]), b - 1
    if u < 0:
        return np.zeros_like(arriving)
    if t != 2:
        return words * (read * terms.read_pj[u, t] + arriving * terms.fill_pj[m, t])
    again, came = np.maximum(0.0, read - outside[u]), np.maximum(0.0, arriving - outside[m])
    return words * (read * terms.update_pj[u] + again * terms.read_pj[u, t] + came * terms.fill_pj[m, t])
