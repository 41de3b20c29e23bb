"""Collect: sample a space, evaluate, log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.evaluators.physical.space import architecture, hardware_of, is_joint
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make
from armillary.hardware.template import Choices, Template
from armillary.log.store import Log
from armillary.optimizers.surrogate_search import distinct
from armillary.problems.problem import Keep
from armillary.spaces.samplers import sample, sample_existing
from armillary.spaces.space import Space
from armillary.studies.foresee import Foreseen, foreseen
from armillary.studies.progress import OnProgress, silent
from armillary.types import ArmillaryError, Evaluations, EvaluatorSpec
from armillary.workloads.layer import Workload

_ROUNDS = 20
_NEXT_SEED = 7919


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
    points: int | None = None,
    choices: Choices | None = None,
    make: Make = evaluators.make,
) -> Foreseen:
    """Return what a collection would evaluate; writes nothing.

    Raises:
        ArmillaryError: see `collect`.
    """
    codes = distinct(_drawn(template, choices or {}, samples, points, sampler, seed))
    return foreseen("collect", spec, template.space, codes, workload, log=log, make=make)


def collect(
    template: Template,
    workload: Workload,
    executor: LocalExecutor,
    spec: EvaluatorSpec,
    *,
    samples: int,
    points: int | None = None,
    choices: Choices | None = None,
    sampler: str = "sobol",
    seed: int = 0,
    check: Callable[[Evaluations], object] | None = None,
    on_progress: OnProgress = silent,
) -> Collected:
    """Evaluate samples of a template's space on a workload; the executor's log keeps them.

    A design that this evaluator has logged for this workload is not evaluated again, so a
    collection that was interrupted resumes where it was. `check` is called with every batch; what it raises ends the
    collection, soon instead of after all samples.

    Where designs are laid out, only those are sampled that exist; with `points`, `samples` architectures and so many
    points of the back end are, each by the sampler, and every architecture is laid out at every point (arXiv 2308.12120
    samples both apart, too). `choices` are the values of some parameters that are sampled; of others all are.

    Raises:
        ArmillaryError: if the sampler, the evaluator or the log do not fit the request.
    """
    start = time.perf_counter()
    drawn = _drawn(template, choices or {}, samples, points, sampler, seed)
    codes, asked = distinct(drawn), len(drawn)
    before, feasible = executor.evaluated, executor.feasible
    stage, done = f"evaluating {workload.name}", asked - len(codes)
    on_progress(stage, done, asked)
    for rows in executor.run_codes(spec, template.space, codes, workload, in_order=False):
        if check is not None:
            check(rows)
        done += len(rows)
        on_progress(stage, done, asked)
    evaluated = executor.evaluated - before
    return Collected(
        workload=workload.name,
        evaluated=evaluated,
        feasible=executor.feasible - feasible,
        already_logged=asked - evaluated,
        seconds=time.perf_counter() - start,
    )


def _drawn(
    template: Template, choices: Choices, samples: int, points: int | None, sampler: str, seed: int
) -> NDArray[np.int64]:
    """Return what a collection evaluates, coded, shape [designs, parameters]."""
    if not choices:
        return _sampled(template, samples, points, sampler, seed)
    narrowed = template.narrowed(choices, "choices")
    # an evaluator of batches takes codes of the template's own space
    return template.space.encode_columns(narrowed.space.columns(_sampled(narrowed, samples, points, sampler, seed)))


def _sampled(template: Template, samples: int, points: int | None, sampler: str, seed: int) -> NDArray[np.int64]:
    space = template.space
    if not is_joint(space):
        if points is not None:
            raise ArmillaryError(f"points={points}: designs of {space.name} have no knobs; choose --fidelity physical")
        return sample(space, samples, sampler, seed)
    if points is None:
        return sample_existing(space, samples, sampler, seed, template.exists)
    width = len(architecture(space))
    first = np.zeros(len(space.names) - width, dtype=np.int64)

    def exists(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        whole = np.concatenate([codes, np.tile(first, (len(codes), 1))], axis=1)
        return np.ones(len(codes), dtype=bool) if template.exists is None else template.exists(whole)

    parts = [Space(space.name, space.parameters[:width]), Space(space.name, space.parameters[width:])]
    chosen = _architectures(template.name, parts[0], samples, sampler, seed, exists)
    laid_out = sample_existing(parts[1], points, sampler, seed, None)
    # point by point, so that what was interrupted holds all architectures
    return np.concatenate([np.tile(chosen, (points, 1)), np.repeat(laid_out, samples, axis=0)], axis=1)


def _architectures(template: str, space: Space, n: int, sampler: str, seed: int, exists: Keep) -> NDArray[np.int64]:
    """Return the first n architectures of a sampler whose hardware differs, coded, shape [n, parameters].

    Some parameters change nothing where others round them up: 13 and 14 elements in 7 cycles take the same two lanes.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for attempt in range(_ROUNDS):
        for codes in sample_existing(space, n, sampler, seed + _NEXT_SEED * attempt, exists):
            found.setdefault(hardware_of(template, space.design(codes)), codes)
        if len(found) >= n:
            return np.stack(list(found.values())[:n])
    raise ArmillaryError(
        f"{n} architectures of {space.name} are not to be had: {_ROUNDS * n:,} by the sampler {sampler!r} are "
        f"{len(found):,} different ones as hardware; ask for fewer, or leave more open"
    )
