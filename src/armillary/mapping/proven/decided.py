"""What decided levels cost, compiled: the state of a branch and bound, and the traffic of its outer levels.

It is what the cost model says, up to factors of temporal loops, of which only the rounds are decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import Array
from armillary.mapping.proven.rounds import Ints

_compiled, _inlined = compilers(Path(__file__))

WEIGHTS, INPUTS, OUTPUTS, ALL = range(4)
NOBODY = 3
"""The pattern of a level whose loops do not turn, or only those over G: nothing rests there."""
EDP, DELAY, ENERGY = range(3)


class Problem(NamedTuple):
    """What does not change: see `rounds.Options`, `terms.Terms` and `tables.Tables`, whose fields these are.

    Attributes:
        room: shares of one read that the levels between a boundary and its source can serve, shape [L, 3].
        futures: how the levels inside one may spread the dimensions, at most, padded with ones, shape [L + 1, n, K].
        ways: how many of these rows count, shape [L + 1].
        goal: what is minimised.
        extrapolated: whether windows move as Timeloop extrapolates them.
    """

    first: Ints
    between: Ints
    middle: Ints
    inside: Ints
    along_x: Ints
    along_y: Ints
    values: Ints
    bounds: Ints
    counts: Ints
    strides: Ints
    source: Ints
    words: Array
    group: Ints
    read_pj: Array
    update_pj: Array
    fill_pj: Array
    reads: Array
    writes: Array
    updates: Array
    final_words: Array
    final_cycles: float
    shares: Array
    fanout: Array
    spread: Array
    rates: Array
    window: Array
    place: Ints
    port_weights: Array
    energy: NDArray[np.float32]
    ports: NDArray[np.float32]
    fits: NDArray[np.bool_]
    through: NDArray[np.bool_]
    crosses: NDArray[np.bool_]
    outside: Array
    least_inputs: float
    least_pj: float
    room: Array
    futures: Array
    ways: Ints
    goal: int
    extrapolated: bool


class Stack(NamedTuple):
    """What has been decided; level L stands for nothing decided.

    Attributes:
        at: the position that is looked at, -1 at the end; nodes looked at, shape [2].
        tried: of each position, the number of the choice under trial, shape [L (K + 1)].
        pattern: which tensor rests at a level, shape [L + 1].
        chosen: option of each level and dimension, shape [L, K].
        state: number of rounds inside a level, as a place in `values`, shape [L + 1, K].
        flat: number of the state of tables at each position, shape [L, K + 1].
        product: rounds that repeat each tensor at each position, shape [L, K + 1, 3].
        mixed: whether loops turn that index the resting tensor, at each position, shape [L, K + 1].
        used: instances used on each axis at each position, shape [L, K + 1, 2].
        energy: of what the levels from one outwards decide, shape [L + 1].
        innermost: least energy of what the compute units take and give, shape [L + 1].
        delay: least cycles, shape [L + 1].
        ports: cycles of the outermost ports, of what is decided, shape [L + 1].
        rest: rounds that repeat each tensor if it rests, all instances counted, and those served at once not,
            shape [L + 1, 3, 2].
        moves: likewise if it does not rest.
        traffic: words read and written at each level, of what is decided, shape [L + 1, L, 2].
    """

    at: Ints
    tried: Ints
    pattern: Ints
    chosen: Ints
    state: Ints
    flat: Ints
    product: Array
    mixed: NDArray[np.bool_]
    used: Array
    energy: Array
    innermost: Array
    delay: Array
    ports: Array
    rest: Array
    moves: Array
    traffic: Array


def stack_of(levels: int, dims: int) -> Stack:
    """Return a stack on which nothing is decided."""
    ints, floats = np.int64, np.float64
    return Stack(
        at=np.zeros(2, ints),
        tried=np.full(max(1, levels * (dims + 1)), -1, ints),
        pattern=np.full(levels + 1, NOBODY, ints),
        chosen=np.zeros((levels, dims), ints),
        state=np.zeros((levels + 1, dims), ints),
        flat=np.zeros((levels, dims + 1), ints),
        product=np.ones((levels, dims + 1, 3), floats),
        mixed=np.zeros((levels, dims + 1), np.bool_),
        used=np.ones((levels, dims + 1, 2), floats),
        energy=np.zeros(levels + 1),
        innermost=np.zeros(levels + 1),
        delay=np.zeros(levels + 1),
        ports=np.zeros(levels + 1),
        rest=np.ones((levels + 1, 3, 2)),
        moves=np.ones((levels + 1, 3, 2)),
        traffic=np.zeros((levels + 1, levels, 2)),
    )


@_inlined
def outer_rounds(p, s, level, k):
    """Return the rounds of a dimension that the levels outside one have decided."""
    return p.values[k, s.state[level + 1, k]]


@_inlined
def value_of(p, energy, delay):
    """Return what is minimised of an energy and a delay."""
    if p.goal == EDP:
        return energy * delay
    return delay if p.goal == DELAY else energy


@_inlined
def _spatial(p, s, level, k):
    o = s.chosen[level, k]
    return float(p.along_x[o] * p.along_y[o])


@_compiled
def _may_be_one(inside, outside, factor):
    """Return whether a loop's last round may have one iteration: `factor` is 0 where it is open."""
    if outside == 1:
        return False
    if factor:
        return inside - (outside - 1) * factor == 1
    return (inside - 1) % (outside - 1) == 0


