"""From a conservative value to a probability of feasibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit


@dataclass(frozen=True)
class FeasibilityMap:
    """P(feasible | value) = sigmoid(intercept - slope * value), never rising with the value.

    It is as good as the value separates the two kinds: with beta = 0 a surrogate was never told
    what is infeasible, the slope comes out near zero, and the map says little more than the share of
    feasible rows in the log. Probabilities refer to designs drawn like those of the log.
    """

    intercept: float
    slope: float

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each value, same shape."""
        return np.asarray(expit(self.intercept - self.slope * values))


def fit_feasibility(
    feasible: NDArray[np.float64], infeasible: NDArray[np.float64], share: float, iterations: int = 50
) -> FeasibilityMap:
    """Return the map of greatest likelihood on rows that were not trained on.

    Args:
        feasible: predicted values of feasible rows, standardised, shape [rows].
        infeasible: the same of infeasible rows.
        share: share of feasible rows in the whole log; rows are weighted so that it holds.
        iterations: of Newton's method at most.

    Source: Platt scaling with his smoothed targets (Platt 1999), slope kept at or above zero.
    """
    if len(feasible) == 0 or len(infeasible) == 0:
        return FeasibilityMap(intercept=float(logit(np.clip(share, 1e-3, 1 - 1e-3))), slope=0.0)
    x = np.concatenate([feasible, infeasible])
    high = (len(feasible) + 1) / (len(feasible) + 2)
    low = 1 / (len(infeasible) + 2)
    target = np.repeat([high, low], [len(feasible), len(infeasible)])
    weight = np.repeat([share / len(feasible), (1 - share) / len(infeasible)], [len(feasible), len(infeasible)])
    theta = np.array([logit(np.clip(share, 1e-3, 1 - 1e-3)), 0.0])
    features = np.stack([np.ones_like(x), -x], axis=1)
    for _ in range(iterations):
        p = expit(features @ theta)
        gradient = features.T @ (weight * (p - target)) + 1e-6 * theta
        curvature = (features * (weight * p * (1 - p))[:, None]).T @ features + 1e-6 * np.eye(2)
        change = np.linalg.solve(curvature, gradient)
        theta -= np.clip(change, -2, 2)
        if np.abs(change).max() < 1e-8:
            break
    if theta[1] <= 0:
        return FeasibilityMap(intercept=float(logit(np.clip(share, 1e-3, 1 - 1e-3))), slope=0.0)
    return FeasibilityMap(intercept=float(theta[0]), slope=float(theta[1]))
