"""A front of layouts from few of them: surrogates, MOTPE on these, layouts of the best, and again.

The first designs are a Latin hypercube. Then a surrogate of each goal and of each bounded metric learns all results,
MOTPE searches the surrogates, and of the designs that it met those are asked for that are expected to add most
hypervolume to the real front, times their chance to keep to the bounds. Where too few are feasible to learn from, those
are asked for first that are feasible most likely.

Sources: surrogates and MOTPE: the full-stack framework (arXiv 2308.12120), which fits once and stops; going round is
    ours. Expected hypervolume improvement: Emmerich et al., CEC 2011; batches after Ginsbourger et al. 2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from armillary import surrogates
from armillary.log.store import InMemoryLog
from armillary.optimizers.coded import CodedOptimizer
from armillary.optimizers.several import boxes, expected_gain
from armillary.optimizers.surrogate_front import (
    FEWEST_LEARNED,
    TRIALS,
    Expected,
    Visited,
    learnable,
    learned_metrics,
    motpe_on,
    nearest_to_bounds,
)
from armillary.optimizers.surrogate_search import distinct
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import front
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.feasibility import Feasibility
from armillary.types import ArmillaryError, Evaluation, Evaluations, Fidelity, Prediction, Surrogate

INITIAL = 20
_LOOKED_AT = 1024  # random designs, of which the most likely are asked for while there are fewer
_MARGIN = 0.1  # of the span of values, by which the reference lies behind the worst
_LEAST_SPAN = 1e-3
_TINY = np.finfo(float).tiny
_NEVER = datetime(1970, 1, 1)  # of rows that no evaluator wrote


class PpaMotpe(CodedOptimizer):
    """MOTPE on surrogates that learn on.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: designs before the first surrogates; a log that is told before counts.
        surrogate: which learns each metric, as registered.
        trials: of MOTPE on the surrogates, each time.
        caution: standard deviations by which a metric is taken for worse than its mean; 0 takes means, and counts on
            what the surrogates do not know.
        batch: designs that are asked from the same surrogates.
    """

    takes_several = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = INITIAL,
        surrogate: str = "ppa",
        trials: int = TRIALS,
        caution: float = 0.0,
        batch: int = 6,
    ) -> None:
        super().__init__(problem, seed=seed)
        for name, value in {"initial": initial, "trials": trials, "batch": batch}.items():
            if value < 1:
                raise ArmillaryError(f"{name}={value} must be at least 1")
        surrogates.kind_of(surrogate)
        self.batch = batch
        self._seed, self._initial, self._trials, self._caution = seed, initial, trials, caution
        self._surrogate = surrogate
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._rows: list[Evaluation] = []
        self._fitted: tuple[int, dict[str, Surrogate]] | None = None

    def asks_after(self, told: int) -> int:
        """Return how many designs are best asked at once after so many results."""
        known = max(told, len(self._rows))
        return self._initial - known if known < self._initial else self.batch

    def tell_codes(self, codes: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Take what became of designs given as value indices, shape [designs, parameters]."""
        super().tell_codes(codes, outcomes)
        rows = settled_rows(self.problem, codes, outcomes)
        self._codes = np.concatenate([self._codes, codes[list(rows)]])
        self._rows += rows.values()

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn nothing of objectives alone: `tell_codes` keeps every metric."""

    def _propose(self, n: int) -> NDArray[np.int64]:
        if len(self._rows) < self._initial:
            return self._spread(n)
        if self._learnable() < FEWEST_LEARNED:
            return self._likely(n)
        known = Evaluations.from_list(self._rows)
        matrix = self.problem.matrix(known)
        expected = Expected(self._models(known), self.problem, caution=self._caution)
        visited = motpe_on(
            expected,
            self.problem,
            trials=self._trials,
            seed=self._seed + len(self._rows),
            start=self._codes[front(matrix)],
        )
        visited = visited.select(self._unmet(visited.codes))
        if not len(visited.codes):
            return self._drawn(n)
        chosen = _chosen(visited, expected, known, n)
        return np.concatenate([visited.codes[chosen], self._drawn(n - len(chosen))])

    def _learnable(self) -> int:
        return learnable(self._rows, self.problem)

    def _spread(self, n: int) -> NDArray[np.int64]:
        """Return a Latin hypercube of the designs that there can be."""
        drawn = sample(self.space, n, "lhs", self._seed + len(self._met))
        drawn = drawn if self.within is None else drawn[self.within(drawn)]
        return np.concatenate([drawn, self._drawn(n - len(drawn))])

    def _likely(self, n: int) -> NDArray[np.int64]:
        """Return designs of which the failures so far say that they are feasible most likely."""
        drawn = distinct(self._drawn(_LOOKED_AT))
        drawn = drawn[self._unmet(drawn)]
        known, asked = (Points.of(codes, np.empty(0)) for codes in (self._codes, drawn))
        feasible = np.array([row.feasible for row in self._rows], dtype=float)
        chance = Feasibility.learned(Encoding.of(self.space, (), False, known), known, feasible, self._seed)
        found = drawn[np.argsort(-chance(asked), kind="stable")[:n]]
        return np.concatenate([found, self._drawn(n - len(found))])

    def _models(self, known: Evaluations) -> dict[str, Surrogate]:
        if self._fitted is None or self._fitted[0] != len(known):
            self._fitted = len(known), fitted_each(known, self.problem, self._surrogate, self._seed)
        return self._fitted[1]


def fitted_each(known: Evaluations, problem: Problem, surrogate: str, seed: int) -> dict[str, Surrogate]:
    """Return a surrogate of each metric that has to be learned, fitted to rows; bounds are not part of what it learns.

    Raises:
        ArmillaryError: if the rows cannot be learned from; the message says why.
    """
    found: dict[str, Surrogate] = {}
    for name, objective in learned_metrics(problem).items():
        model = surrogates.load(surrogate)(space=problem.space, seed=seed)
        found[name] = model.fit(InMemoryLog(known), replace(problem, objectives=(objective,), bounds=()))
    return found


def _chosen(visited: Visited, expected: Expected, known: Evaluations, n: int) -> NDArray[np.intp]:
    """Return at most n positions of designs that are expected to add most hypervolume, one after another."""
    problem = expected.problem
    legal, feasible = legal_and_feasible(problem, known)
    said = expected.predictions(visited.codes)
    chance = expected.chance(said, visited.codes)
    if not len(legal):
        return nearest_to_bounds(visited, problem)[:n]
    positive = np.asarray((feasible > 0).all(axis=0))
    mean, deviation = _scaled(visited, expected, said, positive)
    best, seen = (np.where(positive, np.log(np.where(positive, v, 1.0)), v) for v in (legal, feasible))
    reference = reference_of(seen)
    chosen: list[int] = []
    for _ in range(min(n, len(mean))):
        gain = expected_gain(mean, deviation, boxes(best, reference)) * chance
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        best = np.concatenate([best, mean[chosen[-1:]]])
    return np.array(chosen, dtype=np.intp)


def _scaled(
    visited: Visited, expected: Expected, said: Mapping[str, Prediction], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what to minimise and its deviation, each of shape [designs, objectives], positive ones as logarithms.

    With caution the safe side is taken for certain.
    """
    means, deviations = [], []
    for objective, logarithmic in zip(expected.problem.objectives, positive, strict=True):
        value = visited.expected.metrics[objective.metric]
        sure = objective.metric not in said or expected.caution > 0
        spread = np.zeros(len(value)) if sure else said[objective.metric].std
        if logarithmic:
            value = np.maximum(value, _TINY)
            side = 1.0 if objective.direction == "minimize" else -1.0
            means.append(side * np.log(value))
            deviations.append(spread / value)
        else:
            means.append(value)
            deviations.append(spread)
    return np.stack(means, axis=1), np.stack(deviations, axis=1)


