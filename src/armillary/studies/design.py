"""Design: the main job, from a network to a verified accelerator, as a recipe of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import surrogates
from armillary.execution.known import logged
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.hardware.template import Template
from armillary.log.folder import absolute
from armillary.log.store import Log
from armillary.optimizers.surrogate_search import distinct, keys
from armillary.problems.criteria import Bound, Objective
from armillary.problems.problem import Problem
from armillary.spaces.samplers import check_sampler, sample
from armillary.spaces.space import Space
from armillary.studies.asking import DEFAULT_METRIC, problem_of
from armillary.studies.bounds import check_bounds
from armillary.studies.collect import collect
from armillary.studies.comparing import Compared, compared, header, read_results, write_results
from armillary.studies.fit import check_kind, check_schedule, fit_surrogate, save_atomically
from armillary.studies.foresee import Foreseen, foreseen
from armillary.studies.importance import METHOD, importances
from armillary.studies.laying_out import LAID_OUT, lay_out_winner, winner_laid_out
from armillary.studies.progress import OnProgress, silent
from armillary.studies.propose import propose
from armillary.studies.proving import MOST_PROVEN, place_of_winner, proof_note, proven, read_proof, truer_specs
from armillary.studies.results import Candidates, Importances, Proof, Reliability, Selection, StudyResults, Trial
from armillary.studies.stages import Setting, Stage, completed
from armillary.studies.study_folder import StudyFolder
from armillary.studies.subject import Shipped
from armillary.surrogates import Savable, SelectsAmongTrials, TellsReliability
from armillary.types import ArmillaryError, Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload

STAGES = ("collect", "train", "propose", "verify", "prove", "explain")
PROPOSALS, VERIFIED = "proposals.json", "verified"


@dataclass(frozen=True)
class DesignRequest:
    """What is asked for.

    `source` tells where the workload came from and `digest` what it held, so that a folder is not
    resumed with another network. `log` is an own log to use and extend; None keeps one in the
    study's folder. `objectives` and `bounds` are all that hold: see `asking`. `verify` names truer fidelities on which
    the best designs are measured again. `problem` is the path of a user's problem file, whose name `template` then is.
    `running` is how the network is run, as `Running` writes it; None as it is.
    """

    source: str
    digest: str
    template: str
    bounds: tuple[Bound, ...] = ()
    samples: int = 16_384
    sampler: str = "sobol"
    top: int = 256
    schedule: str = "brief"
    seed: int = 0
    log: str | None = None
    objectives: tuple[Objective, ...] = (Objective(DEFAULT_METRIC),)
    surrogate: str = surrogates.DEFAULT
    fidelity: str = "analytical"
    options: Mapping[str, Any] = field(default_factory=dict)
    verify: tuple[str, ...] = ()
    problem: str | None = None
    running: Mapping[str, Any] | None = None


def run_design(
    request: DesignRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    command: str,
    limits: Limits | None = None,
    on_progress: OnProgress = silent,
) -> StudyResults:
    """Collect a log, learn from it, propose, verify, prove, and compare; a finished stage is not done again.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    request, problem, spec, truer = _checked(request, template, workload)
    folder.claim({"kind": "design", **asdict(request), "workload": workload.name})
    log = Log(request.log or folder.log)
    setting = Setting(
        folder=folder,
        template=template,
        workload=workload,
        problem=problem,
        spec=spec,
        executor=LocalExecutor(log, limits=limits),
        log=log,
        command=command,
        seed=request.seed,
        on_progress=on_progress,
    )
    completed(_stages(request, truer, limits), setting)
    return load_design(folder, template, workload)


