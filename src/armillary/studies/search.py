"""Search: an optimizer on the evaluator itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from armillary import optimizers
from armillary.evaluators import for_template
from armillary.evaluators.spotlight import SearchesMappings
from armillary.hardware.template import Template
from armillary.hardware.templates.spotlight import chip_of
from armillary.log.store import Log
from armillary.mapping.search import Goal
from armillary.mapping.spotlight.search import Mapper
from armillary.optimizers.coded import AsksCodes, CodedOptimizer, KnowsWorkload, objective_values
from armillary.studies.bounds import check_area
from armillary.studies.evaluation import evaluate_codes, logged
from armillary.studies.progress import OnProgress, silent
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Design, Evaluation, Evaluator, Fidelity, Objective
from armillary.workloads.layer import Workload

BATCH = 256
_GOALS: dict[str, Goal] = {
    "runtime_s": "delay",
    "delay_cycles": "delay",
    "energy_pj": "energy",
    "edp_pj_cycles": "edp",
}


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
    power_mw: float | None = None

    @property
    def objective(self) -> Objective:
        """The metric under the bounds."""
        power = {} if self.power_mw is None else {"power_mw": self.power_mw}
        return Objective(self.metric, {"area_mm2": self.area_mm2, **power})


@dataclass(frozen=True)
class Found:
    """What a search met: evaluations, legal ones among them, the best of these, and the files that describe it."""

    evaluated: int
    feasible: int
    best: Evaluation | None
    files: tuple[Path, ...] = ()


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
    evaluator = _mapping_for(optimizer, evaluator, request)
    check_area(template, evaluator, workload, request.area_mm2)
    if isinstance(optimizer, CodedOptimizer):
        optimizer.within = lambda codes: template.area_mm2(codes) <= request.area_mm2
    if isinstance(optimizer, KnowsWorkload):
        optimizer.for_workload(workload)
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
    rows = log.evaluations(template.space.name).with_derived([request.metric, *request.objective.upper_bounds])
    legal = np.flatnonzero(request.objective.satisfied(rows))
    best = rows.row(int(legal[rows.metrics[request.metric][legal].argmin()])) if len(legal) else None
    files = () if best is None else _write_winner(folder, best.design, evaluator, workload)
    return Found(evaluated=done, feasible=len(legal), best=best, files=files)


def _write_winner(folder: StudyFolder, design: Design, evaluator: Evaluator, workload: Workload) -> tuple[Path, ...]:
    """Write the best design, and where mappings were searched too, its hierarchy and its layers' mappings.

    The last two are what `armillary evaluate --hierarchy --mapping` reads. A design of an earlier run of the study is
    mapped anew; a search that starts from what it remembers of other chips may then end elsewhere.
    """
    texts = {folder.design.name: yaml.safe_dump(design.as_dict(), sort_keys=False)}
    if isinstance(evaluator, SearchesMappings):
        mappings = evaluator.mapped(design, workload).by_layer(workload)
        texts["hierarchy.yaml"] = chip_of(design).hierarchy().to_yaml()
        texts["mappings.yaml"] = yaml.safe_dump(
            {name: str(mapping) for name, mapping in mappings.items()}, sort_keys=False, width=1000
        )
    for name, text in texts.items():
        folder.write_text(name, text)
    return tuple(folder.path / name for name in texts)


def _mapping_for(optimizer: AsksCodes, evaluator: Evaluator, request: SearchRequest) -> Evaluator:
    """Return the evaluator with the search for mappings that the optimizer brings, if it brings one.

    Raises:
        ArmillaryError: if the template's mappings cannot be searched, or not for this metric.
    """
    mapper: Mapper | None = getattr(optimizer, "mapper", None)
    if not isinstance(evaluator, SearchesMappings):
        if mapper is not None:
            raise ArmillaryError(
                f"optimizer {request.optimizer!r} searches mappings too, but those of template {request.template!r} "
                "are fixed; choose --template spotlight or another optimizer"
            )
        return evaluator
    if request.metric not in _GOALS:
        raise ArmillaryError(
            f"metric {request.metric!r} does not say which mapping of a layer is best; choose one of {list(_GOALS)}"
        )
    return evaluator.mapping_with(mapper, _GOALS[request.metric])


def _by_code(codes: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> dict[bytes, int]:
    return {code.tobytes(): row for row, code in enumerate(codes)}
