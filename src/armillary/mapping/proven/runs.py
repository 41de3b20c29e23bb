"""What a tensor costs as long as it rests, compiled: at every boundary inside the levels that are decided."""

from __future__ import annotations

from pathlib import Path

from armillary.compiled import called, compilers
from armillary.mapping.proven import decided
from armillary.mapping.proven.decided import count, mark_rested
from armillary.mapping.proven.state import INPUTS, OUTPUTS, outer_rounds

SOURCES = (Path(__file__), *decided.SOURCES)
_, _inlined = compilers(*SOURCES)
_called = called(*SOURCES)


@_inlined
def rest_cost(p, s, inward, boundary, t, arriving, apart, of_ports):
    """Return what a resting tensor costs at a boundary, repeated so often."""
    u, m = p.terms.source[boundary, t], boundary - 1
    if u < 0:
        return 0.0
    words = p.terms.words[t] * (p.tables.least_inputs if t == INPUTS else 1.0)
    if t == INPUTS and p.extrapolated:
        apart = 0.0 if s.shared[inward, boundary, 0] else apart
        arriving = 0.0 if s.shared[inward, boundary, 1] else arriving
    again = max(0.0, apart - p.tables.outside[u]) if t == OUTPUTS else apart
    if of_ports:
        if u != len(p.terms.fanout) - 1:
            return 0.0
        cost = again * p.terms.reads[u, t] * p.port_weights[0]
        if t == OUTPUTS:
            cost += apart * p.terms.updates[u] * p.port_weights[1]
        return words * cost
    came = max(0.0, arriving - p.tables.outside[m]) if t == OUTPUTS else arriving
    cost = again * p.terms.read_pj[u, t] + came * p.terms.fill_pj[m, t]
    if t == OUTPUTS:
        cost += apart * p.terms.update_pj[u]
    return words * cost


@_inlined
def _spread_over(p, rounds, level, k):
    """Return how often a tensor arrives at least at the instances of a level, which it reaches in so many rounds."""
    if p.perfect:
        return rounds * p.least.spread[level, k]
    if rounds == 1:
        return p.least.once[level, k]
    return (rounds - 1) * p.least.spread[level, k] + 1


@_called
def note_runs(p, s, inward, rested):
    """Note what each tensor costs if it rests at boundaries from `inward` - 1 on, levels from `inward` being decided.

    Its run either goes on from outside, or begins at the level outside the first of these boundaries.
    """
    outermost = len(p.terms.fanout) - 1
    for t in range(3):
        for begins in range(2):
            rested[:] = False
            if not begins and inward <= outermost:
                mark_rested(s.loops, inward, t, rested)
            total = 0.0
            for b in range(inward - 1, 0, -1):
                arriving = apart = 1.0
                for k in range(len(s.loops.bounds)):
                    if p.terms.group[k] != t:
                        continue
                    if inward > outermost:
                        own = served = 1.0
                    elif begins:
                        own = outer_rounds(s.loops, inward - 1, k)
                        served = count(s.loops, k, inward, outermost, rested, t)
                    else:
                        own = count(s.loops, k, inward, -1, rested, t)
                        served = count(s.loops, k, inward, outermost, rested, t)
                    for level in range(inward - 1, b - 1, -1):
                        own = _spread_over(p, own, level, k)
                        if level > p.terms.source[b, t] or p.terms.shares[level, t] == 0:
                            served = _spread_over(p, served, level, k)
                    arriving *= own
                    apart *= served
                total += rest_cost(p, s, inward, b, t, arriving, apart, False)
                s.runs[inward, t, begins, inward - 1 - b] = total
