"""Search for the best mapping of a layer onto a hierarchy: random, genetic, by gradient, exhaustive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import Costs, evaluate
from armillary.cost_model.summaries import summaries
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import Mapping
from armillary.mapping.exhaustive import Enumeration
from armillary.mapping.goals import GOALS, METHODS, Goal, Method
from armillary.mapping.gradient import descend
from armillary.mapping.imperfection import with_remainders
from armillary.mapping.mapspace import MapSpace
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Fits = Callable[[MappingBatch], NDArray[np.bool_]]
_AT_ONCE = 16_384


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
    seconds: float
    curve: tuple[tuple[int, float], ...]


def search(
    hierarchy: Hierarchy,
    layer: Layer,
    *,
    method: Method = "genetic",
    goal: Goal = "edp",
    budget: int = 100_000,
    seed: int = 0,
    seconds: float | None = None,
    remainders: bool = False,
    fits: Fits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Return the best mapping that a method finds.

    Args:
        hierarchy: onto which; its levels' rules bound the search.
        layer: of what.
        method: `genetic` (crossover of splits and orders), `gradient` (descent on relaxed factors), `random`
            or `sobol` (uniform over the map-space), or `exhaustive`, which proves optimality and ignores
            the budget.
        goal: what to minimise.
        budget: mappings to evaluate; `gradient` finishes the round that crosses it.
        seed: same seed, same result, unless the time runs out.
        seconds: stop after this time, with the best so far.
        remainders: in the end cut loops of the best mapping anew, so that they fill the mesh with a shorter
            last round; the result is then not claimed to be optimal.
        fits: which mappings an accelerator can run, beyond what the hierarchy says of it, shape [n].
        on_progress: called with mappings done and in total.

    Raises:
        ArmillaryError: if method or goal is unknown, the map-space is too large to exhaust, or `remainders` and `fits`
            are both asked for.
        NoLegalMappingError: if no legal mapping was met.
    """
    for value, allowed, what in ((method, METHODS, "method"), (goal, GOALS, "goal")):
        if value not in allowed:
            raise ArmillaryError(f"{what} {value!r} is unknown; choose one of {list(allowed)}")
    if budget < 1:
        raise ArmillaryError(f"budget={budget} is not allowed; it must be at least 1")
    if remainders and fits is not None:
        raise ArmillaryError("remainders=True is not allowed with `fits`, which judges mappings without remainders")
    space = MapSpace(hierarchy, layer)
    every = Enumeration(space) if method == "exhaustive" else None
    total = budget if every is None else max(1, every.size)
    judge = _Judge(space, goal, total, seconds, fits, on_progress)
    rng = np.random.default_rng(seed)
    if every is not None:
        for codes in every.batches():
            if judge.over_time:
                break
            judge(codes)
    elif method == "genetic":
        _evolve(space, judge, rng)
    elif method == "gradient":
        descend(space, judge, goal, lambda: judge.over, rng)
    else:
        for codes in _samples(space, method, budget, seed, rng):
            if judge.over:
                break
            judge(codes)
    found = judge.found(optimal=method == "exhaustive" and not judge.over_time)
    return _with_remainders(hierarchy, layer, found, goal) if remainders else found


def _with_remainders(hierarchy: Hierarchy, layer: Layer, found: Found, goal: Goal) -> Found:
    started = time.perf_counter()
    worth: dict[Goal, Callable[[Costs], Tensor]] = {
        "edp": lambda costs: costs.energy_pj * costs.delay_cycles,
        "delay": lambda costs: costs.delay_cycles,
        "energy": lambda costs: costs.energy_pj,
    }
    mapping = with_remainders(hierarchy, layer, found.mapping, worth[goal])
    if not mapping.imperfect:
        return found
    costs = evaluate(hierarchy, layer, mapping)
    value = float(worth[goal](costs))
    return replace(
        found,
        mapping=mapping,
        value=value,
        delay_cycles=float(costs.delay_cycles),
        energy_pj=float(costs.energy_pj),
        optimal=False,
        seconds=found.seconds + time.perf_counter() - started,
        curve=(*found.curve, (found.evaluated, value)),
    )


