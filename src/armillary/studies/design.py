"""Design: the main job, from a network to a verified accelerator, in stages that resume."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import armillary
from armillary import surrogates
from armillary.evaluators import for_template
from armillary.hardware.template import Template
from armillary.log.folder import absolute
from armillary.log.store import Log
from armillary.optimizers.surrogate_search import keys
from armillary.spaces.samplers import check_sampler
from armillary.spaces.space import Space
from armillary.studies.bounds import check_area
from armillary.studies.collect import collect
from armillary.studies.contender import Contender, contender
from armillary.studies.evaluation import evaluate_codes, logged
from armillary.studies.fit import SCHEDULED, check_kind, fit_surrogate, save_atomically
from armillary.studies.importance import METHOD, importances
from armillary.studies.progress import OnProgress, silent
from armillary.studies.propose import propose
from armillary.studies.study_folder import StudyFolder
from armillary.surrogates import Savable, TellsReliability
from armillary.surrogates.prime.surrogate import Prime
from armillary.types import ArmillaryError, Evaluation, Evaluations, Evaluator, Fidelity, Objective
from armillary.workloads.context import context_of
from armillary.workloads.layer import NotMapped, Workload

STAGES = ("collect", "train", "propose", "verify", "explain")


@dataclass(frozen=True)
class DesignRequest:
    """What is asked for.

    `source` tells where the workload came from and `digest` what it held, so that a folder is not
    resumed with another network. `log` is an own log to use and extend; None keeps one in the
    study's folder.
    """

    source: str
    digest: str
    template: str
    area_mm2: float
    samples: int = 16_384
    sampler: str = "sobol"
    top: int = 256
    schedule: str = "brief"
    seed: int = 0
    log: str | None = None
    metric: str = "runtime_s"
    surrogate: str = surrogates.DEFAULT

    @property
    def objective(self) -> Objective:
        """The metric under the area bound."""
        return Objective(self.metric, {"area_mm2": self.area_mm2})


@dataclass(frozen=True)
class DesignStudy:
    """A finished study, as its folder tells it."""

    request: DesignRequest
    workload: str
    command: str
    created: datetime
    versions: Mapping[str, str]
    stage_seconds: Mapping[str, float]
    winner: Contender
    best_of_log: Contender
    baseline: Contender
    importances: Mapping[str, float]
    importance_method: str
    trials: tuple[Mapping[str, float], ...]
    chosen_trial: int
    brier: float | None
    reliability: tuple[tuple[float, float, int], ...]
    not_mapped: tuple[NotMapped, ...]
    predicted: tuple[float, ...]
    verified: Evaluations
    logged: Evaluations


def run_design(
    request: DesignRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    command: str,
    on_progress: OnProgress = silent,
) -> DesignStudy:
    """Collect a log, learn from it, propose, verify, and compare; a finished stage is not done again.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    evaluator = for_template(template.name, Fidelity.ANALYTICAL, seed=request.seed)
    check_area(template, evaluator, workload, request.area_mm2)
    _check_names(request, template)
    if request.log is not None:
        request = replace(request, log=absolute(request.log))
    folder.claim({**asdict(request), "workload": workload.name})
    log = Log(request.log or folder.log)
    run = _Stages(folder)
    with run.stage("collect"):
        collect(
            template,
            workload,
            log,
            samples=request.samples,
            sampler=request.sampler,
            seed=request.seed,
            on_progress=on_progress,
        )
    rows = _training_rows(request, folder, log, template, workload, evaluator)
    model = _trained(run, request, template, rows, folder, on_progress)
    proposals = _proposed(run, request, template, workload, model, rows, folder, on_progress)
    verified = _verified(run, template, workload, evaluator, proposals, log, folder, on_progress)
    with run.stage("explain"):
        on_progress("comparing", 0, 1)
        _write_results(request, template, workload, evaluator, model, rows, verified, folder, command)
        on_progress("comparing", 1, 1)
    return load_study(folder, template)


def _check_names(request: DesignRequest, template: Template) -> None:
    """Check what later stages would refuse, before the folder is taken for the request."""
    _ = request.objective  # whose constructor checks the metric and the bound
    check_sampler(request.sampler)
    check_kind(request.surrogate)
    if request.surrogate in SCHEDULED:
        Prime(space=template.space, schedule=request.schedule)