def legal_and_feasible(problem: Problem, rows: Evaluations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is to be minimised, of rows within the bounds and of all feasible ones, shape [rows, objectives]."""
    found = []
    for asked in (problem, replace(problem, bounds=())):
        matrix = asked.matrix(rows)
        found.append(matrix[np.isfinite(matrix).all(axis=1)])
    return found[0], found[1]


def reference_of(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point up to which volume counts: the worst values that were seen, and a part of their span more.

    Up to the worst values of the front alone, a design further out at one end of it would add nothing, however much
    better it is in another goal: the search would never leave the ends that it began with.

    Args:
        seen: of feasible results, within bounds or not, shape [results, objectives].
    """
    worst, least = seen.max(axis=0), seen.min(axis=0)
    return np.asarray(worst + _MARGIN * np.maximum(worst - least, _LEAST_SPAN))


def settled_rows(problem: Problem, codes: NDArray[np.int64], outcomes: Outcomes) -> dict[int, Evaluation]:
    """Return outcomes of coded designs as rows of a log, which surrogates learn from, by their places.

    Those of which nobody knows, as the evaluation broke, are left out.
    """
    rows = {}
    for place, design in enumerate(problem.space.designs(codes)):
        failure = outcomes.failures[place] if outcomes.failures else None
        if failure is not None and failure.kind != "infeasible":
            continue
        metrics = {name: float(column[place]) for name, column in outcomes.metrics.items()}
        rows[place] = Evaluation(
            design=design, workload="", context={}, evaluator="", version="", fidelity=Fidelity.EXTERNAL,
            metrics=problem.with_derived({name: value for name, value in metrics.items() if np.isfinite(value)}),
            feasible=failure is None, failure=failure, seconds=0.0, seed=0, time=_NEVER,
        )  # fmt: skip
    return rows
