"""What each boundary costs at least, for every state at once.

A state is a number of rounds per dimension. Loops further inside can only make more rounds, so the least cost of a
boundary over all states with at least so many rounds is a running minimum along every axis of a table: it bounds what
the levels inside must still cost, whatever they do, as long as their tiles fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.kernel.nest import ROLE_O, ROLE_P, Array, Chip
from armillary.mapping.proven.chains import Least, Resting, chains_of, least_further, rest_costs, spread_rounds
from armillary.mapping.proven.rounds import Rounds
from armillary.mapping.proven.terms import INPUTS, OUTPUTS, WEIGHTS, C, G, K, N, P, Q, R, S, Terms

_SAFE = 1 - 1e-6
"""What rounding to single precision may add is taken off."""
_INDEXED = ((K, C, R, S, G), (), (N, K, P, Q, G))


class Tables(NamedTuple):
    """Least costs by boundary, resting tensor and state; the resting tensor's own cost is left out.

    Attributes:
        energy: in pJ, shape [L, 3, states]; 0 where nothing crosses.
        ports: cycles of the outermost level's ports, likewise.
        chain: in pJ, of a boundary and all inside it, see `chains_of`.
        everything: of all boundaries together, in pJ.
        fits: whether a state's tiles may fit the level inside a boundary, shape [L, states].
        through: whether tiles may fit if, from a state inwards to a boundary, only loops turn that do not index a
            tensor, shape [L, 3, states].
        held: words of a state's tiles in the level inside a boundary, where the level shares a memory with another one,
            shape [L, states]; empty without such levels.
        room: words that both parts of a memory may hold, infinite where a level is not the outer one, shape [L].
        crosses: whether anything crosses a boundary, shape [L].
        outside: the most instances, side by side outside a level, that add to one output, shape [L].
        least_inputs: the fewest input words per round of K, apart from `Terms.words`.
    """

    energy: NDArray[np.float32]
    ports: NDArray[np.float32]
    chain: NDArray[np.float32]
    everything: float
    fits: NDArray[np.bool_]
    through: NDArray[np.bool_]
    held: NDArray[np.float32]
    room: Array
    crosses: NDArray[np.bool_]
    outside: Array
    least_inputs: float


class _States:
    """The rounds and tiles of every state, each an array that broadcasts to the table's shape."""

    def __init__(self, rounds: Rounds, terms: Terms) -> None:
        self.rounds, self.terms = rounds, terms
        count = len(rounds.dims)

        def along(k: int, row: Array) -> Array:
            return row.reshape([-1 if i == k else 1 for i in range(count)])

        self.of = {
            int(d): along(k, rounds.values[k, : rounds.counts[k]].astype(float)) for k, d in enumerate(rounds.dims)
        }
        self.extent = {int(d): along(k, rounds.extents(k)) for k, d in enumerate(rounds.dims)}
        self.axis = {int(d): k for k, d in enumerate(rounds.dims)}

    def repeats(self, tensor: int) -> Array:
        """Return the rounds of all dimensions that do not index a tensor."""
        found = np.ones((1,) * len(self.rounds.dims))
        for k, d in enumerate(self.rounds.dims.tolist()):
            if self.terms.group[k] == tensor:
                found = found * self.of[d]
        return found

    def served(self, tensor: int, inside: int, outside: int) -> Array:
        """Return the least repeats that remain where one read serves all instances from level `inside` to `outside`."""
        levels = [level for level in range(inside, outside + 1) if self.terms.shares[level, tensor] > 0]
        room = prod(float(self.terms.fanout[level].prod()) for level in levels)
        found, product = np.ones((1,) * len(self.rounds.dims)), np.ones((1,) * len(self.rounds.dims))
        for k, d in enumerate(self.rounds.dims.tolist()):
            if self.terms.group[k] == tensor:
                most = prod(float(self.terms.spread[level, k]) for level in levels)
                found, product = found * np.ceil(self.of[d] / most), product * self.of[d]
        return np.maximum(found, product / room)

    def rows(self, axis: int) -> Array:
        """Return the input rows (axis 0) or columns (1) of all windows together."""
        out, tap, stride, dilation = self.terms.window[axis]
        tiles_out, tiles_tap = self.of.get((P, Q)[axis], 1.0), self.of.get((R, S)[axis], 1.0)
        return np.asarray(
            stride * out * tiles_tap + dilation * tap * tiles_out + (1 - stride - dilation) * tiles_out * tiles_tap
        )

    def window(self, axis: int) -> Array:
        """Return the rows or columns of one tile's window."""
        _, _, stride, dilation = self.terms.window[axis]
        return np.asarray(
            (self.extent.get((P, Q)[axis], 1.0) - 1) * stride + (self.extent.get((R, S)[axis], 1.0) - 1) * dilation + 1
        )

    def slid(self, axis: int, dims: tuple[int, ...]) -> Array:
        """Return the fewest rows if loops over some dimensions slide the window."""
        found = np.atleast_1d(self.rows(axis))
        for d in dims:
            if d in self.axis and found.shape[self.axis[d]] > 1:
                found = np.minimum.accumulate(found, axis=self.axis[d])
        return found

    def returned(self, axis: int) -> Array:
        """Return the least share of moves that bring words where loops over outputs and taps may lead back."""
        both = (self.of.get((P, Q)[axis], 1.0) > 1) & (self.of.get((R, S)[axis], 1.0) > 1)
        return np.where(both, 0.5, 1.0)

    def extrapolated(self, axis: int, moving: int) -> Array:
        """Return the fewest rows if a loop over outputs (0) or taps (1) slides the window and all factors divide.

        The tile's window comes whole once, and then every move brings as many rows as it reaches.
        """
        bound, per_step = self.terms.window[axis, moving], self.terms.window[axis, 2 + moving]
        pair = ((P, Q)[axis], (R, S)[axis])
        own, other = self.of.get(pair[moving], 1.0), self.of.get(pair[1 - moving], 1.0)
        whole = self.rows(axis) * self.returned(axis)
        return np.where(own > 1, np.minimum(whole, per_step * bound * other), whole)

    def inputs(self, resting: int, extrapolated: bool) -> Array:
        """Return the least rows times columns where a tensor rests."""
        rows = [self.rows(axis) for axis in (0, 1)]
        if resting == INPUTS:
            if extrapolated:
                return rows[0] * rows[1] * np.minimum(self.returned(0), self.returned(1))
            return rows[0] * rows[1]
        if extrapolated:
            slid = [self.extrapolated(a, 0 if resting == WEIGHTS else 1) for a in (0, 1)]
        else:
            moving = ((P,), (Q,)) if resting == WEIGHTS else ((R,), (S,))
            slid = [self.slid(a, moving[a]) for a in (0, 1)]
        return np.minimum(slid[0] * rows[1], rows[0] * slid[1])

    def resting(self, tensor: int, boundary: int, outside: int | None = None) -> _States:
        """Return the states inside a boundary if, from these on, only loops turn that do not index a tensor.

        The levels inside `outside` spread the dimensions at most as their rules allow; without it, all levels.
        """
        spread = self.terms.spread[boundary:outside].prod(axis=0)
        found = copy(self)
        found.extent = {
            d: np.ones_like(self.extent[d])
            if self.terms.group[k] == tensor
            else np.ceil(self.rounds.bounds[k] / np.minimum(self.rounds.bounds[k], self.of[d] * spread[k]))
            for k, d in enumerate(self.rounds.dims.tolist())
        }
        return found

    def fits(self, chip: Chip, keeps: NDArray[np.bool_], level: int) -> NDArray[np.bool_]:
        """Return which states' tiles may fit a level."""
        return np.asarray(self.held(chip, keeps, level) <= chip.capacity[level])

    def held(self, chip: Chip, keeps: NDArray[np.bool_], level: int) -> Array:
        """Return the fewest words of the states' tiles at a level."""
        one = np.ones((1,) * len(self.rounds.dims))
        held = np.zeros_like(one)
        for t in range(3):
            if not keeps[level, t]:
                continue
            width = chip.words[level, t] if t != OUTPUTS else min(chip.words[level, ROLE_P], chip.words[level, ROLE_O])
            words = one
            for d in (N, C, G) if t == INPUTS else _INDEXED[t]:
                words = words * self.extent.get(d, 1.0)
            if t == INPUTS:
                words = words * self.window(0) * self.window(1)
            held = held + words * width
        return held


