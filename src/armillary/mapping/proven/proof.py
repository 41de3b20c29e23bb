"""The proof: narrower and narrower thresholds below the best mapping known, until none can be better."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.kernel.nest import Chip
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.mapping.genes import GeneSpace
from armillary.mapping.goals import GOALS
from armillary.mapping.judge import Judge
from armillary.mapping.proven.branch import begin, explore
from armillary.mapping.proven.chains import Least, least_of, place
from armillary.mapping.proven.leaves import Leaves
from armillary.mapping.proven.rounds import Ints, Rounds, rounds_of
from armillary.mapping.proven.spans import halves
from armillary.mapping.proven.state import Problem, Stack, stack_of
from armillary.mapping.proven.tables import port_weights, slides_of, tables_of
from armillary.mapping.proven.terms import OUTPUTS, Terms, terms_of, windows_overlap
from armillary.workloads.layer import Layer

GAPS = (0.3, 0.1, 0.03, 0.009, 0.003, 0.001, 0.0)
"""Shares of the best value known by which a mapping must be better to be looked for, one after the other."""
_SAME = 1e-9
PROVEN = "proven"
_NODES, _NODES_TIMED = 500_000, 50_000
"""Nodes between two looks at what was found, without and with a time to keep."""
_PART_NODES = 200_000
"""Nodes of a part after which it is halved, at least."""
_BUILT = 12
"""How often the time that its tables take a part may be searched before it is halved."""
_ENTRIES_PER_NODE = 200
"""How many entries of a part's tables take as long as a node."""
_FOUND = 4_096
_MOST_FUTURES = 400


Begun = tuple[Problem, Stack, Leaves]
"""What does not change, a stack on which nothing is decided, and what turns rounds into rows."""


class Part:
    """A part of the map-space: what each level keeps, how windows move, and how far levels spread the dimensions.

    Args:
        judge: of the space.
        space: what its mappings are rows of.
        rounds: the splits of its dimensions.
        keeps: what each level keeps, as a row says it, as bits, shape [L].
        extrapolated: whether windows move as Timeloop extrapolates them.
        bound: what no mapping of it falls below, as far as that is known.
    """

    def __init__(
        self,
        judge: Judge,
        space: GeneSpace,
        rounds: Rounds,
        keeps: Ints,
        *,
        extrapolated: bool,
        bound: float = 0.0,
    ) -> None:
        self.judge, self._space, self._rounds, self._keeps = judge, space, rounds, keeps
        self._extrapolated = extrapolated
        self._kept: Begun | None = None
        self.bound = bound

    @property
    def size(self) -> int:
        """How many entries the tables of its chain have."""
        return place(len(self._keeps), 1) * 3 * int(np.prod(self._rounds.shape))

    def halves(self) -> list[Part]:
        """Return two parts of it, or the one that holds any mapping; none if all levels spread as they must."""
        return [
            Part(
                self.judge, self._space, rounds, self._keeps, extrapolated=self._extrapolated, bound=self.bound,
            )
            for rounds in halves(self._rounds, self.judge.chip.fanout)
        ]  # fmt: skip

    def narrow(self, gap: float, effort: Effort, nodes: int) -> bool:
        """Look for all mappings better than the best known by a share.

        Args:
            gap: the share.
            effort: what may be looked at in all; what is looked at is taken off.
            nodes: to look at at most.

        Returns:
            whether the search came to an end.
        """
        if self._ends(gap):
            return True
        problem, stack, leaves = self._kept or self._begun(effort)
        self._kept = None
        if self._ends(gap):
            return True
        levels, dims = stack.loops.chosen.shape
        found = np.empty((_FOUND, levels, dims), dtype=np.int64)
        patterns, values = np.empty((_FOUND, levels), dtype=np.int64), np.empty(_FOUND)
        unsolved = np.inf
        while stack.at[0] >= 0:
            threshold = self.judge.value * (1 - max(gap, _SAME))
            before = int(stack.at[1])
            most = min(_NODES_TIMED if self.judge.is_timed else _NODES, effort.left, nodes - before)
            have = explore(problem, stack, threshold, most, found, patterns, values)
            effort.spent += int(stack.at[1]) - before
            for number in np.argsort(values[:have], kind="stable").tolist():
                if values[number] >= self.judge.value * (1 - max(gap, _SAME)):
                    break
                rows = leaves.rows(found[number], patterns[number])
                if rows is None:
                    unsolved = min(unsolved, float(values[number]))
                else:
                    self.judge.judge(rows)
                if effort.is_over:
                    return False
            if stack.at[0] >= 0 and (effort.is_over or stack.at[1] >= nodes):
                return False
        self.bound = max(self.bound, min(self.judge.value * (1 - gap), unsolved))
        return True

    def _ends(self, gap: float) -> bool:
        return self.bound >= self.judge.value * (1 - max(gap, _SAME))

    def begin(self, effort: Effort) -> None:
        """Work out the bound that holds before anything is decided."""
        self._kept = self._begun(effort)

    def _begun(self, effort: Effort) -> Begun:
        """Return what a search of it begins with."""
        held = np.array(self._space.held(self._keeps.tolist()))
        kept = (held[:, None] >> np.arange(3)) & 1 > 0
        least = least_of(self._rounds)
        terms = terms_of(self.judge.chip, self.judge.work, kept, self._rounds, least.most)
        problem = _problem(
            self.judge, self._rounds, terms, kept, least,
            extrapolated=self._extrapolated, perfect=self._space.perfect,
        )  # fmt: skip
        stack = stack_of(self._rounds, terms)
        self.bound = max(self.bound, float(begin(problem, stack, np.zeros((len(terms.fanout), 2)))))
        effort.spent += problem.tables.chain.size // _ENTRIES_PER_NODE
        windows = windows_overlap(self._space.layer)
        return problem, stack, Leaves(self._space, self._rounds, terms.group, self._keeps, windows=windows)


