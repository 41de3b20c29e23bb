"""The mappings of a layer onto a hierarchy as short rows of whole numbers, and random steps between them.

A row holds the factor that each loop would like (all but the outermost over a dimension, which takes what is left),
the order of each level's temporal loops, and what each level keeps. Every row is a mapping of the layer: from the
innermost loop outwards a factor f leaves ceil(n / f) rounds, the last of which is short where f does not divide n
(an imperfect factor: Ruby, Horeni et al., ISPASS 2022). Where only perfect factors are allowed, a loop takes the
largest divisor up to what it would like.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from armillary.cost_model.kernel import Array, Nest, judge
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Genes = NDArray[np.int64]
TEMPORAL, ON_X, ON_Y = range(3)
_D = len(DIMENSIONS)
_UNLIMITED = 1 << 62
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
    perfect: bool


class GeneSpace:
    """The mappings that a hierarchy's rules allow for a layer.

    Args:
        hierarchy: onto which.
        layer: of what.
        perfect: whether all factors must divide.

    Raises:
        ArmillaryError: if the rules leave some dimension without a loop.
    """

    def __init__(self, hierarchy: Hierarchy, layer: Layer, *, perfect: bool = False) -> None:
        self.hierarchy, self.layer, self.perfect = hierarchy, layer, perfect
        self.levels = hierarchy.inner_first
        self.bounds = loop_bounds(layer)
        self.rules = self._rules()
        self.slots = len(self.rules.level)
        self.width = self.slots + (_D + 1) * len(self.levels)

    @property
    def is_point(self) -> bool:
        """Whether there is nothing to choose: no factor, no order, no bypass."""
        orders = any(len(self._ordered(level)) > 1 for level in self.levels)
        return not len(self.rules.free) and not orders and not self.rules.choice.any()

    def _rules(self) -> Rules:
        slots = [self._slots(d) for d in DIMENSIONS]
        rows = [slot for of_one in slots for slot in of_one]
        first = np.cumsum([0, *map(len, slots)])
        last = set((first[1:] - 1).tolist())
        free = [
            i
            for i, (d, _, _, most, fixed, _) in enumerate(rows)
            if i not in last and not fixed and most > 1 and self.bounds[d] > 1
        ]
        ordered = [self._ordered(level) for level in self.levels]
        rest = [[d for d in DIMENSIONS if d not in order] for order in ordered]
        able = [_bits(level.keeps) for level in self.levels]
        choice = [_bits("".join(t for t in level.rules.may_bypass if t in level.keeps)) for level in self.levels]
        choice[-1] = 0
        return Rules(
            first,
            *(np.array([row[column] for row in rows], dtype=np.int64) for column in range(1, 6)),
            free=np.array(free, dtype=np.int64),
            order=np.array([[DIMENSIONS.index(d) for d in a + b] for a, b in zip(ordered, rest, strict=True)]),
            held=np.array([sum(d in level.rules.innermost for d in o) for level, o in zip(self.levels, ordered, strict=True)]),
            turning=np.array(list(map(len, ordered))),
            able=np.array(able),
            choice=np.array(choice),
            perfect=self.perfect,
        )

    def _slots(self, dimension: str) -> list[tuple[str, int, int, int, int, int]]:
        """Return the loops that a dimension may have, innermost first: itself, level, kind, most, fixed, reach."""
        bound = self.bounds[dimension]
        reaches = [level.rules.max_tile.get(dimension, _UNLIMITED) for level in self.levels]
        found = []
        for number, level in enumerate(self.levels):
            reach = min(reaches[number:])
            for kind, allowed, fanout in (
                (ON_X, level.rules.spatial_x, level.fanout[0]),
                (ON_Y, level.rules.spatial_y, level.fanout[1]),
            ):
                if dimension in allowed and fanout > 1 and bound > 1:
                    found.append((dimension, number, kind, fanout, 0, reach))
            if dimension in level.rules.temporal:
                fixed = level.rules.factors.get(dimension, 0)
                found.append((dimension, number, TEMPORAL, _UNLIMITED, fixed, reach))
        if not found and bound > 1:
            raise ArmillaryError(
                f"layer {self.layer.name}: the rules leave no way to split {dimension}={bound} over levels "
                f"{[level.name for level in self.levels]}"
            )
        return found

    def _ordered(self, level: Level) -> list[str]:
        """Return the dimensions whose temporal loops can turn at a level, those that the rules order first."""
        here = [
            d for d in DIMENSIONS if self.bounds[d] > 1 and d in level.rules.temporal and level.rules.factors.get(d) != 1
        ]
        first = [d for d in level.rules.innermost if d in here]
        return first + [d for d in here if d not in first]

    def random(self, n: int, rng: np.random.Generator) -> Genes:
        """Return n rows: factors even in their logarithms, orders and bypasses uniform, shape [n, width]."""
        return self.of_cube(rng.random((n, self.width)))

    def of_cube(self, points: Array) -> Genes:
        """Return the rows of points of the unit cube, shape [n, width]."""
        rules, genes = self.rules, np.ones(points.shape, dtype=np.int64)
        bounds = np.repeat([self.bounds[d] for d in DIMENSIONS], np.diff(rules.first))
        most = np.minimum(rules.most, bounds)
        genes[:, : self.slots] = np.minimum(np.exp(points[:, : self.slots] * np.log(most + 1.0)), most)
        orders = points[:, self.slots : -len(self.levels)].reshape(len(points), len(self.levels), _D)
        for number in range(len(self.levels)):
            at, held, turning = self.slots + number * _D, rules.held[number], rules.turning[number]
            free = rules.order[number, held:turning]
            genes[:, at : at + _D] = rules.order[number]
            genes[:, at + held : at + turning] = free[np.argsort(orders[:, number, : len(free)], axis=1)]
        passed = (points[:, -len(self.levels) :] * 8).astype(np.int64) & rules.choice
        genes[:, -len(self.levels) :] = rules.able & ~passed
        return genes

    def outermost(self) -> Genes:
        """Return the row whose loops all turn as far outside as the rules allow, shape [1, width]."""
        genes = self.of_cube(np.zeros((1, self.width)))
        genes[:, : self.slots] = 1
        return genes

    def nests(self, genes: Genes) -> tuple[Nest, NDArray[np.bool_]]:
        """Return rows as the kernel takes them, stacked, and which keep to the rules of factors, shape [n]."""
        nests = blank(len(genes), len(self.levels))
        sound = np.empty(len(genes), dtype=bool)
        decode_some(genes, self.rules, bounds_of(self.layer), nests, sound)
        return nests, sound

    def mapping(self, gene: Genes) -> Mapping:
        """Return the mapping of one row, shape [width]; loops that do not turn are left out."""
        nests, _ = self.nests(gene[None])
        factors, lasts, chain = self._chain(gene)
        levels = []
        for number in range(len(self.levels) - 1, -1, -1):
            loops: dict[int, dict[int, Loop]] = {TEMPORAL: {}, ON_X: {}, ON_Y: {}}
            for slot, d in enumerate(chain):
                if self.rules.level[slot] == number and factors[slot] > 1:
                    kind, residual = int(self.rules.kind[slot]), lasts[slot] % factors[slot]
                    loops[kind][d] = Loop(DIMENSIONS[d], factors[slot], ("", "X", "Y")[kind], residual)  # type: ignore[arg-type]
            outer_first = nests.order[0, number, ::-1].astype(int).tolist()
            temporal = tuple(loops[TEMPORAL][d] for d in outer_first if d in loops[TEMPORAL])
            spatial = (*loops[ON_X].values(), *loops[ON_Y].values())
            held = nests.keeps[0, number].astype(bool).tolist()
            levels.append(LevelMapping("".join(t for t, kept in zip(TENSORS, held, strict=True) if kept), temporal, spatial))
        return Mapping(tuple(levels))

    def _chain(self, gene: Genes) -> tuple[list[int], list[int], list[int]]:
        """Return the factor, the iterations of the last round and the dimension of every slot."""
        factors, lasts = np.ones(self.slots, dtype=np.int64), np.ones(self.slots, dtype=np.int64)
        chain = np.repeat(np.arange(_D), np.diff(self.rules.first)).tolist()
        for d in range(_D):
            split(gene, self.rules, d, self.bounds[DIMENSIONS[d]], factors, lasts)
        return factors.tolist(), lasts.tolist(), chain


def bounds_of(layer: Layer) -> NDArray[np.int64]:
    """Return how far each loop of a layer runs, shape [8]."""
    return np.array(list(loop_bounds(layer).values()), dtype=np.int64)


def blank(*shape: int) -> Nest:
    """Return nests to decode into, of a shape [..., levels]: no loop turns, spatial loops in the dimensions' order."""
    factors = [np.ones((*shape, _D)) for _ in range(6)]
    across = np.broadcast_to(np.arange(_D, dtype=float), (*shape, _D))
    return Nest(*factors, order_x=across.copy(), order_y=across.copy(), keeps=np.ones((*shape, len(TENSORS))))


