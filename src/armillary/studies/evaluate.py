"""Evaluate: one design on one workload."""

from __future__ import annotations

from armillary.evaluators import for_template
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.types import Design, Evaluation, Evaluations, Fidelity
from armillary.workloads.layer import Workload


def evaluate_one(
    template: Template, design: Design, workload: Workload, fidelity: Fidelity, *, seed: int = 0, log: str | None = None
) -> Evaluation:
    """Return one evaluation, and append it to a log if one is given.

    Raises:
        ArmillaryError: if the template has no evaluator of this fidelity, or the log cannot be written.
    """
    evaluation = for_template(template.name, fidelity, seed=seed).evaluate([design], workload)[0]
    if log is not None:
        Log(log).append(Evaluations.from_list([evaluation]))
    return evaluation
