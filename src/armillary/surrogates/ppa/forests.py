"""Forests as members: means of many deep trees (scikit-learn), kept as plain arrays so that a model file holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from optuna import Trial
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Opinion, Parts

_TREES = 100
_LEAF = -1
_AT_ONCE = 4096


class Forest:
    """A random forest (Breiman 2001) of designs' value indices; how its trees differ is how unsure it is.

    An index says as much as an amount to a tree, and lets names that stand beside one another share a branch.

    Args:
        encoding: of points, of which only the space and the features count.
        nodes: of all trees, one after another: `low` and `high`, the numbers of the two children, -1 in a leaf;
            `column` and `threshold`, up to which the low child's is; `value`; and `roots`, the first of each tree.
    """

    name: ClassVar[str] = "random forest"
    _make: ClassVar[Any] = RandomForestRegressor

    def __init__(self, encoding: Encoding, nodes: Mapping[str, Tensor]) -> None:
        self._encoding, self._nodes = encoding, dict(nodes)
        self._arrays = {name: tensor.numpy() for name, tensor in self._nodes.items()}

    @classmethod
    def learned(cls, encoding: Encoding, lesson: Lesson, seed: int, setting: Mapping[str, Any] | None = None) -> Self:
        """Return the forest of a lesson; a setting has what scikit-learn calls `max_features` and so on."""
        forest = cls._make(_TREES, random_state=seed, n_jobs=1, **(setting or {})).fit(
            _columns(lesson.points), lesson.targets
        )
        trees = [tree.tree_ for tree in forest.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        children = {
            name: np.concatenate([np.where(own < 0, _LEAF, own + root) for own, root in zip(each, roots, strict=True)])
            for name, each in (
                ("low", [tree.children_left for tree in trees]),
                ("high", [tree.children_right for tree in trees]),
            )
        }
        rest = {
            "column": np.concatenate([tree.feature for tree in trees]),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "value": np.concatenate([tree.value[:, 0, 0] for tree in trees]),
            "roots": roots,
        }
        return cls(encoding, {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in (children | rest).items()})

    @staticmethod
    def suggested(trial: Trial) -> dict[str, Any]:
        """Return another setting to try."""
        return {
            "max_features": trial.suggest_float("max_features", 0.2, 1.0),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 8, log=True),
            "min_samples_split": trial.suggest_int("min_samples_split", 2, 16, log=True),
        }

    def again(self, lesson: Lesson, seed: int) -> Self:
        """Return the same of another lesson, learned anew."""
        return self.learned(self._encoding, lesson, seed)

    def predict(self, points: Points) -> Opinion:
        """Return the mean of the trees, and how they differ."""
        columns = _columns(points)
        value, spread = np.empty(len(points)), np.empty(len(points))
        for first in range(0, len(points), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            told = self._told(columns[part])
            value[part], spread[part] = told.mean(axis=1), told.std(axis=1)
        return value, spread

    def _told(self, columns: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each tree says, shape [points, trees]."""
        nodes = self._arrays
        place = np.tile(nodes["roots"], (len(columns), 1))
        while (inner := nodes["low"][place] != _LEAF).any():
            rows, trees = np.nonzero(inner)
            at = place[rows, trees]
            low = columns[rows, nodes["column"][at]] <= nodes["threshold"][at]
            place[rows, trees] = np.where(low, nodes["low"][at], nodes["high"][at])
        return np.asarray(nodes["value"][place])

    def parts(self) -> Parts:
        """Return what `of` makes the forest of again."""
        return {}, self._nodes

    @classmethod
    def of(cls, encoding: Encoding, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:  # noqa: ARG003
        """Return the forest that `parts` described."""
        return cls(encoding, tensors)


class RandomizedForest(Forest):
    """One whose thresholds are drawn (Geurts, Ernst, Wehenkel 2006), so that its mean is smoother."""

    name: ClassVar[str] = "extremely randomised trees"
    _make: ClassVar[Any] = ExtraTreesRegressor


def _columns(points: Points) -> NDArray[np.float32]:
    return np.concatenate([points.codes, points.features], axis=1).astype(np.float32)