def tables_of(
    rounds: Rounds,
    terms: Terms,
    chip: Chip,
    keeps: NDArray[np.bool_],
    least: Least,
    *,
    extrapolated: bool,
    perfect: bool,
    energy: bool,
    ports: bool,
) -> Tables:
    """Return the tables; those that are not asked for are empty.

    Args:
        rounds: of the layer's dimensions.
        terms: what crosses the boundaries.
        chip: the hierarchy.
        keeps: which tensors each level keeps, shape [L, 3].
        least: what the options have in common.
        extrapolated: whether windows move as Timeloop extrapolates them, so that inputs may cost less than they move.
        perfect: whether all factors divide.
        energy: whether to bound energy.
        ports: whether to bound cycles.
    """
    states = _States(rounds, terms)
    levels, size = len(chip.capacity), prod(rounds.shape)
    crosses = np.array([(terms.source[b] >= 0).any() and b > 0 for b in range(levels)])
    outside, weights = _adding_outside(terms), port_weights(terms)
    found = [np.zeros((levels, 3, size if wanted else 0), dtype=np.float32) for wanted in (energy, ports)]
    whole_fits = np.ones((levels, size), dtype=bool)
    through = np.ones((levels, 3, size), dtype=bool)
    within = _within(chip, keeps)
    least_inputs = float(min(np.min(states.inputs(t, extrapolated)) for t in range(3)))
    others: dict[tuple[int, int], Array] = {}
    for b in range(1, levels):
        fits = states.fits(chip, within, b - 1)
        whole_fits[b] = np.broadcast_to(fits, rounds.shape).ravel()
        for t in range(3):
            through[b, t] = np.broadcast_to(states.resting(t, b).fits(chip, within, b - 1), rounds.shape).ravel()
        others |= {(b, t): np.where(fits, np.zeros(rounds.shape), np.inf) for t in range(3)}
        if not crosses[b]:
            continue
        for resting in range(3):
            for table, wanted, kind in ((found[0], energy, 0), (found[1], ports, 1)):
                if wanted and (kind == 0 or (terms.source[b] == levels - 1).any()):
                    cost = _cost(states, terms, b, resting, outside, extrapolated, kind, weights)
                    whole = np.where(fits, np.broadcast_to(cost, rounds.shape), np.inf)
                    if kind == 0:
                        others[b, resting] = whole
                    table[b, resting] = whole.ravel()
                    least_further(table[b, resting], rounds.counts)
    chain, everything = np.zeros((0, 3, 0), dtype=np.float32), 0.0
    if energy:
        told = (perfect, extrapolated, least_inputs)
        costs = {run: _rest_cost(states, least, outside, run, *told) for run in _runs(levels)}
        chain, everything = chains_of(rounds, least, others, Resting(costs, _passing(states, chip, within)))
    both = _shared(states, chip, keeps)
    return Tables(found[0], found[1], chain, everything, whole_fits, through, *both, crosses, outside, least_inputs)


