"""What decided levels cost, compiled: the traffic of outer levels, and what follows for delay and energy.

It is what the cost model says, up to factors of temporal loops, of which only the rounds are decided.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import called, compilers
from armillary.mapping.proven import windows
from armillary.mapping.proven.state import INPUTS, OUTPUTS, outer_rounds, spatial
from armillary.mapping.proven.windows import input_words, note_shared

SOURCES = (Path(__file__), *windows.SOURCES)
_, _inlined = compilers(*SOURCES)
_called = called(*SOURCES)


@_called
def _may_be_one(inside, outside, factor):
    """Return whether a loop's last round may have one iteration: `factor` is 0 where it is open."""
    if outside == 1:
        return False
    if factor:
        return inside - (outside - 1) * factor == 1
    return (inside - 1) % (outside - 1) == 0


@_called
def count(loops, k, boundary, source, rested, tensor):
    """Return the least rounds of a dimension that bring a tensor anew over a boundary.

    Those of temporal loops at levels that `rested` marks do not count, nor do spatial ones at levels up to `source`
    where one read serves all. Loops that count and stand together make the rounds that are known; across one that does
    not count, the last round may be short only if that loop's own last round has one iteration.
    """
    levels = len(loops.chosen)
    total = 1.0
    start = seen = 1
    whole = True  # all loops so far count
    short = open_gap = False
    for level in range(levels - 1, boundary - 1, -1):
        o = loops.chosen[level, k]
        for kind in range(3):
            if kind == 0:
                outside, inside, factor = outer_rounds(loops, level, k), loops.between[o], 0
                counts = not rested[level]
            else:
                outside = loops.between[o] if kind == 1 else loops.middle[o]
                inside = loops.middle[o] if kind == 1 else loops.values[k, loops.inside[o]]
                factor = loops.along_y[o] if kind == 1 else loops.along_x[o]
                counts = level > source or loops.shares[level, tensor] == 0
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


@_called
def mark_rested(loops, boundary, tensor, rested):
    """Mark the levels whose loops let a tensor rest at a boundary."""
    levels, dims = len(loops.chosen), len(loops.bounds)
    rested[:] = False
    for level in range(boundary, levels):
        turns = others = False
        for k in range(dims):
            if loops.between[loops.chosen[level, k]] > outer_rounds(loops, level, k):
                turns = True
                others = others or loops.group[k] != tensor
        if not turns:
            continue
        if loops.pattern[level] != tensor:
            return
        rested[level] = True
        if others:
            return


@_called
def _spread_outside(loops, level):
    """Return how many instances outside a level add to one output, at most."""
    product = 1.0
    for number in range(level + 1, len(loops.chosen)):
        for k in range(len(loops.bounds)):
            if loops.group[k] == OUTPUTS:
                product *= spatial(loops, number, k)
    return product


@_called
def cross(p, s, boundary, rested):
    """Add up what crosses a boundary, the levels outside it decided."""
    dims, outermost = len(s.loops.bounds), len(p.terms.fanout) - 1
    energy = ports = 0.0
    if p.extrapolated:
        note_shared(s.loops, p.slides, p.terms.source, s.shared, boundary)
    for t in range(3):
        rested[:] = False
        arriving = apart = 1.0
        for k in range(dims):
            if p.terms.group[k] == t:
                arriving *= s.loops.values[k, s.loops.state[boundary, k]]
                apart *= count(s.loops, k, boundary, outermost, rested, t)
        s.moves[boundary, t, 0], s.moves[boundary, t, 1] = arriving, apart
        if boundary > 0:
            mark_rested(s.loops, boundary, t, rested)
        arriving = apart = 1.0
        for k in range(dims):
            if p.terms.group[k] == t:
                arriving *= count(s.loops, k, boundary, -1, rested, t)
                apart *= count(s.loops, k, boundary, outermost, rested, t)
        s.rest[boundary, t, 0], s.rest[boundary, t, 1] = arriving, apart
        u, m = p.terms.source[boundary, t], boundary - 1
        if u < 0:
            continue
        read = 1.0
        for k in range(dims):
            if p.terms.group[k] == t:
                read *= count(s.loops, k, boundary, u, rested, t)
        words = p.terms.words[t]
        if t == INPUTS:
            words *= input_words(s.loops, p.extrapolated, boundary)
            if p.extrapolated:
                read = 0.0 if s.shared[boundary, boundary, 0] else read
                arriving = 0.0 if s.shared[boundary, boundary, 1] else arriving
        own = _spread_outside(s.loops, u) if t == OUTPUTS else 0.0
        again = max(0.0, read - own)
        energy += words * again * p.terms.read_pj[u, t]
        s.traffic[boundary, u, 0] += words * again * p.terms.reads[u, t]
        if t == OUTPUTS:
            energy += words * read * p.terms.update_pj[u]
            s.traffic[boundary, u, 1] += words * read * p.terms.updates[u]
        if u == outermost:
            ports += words * again * p.terms.reads[u, t] * p.port_weights[0]
            if t == OUTPUTS:
                ports += words * read * p.terms.updates[u] * p.port_weights[1]
        if m >= 0:
            came = max(0.0, arriving - (_spread_outside(s.loops, m) if t == OUTPUTS else 0.0))
            energy += words * came * p.terms.fill_pj[m, t]
            s.traffic[boundary, m, 1] += words * came * p.terms.writes[m, t]
    s.energy[boundary] = s.energy[boundary + 1] + energy
    s.ports[boundary] = s.ports[boundary + 1] + ports


