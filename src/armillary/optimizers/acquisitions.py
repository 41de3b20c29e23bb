"""What a mapping or a design is worth trying, from what is expected of the logarithm of its cost.

Each takes the mean of the logarithms, how far they may be off, and the logarithm of the least cost measured so far;
what is returned is to be minimised. Before anything is measured, improvements fall back on the mean.

Sources: Srinivas et al., ICML 2010 (confidence bound); Jones et al., J. Global Optimization 13, 1998 (expected
improvement); Hutter et al., LION 2009 (that of the logarithm); Ament et al., NeurIPS 2023 (its logarithm, which does
not vanish); Thompson, Biometrika 25, 1933.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import norm

from armillary.optimizers.model_based import log_expected_improvement
from armillary.types import ArmillaryError

Values = NDArray[np.float64]
Worth = Callable[[Values, Values, float, np.random.Generator], Values]
_SIGMA = 0.6827
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Acquisition:
    """What is tried first.

    Attributes:
        level: how likely the truth is to lie within the spread that `worth` is given; 0.6827 for a standard deviation.
        worth: from means, spreads, the least so far and what is random to what is to be minimised, shape [n].
    """

    level: float
    worth: Worth


def _bound(mean: Values, spread: Values, _best: float, _rng: np.random.Generator) -> Values:
    return mean - spread


def _mean(mean: Values, _spread: Values, _best: float, _rng: np.random.Generator) -> Values:
    return mean


def _thompson(mean: Values, spread: Values, _best: float, rng: np.random.Generator) -> Values:
    return mean + spread * rng.standard_normal(mean.shape)


def _improvement(mean: Values, spread: Values, best: float, _rng: np.random.Generator) -> Values:
    """Return minus the share of the least cost that is expected to be saved; errors of logarithms are normal."""
    if not np.isfinite(best):
        return mean
    off, spread = mean - best, np.maximum(spread, _LEAST_SPREAD)
    left = np.exp(np.minimum(off + spread**2 / 2 + log_ndtr(-off / spread - spread), 0.0))
    return np.asarray(left - norm.cdf(-off / spread))


def _log_improvement(mean: Values, spread: Values, best: float, _rng: np.random.Generator) -> Values:
    """Return minus the logarithm of the expected fall of the logarithm."""
    if not np.isfinite(best):
        return mean
    spread = np.maximum(spread, _LEAST_SPREAD)
    return -np.log(spread) - log_expected_improvement((best - mean) / spread)


ACQUISITIONS: Mapping[str, Acquisition] = {
    "ucb": Acquisition(0.5, _bound),
    "ei": Acquisition(_SIGMA, _improvement),
    "log-ei": Acquisition(_SIGMA, _log_improvement),
    "thompson": Acquisition(_SIGMA, _thompson),
    "mean": Acquisition(_SIGMA, _mean),
}


def acquisition_of(name: str) -> Acquisition:
    """Return an acquisition function by name.

    Raises:
        ArmillaryError: if there is none of that name.
    """
    if name not in ACQUISITIONS:
        raise ArmillaryError(f"acquisition {name!r} is unknown; choose one of {list(ACQUISITIONS)}")
    return ACQUISITIONS[name]
