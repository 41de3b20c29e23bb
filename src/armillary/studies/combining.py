"""Several workloads as one: what a design is worth for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.log.columns import numbered
from armillary.metrics import with_derived
from armillary.problems.criteria import Objective
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Evaluations


@dataclass(frozen=True)
class Combination:
    """How the objective of several workloads becomes one number.

    Attributes:
        workloads: their names.
        weights: of each in the mean; they add up to one.
        worst: take the worst workload instead of the mean, each beside the best value that is known of it.
        best: that best value of each; all 1, where the mean is taken.
    """

    workloads: tuple[str, ...]
    weights: tuple[float, ...]
    worst: bool = False
    best: tuple[float, ...] = ()

    @staticmethod
    def of(workloads: Sequence[str], weights: Sequence[float] = (), *, worst: bool = False) -> Combination:
        """Return the mean of workloads, weighted, or the worst of them.

        Raises:
            ArmillaryError: if there are no workloads, one is named twice, or the weights do not fit them.
        """
        names = tuple(workloads)
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            raise ArmillaryError(f"workload {twice[0]!r} is named twice" if twice else "name at least one workload")
        if weights and worst:
            raise ArmillaryError(
                "--weights and --worst exclude each other: the worst workload counts whatever its weight"
            )
        given = tuple(weights) or (1.0,) * len(names)
        if len(given) != len(names):
            raise ArmillaryError(f"{len(given)} weights do not fit {len(names)} workloads {list(names)}; give each one")
        if not all(np.isfinite(weight) and weight > 0 for weight in given):
            raise ArmillaryError(f"weights {list(given)} are not allowed; each must be a positive number")
        return Combination(names, tuple(weight / sum(given) for weight in given), worst, (1.0,) * len(names))

    @property
    def label(self) -> str:
        """The name of the workloads together."""
        return " + ".join(self.workloads)

    @property
    def words(self) -> str:
        """How they are combined, in words; empty for one workload."""
        if len(self.workloads) == 1:
            return ""
        if self.worst:
            return "the worst of the workloads, each beside the best value that the log has of it"
        if len(set(self.weights)) == 1:
            return "the mean of the workloads"
        shares = ", ".join(f"{name} {weight:.0%}" for name, weight in zip(self.workloads, self.weights, strict=True))
        return f"the weighted mean of the workloads ({shares})"

    def beside(self, best: Mapping[str, float]) -> Combination:
        """Return the combination that sees the worst workload beside these best values; a missing one counts as 1."""
        return replace(self, best=tuple(best.get(name, 1.0) for name in self.workloads)) if self.worst else self

    def __call__(self, values: NDArray[np.float64], objective: Objective) -> NDArray[np.float64]:
        """Return one value of the objective per design, shape [designs].

        Args:
            values: of each workload, shape [workloads, designs].
            objective: which says what the worst of them is.
        """
        if self.worst:
            beside = values / np.array(self.best)[:, None]
            return np.asarray(beside.max(axis=0) if objective.direction == "minimize" else beside.min(axis=0))
        return np.asarray(np.array(self.weights) @ values)


def beside_best(combination: Combination, rows: Evaluations, problem: Problem) -> Combination:
    """Return the combination; the worst workload is seen beside the best that these rows have of each within bounds.

    Raises:
        ArmillaryError: if the worst of several objectives is asked for.
    """
    if not combination.worst:
        return combination
    values = problem.values(rows)
    metric = problem.objective.metric
    best = {}
    for name in combination.workloads:
        own = np.flatnonzero((rows.workload == name) & np.isfinite(values))
        if len(own):
            best[name] = float(rows.metrics[metric][own[values[own].argmin()]])
    return combination.beside(best)


def combined(
    rows: Evaluations, combination: Combination, objectives: Sequence[Objective], bounded: Sequence[str]
) -> Evaluations:
    """Return one row per design that was evaluated on every workload; rows of one workload as they are.

    Each objective is combined; a bounded metric is the largest of the workloads; other metrics are their weighted mean.
    A design is feasible if it is so on all of them.

    Args:
        rows: of all the workloads.
        combination: of them.
        objectives: whose metrics are combined.
        bounded: metrics with bounds.
    """
    asked = {objective.metric: objective for objective in objectives}
    rows = with_derived(rows, (*asked, *bounded))
    names = combination.workloads
    rows = rows.select(np.isin(rows.workload.astype(str), names))
    if len(names) == 1 or not len(rows):
        return rows
    table = _places(rows, names)
    firsts = rows.select(table[0])
    metrics = {}
    for name, column in rows.metrics.items():
        each = column[table]
        if name in asked:
            metrics[name] = combination(each, asked[name])
        else:
            metrics[name] = each.max(axis=0) if name in bounded else np.array(combination.weights) @ each
    failed = np.stack([~rows.feasible[places] for places in table])
    first_failure = table[failed.argmax(axis=0), np.arange(table.shape[1])]
    seen = rows.select(np.where(failed.any(axis=0), first_failure, table[0]))
    return replace(
        seen,
        design=firsts.design,
        workload=np.full(len(seen), combination.label, dtype=object),
        metrics={name: np.where(failed.any(axis=0), np.nan, column) for name, column in metrics.items()},
        context={},
    )


def _places(rows: Evaluations, names: Sequence[str]) -> NDArray[np.int64]:
    """Return where each design stands that every workload has, shape [workloads, designs]; of repeats the first."""
    which = numbered(list(rows.design.values()))
    table = np.full((len(names), int(which.max()) + 1), -1, dtype=np.int64)
    for place, name in enumerate(names):
        own = np.flatnonzero(rows.workload == name)[::-1]
        table[place, which[own]] = own
    found: NDArray[np.int64] = table[:, (table >= 0).all(axis=0)]
    return found[:, np.argsort(found.max(axis=0), kind="stable")]