@_called
def _shared_out(loops, decided, level, k):
    """Return how many instances a level gives a dimension: as decided, or at most."""
    return spatial(loops, level, k) if level >= decided else loops.spread[level, k]


@_called
def _innermost_reads(loops, decided, t, u):
    """Return the least repeats of what the compute units take of a tensor, levels from `decided` outwards being so."""
    exact = product = 1.0
    for k in range(len(loops.bounds)):
        if loops.group[k] != t:
            continue
        served = done = 1.0
        for level in range(u + 1):
            if loops.shares[level, t] > 0:
                served *= _shared_out(loops, decided, level, k)
                if level >= decided:
                    done *= spatial(loops, level, k)
        exact *= np.ceil(loops.bounds[k] / served)
        product *= loops.bounds[k] / done
    for level in range(min(u + 1, decided)):
        if loops.shares[level, t] > 0:
            product /= loops.fanout[level, 0] * loops.fanout[level, 1]
    return max(exact, product)


@_called
def _compute(p, s, decided, traffic):
    """Add up the least that the compute units take and give; put the words into `traffic`."""
    energy = 0.0
    levels = len(p.terms.fanout)
    for t in range(3):
        u = p.terms.source[0, t]
        if u < 0:
            continue
        read = _innermost_reads(s.loops, decided, t, u)
        words = p.terms.words[t]
        if t == INPUTS:
            words *= p.terms.window[0, 0] * p.terms.window[0, 1] * p.terms.window[1, 0] * p.terms.window[1, 1]
            if p.extrapolated and s.shared[decided, 0, 0]:
                read = 0.0
        own = 0.0
        if t == OUTPUTS:
            own = 1.0
            for level in range(u + 1, levels):
                adding, most = 1.0, p.terms.fanout[level, 0] * p.terms.fanout[level, 1]
                for k in range(len(s.loops.bounds)):
                    if p.terms.group[k] == OUTPUTS:
                        adding *= _shared_out(s.loops, decided, level, k)
                own *= min(adding, most)
            energy += words * read * p.terms.update_pj[u]
            traffic[u, 1] += words * read * p.terms.updates[u]
        again = max(0.0, read - own)
        energy += words * again * p.terms.read_pj[u, t]
        traffic[u, 0] += words * again * p.terms.reads[u, t]
    return energy


@_called
def _least_steps(loops, futures, ways, decided):
    """Return the least steps of the compute units."""
    levels, dims = len(loops.fanout), len(loops.bounds)
    least = np.inf
    for way in range(ways[decided]):
        steps = 1.0
        for k in range(dims):
            shared = futures[decided, way, k]
            for level in range(decided, levels):
                shared *= spatial(loops, level, k)
            steps *= np.ceil(loops.bounds[k] / shared)
        least = min(least, steps)
    product = 1.0
    for k in range(dims):
        product *= loops.bounds[k]
        for level in range(decided, levels):
            product /= spatial(loops, level, k)
    for level in range(decided):
        product /= loops.fanout[level, 0] * loops.fanout[level, 1]
    return max(product, least) if ways[decided] else product


@_called
def settle(p, s, decided, traffic):
    """Work out what follows once a level and those outside it are decided: energy inside, and delay."""
    levels, dims = len(p.terms.fanout), len(s.loops.bounds)
    traffic[:] = s.traffic[decided]
    s.innermost[decided] = 0.0
    if decided > 0:
        s.innermost[decided] = _compute(p, s, decided, traffic)
    delay = _least_steps(s.loops, p.futures, p.ways, decided)
    instances = 1.0
    read = written = 0.0
    for level in range(levels - 1, -1, -1):
        if p.terms.part[level] == 0:  # else the level shares ports with the outer part of its memory
            read = written = 0.0
        read += traffic[level, 0]
        written += max(0.0, traffic[level, 1] - p.final_words[level])
        cycles = max(read / p.terms.rates[level, 0], written / p.terms.rates[level, 1])
        delay = max(delay, max(cycles, (read + written) / p.terms.rates[level, 2]) / instances)
        if level >= decided:
            for k in range(dims):
                instances *= spatial(s.loops, level, k)
        else:
            instances *= p.terms.fanout[level, 0] * p.terms.fanout[level, 1]
    s.delay[decided] = np.ceil(delay * (1 - 1e-12))
