"""Search: an optimizer on the evaluator itself, as a recipe of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from armillary import evaluators, optimizers
from armillary.evaluators.explanation import Hierarchical
from armillary.execution.known import logged
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.studies.ask_tell import (
    Budget,
    Recombines,
    as_workers_are_free,
    by_candidates,
    by_codes,
    evaluated_each,
)
from armillary.studies.asking import DEFAULT_METRIC, problem_of
from armillary.studies.bounds import check_bounds
from armillary.studies.comparing import compared, header, read_results, write_results
from armillary.studies.foresee import Foreseen, foreseen
from armillary.studies.fronts import FRONT, Front, front_of, write_front
from armillary.studies.layer_source import AnalyticalSource
from armillary.studies.progress import OnProgress, silent
from armillary.studies.proving import MOST_PROVEN, place_of_winner, proof_note, proven, read_proof, truer_specs
from armillary.studies.results import Proof, StudyResults
from armillary.studies.stages import Setting, Stage, completed
from armillary.studies.study_folder import StudyFolder
from armillary.studies.subject import Shipped, Simulator
from armillary.types import (
    AddsUpLayers,
    ArmillaryError,
    AsksCodes,
    Candidate,
    EvaluatesBatches,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    Fidelity,
    Optimizer,
)
from armillary.workloads.layer import Workload

MAPPINGS, _ANALYTICAL, _TIMED = "mappings.yaml", "analytical", 512


@dataclass(frozen=True)
class SearchRequest:
    """What is asked for; see `DesignRequest` for source, digest, objectives, bounds, verify, problem and running."""

    source: str
    digest: str
    template: str
    optimizer: str
    budget: int
    bounds: tuple[Bound, ...] = ()
    fidelity: str = "analytical"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    objectives: tuple[Objective, ...] = (Objective(DEFAULT_METRIC),)
    verify: tuple[str, ...] = ()
    problem: str | None = None
    prefer: Mapping[str, float] = field(default_factory=dict)
    running: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Found:
    """What a search found: evaluations, legal ones among them, the best of these, and the files that describe it.

    Of several objectives, `front` is what they trade, and the best its preferred design.
    """

    evaluated: int
    feasible: int
    best: Evaluation | None
    files: tuple[Path, ...] = ()
    front: Front | None = None


def run_search(
    request: SearchRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    command: str = "",
    simulator: Simulator | None = None,
    limits: Limits | None = None,
    asynchronous: bool = False,
    on_progress: OnProgress = silent,
) -> Found:
    """Ask and tell until the budget is spent; a search that was interrupted is told what its log holds.

    With `asynchronous` the next design is asked for as soon as a worker is free; see `as_workers_are_free`.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    kept = Log(folder.path / _ANALYTICAL)
    problem, optimizer, (spec, make), truer = _checked(request, template, workload, simulator, kept)
    executor = LocalExecutor(Log(folder.log), limits=limits, make=make)
    executor.evaluator(spec)  # which tells of a missing tool
    if asynchronous and isinstance(optimizer, Recombines):
        raise ArmillaryError(f"--asynchronous: {request.optimizer} runs mapped layers, batch by batch; leave it out")
    folder.claim({"kind": "search", **asdict(request), "workload": workload.name})
    setting = Setting(
        folder=folder,
        template=template,
        workload=workload,
        problem=problem,
        spec=spec,
        executor=executor,
        log=Log(folder.log),
        command=command,
        seed=request.seed,
        on_progress=on_progress,
    )
    return completed(_stages(request, optimizer, truer, limits, asynchronous), setting)["found"]  # type: ignore[no-any-return]


