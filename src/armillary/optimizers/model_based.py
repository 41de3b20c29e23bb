"""What optimizers with a model of the results share: a random start, refits, and a search on the model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx
from scipy.stats import norm

from armillary.optimizers.coded import CodedOptimizer, random_codes
from armillary.optimizers.genetic import children
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError

Features = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From coded designs, shape [designs, parameters], to features, shape [designs, features]."""
_FEWEST_LEGAL = 10
_GENERATIONS = 8
_PER_GENERATION = 400
_PARENTS = 100
_DRAWN_FROM = 10
_NEAR, _FAR = -1.0, -1e4  # standard deviations; below them the usual formula, and the scaled one, lose all digits


def log_expected_improvement(ahead: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the expected improvement by a standard deviation of one, also where that underflows.

    Args:
        ahead: by how many standard deviations the mean is better than the best that is known.

    Source: Ament et al., NeurIPS 2023, Equation 9.
    """
    near, below = np.maximum(ahead, _NEAR), np.clip(ahead, _FAR, _NEAR)
    scaled = np.log1p(below * math.sqrt(math.pi / 2) * erfcx(-below / math.sqrt(2)))
    tail = np.where(ahead < _FAR, -2 * np.log(np.maximum(-ahead, 1.0)), scaled)
    return np.where(ahead > _NEAR, np.log(near * norm.cdf(near) + norm.pdf(near)), norm.logpdf(ahead) + tail)


class ModelBased(CodedOptimizer):
    """An optimizer that fits a model and asks for the designs that the model prefers.

    A subclass fits the model and scores designs with it. The model is fitted anew once the rows have
    grown by `refit`; between refits it is only searched.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the model is fitted anew.
        derive: further features of designs, from 0 to 1, such as what an expert derives of a design and a workload.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = 200,
        refit: float = 0.1,
        derive: Features | None = None,
    ) -> None:
        super().__init__(problem, seed=seed)
        if initial < 1 or not refit >= 0:
            raise ArmillaryError(f"initial={initial} must be at least 1 and refit={refit} at least 0")
        self._initial, self._refit, self._derive = initial, refit, derive
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._values = np.empty(0)
        self._fitted_rows = 0

    @abstractmethod
    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Fit the model to results, infinite for infeasible designs."""

    @abstractmethod
    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how promising designs are, higher is better, shape [designs]."""

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        self._codes = np.concatenate([self._codes, codes])
        self._values = np.concatenate([self._values, values])

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing: the constraint is kept without the model's help."""

    def _propose(self, n: int) -> NDArray[np.int64]:
        rows = len(self._values)
        if rows < self._initial or np.isfinite(self._values).sum() < _FEWEST_LEGAL:
            return self._drawn(n)
        if rows >= (1 + self._refit) * self._fitted_rows and rows > self._fitted_rows:
            self._fit(self._codes, self._values)
            self._fitted_rows = rows
        return self._batch(n)

    def _batch(self, n: int) -> NDArray[np.int64]:
        """Return n designs that the model finds promising.

        Half are the best, which lie close together; half are drawn from the next best, so that a
        batch is not lost as a whole where the model errs.
        """
        unmet = self._promising(self._score)
        best, next_best = unmet[: -(-n // 2)], unmet[-(-n // 2) : _DRAWN_FROM * n]
        drawn = next_best[self._rng.permutation(len(next_best))[: n - len(best)]]
        missing = self._drawn(n - len(best) - len(drawn))
        return np.concatenate([best, drawn, missing])

    def _promising(self, score_of: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> NDArray[np.int64]:
        """Return unmet designs that a short genetic search on a score meets, the best first."""
        parents = self._codes[np.argsort(self._values, kind="stable")[:_PARENTS]]
        pool = np.empty((0, parents.shape[1]), dtype=np.int64)
        score = np.empty(0)
        for _ in range(_GENERATIONS):
            fresh = np.concatenate(
                [
                    children(self.space, parents, _PER_GENERATION, self._rng),
                    random_codes(self.space, _PER_GENERATION // 4, self._rng),
                ]
            )
            fresh = np.unique(fresh, axis=0)
            pool = np.concatenate([pool, fresh])
            score = np.concatenate([score, score_of(fresh)])
            pool, first = np.unique(pool, axis=0, return_index=True)
            score = score[first]
            order = np.argsort(-score, kind="stable")
            parents = pool[order[:_PARENTS]]
        ranked = pool[order]
        return np.asarray(ranked[self._unmet(ranked)])

    def _features(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        own = ordered_features(self.space, codes)
        return own if self._derive is None else np.concatenate([own, self._derive(codes)], axis=1)


def ordered_features(space: Space, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ordered parameters in [0, 1] and categorical ones as one-hot columns, shape [designs, features]."""
    columns = []
    for i, parameter in enumerate(space.parameters):
        n = len(parameter.values)
        if parameter.kind == "categorical":
            columns += [(codes[:, i] == k).astype(float) for k in range(n)]
        else:
            columns.append(codes[:, i] / max(n - 1, 1))
    return np.stack(columns, axis=1)