class Effort:
    """Nodes and mappings that may be looked at, and how many have been."""

    def __init__(self, judge: Judge, budget: int) -> None:
        self._judge, self._budget, self._before = judge, budget, judge.evaluated
        self.spent = 0

    @property
    def left(self) -> int:
        """How many are left."""
        return self._budget - self.spent - (self._judge.evaluated - self._before)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left, or no time."""
        return self.left <= 0 or self._judge.over_time


class Proof:
    """Improves on the best mapping that a judge knows until none is better; it can be interrupted and go on.

    A part of the map-space whose search takes long is halved, by how far a level spreads a dimension: the more of that
    is known, the nearer the bounds.

    Args:
        judge: which knows a mapping, and the goal.

    Attributes:
        nodes: that have been looked at.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._parts = list(_parts(judge))
        self.nodes = 0

    @property
    def bound(self) -> float:
        """What no mapping's value falls below; the best value itself if a hair below it."""
        bound = min(part.bound for part in self._parts)
        return self._judge.value if bound >= self._judge.value * (1 - 2 * _SAME) else bound

    def run(self, budget: int) -> bool:
        """Look at so many nodes and mappings at most, while there is time, and return whether the best is proven."""
        effort = Effort(self._judge, budget)
        for part in self._parts:
            if part.bound == 0:
                part.begin(effort)
        ended = all(self._narrow(gap, effort) for gap in GAPS)
        self.nodes += effort.spent
        return ended and self.bound >= self._judge.value

    def _narrow(self, gap: float, effort: Effort) -> bool:
        """Look for all mappings better than the best known by a share, and return whether the search came to an end."""
        waiting = sorted(self._parts, key=lambda part: -part.bound)
        self._parts = []
        while waiting:
            part = waiting.pop()
            self._parts.append(part)
            if part.narrow(gap, effort, max(_PART_NODES, _BUILT * part.size // _ENTRIES_PER_NODE)):
                continue
            smaller = [] if effort.is_over else part.halves()
            if smaller:
                self._parts.pop()
                waiting += smaller
            elif effort.is_over or not part.narrow(gap, effort, effort.left):
                self._parts += waiting
                return False
        return True


def _parts(judge: Judge) -> Iterator[Part]:
    """Yield the parts of a map-space; where windows overlap, perfect mappings are one, as they move by other rules."""
    space = judge.space
    kinds = [(space, False)]
    if windows_overlap(space.layer):
        perfect = GeneSpace(space.hierarchy, space.layer, perfect=True)
        kinds = [(perfect, True)] if space.perfect else [(space, False), (perfect, True)]
    for one, extrapolated in kinds:
        rounds = rounds_of(one)
        for keeps in space.keeps():
            yield Part(judge, one, rounds, np.array(keeps), extrapolated=extrapolated)


def _problem(
    judge: Judge,
    rounds: Rounds,
    terms: Terms,
    keeps: NDArray[np.bool_],
    least: Least,
    *,
    extrapolated: bool,
    perfect: bool,
) -> Problem:
    chip: Chip = judge.chip
    goal = GOALS.index(judge.goal)
    tables = tables_of(
        rounds, terms, chip, keeps, least, extrapolated=extrapolated, perfect=perfect, energy=goal != 1,
        ports=goal != 2 and bool(np.isfinite(terms.rates[-1]).any()),
    )  # fmt: skip
    keepers = keeps[:, OUTPUTS]
    final_words = np.where(keepers, terms.final_words * terms.words[OUTPUTS], 0.0)
    weights = np.array(port_weights(terms))
    futures, ways = _futures(rounds, terms)
    spread, fanout = terms.spread, terms.fanout.prod(axis=1)
    return Problem(
        terms=terms, tables=tables, least=least, first=rounds.options.first, strides=rounds.strides,
        final_words=final_words,
        final_cycles=float(final_words[-1] * weights[1]), port_weights=weights,
        least_pj=terms.mac_pj - float(terms.final_pj[keepers].sum() * terms.words[OUTPUTS]),
        room=_room(terms), futures=futures, ways=ways, spread_inside=np.cumprod(spread, axis=0) / spread,
        fanout_inside=np.cumprod(fanout) / fanout, slides=slides_of(terms), goal=goal, extrapolated=extrapolated,
        perfect=perfect,
    )  # fmt: skip


def _room(terms: Terms) -> NDArray[np.float64]:
    """Return how many of a tensor's readers one read can serve between each boundary's level and its source, [L, 3]."""
    levels = len(terms.fanout)
    found = np.ones((levels, 3))
    for b, t in np.ndindex(levels, 3):
        for level in range(b + 1, int(terms.source[b, t]) + 1):
            if terms.shares[level, t] > 0:
                alike = float(np.prod(terms.spread[level, terms.group == t]))
                found[b, t] *= min(alike, float(terms.fanout[level].prod()))
    return found


def _futures(rounds: Rounds, terms: Terms) -> tuple[NDArray[np.float64], Ints]:
    """Return how the levels inside each may spread the dimensions at most, and how many ways that are; none if many."""
    levels, dims = len(terms.fanout), len(rounds.dims)
    each = [np.ones((1, dims))]
    for level in range(levels):
        if not len(each[-1]):
            each.append(each[-1])
            continue
        own = _ways_of(rounds, level, terms.fanout[level])
        if own is None or len(own) * len(each[-1]) > 40 * _MOST_FUTURES:
            each.append(np.ones((0, dims)))
            continue
        both = (each[-1][:, None] * own[None]).reshape(-1, dims)
        kept = _largest(np.minimum(both, rounds.bounds))
        each.append(kept if len(kept) <= _MOST_FUTURES else np.ones((0, dims)))
    most = max(map(len, each))
    padded = np.ones((levels + 1, max(1, most), dims))
    for number, ways in enumerate(each):
        padded[number, : len(ways)] = ways
    return padded, np.array(list(map(len, each)), dtype=np.int64)


def _ways_of(rounds: Rounds, level: int, fanout: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the largest ways to spread the dimensions at one level, shape [ways, K]; None if there are too many."""
    ways = np.ones((1, 2, len(rounds.dims)))
    o = rounds.options
    for k in range(len(rounds.dims)):
        of_one = slice(o.first[level, k, 0], o.first[level, k, rounds.counts[k]])
        pairs = np.unique(np.stack([o.along_x[of_one], o.along_y[of_one]], axis=1), axis=0)
        longer = np.repeat(ways, len(pairs), axis=0)
        longer[:, :, k] = np.tile(pairs, (len(ways), 1))
        ways = longer[(longer.prod(axis=2) <= fanout).all(axis=1)]
        if len(ways) > 100_000:
            return None
    return _largest(ways.prod(axis=1)) if len(ways) <= 50_000 else None


def _largest(ways: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows that no other row exceeds everywhere."""
    ways = np.unique(ways, axis=0)
    kept: list[NDArray[np.float64]] = []
    for row in ways[np.argsort(-ways.prod(axis=1), kind="stable")]:
        if not any((other >= row).all() for other in kept):
            kept.append(row)
    return np.array(kept)


@lru_cache(maxsize=1)
def prepare_proofs() -> None:
    """Have the proof's machine code compiled, or read from the cache, before a time begins."""
    tiny = Hierarchy(name="tiny", levels=(Level(name="DRAM", kind="dram"), Level(name="Buffer", capacity_words=4)))
    judge = Judge(GeneSpace(tiny, Layer("one", "gemm", K=2, C=2)), "edp")
    with judge.working():
        judge.judge(judge.space.outermost())
        Proof(judge).run(1_000)