def foresee_search(
    request: SearchRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    simulator: Simulator | None = None,
) -> list[Foreseen]:
    """Return what a search would evaluate, as long as random designs take; writes nothing.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    _, _, (spec, make), truer = _checked(request, template, workload, simulator)
    folder.check({"kind": "search", **asdict(request), "workload": workload.name})
    codes = sample(template.space, min(request.budget, _TIMED), "random", request.seed)
    known = logged(Log(folder.log), template.space.name, workload, spec)
    rest = max(0, request.budget - (0 if known is None else len(known)))
    return [
        foreseen("search", spec, template.space, codes, workload, evaluations=rest, make=make),
        *(foreseen("prove", one, template.space, codes, workload, evaluations=MOST_PROVEN) for one in truer),
    ]


def _checked(
    request: SearchRequest,
    template: Template,
    workload: Workload,
    simulator: Simulator | None,
    kept: Log | None = None,
) -> tuple[Problem, Any, tuple[EvaluatorSpec, Make], list[EvaluatorSpec]]:
    """Return the problem, the optimizer, who evaluates and the truer evaluators of a request that can be met."""
    problem = template.asked(request.objectives, request.bounds, (workload,))
    check_bounds(problem)
    make = optimizers.load(request.optimizer)
    told = {"layers": AnalyticalSource(template.name, log=kept)} if getattr(make, "needs_layers", False) else {}
    optimizer = make(problem, seed=request.seed, **told)
    if simulator is None:
        asked = Shipped(template.name, Fidelity(request.fidelity), request.options)
        simulator = asked.simulator(problem.metric_names, seed=request.seed)
    truer = truer_specs(template.name, request.verify, problem.metric_names, request.options, seed=request.seed)
    return problem, optimizer, (simulator.spec, simulator.make or evaluators.make), truer


def _stages(
    request: SearchRequest,
    optimizer: Any,
    truer: Sequence[EvaluatorSpec],
    limits: Limits | None,
    asynchronous: bool,
) -> list[Stage]:
    """Return the recipe."""

    def searched(setting: Setting) -> Evaluations:
        stage, done, parts = f"searching with {request.optimizer}", 0, []
        setting.on_progress(stage, 0, request.budget)
        batches = _asynchronous if asynchronous else _batches
        for rows in batches(optimizer, setting, request.budget):
            setting.problem.matrix(rows)  # which misses metrics that no row has: soon, not after the whole budget
            parts.append(rows)
            done += len(rows)
            setting.on_progress(stage, done, request.budget)
        if isinstance(optimizer, Recombines) and (best := optimizer.recombined()):
            found = evaluated_each(setting.executor, setting.spec, best, workload=setting.workload)
            parts += _better(setting.problem, Evaluations.concat(parts), Evaluations.from_list(found))
        return Evaluations.concat(parts)

    def proved(setting: Setting, rows: Evaluations) -> Proof | None:
        return proven(setting, rows, truer, limits)

    return [
        Stage("search", (), "rows", searched),
        Stage("prove", ("rows",), "proof", proved),
        Stage("explain", ("rows", "proof"), "found", partial(_found, optimizer=optimizer, prefer=request.prefer)),
    ]


def _better(problem: Problem, rows: Evaluations, made: Evaluations) -> list[Evaluations]:
    """Return those rows, in a list or none, that are better than all others of their design."""
    best: dict[Any, float] = {}
    for evaluation, value in zip(rows.to_list(), problem.first_values(rows).tolist(), strict=True):
        best[evaluation.design] = min(value, best.get(evaluation.design, np.inf))
    values = problem.first_values(made).tolist()
    better = [v < best.get(e.design, np.inf) for e, v in zip(made.to_list(), values, strict=True)]
    return [made.select(np.array(better))] if any(better) else []


def _batches(optimizer: Any, setting: Setting, amount: int) -> Any:
    """Yield the rows of every batch that the search evaluates, in columns where both sides can."""
    executor, spec, workload, space = setting.executor, setting.spec, setting.workload, setting.template.space
    if isinstance(optimizer, AsksCodes) and isinstance(executor.evaluator(spec), EvaluatesBatches):
        parts: list[Evaluations] = []

        def in_columns(codes: NDArray[np.int64]) -> Evaluations:
            parts.append(Evaluations.concat(list(executor.run_codes(spec, space, codes, workload))))
            return parts[-1]

        for _ in by_codes(optimizer, in_columns, Budget(amount), setting.problem.first_values):
            yield parts.pop()
        return

    asked: Optimizer = optimizer
    for evaluations in by_candidates(asked, partial(evaluated_each, executor, spec, workload=workload), amount):
        yield Evaluations.from_list(evaluations)


def _asynchronous(optimizer: Any, setting: Setting, amount: int) -> Any:
    """Yield the rows of each design as it is evaluated, and first those that the log holds.

    An interrupted search would else ask for other designs, as results come in another order.
    """
    executor, spec, workload, space = setting.executor, setting.spec, setting.workload, setting.template.space
    known = logged(setting.log, space.name, workload, spec)
    if known is not None:
        known = known.select(known.settled()).select(slice(0, amount))
        optimizer.tell(list(map(Candidate, space.designs(space.encode_columns(known.design)))), Outcomes.of(known))
        amount -= len(known)
        yield known
    run = partial(executor.run_as_they_finish, spec, workload=workload)
    for one in as_workers_are_free(optimizer, run, amount):
        yield Evaluations.from_list([one])


def _found(
    setting: Setting, rows: Evaluations, proof: Proof | None, *, optimizer: Any, prefer: Mapping[str, float]
) -> Found:
    """Compare the best design with the template's baseline, and write what the search found."""
    values = setting.problem.first_values(rows)
    legal = int(np.isfinite(values).sum())
    if not legal:
        return Found(len(rows), 0, None)
    front = front_of(setting.problem, rows, prefer) if len(setting.problem.objectives) > 1 else None
    if front is None:
        place = 0 if proof is None else place_of_winner(proof, setting.problem)
        best = rows.row(int(np.argsort(values, kind="stable")[place]))
    else:
        best = front.rows.row(front.preferred)
        write_front(setting.folder.path, front)
    made = optimizer.recombined() if isinstance(optimizer, Recombines) else []
    candidate = next((one for one in made if one.design == best.design), Candidate(best.design))
    (whole,) = evaluated_each(setting.executor, setting.spec, [candidate], workload=setting.workload)  # by the log
    note = f"best of {len(rows):,} evaluated designs" + proof_note(proof, setting.problem)
    if front is not None:
        note = f"preferred of {len(front.rows):,} designs on the front of {len(rows):,}"
    found = compared(setting, whole, note, whole, note)
    write_results(setting, found, proof, {})
    files = _files(setting, whole)
    return Found(len(rows), legal, whole, files if front is None else (*files, setting.folder.path / FRONT), front)


