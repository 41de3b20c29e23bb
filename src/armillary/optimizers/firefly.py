"""Firefly on an evaluator: PRIME's online evolutionary baseline.

Source: Yang, "Firefly algorithms for multimodal optimization", 2009; PRIME Equation 5 and Appendix B.1.
    The moves are those of `armillary.surrogates.fireflies`. What Equation 5 leaves open, and how it
    is settled here for spaces where three designs of four are infeasible:

    * a firefly stays where it is unless the move improves it, so that it is not lost in the
      infeasible sea; each failed move shrinks its noise, success restores it;
    * a firefly whose noise has shrunk to nothing starts anew at random, except the best;
    * a firefly that has not met a feasible design yet is drawn at random until it does;
    * a design that was asked or told before is not asked again.

    The dynamic tuning of gamma and beta0 (Appendix B.1.1) is not here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer, keys
from armillary.spaces.space import Space
from armillary.surrogates.fireflies import Moves, population_size
from armillary.types import ArmillaryError, Objective


class Firefly(CodedOptimizer):
    """Firefly search.

    Args:
        space: the space to search.
        objective: what to minimise under which bounds.
        seed: same seed and results, same designs.
        population: number of fireflies; None takes PRIME's formula (23 for ten parameters).
        gamma: how fast attraction falls with the squared distance; 1 in the paper.
        beta0: attraction at distance zero; 1 in the paper.
        noise: standard deviation of the noise in steps between values.
        shrink: factor on a firefly's noise after a move that did not improve it.
        exhausted: a firefly whose noise factor falls below this starts anew.
    """

    def __init__(
        self,
        *,
        space: Space,
        objective: Objective,
        seed: int = 0,
        population: int | None = None,
        gamma: float = 1.0,
        beta0: float = 1.0,
        noise: float = 1.0,
        shrink: float = 0.9,
        exhausted: float = 0.2,
    ) -> None:
        super().__init__(space=space, objective=objective, seed=seed)
        size = population_size(len(space.parameters)) if population is None else population
        if size < 2 or not 0 < shrink < 1 or not 0 < exhausted < 1 or not noise > 0:
            raise ArmillaryError(
                f"population={size} must be at least 2, shrink={shrink} and exhausted={exhausted} between 0 and 1, "
                f"noise={noise} positive"
            )
        self._moves = Moves(space, gamma=gamma, beta0=beta0, noise=noise)
        self._shrink, self._exhausted = shrink, exhausted
        self._positions = self._moves.scatter((size,), self._rng)
        self._values = np.full(size, np.inf)  # infinite: has not met a feasible design
        self._scale = np.ones(size)
        self._turn = 0
        self._proposed: tuple[NDArray[np.intp], NDArray[np.float64]]
        self._pending: dict[bytes, tuple[int, NDArray[np.float64]]] = {}

    def _propose(self, n: int) -> NDArray[np.int64]:
        """Move the fireflies in turn; as often as n needs."""
        size = len(self._values)
        turns = -(-n // size)
        moved = np.concatenate([self._moved() for _ in range(turns)])
        order = (self._turn + np.arange(n)) % size
        where = moved[np.arange(n) // size * size + order]
        self._turn = (self._turn + n) % size
        self._proposed = (order, where)
        return self._moves.codes(where)

    def _moved(self) -> NDArray[np.float64]:
        """Return where each firefly would go next, shape [fireflies, parameters]."""
        moved = self._moves.step(self._positions[None], self._values[None], self._rng, self._scale[None])[0]  # eq. 5
        lost = np.isinf(self._values)
        moved[lost] = self._moves.scatter((int(lost.sum()),), self._rng)
        return np.asarray(moved)

    def _adopted(self, slots: NDArray[np.intp], codes: NDArray[np.int64]) -> None:
        fireflies, where = self._proposed
        for key, slot in zip(keys(codes), slots, strict=True):
            self._pending[key] = (int(fireflies[slot]), where[slot])

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        positions = self._moves.positions(codes)
        for key, value, position in zip(keys(codes), values, positions, strict=True):
            # a design that was not asked here takes the place of the worst firefly, if it is better
            firefly, where = self._pending.pop(key, (int(self._values.argmax()), position))
            if value < self._values[firefly]:
                self._positions[firefly], self._values[firefly], self._scale[firefly] = where, value, 1.0
            elif np.isfinite(self._values[firefly]):
                self._scale[firefly] *= self._shrink
                if self._scale[firefly] < self._exhausted and firefly != self._values.argmin():
                    self._values[firefly], self._scale[firefly] = np.inf, 1.0
