"""What a closed form of a delay gets wrong, learned from few rows: boosted trees beside a Gaussian process.

The model is of a logarithm: `target = prior + error(features)`. Trees find steps, such as a buffer that no longer holds
two tiles; the process finds trends, and goes back to the prior far from every row. Each counts by how well it predicts
rows that it was not trained on.

How far off a prediction may be is measured, not assumed. Rows are left out by whole groups, e.g. all rows of a layer,
then all rows of a design; the errors there, divided by how unsure the process and the trees are, are the distribution
from which intervals come (Lei et al., JASA 2018, Section 5.2: locally weighted conformal prediction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from torch import Tensor

from armillary.surrogates.auto.trees import boosted, told
from armillary.surrogates.conformal import factor
from armillary.surrogates.starlight.process import ErrorProcess
from armillary.types import ArmillaryError

_FOLDS = 5
_FORESTS = 4
LEAST_ROWS = 20
_LEAST_SPREAD = 0.01  # of a logarithm: nothing is known to better than one percent
_SHARES = np.linspace(0.0, 1.0, 21)  # of the process, among which the blend is chosen


@dataclass(frozen=True)
class Opinions:
    """What both members say of the same points, each of shape [points]."""

    trees: NDArray[np.float64]
    trees_spread: NDArray[np.float64]
    process: NDArray[np.float64]
    process_spread: NDArray[np.float64]

    @staticmethod
    def joined(parts: Sequence[Opinions]) -> Opinions:
        """Return the opinions of all points."""
        return Opinions(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Opinions)))

    def blend(self, share: float) -> NDArray[np.float64]:
        """Return the mean of both, a share of it the process's."""
        return share * self.process + (1 - share) * self.trees

    def spread(self) -> NDArray[np.float64]:
        """Return how unsure they are, of themselves and of one another."""
        apart = (self.process - self.trees) ** 2 / 4
        return np.sqrt(self.process_spread**2 / 2 + self.trees_spread**2 / 2 + apart + _LEAST_SPREAD**2)


class _Members:
    """Trees and a process that learned the same rows."""

    def __init__(self, forests: Sequence[lightgbm.Booster], process: ErrorProcess) -> None:
        self.forests, self.process = tuple(forests), process

    @staticmethod
    def learned(
        features: NDArray[np.float64], error: NDArray[np.float64], process: ErrorProcess, seed: int
    ) -> _Members:
        forests = [boosted(features, error, seed + k) for k in range(_FORESTS)]
        return _Members(forests, process.knowing(features, error))

    def opinions(self, features: NDArray[np.float64]) -> Opinions:
        each = np.stack([told(forest, features) for forest in self.forests])
        return Opinions(each.mean(axis=0), each.std(axis=0), *self.process.predict(features))


class ResidualModel:
    """The error of a prior, as learned.

    Args:
        members: that learned all rows.
        share: of the process in the mean.
        scores: sorted; errors of left-out rows over the spread that was expected of them.
        held_out_error: root mean square of those errors.
    """

    def __init__(self, members: _Members, share: float, scores: NDArray[np.float64], held_out_error: float) -> None:
        self._members, self.share, self.scores, self.held_out_error = members, share, scores, held_out_error

    @classmethod
    def learned(
        cls,
        features: NDArray[np.float64],
        error: NDArray[np.float64],
        groups: Sequence[NDArray[np.int64]],
        seed: int,
    ) -> ResidualModel:
        """Return the model of rows.

        Args:
            features: known before the truth is, shape [rows, features].
            error: target less prior, both logarithms, shape [rows].
            groups: ways to leave rows out, each the group's number of every row, shape [rows].
            seed: of the trees and of which rows the process is tuned on.

        Raises:
            ArmillaryError: if there are too few rows, or some are not finite.
        """
        _check(features, error)
        splits = [split for group in groups for split in _splits(group)]
        if not splits:
            raise ArmillaryError(
                "all rows are of one layer and one design; to learn how far off it is, it needs others"
            )
        process = ErrorProcess.tuned(features, error, seed)
        truth, opinions = [], []
        for train, test in splits:
            opinions.append(_Members.learned(features[train], error[train], process, seed).opinions(features[test]))
            truth.append(error[test])
        every, left_out = Opinions.joined(opinions), np.concatenate(truth)
        share = float(min(_SHARES, key=lambda share: float(np.mean((left_out - every.blend(share)) ** 2))))
        off = np.abs(left_out - every.blend(share))
        members = _Members.learned(features, error, process, seed)
        return cls(members, share, np.sort(off / every.spread()), float(np.sqrt(np.mean(off**2))))

    def knowing(self, features: NDArray[np.float64], error: NDArray[np.float64], seed: int) -> ResidualModel:
        """Return the model that knows other rows, see `learned`, but is as unsure as this one: nothing is left out.

        Raises:
            ArmillaryError: see `learned`.
        """
        _check(features, error)
        members = _Members.learned(features, error, self._members.process, seed)
        return ResidualModel(members, self.share, self.scores, self.held_out_error)

    def predict(self, features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the error that is expected, and the spread in which left-out errors are measured, shape [points]."""
        opinions = self._members.opinions(features)
        return opinions.blend(self.share), opinions.spread()

    def factor(self, level: float) -> float:
        """Return how many spreads the error of a share of all rows is within."""
        return factor(self.scores, level)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `of` makes the model of again: a description as JSON can hold it, and tensors by name."""
        content = {
            "forests": [forest.model_to_string() for forest in self._members.forests],
            "share": self.share,
            "scores": self.scores.tolist(),
            "held_out_error": self.held_out_error,
        }
        return content, self._members.process.tensors

    @classmethod
    def of(cls, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ResidualModel:
        """Return the model that `parts` described."""
        forests = [lightgbm.Booster(model_str=text) for text in content["forests"]]
        members = _Members(forests, ErrorProcess(tensors))
        return cls(members, content["share"], np.array(content["scores"]), content["held_out_error"])


def _splits(group: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return training and left-out rows, five times if there are so many groups; none if there is but one."""
    folds = min(_FOLDS, len(np.unique(group)))
    return list(GroupKFold(folds).split(group, groups=group)) if folds > 1 else []


def _check(features: NDArray[np.float64], error: NDArray[np.float64]) -> None:
    if len(error) < LEAST_ROWS:
        raise ArmillaryError(f"{len(error)} rows are too few to learn from; at least {LEAST_ROWS} are needed")
    if not (np.isfinite(features).all() and np.isfinite(error).all()):
        rows = np.flatnonzero(~(np.isfinite(features).all(axis=1) & np.isfinite(error)))
        raise ArmillaryError(f"row {int(rows[0])} holds a value that is not finite; {len(rows)} rows do")
