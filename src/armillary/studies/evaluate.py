"""Evaluate: one design on one workload."""

from __future__ import annotations

from pathlib import Path

from armillary.evaluators import for_template
from armillary.evaluators.external import ExternalEvaluator, Program
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.types import ArmillaryError, Design, Evaluation, Evaluations, Evaluator, Fidelity
from armillary.workloads.layer import Workload


def evaluate_one(
    template: Template,
    design: Design,
    workload: Workload,
    fidelity: Fidelity,
    *,
    program: Path | None = None,
    seed: int = 0,
    log: str | None = None,
) -> Evaluation:
    """Return one evaluation, and append it to a log if one is given.

    Args:
        template: of the design.
        design: what to evaluate.
        workload: on what.
        fidelity: by which of the template's evaluators; `external` is the program's.
        program: description of somebody else's simulator.
        seed: recorded with the evaluation.
        log: where to append it.

    Raises:
        ArmillaryError: if the template has no evaluator of this fidelity, the program is missing or its
            description wrong, or the log cannot be written.
    """
    if (program is not None) != (fidelity is Fidelity.EXTERNAL):
        raise ArmillaryError("an external evaluator needs a description: --fidelity external --program FILE.yaml")
    evaluator: Evaluator
    if program is not None:
        evaluator = ExternalEvaluator(program=Program.load(program), seed=seed)
    else:
        evaluator = for_template(template.name, fidelity, seed=seed)
    evaluation = evaluator.evaluate([design], workload)[0]
    if log is not None:
        Log(log).append(Evaluations.from_list([evaluation]))
    return evaluation
