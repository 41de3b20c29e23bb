"""Design from a user's own log, or for several networks: log, learn, propose, and verify where there is an evaluator.

The recipe of `design` with three differences. It knows several workloads and what a design is worth for all of them;
it learns from whatever rows the log holds, of other workloads too; and without an evaluator it ends with proposals,
which a user's own simulator is to run and the next import to bring back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from armillary.execution.known import logged
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.hardware.template import Template
from armillary.log.folder import absolute
from armillary.log.store import Log
from armillary.problems.problem import Problem
from armillary.spaces.samplers import check_sampler, sample
from armillary.studies.asking import problem_of
from armillary.studies.bounds import check_bounds
from armillary.studies.combining import Combination, beside_best
from armillary.studies.comparing import header, read_results
from armillary.studies.design import PROPOSALS, VERIFIED, bins_of, read_selection, unproposed
from armillary.studies.fit import check_kind, check_schedule
from armillary.studies.foresee import Foreseen, foreseen
from armillary.studies.fronts import front_of
from armillary.studies.importance import METHOD
from armillary.studies.joint_front import FrontRecipe
from armillary.studies.joint_recipe import JointRequest, Recipe, proposal_rows, together
from armillary.studies.progress import OnProgress, silent
from armillary.studies.results import Candidates, Importances, Proposed, Reliability, StudyResults
from armillary.studies.stages import Setting, completed
from armillary.studies.study_folder import StudyFolder
from armillary.studies.subject import Simulator
from armillary.types import Evaluations
from armillary.workloads.layer import Workload


def run_joint_design(
    request: JointRequest,
    template: Template,
    workloads: Sequence[Workload],
    simulator: Simulator,
    folder: StudyFolder,
    *,
    command: str,
    limits: Limits | None = None,
    on_progress: OnProgress = silent,
) -> StudyResults:
    """Learn from a log, propose, and verify where there is an evaluator; a finished stage is not done again.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    request, problem, combination = _checked(request, template, workloads)
    folder.claim({"kind": "joint", **asdict(request)})
    log = Log(request.log or folder.log)
    make = {} if simulator.make is None else {"make": simulator.make}
    setting = Setting(
        folder=folder,
        template=template,
        workload=workloads[0],
        problem=problem,
        spec=simulator.spec,
        executor=LocalExecutor(log, limits=limits, **make),
        log=log,
        command=command,
        seed=request.seed,
        on_progress=on_progress,
    )
    kind = Recipe if len(problem.objectives) == 1 else FrontRecipe
    recipe = kind(request, tuple(workloads), combination, simulator.make is not None)
    completed(recipe.stages(), setting)
    return load_joint_design(folder, template, workloads)


def foresee_joint_design(
    request: JointRequest,
    template: Template,
    workloads: Sequence[Workload],
    simulator: Simulator,
    folder: StudyFolder,
) -> list[Foreseen]:
    """Return what a study of several networks or of a user's problem would evaluate; writes nothing.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    request, _, _ = _checked(request, template, workloads)
    folder.check({"kind": "joint", **asdict(request)})
    if simulator.make is None:
        return []
    codes = sample(template.space, max(request.samples, request.top), request.sampler, request.seed)
    expected = partial(foreseen, spec=simulator.spec, space=template.space, codes=codes, make=simulator.make)
    stages, log = [], Log(request.log or folder.log)
    for workload in workloads:
        there = logged(log, template.space.name, workload, simulator.spec)
        missing = max(0, request.samples - (0 if there is None else len(there)))
        stages.append(expected("collect", workload=workload, evaluations=missing))
        stages.append(expected("verify", workload=workload, evaluations=request.top))
    return stages


def _checked(
    request: JointRequest, template: Template, workloads: Sequence[Workload]
) -> tuple[JointRequest, Problem, Combination]:
    """Return a request that can be met, its log named from the root, its problem, and how workloads combine."""
    problem = template.asked(request.objectives, request.bounds, workloads)
    combination = Combination.of([w.name for w in workloads], request.weights, worst=request.worst)
    check_bounds(problem)
    check_sampler(request.sampler)
    check_kind(request.surrogate)
    check_schedule(request.surrogate, request.schedule, template.space)
    if request.log is not None:
        request = replace(request, log=absolute(request.log))
    return request, problem, combination


def load_joint_design(folder: StudyFolder, template: Template, workloads: Sequence[Workload]) -> StudyResults:
    """Return what the finished joint design study of a folder found.

    Raises:
        ArmillaryError: if the folder holds no finished study.
    """
    request, results, space = folder.request("joint"), read_results(folder), template.space
    problem = problem_of(template, request, workloads)
    proposals, shares = folder.read(PROPOSALS), results["importances"]
    logged, kept = Log(request["log"] or folder.log).evaluations(space.name), Log(folder.path / VERIFIED)
    for column, value in results["evaluator"].items():
        logged = logged.select(getattr(logged, column) == value)
    if evaluated := bool(kept.fragments()):  # then the log holds what was proposed, too
        logged = logged.select(unproposed(logged, folder, space))
    names = [workload.name for workload in workloads]
    combination = beside_best(Combination.of(names, request["weights"], worst=request["worst"]), logged, problem)
    rows = together(logged, combination, problem)
    verified = together(kept.evaluations(space.name), combination, problem) if evaluated else None
    every = rows if verified is None else Evaluations.concat([rows, verified])
    return StudyResults(
        **header(folder, results, space),
        title=f"{combination.label} on {template.name}",
        workload=combination.label,
        problem=problem.of_first,
        seed=request["seed"],
        front=front_of(problem, every, request["prefer"]) if len(problem.objectives) > 1 else None,
        log=rows,
        candidates=None if verified is None else Candidates(verified, np.array(proposals["predicted"])),
        proposals=Proposed(tuple(proposal_rows(template, proposals))),
        importances=Importances(shares, METHOD) if any(shares.values()) else None,
        selection=read_selection(results),
        reliability=None if results["brier"] is None else Reliability(results["brier"], bins_of(results)),
        combination=results["combination"],
        facts=results["facts"],
        remarks=tuple(results["remarks"]),
        warnings=tuple(results["warnings"]),
    )
