"""The chance that a design is feasible, calibrated, and that a learned metric keeps to its bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, ndtr
from torch import Tensor

from armillary.problems.criteria import Bound
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.examples import Value
from armillary.surrogates.auto.member import Lesson, Parts
from armillary.surrogates.auto.process import Process
from armillary.surrogates.auto.trees import TrendAndTrees, boosted, told
from armillary.surrogates.deep_ensemble import reliability_of
from armillary.surrogates.rows import Scale

LEAST_CHANCE = 1e-3
_FOLDS = 5
_ROUNDS = 120
_FORESTS = 3
_DECAY = 0.1  # of the calibration's slope towards one
_LEAST_SPREAD = 1e-6


class Feasibility:
    """Boosted trees that tell feasible designs from others, calibrated on designs that they were not trained on.

    Args:
        encoding: of points.
        boosters: fitted; none if all designs or none were feasible.
        line: slope and intercept of the log-odds.
        brier: mean squared error of the chance of designs that were left out; NaN without boosters.
        reliability: of the same chances, see `TellsReliability`.
    """

    def __init__(
        self,
        encoding: Encoding,
        boosters: Sequence[lightgbm.Booster],
        line: tuple[float, float],
        brier: float,
        reliability: tuple[tuple[float, float, int], ...],
    ) -> None:
        self._encoding, self._boosters, self._line = encoding, list(boosters), line
        self.brier, self.reliability = brier, reliability

    @staticmethod
    def learned(encoding: Encoding, points: Points, feasible: NDArray[np.float64], seed: int) -> Feasibility:
        """Return the chance learned of points with the share of their rows that were feasible, shape [points]."""
        label = (feasible >= 0.5).astype(float)
        share = (label.sum() + 1) / (len(label) + 2)  # Laplace's rule: no chance is certain
        if min(label.sum(), len(label) - label.sum()) < 2:
            return Feasibility(encoding, (), (0.0, float(logit(share))), float("nan"), ())
        columns = encoding.columns(points)
        fold = np.random.default_rng([seed, 4]).permutation(len(label)) % min(_FOLDS, len(label))
        odds = np.empty(len(label))
        for k in range(fold.max() + 1):
            left_out = fold == k
            odds[left_out] = _odds(_boosters(columns[~left_out], label[~left_out], seed), columns[left_out])
        line = _calibrated(odds, label)
        chance = expit(line[0] * odds + line[1])
        brier = float(np.mean((chance - label) ** 2))
        return Feasibility(encoding, _boosters(columns, label, seed), line, brier, reliability_of(chance, label))

    def __call__(self, points: Points) -> NDArray[np.float64]:
        """Return the chance of points, shape [points]."""
        odds = _odds(self._boosters, self._encoding.columns(points))
        return np.asarray(expit(self._line[0] * odds + self._line[1]))

    def parts(self) -> dict[str, Any]:
        """Return what `read` makes it of again, JSON-ready."""
        texts = [booster.model_to_string() for booster in self._boosters]
        return {"boosters": texts, "line": self._line, "brier": self.brier, "reliability": self.reliability}

    @staticmethod
    def read(encoding: Encoding, content: Mapping[str, Any]) -> Feasibility:
        """Return what `parts` described."""
        boosters = [lightgbm.Booster(model_str=text) for text in content["boosters"]]
        slope, offset = content["line"]
        bins = tuple((mean, share, rows) for mean, share, rows in content["reliability"])
        return Feasibility(encoding, boosters, (slope, offset), content["brier"], bins)


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


def _boosters(columns: NDArray[np.float64], label: NDArray[np.float64], seed: int) -> list[lightgbm.Booster]:
    return [boosted(columns, label, seed + k, objective="binary", rounds=_ROUNDS) for k in range(_FORESTS)]


def _odds(boosters: Sequence[lightgbm.Booster], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-odds of the mean chance, shape [rows]; 0 without boosters."""
    if not boosters:
        return np.zeros(len(columns))
    chance = np.mean([told(booster, columns) for booster in boosters], axis=0)
    return np.asarray(logit(np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)))


def _calibrated(odds: NDArray[np.float64], label: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope, never negative, and intercept under which left-out designs are most likely (Platt 1999)."""

    def surprise(line: NDArray[np.float64]) -> float:
        chance = np.clip(expit(line[0] * odds + line[1]), 1e-9, 1 - 1e-9)
        likely = label * np.log(chance) + (1 - label) * np.log(1 - chance)
        return float(-likely.sum() + _DECAY * ((line[0] - 1) ** 2 + line[1] ** 2))

    slope, offset = minimize(surprise, [1.0, 0.0], bounds=[(0.0, 5.0), (-5.0, 5.0)]).x
    return float(slope), float(offset)
