"""Judging rows of a map-space: on every core, until the budget, the time or the search itself ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import folder_of
from armillary.cores import available
from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.kernel.nest import Array, room
from armillary.cost_model.packed import chips_of, first_chip, first_work, mappings_of, works_of
from armillary.hardware.mapping import Mapping
from armillary.mapping.genes import Genes, GeneSpace, blank, bounds_of
from armillary.mapping.goals import GOALS, Goal, value_of
from armillary.mapping.walk import SOURCES, walk
from armillary.types import ArmillaryError

Fits = Callable[[MappingBatch], NDArray[np.bool_]]
Delays = Callable[[MappingBatch], NDArray[np.float64]]
OnProgress = Callable[[int, int], None]
_ATTEMPTS = 400
_WORTH_THREADS = 1_000
"""Evaluations below which handing them to threads takes longer than they do."""


class NoLegalMappingError(ArmillaryError):
    """A search met no mapping that fits; says what most of them exceed."""


@dataclass(frozen=True)
class Found:
    """The best mapping of a search.

    Attributes:
        mapping: the best.
        value: its goal: pJ*cycles, cycles or pJ.
        delay_cycles: its delay.
        energy_pj: its energy.
        evaluated: mappings looked at.
        legal: how many of them fit.
        optimal: whether every mapping of the space was looked at or cannot be better.
        bound: what no mapping's value falls below, where a search proves one; else None.
        stopped: why the search ended.
        seconds: what the search took.
        curve: (evaluated, best value so far) whenever the best improved.
    """

    mapping: Mapping
    value: float
    delay_cycles: float
    energy_pj: float
    evaluated: int
    legal: int
    optimal: bool
    stopped: str
    seconds: float
    curve: tuple[tuple[int, float], ...]
    bound: float | None = None

    @property
    def gap(self) -> float | None:
        """By how much a better mapping could undercut this one at most, as a share of its value; None if unknown."""
        if self.bound is None:
            return 0.0 if self.optimal else None
        return max(0.0, 1 - self.bound / self.value)


@dataclass
class Rows:
    """Rows with what they cost.

    Attributes:
        genes: shape [n, width].
        scores: logarithm of the goal, infinite where a row does not fit, shape [n].
        costs: delay in cycles and energy in pJ, shape [n, 2].
    """

    genes: Genes
    scores: Array
    costs: Array

    @staticmethod
    def of(genes: Genes) -> Rows:
        """Return rows that nobody has judged."""
        return Rows(np.ascontiguousarray(genes), np.full(len(genes), np.inf), np.full((len(genes), 2), np.inf))

    def replace(self, places: NDArray[np.intp], other: Rows, taken: NDArray[np.intp]) -> None:
        """Put some rows of another in the places of some of these."""
        for mine, theirs in ((self.genes, other.genes), (self.scores, other.scores), (self.costs, other.costs)):
            mine[places] = theirs[taken]


class Judge:
    """Evaluates rows, keeps the best, and knows when to stop.

    Args:
        space: of the rows.
        goal: what is minimised.
        budget: mappings to evaluate, None without end.
        seconds: after which it is over, None without end.
        fits: which mappings an accelerator can run, beyond what the hierarchy says of it.
        delays: by which the best is chosen, in cycles, of mappings that fit, shape [n]; a row whose goal by the cost
            model's delay is no better than the best is not asked about.
        on_progress: called with mappings evaluated and in total (so far, without a budget).
    """

    def __init__(
        self,
        space: GeneSpace,
        goal: Goal,
        *,
        budget: int | None = None,
        seconds: float | None = None,
        fits: Fits | None = None,
        delays: Delays | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.space, self.goal, self.budget = space, goal, budget
        self._delays = delays
        self._fits, self._seconds, self._on_progress = fits, seconds, on_progress
        chips = HierarchyBatch.of([space.hierarchy])
        layers = LayerBatch.of([space.layer])
        chip, work = first_chip(chips_of(chips, layers)), first_work(works_of(layers))
        self.chip, self.work = chip, work
        self._given = (space.rules, bounds_of(space.layer), chip, work, GOALS.index(goal))
        self._perfect = (space.rules._replace(perfect=True), *self._given[1:])
        self._rooms = [(room(chip), blank(len(space.levels))) for _ in range(available())]
        self._pool: ThreadPoolExecutor | None = None
        self._start = time.perf_counter()
        self.evaluated = self.legal = self._unfit = 0
        self.best: Rows | None = None
        self._curve: list[tuple[int, float]] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have a thread per core."""
        prepare()
        with ThreadPoolExecutor(len(self._rooms)) as self._pool:
            yield

    @property
    def stepwise(self) -> bool:
        """Whether rows must be looked at after each step, as an accelerator judges them, too."""
        return self._fits is not None or self._delays is not None

    @property
    def left(self) -> int | None:
        """How many mappings the budget has left, None without one."""
        return None if self.budget is None else max(0, self.budget - self.evaluated)

    def grant(self, mappings: int | None) -> None:
        """Allow so many more mappings, whatever has been evaluated; None for any number."""
        self.budget = None if mappings is None else self.evaluated + max(0, mappings)

    @property
    def is_timed(self) -> bool:
        """Whether the search ends after a time."""
        return self._seconds is not None

    @property
    def over_time(self) -> bool:
        """Whether the time has run out."""
        return self._seconds is not None and time.perf_counter() - self._start > self._seconds

    @property
    def over(self) -> bool:
        """Whether budget or time has run out."""
        return self.left == 0 or self.over_time

    def judge(self, genes: Genes, *, soften: bool = False) -> Rows:
        """Return rows with what they cost; with `soften`, those that do not fit lose factors until they do."""
        rows = Rows.of(genes)
        most = _ATTEMPTS if self.left is None else min(_ATTEMPTS, self.left // max(1, len(genes)))
        attempts = max(1, most) if soften else 1
        self._walk(rows, steps=0, heat=0.0, seed=len(genes) + self.evaluated, attempts=attempts)
        return rows

    def walk(self, rows: Rows, steps: int, heat: float, seed: int, *, perfect: int = 0) -> None:
        """Let rows take random steps; see `walk.walk`. The first `perfect` rows keep to factors that divide."""
        self._walk(rows, steps, heat, seed, 0, perfect)

    def _walk(self, rows: Rows, steps: int, heat: float, seed: int, attempts: int, perfect: int = 0) -> None:
        before = Rows(rows.genes.copy(), rows.scores.copy(), rows.costs.copy())
        plan = (steps, heat, seed, attempts)
        size = len(rows.genes)
        threads = len(self._rooms) if size * max(steps, attempts, 1) >= _WORTH_THREADS else 1

        def work(place: int) -> tuple[int, int]:
            looked = legal = 0
            for space, first, last in ((self._perfect, 0, perfect), (self._given, perfect, size)):
                cuts = np.linspace(first, last, threads + 1).astype(int).tolist()
                part = cuts[place], cuts[place + 1], space, self._rooms[place]
                counts = walk(rows.genes, before.genes, *part, rows.scores, rows.costs, plan)
                looked, legal = looked + counts[0], legal + counts[1]
            return looked, legal

        pool = self._pool if threads > 1 else None
        done = list(pool.map(work, range(threads)) if pool else map(work, range(threads)))
        self.evaluated += sum(looked for looked, _ in done)
        self.legal += sum(legal for _, legal in done)
        if self._fits is not None:
            self._send_back(rows, before)
        self._keep_best(rows if self._delays is None else self._timed(rows, before))
        if self._on_progress:
            self._on_progress(min(self.evaluated, self.budget or self.evaluated), self.budget or self.evaluated)

    def _send_back(self, rows: Rows, before: Rows) -> None:
        """Undo steps to mappings that the accelerator cannot run."""
        moved = np.flatnonzero((rows.genes != before.genes).any(axis=1) | np.isinf(before.scores))
        moved = moved[np.isfinite(rows.scores[moved])]
        if not len(moved):
            return
        assert self._fits is not None
        nests, _ = self.space.nests(rows.genes[moved])
        wrong = moved[~self._fits(mappings_of(nests))]
        self._unfit += len(wrong)
        self.legal -= len(wrong)
        rows.replace(wrong, before, wrong)

    def _timed(self, rows: Rows, before: Rows) -> Rows:
        """Return the rows that may be the best, with the delays by which that is chosen."""
        assert self._delays is not None
        bound = np.inf if self.best is None else self.best.scores[0]
        is_new = (rows.genes != before.genes).any(axis=1) | np.isinf(before.scores)
        some = np.flatnonzero(is_new & (rows.scores < bound))
        found = Rows(rows.genes[some], rows.scores[some], rows.costs[some])
        if len(some):
            nests, _ = self.space.nests(found.genes)
            found.costs[:, 0] = self._delays(mappings_of(nests))
            found.scores[:] = [np.log(value_of(self.goal, *costs)) for costs in found.costs.tolist()]
        return found

    def _keep_best(self, rows: Rows) -> None:
        if not len(rows.scores):
            return
        least = int(rows.scores.argmin())
        if np.isfinite(rows.scores[least]) and (self.best is None or rows.scores[least] < self.best.scores[0]):
            some = slice(least, least + 1)
            self.best = Rows(rows.genes[some].copy(), rows.scores[some].copy(), rows.costs[some].copy())
            self._curve.append((self.evaluated, self._value(self.best)))

    @property
    def value(self) -> float:
        """The best value so far, infinite without a mapping that fits."""
        return np.inf if self.best is None else self._value(self.best)

    def _value(self, best: Rows) -> float:
        delay, energy = best.costs[0].tolist()
        return value_of(self.goal, delay, energy)

    def found(self, *, optimal: bool, stopped: str, bound: float | None = None) -> Found:
        """Return the best; `bound` is what no mapping's value falls below, if that is known.

        Raises:
            NoLegalMappingError: if there is none.
        """
        if self.best is None:
            raise NoLegalMappingError(f"{self._nothing()}; of {self.evaluated:,} mappings tried none is legal")
        delay, energy = self.best.costs[0].tolist()
        return Found(
            mapping=self.space.mapping(self.best.genes[0]),
            value=self._value(self.best),
            delay_cycles=delay,
            energy_pj=energy,
            evaluated=self.evaluated,
            legal=self.legal,
            optimal=optimal,
            stopped="time" if self.over_time else stopped,
            seconds=time.perf_counter() - self._start,
            curve=tuple(self._curve),
            bound=bound,
        )

    def _nothing(self) -> str:
        """Say what most mappings exceed."""
        from armillary.cost_model.cost import batch_costs

        name = f"layer {self.space.layer.name} on {self.space.hierarchy.name}"
        if self._unfit:
            return f"{name}: {self._unfit:,} mappings keep to the hierarchy, but the accelerator can run none of them"
        nests, sound = self.space.nests(self.space.random(1_000, np.random.default_rng(0)))
        if not sound.any():
            return f"{name}: the rules and fan-outs leave no way to split its loops"
        chips, layers = HierarchyBatch.of([self.space.hierarchy]), LayerBatch.of([self.space.layer])
        costs = batch_costs(chips, layers, mappings_of(type(nests)(*(array[sound] for array in nests))))
        over = {
            f"{level.memory}.capacity_words": float((costs.over_capacity[i] > 0).double().mean())
            for i, level in enumerate(self.space.levels)
        }
        over |= {
            f"{level.name}.fanout": float((costs.over_fanout[i] > 0).any(dim=0).double().mean())
            for i, level in enumerate(self.space.levels)
        }
        worst = max(over, key=lambda name: over[name])
        return f"{name}: {worst} is exceeded most often, by {over[worst]:.0%} of random mappings"


def is_prepared() -> bool:
    """Return whether the kernel was compiled on this machine before."""
    return any(folder_of(*SOURCES).rglob("walk.walk*.nbi"))


@lru_cache(maxsize=1)
def prepare() -> None:
    """Have the kernel compiled, or read from the cache, before several threads ask for it."""
    from armillary.hardware.hierarchy import Hierarchy, Level
    from armillary.workloads.layer import Layer

    tiny = Hierarchy(name="tiny", levels=(Level(name="DRAM", kind="dram"),))
    space = GeneSpace(tiny, Layer("one", "gemm", K=2))
    Judge(space, "edp").judge(space.outermost())