def load_study(folder: StudyFolder, template: Template) -> DesignStudy:
    """Return the finished study of a folder.

    Raises:
        ArmillaryError: if the folder holds no finished study.
    """
    request = folder.request()
    results = folder.read("results.json")
    workload = request.pop("workload")
    request.pop("schema_version")
    asked = DesignRequest(**request)
    rows = Log(asked.log or folder.log).evaluations(template.space.name)
    rows = rows.select(rows.workload == workload)
    verified = Log(folder.path / "verified").evaluations(template.space.name)
    if len(verified):  # a log may hold rows of other evaluators, which the study did not learn from
        rows = rows.select((rows.evaluator == verified.evaluator[0]) & (rows.version == verified.version[0]))
    contenders = {name: Contender.from_dict(results[name], template.space) for name in _CONTENDERS}
    return DesignStudy(
        request=asked,
        workload=workload,
        command=results["command"],
        created=datetime.fromisoformat(results["created"]),
        versions=results["versions"],
        stage_seconds=folder.read("stages.json"),
        winner=contenders["winner"],
        best_of_log=contenders["best_of_log"],
        baseline=contenders["baseline"],
        importances=results["importances"],
        importance_method=METHOD,
        trials=tuple(results["trials"]),
        chosen_trial=results["chosen_trial"],
        brier=results["brier"],
        reliability=tuple((mean, share, rows_) for mean, share, rows_ in results["reliability"]),
        not_mapped=tuple(NotMapped(**row) for row in results["not_mapped"]),
        predicted=tuple(folder.read("proposals.json")["predicted"]),
        verified=verified,
        logged=rows.select(_unproposed(rows, folder, template.space)),
    )


_CONTENDERS = ("winner", "best_of_log", "baseline")