@_compiled
def count(p, s, k, boundary, source, rested, tensor):
    """Return the least rounds of a dimension that bring a tensor anew over a boundary.

    Those of temporal loops at levels that `rested` marks do not count, nor do spatial ones at levels up to `source`
    where one read serves all. Loops that count and stand together make the rounds that are known; across one that does
    not count, the last round may be short only if that loop's own last round has one iteration.
    """
    levels = len(p.fanout)
    total = 1.0
    start = seen = 1
    whole = True  # all loops so far count
    short = open_gap = False
    for level in range(levels - 1, boundary - 1, -1):
        o = s.chosen[level, k]
        for kind in range(3):
            if kind == 0:
                outside, inside, factor = outer_rounds(p, s, level, k), p.between[o], 0
                counts = not rested[level]
            else:
                outside = p.between[o] if kind == 1 else p.middle[o]
                inside = p.middle[o] if kind == 1 else p.values[k, p.inside[o]]
                factor = p.along_y[o] if kind == 1 else p.along_x[o]
                counts = level > source or p.shares[level, tensor] == 0
            if inside == outside and factor <= 1:
                continue
            if counts:
                seen = inside
                open_gap = False
                continue
            total = _closed(total, start, seen, whole, short)
            one = _may_be_one(inside, outside, factor)
            short = (short and one) if open_gap else one
            open_gap, whole, start, seen = True, False, inside, inside
    return _closed(total, start, seen, whole, short)


