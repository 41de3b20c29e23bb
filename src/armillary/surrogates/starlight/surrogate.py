"""`starlight`: a closed form of the hardware as prior, and what few simulations tell of its error.

The dissertation transfers a network's weights from an analytical model to RTL (Section 5.2). What transfers better is
the analytical model itself: here its answer is the mean before any simulation, and trees and a Gaussian process learn
the logarithm of what the simulator says over it. They see what is known before a simulation: the design, the layer,
the mapping, and what the analytical evaluator tells of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.layers import INTERVAL, LayerPrediction, LayerSurrogateKind, Prior
from armillary.surrogates.layers.dataset import METRICS, LayerDataset
from armillary.surrogates.layers.trust import Trust
from armillary.surrogates.starlight.features import features_of
from armillary.surrogates.starlight.residual import LEAST_ROWS, ResidualModel
from armillary.types import ArmillaryError, MappedLayer

NAME = "starlight"


class Starlight:
    """The prior times the error that was learned.

    Args:
        space: of the designs.
        metric: `delay_cycles` or `energy_pj`.
        seed: of the trees and of the rows that the process is tuned on.
    """

    def __init__(self, space: Space, metric: str = METRICS[0], seed: int = 0) -> None:
        if metric not in METRICS:
            raise ArmillaryError(f"metric {metric!r} is not allowed; surrogate {NAME} predicts one of {list(METRICS)}")
        self.space, self.metric, self.prior_source = space, metric, ""
        self._seed = seed
        self._trust = Trust()
        self._rows = 0
        self._error: ResidualModel | None = None

    def fit(self, rows: LayerDataset, prior: Prior) -> Starlight:
        """Learn the error of the prior.

        Raises:
            ArmillaryError: if fewer than 20 rows are feasible, by the evaluator too, or they are all of one layer and
                one design, so that none can be held out.
        """
        features, error, both = self._learnable(rows, prior)
        known = rows.select(both)
        self._error = ResidualModel.learned(features, error, (known.layer, known.hardware), self._seed)
        self._take(rows, prior, both)
        return self

    def update(self, rows: LayerDataset, prior: Prior) -> Starlight:
        """Learn from rows beside those that it was fitted to, all of them given, for far less than a fit.

        How the process and the trees share, and how far off they are, stay as they were found in the fit.

        Raises:
            ArmillaryError: if fewer than 20 rows are feasible, by the evaluator too.
        """
        assert self._error is not None, "fit before updating"
        features, error, both = self._learnable(rows, prior)
        self._error = self._error.knowing(features, error, self._seed)
        self._take(rows, prior, both)
        return self

    def _learnable(
        self, rows: LayerDataset, prior: Prior
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return the features and the prior's error of the rows that can run, and which these are."""
        both = rows.feasible & prior.feasible
        if both.sum() < LEAST_ROWS:
            raise ArmillaryError(
                f"surrogate {NAME} learns from {LEAST_ROWS} feasible rows or more; there are {int(both.sum())}"
            )
        known, said = rows.select(both), prior.select(both)
        features = features_of(self.space, known.codes, known.mapped, said)
        return features, np.log(getattr(known, self.metric)) - np.log(said.metrics[self.metric]), both

    def _take(self, rows: LayerDataset, prior: Prior, both: NDArray[np.bool_]) -> None:
        self.prior_source, self._rows = prior.source, int(both.sum())
        self._trust = Trust.learned(rows, prior)

    def predict_layers(self, mapped: Sequence[MappedLayer], prior: Prior) -> LayerPrediction:
        """Predict mapped layers; see `PredictsLayers`. The mean is NaN where the prior says that a layer cannot run."""
        mean, spread = self.expected(mapped, prior)
        return LayerPrediction(
            mean=mean,
            low=mean * np.exp(-spread),
            high=mean * np.exp(spread),
            p_feasible=self._trust.chance(prior),
        )

    def expected(
        self, mapped: Sequence[MappedLayer], prior: Prior, level: float = INTERVAL
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean, and how far its logarithm is off at most with a chance of `level`; each of shape [rows]."""
        assert self._error is not None, "fit before predicting"
        if len(mapped) != len(prior.feasible):
            raise ValueError(f"{len(mapped)} mapped layers, but the prior is of {len(prior.feasible)}")
        mean, spread = np.full((2, len(mapped)), np.nan)
        runs = np.flatnonzero(prior.feasible)
        if len(runs):
            some = [mapped[row] for row in runs.tolist()]
            said = prior.select(runs)
            codes = self.space.encode([one.design for one in some])
            error, unsure = self._error.predict(features_of(self.space, codes, some, said))
            mean[runs] = said.metrics[self.metric] * np.exp(error)
            spread[runs] = unsure * self._error.factor(level)
        return mean, spread

    def facts(self) -> dict[str, float]:
        """Return the rows learned from, the process's share, and how far off layers and designs held out are."""
        assert self._error is not None, "fit before asking"
        return {
            "learned_from": float(self._rows),
            "process_share": self._error.share,
            "held_out_rmsle": self._error.held_out_error,
        }

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to a file."""
        assert self._error is not None, "fit before saving"
        content, weights = self._error.parts()
        content |= {
            "prior_source": self.prior_source,
            "chance": [self._trust.infeasible, self._trust.feasible],
            "rows": self._rows,
        }
        model_file.save(target, NAME, self.space, Problem.minimising(self.space, self.metric), content, weights)


def _read(path: str | Path, space: Space) -> Starlight:
    content, weights = model_file.read(Path(path), space, NAME)
    model = Starlight(space, content["problem"].metric)
    model.prior_source, model._rows = content["prior_source"], content["rows"]
    infeasible, feasible = content["chance"]
    model._trust = Trust(feasible, infeasible)
    model._error = ResidualModel.of(content, weights)
    return model


KIND = LayerSurrogateKind(make=Starlight, read=_read)
