"""Search: an optimizer on the evaluator itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from armillary import optimizers
from armillary.evaluators import for_template
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.optimizers.coded import AsksCodes, CodedOptimizer, objective_values
from armillary.studies.bounds import check_area
from armillary.studies.evaluation import evaluate_codes, logged
from armillary.studies.progress import OnProgress, silent
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Evaluation, Fidelity, Objective
from armillary.workloads.layer import Workload

BATCH = 256


@dataclass(frozen=True)
class SearchRequest:
    """What is asked for; see `DesignRequest` for source and digest."""

    source: str
    digest: str
    template: str
    optimizer: str
    area_mm2: float
    budget: int
    fidelity: str = "analytical"
    seed: int = 0
    metric: str = "runtime_s"

    @property
    def objective(self) -> Objective:
        """The metric under the area bound."""
        return Objective(self.metric, {"area_mm2": self.area_mm2})


@dataclass(frozen=True)
class Found:
    """What a search met: evaluations, legal ones among them, and the best of these."""

    evaluated: int
    feasible: int
    best: Evaluation | None


def run_search(
    request: SearchRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    on_progress: OnProgress = silent,
) -> Found:
    """Ask and tell until the budget is spent; a search that was interrupted is replayed from its log.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    evaluator = for_template(template.name, Fidelity(request.fidelity), seed=request.seed)
    optimizer = optimizers.load(request.optimizer)(space=template.space, objective=request.objective, seed=request.seed)
    if not isinstance(optimizer, AsksCodes):
        raise ArmillaryError(f"optimizer {request.optimizer!r} cannot ask in batches; choose another")
    check_area(template, evaluator, workload, request.area_mm2)
    if isinstance(optimizer, CodedOptimizer):
        optimizer.within = lambda codes: template.area_mm2(codes) <= request.area_mm2
    folder.claim({**asdict(request), "workload": workload.name})
    log = Log(folder.log)
    known = logged(log, template.space, workload, evaluator)
    replay = {} if known is None else _by_code(template.space.encode_columns(known.design))
    done = 0
    stage = f"searching with {request.optimizer}"
    while done < request.budget:
        on_progress(stage, done, request.budget)
        wanted = optimizer.asks_after(done) if isinstance(optimizer, CodedOptimizer) else BATCH
        codes = optimizer.ask_codes(min(wanted, request.budget - done))
        fresh = np.array([code.tobytes() not in replay for code in codes])
        if known is not None and not fresh.any():
            batch = known.select(np.array([replay[code.tobytes()] for code in codes]))
        else:
            batch = evaluate_codes(evaluator, template.space, codes, workload)
            log.append(batch)
        optimizer.tell_batch(codes, objective_values(batch, request.objective))
        done += len(codes)
    on_progress(stage, done, request.budget)
    rows = log.evaluations(template.space.name)
    legal = np.flatnonzero(request.objective.satisfied(rows))
    best = rows.row(int(legal[rows.metrics[request.metric][legal].argmin()])) if len(legal) else None
    return Found(evaluated=done, feasible=len(legal), best=best)


def _by_code(codes: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> dict[bytes, int]:
    return {code.tobytes(): row for row, code in enumerate(codes)}
