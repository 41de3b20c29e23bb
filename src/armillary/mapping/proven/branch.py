"""Branch and bound, compiled: decide the loops from the outermost level inwards, one dimension at a time.

Depth first, with what each level has decided on a stack, so that a run can stop after so many nodes and go on later.
A node is left if the least that it can still cost is no better than a threshold. What is decided of outer levels costs
what `decided` says; what is open costs at least what `tables` says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import compilers
from armillary.mapping.proven.decided import (
    ALL,
    DELAY,
    ENERGY,
    INPUTS,
    NOBODY,
    OUTPUTS,
    cross,
    outer_rounds,
    settle,
    value_of,
)

_compiled, _inlined = compilers(Path(__file__), Path(__file__).with_name("decided.py"))


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
    return value_of(p, energy, delay)


@_compiled
def _pattern_can(p, s, level, tensor):
    """Return whether some loop that a tensor does not need can turn at a level."""
    for k in range(len(p.bounds)):
        if p.group[k] == tensor:
            outside = outer_rounds(p, s, level, k)
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
            s.product[level, 0, p.group[k]] *= outer_rounds(p, s, level, k)
    s.flat[level, 0] = flat


@_compiled
def _choose(p, s, level, j, o):
    """Take an option for the j-th dimension of a level and return whether it fits."""
    k = j - 1
    outside = outer_rounds(p, s, level, k)
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
            found = found or (p.group[k] == rests and p.between[s.chosen[level, k]] > outer_rounds(p, s, level, k))
        if not found:
            return False
    s.traffic[level] = s.traffic[level + 1]
    cross(p, s, level, rested)
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
            value = value_of(p, p.least_pj + s.energy[level] + s.innermost[level], s.delay[level])
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
