"""Branch and bound, compiled: decide the loops from the outermost level inwards, one dimension at a time.

Depth first, with what each level has decided on a stack, so that a run can stop after so many nodes and go on later.
A node is left if the least that it can still cost is no better than a threshold. What is decided of outer levels costs
what the cost model says, up to factors of temporal loops, of which only the rounds are decided; what is open costs at
least what `tables` says.
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
def _outer(p, s, level, k):
    return p.values[k, s.state[level + 1, k]]


@_inlined
def _value(p, energy, delay):
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
                outside, inside, factor = _outer(p, s, level, k), p.between[o], 0
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
            if p.between[s.chosen[level, k]] > _outer(p, s, level, k):
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
        tiles_out = float(_outer(p, s, level, at) if moving == 0 else p.values[at, s.state[boundary, at]])
    at = p.place[axis + 2]
    if at >= 0:
        tiles_tap = float(_outer(p, s, level, at) if moving == 1 else p.values[at, s.state[boundary, at]])
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
            if p.between[s.chosen[level, k]] > _outer(p, s, level, k):
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
            if at >= 0 and p.between[s.chosen[first, at]] > _outer(p, s, first, at):
                slid = _rows(p, s, axis, boundary, moving, first)
                least = min(least, slid * (columns if axis == 0 else rows))
    return least


@_compiled
def _cross(p, s, boundary, rested):
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


@_inlined
def _rest_cost(p, boundary, t, arriving, apart, of_ports):
    """Return what a resting tensor costs at a boundary, repeated so often."""
    u, m = p.source[boundary, t], boundary - 1
    if u < 0:
        return 0.0
    words = p.words[t] * (p.least_inputs if t == INPUTS else 1.0)
    if t == INPUTS and p.extrapolated:
        for level in range(boundary, u + 1):
            if p.fanout[level, 0] * p.fanout[level, 1] > 1:
                apart = 0.0
    again = max(0.0, apart - p.outside[u]) if t == OUTPUTS else apart
    if of_ports:
        if u != len(p.fanout) - 1:
            return 0.0
        cost = again * p.reads[u, t] * p.port_weights[0]
        if t == OUTPUTS:
            cost += apart * p.updates[u] * p.port_weights[1]
        return words * cost
    came = max(0.0, arriving - p.outside[m]) if t == OUTPUTS else arriving
    cost = again * p.read_pj[u, t] + came * p.fill_pj[m, t]
    if t == OUTPUTS:
        cost += apart * p.update_pj[u]
    return words * cost


@_inlined
def _open(p, s, level, j, table, of_ports):
    """Return the least that a level whose dimensions up to the j-th are decided, and those inside, still add.

    A tensor rests at a boundary inside either by loops inside the level: then all rounds down to here bring it anew. Or
    by loops of the level and those inside it, if none of these indexes it and tiles still fit: then only the rounds
    outside the level do, or those that let it rest there already if the level has no other loops.
    """
    total = 0.0
    state, rests, dims = s.flat[level, j], s.pattern[level], len(p.bounds)
    for b in range(level, 0, -1):
        if not p.crosses[b]:
            continue
        least = np.inf
        for t in range(3):
            if b == level and rests != NOBODY and t != rests:
                continue
            arriving, apart = s.moves[level + 1, t, 0], s.moves[level + 1, t, 1]
            runs = t == rests or rests == NOBODY
            if runs and not s.mixed[level, j] and p.through[b, t, state]:
                arriving, apart = s.rest[level + 1, t, 0], s.rest[level + 1, t, 1]
            elif b < level and (not runs or (j == dims and not p.through[b, t, state])):
                arriving = s.product[level, j, t]
                apart = max(1.0, arriving / p.room[b, t])
            least = min(least, table[b, t, state] + _rest_cost(p, b, t, arriving, apart, of_ports))
        total += least
    return total


@_inlined
def bound_at(p, s, level, j):
    """Return the least value of all mappings below a node."""
    energy, delay = p.least_pj + s.energy[level + 1] + s.innermost[level + 1], s.delay[level + 1]
    if p.goal != DELAY:
        energy += _open(p, s, level, j, p.energy, False)
    if p.goal != ENERGY and p.ports.shape[2] > 0:
        delay = max(
            delay, np.ceil((s.ports[level + 1] + _open(p, s, level, j, p.ports, True) - p.final_cycles) * (1 - 1e-12))
        )
    return _value(p, energy, delay)


@_compiled
def _pattern_can(p, s, level, tensor):
    """Return whether some loop that a tensor does not need can turn at a level."""
    for k in range(len(p.bounds)):
        if p.group[k] == tensor:
            outside = _outer(p, s, level, k)
            i = s.state[level + 1, k]
            if p.first[level, k, i + 1] > p.first[level, k, i] and p.between[p.first[level, k, i + 1] - 1] > outside:
                return True
    return False


@_compiled
def _enter(p, s, level):
    """Begin a level whose pattern is chosen."""
    dims = len(p.bounds)
    flat = 0
    s.product[level, 0, :] = 1.0
    s.used[level, 0, :] = 1.0
    s.mixed[level, 0] = False
    for k in range(dims):
        flat += s.state[level + 1, k] * p.strides[k]
        if p.group[k] < ALL:
            s.product[level, 0, p.group[k]] *= _outer(p, s, level, k)
    s.flat[level, 0] = flat


@_compiled
def _choose(p, s, level, j, o):
    """Take an option for the j-th dimension of a level and return whether it fits."""
    k = j - 1
    outside = _outer(p, s, level, k)
    if s.pattern[level] == NOBODY and p.group[k] != ALL and p.between[o] > outside:
        return False
    across = s.used[level, k, 0] * p.along_x[o]
    down = s.used[level, k, 1] * p.along_y[o]
    if across > p.fanout[level, 0] or down > p.fanout[level, 1]:
        return False
    s.used[level, j, 0], s.used[level, j, 1] = across, down
    s.mixed[level, j] = s.mixed[level, k] or (p.between[o] > outside and p.group[k] != s.pattern[level])
    s.chosen[level, k] = o
    s.state[level, k] = p.inside[o]
    s.flat[level, j] = s.flat[level, k] + (p.inside[o] - s.state[level + 1, k]) * p.strides[k]
    for t in range(3):
        s.product[level, j, t] = s.product[level, k, t]
    if p.group[k] < ALL:
        s.product[level, j, p.group[k]] *= p.values[k, p.inside[o]] / outside
    return True


@_compiled
def _complete(p, s, level, rested, traffic):
    """Add up what a decided level costs and return whether its pattern is the one that its loops show."""
    rests = s.pattern[level]
    if not p.fits[level, s.flat[level, len(p.bounds)]]:
        return False
    if rests != NOBODY:
        found = False
        for k in range(len(p.bounds)):
            found = found or (p.group[k] == rests and p.between[s.chosen[level, k]] > _outer(p, s, level, k))
        if not found:
            return False
    s.traffic[level] = s.traffic[level + 1]
    _cross(p, s, level, rested)
    settle(p, s, level, traffic)
    return True


@_compiled
def explore(p, s, threshold, nodes, found, patterns, values):
    """Go on with a search until it ends, so many nodes are looked at, or there is no room for what it finds.

    Args:
        p: what does not change.
        s: where the search stands; changed.
        threshold: what mappings must be better than.
        nodes: to look at.
        found: room for the options of mappings that may be better, shape [n, L, K].
        patterns: likewise for their patterns, shape [n, L].
        values: likewise for the least value that they can have, shape [n].

    Returns:
        how many were found; the search is over if `s.at[0]` is -1.
    """
    levels, dims = len(p.fanout), len(p.bounds)
    rested = np.zeros(levels, np.bool_)
    traffic = np.zeros((levels, 2))
    have = looked = 0
    while s.at[0] >= 0 and looked < nodes and have < len(found):
        at = s.at[0]
        level, j = levels - 1 - at // (dims + 1), at % (dims + 1)
        s.tried[at] += 1
        if j == 0:
            rests = s.tried[at]
            if rests > NOBODY:
                s.at[0] -= 1
                continue
            if rests < NOBODY and not _pattern_can(p, s, level, rests):
                continue
            s.pattern[level] = rests
            _enter(p, s, level)
        else:
            k, i = j - 1, s.state[level + 1, j - 1]
            o = p.first[level, k, i] + s.tried[at]
            if o >= p.first[level, k, i + 1]:
                s.at[0] -= 1
                continue
            if not _choose(p, s, level, j, o):
                continue
        looked += 1
        if bound_at(p, s, level, j) >= threshold:
            continue
        if j == dims:
            if not _complete(p, s, level, rested, traffic):
                continue
            value = _value(p, p.least_pj + s.energy[level] + s.innermost[level], s.delay[level])
            if value >= threshold:
                continue
            if level == 0:
                values[have] = value
                found[have] = s.chosen
                patterns[have] = s.pattern[:levels]
                have += 1
                continue
        s.at[0] += 1
        s.tried[s.at[0]] = -1
    s.at[1] += looked
    return have