class _Judge:
    """Evaluates codes, keeps the best, and knows when to stop."""

    def __init__(
        self,
        space: MapSpace,
        goal: Goal,
        total: int,
        seconds: float | None,
        fits: Fits | None,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._fits = fits
        self.space, self.goal, self.total = space, goal, total
        self._chip, self._layer = HierarchyBatch.of([space.hierarchy]), LayerBatch.of([space.layer])
        self._start, self._seconds, self._on_progress = time.perf_counter(), seconds, on_progress
        self.evaluated = self.legal = self._unfit = 0
        self._best_code: NDArray[np.int64] | None = None
        self._best = (np.inf, np.inf, np.inf)
        self._curve: list[tuple[int, float]] = []

    @property
    def over_time(self) -> bool:
        return self._seconds is not None and time.perf_counter() - self._start > self._seconds

    @property
    def over(self) -> bool:
        return self.evaluated >= self.total or self.over_time

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the goal of every code, infinite if the mapping is illegal, shape [n]."""
        batch = self.space.decode(codes)
        found = summaries(self._chip, self._layer, batch)
        delay, energy = found.delay_cycles.numpy(), found.energy_pj.numpy()
        values = {"edp": delay * energy, "delay": delay, "energy": energy}[self.goal]
        legal = found.feasible.numpy()
        if self._fits is not None:
            within, legal = legal, legal & self._fits(batch)
            self._unfit += int((within & ~legal).sum())
        values = np.where(legal, values, np.inf)
        self.evaluated += len(codes)
        self.legal += int(np.isfinite(values).sum())
        best = int(values.argmin())
        if values[best] < self._best[0]:
            self._best = (float(values[best]), float(delay[best]), float(energy[best]))
            self._best_code = codes[best].copy()
            self._curve.append((self.evaluated, self._best[0]))
        if self._on_progress:
            self._on_progress(min(self.evaluated, self.total), self.total)
        return values

    def found(self, *, optimal: bool) -> Found:
        if self._best_code is None:
            raise NoLegalMappingError(f"{self._nothing()}; of {self.evaluated:,} mappings tried none is legal")
        value, delay, energy = self._best
        return Found(
            mapping=self.space.mapping(self._best_code),
            value=value,
            delay_cycles=delay,
            energy_pj=energy,
            evaluated=self.evaluated,
            legal=self.legal,
            optimal=optimal,
            seconds=time.perf_counter() - self._start,
            curve=tuple(self._curve),
        )

    def _nothing(self) -> str:
        """Say what most mappings exceed."""
        name = f"layer {self.space.layer.name} on {self.space.hierarchy.name}"
        if self._unfit:
            return f"{name}: {self._unfit:,} mappings keep to the hierarchy, but the accelerator can run none of them"
        from armillary.cost_model.cost import batch_costs

        codes = self.space.random(1_000, np.random.default_rng(0))
        costs = batch_costs(self._chip, self._layer, self.space.decode(codes))
        over = {
            f"{level.name}.capacity_words": int((costs.over_capacity[i] > 0).sum())
            for i, level in enumerate(self.space.levels)
        }
        over |= {
            f"{level.name}.fanout": int((costs.over_fanout[i] > 0).any(dim=0).sum())
            for i, level in enumerate(self.space.levels)
        }
        worst = max(over, key=lambda name: over[name])
        return f"{name}: {worst} is exceeded most often, by {over[worst] / 1_000:.0%} of random mappings"


def _samples(
    space: MapSpace, method: Method, budget: int, seed: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    if method == "sobol":
        codes = space.sobol(budget, seed)
        yield from (codes[i : i + _AT_ONCE] for i in range(0, budget, _AT_ONCE))
        return
    for first in range(0, budget, _AT_ONCE):
        yield space.random(min(_AT_ONCE, budget - first), rng)


def _evolve(space: MapSpace, judge: _Judge, rng: np.random.Generator) -> None:
    """Keep a population; children take each code from one of two parents, and some codes change.

    The population starts from as many random mappings as a tenth of the budget. A child's codes are
    one dimension's split or one level's order each, so crossover never makes a wrong product.
    """
    population = int(np.clip(judge.total // 50, 32, 2_048))
    pool = space.random(max(population, judge.total // 10), rng)
    values = np.concatenate([judge(part) for part in _parts(pool)])
    keep = np.argsort(values, kind="stable")[:population]
    parents, values = pool[keep], values[keep]
    while not judge.over:
        children = _children(space, parents, rng)[: max(1, judge.total - judge.evaluated)]
        fresh = judge(children)
        everyone, scores = np.concatenate([parents, children]), np.concatenate([values, fresh])
        _, first = np.unique(everyone, axis=0, return_index=True)
        everyone, scores = everyone[np.sort(first)], scores[np.sort(first)]
        keep = np.argsort(scores, kind="stable")[:population]
        parents, values = everyone[keep], scores[keep]


def _parts(codes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    yield from (codes[i : i + _AT_ONCE] for i in range(0, len(codes), _AT_ONCE))


def _children(space: MapSpace, parents: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    n, width = len(parents), parents.shape[1]
    rank = rng.integers(0, n, size=(2, 2 * n)).min(axis=0)  # the better of two, as parents are sorted
    mother, father = parents[rank], parents[rng.integers(0, n, size=2 * n)]
    mixed = np.where(rng.random((2 * n, width)) < 0.5, mother, father)
    children = np.where(rng.random((2 * n, 1)) < 0.5, mixed, mother)
    changes = rng.random(children.shape) < 1.5 / (space.sizes > 1).sum()
    return np.where(changes, space.random(2 * n, rng), children)
