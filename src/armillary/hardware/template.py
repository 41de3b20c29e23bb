"""What a template is: a space, and what is known of its designs without evaluating them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import METRICS
from armillary.problems.criteria import Bound, Objective, upper_bounds
from armillary.problems.problem import Keep, Law, Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design, Metric, Value
from armillary.workloads.layer import Workload

Choices = Mapping[str, Sequence[Value]]
"""Values by parameter."""


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
        choices: which values of some parameters a design can have that is for a workload; others may have all.
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
    choices: Callable[[Workload], Choices] | None = field(default=None, compare=False, repr=False)

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

    def for_workloads(self, workloads: Sequence[Workload]) -> Template:
        """Return the template with those values alone that a design for all of the workloads can have.

        Raises:
            ArmillaryError: if a parameter has no value left.
        """
        narrowed = self
        for workload in workloads:
            if self.choices is not None:
                narrowed = narrowed.narrowed(self.choices(workload), f"workload {workload.name}")
        return narrowed

    def narrowed(self, choices: Choices, source: str) -> Template:
        """Return the template with these values of some parameters alone, in the order of the template.

        What is known of designs holds as before; a baseline outside is none. Codes are those of the narrower space,
        which an evaluator of batches of codes does not know.

        Args:
            choices: values by parameter.
            source: who asks, for errors.

        Raises:
            ArmillaryError: if a parameter is unknown, or has no value left; names it.
        """
        unknown = [name for name in choices if name not in self.space.names]
        if unknown:
            raise ArmillaryError(f"{source}: {unknown[0]!r} is no parameter of {self.space.name}: {self.space.names}")
        wide, space = self.space, _narrowed(self.space, choices, source)
        found = self.over(space, lambda codes: wide.encode_columns(space.columns(codes)))
        return replace(
            found,
            candidates=None if self.candidates is None else _those_inside(self.candidates, wide, space),
            defaults={name: value for name, value in self.defaults.items() if value in space.parameter(name).values},
            baseline=self.baseline if self.baseline is not None and _holds(space, self.baseline) else None,
        )

    def over(self, space: Space, own: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Template:
        """Return the template over another space, in which laws and what exists hold of what designs stand for.

        Args:
            space: the other one.
            own: from its coded designs to those of this template, both of shape [designs, parameters].
        """
        exists, derived = self.exists, self.space.derived
        return replace(
            self,
            space=replace(space, derived=derived and (lambda codes, features: derived(own(codes), features))),
            laws={name: _after(own, law) for name, law in self.laws.items()},
            exists=exists and (lambda codes: exists(own(codes))),
        )

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


def _after(own: Callable[[NDArray[np.int64]], NDArray[np.int64]], law: Law) -> Law:
    return lambda codes: law(own(codes))


def _narrowed(space: Space, choices: Choices, source: str) -> Space:
    parameters = []
    for parameter in space.parameters:
        wanted = choices.get(parameter.name, parameter.values)
        left = tuple(value for value in parameter.values if value in wanted)
        if not left:
            raise ArmillaryError(
                f"{source}: {parameter.name} can have none of {list(wanted)}; choose of {list(parameter.values)}"
            )
        parameters.append(replace(parameter, values=left))
    return Space(space.name, tuple(parameters))


def _holds(space: Space, design: Design) -> bool:
    return all(value in space.parameter(name).values for name, value in design.items)


def _those_inside(codes: NDArray[np.int64], wide: Space, space: Space) -> NDArray[np.int64]:
    """Return the codes in a narrower space of those designs that it holds."""
    return space.encode_columns(wide.columns(codes[wide.inside(space, codes)]))
