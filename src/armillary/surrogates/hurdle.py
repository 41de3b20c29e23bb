"""A hurdle model: one model for whether a design can be built, another one for how good it is if it can.

The value is PRIME's network, learned from feasible designs alone and without conservatism; the chance to be feasible is
that of the deep ensemble, calibrated. A design is ranked by its value over a power of its chance. Of several workloads
the value is the mean of the network's and the deep ensemble's: what is known of each is less, and a search on two kinds
of network finds fewer errors than on one. Of a workload that it was not trained on it says mostly what holds for those
that it was: a handful of workloads teach a network little of how designs depend on the context, while what suits all
of them suits another one, too. How it compares with other surrogates is told in docs/prime.md.

Source: hurdle models, Cragg, Econometrica 1971; the parts: `armillary.surrogates.prime`, Kumar et al., ICLR 2022, and
    `armillary.surrogates.deep_ensemble`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.prime import Prime
from armillary.surrogates.prime_data import place_of
from armillary.surrogates.prime_fitted import FittedPrime
from armillary.surrogates.prime_training import Progress, Schedule
from armillary.types import ArmillaryError, Log, Objective, Prediction

if TYPE_CHECKING:
    from armillary.workloads.context import Context

KIND = "hurdle"
_Standard = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_VALUE, _CHANCE = "value.", "chance."
_CHANCE_SHARE = 0.3  # of the time of fitting, about
_OTHER_SHARE = 0.5  # of the deep ensemble in the value, where there are several workloads


class Hurdle:
    """The hurdle model.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        schedule: of the value's network, see `Prime`.
        exact: bounds that are known without evaluating and so not learned.
        surprise: power of the chance; at 0.2 a design of half the chance counts as 15% slower.
        lean: for a workload that was not trained on, the share in its value of the mean over those that were.
        device: where the value's network trains and predicts, see `Prime`.
        on_progress: called during `fit` with thousandths done and 1,000.
    """

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        schedule: str | Schedule = "brief",
        exact: Sequence[str] = ("area_mm2",),
        surprise: float = 0.2,
        lean: float = 0.75,
        device: str = "cpu",
        on_progress: Progress | None = None,
    ) -> None:
        if not surprise >= 0:
            raise ArmillaryError(f"surprise={surprise} is not allowed; it must be at least 0")
        if not 0 <= lean <= 1:
            raise ArmillaryError(f"lean={lean} is not allowed; it lies between 0 and 1")
        self.space, self._surprise, self._lean = space, surprise, lean
        self._value = Prime(
            space=space,
            seed=seed,
            schedule=schedule,
            alphas=(0.0,),
            betas=(0.0,),
            exact=exact,
            device=device,
            on_progress=_part_of(on_progress, _CHANCE_SHARE, 1.0),
        )
        self._chance = DeepEnsemble(
            space=space, seed=seed, exact=exact, on_progress=_part_of(on_progress, 0.0, _CHANCE_SHARE)
        )
        self._seconds = float("nan")
        self._last: dict[bytes, dict[bytes, _Standard]] = {}

    def fit(self, log: Log, objective: Objective) -> Hurdle:
        """Train both parts on a log.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        started = time.perf_counter()
        self._last = {}
        self._chance.fit(log, objective)
        self._value.fit(log, objective)
        self._seconds = time.perf_counter() - started
        return self

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters].

        Returns:
            `mean`: the value over a power of the chance, which ranks designs; `std`: disagreement of the network's
            predictors, both in the unit of the metric; `p_feasible`: calibrated probability of being feasible and
            within the bounds that are not exact.

        Raises:
            ArmillaryError: before `fit`, or if a model of several workloads is not told which.
        """
        fitted = self._value.fitted
        features = fitted.features(None if context is None else context.as_dict())
        value, spread, chance = self._standard(designs, features)
        if self._lean and features is not None and place_of(features, fitted.contexts) is None:
            known = np.mean([self._standard(designs, own)[0] for own in fitted.contexts], axis=0)
            value = (1 - self._lean) * value + self._lean * known
        scale = fitted.scale(features)
        seen = scale.restore(value)
        return Prediction(
            mean=seen * chance**-self._surprise, std=scale.restore_spread(spread, seen), p_feasible=chance
        )

    def _standard(self, designs: NDArray[np.int64], features: NDArray[np.float64] | None) -> _Standard:
        """Return value and deviation in standard units, and the chance to be feasible, each of shape [designs].

        Of the last designs it is remembered: unseen workloads all ask for those that were trained on.
        """
        asked, context = designs.tobytes(), b"" if features is None else features.tobytes()
        if asked not in self._last:
            self._last = {asked: {}}
        known = self._last[asked]
        if context not in known:
            value, spread = self._value.fitted.standard(designs, features)
            other, _, chance = self._chance.standard(designs, features)
            if features is not None:
                value = (1 - _OTHER_SHARE) * value + _OTHER_SHARE * other
            known[context] = value, spread, chance
        return known[context]

    @property
    def objective(self) -> Objective:
        """What was learned."""
        return self._value.objective

    @property
    def brier(self) -> float:
        """Mean squared error of the probability of feasibility on rows that were not trained on."""
        return self._chance.brier

    @property
    def reliability(self) -> tuple[tuple[float, float, int], ...]:
        """Per bin of predicted probability: its mean, the share that is feasible, and the rows."""
        return self._chance.reliability

    def unlike(self, context: Context) -> str | None:
        """Return a warning if a workload is unlike those that were trained on; see `prime_data.unlike`."""
        return self._value.unlike(context)

    def below_the_log(self, area_mm2: float) -> str | None:
        """Return a warning if an area lies below that of every design learned from; see `prime_data.below_the_log`."""
        return self._value.below_the_log(area_mm2)

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training."""
        return {
            "kendall": self._value.facts()["kendall"],
            "brier": self._chance.brier,
            "seconds": self._seconds,
        }

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        value, value_weights = self._value.fitted.parts()
        chance, chance_weights = self._chance.parts()
        settings = {"surprise": self._surprise, "lean": self._lean}
        content = {"value": value, "chance": chance, **settings, "seconds": self._seconds}
        weights = {
            **{_VALUE + name: tensor for name, tensor in value_weights.items()},
            **{_CHANCE + name: tensor for name, tensor in chance_weights.items()},
        }
        model_file.save(target, KIND, self.space, self.objective, content, weights)

    @classmethod
    def load(cls, path: str | Path, *, space: Space) -> Hurdle:
        """Read a fitted model.

        Raises:
            ArmillaryError: if the file is missing, no hurdle model, or of another space or version.
        """
        content, weights = model_file.read(Path(path), space, KIND)
        model = cls(space=space, surprise=content["surprise"], lean=content["lean"])
        objective = content["objective"]
        fitted = FittedPrime.of(content["value"], _of_part(weights, _VALUE), objective, torch.device("cpu"))
        model._value.adopt(fitted)
        model._chance = DeepEnsemble.of(content["chance"], _of_part(weights, _CHANCE), objective, space)
        model._seconds = content["seconds"]
        return model


def _part_of(report: Progress | None, start: float, end: float) -> Progress | None:
    """Return what reports the progress of a part as that of the whole."""
    if report is None:
        return None
    return lambda done, total: report(round(1000 * (start + (end - start) * done / max(total, 1))), 1000)


def _of_part(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(part): tensor for name, tensor in weights.items() if name.startswith(part)}
