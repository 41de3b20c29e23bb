"""A stacked ensemble: members of several kinds, whose weights follow from rows that they were not trained on.

Source: Wolpert, "Stacked generalization", 1992; the weights are at least 0 and add up to 1 (Breiman, "Stacked
regressions", 1996). How far off the ensemble may be is measured on the same rows: their errors, divided by how unsure
the members are, are the distribution from which intervals come (Lei et al., JASA 2018, Section 5.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, minimize
from sklearn.model_selection import GroupKFold, KFold
from torch import Tensor

from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson, Member, Parts
from armillary.surrogates.auto.process import Process, WholeProcess
from armillary.surrogates.auto.trees import Trees, TrendAndTrees
from armillary.surrogates.conformal import factor
from armillary.surrogates.ppa.forests import Forest, RandomizedForest

MEMBERS: tuple[type[Member], ...] = (Forest, RandomizedForest, Trees, TrendAndTrees, Process, WholeProcess)
_FOLDS, _MANY_FOLDS, _FEW_ROWS = 5, 10, 150
"""Where there are few rows, those that are left out should take few from those that are learned."""
_TOWARDS_ALL = 1.0  # rows that speak for equal weights
_BEYOND = 0.25  # of the targets' range: what a member expects further out is cut off
_LEAST_SPREAD = 0.01  # in standard units
_LEAST_WEIGHT = 0.02

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """What the ensemble says of points: `mean` and `spread`, in the targets' units, each of shape [points]."""

    mean: Floats
    spread: Floats


class Stack:
    """The ensemble.

    Args:
        members: that learned all rows and have a weight.
        weights: of each kind of `MEMBERS` by name; 0 where it is left out.
        limits: between which a member is believed.
        scores: sorted; errors of left-out rows over the spread that was expected of them.
    """

    def __init__(
        self,
        members: Sequence[Member],
        weights: Mapping[str, float],
        limits: tuple[float, float],
        scores: Floats,
    ) -> None:
        self.members, self.weights, self.scores = tuple(members), dict(weights), scores
        self._limits = limits

    @staticmethod
    def learned(
        encoding: Encoding,
        lesson: Lesson,
        seed: int,
        *,
        groups: NDArray[np.int64] | None = None,
        kinds: Sequence[type[Member]] = MEMBERS,
    ) -> Stack:
        """Return the ensemble of a lesson.

        Args:
            encoding: of points.
            lesson: at least 10 points.
            seed: of the folds and members.
            groups: of each point, shape [points], where whole groups are to be left out together, such as all layouts
                of an architecture; None where what will be asked is as near to the rows as they are to one another.
            kinds: of members.
        """
        limits = _limits(lesson.targets)
        left_out = np.empty((len(kinds), len(lesson.targets)))
        unsure = np.empty_like(left_out)
        for train, test in _folds(len(lesson.targets), groups, seed):
            for k, kind in enumerate(kinds):
                told = kind.learned(encoding, lesson.part(train), seed).predict(lesson.points[test])
                left_out[k, test], unsure[k, test] = np.clip(told[0], *limits), told[1]
        weights = _weights(left_out, lesson.targets)
        mean, spread = _blended(left_out, unsure, weights)
        scores = np.sort(np.abs(lesson.targets - mean) / spread)
        members = [kind.learned(encoding, lesson, seed) for kind, w in zip(kinds, weights, strict=True) if w > 0]
        named = {kind.name: float(weight) for kind, weight in zip(kinds, weights, strict=True)}
        return Stack(members, named, limits, scores)

    def expected(self, points: Points) -> Expected:
        """Return what the members expect of points together."""
        told = [member.predict(points) for member in self.members]
        values = np.clip(np.stack([value for value, _ in told]), *self._limits)
        weights = np.array([self.weights[member.name] for member in self.members])
        return Expected(*_blended(values, np.stack([spread for _, spread in told]), weights))

    def factor(self, level: float) -> float:
        """Return how many spreads the error of a share of all points is within."""
        return factor(self.scores, level)

    def parts(self) -> Parts:
        """Return what `read` makes the ensemble of again."""
        content: dict[str, Any] = {
            "weights": self.weights, "limits": list(self._limits), "scores": self.scores.tolist(), "members": {},
        }  # fmt: skip
        tensors: dict[str, Tensor] = {}
        for member in self.members:
            content["members"][member.name], own = member.parts()
            tensors |= {f"{member.name}/{name}": tensor for name, tensor in own.items()}
        return content, tensors

    @staticmethod
    def read(
        encoding: Encoding,
        content: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        kinds: Sequence[type[Member]] = MEMBERS,
    ) -> Stack:
        """Return the ensemble of these kinds of members that `parts` described."""
        members = []
        for kind in kinds:
            if kind.name in content["members"]:
                own = {name.split("/", 1)[1]: t for name, t in tensors.items() if name.startswith(f"{kind.name}/")}
                members.append(kind.of(encoding, content["members"][kind.name], own))
        low, high = content["limits"]
        return Stack(members, content["weights"], (low, high), np.array(content["scores"]))


def _limits(targets: Floats) -> tuple[float, float]:
    margin = _BEYOND * float(np.ptp(targets))
    return float(targets.min()) - margin, float(targets.max()) + margin


def _folds(rows: int, groups: NDArray[np.int64] | None, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return training and left-out rows; each row is left out once."""
    if groups is not None and len(np.unique(groups)) >= 2:
        return list(GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(np.zeros(rows), groups=groups))
    folds = _MANY_FOLDS if rows <= _FEW_ROWS else _FOLDS
    return list(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(rows)))


def _weights(left_out: Floats, targets: Floats) -> Floats:
    """Return the weights of members by what they say of rows that were left out, shape [members, rows]."""
    count, rows = left_out.shape
    unit = float(targets.std()) + 1e-12
    even = np.full(count, 1 / count)

    def loss(weights: Floats) -> float:
        off = float(np.abs(weights @ left_out - targets).mean()) / unit
        return float(off + _TOWARDS_ALL / rows * ((weights - even) ** 2).sum())

    found = minimize(
        loss,
        even,
        bounds=Bounds(0.0, 1.0),
        constraints=LinearConstraint(np.ones((1, count)), 1.0, 1.0),
        method="SLSQP",
    ).x
    found = np.where(found < _LEAST_WEIGHT, 0.0, found)
    return np.asarray(found / found.sum())


def _blended(values: Floats, spreads: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted mean of members, and how unsure they are: each of itself, and all of one another."""
    mean = np.average(values, axis=0, weights=weights)
    variance = np.average(spreads**2 + (values - mean) ** 2, axis=0, weights=weights)
    return mean, np.sqrt(variance + _LEAST_SPREAD**2)
