"""MOTPE on surrogates: what a front of layouts is expected to be, at the price of predictions.

The full-stack framework searches its fitted models by MOTPE. Here the models answer as an evaluator would, with every
metric and with feasibility, so that the sampler, objectives and bounds are those of any other search.

Source: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
    Accelerators" (arXiv 2308.12120), design space exploration. Predictions on the safe side of an interval, in place of
    means, are ours, after the conservative surrogates of PRIME (Kumar et al., ICLR 2022); so are the last changes of
    one parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from armillary.optimizers.from_optuna import Motpe, violations
from armillary.optimizers.surrogate_search import distinct, keys, neighbours
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import front
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Evaluation, Prediction
from armillary.workloads.context import Context

TRIALS = 512
FEWEST_LEARNED = 10
"""Feasible rows that a surrogate needs."""
_AT_ONCE = 32  # predictions of one design take nearly as long as those of so many
_REFINED, _ROUNDS = 2000, 2
_LEAST_CHANCE = 0.5
_LEAST_SPREAD = 1e-12

Expectation = Callable[[NDArray[np.int64]], Outcomes]
"""From coded designs, shape [designs, parameters], to what is expected to become of them."""


class Predicts(Protocol):
    """What a fitted surrogate does."""

    def predict(self, designs: NDArray[np.int64], context: Context) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters]."""
        ...


def learned_metrics(problem: Problem) -> dict[str, Objective]:
    """Return the metrics of objectives and bounds that no law tells, each with the direction that is better."""
    asked = {objective.metric: objective for objective in problem.objectives}
    for bound in problem.bounds:
        better = Objective(bound.metric, "minimize" if bound.at_most is not None else "maximize")
        asked.setdefault(bound.metric, better)
    return {name: objective for name, objective in asked.items() if name not in problem.laws}


def learnable(rows: Sequence[Evaluation], problem: Problem) -> int:
    """Return how many rows surrogates can learn from: feasible ones with every metric that has to be learned."""
    names = learned_metrics(problem)
    return sum(row.feasible and all(name in problem.with_derived(row.metrics) for name in names) for row in rows)


