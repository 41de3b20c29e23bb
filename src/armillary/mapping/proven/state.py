"""The state of a branch and bound: what does not change, what has been decided, and how to read both."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import Array
from armillary.mapping.proven.chains import Least
from armillary.mapping.proven.rounds import Ints, Rounds
from armillary.mapping.proven.tables import Tables
from armillary.mapping.proven.terms import Terms

_, _inlined = compilers(Path(__file__))

WEIGHTS, INPUTS, OUTPUTS, ALL = range(4)
NOBODY = 3
"""The pattern of a level whose loops do not turn, or only those over G: nothing rests there."""
EDP, DELAY, ENERGY = range(3)


class Loops(NamedTuple):
    """The loops of the levels that are decided: what was chosen, and what choices mean.

    It is apart from the rest, as machine code copies the tuples that it hands over.

    Attributes:
        pattern: which tensor rests at a level, shape [L + 1].
        chosen: option of each level and dimension, shape [L, K].
        state: number of rounds inside a level, as a place in `values`, shape [L + 1, K].
        between: see `rounds.Options`, as those up to `along_y`.
        values: see `rounds.Rounds`, as `bounds`.
        group: see `terms.Terms`, as the following.
    """

    pattern: Ints
    chosen: Ints
    state: Ints
    between: Ints
    middle: Ints
    inside: Ints
    along_x: Ints
    along_y: Ints
    values: Ints
    bounds: Ints
    group: Ints
    place: Ints
    window: Array
    shares: Array
    fanout: Array
    spread: Array


class Problem(NamedTuple):
    """What does not change.

    Attributes:
        terms: what crosses boundaries.
        tables: what each costs at least.
        least: what the options have in common.
        first: number of the first option, see `rounds.Options`.
        strides: of the tables, see `rounds.Rounds`.
        final_words: words that final outputs save a level, at most, shape [L].
        final_cycles: cycles that they save the outermost ports.
        port_weights: cycles of the outermost level per word read and per word written, shape [2].
        least_pj: energy apart from boundaries, what final outputs save taken off.
        room: shares of one read that the levels between a boundary and its source can serve, shape [L, 3].
        futures: how the levels inside one may spread the dimensions, at most, padded with ones, shape [L + 1, n, K].
        ways: how many of these rows count, shape [L + 1].
        spread_inside: the most instances that the levels inside one give each dimension, shape [L, K].
        fanout_inside: the most that they give all, shape [L].
        slides: whether a level's rules let instances below it share windows, shape [L].
        goal: what is minimised.
        extrapolated: whether windows move as Timeloop extrapolates them.
        perfect: whether all factors divide.
    """

    terms: Terms
    tables: Tables
    least: Least
    first: Ints
    strides: Ints
    final_words: Array
    final_cycles: float
    port_weights: Array
    least_pj: float
    room: Array
    futures: Array
    ways: Ints
    spread_inside: Array
    fanout_inside: Array
    slides: NDArray[np.bool_]
    goal: int
    extrapolated: bool
    perfect: bool


class Stack(NamedTuple):
    """What has been decided; level L stands for nothing decided.

    Attributes:
        loops: of the levels.
        at: the position that is looked at, -1 at the end; nodes looked at, shape [2].
        tried: of each position, the number of the choice under trial, shape [L (K + 1)].
        flat: number of the state of tables at each position, shape [L, K + 1].
        product: rounds that repeat each tensor at each position, shape [L, K + 1, 3].
        mixed: whether loops turn that index the resting tensor, at each position, shape [L, K + 1].
        used: instances used on each axis at each position, shape [L, K + 1, 2].
        wide: instances that the levels from one outwards give each dimension, shape [L + 1, K].
        energy: of what the levels from one outwards decide, shape [L + 1].
        innermost: least energy of what the compute units take and give, shape [L + 1].
        delay: least cycles, shape [L + 1].
        ports: cycles of the outermost ports, of what is decided, shape [L + 1].
        rest: rounds that repeat each tensor if it rests, all instances counted, and those served at once not,
            shape [L + 1, 3, 2].
        moves: likewise if it does not rest.
        others: least energy and port cycles over each boundary further inside, but for each tensor if it rests there,
            shape [L + 1, L, 3, 2].
        runs: energy of a tensor that rests at boundaries from one inwards, so many of them, if its run goes on from
            outside, and if it begins at the level outside the first one, shape [L + 1, 3, 2, L].
        floor: least energy at each position, shape [L, K + 1].
        traffic: words read and written at each level, of what is decided, shape [L + 1, L, 2].
        shared: whether input words over each boundary need not be read, and need not arrive, as instances share
            windows, shape [L + 1, L, 2].
    """

    loops: Loops
    at: Ints
    tried: Ints
    flat: Ints
    product: Array
    mixed: NDArray[np.bool_]
    used: Array
    wide: Array
    energy: Array
    innermost: Array
    delay: Array
    ports: Array
    rest: Array
    moves: Array
    others: Array
    runs: Array
    floor: Array
    traffic: Array
    shared: NDArray[np.bool_]


def stack_of(rounds: Rounds, terms: Terms) -> Stack:
    """Return a stack on which nothing is decided."""
    levels, dims = terms.spread.shape
    ints, floats, o = np.int64, np.float64, rounds.options
    loops = Loops(
        pattern=np.full(levels + 1, NOBODY, ints),
        chosen=np.zeros((levels, dims), ints),
        state=np.zeros((levels + 1, dims), ints),
        between=o.between, middle=o.middle, inside=o.inside, along_x=o.along_x, along_y=o.along_y,
        values=rounds.values, bounds=rounds.bounds, group=terms.group, place=terms.place, window=terms.window,
        shares=terms.shares, fanout=terms.fanout, spread=terms.spread,
    )  # fmt: skip
    return Stack(
        loops=loops,
        at=np.zeros(2, ints),
        tried=np.full(max(1, levels * (dims + 1)), -1, ints),
        flat=np.zeros((levels, dims + 1), ints),
        product=np.ones((levels, dims + 1, 3), floats),
        mixed=np.zeros((levels, dims + 1), np.bool_),
        used=np.ones((levels, dims + 1, 2), floats),
        wide=np.ones((levels + 1, dims), floats),
        energy=np.zeros(levels + 1),
        innermost=np.zeros(levels + 1),
        delay=np.zeros(levels + 1),
        ports=np.zeros(levels + 1),
        rest=np.ones((levels + 1, 3, 2)),
        moves=np.ones((levels + 1, 3, 2)),
        others=np.zeros((levels + 1, levels, 3, 2)),
        runs=np.zeros((levels + 1, 3, 2, levels)),
        floor=np.zeros((levels, dims + 1)),
        traffic=np.zeros((levels + 1, levels, 2)),
        shared=np.zeros((levels + 1, levels, 2), np.bool_),
    )


@_inlined
def outer_rounds(loops, level, k):
    """Return the rounds of a dimension that the levels outside one have decided."""
    return loops.values[k, loops.state[level + 1, k]]


@_inlined
def value_of(p, energy, delay):
    """Return what is minimised of an energy and a delay."""
    if p.goal == EDP:
        return energy * delay
    return delay if p.goal == DELAY else energy


@_inlined
def spatial(loops, level, k):
    """Return the instances that a decided level gives a dimension."""
    o = loops.chosen[level, k]
    return float(loops.along_x[o] * loops.along_y[o])