def _files(setting: Setting, best: Evaluation) -> tuple[Path, ...]:
    """Write what `armillary evaluate` reads by `--hierarchy` and `--mapping`, where the evaluator takes mappings."""
    folder, evaluator = setting.folder, setting.executor.evaluator(setting.spec)
    names = [folder.design.name]
    if isinstance(evaluator, Hierarchical) and best.layers:
        folder.write_text("hierarchy.yaml", evaluator.hierarchy(best.design).to_yaml())
        names.append("hierarchy.yaml")
    if isinstance(evaluator, Hierarchical | AddsUpLayers) and best.layers:
        mappings = {run.layer.name: run.mapping for run in best.layers}
        folder.write_text(MAPPINGS, yaml.safe_dump(mappings, sort_keys=False, width=1000))
        names.append(MAPPINGS)
    return tuple(folder.path / name for name in names)


def load_search(folder: StudyFolder, template: Template, workload: Workload) -> StudyResults:
    """Return what the finished search of a folder found.

    Raises:
        ArmillaryError: if the folder holds no finished search, or one that found no legal design.
    """
    request, results = folder.request("search"), read_results(folder)
    problem, log = problem_of(template, request, (workload,)), Log(folder.log).evaluations(template.space.name)
    several = len(problem.objectives) > 1
    return StudyResults(
        **header(folder, results, template.space),
        title=f"{request['workload']} on {template.name}",
        workload=request["workload"],
        problem=problem.of_first,
        seed=request["seed"],
        log=log,
        front=front_of(problem, log, request["prefer"]) if several else None,
        proof=read_proof(folder, template.space.name),
    )