@dataclass(frozen=True)
class Expected:
    """What surrogates expect of designs.

    Attributes:
        surrogates: by metric, see `learned_metrics`.
        problem: whose laws tell the other metrics.
        context: of the workload; empty where the surrogates know one alone.
        caution: standard deviations by which a metric is taken for worse than its mean.
    """

    surrogates: Mapping[str, Predicts]
    problem: Problem
    context: Context = field(default_factory=Context)
    caution: float = 0.0

    def __post_init__(self) -> None:
        if not self.caution >= 0:
            raise ArmillaryError(f"caution={self.caution!r} is not allowed; it must be at least 0")
        missing = [name for name in learned_metrics(self.problem) if name not in self.surrogates]
        if missing:
            raise ArmillaryError(f"metric {missing[0]!r} has no surrogate; there are {sorted(self.surrogates)}")

    def __call__(self, codes: NDArray[np.int64]) -> Outcomes:
        """Return what is expected of coded designs, shape [designs, parameters]."""
        return self.outcomes(self.predictions(codes), codes)

    def predictions(self, codes: NDArray[np.int64]) -> dict[str, Prediction]:
        """Return what each surrogate says of coded designs, shape [designs, parameters]."""
        return {name: model.predict(codes, self.context) for name, model in self.surrogates.items()}

    def outcomes(self, said: Mapping[str, Prediction], codes: NDArray[np.int64]) -> Outcomes:
        """Return predictions of coded designs, shape [designs, parameters], on the safe side, and those of laws."""
        metrics = {name: law(codes) for name, law in self.problem.laws.items()}
        likely = np.ones(len(codes), dtype=bool)
        for name, objective in learned_metrics(self.problem).items():
            metrics[name] = self._safe(said[name], objective)
            likely &= said[name].p_feasible >= _LEAST_CHANCE
        return Outcomes(metrics, likely)

    def chance(self, said: Mapping[str, Prediction], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability that designs are feasible and within the bounds, shape [designs].

        Metrics are taken for independent and normal.
        """
        found = np.min([prediction.p_feasible for prediction in said.values()], axis=0, initial=1.0)
        for bound in self.problem.bounds:
            if bound.metric in said:
                found = found * _chance_within(bound, said[bound.metric])
            elif bound.metric in self.problem.laws:
                found = found * bound.met_by(self.problem.laws[bound.metric](codes))
        return np.asarray(found)

    def _safe(self, said: Prediction, objective: Objective) -> NDArray[np.float64]:
        side = 1.0 if objective.direction == "minimize" else -1.0
        mean = np.asarray(said.mean + side * self.caution * said.std)
        return mean if side > 0 else np.maximum(mean, np.finfo(float).tiny)


@dataclass(frozen=True)
class Visited:
    """Designs that a search on surrogates met, shape [designs, parameters], and what was expected of them."""

    codes: NDArray[np.int64]
    expected: Outcomes

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Visited:
        """Return some of them, in that order."""
        metrics = {name: column[rows] for name, column in self.expected.metrics.items()}
        return Visited(self.codes[rows], Outcomes(metrics, self.expected.feasible[rows]))


def motpe_on(
    expected: Expectation,
    problem: Problem,
    *,
    trials: int = TRIALS,
    seed: int = 0,
    start: NDArray[np.int64] | None = None,
) -> Visited:
    """Return all designs that MOTPE met on surrogates, and the changes of one parameter of the front among them.

    Args:
        expected: the surrogates.
        problem: with one to four objectives.
        trials: of MOTPE, those that it starts with not counted.
        seed: same seed and surrogates, same designs.
        start: designs that it starts with, such as those of a front that is known, shape [designs, parameters].

    Raises:
        ArmillaryError: if no design is found that keeps to the bounds that laws tell.
    """
    optimizer = Motpe(problem, seed=seed, initial=min(_AT_ONCE, trials))
    parts = [] if start is None or not len(start) else [distinct(start)]
    found = [expected(codes) for codes in parts]
    for codes, outcomes in zip(parts, found, strict=True):
        optimizer.tell_codes(codes, outcomes)
    for done in range(0, trials, _AT_ONCE):
        codes = optimizer.ask_codes(min(_AT_ONCE, trials - done))
        parts.append(codes)
        found.append(expected(codes))
        optimizer.tell_codes(codes, found[-1])
    visited = _together(parts, found)
    rng = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        visited = _refined(visited, expected, problem, rng)
    return visited


def _refined(visited: Visited, expected: Expectation, problem: Problem, rng: np.random.Generator) -> Visited:
    best = visited.codes[expected_front(visited, problem)]
    if not len(best):
        return visited
    near = neighbours(problem.space, best)
    near = near[~np.isin(keys(near), keys(visited.codes))]
    near = near if problem.keep is None or not len(near) else near[problem.keep(near)]
    near = near[rng.permutation(len(near))[:_REFINED]]
    return _together([visited.codes, near], [visited.expected, expected(near)]) if len(near) else visited


def expected_front(visited: Visited, problem: Problem) -> NDArray[np.intp]:
    """Return the positions of designs that are expected on the front: feasible, within the bounds, not dominated."""
    return np.flatnonzero(front(problem.matrix(visited.expected)))


def nearest_to_bounds(visited: Visited, problem: Problem) -> NDArray[np.intp]:
    """Return the positions of all designs, those first that are expected to break their bounds least."""
    return np.argsort(violations(problem, visited.expected), kind="stable")


def _together(parts: list[NDArray[np.int64]], found: list[Outcomes]) -> Visited:
    """Return batches as one, each design once."""
    metrics = {name: np.concatenate([each.metrics[name] for each in found]) for name in found[0].metrics}
    codes = np.concatenate(parts)
    whole = Visited(codes, Outcomes(metrics, np.concatenate([each.feasible for each in found])))
    return whole.select(np.sort(np.unique(keys(codes), return_index=True)[1]))


def _chance_within(bound: Bound, said: Prediction) -> NDArray[np.float64]:
    spread = np.maximum(said.std, _LEAST_SPREAD)
    below = np.ones(len(spread)) if bound.at_most is None else ndtr((bound.at_most - said.mean) / spread)
    above = np.zeros(len(spread)) if bound.at_least is None else ndtr((bound.at_least - said.mean) / spread)
    return np.asarray(np.maximum(below - above, 0.0))
