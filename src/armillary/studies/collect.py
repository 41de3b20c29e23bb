"""Collect: sample a space, evaluate, log."""

from __future__ import annotations

import time
from dataclasses import dataclass

from armillary.evaluators import for_template
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.evaluation import evaluate_codes, logged, not_in
from armillary.studies.progress import OnProgress, silent
from armillary.types import Fidelity
from armillary.workloads.layer import Workload

FRAGMENT_ROWS = 2048


@dataclass(frozen=True)
class Collected:
    """What a collection added to a log: new rows, feasible ones among them, rows that were there already."""

    workload: str
    evaluated: int
    feasible: int
    already_logged: int
    seconds: float


def collect(
    template: Template,
    workload: Workload,
    log: Log,
    *,
    samples: int,
    sampler: str = "sobol",
    seed: int = 0,
    fidelity: Fidelity = Fidelity.ANALYTICAL,
    on_progress: OnProgress = silent,
) -> Collected:
    """Evaluate samples of a template's space on a workload and append them to a log.

    A design that this evaluator has logged for this workload is not evaluated again, so a
    collection that was interrupted resumes where it was.

    Raises:
        ArmillaryError: if the sampler, the fidelity or the log do not fit the request.
    """
    start = time.perf_counter()
    evaluator = for_template(template.name, fidelity, seed=seed)
    codes = sample(template.space, samples, sampler, seed)
    fresh = not_in(template.space, codes, logged(log, template.space, workload, evaluator))
    feasible = 0
    stage = f"evaluating {workload.name}"
    on_progress(stage, samples - len(fresh), samples)
    for first in range(0, len(fresh), FRAGMENT_ROWS):
        batch = evaluate_codes(evaluator, template.space, fresh[first : first + FRAGMENT_ROWS], workload)
        log.append(batch)
        feasible += int(batch.feasible.sum())
        on_progress(stage, samples - len(fresh) + first + len(batch), samples)
    return Collected(
        workload=workload.name,
        evaluated=len(fresh),
        feasible=feasible,
        already_logged=samples - len(fresh),
        seconds=time.perf_counter() - start,
    )
