"""`calibrated`: a cheap evaluator's answer times one factor, the plainest model of layers that learns anything.

The factor is the median ratio of what was measured to what the evaluator says. The interval's ends are quantiles of the
residuals' logarithms where each layer is held out in turn, so that they hold for layers that were not learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.layers import INTERVAL, LayerPrediction, LayerSurrogateKind, Prior
from armillary.surrogates.layers.dataset import METRICS, LayerDataset
from armillary.surrogates.layers.trust import Trust
from armillary.types import ArmillaryError, MappedLayer

NAME = "calibrated"
_LEAST_ROWS = 10


class Calibrated:
    """One factor on what a cheap evaluator says.

    Args:
        space: of the designs.
        metric: `delay_cycles` or `energy_pj`.
        seed: of nothing here.
    """

    def __init__(self, space: Space, metric: str = METRICS[0], seed: int = 0) -> None:  # noqa: ARG002
        if metric not in METRICS:
            raise ArmillaryError(f"metric {metric!r} is not allowed; surrogate {NAME} predicts one of {list(METRICS)}")
        self.space, self.metric, self.prior_source = space, metric, ""
        self._shift = self._low = self._high = 0.0
        self._trust = Trust()
        self._rows = 0

    def fit(self, rows: LayerDataset, prior: Prior) -> Calibrated:
        """Learn the factor, the interval, and how far to trust what the evaluator says of feasibility.

        Raises:
            ArmillaryError: if fewer than 10 rows are feasible, by the evaluator too, or they are all of one layer.
        """
        both = rows.feasible & prior.feasible
        residual = np.log(getattr(rows, self.metric)[both]) - np.log(prior.metrics[self.metric][both])
        groups = rows.layer[both]
        if len(residual) < _LEAST_ROWS or len(np.unique(groups)) < 2:
            raise ArmillaryError(
                f"surrogate {NAME} learns from {_LEAST_ROWS} feasible rows of two layers or more; there are "
                f"{len(residual)} of {len(np.unique(groups))}"
            )
        self.prior_source = prior.source
        self._shift, self._rows = float(np.median(residual)), len(residual)
        self._low, self._high = _ends(residual, groups)
        self._trust = Trust.learned(rows, prior)
        return self

    def predict_layers(self, mapped: Sequence[MappedLayer], prior: Prior) -> LayerPrediction:
        """Predict mapped layers; see `PredictsLayers`."""
        said = prior.metrics[self.metric]
        if len(mapped) != len(said):
            raise ValueError(f"{len(mapped)} mapped layers, but the prior is of {len(said)}")
        mean = said * np.exp(self._shift)
        return LayerPrediction(
            mean=mean,
            low=mean * np.exp(self._low),
            high=mean * np.exp(self._high),
            p_feasible=self._trust.chance(prior),
        )

    def facts(self) -> dict[str, float]:
        """Return the rows learned from and the factor."""
        return {"learned_from": float(self._rows), "factor": float(np.exp(self._shift))}

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to a file."""
        trust = self._trust
        numbers = [self._shift, self._low, self._high, trust.feasible, trust.infeasible, float(self._rows)]
        problem = Problem.minimising(self.space, self.metric)
        weights = {"numbers": torch.tensor(numbers, dtype=torch.float64)}
        model_file.save(target, NAME, self.space, problem, {"prior_source": self.prior_source}, weights)


def _ends(residual: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return the ends of the interval of residuals, each taken from the median of the other groups."""
    left = np.empty_like(residual)
    for group in np.unique(groups):
        own = groups == group
        left[own] = residual[own] - np.median(residual[~own])
    outside = (1 - INTERVAL) / 2
    low, high = np.quantile(left, [outside, 1 - outside])
    return float(low), float(high)


def _read(path: str | Path, space: Space) -> Calibrated:
    metadata, weights = model_file.read(Path(path), space, NAME)
    model = Calibrated(space, metadata["problem"].metric)
    model.prior_source = metadata["prior_source"]
    model._shift, model._low, model._high, feasible, infeasible, rows = weights["numbers"].tolist()
    model._trust, model._rows = Trust(feasible, infeasible), int(rows)
    return model


KIND = LayerSurrogateKind(make=Calibrated, read=_read)