class _Stages:
    """Times the stages; a stage that was finished before keeps its time."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._seconds: dict[str, float] = folder.read("stages.json") if folder.has("stages.json") else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
        self._folder.write("stages.json", self._seconds)


def _training_rows(
    request: DesignRequest,
    folder: StudyFolder,
    log: Log,
    template: Template,
    workload: Workload,
    evaluator: Evaluator,
) -> Evaluations:
    """Return the rows to learn from: all of this workload that were logged before the first proposal."""
    rows = logged(log, template.space, workload, evaluator)
    if rows is None:
        raise ArmillaryError(f"{log.path}: has no row of workload {workload.name!r}")
    rows = rows.select(_unproposed(rows, folder, template.space))
    more = (
        f"add samples with `armillary collect --template {template.name} --workload {request.source} "
        f"--samples {2 * len(rows)} --log {log.path}` and run this again"
    )
    if not rows.feasible.any():
        raise ArmillaryError(
            f"{log.path}: none of its {len(rows):,} rows of {workload.name} is feasible; most often "
            f"{_commonest_failure(rows)}; {more}, or choose another template"
        )
    if not request.objective.satisfied(rows).any():
        least = rows.metrics["area_mm2"][rows.feasible].min()
        raise ArmillaryError(
            f"{log.path}: of its {int(rows.feasible.sum()):,} feasible rows of {workload.name} none is within "
            f"{request.area_mm2:g} mm2; the smallest has {least:.4g} mm2. Raise the bound, or {more}"
        )
    return rows


def _unproposed(rows: Evaluations, folder: StudyFolder, space: Space) -> NDArray[np.bool_]:
    """Return which rows were there to learn from: proposals are designs that no row had."""
    if not folder.has("proposals.json"):
        return np.ones(len(rows), dtype=bool)
    proposed = np.array(folder.read("proposals.json")["codes"], dtype=np.int64)
    return ~np.isin(keys(space.encode_columns(rows.design)), keys(proposed))


def _commonest_failure(rows: Evaluations) -> str:
    resources, counts = np.unique(rows.failure_resource.astype(str), return_counts=True)
    row = int(np.flatnonzero(rows.failure_resource == resources[counts.argmax()])[0])
    return str(rows.failure(row))


def _trained(
    run: _Stages,
    request: DesignRequest,
    template: Template,
    rows: Evaluations,
    folder: StudyFolder,
    on_progress: OnProgress,
) -> Savable:
    if not folder.model.exists():
        with run.stage("train"):
            model = fit_surrogate(
                rows,
                template.space,
                request.objective,
                kind=request.surrogate,
                schedule=request.schedule,
                seed=request.seed,
                on_progress=on_progress,
            )
            save_atomically(model, folder.model)
    return surrogates.read(folder.model, template.space)


def _proposed(
    run: _Stages,
    request: DesignRequest,
    template: Template,
    workload: Workload,
    model: Savable,
    rows: Evaluations,
    folder: StudyFolder,
    on_progress: OnProgress,
) -> Mapping[str, Any]:
    if not folder.has("proposals.json"):
        with run.stage("propose"):
            on_progress("optimising the surrogate", 0, 1)
            found = propose(
                model,
                template,
                context_of(workload),
                area_mm2=request.area_mm2,
                top=request.top,
                seed=request.seed,
                known=rows,
            )
            folder.write(
                "proposals.json",
                {
                    "codes": found.codes.tolist(),
                    "predicted": found.predicted.tolist(),
                    "p_feasible": found.p_feasible.tolist(),
                },
            )
            on_progress("optimising the surrogate", 1, 1)
    return folder.read("proposals.json")


def _verified(
    run: _Stages,
    template: Template,
    workload: Workload,
    evaluator: Evaluator,
    proposals: Mapping[str, Any],
    log: Log,
    folder: StudyFolder,
    on_progress: OnProgress,
) -> Evaluations:
    results = Log(folder.path / "verified")
    if not results.fragments():
        with run.stage("verify"):
            codes = np.array(proposals["codes"], dtype=np.int64)
            on_progress("verifying candidates", 0, len(codes))
            batch = evaluate_codes(evaluator, template.space, codes, workload)
            fresh = _not_logged(codes, log, template.space, workload, evaluator)
            if fresh.any():
                log.append(batch.select(fresh))
            results.append(batch)
            on_progress("verifying candidates", len(codes), len(codes))
    return results.evaluations(template.space.name)


def _not_logged(
    codes: NDArray[np.int64], log: Log, space: Space, workload: Workload, evaluator: Evaluator
) -> NDArray[np.bool_]:
    """Return which designs the log lacks: one that was killed between two appends has them already."""
    rows = logged(log, space, workload, evaluator)
    if rows is None:
        return np.ones(len(codes), dtype=bool)
    return ~np.isin(keys(codes), keys(space.encode_columns(rows.design)))


def _best(rows: Evaluations, objective: Objective) -> Evaluation | None:
    ok = np.flatnonzero(objective.satisfied(rows))
    if not len(ok):
        return None
    return rows.row(int(ok[rows.metrics[objective.metric][ok].argmin()]))


def _write_results(
    request: DesignRequest,
    template: Template,
    workload: Workload,
    evaluator: Evaluator,
    model: Savable,
    rows: Evaluations,
    verified: Evaluations,
    folder: StudyFolder,
    command: str,
) -> None:
    objective = request.objective
    of_log = _best(rows, objective)
    assert of_log is not None, "`_training_rows` refuses a log without a row within the bounds"
    of_candidates = _best(verified, objective)
    metric = objective.metric
    from_log = of_candidates is None or of_candidates.metrics[metric] >= of_log.metrics[metric]
    won = of_log if of_candidates is None or from_log else of_candidates
    baseline = evaluator.evaluate([template.baseline], workload)[0]

    def compared(name: str, note: str, evaluation: Evaluation) -> dict[str, Any]:
        return contender(name, note, evaluation, evaluator, workload).as_dict()

    proposed = f"proposed by {request.surrogate}, verified"
    results = {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(evaluator),
        "winner": compared("Winner", "best of the log" if from_log else proposed, won),
        "best_of_log": compared("Best of log", f"best of {len(rows):,} logged designs", of_log),
        "baseline": compared(template.baseline_name, f"{template.baseline_note}, our evaluator", baseline),
        "importances": importances(rows, template.space, objective, request.seed),
        **_selection(model),
        **_reliability(model),
        "not_mapped": [asdict(row) for row in workload.not_mapped],
    }
    folder.write_text(folder.design.name, _design_yaml(request, template, workload, won, command))
    folder.write("results.json", results)


def _selection(model: Savable) -> dict[str, Any]:
    """Return what was tried before one was chosen; nothing where the surrogate has no choice."""
    if not isinstance(model, Prime):
        return {"trials": [], "chosen_trial": -1}
    candidates = model.selection.candidates
    return {
        "trials": [asdict(c) for c in candidates],
        "chosen_trial": candidates.index(model.selection.chosen[0]),
    }


def _reliability(model: Savable) -> dict[str, Any]:
    """Return how good the probability of feasibility was on rows kept out of training, where that was measured."""
    if not isinstance(model, TellsReliability) or not model.reliability:
        return {"brier": None, "reliability": []}
    return {"brier": model.brier, "reliability": [list(bin_) for bin_ in model.reliability]}


def _design_yaml(request: DesignRequest, template: Template, workload: Workload, won: Evaluation, command: str) -> str:
    content = {
        "template": template.name,
        "design": won.design.as_dict(),
        "workload": workload.name,
        "metrics": dict(won.metrics),
        "objective": {"minimise": request.metric, "area_mm2": request.area_mm2},
        "evaluator": f"{won.evaluator} {won.version} ({won.fidelity})",
        "command": command,
        "armillary": armillary.__version__,
    }
    return yaml.safe_dump(content, sort_keys=False)


def _versions(evaluator: Evaluator) -> dict[str, str]:
    packages = {name: metadata.version(name) for name in ("torch", "numpy", "onnx", "pyarrow")}
    return {
        "armillary": armillary.__version__,
        f"evaluator {evaluator.name}": evaluator.version,
        "python": platform.python_version(),
        **packages,
    }
