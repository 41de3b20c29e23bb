"""`starlight-paper`: Starlight as the dissertation has it, a surrogate of layers.

Starlight-Low learns many rows of the analytical evaluator beforehand. Its encoder is then taken over under a Gaussian
process, which learns the few rows of the high fidelity. What is at hand of the analytical evaluator when it predicts
decides only whether a layer can run.

Source: the dissertation, Section 5.2; see `low` and `deep_kernel` for what it leaves open. Its metric is EDP, here it
is the delay or the energy of a layer. The interval is that of the process, which is often too narrow on layers that it
has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.layers import INTERVAL, LayerPrediction, LayerSurrogateKind, Prior
from armillary.surrogates.layers.dataset import METRICS, LayerDataset
from armillary.surrogates.layers.trust import Trust
from armillary.surrogates.starlight.deep_kernel import EPOCHS, Starlight
from armillary.surrogates.starlight.encoding import Values, inputs_of
from armillary.surrogates.starlight.low import Progress, Schedule, StarlightLow
from armillary.types import ArmillaryError, MappedLayer, Value

NAME = "starlight-paper"
SAMPLES = 1 << 16
"""Section 5.2.2."""
LEAST_ROWS = 20
_REACH = float(norm.ppf((1 + INTERVAL) / 2))


class StarlightPaper:
    """The encoder of a Starlight-Low under a Gaussian process.

    Args:
        space: of the designs.
        metric: `delay_cycles` or `energy_pj`.
        seed: of Starlight-Low; the process has nothing random.
        samples: rows that Starlight-Low learns.
        schedule: of its training.
        epochs: of the process's training, all rows in each.
        low: one that was trained before, on the same metric.
    """

    analytical_options: Mapping[str, Value] = {"timing": "roofline"}
    """The bound, as the dissertation's analytical model is one."""

    def __init__(
        self,
        space: Space,
        metric: str = METRICS[0],
        seed: int = 0,
        *,
        samples: int = SAMPLES,
        schedule: Schedule | None = None,
        epochs: int = EPOCHS,
        low: StarlightLow | None = None,
    ) -> None:
        if metric not in METRICS:
            raise ArmillaryError(f"metric {metric!r} is not allowed; surrogate {NAME} predicts one of {list(METRICS)}")
        self.space, self.metric, self.samples, self.prior_source = space, metric, samples, ""
        self._seed, self._schedule, self._epochs, self._low = seed, schedule or Schedule(), epochs, low
        self._trust = Trust()
        self._rows = self._learned_beforehand = 0
        self._process: Starlight | None = None

    def learn_beforehand(self, rows: LayerDataset, on_progress: Progress | None = None) -> None:
        """Train Starlight-Low on layer runs of the analytical evaluator; see `LearnsBeforehand`.

        Raises:
            ArmillaryError: if fewer than 20 rows are feasible.
        """
        known = _enough(rows.select(rows.feasible), "analytical ")
        self._learned_beforehand = len(known)
        self._low = StarlightLow.learned(
            self._inputs(known.codes, known.mappings),
            np.log(getattr(known, self.metric)),
            seed=self._seed,
            logged=True,
            schedule=self._schedule,
            on_progress=on_progress,
        )

    def fit(self, rows: LayerDataset, prior: Prior) -> StarlightPaper:
        """Take the encoder over, and train it with the process.

        Raises:
            ArmillaryError: if fewer than 20 rows are feasible, by the evaluator too; if nothing was learned beforehand;
                if the likelihood can no longer be computed.
        """
        known = _enough(rows.select(rows.feasible & prior.feasible), "")
        if self._low is None:
            raise ArmillaryError(f"surrogate {NAME} learns analytical rows beforehand; call learn_beforehand first")
        values = np.log(getattr(known, self.metric))
        inputs = self._inputs(known.codes, known.mappings)
        self._process = Starlight.transferred(self._low, inputs, values, epochs=self._epochs)
        self.prior_source, self._rows = prior.source, len(known)
        self._trust = Trust.learned(rows, prior)
        return self

    def predict_layers(self, mapped: Sequence[MappedLayer], prior: Prior) -> LayerPrediction:
        """Predict mapped layers; see `PredictsLayers`. The mean is NaN where the prior says that a layer cannot run."""
        assert self._process is not None, "fit before predicting"
        if len(mapped) != len(prior.feasible):
            raise ValueError(f"{len(mapped)} mapped layers, but the prior is of {len(prior.feasible)}")
        mean, spread = np.full((2, len(mapped)), np.nan)
        runs = np.flatnonzero(prior.feasible)
        if len(runs):
            some = [mapped[row] for row in runs.tolist()]
            codes = self.space.encode([one.design for one in some])
            mean[runs], spread[runs] = self._process.predict(self._inputs(codes, [one.mapping for one in some]))
        return LayerPrediction(
            mean=np.exp(mean),
            low=np.exp(mean - _REACH * spread),
            high=np.exp(mean + _REACH * spread),
            p_feasible=self._trust.chance(prior),
        )

    def _inputs(self, codes: NDArray[np.int64], mappings: Sequence[str]) -> Values:
        return inputs_of(self.space.columns(codes), mappings)

    def facts(self) -> dict[str, float]:
        """Return the rows learned from, those learned beforehand, and the marginal log likelihood per row."""
        assert self._process is not None, "fit before asking"
        return {
            "learned_from": float(self._rows),
            "learned_beforehand": float(self._learned_beforehand),
            "likelihood": float(self._process.likelihoods[-1]),
        }

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to a file."""
        assert self._process is not None, "fit before saving"
        content, weights = self._process.parts()
        content |= {
            "prior_source": self.prior_source,
            "chance": [self._trust.infeasible, self._trust.feasible],
            "rows": [self._rows, self._learned_beforehand],
        }
        model_file.save(target, NAME, self.space, Problem.minimising(self.space, self.metric), content, weights)


def _enough(rows: LayerDataset, which: str) -> LayerDataset:
    if len(rows) < LEAST_ROWS:
        raise ArmillaryError(
            f"surrogate {NAME} learns from {LEAST_ROWS} feasible {which}rows or more; there are {len(rows)}"
        )
    return rows


def _read(path: str | Path, space: Space) -> StarlightPaper:
    content, weights = model_file.read(Path(path), space, NAME)
    model = StarlightPaper(space, content["problem"].metric)
    model.prior_source = content["prior_source"]
    model._rows, model._learned_beforehand = content["rows"]
    infeasible, feasible = content["chance"]
    model._trust = Trust(feasible, infeasible)
    model._process = Starlight.of(content, weights)
    return model


KIND = LayerSurrogateKind(make=StarlightPaper, read=_read)
