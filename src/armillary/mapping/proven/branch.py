"""Branch and bound, compiled: decide the loops from the outermost level inwards, one dimension at a time.

Depth first, with what each level has decided on a stack, so that a run can stop after so many nodes and go on later.
A node is left if the least that it can still cost is no better than a threshold. What is decided of outer levels costs
what `decided` says; what is open costs at least what `tables` says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import called, compilers
from armillary.mapping.proven import runs
from armillary.mapping.proven.decided import cross, settle
from armillary.mapping.proven.runs import note_runs, rest_cost
from armillary.mapping.proven.state import ALL, DELAY, ENERGY, NOBODY, outer_rounds, spatial, value_of
from armillary.mapping.proven.windows import note_shared

_SOURCES = (Path(__file__), *runs.SOURCES)
_compiled, _inlined = compilers(*_SOURCES)
_called = called(*_SOURCES)


@_inlined
def _open(p, s, level, j, table, of_ports):
    """Return the least that a level whose dimensions up to the j-th are decided, and those inside, still add.

    A tensor rests at a boundary inside either by loops inside the level: then all rounds down to here bring it anew. Or
    by loops of the level and those inside it, if none of these indexes it and tiles still fit: then only the rounds
    outside the level do, or those that let it rest there already if the level has no other loops.
    """
    total = 0.0
    state, rests, dims = s.flat[level, j], s.loops.pattern[level], len(s.loops.bounds)
    for b in range(level, 0, -1):
        if not p.tables.crosses[b]:
            continue
        least = np.inf
        for t in range(3):
            if b == level and rests != NOBODY and t != rests:
                continue
            arriving, apart = s.moves[level + 1, t, 0], s.moves[level + 1, t, 1]
            runs = t == rests or rests == NOBODY
            if runs and not s.mixed[level, j] and p.tables.through[b, t, state]:
                arriving, apart = s.rest[level + 1, t, 0], s.rest[level + 1, t, 1]
            elif b < level and (not runs or (j == dims and not p.tables.through[b, t, state])):
                arriving = s.product[level, j, t]
                apart = max(s.moves[level + 1, t, 1], arriving / p.room[b, t])
            others = max(table[b, t, state], s.others[level + 1, b, t, 1 if of_ports else 0])
            least = min(least, others + rest_cost(p, s, level + 1, b, t, arriving, apart, of_ports))
        total += least
    return total


@_called
def _note_others(p, s, inward):
    """Note what crosses each boundary further inside at least, but for the tensor that rests there.

    Whatever does not rest comes anew with all rounds that are decided. Tables know no more of spatial loops than what
    the rules allow; here those of the decided levels are known.
    """
    for b in range(1, inward):
        if not p.tables.crosses[b]:
            continue
        for of_ports in range(2):
            for rests in range(3):
                s.others[inward, b, rests, of_ports] = 0.0
            for t in range(3):
                cost = rest_cost(p, s, inward, b, t, s.moves[inward, t, 0], s.moves[inward, t, 1], of_ports == 1)
                for rests in range(3):
                    if rests != t:
                        s.others[inward, b, rests, of_ports] += cost


@_inlined
def _chained(p, s, level, j):
    """Return the least energy of the boundaries from a level inwards, whose dimensions up to the j-th are decided.

    The tensor that rests at the first of them either has rested further outside, too, or begins to here.
    """
    if level == 0:
        return 0.0
    state, rests = s.flat[level, j], s.loops.pattern[level]
    least = np.inf
    for t in range(3):
        if rests != NOBODY and t != rests:
            continue
        begins = 1 if s.mixed[level, j] or not p.tables.through[level, t, state] else 0
        for length in range(1, level + 1):
            inner = p.tables.chain[level * (level - 1) // 2 + length - 1, t, state]
            least = min(least, s.runs[level + 1, t, begins, length - 1] + inner)
    return least


@_inlined
def _steps(p, s, level, j):
    """Return the least steps of the compute units once a level's dimensions up to the j-th are decided."""
    loops = s.loops
    exact = product = rest = 1.0
    for k in range(len(loops.bounds)):
        wide, most = s.wide[level + 1, k], loops.spread[level, k]
        if k < j:
            wide *= spatial(loops, level, k)
            most = 1.0
        exact *= np.ceil(loops.bounds[k] / (wide * most * p.spread_inside[level, k]))
        product *= loops.bounds[k] / wide
        rest *= most
    room = loops.fanout[level, 0] // s.used[level, j, 0] * (loops.fanout[level, 1] // s.used[level, j, 1])
    return max(exact, product / (min(rest, room) * p.fanout_inside[level]))


@_inlined
def bound_at(p, s, level, j, threshold):
    """Return the least value of all mappings below a node, or one that is no better than the threshold."""
    decided_pj = p.least_pj + s.energy[level + 1] + s.innermost[level + 1]
    if j > 0:
        energy = s.floor[level, j - 1]
    elif level + 1 < len(p.terms.fanout):
        energy = s.floor[level + 1, len(s.loops.bounds)]
    else:
        energy = decided_pj + p.tables.everything
    energy, delay = max(energy, decided_pj), s.delay[level + 1]
    if p.goal != ENERGY:
        delay = max(delay, np.ceil(_steps(p, s, level, j) * (1 - 1e-12)))
    if value_of(p, energy, delay) >= threshold:
        return threshold
    if p.goal != DELAY:
        energy = max(energy, decided_pj + _chained(p, s, level, j))
        if value_of(p, energy, delay) >= threshold:
            return threshold
        energy = max(energy, decided_pj + _open(p, s, level, j, p.tables.energy, False))
    s.floor[level, j] = energy
    if p.goal != ENERGY and p.tables.ports.shape[2] > 0:
        delay = max(
            delay,
            np.ceil((s.ports[level + 1] + _open(p, s, level, j, p.tables.ports, True) - p.final_cycles) * (1 - 1e-12)),
        )
    return value_of(p, energy, delay)


