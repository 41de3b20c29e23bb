"""What is expected of whole evaluations from the figures of cheaper ones: the models of a ladder of fidelities.

Of each metric, a surrogate learns what the first rung says of designs, and a Gaussian process per rung how far whole
evaluations are from its figures. A design that was on a rung is expected at its figure there, moved by as much; one
that was on none, at what the surrogate expects the first rung to say. Positive metrics are seen as logarithms, so that
rungs are off by a factor.

Source: Kennedy and O'Hagan, Biometrika 2000: a truer code is a cheaper one and a process of the difference. Here the
    factor between codes is 1, and each rung is joined to whole evaluations at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import keys
from armillary.optimizers.front_models import FrontModels, Learned, learned
from armillary.optimizers.model_based import ordered_features
from armillary.optimizers.surrogate_front import Predicts
from armillary.problems.rung import Rung, Work
from armillary.spaces.space import Space
from armillary.types import Evaluation, Prediction
from armillary.workloads.context import Context

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_TINY = np.finfo(float).tiny
_FEWEST_TIMED = 10  # rows from which seconds are learned; of fewer the mean is taken
_LEAST_SHARE = 0.01  # of a rung's seconds, that going on to it takes at least


class Figures:
    """What a rung said of designs; those that differ in what the rung is blind to share their figures.

    Args:
        rung: which.
        space: of the designs.

    Attributes:
        codes: designs that were asked, shape [rows, parameters].
        rows: their figures.
    """

    def __init__(self, rung: Rung, space: Space) -> None:
        self._seen = [place for place, name in enumerate(space.names) if name not in rung.blind]
        self._places: dict[bytes, int] = {}
        self.codes = np.empty((0, len(space.parameters)), dtype=np.int64)
        self.rows: list[Evaluation] = []

    def add(self, codes: Codes, rows: Sequence[Evaluation]) -> None:
        """Take figures of designs, shape [designs, parameters]; those that are known stay as they are."""
        for code, key, row in zip(codes, self.keys(codes), rows, strict=True):
            if key not in self._places:
                self._places[key] = len(self.rows)
                self.codes = np.concatenate([self.codes, code[None]])
                self.rows.append(row)

    def keys(self, codes: Codes) -> list[bytes]:
        """Return a key per design, the same for designs that share their figures."""
        return keys(codes[:, self._seen])

    def known(self, codes: Codes) -> NDArray[np.bool_]:
        """Return of which designs there are figures, or why there are none, shape [designs]."""
        return self._place(codes) >= 0

    def failed(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which designs are known to fail, shape [designs]."""
        return np.asarray(self._column([0.0 if row.feasible else 1.0 for row in self.rows], codes) == 1.0)

    def of(self, codes: Codes, metric: str) -> Floats:
        """Return a metric of designs, shape [designs]; NaN where it is not known."""
        return self._column([row.metrics.get(metric, np.nan) if row.feasible else np.nan for row in self.rows], codes)

    def _column(self, values: Sequence[float], codes: Codes) -> Floats:
        return np.asarray(np.array([*values, np.nan])[self._place(codes)])  # -1 is the last

    def _place(self, codes: Codes) -> NDArray[np.int64]:
        return np.array([self._places.get(key, -1) for key in self.keys(codes)], dtype=np.int64)


@dataclass(frozen=True)
class Belief:
    """Mean and deviation of a metric of designs as it is seen, each of shape [designs]."""

    mean: Floats
    std: Floats

    def select(self, rows: NDArray[np.intp] | Sequence[int]) -> Belief:
        """Return that of some designs."""
        return Belief(self.mean[rows], self.std[rows])


