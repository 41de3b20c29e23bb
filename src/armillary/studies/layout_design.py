"""Design by layouts: search architectures and knobs of the back end together; see `layout_recipe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from armillary import evaluators, optimizers
from armillary.cores import available
from armillary.evaluators.physical.knobs import refuse_stopped
from armillary.execution.known import logged
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make, evaluated
from armillary.hardware.template import Template
from armillary.log.folder import absolute
from armillary.log.store import Log
from armillary.optimizers.surrogate_front import FEWEST_LEARNED
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.studies.asking import problem_of
from armillary.studies.bounds import check_bounds
from armillary.studies.comparing import header, read_results
from armillary.studies.fit import check_kind
from armillary.studies.foresee import Foreseen
from armillary.studies.laying_out import WINNER, pictures_of
from armillary.studies.layout_picks import best_of
from armillary.studies.layout_recipe import (
    PREDICTED,
    SEARCHED,
    LayoutRequest,
    Recipe,
    every,
    pick_name,
    share_of,
)
from armillary.studies.progress import OnProgress, silent
from armillary.studies.results import Candidates, LaidOut, StudyResults
from armillary.studies.stages import Setting, completed
from armillary.studies.study_folder import StudyFolder
from armillary.surrogates import default_of_layouts
from armillary.types import ArmillaryError, Candidate, Design, Evaluations, Evaluator, EvaluatorSpec, Fidelity
from armillary.workloads.layer import Workload

_TIMED = 8
"""Layouts that are made at most to find what one takes."""
_LONG_S = 10.0
"""A failed layout of so many seconds is timed as well as one that succeeds."""


def searches_layouts(template: Template) -> bool:
    """Return whether only a layout tells what a design of a template takes, so that layouts are what is searched."""
    return "area_mm2" not in template.laws and str(Fidelity.PHYSICAL) in evaluators.fidelities(template.name)


def tightened(template: Template, workload: Workload) -> Template:
    """Return the template with what a workload asks of a design at its least: more of it is never better."""
    if template.choices is None:
        return template
    asked = template.choices(workload)
    least = {name: template.space.parameter(name).values[:1] for name in asked if name in template.space.names}
    return template.narrowed(least, f"workload {workload.name}")


def run_layout_design(
    request: LayoutRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    spec: EvaluatorSpec,
    command: str,
    make: Make = evaluators.make,
    limits: Limits | None = None,
    on_progress: OnProgress = silent,
) -> StudyResults:
    """Search by layouts until the budget is spent, and lay out what the surrogates promise most.

    A finished stage is not done again, nor a layout that is logged.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    template = tightened(template, workload)
    request, problem = _checked(request, template, workload)
    log = Log(request.log or folder.log)
    executor = LocalExecutor(log, limits=limits, make=make)
    executor.evaluator(spec)  # which tells of a missing tool
    folder.claim({"kind": "layouts", **asdict(request), "workload": workload.name})
    setting = Setting(
        folder=folder,
        template=template,
        workload=workload,
        problem=problem,
        spec=spec,
        executor=executor,
        log=log,
        command=command,
        seed=request.seed,
        on_progress=on_progress,
    )
    completed(Recipe(request).stages(), setting)
    return load_layout_design(folder, template, workload)


def foresee_layout_design(
    request: LayoutRequest,
    template: Template,
    workload: Workload,
    folder: StudyFolder,
    *,
    spec: EvaluatorSpec,
    make: Make = evaluators.make,
) -> list[Foreseen]:
    """Return how many layouts a study would make and how long they take; writes nothing but the layouts' cache.

    A layout takes what those take that are logged, or else one that is made to be timed.

    Raises:
        ArmillaryError: if the request cannot be met; the message says why.
    """
    template = tightened(template, workload)
    request, problem = _checked(request, template, workload)
    folder.check({"kind": "layouts", **asdict(request), "workload": workload.name})
    known = logged(Log(request.log or folder.log), template.space.name, workload, spec)
    there = 0 if known is None else int(known.settled().sum())
    if known is not None and there:
        seconds, basis = float(known.seconds[known.settled()].mean()), f"{there} logged layouts"
    else:
        codes = sample(template.space, 64, "lhs", request.seed)
        codes = codes if problem.keep is None else codes[problem.keep(codes)]
        seconds, basis = _timed(make(spec), template.space.designs(codes[:_TIMED]), workload)
    left = max(request.budget - there, 0)
    at_once = min(available(), max(left, 1))
    name = f"{spec.name} {spec.version} ({spec.fidelity})"
    told = f"{basis}: {seconds:.3g} s each, {at_once} at once"
    return [Foreseen("lay out", workload.name, name, left, there, seconds * left / at_once, told)]


