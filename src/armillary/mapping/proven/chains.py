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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import Array
from armillary.mapping.proven.rounds import Ints, Rounds
from armillary.mapping.proven.terms import OUTPUTS, Terms

_compiled, _ = compilers(Path(__file__))
_SAFE = np.float32(1 - 1e-6)
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
        By `place` and resting tensor, for every state at the outermost boundary of a run, what crosses there and
        further inside but for the run's tensor as long as it rests, shape [places, 3, states]; and the least of all
        boundaries.
    """
    shape, levels = rounds.shape, least.inside.shape[0]
    size = int(np.prod(shape))
    chain = np.zeros((place(levels, 1), 3, size), dtype=np.float32)
    inner, jump = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.int64)
    for b in range(1, levels):
        before, jump = jump, _from_outside(rounds, least.inside[b])
        best = np.full(size, np.inf, dtype=np.float32)
        for t in range(3):
            own = np.zeros((1,) * len(shape))
            passing = _flat(others[b, t], shape)
            for length in range(1, b + 1):
                row = chain[place(b, length), t]
                if length == 1:
                    np.add(passing, inner, out=row)
                else:
                    _go_on(row, passing, chain[place(b - 1, length - 1), t], before)
                    row[~_flat(resting.through[b, b - length + 1, t], shape)] = np.inf
                least_further(row, rounds.counts)
                own = own + resting.costs[b, b - length + 1, t]
                _lower(best, _flat(own, shape), row, jump)
        inner = best * _SAFE
    return chain, float(inner[0])


def _flat(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array that broadcasts to all states flat, floats in single precision."""
    kind = np.float32 if array.dtype == np.float64 else array.dtype
    return np.broadcast_to(array.astype(kind), shape).ravel()


def _from_outside(rounds: Rounds, inside: Ints) -> Ints:
    """Return for every state outside a level the number of the least state inside it, -1 where there is none."""
    found = np.zeros(rounds.shape, dtype=np.int64)
    for k, (count, stride) in enumerate(zip(rounds.counts.tolist(), rounds.strides.tolist(), strict=True)):
        row = np.where(inside[k, :count] < 0, -rounds.strides[0] * rounds.counts[0], inside[k, :count] * stride)
        found += row.reshape([-1 if i == k else 1 for i in range(len(rounds.counts))])
    return np.maximum(found, -1).ravel()


@_compiled
def _go_on(row: Floats, passing: Floats, further: Floats, jump: Ints) -> None:
    """Add what is further inside, from the least state inside the level between."""
    for i in range(len(row)):
        row[i] = passing[i] + further[jump[i]] if jump[i] >= 0 else np.inf


@_compiled
def _lower(best: Floats, own: Floats, row: Floats, jump: Ints) -> None:
    """Lower what is best of every state outside a level to a run's cost, if that is less."""
    for i in range(len(best)):
        if jump[i] >= 0:
            best[i] = min(best[i], own[i] + row[jump[i]])


@_compiled
def least_further(row: Floats, counts: Ints) -> None:
    """Put the least of all states with at least so many rounds in place of every state's, less what rounding adds."""
    stride = len(row)
    for k in range(len(counts)):
        block = stride
        stride //= counts[k]
        for begin in range(0, len(row), block):
            for at in range(begin + block - stride - 1, begin - 1, -1):
                row[at] = min(row[at], row[at + stride])
    for i in range(len(row)):
        row[i] *= _SAFE


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
    if t != OUTPUTS:
        return np.asarray(words * (read * terms.read_pj[u, t] + arriving * terms.fill_pj[m, t]))
    again, came = np.maximum(0.0, read - outside[u]), np.maximum(0.0, arriving - outside[m])
    cost = read * terms.update_pj[u] + again * terms.read_pj[u, t] + came * terms.fill_pj[m, t]
    return np.asarray(words * cost)
