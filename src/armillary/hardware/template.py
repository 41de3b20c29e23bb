"""What a template is: a space, and what is known of its designs without evaluating them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import METRICS
from armillary.problems.criteria import Bound, Objective, upper_bounds
from armillary.problems.problem import Keep, Law, Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design, Metric, Value
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class Template:
    """A parameterised accelerator: a problem that ships with us, but for what is to be minimised.

    Attributes:
        name: as it is registered.
        space: its designs.
        laws: metrics that follow from a design without evaluating it, by name.
        limits: the most that a metric with a law may be; a design beyond cannot be built.
        budgets: upper bounds that hold where a request does not bound the metric itself.
        bounds: bounds of the problem's own that hold where a request does not bound the metric itself.
        objectives: what is to be minimised or maximised where a request does not say.
        metrics: units and rules of all metrics.
        exists: which designs of the space there can be; all, if not given.
        candidates: the only designs that there are, coded, shape [designs, parameters]; see `Problem`.
        defaults: values of parameters that a design's file may leave out.
        baseline: a design of the space to compare with; None if there is none.
        baseline_name: what reports call it.
        baseline_note: what it is, in a few words.
    """

    name: str
    space: Space
    laws: Mapping[str, Law] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    bounds: tuple[Bound, ...] = ()
    objectives: tuple[Objective, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS, repr=False)
    exists: Keep | None = field(default=None, compare=False, repr=False)
    candidates: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    defaults: Mapping[str, Value] = field(default_factory=dict)
    baseline: Design | None = None
    baseline_name: str = ""
    baseline_note: str = "published design"

    @property
    def area_mm2(self) -> Law:
        """The law of the area.

        Raises:
            ArmillaryError: if the template has none.
        """
        if "area_mm2" not in self.laws:
            raise ArmillaryError(f"template {self.name!r} has no law of the area; its laws are {list(self.laws)}")
        return self.laws["area_mm2"]

    @property
    def max_area_mm2(self) -> float:
        """The largest area that can be built; infinite if there is no such limit."""
        return self.limits.get("area_mm2", math.inf)

    def problem(
        self,
        metric: str | None = None,
        at_most: Mapping[str, float] | None = None,
        *,
        workloads: Sequence[Workload] = (),
    ) -> Problem:
        """Return the problem of one metric to minimise under upper bounds, and the template's own limits.

        Raises:
            ArmillaryError: if a metric is unknown or a bound not allowed.
        """
        return self.asked((Objective(metric or "runtime_s"),), upper_bounds(at_most or {}), workloads)

    def asked(
        self, objectives: Sequence[Objective], bounds: Sequence[Bound], workloads: Sequence[Workload] = ()
    ) -> Problem:
        """Return the problem of these objectives under these bounds, and the template's own limits.

        Raises:
            ArmillaryError: if a metric is unknown, or has two bounds.
        """
        named = {bound.metric: bound for bound in bounds}
        limits = [named.pop(name, Bound(name, at_most=most)).within(most) for name, most in self.limits.items()]
        rest = [bound for bound in bounds if bound.metric not in self.limits]
        return Problem(
            self.space,
            tuple(objectives),
            (*limits, *rest),
            self.laws,
            tuple(workloads),
            self.metrics,
            self.exists,
            self.candidates,
        )
