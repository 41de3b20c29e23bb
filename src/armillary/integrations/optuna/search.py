"""A search with the default surrogate: what the sampler asks in studies of one objective."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import surrogates
from armillary.evaluators.recording import table
from armillary.log.store import InMemoryLog
from armillary.optimizers.model_based import ModelBased, log_expected_improvement
from armillary.optimizers.surrogate_search import spread_out
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.types import Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads.layer import Workload

_QUEUE = 64
_LEAST_SPREAD = 1e-9


class SurrogateSearch(ModelBased):
    """Expected improvement by the default surrogate, times the chance to be feasible and within the bounds.

    After a fit, designs are asked in the order of their promise, any two of them different in two parameters; else
    those between two fits would be close copies.

    Args:
        problem: with one objective, of any sign.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the surrogate is fitted anew.
    """

    def __init__(self, problem: Problem, *, seed: int, initial: int, refit: float) -> None:
        super().__init__(problem, seed=seed, initial=initial, refit=refit)
        self._seed = seed
        self._spec = EvaluatorSpec(problem.space.name, Fidelity.EXTERNAL, problem.space.name, "1")
        self._parts: list[Evaluations] = []
        self._queue = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._positive = False
        self._model: Any = None

    def tell_codes(self, codes: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Take what became of designs given as value indices, shape [designs, parameters]."""
        workload = Workload(self.space.name, (), numbers={})
        rows = table(self._spec, self.space, codes, workload, outcomes.metrics, seconds=0.0, feasible=outcomes.feasible)
        self._parts.append(rows)
        legal = self.problem.satisfied(outcomes)
        values = self._sign * outcomes.metrics[self.problem.metric]
        self.tell_values(codes, np.where(legal, values, np.inf))

    @property
    def _sign(self) -> float:
        return 1.0 if self.problem.objective.direction == "minimize" else -1.0

    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:  # noqa: ARG002
        rows = Evaluations.concat(self._parts)
        make = surrogates.load(surrogates.DEFAULT_WITHOUT_KNOWLEDGE)
        self._model = make(space=self.space, seed=self._seed).fit(InMemoryLog(rows), self.problem)
        self._positive = bool((rows.metrics[self.problem.metric][rows.feasible] > 0).all())
        self._queue = self._queue[:0]

    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        told = self._model.predict(codes)
        mean, spread, best = self._sign * told.mean, np.maximum(told.std, _LEAST_SPREAD), self.best_value
        if self._positive:  # the surrogate has then learned logarithms
            spread = np.maximum(spread / told.mean, _LEAST_SPREAD)
            mean, best = self._sign * np.log(told.mean), self._sign * float(np.log(self._sign * best))
        gain = log_expected_improvement((best - mean) / spread) + np.log(spread)
        return np.asarray(gain + np.log(told.p_feasible))

    def _batch(self, n: int) -> NDArray[np.int64]:
        """Return the n most promising designs that were not asked since the last fit."""
        self._queue = self._queue[self._unmet(self._queue)] if len(self._queue) else self._queue
        if len(self._queue) < n:
            ranked = self._promising(self._score)
            self._queue = ranked[spread_out(ranked, _QUEUE, min(2, len(self.space.parameters)))]
        return np.concatenate([self._queue[:n], self._drawn(n - min(n, len(self._queue)))])
