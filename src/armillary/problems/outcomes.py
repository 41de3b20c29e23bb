"""What became of a batch of candidates, as an optimizer is told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from armillary.types import Evaluation, Evaluations, Failure, LayerRun


@dataclass(frozen=True)
class Outcomes:
    """Every metric, whether it is feasible and why not, candidate by candidate.

    Attributes:
        metrics: per metric a column of shape [candidates], NaN where it is not known.
        feasible: shape [candidates].
        failures: why the others failed; None for feasible ones.
        layers: the runs of each candidate's layers, empty where they were not told.
    """

    metrics: Mapping[str, NDArray[np.float64]]
    feasible: NDArray[np.bool_]
    failures: Sequence[Failure | None] = ()
    layers: Sequence[tuple[LayerRun, ...]] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name, column in self.metrics.items():
            if column.shape != self.feasible.shape:
                raise ValueError(f"metric {name} has shape {column.shape}, expected {self.feasible.shape}")
        for what, rows in (("failures", self.failures), ("layers", self.layers)):
            if rows and len(rows) != len(self):
                raise ValueError(f"{len(rows)} {what} do not belong to {len(self)} candidates")

    def __len__(self) -> int:
        return len(self.feasible)

    @staticmethod
    def of(rows: Evaluations) -> Outcomes:
        """Return the outcomes that rows of a log hold; they tell no runs of layers."""
        return Outcomes(rows.metrics, rows.feasible, tuple(map(rows.failure, range(len(rows)))))

    @staticmethod
    def of_each(evaluations: Sequence[Evaluation]) -> Outcomes:
        """Return the outcomes that evaluations hold, the runs of layers with them."""
        names = dict.fromkeys(name for e in evaluations for name in e.metrics)
        return Outcomes(
            {name: np.array([e.metrics.get(name, np.nan) for e in evaluations], dtype=float) for name in names},
            np.array([e.feasible for e in evaluations], dtype=bool),
            tuple(e.failure for e in evaluations),
            tuple(e.layers for e in evaluations),
        )
