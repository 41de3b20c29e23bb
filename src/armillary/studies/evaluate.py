"""Evaluate: one design on one workload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armillary import evaluators
from armillary.evaluators import external
from armillary.evaluators.explanation import ExplainsDesigns, FusedCost
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.types import ArmillaryError, Candidate, Design, Evaluation, Fidelity
from armillary.workloads.layer import Workload


def evaluate_one(
    template: Template,
    design: Design,
    workload: Workload,
    fidelity: Fidelity,
    *,
    options: Mapping[str, Any] | None = None,
    mappings: Mapping[str, str] | None = None,
    program: Path | None = None,
    seed: int = 0,
    log: str | None = None,
    limits: Limits | None = None,
) -> Evaluation:
    """Return one evaluation, and append it to a log if one is given.

    Args:
        template: of the design.
        design: what to evaluate.
        workload: on what.
        fidelity: by which of the template's evaluators; `external` is the program's.
        options: of the evaluator.
        mappings: by layer name, as text; the evaluator searches for those that are not given.
        program: description of somebody else's simulator.
        seed: recorded with the evaluation.
        log: where to append it; what it knows already is not evaluated again.
        limits: of the evaluation.

    Raises:
        ArmillaryError: if the template has no evaluator of this fidelity, the program is missing or its
            description wrong, or the log cannot be written.
    """
    if (program is not None) != (fidelity is Fidelity.EXTERNAL):
        raise ArmillaryError("an external evaluator needs a description: --fidelity external --program FILE.yaml")
    if program is not None:
        spec = external.spec_of(program, template.name, seed=seed)
    else:
        spec = evaluators.spec_of(template.name, fidelity, options, seed=seed)
    executor = LocalExecutor(None if log is None else Log(log), limits=limits)
    executor.evaluator(spec)
    return next(executor.run(spec, [Candidate(design, mappings)], workload))


def fused_layers(evaluation: Evaluation, workload: Workload) -> tuple[FusedCost, ...]:
    """Return the pairs of layers that an evaluation fused, none where its evaluator fuses none or it is infeasible."""
    if "fused_saved_dram_bytes" not in evaluation.metrics:
        return ()
    evaluator = evaluators.for_template(
        evaluation.design.space, evaluation.fidelity, evaluation.options, seed=evaluation.seed
    )
    return evaluator.explain(evaluation, workload).fused if isinstance(evaluator, ExplainsDesigns) else ()