@_inlined
def _closed(total, start, seen, whole, short):
    if whole:
        return float(seen)
    if seen == start:
        return total
    factor = float((seen + start - 1) // start)
    return (total - 1) * factor + 1 if short else total * factor


@_compiled
def _mark_rested(p, s, boundary, tensor, rested):
    """Mark the levels whose loops let a tensor rest at a boundary."""
    levels, dims = len(p.fanout), len(p.bounds)
    rested[:] = False
    for level in range(boundary, levels):
        turns = others = False
        for k in range(dims):
            if p.between[s.chosen[level, k]] > outer_rounds(p, s, level, k):
                turns = True
                others = others or p.group[k] != tensor
        if not turns:
            continue
        if s.pattern[level] != tensor:
            return
        rested[level] = True
        if others:
            return


@_compiled
def _spread_outside(p, s, level):
    """Return how many instances outside a level add to one output, at most."""
    product = 1.0
    for number in range(level + 1, len(p.fanout)):
        for k in range(len(p.bounds)):
            if p.group[k] == OUTPUTS:
                product *= _spatial(p, s, number, k)
    return product


@_compiled
def _rows(p, s, axis, boundary, moving, level):
    """Return the input rows or columns of all windows, which a loop over `moving` (0 outputs, 1 taps) slides."""
    out, tap, stride, dilation = p.window[axis, 0], p.window[axis, 1], p.window[axis, 2], p.window[axis, 3]
    tiles_out = tiles_tap = 1.0
    at = p.place[axis]
    if at >= 0:
        tiles_out = float(outer_rounds(p, s, level, at) if moving == 0 else p.values[at, s.state[boundary, at]])
    at = p.place[axis + 2]
    if at >= 0:
        tiles_tap = float(outer_rounds(p, s, level, at) if moving == 1 else p.values[at, s.state[boundary, at]])
    return stride * out * tiles_tap + dilation * tap * tiles_out + (1 - stride - dilation) * tiles_out * tiles_tap


@_compiled
def _one_window(p, s, axis, boundary):
    """Return the rows or columns of the least tile's window."""
    found = 1.0
    for tap in range(2):
        at = p.place[axis + 2 * tap]
        if at >= 0:
            n, rounds = p.bounds[at], p.values[at, s.state[boundary, at]]
            found += (float((n + rounds - 1) // rounds) - 1) * p.window[axis, 2 + tap]
    return found


@_compiled
def _inputs(p, s, boundary):
    """Return the least rows times columns that cross a boundary."""
    levels, dims = len(p.fanout), len(p.bounds)
    rows = _rows(p, s, 0, boundary, -1, 0)
    columns = _rows(p, s, 1, boundary, -1, 0)
    least = rows * columns
    if boundary == 0:
        return least
    first = levels
    for level in range(levels - 1, boundary - 1, -1):
        for k in range(dims):
            if p.between[s.chosen[level, k]] > outer_rounds(p, s, level, k):
                first = level
    if first == levels:
        return least
    if p.extrapolated:
        least = min(least, _one_window(p, s, 0, boundary) * columns)
        return min(least, rows * _one_window(p, s, 1, boundary))
    resting = s.pattern[first]
    if resting in (WEIGHTS, OUTPUTS):
        moving = 0 if resting == WEIGHTS else 1
        for axis in range(2):
            at = p.place[axis + 2 * moving]
            if at >= 0 and p.between[s.chosen[first, at]] > outer_rounds(p, s, first, at):
                slid = _rows(p, s, axis, boundary, moving, first)
                least = min(least, slid * (columns if axis == 0 else rows))
    return least


@_compiled
def cross(p, s, boundary, rested):
    """Add up what crosses a boundary, the levels outside it decided."""
    dims, outermost = len(p.bounds), len(p.fanout) - 1
    energy = ports = 0.0
    for t in range(3):
        rested[:] = False
        arriving = apart = 1.0
        for k in range(dims):
            if p.group[k] == t:
                arriving *= p.values[k, s.state[boundary, k]]
                apart *= count(p, s, k, boundary, outermost, rested, t)
        s.moves[boundary, t, 0], s.moves[boundary, t, 1] = arriving, apart
        if boundary > 0:
            _mark_rested(p, s, boundary, t, rested)
        arriving = apart = 1.0
        for k in range(dims):
            if p.group[k] == t:
                arriving *= count(p, s, k, boundary, -1, rested, t)
                apart *= count(p, s, k, boundary, outermost, rested, t)
        s.rest[boundary, t, 0], s.rest[boundary, t, 1] = arriving, apart
        u, m = p.source[boundary, t], boundary - 1
        if u < 0:
            continue
        read = 1.0
        for k in range(dims):
            if p.group[k] == t:
                read *= count(p, s, k, boundary, u, rested, t)
        words = p.words[t]
        if t == INPUTS:
            words *= _inputs(p, s, boundary)
            if p.extrapolated:
                for level in range(boundary, u + 1):
                    if p.fanout[level, 0] * p.fanout[level, 1] > 1:
                        read = 0.0
        own = _spread_outside(p, s, u) if t == OUTPUTS else 0.0
        again = max(0.0, read - own)
        energy += words * again * p.read_pj[u, t]
        s.traffic[boundary, u, 0] += words * again * p.reads[u, t]
        if t == OUTPUTS:
            energy += words * read * p.update_pj[u]
            s.traffic[boundary, u, 1] += words * read * p.updates[u]
        if u == outermost:
            ports += words * again * p.reads[u, t] * p.port_weights[0]
            if t == OUTPUTS:
                ports += words * read * p.updates[u] * p.port_weights[1]
        if m >= 0:
            came = max(0.0, arriving - (_spread_outside(p, s, m) if t == OUTPUTS else 0.0))
            energy += words * came * p.fill_pj[m, t]
            s.traffic[boundary, m, 1] += words * came * p.writes[m, t]
    s.energy[boundary] = s.energy[boundary + 1] + energy
    s.ports[boundary] = s.ports[boundary + 1] + ports


@_compiled
def _shared_out(p, s, decided, level, k):
    """Return how many instances a level gives a dimension: as decided, or at most."""
    return _spatial(p, s, level, k) if level >= decided else p.spread[level, k]


@_compiled
def innermost_reads(p, s, decided, t, u):
    """Return the least repeats of what the compute units take of a tensor, levels from `decided` outwards being so."""
    exact = product = 1.0
    for k in range(len(p.bounds)):
        if p.group[k] != t:
            continue
        served = done = 1.0
        for level in range(u + 1):
            if p.shares[level, t] > 0:
                served *= _shared_out(p, s, decided, level, k)
                if level >= decided:
                    done *= _spatial(p, s, level, k)
        exact *= np.ceil(p.bounds[k] / served)
        product *= p.bounds[k] / done
    for level in range(min(u + 1, decided)):
        if p.shares[level, t] > 0:
            product /= p.fanout[level, 0] * p.fanout[level, 1]
    return max(exact, product)


@_compiled
def _compute(p, s, decided, traffic):
    """Add up the least that the compute units take and give; put the words into `traffic`."""
    energy = 0.0
    levels = len(p.fanout)
    for t in range(3):
        u = p.source[0, t]
        if u < 0:
            continue
        read = innermost_reads(p, s, decided, t, u)
        words = p.words[t]
        if t == INPUTS:
            words *= p.window[0, 0] * p.window[0, 1] * p.window[1, 0] * p.window[1, 1]
            if p.extrapolated:
                for level in range(u + 1):
                    if p.fanout[level, 0] * p.fanout[level, 1] > 1:
                        read = 0.0
        own = 0.0
        if t == OUTPUTS:
            own = 1.0
            for level in range(u + 1, levels):
                adding, most = 1.0, p.fanout[level, 0] * p.fanout[level, 1]
                for k in range(len(p.bounds)):
                    if p.group[k] == OUTPUTS:
                        adding *= _shared_out(p, s, decided, level, k)
                own *= min(adding, most)
            energy += words * read * p.update_pj[u]
            traffic[u, 1] += words * read * p.updates[u]
        again = max(0.0, read - own)
        energy += words * again * p.read_pj[u, t]
        traffic[u, 0] += words * again * p.reads[u, t]
    return energy


@_compiled
def least_steps(p, s, decided):
    """Return the least steps of the compute units."""
    levels, dims = len(p.fanout), len(p.bounds)
    least = np.inf
    for way in range(p.ways[decided]):
        steps = 1.0
        for k in range(dims):
            shared = p.futures[decided, way, k]
            for level in range(decided, levels):
                shared *= _spatial(p, s, level, k)
            steps *= np.ceil(p.bounds[k] / shared)
        least = min(least, steps)
    product = 1.0
    for k in range(dims):
        product *= p.bounds[k]
        for level in range(decided, levels):
            product /= _spatial(p, s, level, k)
    for level in range(decided):
        product /= p.fanout[level, 0] * p.fanout[level, 1]
    return max(product, least) if p.ways[decided] else product


@_compiled
def settle(p, s, decided, traffic):
    """Work out what follows once a level and those outside it are decided: energy inside, and delay."""
    levels, dims = len(p.fanout), len(p.bounds)
    traffic[:] = s.traffic[decided]
    s.innermost[decided] = 0.0
    if decided > 0:
        s.innermost[decided] = _compute(p, s, decided, traffic)
    delay = least_steps(p, s, decided)
    instances = 1.0
    for level in range(levels - 1, -1, -1):
        read, written = traffic[level, 0], traffic[level, 1]
        written = max(0.0, written - p.final_words[level])
        cycles = max(read / p.rates[level, 0], written / p.rates[level, 1])
        delay = max(delay, max(cycles, (read + written) / p.rates[level, 2]) / instances)
        if level >= decided:
            for k in range(dims):
                instances *= _spatial(p, s, level, k)
        else:
            instances *= p.fanout[level, 0] * p.fanout[level, 1]
    s.delay[decided] = np.ceil(delay * (1 - 1e-12))