def _timed(evaluator: Evaluator, designs: Sequence[Design], workload: Workload) -> tuple[float, str]:
    """Return the seconds of the first layout that succeeds, or else of the longest, and in words what was timed.

    A design that fails at once, as one with no room for its cells, says nothing of what a layout takes.
    """
    failed: list[float] = []
    for design in designs:
        row = evaluated(evaluator, Candidate(design), workload, 0)
        if row.feasible:
            return row.seconds, "one layout timed on this machine"
        failed.append(row.seconds)
        if row.seconds > _LONG_S:
            break
    return max(failed), f"the longest of {len(failed)} layouts timed on this machine, none of which succeeded"


def _checked(request: LayoutRequest, template: Template, workload: Workload) -> tuple[LayoutRequest, Problem]:
    """Return a request that can be met, its log named from the root, and its problem."""
    problem = template.asked(request.objectives, request.bounds, (workload,))
    refuse_stopped(request.options)
    check_bounds(problem)
    surrogate = request.surrogate or default_of_layouts(template.space)
    check_kind(surrogate)
    request = replace(request, surrogate=surrogate)
    optimizers.load(request.optimizer)
    if not request.budget > request.picks >= 1:
        raise ArmillaryError(
            f"picks={request.picks} of budget={request.budget} layouts are not allowed; pick at least 1 and leave some "
            "to learn from"
        )
    if request.budget - request.picks < FEWEST_LEARNED:
        raise ArmillaryError(
            f"budget={request.budget} is not allowed with picks={request.picks}; surrogates learn from "
            f"{FEWEST_LEARNED} feasible layouts at least, so that it must be {FEWEST_LEARNED + request.picks} or more"
        )
    if request.log is not None:
        request = replace(request, log=absolute(request.log))
    return request, problem


def load_layout_design(folder: StudyFolder, template: Template, workload: Workload) -> StudyResults:
    """Return what the finished study of a folder found.

    Raises:
        ArmillaryError: if the folder holds no finished study.
    """
    template = tightened(template, workload)
    request, results, space = folder.request("layouts"), read_results(folder), template.space
    problem, predicted = problem_of(template, request, (workload,)), folder.read(PREDICTED)
    found = Log(request["log"] or folder.log).evaluations(space.name)
    for column, value in results["evaluator"].items():
        found = found.select(getattr(found, column) == value)
    found = found.select(found.workload == workload.name)
    searched = _of(template, found, folder.read(SEARCHED)["codes"])
    picked = predicted["picks"]["codes"]
    picks = _of(template, found, picked) if picked else None
    rows = every(searched, picks)
    first = problem.objectives[0].metric
    _, front = best_of(problem, rows, share_of(problem, predicted))
    said = predicted["picks"]["mean"].get(first)
    return StudyResults(
        **header(folder, results, space),
        title=f"{request['workload']} on {template.name}",
        workload=request["workload"],
        problem=problem.of_first,
        seed=request["seed"],
        log=rows,
        front=front,
        candidates=None if picks is None or said is None else Candidates(picks, np.array(said)),
        layouts=_layouts(folder, problem, results, picks, predicted["picks"]),
        facts=results["facts"],
    )


def _of(template: Template, rows: Evaluations, codes: Sequence[Sequence[int]]) -> Evaluations:
    """Return the rows of coded designs, in their order."""
    known = {
        values: row
        for row, values in enumerate(zip(*(rows.design[n].tolist() for n in template.space.names), strict=True))
    }
    designs = template.space.designs(np.array(codes, dtype=np.int64))
    return rows.select(np.array([known[tuple(design.as_dict().values())] for design in designs]))


def _layouts(
    folder: StudyFolder,
    problem: Problem,
    results: Mapping[str, Any],
    picks: Evaluations | None,
    told: Mapping[str, Any],
) -> tuple[LaidOut, ...]:
    """Return the picks beside their predictions, after the winner where it is none of them."""
    found = []
    for place, row in enumerate([] if picks is None else picks.to_list()):
        found.append(
            LaidOut(
                name=f"Pick {place + 1}",
                design=row.design,
                predicted={name: values[place] for name, values in told["mean"].items()},
                spread={name: values[place] for name, values in told["std"].items()},
                measured=problem.with_derived(row.metrics),
                failure=row.failure,
                pictures=pictures_of(folder, pick_name(place)),
            )
        )
    winner = problem.space.design_from(results["winner"]["design"], "winner")
    if all(one.design != winner for one in found):
        best = LaidOut("Winner", winner, {}, results["winner"]["metrics"], pictures=pictures_of(folder, WINNER))
        found.insert(0, best)
    return tuple(found)
