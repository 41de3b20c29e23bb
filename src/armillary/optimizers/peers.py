"""Co-design methods that Spotlight is compared with, as their papers describe them, on its template.

Both leave mappings almost alone: ConfuciuX picks one of three dataflows, HASCO has a fixed matrix-multiply
intrinsic. Here each layer's mapping is the best of twelve random tile factors of K and C in those dataflows.

Sources: Kao, Jeong and Krishna, "ConfuciuX", MICRO 2020; Xiao et al., "HASCO", ISCA 2021; the Spotlight chapter,
    Section 4.4, for what each explores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.mapping.spotlight.dabo import DomainModel
from armillary.mapping.spotlight.features import RAW_HW
from armillary.optimizers.co_design import CoDesign
from armillary.optimizers.genetic import children
from armillary.optimizers.spotlight import Spotlight, check_space
from armillary.problems.problem import Problem

LEVELS = 12
_SEARCHED = ("pe_array", "register_file_kib")
_LEARNING_RATE = 0.5
_KEPT = 20


class Confuciux(CoDesign):
    """Reinforcement learning, then a genetic search around the best.

    A policy chooses one of 12 levels of the PE array and of the register files; lanes and bandwidth are the
    largest, the scratchpad is the middle one. REINFORCE with a moving baseline moves the policy towards chips of lower
    cost for the first half of the evaluations; the second half mutates the best, on all values of the same parameters.

    Args:
        problem: on the space of a `spotlight` template.
        seed: same seed and results, same designs.
        learned: evaluations after which the genetic search takes over.

    Raises:
        ArmillaryError: if the space is another template's.
    """

    batch, mapper = 1, "dataflows"

    def __init__(self, problem: Problem, *, seed: int = 0, learned: int = 50) -> None:
        check_space(problem.space)
        super().__init__(problem, seed=seed)
        self._learned = learned
        self._columns = [self.space.names.index(name) for name in _SEARCHED]
        counts = [self.space.cardinalities[column] for column in self._columns]
        self._levels = [np.unique(np.linspace(0, n - 1, LEVELS).round().astype(np.int64)) for n in counts]
        self._logits = [np.zeros(len(levels)) for levels in self._levels]
        self._rest = np.array([n - 1 for n in self.space.cardinalities])
        self._rest[self.space.names.index("scratchpad_kib")] //= 2
        self._codes, self._values = np.empty((0, len(self.space.names)), dtype=np.int64), np.empty(0)

    def _propose(self, n: int) -> NDArray[np.int64]:
        if len(self._values) >= self._learned and np.isfinite(self.best_value):
            bred = children(self.space, self._codes, n, self._rng, mutation=2.0)
            fixed = [i for i in range(len(self._rest)) if i not in self._columns]
            bred[:, fixed] = self._rest[fixed]
            return bred
        codes = np.repeat(self._rest[None], n, axis=0)
        for column, levels, logits in zip(self._columns, self._levels, self._logits, strict=True):
            codes[:, column] = self._rng.choice(levels, size=n, p=_softmax(logits))
        return codes

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        for code, value in zip(codes, values, strict=True):
            self._reinforce(code, value)
        every = np.concatenate([self._values, values])
        order = np.argsort(every, kind="stable")
        self._codes = np.concatenate([self._codes, codes])[order]
        self._values = every[order]

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Move the policy away from designs that are too large."""
        for code in codes:
            self._reinforce(code, np.inf)

    def _reinforce(self, code: NDArray[np.int64], value: float) -> None:
        """Move the policy by the logarithm of a cost below, or above, the mean of the best so far."""
        known = np.log(self._values[np.isfinite(self._values)][:_KEPT])
        baseline = known.mean() if len(known) else 0.0
        reward = float(np.clip(baseline - np.log(value), -1, 1)) if np.isfinite(value) else -1.0
        for column, levels, logits in zip(self._columns, self._levels, self._logits, strict=True):
            chosen = levels == code[column]
            if chosen.any():
                logits += _LEARNING_RATE * reward * (chosen - _softmax(logits))


def hasco(problem: Problem, *, seed: int = 0) -> Spotlight:
    """Return Bayesian optimisation of the hardware (Matern kernel, expected improvement) with one intrinsic."""
    model = DomainModel("matern", "ei")
    return Spotlight(
        problem,
        seed=seed,
        features=RAW_HW,
        model=model,
        explore=0.0,
        around=0,
        mapper="intrinsic",
        prior_mean=False,
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())
