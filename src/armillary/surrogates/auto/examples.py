"""What the surrogate `auto` learns from: the rows of a log, each design once, values near standard units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.problems.criteria import Bound
from armillary.problems.problem import Problem
from armillary.surrogates.auto.encoding import Points
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.rows import Scale, Transform, check_finite, check_some_feasible, least_of, told_apart, usable
from armillary.types import ArmillaryError, Evaluations, Log

FEWEST_ROWS = 10
_NO_MORE = 1e-12  # of a value's size: values that differ by less are the same


@dataclass(frozen=True)
class Value:
    """One metric of the designs that have it, and how it is standardised.

    Attributes:
        metric: its name.
        sign: 1 where less is better or it is a bound's, -1 where more is better: of two targets the less is the better.
        scales: per workload.
        lesson: the designs with their targets.
        workload: the number of each point's workload, shape [points].
        repeated: designs that were measured more than once.
        spread: root mean square deviation of repeated measurements, in standard units; 0 if there are none.
        constant: whether all designs of every workload have the same value.
    """

    metric: str
    sign: float
    scales: tuple[Scale, ...]
    lesson: Lesson
    workload: NDArray[np.int64]
    repeated: int
    spread: float
    constant: bool


@dataclass(frozen=True)
class Examples:
    """A log as it is learned from.

    Attributes:
        workloads: names, in the order of the workload numbers.
        feature_names: names of the features that tell workloads apart; none if there is one workload.
        contexts: features per workload, shape [workloads, features].
        named: whether the features are the workloads' names, one 1 and the others 0; else their own numbers.
        objective: the metric to predict.
        bounded: the metrics of the bounds that no law tells, each with its bound.
        points: every design with its workload, feasible or not.
        workload: the number of each point's workload, shape [points].
        feasible: share of each point's rows that are feasible, shape [points].
        least: of each metric the least of the feasible rows.
    """

    workloads: tuple[str, ...]
    feature_names: tuple[str, ...]
    contexts: NDArray[np.float64]
    named: bool
    objective: Value
    bounded: tuple[tuple[Bound, Value], ...]
    points: Points
    workload: NDArray[np.int64]
    feasible: NDArray[np.float64]
    least: Mapping[str, float]


def examples_of(log: Log, problem: Problem) -> Examples:
    """Return what is learned of a log.

    A workload is told from others by its context, where the log has the complete contexts of all and no two are the
    same; else by its name. Measurements of one design on one workload are averaged.

    Raises:
        ArmillaryError: if the log has too few feasible rows, lacks a metric, mixes evaluators, or has values that are
            not finite.
    """
    rows = usable(log.evaluations(problem.space.name), problem)
    learned = [bound for bound in problem.bounds if bound.metric not in problem.laws]
    check_some_feasible(rows)
    for name in (problem.metric, *(bound.metric for bound in learned)):
        check_finite(rows, name)
    workloads, number = np.unique(rows.workload.astype(str), return_inverse=True)
    _check_enough(rows, workloads, number)
    names, contexts, named = told_apart(rows, [str(name) for name in workloads])
    grouping = _Grouping.of(problem.space.encode_columns(rows.design), number.astype(np.int64), contexts)
    share = grouping.mean(rows.feasible.astype(float))
    sign = 1.0 if problem.objective.direction == "minimize" else -1.0
    return Examples(
        workloads=tuple(str(name) for name in workloads),
        feature_names=names,
        contexts=contexts,
        named=named,
        objective=_value(rows, grouping, problem.metric, sign),
        bounded=tuple((bound, _value(rows, grouping, bound.metric, 1.0)) for bound in learned),
        points=grouping.points,
        workload=grouping.workload,
        feasible=share,
        least=least_of(rows),
    )


@dataclass(frozen=True)
class _Grouping:
    """Which rows are of the same design and workload: `group` of each row, `points` and `workload` of each group."""

    group: NDArray[np.int64]
    points: Points
    workload: NDArray[np.int64]

    @staticmethod
    def of(codes: NDArray[np.int64], number: NDArray[np.int64], contexts: NDArray[np.float64]) -> _Grouping:
        unique, group = np.unique(np.column_stack([codes, number]), axis=0, return_inverse=True)
        workload = unique[:, -1]
        return _Grouping(group.reshape(-1), Points(unique[:, :-1], contexts[workload]), workload)

    def mean(self, values: NDArray[np.float64], rows: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return the mean of each group's values, of some rows if told; NaN for a group without any."""
        with np.errstate(invalid="ignore"):
            weight = None if rows is None else rows.astype(float)
            total = np.bincount(self.group, np.where(rows, values, 0.0) if rows is not None else values, self._count)
            return np.asarray(total / np.bincount(self.group, weight, self._count))

    def count(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how many of some rows each group has."""
        return np.asarray(np.bincount(self.group, rows.astype(float), self._count), dtype=np.float64)

    @property
    def _count(self) -> int:
        return len(self.workload)


def _value(rows: Evaluations, grouping: _Grouping, metric: str, sign: float) -> Value:
    """Return a metric of the feasible designs, standardised per workload, repeated measurements averaged."""
    seen, feasible = rows.metrics[metric], rows.feasible
    transform: Transform = "log" if (seen[feasible] > 0).all() else "linear"
    number = grouping.workload[grouping.group]
    count = len(np.unique(number))
    scales = tuple(Scale.of(seen[feasible & (number == k)], transform) for k in range(count))
    standard = np.zeros(len(rows))
    for k, scale in enumerate(scales):
        own = feasible & (number == k)
        standard[own] = scale.standardise(seen[own])
    times = grouping.count(feasible)
    mean = grouping.mean(standard, feasible)
    squares = np.bincount(grouping.group, np.where(feasible, (standard - mean[grouping.group]) ** 2, 0.0), len(times))
    repeated = times > 1
    free = float((times - 1)[repeated].sum())
    variance = float(squares[repeated].sum() / free) if free else 0.0
    # a design's own few measurements tell its spread poorly: all repeated ones together tell that of one measurement
    noise = np.where(repeated, variance / np.maximum(times, 1), 0.0)
    known = times > 0
    points = grouping.points[known]
    broken = grouping.points[~known]
    lesson = Lesson(points, sign * mean[known], noise[known], broken)
    constant = all(np.ptp(seen[feasible & (number == k)]) <= _NO_MORE * abs(s.location) for k, s in enumerate(scales))
    return Value(
        metric, sign, scales, lesson, grouping.workload[known], int(repeated.sum()), float(np.sqrt(variance)), constant
    )


def _check_enough(rows: Evaluations, workloads: NDArray[np.str_], number: NDArray[np.intp]) -> None:
    for k, name in enumerate(workloads):
        count = int((rows.feasible & (number == k)).sum())
        if count < FEWEST_ROWS:
            raise ArmillaryError(
                f"workload {name}: {count} feasible rows, training needs {FEWEST_ROWS}; collect more designs"
            )
