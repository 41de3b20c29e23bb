"""What a study would evaluate, and for how long, without writing anything."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators
from armillary.execution.memory import Memory
from armillary.execution.single import Make
from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.types import Candidate, Cost, EvaluatesBatches, Evaluator, EvaluatorSpec
from armillary.workloads.layer import Workload

_BATCH, _SINGLE, _ENOUGH_S = 512, 3, 5.0


@dataclass(frozen=True)
class Foreseen:
    """One stage that evaluates.

    Attributes:
        stage: of the study.
        workload: on which designs are evaluated.
        evaluator: by which.
        evaluations: that are to be made.
        logged: designs that the log knows, which are not evaluated again.
        seconds: that the evaluations would take on this machine; None where nobody knows before they are made.
        basis: how that was estimated, or why not.
    """

    stage: str
    workload: str
    evaluator: str
    evaluations: int
    logged: int
    seconds: float | None
    basis: str


def foreseen(
    stage: str,
    spec: EvaluatorSpec,
    space: Space,
    codes: NDArray[np.int64],
    workload: Workload,
    *,
    evaluations: int | None = None,
    log: Log | None = None,
    make: Make = evaluators.make,
) -> Foreseen:
    """Return what evaluating coded designs, shape [designs, parameters], would take.

    A few of the designs are evaluated to be timed, where an evaluation takes seconds at most; no log is told.

    Args:
        stage: what the evaluations are for.
        spec: of the evaluator.
        space: of the designs.
        codes: the designs, or some like them if `evaluations` is given.
        workload: on which they are evaluated.
        evaluations: how many there are to be; one per design, if not given.
        log: what it holds is not evaluated again.
        make: from the specification to its evaluator.

    Raises:
        ArmillaryError: if a tool is missing, or the log holds another workload of the same name.
    """
    known = np.zeros(len(codes), dtype=bool)
    if log is not None and len(codes):
        _, places = Memory(log).of_codes(spec, space.name, space.columns(codes), workload)
        known = places >= 0
    fresh = codes[~known]
    count = len(fresh) if evaluations is None else evaluations
    evaluator = make(spec)  # which tells of a missing tool
    seconds, basis = _each(evaluator, spec, space, fresh, workload)
    return Foreseen(
        stage=stage,
        workload=workload.name,
        evaluator=f"{spec.name} {spec.version} ({spec.fidelity})",
        evaluations=count,
        logged=int(known.sum()),
        seconds=0.0 if count == 0 else None if seconds is None else seconds * count,
        basis=basis,
    )


def _each(
    evaluator: Evaluator, spec: EvaluatorSpec, space: Space, codes: NDArray[np.int64], workload: Workload
) -> tuple[float | None, str]:
    """Return the seconds of one evaluation, None where timing some would itself take long, and the basis in words."""
    if not len(codes):
        return None, "nothing is left to evaluate"
    if spec.cost is Cost.MINUTES:
        return None, "not estimated: an evaluation takes minutes, and how many depends on the design"
    start, feasible, timed = time.perf_counter(), 0, 0
    if isinstance(evaluator, EvaluatesBatches):
        evaluator.evaluate_codes(codes[:1], workload)  # what is made once does not count
        start = time.perf_counter()
        rows = evaluator.evaluate_codes(codes[:_BATCH], workload)
        feasible, timed = int(rows.feasible.sum()), len(rows)
    else:
        for design in space.designs(codes[:_SINGLE]):
            feasible += evaluator.evaluate([Candidate(design)], workload)[0].feasible
            timed += 1
            if time.perf_counter() - start > _ENOUGH_S:
                break
    spent = time.perf_counter() - start
    return spent / timed, f"{timed:,} of the designs timed on this machine, {feasible:,} of them feasible"
