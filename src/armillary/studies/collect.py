"""Collect: sample a space, evaluate, log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from armillary import evaluators
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.optimizers.surrogate_search import distinct
from armillary.spaces.samplers import sample
from armillary.studies.foresee import Foreseen, foreseen
from armillary.studies.progress import OnProgress, silent
from armillary.types import Evaluations, EvaluatorSpec
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class Collected:
    """What a collection added to a log: new rows, feasible ones among them, rows that were there already."""

    workload: str
    evaluated: int
    feasible: int
    already_logged: int
    seconds: float


def foresee_collect(
    template: Template,
    workload: Workload,
    log: Log,
    spec: EvaluatorSpec,
    *,
    samples: int,
    sampler: str,
    seed: int,
    make: Make = evaluators.make,
) -> Foreseen:
    """Return what a collection would evaluate; writes nothing.

    Raises:
        ArmillaryError: see `collect`.
    """
    codes = distinct(sample(template.space, samples, sampler, seed))
    return foreseen("collect", spec, template.space, codes, workload, log=log, make=make)


def collect(
    template: Template,
    workload: Workload,
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    *,
    samples: int,
    sampler: str = "sobol",
    seed: int = 0,
    check: Callable[[Evaluations], object] | None = None,
    on_progress: OnProgress = silent,
) -> Collected:
    """Evaluate samples of a template's space on a workload; the executor's log keeps them.

    A design that this evaluator has logged for this workload is not evaluated again, so a
    collection that was interrupted resumes where it was. `check` is called with every batch; what it raises ends the
    collection, soon instead of after all samples.

    Raises:
        ArmillaryError: if the sampler, the evaluator or the log do not fit the request.
    """
    start = time.perf_counter()
    codes = distinct(sample(template.space, samples, sampler, seed))
    before, feasible = executor.evaluated, executor.feasible
    stage, done = f"evaluating {workload.name}", samples - len(codes)
    on_progress(stage, done, samples)
    for rows in executor.run_codes(spec, template.space, codes, workload):
        if check is not None:
            check(rows)
        done += len(rows)
        on_progress(stage, done, samples)
    evaluated = executor.evaluated - before
    return Collected(
        workload=workload.name,
        evaluated=evaluated,
        feasible=executor.feasible - feasible,
        already_logged=samples - evaluated,
        seconds=time.perf_counter() - start,
    )