def _bits(tensors: str) -> int:
    return sum(1 << TENSORS.index(t) for t in tensors)


_compiled = njit(cache=True, nogil=True, error_model="numpy")


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
        for t in range(3):
            nest.keeps[level, t] = (gene[at + level] >> t) & 1
    return True


@_compiled
def _nest_of(nests, i):
    return Nest(
        nests.temporal[i], nests.temporal_last[i], nests.spatial[i], nests.spatial_last[i], nests.along_y[i],
        nests.order[i], nests.order_x[i], nests.order_y[i], nests.keeps[i],
    )  # fmt: skip


@_compiled
def decode_some(genes, rules, bounds, nests, sound):
    """Put rows' mappings into stacked nests, and whether the rules allow them into `sound`."""
    factors, lasts = np.ones(len(rules.level), np.int64), np.ones(len(rules.level), np.int64)
    for i in range(len(genes)):
        sound[i] = decode(genes[i], rules, bounds, _nest_of(nests, i), factors, lasts)


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
def _move_factor(gene, rules, bounds):
    """Change one loop's factor; half the time another loop over the dimension makes up for it."""
    slot = rules.free[np.random.randint(len(rules.free))]
    d = _dimension_of(rules, slot)
    old = min(gene[slot], bounds[d])
    new = _random_factor(old, bounds[d], rules.most[slot])
    gene[slot] = new
    if np.random.random() < 0.5:
        other = rules.first[d] + np.random.randint(rules.first[d + 1] - rules.first[d])
        if other != slot and not rules.fixed[other] and other < rules.first[d + 1] - 1:
            wanted = int(np.ceil(gene[other] * old / new)) if new > old else gene[other] * (old // new)
            gene[other] = max(1, min(wanted, min(rules.most[other], bounds[d])))


@_compiled
def _trade_factors(gene, rules, bounds):
    """Give one dimension what another one loses, at loops of one kind on one level."""
    slot = rules.free[np.random.randint(len(rules.free))]
    other = rules.free[np.random.randint(len(rules.free))]
    for _ in range(8):
        if other != slot and rules.level[other] == rules.level[slot] and rules.kind[other] == rules.kind[slot]:
            break
        other = rules.free[np.random.randint(len(rules.free))]
    a, b = _dimension_of(rules, slot), _dimension_of(rules, other)
    if rules.kind[slot] != TEMPORAL and np.random.random() < 0.5:
        gene[slot], gene[other] = gene[other], gene[slot]
    else:
        by = 2 + np.random.randint(3)
        gene[slot] = gene[slot] * by
        gene[other] = -(-gene[other] // by)
    gene[slot] = max(1, min(gene[slot], min(rules.most[slot], bounds[a])))
    gene[other] = max(1, min(gene[other], min(rules.most[other], bounds[b])))


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
        gene[len(rules.level) + len(rules.held) * _D + level] ^= bit


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
    """Judge rows first..last-1, or let them take random steps; a worse one is taken with a chance of exp(-worse / heat).

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
        plan: steps of each row, heat, seed, and whether rows are new: 1 judges them, 2 first halves factors of those that
            do not fit until they do.
    """
    rules, bounds, chip, work, goal = space
    flow, nest = room
    steps, heat, seed, fresh = plan
    factors, lasts = np.ones(len(rules.level), np.int64), np.ones(len(rules.level), np.int64)
    trial, cost = np.empty(genes.shape[1], np.int64), np.empty(2)
    for i in range(first, last):
        np.random.seed((seed * 1_000_003 + i * 7919) % 4_294_967_291)
        trial[:] = genes[i]
        attempts = 1 if fresh == 1 else 64 * len(rules.free) + 1 if fresh == 2 else 0
        if fresh:
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
                _soften(trial, rules, bounds)
            if not decode(trial, rules, bounds, nest, factors, lasts) or not judge(nest, chip, work, flow, cost):
                continue
            score = score_of(cost[0], cost[1], goal)
            if score <= scores[i] or (heat > 0 and np.random.random() < np.exp((scores[i] - score) / heat)):
                for slot in range(len(factors)):  # what the loops got, not what they wished for
                    trial[slot] = factors[slot]
                genes[i] = trial
                scores[i] = score
                costs[i] = cost
