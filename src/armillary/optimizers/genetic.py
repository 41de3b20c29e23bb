"""A genetic algorithm: the humble online baseline.

Source: the textbook (Goldberg 1989): tournaments, uniform crossover, mutation, the best survive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer, random_codes
from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError


class Genetic(CodedOptimizer):
    """Genetic search.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        population: how many designs survive.
        tournament: of how many survivors the best becomes a parent.
        crossover: probability that a child has two parents.
        mutation: expected number of parameters that change; half of them by one step where there is an order.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 50,
        tournament: int = 3,
        crossover: float = 0.9,
        mutation: float = 1.0,
    ) -> None:
        super().__init__(problem, seed=seed)
        if population < 2 or tournament < 1 or not 0 <= crossover <= 1 or not mutation > 0:
            raise ArmillaryError(
                f"population={population} must be at least 2, tournament={tournament} at least 1, "
                f"crossover={crossover} between 0 and 1, mutation={mutation} positive"
            )
        self._size, self._tournament = population, tournament
        self._crossover, self._mutation = crossover, mutation
        self._codes = np.empty((0, len(problem.space.parameters)), dtype=np.int64)
        self._values = np.empty(0)

    def _propose(self, n: int) -> NDArray[np.int64]:
        alive = np.isfinite(self._values)
        if alive.sum() < 2:
            return self._drawn(n)
        return children(
            self.space,
            self._codes[alive],
            n,
            self._rng,
            tournament=self._tournament,
            crossover=self._crossover,
            mutation=self._mutation,
        )

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        every = np.concatenate([self._values, values])
        order = np.argsort(every, kind="stable")[: self._size]
        self._codes, self._values = np.concatenate([self._codes, codes])[order], every[order]


def children(
    space: Space,
    parents: NDArray[np.int64],
    n: int,
    rng: np.random.Generator,
    *,
    tournament: int = 3,
    crossover: float = 0.9,
    mutation: float = 1.0,
) -> NDArray[np.int64]:
    """Return n children of designs that are given the best first, shape [n, parameters]."""
    drawn = rng.integers(0, len(parents), size=(2, n, tournament)).min(axis=2)
    mother, father = parents[drawn[0]], parents[drawn[1]]
    mixed = rng.random(mother.shape) < 0.5
    child = np.where(mixed & (rng.random((n, 1)) < crossover), father, mother)
    changed = rng.random(child.shape) < mutation / child.shape[1]
    ordered = np.array([p.kind != "categorical" for p in space.parameters])
    stepped = child + rng.choice([-1, 1], size=child.shape)
    inside = ordered & (stepped >= 0) & (stepped < space.cardinalities) & (rng.random(child.shape) < 0.5)
    return np.where(changed, np.where(inside, stepped, random_codes(space, n, rng)), child)
