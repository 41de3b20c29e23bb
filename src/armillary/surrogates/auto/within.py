"""The chance that a metric that no law tells keeps to its bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from armillary.problems.criteria import Bound
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import Value
from armillary.surrogates.auto.member import Lesson, Parts
from armillary.surrogates.auto.process import Process
from armillary.surrogates.auto.trees import TrendAndTrees
from armillary.surrogates.rows import Scale

_FOLDS = 5
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Within:
    """The chance that a metric that no law tells keeps to its bound: it is a value that is learned, with a margin.

    Attributes:
        bound: on the metric.
        scales: of the metric, per workload.
        process: which learned it, as `trees` did; the value is their mean.
        trees: see `process`.
        spread: root mean square error of that value on designs that were left out, in standard units.
    """

    bound: Bound
    scales: tuple[Scale, ...]
    process: Process
    trees: TrendAndTrees
    spread: float

    @staticmethod
    def learned(encoding: Encoding, bound: Bound, value: Value, seed: int) -> Within:
        """Return the chance learned of all feasible designs, those beyond the bound too."""
        lesson = value.lesson
        process = Process.learned(encoding, lesson, seed)
        fold = np.random.default_rng([seed, 5]).permutation(len(lesson.targets)) % _FOLDS
        errors = np.empty(len(fold))
        for k in range(_FOLDS):
            left_out = fold == k
            if left_out.any():
                errors[left_out] = _errors(encoding, lesson, left_out, process, seed)
        spread = max(float(np.sqrt(np.mean(errors**2))), _LEAST_SPREAD)
        return Within(bound, value.scales, process, TrendAndTrees.learned(encoding, lesson, seed), spread)

    def __call__(self, points: Points, scale: Scale) -> NDArray[np.float64]:
        """Return the chance of points whose workload has this scale, shape [points]."""
        value = (self.process.mean(points) + self.trees.predict(points)[0]) / 2
        below, above = (
            1.0 if side is None else ndtr(sign * (_standard(side, scale) - value) / self.spread)
            for side, sign in ((self.bound.at_most, 1), (self.bound.at_least, -1))
        )
        return np.clip(below + above - 1, 0.0, 1.0) * np.ones(len(points))

    def parts(self) -> Parts:
        """Return what `read` makes it of again."""
        trees, tensors = self.trees.parts()
        own = {f"trees/{name}": tensor for name, tensor in tensors.items()}
        own |= {f"process/{name}": tensor for name, tensor in self.process.parts()[1].items()}
        sides = {"metric": self.bound.metric, "at_most": self.bound.at_most, "at_least": self.bound.at_least}
        return {"bound": sides, "scales": [vars(s) for s in self.scales], "trees": trees, "spread": self.spread}, own

    @staticmethod
    def read(encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Within:
        """Return what `parts` described."""
        own: dict[str, dict[str, Tensor]] = {"trees": {}, "process": {}}
        for name, tensor in tensors.items():
            model, inner = name.split("/", 1)
            own[model][inner] = tensor
        return Within(
            bound=Bound(**content["bound"]),
            scales=tuple(Scale(**scale) for scale in content["scales"]),
            process=Process.of(encoding, {}, own["process"]),
            trees=TrendAndTrees.of(encoding, content["trees"], own["trees"]),
            spread=content["spread"],
        )


def _standard(side: float, scale: Scale) -> float:
    """Return a bound's side in standard units; one that is not positive lies below every positive value."""
    if scale.transform == "log" and side <= 0:
        return -np.inf
    return float(scale.standardise(np.array([side]))[0])


def _errors(
    encoding: Encoding, lesson: Lesson, left_out: NDArray[np.bool_], process: Process, seed: int
) -> NDArray[np.float64]:
    """Return the errors of designs left out: both models learned the others, the process with its kernel as it is."""
    rest, asked = lesson.part(~left_out), lesson.points[left_out]
    trees = TrendAndTrees.learned(encoding, rest, seed).predict(asked)[0]
    smooth = process.conditioned(rest, seed).predict(asked)[0]
    return np.asarray(lesson.targets[left_out] - (trees + smooth) / 2)