@dataclass(frozen=True)
class Climbed:
    """What is expected of one metric of whole evaluations.

    Attributes:
        metric: its name.
        first: tells what the first rung says.
        offsets: of each rung, how far whole evaluations are from its figures.
        figures: of each rung.
        feasibility: of whole evaluations.
        logs: whether the metric is seen as a logarithm.
    """

    metric: str
    first: Predicts
    offsets: Sequence[Learned]
    figures: Sequence[Figures]
    feasibility: FrontModels
    logs: bool

    def predict(self, designs: Codes, context: Context) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters]; see `Surrogate`."""
        said = self.first.predict(designs, context)
        believed = self.believed(designs, said)
        mean = np.exp(believed.mean) if self.logs else believed.mean
        return Prediction(mean, believed.std * (mean if self.logs else 1.0), self.chance(designs, said))

    def believed(self, codes: Codes, said: Prediction) -> Belief:
        """Return what is expected of designs, shape [designs, parameters], of which the first rung is expected so."""
        mean, std = self.seen(said.mean), np.asarray(said.std / (np.maximum(said.mean, _TINY) if self.logs else 1.0))
        for place, (offset, figures) in enumerate(zip(self.offsets, self.figures, strict=True)):
            away, doubt = offset.outcome(codes)
            if place == 0:
                mean, std = mean + away, np.hypot(std, doubt)
            value = figures.of(codes, self.metric)
            told = _usable(value, self.logs)
            mean = np.where(told, self.seen(np.where(told, value, 1.0)) + away, mean)
            std = np.where(told, doubt, std)
        return Belief(mean, std)

    def doubt_after(self, place: int, codes: Codes) -> Floats:
        """Return the deviation that is left when designs have been on a rung, shape [designs]."""
        return self.offsets[place].outcome(codes)[1]

    def chance(self, codes: Codes, said: Prediction) -> Floats:
        """Return the probability that whole evaluations are feasible, shape [designs]."""
        first = np.where(self.figures[0].known(codes), 1.0, said.p_feasible)
        failed = np.any([figures.failed(codes) for figures in self.figures], axis=0)
        return np.where(failed, 0.0, np.clip(first * self.feasibility.chance(codes), 0.0, 1.0))

    def seen(self, values: Floats) -> Floats:
        """Return values as the metric is seen, same shape."""
        return np.log(np.maximum(values, _TINY)) if self.logs else values


def climbed_each(
    first: Mapping[str, Predicts],
    space: Space,
    codes: Codes,
    rows: Sequence[Evaluation],
    figures: Sequence[Figures],
) -> dict[str, Climbed]:
    """Return what is expected of each metric.

    Args:
        first: by metric, what tells what the first rung says.
        space: of the designs.
        codes: designs that were evaluated whole, shape [designs, parameters], all known to every rung.
        rows: their evaluations.
        figures: of each rung.
    """
    features = partial(ordered_features, space)
    feasible = np.array([row.feasible for row in rows])
    chance = None if feasible.all() or not feasible.any() else learned(features, codes, feasible.astype(float))
    found = {}
    for name, model in first.items():
        whole = np.array([row.metrics.get(name, np.nan) if row.feasible else np.nan for row in rows])
        cheap = [each.of(codes, name) for each in figures]
        logs = bool((whole[np.isfinite(whole)] > 0).all())
        offsets = []
        for told in cheap:
            both = np.isfinite(whole) & _usable(told, logs)
            ends = [np.log(part[both]) if logs else part[both] for part in (whole, told)]
            offsets.append(learned(features, codes[both], ends[0] - ends[1]))
        found[name] = Climbed(name, model, offsets, figures, FrontModels([], chance), logs)
    return found


def _usable(values: Floats, logs: bool) -> NDArray[np.bool_]:
    return np.isfinite(values) & ((values > 0) | (not logs))


class Clock:
    """What rungs, numbered from 0, and whole evaluations, the last number, take of designs, learned as they are told.

    Args:
        space: of the designs.
        rungs: how many there are, whole evaluations not counted.
    """

    def __init__(self, space: Space, rungs: int) -> None:
        self._features = partial(ordered_features, space)
        self._codes: list[list[Codes]] = [[] for _ in range(rungs + 1)]
        self._work: list[list[Work]] = [[] for _ in range(rungs + 1)]
        self._models: list[Learned | None] = [None] * (rungs + 1)

    def tell(self, number: int, codes: Codes, work: Work) -> None:
        """Take what answers of a rung took."""
        self._codes[number].append(codes)
        self._work[number].append(work)

    def fit(self) -> None:
        """Learn how seconds depend on designs."""
        self._models = []
        for codes, works in zip(self._codes, self._work, strict=True):
            taken = np.concatenate([np.empty(0), *(work.all_s for work in works)])
            timed = taken > 0
            enough = timed.sum() >= _FEWEST_TIMED
            self._models.append(
                learned(self._features, np.concatenate(codes)[timed], np.log(taken[timed])) if enough else None
            )

    def seconds(self, starts: NDArray[np.int64], number: int, codes: Codes) -> Floats:
        """Return seconds of designs from rungs, -1 from the beginning, to another, each of shape [designs]."""
        whole = self._all(number, codes)
        done = np.zeros(len(codes))
        for start in np.unique(starts[starts >= 0]):
            kept = sum(work.kept_s.sum() for work in self._work[start]) / max(self._sum(start), _TINY)
            done = np.where(starts == start, kept * self._all(start, codes), done)
        return np.maximum(whole - done, _LEAST_SHARE * whole)

    def mean_s(self, number: int) -> float:
        """Return the mean seconds of a rung, infinite where nothing was told of it."""
        rows = sum(len(work.all_s) for work in self._work[number])
        return max(self._sum(number) / rows, _TINY) if rows else np.inf

    def _all(self, number: int, codes: Codes) -> Floats:
        model = self._models[number]
        if model is not None:
            return np.exp(model.marginal(codes)[0])
        return np.full(len(codes), self.mean_s(number))

    def _sum(self, number: int) -> float:
        return float(sum(work.all_s.sum() for work in self._work[number]))
