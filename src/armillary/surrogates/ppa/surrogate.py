"""`ppa`: predicts a figure of layouts in two stages, as the full-stack framework does.

The first stage is the chance that a layout is there; the second a stacked
ensemble of the figure, learned from feasible layouts alone. Unlike the surrogates for search its mean is an estimate:
nothing is added where designs are hardly feasible.

Source: Esmaeilzadeh et al., "An Open-Source ML-Based Full-Stack Optimization Framework for Machine Learning
Accelerators" (arXiv 2308.12120): region of interest, then regressors, of which the stacked ensemble is one. The members
and intervals are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from armillary.problems.problem import Problem
from armillary.spaces.space import Space
from armillary.surrogates import model_file
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import examples_of
from armillary.surrogates.auto.feasibility import Feasibility
from armillary.surrogates.auto.learned import Learned, OfExamples, under
from armillary.surrogates.auto.member import Member, Parts
from armillary.surrogates.devices import device_of
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.ppa.stack import MEMBERS, Stack
from armillary.surrogates.ppa.tuning import TRIALS
from armillary.surrogates.rows import Scale, features_of
from armillary.types import ArmillaryError, Log, Prediction
from armillary.workloads.context import Context

LEVEL = 0.9
_PLAIN = ("workloads", "least", "rows")


@dataclass(frozen=True)
class _Fitted(Learned):
    stack: Stack


class Ppa(OfExamples[_Fitted]):
    """The surrogate.

    Args:
        space: the space whose designs the log holds.
        seed: same seed, log and machine, same model.
        device: refused where this machine lacks it; the members predict on the CPU.
        on_progress: called during `fit` with steps done and in total.
        apart: parameters that tell architectures apart, where architectures that the log lacks will be asked: how far
            off the ensemble is, and which member counts, is then measured on architectures left out whole.
        schedule: `brief`: members have their own settings; `quick` and `full`: 10 and 40 others of each are tried.

    Raises:
        ArmillaryError: if one of `apart` is no parameter, or the schedule is unknown.
    """

    kind: ClassVar[str] = "ppa"
    members: ClassVar[tuple[type[Member], ...]] = MEMBERS

    def __init__(
        self,
        *,
        space: Space,
        seed: int = 0,
        device: str = "cpu",
        on_progress: Callable[[int, int], None] | None = None,
        apart: tuple[str, ...] = (),
        schedule: str = "brief",
    ) -> None:
        device_of(device)
        if schedule not in TRIALS:
            raise ArmillaryError(f"schedule={schedule!r} is not allowed; choose one of {list(TRIALS)}")
        self.described(space)  # which a kind may refuse
        unknown = [name for name in apart if name not in space.names]
        if unknown:
            raise ArmillaryError(f"apart={unknown[0]!r} is no parameter of {space.name}; it has {list(space.names)}")
        self.space, self._seed, self._on_progress, self._apart = space, seed, on_progress, apart
        self._trials = TRIALS[schedule]

    @staticmethod
    def described(space: Space) -> Space:
        """Return a space with what members are told of its designs beside their parameters: here no more."""
        return space

    def fit(self, log: Log, problem: Problem) -> Self:
        """Learn a log.

        Raises:
            ArmillaryError: if the log cannot be learned from; the message says why.
        """
        told = examples_of(log, problem)
        encoding = Encoding.of(self._described(), told.feature_names, told.named, told.points)
        feasibility = Feasibility.learned(encoding, told.points, told.feasible, self._seed)
        value = told.objective
        lesson, guess = value.lesson, np.empty(len(value.lesson.targets))
        for number, scale in enumerate(value.scales):
            own = value.workload == number
            guess[own] = value.sign * self._guess(lesson.points.codes[own], scale)
        stack = Stack.learned(
            encoding,
            replace(lesson, targets=lesson.targets - guess),
            self._seed,
            groups=self._groups(lesson.points),
            kinds=self.members,
            trials=self._trials,
            on_progress=self._on_progress,
        )
        self._state = _Fitted(
            problem=problem,
            workloads=told.workloads,
            contexts=told.contexts,
            scales=value.scales,
            encoding=encoding,
            stack=stack,
            feasibility=feasibility,
            least=told.least,
            rows=len(told.points),
        )
        return self

    def predict(self, designs: NDArray[np.int64], context: Context | None = None) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters].

        `std` is such that the mean plus or minus 1.645 of it holds nine of ten layouts that were left out.

        Raises:
            ArmillaryError: before `fit`, or if a model of several workloads is not told which.
        """
        fitted = self._fitted
        features = self._features(context)
        points, scale = Points.of(designs, features), self._scale(features, fitted.scales)
        told = fitted.stack.expected(points)
        mean = scale.restore(self._sign * told.mean + self._guess(designs, scale))
        reach = fitted.stack.factor(LEVEL) / 1.645 * told.spread
        chance = fitted.feasibility(points)
        return Prediction(mean=mean, std=np.abs(scale.restore_spread(reach, mean)), p_feasible=chance)

    def interval(
        self, designs: NDArray[np.int64], context: Context | None = None, level: float = LEVEL
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ends between which a share of layouts lies, each of shape [designs]; designs as for `predict`."""
        features, fitted = self._features(context), self._fitted
        scale = self._scale(features, fitted.scales)
        told = fitted.stack.expected(Points.of(designs, features))
        mean = self._sign * told.mean + self._guess(designs, scale)
        reach = fitted.stack.factor(level) * told.spread
        ends = [scale.restore(mean + side * reach) for side in (-1, 1)]
        return ends[0], ends[1]

    def facts(self) -> dict[str, float]:
        """Return what there is to tell of the training: each member's weight, and the chance's error."""
        fitted = self._fitted
        weights = {f"weight of {name}": weight for name, weight in fitted.stack.weights.items()}
        return {"designs": float(fitted.rows), **self.judged(), **weights}

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Write the fitted model to one file."""
        model_file.save(target, self.kind, self.space, self.problem, *self._parts())

    def _parts(self) -> Parts:
        """Return what `_restore` makes the fitted model of again."""
        fitted = self._fitted
        stack, tensors = fitted.stack.parts()
        chance, more = fitted.feasibility.parts()
        weights = {f"stack/{name}": tensor for name, tensor in tensors.items()}
        weights |= {f"feasibility/{name}": tensor for name, tensor in more.items()}
        content = {
            **{name: getattr(fitted, name) for name in _PLAIN},
            "contexts": fitted.contexts.tolist(),
            "scales": [vars(scale) for scale in fitted.scales],
            "encoding": fitted.encoding.as_dict(),
            "stack": stack,
            "feasibility": chance,
        }
        return content, weights

    @classmethod
    def load(cls, path: str | Path, *, space: Space, device: str = "cpu") -> Self:
        """Read a fitted model.

        Raises:
            ArmillaryError: if the file is missing, of another kind of model, or of another space or version.
        """
        content, weights = model_file.read(Path(path), space, cls.kind)
        model = cls(space=space, device=device)
        model._restore(content, weights)
        return model

    def _restore(self, content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Become the fitted model that `_parts` described, its problem in the content, too."""
        encoding = Encoding.from_dict(self._described(), content["encoding"])
        names = content["workloads"]
        self._state = _Fitted(
            problem=content["problem"],
            workloads=tuple(names),
            contexts=np.array(content["contexts"], dtype=float).reshape(len(names), len(encoding.feature_names)),
            scales=tuple(Scale(**scale) for scale in content["scales"]),
            encoding=encoding,
            stack=Stack.read(encoding, content["stack"], under("stack", weights), self.members),
            feasibility=Feasibility.read(encoding, content["feasibility"], under("feasibility", weights)),
            least=content["least"],
            rows=content["rows"],
        )

    def _described(self) -> Space:
        """Return the space with what members are told of its designs."""
        return self.described(self.space)

    def _guess(self, codes: NDArray[np.int64], scale: Scale) -> NDArray[np.float64]:  # noqa: ARG002
        """Return what is expected of designs beforehand, in standard units, shape [designs]: here the mean."""
        return np.zeros(len(codes))

    @property
    def _sign(self) -> float:
        """The examples' targets are the less the better."""
        return 1.0 if self.problem.objective.direction == "minimize" else -1.0

    def _groups(self, points: Points) -> NDArray[np.int64] | None:
        if not self._apart:
            return None
        own = [self.space.names.index(name) for name in self._apart]
        return np.asarray(np.unique(points.codes[:, own], axis=0, return_inverse=True)[1].reshape(-1), np.int64)

    def _features(self, context: Context | None) -> NDArray[np.float64]:
        fitted = self._fitted
        if fitted.encoding.named:
            name = "" if context is None else context.name
            if name not in fitted.workloads:
                raise ArmillaryError(f"the model knows no workload {name!r}; choose one of {list(fitted.workloads)}")
            return np.asarray(fitted.contexts[fitted.workloads.index(name)])
        told = None if context is None else context.as_dict()
        features = features_of(told, fitted.encoding.feature_names, fitted.contexts, fitted.workloads)
        return fitted.contexts[0] if features is None else features


KIND = SurrogateKind(Ppa, read=Ppa.load, scheduled=True, schedule="brief", parted=True)
