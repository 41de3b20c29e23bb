"""What searches for a front with models of the objectives share: a random start, refits, and a pool to choose from."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

import numpy as np
import torch
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from numpy.typing import NDArray
from scipy.special import ndtr

from armillary.optimizers.coded import CodedOptimizer, random_codes
from armillary.optimizers.front_models import FrontModels, Known, Learned, learned
from armillary.optimizers.genetic import children
from armillary.optimizers.model_based import ordered_features
from armillary.optimizers.surrogate_search import distinct, neighbours
from armillary.problems.pareto import depth, front, logarithms
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError

_FEWEST_LEGAL = 10
_MOST_ROWS = 600  # a Gaussian process takes cubic time
_PARENTS, _CHILDREN, _NEAR, _DRAWN = 100, 600, 1000, 200
_GENERATIONS = 4
_LISTED = 20_000
_LEAST_DEVIATION = 1e-9
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))


class ModelledFront(CodedOptimizer):
    """An optimizer of one to four objectives that fits a model of each, and chooses from a pool by them.

    A subclass chooses.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the models are fitted anew.
        rows: rows that a model sees at most: half of them the best.
    """

    takes_several = True
    batch = 16

    def __init__(
        self, problem: Problem, *, seed: int = 0, initial: int = 32, refit: float = 0.1, rows: int = _MOST_ROWS
    ) -> None:
        super().__init__(problem, seed=seed)
        if initial < 1 or not refit >= 0 or rows < 2:
            raise ArmillaryError(
                f"initial={initial} must be at least 1, refit={refit} at least 0 and rows={rows} at least 2"
            )
        self._initial, self._refit, self._rows = initial, refit, rows
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._matrix = np.empty((0, len(problem.objectives)))
        self._fitted_rows = 0
        self._models: FrontModels

    @abstractmethod
    def _choose(self, pool: NDArray[np.int64], n: int) -> NDArray[np.intp]:
        """Return at most n positions of designs in a pool of promising ones, the most promising first."""

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        self._codes = np.concatenate([self._codes, codes])
        self._matrix = np.concatenate([self._matrix, values.reshape(len(values), -1)])

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Learn nothing: the constraint is kept without the models' help."""

    @property
    def _legal(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self._matrix).all(axis=1))

    def _propose(self, n: int) -> NDArray[np.int64]:
        rows = len(self._matrix)
        if rows < self._initial or self._legal.sum() < _FEWEST_LEGAL:
            return self._drawn(n)
        if rows > self._fitted_rows and rows >= (1 + self._refit) * self._fitted_rows:
            self._models = self._fitted()
            self._fitted_rows = rows
        pool = self._pool()
        chosen = self._choose(pool, min(n, len(pool))) if len(pool) else np.empty(0, dtype=np.intp)
        return np.concatenate([pool[chosen], self._drawn(n - len(chosen))])

    def _seen(self) -> NDArray[np.float64]:
        """Return the values of all rows in the scale of the models, shape [rows, objectives]."""
        return logarithms(self._matrix)

    def _fitted(self) -> FrontModels:
        legal = np.flatnonzero(self._legal)
        some = self._some(legal[np.argsort(depth(self._seen()[legal]), kind="stable")])
        seen = self._seen()
        known = partial(ordered_features, self.space)
        objectives: list[Known | Learned] = []
        for place in range(seen.shape[1]):
            law = self._law(place)
            objectives.append(learned(known, self._codes[some], seen[some, place]) if law is None else law)
        if len(legal) == len(seen):
            return FrontModels(objectives)
        mixed = self._some(self._rng.permutation(len(seen)))
        labels = self._legal[mixed].astype(float)
        return FrontModels(objectives, learned(known, self._codes[mixed], labels) if labels.std() > 0 else None)

    def _law(self, place: int) -> Known | None:
        """Return the objective as a law tells it, in the scale of the models; None if no law does."""
        objective = self.problem.objectives[place]
        law = self.problem.laws.get(objective.metric)
        if law is None:
            return None
        positive = bool((self._matrix[self._legal, place] > 0).all())

        def told(codes: NDArray[np.int64]) -> NDArray[np.float64]:
            values = objective.to_minimise(law(codes))
            return np.log(np.maximum(values, np.finfo(float).tiny)) if positive else values

        return Known(told)

    def _some(self, ordered: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return at most `rows` rows: the first half of them, and others at random."""
        if len(ordered) <= self._rows:
            return ordered
        first = self._rows // 2
        return np.concatenate([ordered[:first], self._rng.choice(ordered[first:], self._rows - first, replace=False)])

    def _pool(self) -> NDArray[np.int64]:
        """Return unmet designs that keep to the constraint, bred or listed, the most promising first."""
        gain = self._gain()
        if self.problem.candidates is not None:
            listed = distinct(self._listed()[:_LISTED])
            listed = listed[self._unmet(listed)]
            return listed[np.argsort(-gain(listed), kind="stable")]
        legal = np.flatnonzero(self._legal)
        parents = self._codes[legal[np.argsort(depth(self._seen()[legal]), kind="stable")]][:_PARENTS]
        on_front = self._codes[front(self._matrix)]
        near = neighbours(self.space, on_front)
        fresh = [near[self._rng.permutation(len(near))[:_NEAR]], random_codes(self.space, _DRAWN, self._rng)]
        pool, promise = np.empty((0, parents.shape[1]), dtype=np.int64), np.empty(0)
        for _ in range(_GENERATIONS):
            bred = distinct(np.concatenate([*fresh, children(self.space, parents, _CHILDREN, self._rng, mutation=1.5)]))
            bred = bred[self._unmet(bred)]
            pool, promise = np.concatenate([pool, bred]), np.concatenate([promise, gain(bred)])
            pool, first = np.unique(pool, axis=0, return_index=True)
            order = np.argsort(-promise[first], kind="stable")
            pool, promise = pool[order], promise[first][order]
            parents = np.concatenate([pool[:_PARENTS], on_front])
            fresh = []
        return pool

    def _gain(self) -> Gain:
        return Gain(self._models, boxes(self._seen()[self._legal], self._reference()))

    def _reference(self) -> NDArray[np.float64]:
        """Return the point up to which volume counts: the worst values of the front, and a tenth of their span more."""
        seen = self._seen()[self._legal]
        best = seen[front(seen)]
        worst, least = best.max(axis=0), best.min(axis=0)
        return np.asarray(worst + 0.1 * np.maximum(worst - least, 1e-3))


class Gain:
    """By how much a design is expected to raise the hypervolume, times its chance to be feasible.

    Args:
        models: of the objectives.
        cells: see `boxes`.
    """

    def __init__(self, models: FrontModels, cells: NDArray[np.float64]) -> None:
        self._models, self._cells = models, cells

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain, shape [designs]."""
        if not len(codes):
            return np.empty(0)
        mean, deviation = self._models.marginal(codes)
        return expected_gain(mean, deviation, self._cells) * self._models.chance(codes)


def boxes(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return disjoint boxes that fill what no value dominates, up to a reference point, shape [2, boxes, objectives].

    The first are the lower corners, which may be infinite, the second the upper ones.
    """
    if values.shape[1] == 1:
        least = min(float(values.min(initial=np.inf)), float(reference[0]))
        return np.array([[[-np.inf]], [[least]]])
    partitioning = FastNondominatedPartitioning(torch.from_numpy(-reference), torch.from_numpy(-values))
    least, most = partitioning.get_hypercell_bounds().numpy()
    return np.stack([-most, -least])


def expected_gain(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], cells: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the expected gain of hypervolume, shape [designs], of objectives that are independent and normal.

    Args:
        mean: shape [designs, objectives].
        deviation: shape [designs, objectives].
        cells: see `boxes`.

    Source: Emmerich, Deutz and Klinkenberg, CEC 2011, as sums over boxes (Yang et al., 2019): of a box a design gains
        the product, over objectives, of the length between the box's upper corner and the larger of the design and the
        lower corner.
    """
    gain = np.ones((len(mean), cells.shape[1]))
    for place in range(mean.shape[1]):
        corners, where = np.unique(cells[:, :, place], return_inverse=True)
        below = _expected_below(mean[:, place, None], deviation[:, place, None], corners)
        low, high = where.reshape(2, -1)
        gain *= below[:, high] - below[:, low]
    return np.asarray(gain.sum(axis=1))


def _expected_below(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much values are expected to be below corners, where they are, shape [designs, corners]."""
    spread = np.maximum(deviation, _LEAST_DEVIATION)
    finite = np.isfinite(corners)
    ahead = (np.where(finite, corners, 0.0) - mean) / spread
    below = spread * (ahead * ndtr(ahead) + np.exp(-0.5 * ahead**2) / _ROOT_TWO_PI)
    return np.where(finite, np.maximum(below, 0.0), 0.0)
