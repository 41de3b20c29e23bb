"""Intervals from errors that were measured, not assumed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def factor(scores: NDArray[np.float64], level: float) -> float:
    """Return how many spreads the error of a share of all points is within.

    Args:
        scores: sorted; errors of points that were left out over the spread that was expected of them, shape [points].
        level: the share.

    Source: Lei et al., JASA 2018, Section 5.2: locally weighted conformal prediction.
    """
    # one row more than there are, as a new one counts too
    place = int(np.ceil(level * (len(scores) + 1))) - 1
    return float(scores[min(place, len(scores) - 1)])