def foresee_design(
    request: DesignRequest, template: Template, workload: Workload, folder: StudyFolder
) -> list[Foreseen]:
    """Return what a design study would evaluate; writes nothing.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    request, _, spec, truer = _checked(request, template, workload)
    folder.check({"kind": "design", **asdict(request), "workload": workload.name})
    codes = distinct(sample(template.space, request.samples, request.sampler, request.seed))
    log = Log(request.log or folder.log)
    return [
        foreseen("collect", spec, template.space, codes, workload, log=log),
        foreseen("verify", spec, template.space, codes, workload, evaluations=request.top),
        *(
            foreseen("lay out", one, template.space, codes, workload, evaluations=1)
            if one.fidelity is Fidelity.PHYSICAL
            else foreseen("prove", one, template.space, codes, workload, evaluations=MOST_PROVEN)
            for one in truer
        ),
    ]


def _checked(
    request: DesignRequest, template: Template, workload: Workload
) -> tuple[DesignRequest, Problem, EvaluatorSpec, list[EvaluatorSpec]]:
    """Return a request that can be met, its log named from the root, with its problem and its evaluators."""
    problem = template.asked(request.objectives, request.bounds, (workload,))
    check_bounds(problem)
    check_sampler(request.sampler)
    check_kind(request.surrogate)
    check_schedule(request.surrogate, request.schedule, template.space)
    if request.log is not None:
        request = replace(request, log=absolute(request.log))
    metric = (problem.metric,)  # of one objective: several are refused
    evaluator = Shipped(template.name, Fidelity(request.fidelity), request.options)
    spec = evaluator.simulator(metric, seed=request.seed).spec
    truer = truer_specs(template.name, request.verify, metric, request.options, seed=request.seed)
    return request, problem, spec, truer


def _stages(request: DesignRequest, truer: Sequence[EvaluatorSpec], limits: Limits | None) -> list[Stage]:
    """Return the recipe: what layouts tell is asked of the winner alone."""
    layouts = [spec for spec in truer if spec.fidelity is Fidelity.PHYSICAL]
    proving = [spec for spec in truer if spec not in layouts]

    def collected(setting: Setting) -> Evaluations:
        collect(
            *(setting.template, setting.workload, setting.executor, setting.spec),
            samples=request.samples,
            sampler=request.sampler,
            seed=request.seed,
            check=setting.problem.values,
            on_progress=setting.on_progress,
        )
        return _training_rows(request, setting)

    def trained(setting: Setting, rows: Evaluations) -> Savable:
        model = fit_surrogate(
            rows,
            setting.problem,
            kind=request.surrogate,
            schedule=request.schedule,
            seed=request.seed,
            on_progress=setting.on_progress,
        )
        save_atomically(model, setting.folder.model)
        return surrogates.read(setting.folder.model, setting.template.space)

    def proposed(setting: Setting, rows: Evaluations, model: Savable) -> dict[str, Any]:
        return _proposed(request, setting, rows, model)

    def proved(setting: Setting, rows: Evaluations, verified: Evaluations) -> Proof | None:
        return proven(setting, Evaluations.concat([rows, verified]), proving, limits)

    def laid_out(setting: Setting, rows: Evaluations, verified: Evaluations, proof: Proof | None) -> bool:
        return _laid_out(setting, Evaluations.concat([rows, verified]), proof, layouts, limits)

    def explained(
        setting: Setting, rows: Evaluations, model: Savable, verified: Evaluations, proof: Proof | None
    ) -> Compared:
        setting.on_progress("comparing", 0, 1)
        compared = _compared(request, setting, rows, model, verified, proof)
        setting.on_progress("comparing", 1, 1)
        return compared

    return [
        Stage("collect", (), "rows", collected),
        Stage("train", ("rows",), "model", trained, kept=_kept_model),
        Stage("propose", ("rows", "model"), "proposals", proposed, kept=_kept_proposals),
        Stage("verify", ("proposals",), "verified", _verified, kept=_kept_verified),
        Stage("prove", ("rows", "verified"), "proof", proved),
        *([Stage("lay out", ("rows", "verified", "proof"), "laid out", laid_out)] if layouts else []),
        Stage("explain", ("rows", "model", "verified", "proof"), "compared", explained),
    ]


def _proposed(request: DesignRequest, setting: Setting, rows: Evaluations, model: Savable) -> dict[str, Any]:
    setting.on_progress("optimising the surrogate", 0, 1)
    context = context_of(setting.workload)
    found = propose(model, setting.problem, context, top=request.top, seed=request.seed, known=rows)
    content = {
        "codes": found.codes.tolist(),
        "predicted": found.predicted.tolist(),
        "p_feasible": found.p_feasible.tolist(),
    }
    setting.folder.write(PROPOSALS, content)
    setting.on_progress("optimising the surrogate", 1, 1)
    return content


def _laid_out(
    setting: Setting, rows: Evaluations, proof: Proof | None, layouts: Sequence[EvaluatorSpec], limits: Limits | None
) -> bool:
    """Lay out the winner, and return that it was."""
    winner = rows.row(_won(setting.problem, rows, proof))
    executor = LocalExecutor(Log(setting.folder.path / LAID_OUT), limits=limits)
    for spec in layouts:
        lay_out_winner(setting, winner, proof, spec, executor)
    return True


def _kept_model(setting: Setting) -> Savable | None:
    model = setting.folder.model
    return surrogates.read(model, setting.template.space) if model.exists() else None


def _kept_proposals(setting: Setting) -> dict[str, Any] | None:
    return setting.folder.read(PROPOSALS) if setting.folder.has(PROPOSALS) else None


def _kept_verified(setting: Setting) -> Evaluations | None:
    results = Log(setting.folder.path / VERIFIED)
    return results.evaluations(setting.template.space.name) if results.fragments() else None


def _verified(setting: Setting, proposals: Mapping[str, Any]) -> Evaluations:
    codes = np.array(proposals["codes"], dtype=np.int64)
    stage = "verifying candidates"
    setting.on_progress(stage, 0, len(codes))
    parts = []
    for rows in setting.executor.run_codes(setting.spec, setting.template.space, codes, setting.workload):
        parts.append(rows)
        setting.on_progress(stage, sum(map(len, parts)), len(codes))
    verified = Evaluations.concat(parts)
    Log(setting.folder.path / VERIFIED).append(verified)
    return verified


def _training_rows(request: DesignRequest, setting: Setting) -> Evaluations:
    """Return the rows to learn from: all of this workload and evaluator that were logged before the first proposal."""
    log, workload = setting.log, setting.workload
    rows = logged(log, setting.template.space.name, workload, setting.spec)
    if rows is None:
        raise ArmillaryError(f"{log.path}: has no row of workload {workload.name!r}")
    rows = rows.select(unproposed(rows, setting.folder, setting.template.space))
    more = (
        f"add samples with `armillary collect --template {setting.template.name} --workload {request.source} "
        f"--samples {2 * len(rows)} --log {log.path}` and run this again"
    )
    if not rows.feasible.any():
        raise ArmillaryError(
            f"{log.path}: none of its {len(rows):,} rows of {workload.name} is feasible; most often "
            f"{_commonest_failure(rows)}; {more}, or choose another template"
        )
    values = setting.problem.values(rows)  # which misses metrics that no row has
    if not np.isfinite(values).any():
        bounds = " and ".join(map(str, setting.problem.bounds))
        least = ", ".join(
            f"{bound.metric} {rows.metrics[bound.metric][rows.feasible].min():.4g}"
            for bound in setting.problem.bounds
            if bound.metric in rows.metrics
        )
        raise ArmillaryError(
            f"{log.path}: of its {int(rows.feasible.sum()):,} feasible rows of {workload.name} none keeps to {bounds}; "
            f"the least of them have {least}. Loosen the bounds, or {more}"
        )
    return rows


def unproposed(rows: Evaluations, folder: StudyFolder, space: Space) -> NDArray[np.bool_]:
    """Return which rows were there to learn from, shape [rows]: a study proposes designs that no row had."""
    if not folder.has(PROPOSALS):
        return np.ones(len(rows), dtype=bool)
    proposed = np.array(folder.read(PROPOSALS)["codes"], dtype=np.int64)
    return ~np.isin(keys(space.encode_columns(rows.design)), keys(proposed))


def _commonest_failure(rows: Evaluations) -> str:
    resources, counts = np.unique(rows.failure_resource.astype(str), return_counts=True)
    row = int(np.flatnonzero(rows.failure_resource == resources[counts.argmax()])[0])
    return str(rows.failure(row))


def _won(problem: Problem, rows: Evaluations, proof: Proof | None) -> int:
    """Return which row is the winner: of those that were proven the best by the proof, else the best of all."""
    order = np.argsort(problem.values(rows), kind="stable")  # equal ones: the log's first
    return int(order[0 if proof is None else place_of_winner(proof, problem)])


def _compared(
    request: DesignRequest,
    setting: Setting,
    rows: Evaluations,
    model: Savable,
    verified: Evaluations,
    proof: Proof | None,
) -> Compared:
    """Compare the winner with the best of the log and the baseline, and write what the study found."""
    every = Evaluations.concat([rows, verified])
    won = _won(setting.problem, every, proof)
    note = "best of the log" if won < len(rows) else f"proposed by {request.surrogate}, verified"
    of_log = int(setting.problem.values(rows).argmin())
    found = compared(
        setting,
        every.row(won),
        note + proof_note(proof, setting.problem),
        rows.row(of_log),
        f"best of {len(rows):,} logged designs",
    )
    learned = {
        "importances": importances(rows, setting.problem, setting.seed),
        **selection_of(model),
        **reliability_of(model),
    }
    write_results(setting, found, proof, learned)
    return found


def selection_of(model: Savable) -> dict[str, Any]:
    """Return what was tried before one was chosen; nothing where the surrogate has no choice."""
    if not isinstance(model, SelectsAmongTrials):
        return {"trials": [], "chosen_trial": -1}
    candidates = model.selection.candidates
    return {
        "trials": [asdict(c) for c in candidates],
        "chosen_trial": candidates.index(model.selection.chosen[0]),
    }


def reliability_of(model: Savable) -> dict[str, Any]:
    """Return how good the probability of feasibility was on rows kept out of training, where that was measured."""
    if not isinstance(model, TellsReliability) or not model.reliability:
        return {"brier": None, "reliability": []}
    return {"brier": model.brier, "reliability": [list(bin_) for bin_ in model.reliability]}


def load_design(folder: StudyFolder, template: Template, workload: Workload) -> StudyResults:
    """Return what the finished design study of a folder found.

    Raises:
        ArmillaryError: if the folder holds no finished study.
    """
    request, results, space = folder.request("design"), read_results(folder), template.space
    rows = Log(request["log"] or folder.log).evaluations(space.name)
    verified = Log(folder.path / VERIFIED).evaluations(space.name)
    # a log may hold rows of other evaluators and workloads, which the study did not learn from
    same = rows.workload == request["workload"]
    for name in ("evaluator", "version", "options"):
        same &= getattr(rows, name) == getattr(verified, name)[0]
    rows = rows.select(same)
    shares = results["importances"]
    return StudyResults(
        **header(folder, results, space),
        title=f"{request['workload']} on {template.name}",
        workload=request["workload"],
        problem=problem_of(template, request, (workload,)),
        seed=request["seed"],
        log=rows.select(unproposed(rows, folder, space)),
        candidates=Candidates(verified, np.array(folder.read(PROPOSALS)["predicted"])),
        importances=Importances(shares, METHOD) if any(shares.values()) else None,
        selection=read_selection(results),
        reliability=None if results["brier"] is None else Reliability(results["brier"], bins_of(results)),
        proof=read_proof(folder, space.name),
        layouts=winner_laid_out(folder, space),
    )


def read_selection(results: Mapping[str, Any]) -> Selection | None:
    """Return the trials that a study wrote; None if there was no choice."""
    if not results["trials"]:
        return None
    trials = (Trial(t["alpha"], t["beta"], int(t["checkpoint"]), t["kendall"]) for t in results["trials"])
    return Selection(tuple(trials), results["chosen_trial"])


def bins_of(results: Mapping[str, Any]) -> tuple[tuple[float, float, int], ...]:
    """Return the bins of reliability that a study wrote."""
    return tuple((mean, share, rows) for mean, share, rows in results["reliability"])