@_called
def _pattern_can(p, s, level, tensor):
    """Return whether some loop that a tensor does not need can turn at a level."""
    for k in range(len(s.loops.bounds)):
        if p.terms.group[k] == tensor:
            outside = outer_rounds(s.loops, level, k)
            i = s.loops.state[level + 1, k]
            if (
                p.first[level, k, i + 1] > p.first[level, k, i]
                and s.loops.between[p.first[level, k, i + 1] - 1] > outside
            ):
                return True
    return False


@_called
def _enter(p, s, level):
    """Begin a level whose pattern is chosen and return whether every dimension has an option."""
    dims = len(s.loops.bounds)
    flat = 0
    s.product[level, 0, :] = 1.0
    s.used[level, 0, :] = 1.0
    s.mixed[level, 0] = False
    for k in range(dims):
        inside = p.least.inside[level, k, s.loops.state[level + 1, k]]
        if inside < 0:
            return False
        flat += inside * p.strides[k]
        if p.terms.group[k] < ALL:
            s.product[level, 0, p.terms.group[k]] *= outer_rounds(s.loops, level, k)
    s.flat[level, 0] = flat
    return True


@_called
def _choose(p, s, level, j, o):
    """Take an option for the j-th dimension of a level and return whether it fits."""
    k = j - 1
    outside = outer_rounds(s.loops, level, k)
    if s.loops.pattern[level] == NOBODY and p.terms.group[k] != ALL and s.loops.between[o] > outside:
        return False
    across = s.used[level, k, 0] * s.loops.along_x[o]
    down = s.used[level, k, 1] * s.loops.along_y[o]
    if across > p.terms.fanout[level, 0] or down > p.terms.fanout[level, 1]:
        return False
    s.used[level, j, 0], s.used[level, j, 1] = across, down
    s.mixed[level, j] = s.mixed[level, k] or (
        s.loops.between[o] > outside and p.terms.group[k] != s.loops.pattern[level]
    )
    s.loops.chosen[level, k] = o
    s.loops.state[level, k] = s.loops.inside[o]
    least = p.least.inside[level, k, s.loops.state[level + 1, k]]
    s.flat[level, j] = s.flat[level, k] + (s.loops.inside[o] - least) * p.strides[k]
    for t in range(3):
        s.product[level, j, t] = s.product[level, k, t]
    if p.terms.group[k] < ALL:
        s.product[level, j, p.terms.group[k]] *= s.loops.values[k, s.loops.inside[o]] / outside
    return True


@_called
def _complete(p, s, level, rested, traffic):
    """Add up what a decided level costs and return whether its pattern is the one that its loops show."""
    rests = s.loops.pattern[level]
    dims = len(s.loops.bounds)
    if not p.tables.fits[level, s.flat[level, dims]]:
        return False
    if p.tables.room[level] < np.inf:  # the two parts of a memory, whose tiles are known now
        held = p.tables.held[level + 1, s.flat[level + 1, dims]] + p.tables.held[level, s.flat[level, dims]]
        if held > p.tables.room[level]:
            return False
    if rests != NOBODY:
        found = False
        for k in range(len(s.loops.bounds)):
            found = found or (
                p.terms.group[k] == rests
                and s.loops.between[s.loops.chosen[level, k]] > outer_rounds(s.loops, level, k)
            )
        if not found:
            return False
    for k in range(len(s.loops.bounds)):
        s.wide[level, k] = s.wide[level + 1, k] * spatial(s.loops, level, k)
    s.traffic[level] = s.traffic[level + 1]
    cross(p, s, level, rested)
    _note_others(p, s, level)
    note_runs(p, s, level, rested)
    settle(p, s, level, traffic)
    return True


@_compiled
def begin(p, s, traffic):
    """Work out what follows from nothing decided and return the least value; `traffic` is room of shape [L, 2]."""
    levels = len(p.terms.fanout)
    note_shared(s.loops, p.slides, p.terms.source, s.shared, levels)
    note_runs(p, s, levels, np.zeros(levels, np.bool_))
    settle(p, s, levels, traffic)
    return value_of(p, p.least_pj + s.innermost[levels] + p.tables.everything, s.delay[levels])


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
    levels, dims = len(p.terms.fanout), len(s.loops.bounds)
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
            s.loops.pattern[level] = rests
            if not _enter(p, s, level):
                continue
        else:
            k, i = j - 1, s.loops.state[level + 1, j - 1]
            o = p.first[level, k, i] + s.tried[at]
            if o >= p.first[level, k, i + 1]:
                s.at[0] -= 1
                continue
            if not _choose(p, s, level, j, o):
                continue
        looked += 1
        if bound_at(p, s, level, j, threshold) >= threshold:
            continue
        if j == dims:
            if not _complete(p, s, level, rested, traffic):
                continue
            value = value_of(p, p.least_pj + s.energy[level] + s.innermost[level], s.delay[level])
            if value >= threshold:
                continue
            if level == 0:
                values[have] = value
                found[have] = s.loops.chosen
                patterns[have] = s.loops.pattern[:levels]
                have += 1
                continue
        s.at[0] += 1
        s.tried[s.at[0]] = -1
    s.at[1] += looked
    return have
