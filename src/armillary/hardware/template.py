"""What a template is: a space, and what is known of its designs without evaluating them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from armillary.problems.problem import Law, Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design
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
        baseline: a design of the space to compare with; None if there is none.
        baseline_name: what reports call it.
        baseline_note: what it is, in a few words.
    """

    name: str
    space: Space
    laws: Mapping[str, Law] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
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
        metric: str = "runtime_s",
        at_most: Mapping[str, float] | None = None,
        *,
        workloads: Sequence[Workload] = (),
    ) -> Problem:
        """Return the problem of one metric to minimise under upper bounds, and the template's own limits.

        Raises:
            ArmillaryError: if a metric is unknown or a bound not allowed.
        """
        bounds = {**self.limits, **(at_most or {})}
        bounds |= {name: min(bounds[name], limit) for name, limit in self.limits.items()}
        return Problem.minimising(self.space, metric, bounds, laws=self.laws, workloads=workloads)
