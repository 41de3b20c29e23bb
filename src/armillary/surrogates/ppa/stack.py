"""A stacked ensemble: members of several kinds, whose weights follow from rows that they were not trained on.

Source: Wolpert, "Stacked generalization", 1992; the weights are at least 0 and add up to 1 (Breiman, "Stacked
regressions", 1996). How far off the ensemble may be is measured on the same rows, each fold with the weights that the
other folds choose: their errors, divided by how unsure the members are, are the distribution from which intervals come
(Lei et al., JASA 2018, Section 5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from armillary.surrogates.ppa.perceptron import Perceptron
from armillary.surrogates.ppa.tuning import tuned

MEMBERS: tuple[type[Member], ...] = (Forest, RandomizedForest, Trees, TrendAndTrees, Process, WholeProcess, Perceptron)
_FOLDS, _MANY_FOLDS, _FEW_ROWS = 5, 10, 150
"""Where there are few rows, those that are left out should take few from those that are learned."""
_PRIOR_ROWS = 1.0
"""Rows that speak for the random forest, or for equal weights where it is no member. Of a hundred noisy rows the least
error of left-out ones is partly chance, and the forest is the field's default because it is hardly ever far off."""
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
        off: absolute errors of the rows, each left out in turn from members and weights, in the targets' units and
            their order.
    """

    def __init__(
        self,
        members: Sequence[Member],
        weights: Mapping[str, float],
        limits: tuple[float, float],
        scores: Floats,
        off: Floats,
    ) -> None:
        self.members, self.weights, self.scores, self.off = tuple(members), dict(weights), scores, off
        self._limits = limits

    @staticmethod
    def learned(
        encoding: Encoding,
        lesson: Lesson,
        seed: int,
        *,
        groups: NDArray[np.int64] | None = None,
        kinds: Sequence[type[Member]] = MEMBERS,
        trials: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Stack:
        """Return the ensemble of a lesson.

        Args:
            encoding: of points.
            lesson: at least 10 points.
            seed: of the folds and members.
            groups: of each point, shape [points], where whole groups are to be left out together, such as all layouts
                of an architecture; None where what will be asked is as near to the rows as they are to one another.
            kinds: of members.
            trials: settings that are tried of each kind that has any, see `tuning.tuned`.
            on_progress: called with steps done and in total: one for each kind, and one for the end.
        """
        limits, step = _limits(lesson.targets), on_progress or _silent
        left_out = np.empty((len(kinds), len(lesson.targets)))
        unsure = np.empty_like(left_out)
        make: list[Callable[[Lesson], Member]] = []
        rows = len(lesson.targets)
        folds = _folds(rows, groups, seed)
        for k, kind in enumerate(kinds):
            step(k, len(kinds) + 1)
            # other folds than those below, which are to judge what was chosen
            setting = tuned(kind, encoding, lesson, _folds(rows, groups, seed + 1), seed, trials)
            make.append(_maker(kind, encoding, seed, setting))
            for train, test in folds:
                told = make[k](lesson.part(train)).predict(lesson.points[test])
                left_out[k, test], unsure[k, test] = np.clip(told[0], *limits), told[1]
        step(len(kinds), len(kinds) + 1)
        weights = _weights(left_out, lesson.targets, _prior(kinds))
        mean, spread = np.empty(rows), np.empty(rows)
        for train, test in folds:
            # weights that these rows did not choose: of a dozen rows they would hide nearly a third of the errors
            others = _weights(left_out[:, train], lesson.targets[train], _prior(kinds))
            mean[test], spread[test] = _blended(left_out[:, test], unsure[:, test], others)
        off = np.abs(lesson.targets - mean)
        members = [one(lesson) for one, weight in zip(make, weights, strict=True) if weight > 0]
        step(len(kinds) + 1, len(kinds) + 1)
        named = {kind.name: float(weight) for kind, weight in zip(kinds, weights, strict=True)}
        return Stack(members, named, limits, np.sort(off / spread), off)

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
            "weights": self.weights, "limits": list(self._limits), "scores": self.scores.tolist(),
            "off": self.off.tolist(), "members": {},
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
        return Stack(members, content["weights"], (low, high), np.array(content["scores"]), np.array(content["off"]))


def _maker(kind: Any, encoding: Encoding, seed: int, setting: Mapping[str, Any]) -> Callable[[Lesson], Member]:
    """Return what learns a lesson as a kind of member with a setting, where it was given one."""
    return lambda lesson: kind.learned(encoding, lesson, seed, *([setting] if setting else []))


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


def _limits(targets: Floats) -> tuple[float, float]:
    margin = _BEYOND * float(np.ptp(targets))
    return float(targets.min()) - margin, float(targets.max()) + margin


def _folds(rows: int, groups: NDArray[np.int64] | None, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return training and left-out rows; each row is left out once."""
    if groups is not None and len(np.unique(groups)) >= 2:
        folds = GroupKFold(min(_FOLDS, len(np.unique(groups))), shuffle=True, random_state=seed)
        return list(folds.split(np.zeros(rows), groups=groups))
    folds = _MANY_FOLDS if rows <= _FEW_ROWS else _FOLDS
    return list(KFold(folds, shuffle=True, random_state=seed).split(np.zeros(rows)))


def _prior(kinds: Sequence[type[Member]]) -> Floats:
    """Return the weights of kinds of members before any row is seen, shape [kinds]."""
    return np.eye(len(kinds))[kinds.index(Forest)] if Forest in kinds else np.full(len(kinds), 1 / len(kinds))


def _weights(left_out: Floats, targets: Floats, prior: Floats) -> Floats:
    """Return the weights of members by what they say of rows that were left out, shape [members, rows].

    Args:
        left_out: what each member says of each row, shape [members, rows].
        targets: the truth, shape [rows].
        prior: weights before any row is seen, shape [members].
    """
    count, rows = left_out.shape
    unit = float(targets.std()) + 1e-12

    def loss(weights: Floats) -> float:
        off = float(np.abs(weights @ left_out - targets).mean()) / unit
        return float(off + _PRIOR_ROWS / rows * ((weights - prior) ** 2).sum())

    found = minimize(
        loss,
        prior,
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