def _shared(states: _States, chip: Chip, keeps: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Array]:
    """Return what tiles take where two levels are one memory, and its room; see `Tables.held` and `Tables.room`."""
    outer = np.append(0, chip.part[:-1]) > 0
    room = np.where(outer, chip.capacity, np.inf)
    shape = states.rounds.shape
    held = np.zeros((len(room), prod(shape) if np.isfinite(room).any() else 0), dtype=np.float32)
    for b in range(1, len(room)):
        if held.size and (outer[b - 1] or outer[b]):
            held[b] = np.broadcast_to(states.held(chip, keeps, b - 1) * _SAFE, shape).ravel()
    return held, room


def _within(chip: Chip, keeps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return of which tensors a level must have room for its tile, shape [L, 3].

    What the outer part of a memory holds has a tile there that is at least as large as that of the inner part.
    """
    found = keeps.copy()
    for inner in np.flatnonzero(chip.part):
        found[inner] |= keeps[inner + 1]
    return found


def _adding_outside(terms: Terms) -> Array:
    """Return the most instances, side by side outside a level, that add to one output, shape [L]."""
    outside = np.ones(len(terms.fanout))
    for level in range(len(outside) - 2, -1, -1):
        adding = prod(float(terms.spread[level + 1, k]) for k, g in enumerate(terms.group) if g == OUTPUTS)
        outside[level] = outside[level + 1] * min(adding, float(terms.fanout[level + 1].prod()))
    return outside


def _runs(levels: int) -> Iterator[tuple[int, int, int]]:
    """Yield the level where a run may begin, a boundary where its tensor rests, and the tensor."""
    for b in range(1, levels):
        for inner in range(1, b + 1):
            for t in range(3):
                yield b, inner, t


def _passing(states: _States, chip: Chip, keeps: NDArray[np.bool_]) -> dict[tuple[int, int, int], NDArray[np.bool_]]:
    """Return by run and boundary whether the tiles of a state inside the run's level may fit at that boundary."""
    return {
        (b, inner, t): np.asarray(states.resting(t, inner, b).fits(chip, keeps, inner - 1))
        for b, inner, t in _runs(len(chip.capacity))
        if inner < b
    }


def _rest_cost(
    states: _States,
    least: Least,
    outside: Array,
    run: tuple[int, int, int],
    perfect: bool,
    extrapolated: bool,
    least_inputs: float,
) -> Array:
    """Return what the tensor of a run costs at a boundary, for every state outside the level where the run begins."""
    begin, b, t = run
    terms, u = states.terms, int(states.terms.source[b, t])
    if u < 0:
        return np.zeros((1,) * len(states.rounds.dims))
    arriving = read = np.ones((1,) * len(states.rounds.dims))
    for k, d in enumerate(states.rounds.dims.tolist()):
        if terms.group[k] != t:
            continue
        shared = [level for level in range(begin + 1, u + 1) if terms.shares[level, t] > 0]
        own = states.of[d]
        served = np.ceil(own / prod(float(terms.spread[level, k]) for level in shared))
        for level in range(begin, b - 1, -1):
            spread, once = float(least.spread[level, k]), float(least.once[level, k])
            own = spread_rounds(own, spread, once, perfect=perfect)
            if level > u or terms.shares[level, t] == 0:
                served = spread_rounds(served, spread, once, perfect=perfect)
        arriving, read = arriving * own, read * served
    words = terms.words[t] * (least_inputs if t == INPUTS else 1.0)
    if t == INPUTS and extrapolated:
        slides = slides_of(terms)
        read = read * float(not slides[b : u + 1].any())
        arriving = arriving * float(not (slides[b] and (terms.fanout[b + 1 :].prod(axis=1) > 1).any()))
    return rest_costs(terms, outside, arriving, read, b, t, words)


def port_weights(terms: Terms) -> tuple[float, float]:
    """Return the cycles of the outermost level per word read and per word written, by the port that binds."""
    read, write, shared = terms.rates[-1]
    if np.isfinite(shared):
        return 1 / shared, 1 / shared
    return (1 / read, 0.0) if read <= write else (0.0, 1 / write)


def slides_of(terms: Terms) -> NDArray[np.bool_]:
    """Return whether each level's rules let instances below it share input windows, shape [L]."""
    places = [k for k in terms.place.tolist() if k >= 0]
    return np.asarray((terms.spread[:, places] > 1).any(axis=1) & (terms.shares[:, INPUTS] > 0))


def _cost(
    states: _States,
    terms: Terms,
    b: int,
    resting: int,
    outside: Array,
    extrapolated: bool,
    kind: int,
    weights: tuple[float, float],
) -> Array:
    """Return the cost of all that crosses a boundary but the resting tensor: energy (kind 0) or cycles (1)."""
    outermost = len(terms.source) - 1
    total = np.zeros((1,) * len(states.rounds.dims))
    for t in range(3):
        u, m = int(terms.source[b, t]), b - 1
        if u < 0 or t == resting:
            continue
        words = terms.words[t]
        if t == INPUTS:
            words = words * states.inputs(resting, extrapolated)
        arriving, read = states.repeats(t), states.served(t, b, u)
        if t == INPUTS and extrapolated:
            slides = slides_of(terms)
            if slides[b : u + 1].any():
                read = read * 0.0
            if slides[b] and (terms.fanout[b + 1 :].prod(axis=1) > 1).any():
                arriving = arriving * 0.0
        again = [np.maximum(0.0, read - outside[u]), np.maximum(0.0, arriving - outside[m])]
        if kind == 0:
            if t == OUTPUTS:
                cost = read * terms.update_pj[u] + again[0] * terms.read_pj[u, t] + again[1] * terms.fill_pj[m, t]
            else:
                cost = read * terms.read_pj[u, t] + arriving * terms.fill_pj[m, t]
        elif u != outermost:
            continue
        elif t == OUTPUTS:
            cost = read * terms.updates[u] * weights[1] + again[0] * terms.reads[u, t] * weights[0]
        else:
            cost = read * terms.reads[u, t] * weights[0]
        total = total + words * cost
    return total
