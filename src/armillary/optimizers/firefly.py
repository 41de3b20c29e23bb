"""Firefly on an evaluator: PRIME's online evolutionary baseline.

Source: Yang, "Firefly algorithms for multimodal optimization", 2009; PRIME Equation 5 and Appendix B.1.
    The moves are those of `armillary.spaces.moves`. What Equation 5 leaves open, and how it
    is settled here for spaces where three designs of four are infeasible:

    * a firefly stays where it is unless the move improves it, so that it is not lost in the
      infeasible sea; each failed move shrinks its noise, success restores it;
    * a firefly whose noise has shrunk to nothing starts anew at random, except the best;
    * a firefly that has not met a feasible design yet is drawn at random until it does;
    * a design that was asked or told before is not asked again.

    Gamma and beta0 are tuned on the way (Appendix B.1.1): eight settings share the first 750 designs;
    then, every 50 designs, the next setting is a variation of the one that met the best design
    within the last 750.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer, keys
from armillary.problems.problem import Problem
from armillary.spaces.moves import Moves, population_size
from armillary.types import ArmillaryError

_COVERAGE = 750
_WINDOW = 50
_SETTINGS = 8
_SPREAD = 1.0
_STEP = 0.3
_Setting = tuple[float, float]


class _Tuning:
    """Which gamma and beta0 are in use: every window of designs has one setting, scored by its best design."""

    def __init__(self, start: _Setting, rng: np.random.Generator) -> None:
        self._rng = rng
        self._cover = [start, *(self._varied(start, _SPREAD) for _ in range(_SETTINGS - 1))]
        self._windows: deque[tuple[float, _Setting]] = deque(maxlen=_COVERAGE // _WINDOW)
        self._heard, self._best = 0, float("inf")
        self.setting = start

    def hear(self, value: float) -> None:
        """Take the value of a design; at the end of a window choose the next setting."""
        self._heard += 1
        self._best = min(self._best, value)
        if self._heard % _WINDOW:
            return
        self._windows.append((self._best, self.setting))
        self._best = float("inf")
        if self._heard < _COVERAGE:
            self.setting = self._cover[self._heard // _WINDOW % _SETTINGS]
        else:
            _, best = min(self._windows)
            self.setting = self._varied(best, _STEP)

    def _varied(self, setting: _Setting, spread: float) -> _Setting:
        gamma, beta0 = np.array(setting) * np.exp(spread * self._rng.standard_normal(2))
        return float(gamma), float(min(beta0, 2.0))


class Firefly(CodedOptimizer):
    """Firefly search.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        population: number of fireflies; None takes PRIME's formula (23 for ten parameters).
        gamma: how fast attraction falls with the squared distance; 1 in the paper.
        beta0: attraction at distance zero; 1 in the paper.
        tuned: change gamma and beta0 on the way, starting from the given ones.
        noise: standard deviation of the noise in steps between values.
        shrink: factor on a firefly's noise after a move that did not improve it.
        exhausted: a firefly whose noise factor falls below this starts anew.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int | None = None,
        gamma: float = 1.0,
        beta0: float = 1.0,
        tuned: bool = True,
        noise: float = 1.0,
        shrink: float = 0.9,
        exhausted: float = 0.2,
    ) -> None:
        super().__init__(problem, seed=seed)
        size = population_size(len(problem.space.parameters)) if population is None else population
        if size < 2 or not 0 < shrink < 1 or not 0 < exhausted < 1 or not noise > 0:
            raise ArmillaryError(
                f"population={size} must be at least 2, shrink={shrink} and exhausted={exhausted} between 0 and 1, "
                f"noise={noise} positive"
            )
        self._moves = Moves(self.space, gamma=gamma, beta0=beta0, noise=noise)
        self._tuning = _Tuning((gamma, beta0), self._rng) if tuned else None
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
        if self._tuning is not None:
            gamma, beta0 = self._tuning.setting
            self._moves = replace(self._moves, gamma=gamma, beta0=beta0)
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
            if self._tuning is not None:
                self._tuning.hear(float(value))
            # a design that was not asked here takes the place of the worst firefly, if it is better
            firefly, where = self._pending.pop(key, (int(self._values.argmax()), position))
            if value < self._values[firefly]:
                self._positions[firefly], self._values[firefly], self._scale[firefly] = where, value, 1.0
            elif np.isfinite(self._values[firefly]):
                self._scale[firefly] *= self._shrink
                if self._scale[firefly] < self._exhausted and firefly != self._values.argmin():
                    self._values[firefly], self._scale[firefly] = np.inf, 1.0
