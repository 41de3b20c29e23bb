"""How well predictions agree with the RTL: pooled, within a layer, and within a layer on one design.

The pooled rank mostly measures how large layers are, so that it never stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from armillary.benchmarks.starlight.collection import Rows

SMALLEST_GROUP = 4
"""Rows of a group whose ranks count."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """What a model expects of rows, shape [rows] each; no interval, no coverage.

    Attributes:
        mean: in cycles.
        low: end of the 90% interval.
        high: its other end.
        trained_s: processor seconds of the training; None where nothing is trained.
        predicted_ms: processor milliseconds per row of the prediction, beside the prior's; None for a few rows.
    """

    mean: Values
    low: Values | None = None
    high: Values | None = None
    trained_s: float | None = None
    predicted_ms: float | None = None

    def select(self, rows: NDArray[np.int64]) -> Guess:
        """Return chosen rows, in that order."""
        low, high = (None if end is None else end[rows] for end in (self.low, self.high))
        return replace(self, mean=self.mean[rows], low=low, high=high)


def scores(guess: Guess, rows: Rows) -> dict[str, float | None]:
    """Return the scores of cycles, the rank of EDP, and the times; None where there is nothing to measure.

    The energy is the cost model's, in the truth as in the prediction.
    """
    true, said = rows.data.delay_cycles, guess.mean
    inside = None if guess.low is None or guess.high is None else (guess.low <= true) & (true <= guess.high)
    return {
        "spearman": rank(said, true),
        **errors(said, true),
        "within_layer": within(rows.data.layer, said, true),
        "within_layer_and_hardware": within(rows.pair, said, true),
        "coverage": None if inside is None else float(inside.mean()),
        "spearman_edp": rank(said * rows.data.energy_pj, true * rows.data.energy_pj),
        "trained_s": guess.trained_s,
        "predicted_ms": guess.predicted_ms,
    }


def errors(said: Values, true: Values) -> dict[str, float]:
    """Return the mean relative error and the root mean squared logarithmic error."""
    return {
        "mean_error": float(np.mean(np.abs(said / true - 1))),
        "rmsle": float(np.sqrt(np.mean(np.log(said / true) ** 2))),
    }


def rank(said: Values, true: Values) -> float | None:
    """Return Spearman's rank correlation; None where all values are equal."""
    return float(spearmanr(said, true).statistic) if len(set(said)) > 1 and len(set(true)) > 1 else None


def within(groups: NDArray[np.int64], said: Values, true: Values, smallest: int = SMALLEST_GROUP) -> float | None:
    """Return the median rank correlation over groups that are large enough; None if there is none.

    Args:
        groups: the number of each row's, shape [rows].
        said: predicted, shape [rows].
        true: shape [rows].
        smallest: rows of a group that counts.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = [rank(said[own], true[own]) for own in members if len(own) >= smallest]
    told = [value for value in found if value is not None]
    return float(np.median(told)) if told else None


def over_repeats(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the median of each score over repeats, and the worst rank correlation."""
    summary: dict[str, float | None] = {}
    for name in found[0]:
        told = [value for each in found if (value := each[name]) is not None]
        summary[name] = float(np.median(told)) if told else None
        if name == "spearman":
            summary["worst_spearman"] = min(told) if told else None
    return summary
