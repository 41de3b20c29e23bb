"""Random steps between the mappings of a layer, compiled: rows of `genes` become nests, are judged, and change.

For the shapes see `Rules`, `genes` and `cost_model.kernel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model import kernel
from armillary.cost_model.kernel.judge import judge
from armillary.cost_model.kernel.nest import nest_of
from armillary.hardware.hierarchy import DIMENSIONS

TEMPORAL, ON_X, ON_Y = range(3)
_D = len(DIMENSIONS)
_EDP, _DELAY, _ENERGY = range(3)
_TIES = 1e-6  # of two mappings equally fast the one with less energy is better, and the other way round


class Rules(NamedTuple):
    """What the rows of a layer on a hierarchy mean; S slots (loops that a dimension may have), L levels.

    Attributes:
        first: number of each dimension's first slot, the innermost, and of all at the end, shape [9].
        level: of each slot, shape [S].
        kind: temporal, on X or on Y, shape [S].
        most: largest factor, shape [S].
        fixed: the factor that the rules fix, 0 if none, shape [S].
        reach: how far the tile inside and this loop may extend together, shape [S].
        free: slots whose factor is a matter of choice, shape [F].
        order: dimensions of a level: those whose order the rules fix, the others that turn, the rest, shape [L, 8].
        held: how many of them the rules order, shape [L].
        turning: how many can turn, shape [L].
        able: tensors that a level can hold, as bits, shape [L].
        choice: of these, the ones that it may pass by, as bits, shape [L].
        part: 1 where a level is part of the memory of the next outer one, which then chooses first, shape [L].
        perfect: whether factors must divide.
    """

    first: NDArray[np.int64]
    level: NDArray[np.int64]
    kind: NDArray[np.int64]
    most: NDArray[np.int64]
    fixed: NDArray[np.int64]
    reach: NDArray[np.int64]
    free: NDArray[np.int64]
    order: NDArray[np.int64]
    held: NDArray[np.int64]
    turning: NDArray[np.int64]
    able: NDArray[np.int64]
    choice: NDArray[np.int64]
    part: NDArray[np.int64]
    perfect: bool


SOURCES = (Path(__file__), Path(kernel.__file__).parent)
_compiled, _inlined = compilers(*SOURCES)


@_compiled
def split(gene, rules, d, bound, factors, lasts):
    """Put the factors of a dimension's slots and their last rounds in and return whether the rules allow them."""
    begin, end = rules.first[d], rules.first[d + 1]
    left = bound
    inside = 1
    for slot in range(begin, end):
        if slot < end - 1 and (gene[slot] == 1 or left == 1) and not rules.fixed[slot]:
            factors[slot] = lasts[slot] = 1
            continue
        most = rules.most[slot]
        if rules.reach[slot] < bound:
            most = min(most, rules.reach[slot] // inside)
        if slot == end - 1:
            factor = left
            if factor > most or (rules.fixed[slot] and factor != rules.fixed[slot]):
                return False
        elif rules.fixed[slot]:
            factor = rules.fixed[slot]
            if factor > min(left, most) or (rules.perfect and left % factor):
                return False
        else:
            factor = max(1, min(gene[slot], min(left, most)))
            while rules.perfect and left % factor:
                factor -= 1
        rounds = (left + factor - 1) // factor
        factors[slot] = factor
        lasts[slot] = left - (rounds - 1) * factor
        inside = min(inside * factor, bound)
        left = rounds
    return left == 1


def held(bits: Sequence[int], rules: Rules, level: int) -> int:
    """Return the tensors that a level holds, as bits, of what a row says of every level; -1 if parts do not share.

    Of one memory the inner part holds what the outer one leaves. Each holds a tensor at least, the outer one before the
    inner, so that no two rows put all tensors at different places.
    """
    own = bits[level]
    if rules.part[level]:
        return own & ~bits[level + 1]
    if level > 0 and rules.part[level - 1]:
        rest = bits[level - 1] & ~own
        if (own == 0 and rest != 0) or (rest == 0 and own & (own - 1)):
            return -1
    return own


_held = _inlined(held)


@_compiled
def decode(gene, rules, bounds, nest, factors, lasts):
    """Put a row's mapping into a nest of `blank` and return whether the rules allow its factors."""
    levels = len(nest.temporal)
    nest.temporal[:] = 1.0
    nest.temporal_last[:] = 1.0
    nest.spatial[:] = 1.0
    nest.spatial_last[:] = 1.0
    nest.along_y[:] = 1.0
    for d in range(_D):
        if bounds[d] == 1:
            continue
        if not split(gene, rules, d, bounds[d], factors, lasts):
            return False
        for slot in range(rules.first[d], rules.first[d + 1]):
            level, factor, last = rules.level[slot], factors[slot], lasts[slot]
            if rules.kind[slot] == TEMPORAL:
                nest.temporal[level, d] = factor
                nest.temporal_last[level, d] = last
            else:  # X stands inside Y: instances are numbered along both
                nest.spatial_last[level, d] += (last - 1) * nest.spatial[level, d]
                nest.spatial[level, d] *= factor
                if rules.kind[slot] == ON_Y:
                    nest.along_y[level, d] = factor
    at = len(rules.level)
    for level in range(levels):
        for i in range(_D):
            nest.order[level, i] = gene[at + i]
        at += _D
    for level in range(levels):
        bits = _held(gene[at:], rules, level)
        if bits < 0:
            return False
        for t in range(3):
            nest.keeps[level, t] = (bits >> t) & 1
    return True


@_compiled
def decode_some(genes, rules, bounds, nests, sound):
    """Put rows' mappings into stacked nests, and whether the rules allow them into `sound`."""
    factors, lasts = np.ones(len(rules.level), np.int64), np.ones(len(rules.level), np.int64)
    for i in range(len(genes)):
        sound[i] = decode(genes[i], rules, bounds, nest_of(nests, i), factors, lasts)


@_compiled
def score_of(delay, energy, goal):
    """Return the logarithm of what is minimised; the other one of delay and energy breaks ties."""
    if goal == _EDP:
        return np.log(delay) + np.log(energy)
    if goal == _DELAY:
        return np.log(delay) + _TIES * np.log(energy)
    return np.log(energy) + _TIES * np.log(delay)


@_compiled
def _random_factor(old, bound, most):
    """Return a factor that a step may try: a neighbour, a multiple, a balanced share of the bound, or an end."""
    kind = np.random.randint(9)
    if kind == 0:
        new = old * 2
    elif kind == 1:
        new = old // 2
    elif kind == 2:
        new = old + 1
    elif kind == 3:
        new = old - 1
    elif kind == 4:
        new = 1
    elif kind == 5:
        new = most
    elif kind == 6:
        new = -(-bound // np.random.randint(1, min(bound, 64) + 1))
    elif kind == 7:
        new = old * 3 if np.random.random() < 0.5 else -(-old // 3)
    else:
        new = int(np.exp(np.random.random() * np.log(bound + 1.0)))
    return max(1, min(new, min(most, bound)))


@_compiled
def _dimension_of(rules, slot):
    d = 0
    while rules.first[d + 1] <= slot:
        d += 1
    return d


@_compiled
def _set_factor(gene, rules, bounds, slot, new, makes_up):
    """Change one loop's factor; with a chance of `makes_up` another loop over the dimension makes up for it."""
    d = _dimension_of(rules, slot)
    old = max(1, min(gene[slot], bounds[d]))
    new = max(1, min(new, min(rules.most[slot], bounds[d])))
    gene[slot] = new
    if np.random.random() < makes_up:
        other = rules.first[d] + np.random.randint(rules.first[d + 1] - rules.first[d])
        if other != slot and not rules.fixed[other] and other < rules.first[d + 1] - 1:
            wanted = int(np.ceil(gene[other] * old / new))
            gene[other] = max(1, min(wanted, min(rules.most[other], bounds[d])))


@_compiled
def _move_factor(gene, rules, bounds):
    """Change one loop's factor."""
    slot = rules.free[np.random.randint(len(rules.free))]
    bound = bounds[_dimension_of(rules, slot)]
    new = _random_factor(min(gene[slot], bound), bound, rules.most[slot])
    _set_factor(gene, rules, bounds, slot, new, 0.5)


@_compiled
def _trade_factors(gene, rules, bounds):
    """Give one dimension what another one loses, at loops of one kind on one level."""
    slot = rules.free[np.random.randint(len(rules.free))]
    other = rules.free[np.random.randint(len(rules.free))]
    for _ in range(8):
        if other != slot and rules.level[other] == rules.level[slot] and rules.kind[other] == rules.kind[slot]:
            break
        other = rules.free[np.random.randint(len(rules.free))]
    makes_up = 0.8 if np.random.random() < 0.5 else 0.0
    mine, theirs = gene[slot], gene[other]
    if rules.kind[slot] != TEMPORAL and np.random.random() < 0.5:
        mine, theirs = theirs, mine
    else:
        by = 2 + np.random.randint(3)
        mine, theirs = mine * by, -(-theirs // by)
    _set_factor(gene, rules, bounds, slot, mine, makes_up)
    _set_factor(gene, rules, bounds, other, theirs, makes_up)


@_compiled
def _move_loop(gene, rules):
    """Put one loop of a level elsewhere in its order."""
    level = np.random.randint(len(rules.held))
    at = len(rules.level) + level * _D
    begin, count = rules.held[level], rules.turning[level] - rules.held[level]
    if count < 2:
        return
    source = begin + np.random.randint(count)
    target = begin + np.random.randint(count)
    moved = gene[at + source]
    while source != target:
        towards = 1 if target > source else -1
        gene[at + source] = gene[at + source + towards]
        source += towards
    gene[at + target] = moved


@_compiled
def _move_keep(gene, rules):
    """Keep a tensor at a level that passed it by, or the other way round."""
    level = np.random.randint(len(rules.held))
    bit = 1 << np.random.randint(3)
    if rules.choice[level] & bit:
        bits = gene[len(rules.level) + len(rules.held) * _D :]
        bits[level] ^= bit
        if _held(bits, rules, level) < 0:  # one tensor changes places with another one
            bits[level] ^= rules.choice[level] & (1 << np.random.randint(3))


@_compiled
def _swap_dimensions(gene, rules, bounds):
    """Let two dimensions change places in all loops, as rows and columns of a picture may."""
    a, b = np.random.randint(_D), np.random.randint(_D)
    begin, other = rules.first[a], rules.first[b]
    count = rules.first[a + 1] - begin
    if a == b or bounds[a] == 1 or bounds[b] == 1 or count != rules.first[b + 1] - other:
        return
    for i in range(count):
        if rules.level[begin + i] != rules.level[other + i] or rules.kind[begin + i] != rules.kind[other + i]:
            return
    for level in range(len(rules.held)):  # a loop whose place the rules fix stays there
        for i in range(rules.held[level]):
            if rules.order[level, i] == a or rules.order[level, i] == b:
                return
    for i in range(count):
        gene[begin + i], gene[other + i] = gene[other + i], gene[begin + i]
    for level in range(len(rules.held)):
        at = len(rules.level) + level * _D
        for i in range(at + rules.held[level], at + rules.turning[level]):
            if gene[i] == a:
                gene[i] = b
            elif gene[i] == b:
                gene[i] = a


@_compiled
def _respread(gene, rules):
    """Spread one dimension as far as it goes along an axis, and no other."""
    slot = rules.free[np.random.randint(len(rules.free))]
    if rules.kind[slot] == TEMPORAL:
        return
    for other in rules.free:
        if rules.level[other] == rules.level[slot] and rules.kind[other] == rules.kind[slot]:
            gene[other] = 1
    gene[slot] = rules.most[slot]


@_compiled
def _swap_axes(gene, rules):
    """Let X and Y change places where a dimension may lie on both."""
    slot = rules.free[np.random.randint(len(rules.free))]
    for other in range(len(rules.level) - 1):
        if rules.level[other] == rules.level[slot] and rules.kind[other] == ON_X and rules.kind[other + 1] == ON_Y:
            gene[other], gene[other + 1] = gene[other + 1], gene[other]


@_compiled
def mutate(gene, rules, bounds):
    """Take one to three random steps in place."""
    steps = 1 + (np.random.random() < 0.4) + (np.random.random() < 0.15)
    for _ in range(steps):
        kind = np.random.random()
        if kind < 0.6 and len(rules.free):
            if kind < 0.42:
                _move_factor(gene, rules, bounds)
            elif kind < 0.52:
                _trade_factors(gene, rules, bounds)
            elif kind < 0.56:
                _respread(gene, rules)
            elif kind < 0.58:
                _swap_axes(gene, rules)
            else:
                _swap_dimensions(gene, rules, bounds)
        elif kind < 0.92:
            _move_loop(gene, rules)
        else:
            _move_keep(gene, rules)


@_compiled
def _cross(gene, other, rules):
    """Take one dimension's factors, or one level's order and bypasses, from another row."""
    levels = len(rules.held)
    part = np.random.randint(_D + levels)
    if part < _D:
        gene[rules.first[part] : rules.first[part + 1]] = other[rules.first[part] : rules.first[part + 1]]
    else:
        level = part - _D
        at = len(rules.level) + level * _D
        gene[at : at + _D] = other[at : at + _D]
        gene[len(gene) - levels + level] = other[len(gene) - levels + level]


@_compiled
def _soften(gene, rules, bounds):
    """Halve a random factor."""
    slot = rules.free[np.random.randint(len(rules.free))]
    gene[slot] = max(1, min(gene[slot], bounds[_dimension_of(rules, slot)]) // 2)


@_compiled
def walk(genes, others, first, last, space, room, scores, costs, plan):
    """Judge rows first..last-1, or let them take random steps; a worse one with a chance of exp(-worse / heat).

    Metropolis' rule on the logarithm of the goal. Random numbers are each row's own, so that a walk is the same on any
    number of threads.

    Args:
        genes: rows, shape [n, width]; changed.
        others: rows of which parts may be taken, shape [m, width].
        first: number of the first row to look at.
        last: number after the last row.
        space: rules, bounds, chip, layer and goal.
        room: flow and nest to work in.
        scores: of the rows, shape [n]; changed.
        costs: delay and energy of the rows, shape [n, 2]; changed.
        plan: steps of each row, heat, seed, and attempts at rows that are new: the first judges a row, further ones
            halve factors of one that does not fit until it does. 0 for rows that have their scores.

    Returns:
        how many mappings were looked at, and how many of them fit.
    """
    rules, bounds, chip, work, goal = space
    flow, nest = room
    steps, heat, seed, attempts = plan
    if not len(rules.free):
        attempts = min(attempts, 1)
    factors, lasts = np.ones(len(rules.level), np.int64), np.ones(len(rules.level), np.int64)
    trial, cost = np.empty(genes.shape[1], np.int64), np.empty(2)
    looked = legal = 0
    for i in range(first, last):
        np.random.seed((seed * 1_000_003 + i * 7919) % 4_294_967_291)
        trial[:] = genes[i]
        if attempts:
            scores[i] = costs[i, 0] = costs[i, 1] = np.inf
        for step in range(attempts + steps):
            if step >= attempts:
                trial[:] = genes[i]
                if np.random.random() < 0.1:
                    _cross(trial, others[np.random.randint(len(others))], rules)
                if np.random.random() < 0.9:
                    mutate(trial, rules, bounds)
            elif step:
                if scores[i] < np.inf:
                    continue
                for _ in range(1 + step // 8):
                    _soften(trial, rules, bounds)
            looked += 1
            if not decode(trial, rules, bounds, nest, factors, lasts) or not judge(nest, chip, work, flow, cost):
                continue
            legal += 1
            score = score_of(cost[0], cost[1], goal)
            if score <= scores[i] or (heat > 0 and np.random.random() < np.exp((scores[i] - score) / heat)):
                for slot in range(len(factors)):  # what the loops got, not what they wished for
                    trial[slot] = factors[slot]
                genes[i] = trial
                scores[i] = score
                costs[i] = cost
    return looked, legal
