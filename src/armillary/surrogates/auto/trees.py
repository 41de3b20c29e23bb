"""Boosted trees (LightGBM), several with rows and columns drawn anew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import lightgbm
import numpy as np
from numpy.typing import NDArray
from optuna import Trial
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Opinion, Parts
from armillary.surrogates.auto.ridge import Ridge

_ROUNDS = 300
_FORESTS = 4
_SETTING: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 4,
    "lambda_l2": 0.01,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "max_bin": 63,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class Trees:
    """Boosted trees; the value is the mean of several, and how they differ is how unsure it is.

    Args:
        encoding: of points.
        boosters: fitted.
    """

    name: ClassVar[str] = "boosted trees"

    def __init__(self, encoding: Encoding, boosters: list[lightgbm.Booster]) -> None:
        self.encoding, self._boosters = encoding, boosters

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int, setting: Mapping[str, Any] | None = None) -> Trees:
        """Return the trees of a lesson; a setting may have its own of what LightGBM calls `num_leaves` and so on."""
        columns = encoding.columns(lesson.points)
        return cls(encoding, [boosted(columns, lesson.targets, seed + k, setting=setting) for k in range(_FORESTS)])

    @staticmethod
    def suggested(trial: Trial) -> dict[str, Any]:
        """Return another setting to try."""
        return {
            "num_leaves": trial.suggest_int("num_leaves", 4, 48, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 16, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 10.0, log=True),
        }

    def again(self, lesson: Lesson, seed: int) -> Trees:
        """Return the same of another lesson, learned anew."""
        return self.learned(self.encoding, lesson, seed)

    def predict(self, points: Points) -> Opinion:
        """Return what they expect, and how far they differ."""
        columns = self.encoding.columns(points)
        values = np.stack([told(booster, columns) for booster in self._boosters])
        return values.mean(axis=0), values.std(axis=0)

    def parts(self) -> Parts:
        """Return what `of` makes the trees of again."""
        return {"boosters": [booster.model_to_string() for booster in self._boosters]}, {}

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Trees:  # noqa: ARG003
        """Return the trees that `parts` described."""
        return cls(encoding, [lightgbm.Booster(model_str=text) for text in content["boosters"]])


class TrendAndTrees:
    """A ridge regression, and boosted trees of what it leaves: trees alone expect nothing beyond what they have seen.

    Args:
        trend: the regression.
        trees: of what it leaves.
    """

    name: ClassVar[str] = "boosted trees on ridge"

    def __init__(self, trend: Ridge, trees: Trees) -> None:
        self._trend, self._trees = trend, trees

    @classmethod
    def learned(
        cls, encoding: Encoding, lesson: Lesson, seed: int, setting: Mapping[str, Any] | None = None
    ) -> TrendAndTrees:
        """Return the regression of a lesson, and the trees of what it leaves."""
        trend = Ridge.learned(encoding, lesson, seed)
        left = lesson.targets - trend.predict(lesson.points)[0]
        rest = Lesson(lesson.points, left, lesson.noise, lesson.infeasible)
        return cls(trend, Trees.learned(encoding, rest, seed, setting))

    suggested = staticmethod(Trees.suggested)

    def again(self, lesson: Lesson, seed: int) -> TrendAndTrees:
        """Return the same of another lesson, learned anew."""
        return self.learned(self._trees.encoding, lesson, seed)

    def predict(self, points: Points) -> Opinion:
        """Return what both expect, and how unsure the trees are."""
        left, spread = self._trees.predict(points)
        return self._trend.predict(points)[0] + left, spread

    def parts(self) -> Parts:
        """Return what `of` makes it of again."""
        content, tensors = self._trend.parts()
        return {**content, **self._trees.parts()[0]}, tensors

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TrendAndTrees:
        """Return what `parts` described."""
        return cls(Ridge.of(encoding, content, tensors), Trees.of(encoding, content, tensors))


def boosted(
    columns: NDArray[np.float64],
    targets: NDArray[np.float64],
    seed: int,
    *,
    objective: str = "regression",
    rounds: int = _ROUNDS,
    setting: Mapping[str, Any] | None = None,
) -> lightgbm.Booster:
    """Return boosted trees of columns [rows, columns] that learned targets [rows]."""
    whole = {**_SETTING, **(setting or {}), "objective": objective, "seed": seed}
    return lightgbm.train(whole, lightgbm.Dataset(columns, targets), rounds)


def told(booster: lightgbm.Booster, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what trees say of columns, shape [rows]; on few threads, as they are read."""
    return np.asarray(booster.predict(columns, num_threads=min(2, os.cpu_count() or 1)), dtype=np.float64)
