"""P3BO: a population of optimizers that share results and compete for the next designs.

Source: Angermueller et al., "Population-based black-box optimization for biological sequence design", ICML
    2020, Algorithm 1: every round's designs are shared out among the members in proportion to a softmax of
    their credit, the decayed sum of how much each improved on the best before it; all hear all results.
    The members are those of this package; the paper's are its own for sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer, keys
from armillary.optimizers.firefly import Firefly
from armillary.optimizers.genetic import Genetic
from armillary.optimizers.mbo import Mbo
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError


class P3bo(CodedOptimizer):
    """A population of optimizers.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        decay: of credit per round.
        temperature: of the softmax; lower follows the credit more closely.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, decay: float = 0.9, temperature: float = 0.5) -> None:
        super().__init__(problem, seed=seed)
        if not 0 <= decay < 1 or not temperature > 0:
            raise ArmillaryError(f"decay={decay} must be in [0, 1) and temperature={temperature} positive")
        self._decay, self._temperature = decay, temperature
        self.members: Sequence[CodedOptimizer] = (
            RandomSearch(problem, seed=seed),
            Genetic(problem, seed=seed + 1),
            Genetic(problem, seed=seed + 2, population=20, mutation=3.0),
            Firefly(problem, seed=seed + 3),
            Mbo(problem, seed=seed + 4, regressors=("ridge",)),
            Mbo(problem, seed=seed + 5, regressors=("trees",)),
        )
        self.credit = np.zeros(len(self.members))
        self._asked_by: dict[bytes, int] = {}
        self._proposers = np.empty(0, dtype=np.int64)

    def _propose(self, n: int) -> NDArray[np.int64]:
        counts = self._shares(n)
        parts = [m.ask_codes(int(k)) for m, k in zip(self.members, counts, strict=True) if k]
        self._proposers = np.repeat(np.arange(len(self.members)), counts)
        return np.concatenate(parts)

    def _shares(self, n: int) -> NDArray[np.int64]:
        """Return how many of n designs each member proposes."""
        best = self.credit.max()
        weight = np.exp((self.credit / best if best > 0 else self.credit) / self._temperature)
        return self._rng.multinomial(n, weight / weight.sum())

    def _adopted(self, slots: NDArray[np.intp], codes: NDArray[np.int64]) -> None:
        for key, slot in zip(keys(codes), slots, strict=True):
            self._asked_by[key] = int(self._proposers[slot])

    def tell_values(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take values to minimise, infinite for infeasible designs, shape [designs]."""
        before = self.best_value
        super().tell_values(codes, values)
        self.credit *= self._decay
        for key, value in zip(keys(codes), values, strict=True):
            member = self._asked_by.pop(key, None)
            if member is not None and value < before:
                gain = np.log(before / value) if np.isfinite(before) else 0.0
                self.credit[member] = max(self.credit[member], gain)

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        for member in self.members:
            member.tell_values(codes, values)
