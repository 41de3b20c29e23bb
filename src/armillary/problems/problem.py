"""The problem that an optimizer is made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import METRICS, OURS, derived
from armillary.problems.criteria import Bound, Objective, upper_bounds
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
        exists: which designs of the space there can be; all, if not given.
        candidates: the only designs that there are, coded, shape [designs, parameters]; those of the space that
            `exists` tells, if not given.

    Raises:
        ArmillaryError: if there is no objective, a metric is unknown, two bounds are on the same metric, or an upper
            one on a metric of ours is not positive.
    """

    space: Space
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()
    laws: Mapping[str, Law] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS, repr=False)
    exists: Keep | None = field(default=None, compare=False, repr=False)
    candidates: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

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
        for bound in self.bounds:  # ours are all amounts; a metric of the user's own may be negative
            if bound.metric in OURS and bound.at_most is not None and not bound.at_most > 0:
                raise ArmillaryError(
                    f"bound {bound.metric}={bound.at_most!r} is not allowed; it must be a positive number"
                )

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
        return Problem(space, (Objective(metric),), upper_bounds(at_most or {}), laws or {}, tuple(workloads))

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
    def metric_names(self) -> tuple[str, ...]:
        """The metrics of the objectives."""
        return tuple(objective.metric for objective in self.objectives)

    @property
    def upper_bounds(self) -> dict[str, float]:
        """The upper bounds by metric."""
        return {bound.metric: bound.at_most for bound in self.bounds if bound.at_most is not None}

    @property
    def keep(self) -> Keep | None:
        """Which designs there can be that keep to the bounds that laws tell without evaluating; None if all do."""
        rules: list[Keep] = [] if self.exists is None else [self.exists]
        if self.candidates is not None:
            rules.append(partial(_among, frozenset(map(bytes, _rows(self.candidates)))))
        rules += [
            partial(_within, bound, self.laws[bound.metric]) for bound in self.bounds if bound.metric in self.laws
        ]
        return partial(_passing, rules) if rules else None

    @property
    def of_first(self) -> Problem:
        """The problem with its first objective alone."""
        return replace(self, objectives=self.objectives[:1])

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
        _ = self.objective
        return self.matrix(results)[:, 0]

    def first_values(self, results: Outcomes | Evaluations) -> NDArray[np.float64]:
        """Return what to minimise of the first objective, as `values` does where there is only one."""
        return self.matrix(results)[:, 0]

    def matrix(self, results: Outcomes | Evaluations) -> NDArray[np.float64]:
        """Return what to minimise, shape [rows, objectives]; a row is infinite if infeasible, out of bounds or unknown.

        Raises:
            ArmillaryError: if feasible results lack the metric of an objective or of a bound.
        """
        columns = [derived(results.metrics, objective.metric, self.metrics) for objective in self.objectives]
        if results.feasible.any():
            self._check_told(results)
        found = np.full((len(results), len(self.objectives)), np.inf)
        if any(column is None for column in columns):
            return found  # a batch in which nothing was feasible has no metric
        known = np.stack([column for column in columns if column is not None], axis=1)
        usable = self.satisfied(results) & np.isfinite(known).all(axis=1)
        for place, objective in enumerate(self.objectives):
            found[usable, place] = objective.to_minimise(known[usable, place])
        return found

    def _check_told(self, results: Outcomes | Evaluations) -> None:
        what = "is the objective" if len(self.objectives) == 1 else "is an objective"
        bounded = {bound.metric: "the objective bounds" for bound in self.bounds}
        asked = {**bounded, **{objective.metric: what for objective in self.objectives}}
        for name, why in asked.items():
            if derived(results.metrics, name, self.metrics) is None:
                raise ArmillaryError(
                    f"the evaluations have no metric {name!r}, which {why}; they have {sorted(results.metrics)}"
                )


def _passing(rules: Sequence[Keep], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which designs pass every rule, shape [designs]; a rule is asked only of those that passed the others."""
    passed = np.ones(len(codes), dtype=bool)
    for rule in rules:
        left = np.flatnonzero(passed)
        if len(left):
            passed[left] = rule(codes[left])
    return passed


def _within(bound: Bound, law: Law, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    return bound.met_by(law(codes))


def _among(listed: frozenset[bytes], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array([bytes(row) in listed for row in _rows(codes)], dtype=bool)


def _rows(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(codes, dtype=np.int64)
