"""Which member of the grid, and which of its checkpoints, a fitted PRIME keeps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def kendall(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return Kendall's rank correlation as PRIME counts it; ties are discordant.

    Args:
        truth: measured values, shape [rows].
        predicted: predicted values, shape [rows].

    Returns:
        A value in [-1, 1]; NaN below two rows.

    Source: PRIME Equation 4, over pairs of different rows. Computed in n log n: tau-b tells
        concordant minus discordant pairs, the tie counts tell their sum.
    """
    rows = len(truth)
    if rows < 2:
        return float("nan")
    pairs = rows * (rows - 1) // 2
    tied_truth, tied_predicted = _tied_pairs(truth), _tied_pairs(predicted)
    if pairs in (tied_truth, tied_predicted):
        return -1.0
    tied_both = _tied_pairs(np.unique(np.stack([truth, predicted]), axis=1, return_inverse=True)[1].reshape(-1))
    tau_b = stats.kendalltau(truth, predicted).statistic
    difference = round(tau_b * float(np.sqrt(float(pairs - tied_truth)) * np.sqrt(float(pairs - tied_predicted))))
    untied = pairs - tied_truth - tied_predicted + tied_both
    concordant = (untied + difference) // 2
    return float((2 * concordant - pairs) / pairs)  # eq. 4


def _tied_pairs(values: NDArray[Any]) -> int:
    counts = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


@dataclass(frozen=True)
class Candidate:
    """One checkpoint of one grid member: gradient steps taken and Kendall's correlation there."""

    alpha: float
    beta: float
    checkpoint: int
    kendall: float


@dataclass(frozen=True)
class Selection:
    """What was compared, what was chosen, and what it cost.

    Attributes:
        candidates: every checkpoint that was scored, in the order of training.
        chosen: those that are kept, the best first.
        seconds: time that training and selection took; NaN of a model that was read from a file.
    """

    candidates: tuple[Candidate, ...]
    chosen: tuple[Candidate, ...]
    seconds: float = float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready, without the time, which is another each time."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> Selection:
        """Return the selection that `as_dict` described."""
        return Selection(
            candidates=tuple(Candidate(**c) for c in fields["candidates"]),
            chosen=tuple(Candidate(**c) for c in fields["chosen"]),
        )


def with_seconds(facts: dict[str, float], seconds: float) -> dict[str, float]:
    """Return facts and the time that the training took; a model file does not hold it, as it is another each time."""
    return facts if math.isnan(seconds) else {**facts, "seconds": seconds}
