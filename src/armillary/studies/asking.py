"""What a request asks: its goals and bounds, beside what a template or a problem file brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from armillary.hardware.template import Template
from armillary.metrics import METRICS
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload

DEFAULT_METRIC = "runtime_s"


def asked_objectives(template: Template, given: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return what is to be minimised or maximised: what is given, else the template's own goals.

    Raises:
        ArmillaryError: if a user's problem has no goal and none is given.
    """
    if given:
        return tuple(given)
    if template.objectives:
        return template.objectives
    own = [name for name in template.metrics if name not in METRICS]
    if own:
        raise ArmillaryError(f"problem {template.name!r} has no goal; give --minimize or --maximize with one of {own}")
    return (Objective(DEFAULT_METRIC),)


def direction_of(template: Template, metric: str) -> Objective:
    """Return a metric as a goal, in the direction that the template's own goals give it; else it is minimised."""
    return next((goal for goal in template.objectives if goal.metric == metric), Objective(metric))


def asked_bounds(template: Template, given: Sequence[Bound]) -> tuple[Bound, ...]:
    """Return the bounds of a request: those of the template, where the request does not bound the metric itself."""
    named = {bound.metric: bound for bound in given}
    known = [*(Bound(name, at_most=most) for name, most in template.budgets.items()), *template.bounds]
    return (*(named.pop(bound.metric, bound) for bound in known), *named.values())


def problem_of(template: Template, request: Mapping[str, Any], workloads: Sequence[Workload]) -> Problem:
    """Return the problem that the request of a study's folder asks."""
    objectives = [Objective(**goal) for goal in request["objectives"]]
    return template.asked(objectives, [Bound(**bound) for bound in request["bounds"]], workloads)
