"""The surrogate for a log of designs that nothing is known of in advance: several kinds of models, weighed.

No single kind of model is the best on every log: where values multiply a ridge regression of their logarithms expects
more than it has seen, where they jump trees are better, and in between a Gaussian process or an ensemble of networks.
So members of five kinds learn the log without its best fifth, and count as their errors on that fifth tell: what is
wanted of a surrogate is to expect designs better than all that were logged. What the blend says of a design is its
value, made worse by the surprise of it being feasible. Three things besides:

- The chance of being feasible is learned from all rows by three kinds of models, calibrated on rows left out.
- A bound on a metric that no law tells is learned as a value, from designs on both sides of it, and has a chance too.
- Metrics may be of any sign and may be maximised; those that are all positive are learned as logarithms.

Measured beside its members and other methods by `armillary bench own-log`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.auto.blend import Blend
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import Examples, Value, examples_of
from armillary.surrogates.auto.feasibility import LEAST_CHANCE, Feasibility
from armillary.surrogates.auto.learned import Learned, OfExamples, under
from armillary.surrogates.auto.within import Within
from armillary.surrogates.devices import device_of
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import Scale, features_of
from armillary.surrogates.selection import with_seconds
from armillary.types import ArmillaryError, Log, Prediction
from armillary.workloads.context import Context

_SURPRISE = 0.3  # weight of minus the logarithm of the chance, in standard units; as the deep ensemble's
_LIKELY, _HOPEFUL = 0.9, 0.5  # a tenth of proposals may fail; who hopes is content with half

_Chance = Callable[[Points], NDArray[np.float64]]


@dataclass(frozen=True)
class _Fitted(Learned):
    blend: Blend
    hope: Feasibility
    within: tuple[Within, ...]
    repeated: int
    repeat_spread: float
    constant: tuple[str, ...]
    seconds: float


class Auto(OfExamples[_Fitted]):
    """The surrogate.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        device: where its networks predict, like those of other surrogates; they are small, and predict on the CPU.
        on_progress: called during `fit` with steps done and in total.
    """

    kind = "auto"

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        device: str = "cpu",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        device_of(device)  # which refuses what this machine does not have
        self.space, self._seed, self._on_progress = space, seed, on_progress

    def fit(self, log: Log, problem: Problem) -> Auto:
        """Learn a log: weigh the members, train those that count, and calibrate the chances.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        started = time.perf_counter()
        told = examples_of(log, problem)
        encoding = Encoding.of(self.space, told.feature_names, told.named, told.points)
        value = told.objective
        blend = Blend.learned(encoding, value.lesson, value.workload, self._seed, self._on_progress or _silent)
        feasibility = Feasibility.learned(encoding, told.points, told.feasible, self._seed)
        comparable = _comparable(told, blend)
        hope = feasibility
        if not comparable.all():
            hope = Feasibility.learned(
                encoding, told.points[comparable], told.feasible[comparable], self._seed, feasibility
            )
        self._state = _Fitted(
            problem=problem,
            workloads=told.workloads,
            contexts=told.contexts,
            scales=value.scales,
            encoding=encoding,
            blend=blend,
            feasibility=feasibility,
            hope=hope,
            within=tuple(Within.learned(encoding, bound, own, self._seed) for bound, own in told.bounded),
            least=told.least,
            rows=len(told.points),
            repeated=value.repeated,
            repeat_spread=value.spread,
            constant=_constant(told),
            seconds=time.perf_counter() - started,
        )
        return self

    @property
    def least_chance(self) -> float:
        """The chance to be feasible from which on a design is proposed for its value."""
        return _LIKELY

    @property
    def least_hope(self) -> float:
        """The chance of a hopeful prediction from which on a design is proposed; see `PredictsHopefully`."""
        return _HOPEFUL

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters].

        Returns:
            `mean`: the value that ranks designs, worse where they are hardly feasible, in the unit of the metric;
            `std`: how unsure the members are, each of itself and all of one another; `p_feasible`: the calibrated
            chance to be feasible and within the bounds that no law tells.

        Raises:
            ArmillaryError: before `fit`, or if a model of several workloads is not told which.
        """
        return self._predicted(designs, context, self._fitted.feasibility)

    def hopeful(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict with the chance midway, in log-odds, between all failures and those of designs no better than logged.

        See `PredictsHopefully`; designs as for `predict`.
        """
        return self._predicted(designs, context, self._midway)

    def opinions(self, designs: NDArray[np.int64], context: Context | None = None) -> NDArray[np.float64]:
        """Return what each member ranks designs by, as `mean` of `predict`, shape [members, designs]."""
        points, scale = self._asked(designs, context)
        chance = self._chance(points, self._fitted.feasibility)
        return np.stack([self._restored(own, chance, scale) for own in self._fitted.blend.opinions(points)[0]])

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training: each member's weight and scores, the chance's, repeats."""
        fitted = self._fitted
        told: dict[str, float] = {"designs": fitted.rows, **self.judged()}
        for trial in fitted.blend.trials:
            told[f"weight of {trial.name}"] = trial.weight
            told[f"error of {trial.name}"] = trial.error
        if fitted.repeated:
            told |= {"repeated designs": fitted.repeated, "spread of repeats": fitted.repeat_spread}
        told |= {f"error of {within.bound.metric}": within.spread for within in fitted.within}
        return with_seconds(told, fitted.seconds)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the training, a sentence each."""
        fitted = self._fitted
        said = [
            f"{trial.name}: {trial.error:.3g} standard deviations of error on the best fifth, which it had not seen, "
            f"rank correlation {trial.order:.2f}; {'left out' if not trial.weight else f'counts {trial.weight:.0%}'}"
            for trial in fitted.blend.trials
        ]
        said += [f"{name} is the same for every feasible design: there is nothing to learn" for name in fitted.constant]
        if len(fitted.workloads) > 1:
            own = ", ".join(name for name in self.feature_names)
            how = "their names" if fitted.encoding.named else f"their numbers ({own})"
            said.append(f"the workloads {', '.join(fitted.workloads)} are told apart by {how}")
        if self.reliability:
            bins = "; ".join(f"{mean:.0%} told, {share:.0%} of {rows} true" for mean, share, rows in self.reliability)
            said.append(f"chance to be feasible, of designs left out: Brier score {self.brier:.3f}; {bins}")
        if fitted.repeated:
            said.append(
                f"{fitted.repeated} designs were measured more than once and count by their mean; one measurement "
                f"deviates by {fitted.repeat_spread:.2g} standard deviations"
            )
        return tuple(said)

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        fitted = self._fitted
        blend, tensors = fitted.blend.parts()
        weights = {f"objective/{name}": tensor for name, tensor in tensors.items()}
        chances = {"feasibility": fitted.feasibility.parts(), "hope": fitted.hope.parts()}
        for chance, (_, tensors) in chances.items():
            weights |= {f"{chance}/{name}": tensor for name, tensor in tensors.items()}
        within = []
        for k, own in enumerate(fitted.within):
            content, tensors = own.parts()
            within.append(content)
            weights |= {f"within{k}/{name}": tensor for name, tensor in tensors.items()}
        content = {
            **{name: getattr(fitted, name) for name in _PLAIN},
            "contexts": fitted.contexts.tolist(),
            "scales": [vars(scale) for scale in fitted.scales],
            "encoding": fitted.encoding.as_dict(),
            "blend": blend,
            **{chance: described for chance, (described, _) in chances.items()},
            "within": within,
        }
        model_file.save(target, self.kind, self.space, self.problem, content, weights)

    @classmethod
    def load(cls, path: str | Path, *, space: Space, device: str = "cpu") -> Auto:  # noqa: ARG003
        """Read a fitted model, which predicts on the CPU.

        Raises:
            ArmillaryError: if the file is missing, of another kind of model, or of another space or version.
        """
        content, weights = model_file.read(Path(path), space, cls.kind)
        encoding = Encoding.from_dict(space, content["encoding"])
        model = cls(space=space)
        names = content["workloads"]
        model._state = _Fitted(
            problem=content["problem"],
            workloads=tuple(names),
            least=content["least"],
            rows=content["rows"],
            repeated=content["repeated"],
            repeat_spread=content["repeat_spread"],
            constant=tuple(content["constant"]),
            seconds=float("nan"),
            contexts=np.array(content["contexts"], dtype=float).reshape(len(names), len(encoding.feature_names)),
            scales=tuple(Scale(**scale) for scale in content["scales"]),
            encoding=encoding,
            blend=Blend.read(encoding, content["blend"], under("objective", weights)),
            feasibility=Feasibility.read(encoding, content["feasibility"], under("feasibility", weights)),
            hope=Feasibility.read(encoding, content["hope"], under("hope", weights)),
            within=tuple(
                Within.read(encoding, own, under(f"within{k}", weights)) for k, own in enumerate(content["within"])
            ),
        )
        return model

    def _asked(self, designs: NDArray[np.int64], context: Context | None) -> tuple[Points, Scale]:
        """Return designs as points of a workload, and the scale of its objective."""
        fitted = self._fitted
        features = self._features(context)
        return Points.of(designs, features), self._scale(features, fitted.scales)

    def _features(self, context: Context | None) -> NDArray[np.float64]:
        """Return the features of a context, shape [features]."""
        fitted = self._fitted
        if context is not None and (fitted.encoding.named or not self.feature_names):
            return np.asarray(fitted.contexts[self._place_of(context.name)])
        told = None if context is None else context.as_dict()
        features = features_of(told, fitted.encoding.feature_names, fitted.contexts, fitted.workloads)
        return fitted.contexts[0] if features is None else features

    def _place_of(self, name: str) -> int:
        """Return which of the workloads has this name, where names are all that is known of them."""
        workloads = self._fitted.workloads
        if name in workloads:
            return workloads.index(name)
        if len(workloads) == 1 and not name:
            return 0
        raise ArmillaryError(
            f"the model knows its workloads by their names alone and none is {name!r}; choose one of "
            f"{list(workloads)}, or log numbers that describe them"
        )

    def _predicted(self, designs: NDArray[np.int64], context: Context | None, feasible: _Chance) -> Prediction:
        points, scale = self._asked(designs, context)
        blend = self._fitted.blend
        value, spread = blend.of(*blend.opinions(points))
        chance = self._chance(points, feasible)
        mean = self._restored(value, chance, scale)
        return Prediction(mean=mean, std=np.abs(scale.restore_spread(spread, mean)), p_feasible=chance)

    def _midway(self, points: Points) -> NDArray[np.float64]:
        """Return the chance midway between the two that were learned, shape [points]."""
        every = [self._fitted.feasibility.odds(points), self._fitted.hope.odds(points)]
        return np.asarray(expit(np.mean(every, axis=0)))

    def _chance(self, points: Points, feasible: _Chance) -> NDArray[np.float64]:
        """Return the chance of points of one workload to be feasible and within the learned bounds."""
        chance = feasible(points)
        for within in self._fitted.within if len(points) else ():
            chance = chance * within(points, self._scale(points.features[0], within.scales))
        return np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)

    def _restored(self, value: NDArray[np.float64], chance: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
        """Return standard values, the less the better, in the unit of the metric, worse where the chance is small."""
        sign = 1.0 if self.problem.objective.direction == "minimize" else -1.0
        return scale.restore(sign * (value - _SURPRISE * np.log(chance)))


_PLAIN = ("workloads", "least", "rows", "repeated", "repeat_spread", "constant")


def _comparable(told: Examples, blend: Blend) -> NDArray[np.bool_]:
    """Return which points are not failures of designs expected to be better than all that worked, shape [points]."""
    failed = np.flatnonzero(told.feasible < 0.5)
    comparable = np.ones(len(told.points), dtype=bool)
    if len(failed):
        value = told.objective
        best = np.array([value.lesson.targets[value.workload == k].min() for k in range(len(told.workloads))])
        expected, _ = blend.of(*blend.opinions(told.points[failed]))
        comparable[failed] = expected >= best[told.workload[failed]]
    return comparable


def _constant(told: Examples) -> tuple[str, ...]:
    every: Sequence[Value] = (told.objective, *(value for _, value in told.bounded))
    return tuple(value.metric for value in every if value.constant)


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


KIND = SurrogateKind(Auto, read=Auto.load)
