"""The problem that an optimizer is made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import METRICS, derived
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Evaluations, Metric
from armillary.workloads.layer import Workload

Law = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From coded designs, shape [designs, parameters], to a metric that is known without evaluating, shape [designs]."""
Keep = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""From coded designs, shape [designs, parameters], to which of them may be proposed, shape [designs]."""


@dataclass(frozen=True)
class Problem:
    """Which designs there are, which of them are better, and what they have to keep to.

    Attributes:
        space: the designs.
        objectives: what is to be minimised or maximised; one, for most methods.
        bounds: on any metric.
        laws: metrics that follow from a design without evaluating it, as a template's area does.
        workloads: what the designs are for; methods may use what is known of them.
        metrics: units and rules of all metrics, those of the problem's own among them.

    Raises:
        ArmillaryError: if there is no objective, a metric is unknown, or two bounds are on the same metric.
    """

    space: Space
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()
    laws: Mapping[str, Law] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS, repr=False)

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ArmillaryError(f"problem on space {self.space.name}: no objective; name a metric to minimise")
        bounded = [bound.metric for bound in self.bounds]
        unknown = [n for n in (*(o.metric for o in self.objectives), *bounded, *self.laws) if n not in self.metrics]
        if unknown:
            raise ArmillaryError(f"unknown metric {unknown[0]!r}; choose one of {sorted(self.metrics)}")
        twice = sorted({name for name in bounded if bounded.count(name) > 1})
        if twice:
            raise ArmillaryError(f"metric {twice[0]!r} has two bounds; give each metric one")

    @staticmethod
    def minimising(
        space: Space,
        metric: str = "runtime_s",
        at_most: Mapping[str, float] | None = None,
        *,
        laws: Mapping[str, Law] | None = None,
        workloads: Sequence[Workload] = (),
    ) -> Problem:
        """Return the problem of one metric to minimise under upper bounds."""
        bounds = tuple(Bound(name, at_most=value) for name, value in (at_most or {}).items())
        return Problem(space, (Objective(metric),), bounds, laws or {}, tuple(workloads))

    @property
    def objective(self) -> Objective:
        """The one objective.

        Raises:
            ArmillaryError: if there are several.
        """
        if len(self.objectives) > 1:
            named = ", ".join(o.metric for o in self.objectives)
            raise ArmillaryError(f"the objectives {named} are several; this method takes one")
        return self.objectives[0]

    @property
    def metric(self) -> str:
        """The metric of the one objective."""
        return self.objective.metric

    @property
    def upper_bounds(self) -> dict[str, float]:
        """The upper bounds by metric."""
        return {bound.metric: bound.at_most for bound in self.bounds if bound.at_most is not None}

    @property
    def keep(self) -> Keep | None:
        """Which designs keep to the bounds that laws tell without evaluating; None if there are no such bounds."""
        known = [bound for bound in self.bounds if bound.metric in self.laws]
        if not known:
            return None
        return lambda codes: np.logical_and.reduce([bound.met_by(self.laws[bound.metric](codes)) for bound in known])

    def with_bounds(self, wanted: Callable[[str], bool]) -> Problem:
        """Return the problem with those of its bounds whose metrics are wanted."""
        return replace(self, bounds=tuple(bound for bound in self.bounds if wanted(bound.metric)))

    def with_derived(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of a result, with those that are asked for and follow from them."""
        asked = (*(objective.metric for objective in self.objectives), *(bound.metric for bound in self.bounds))
        found = {name: derived(metrics, name, self.metrics) for name in asked}
        return {**metrics, **{name: value for name, value in found.items() if value is not None}}

    def satisfied(self, results: Outcomes | Evaluations) -> NDArray[np.bool_]:
        """Return which results are feasible and within every bound, shape [rows]; an unknown metric is not within."""
        within = results.feasible.copy()
        for bound in self.bounds:
            column = derived(results.metrics, bound.metric, self.metrics)
            within &= bound.met_by(np.full(len(within), np.nan) if column is None else column)
        return within

    def values(self, results: Outcomes | Evaluations) -> NDArray[np.float64]:
        """Return one number to minimise per result, shape [rows]; infinite if infeasible, out of bounds or unknown.

        Raises:
            ArmillaryError: if there are several objectives, or feasible results lack the metric of the objective or of
                a bound.
        """
        column = derived(results.metrics, self.metric, self.metrics)
        if results.feasible.any():
            self._check_told(results)
        if column is None:
            return np.full(len(results), np.inf)  # a batch in which nothing was feasible has no metric
        usable = self.satisfied(results) & np.isfinite(column)
        values = np.full(len(results), np.inf)
        values[usable] = self.objective.to_minimise(column[usable])
        return values

    def _check_told(self, results: Outcomes | Evaluations) -> None:
        asked = {self.metric: "is the objective", **{b.metric: "the objective bounds" for b in self.bounds}}
        for name, why in asked.items():
            if derived(results.metrics, name, self.metrics) is None:
                raise ArmillaryError(
                    f"the evaluations have no metric {name!r}, which {why}; they have {sorted(results.metrics)}"
                )
