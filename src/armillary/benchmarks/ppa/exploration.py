"""`ppa-dse`: the front of energy and area that few layouts find, against two hundred random ones.

A small support vector machine of `axiline`: its architectures and the back end's clock, utilization, aspect ratio and
mapping are searched together, under bounds on power and runtime. All methods start from the same random layouts, a
table that is made once. The loop (`ppa-motpe`) and its cautious form keep three layouts of their budget for what the
last surrogates promise at the least cost, energy and area weighed alike, as `armillary design --verify physical` does.
The framework's recipe fits once, to random layouts, and has three of its own choice; MOTPE and qNEHVI hear of layouts
alone.

Every layout is made once, whichever method asks for it first.

Published: Esmaeilzadeh et al. (arXiv 2308.12120) find the best three designs for a support vector machine of Axiline in
45 nm predicted within 7% of their layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators, optimizers
from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.execution.local import LocalExecutor
from armillary.execution.single import Make
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.metrics import with_derived
from armillary.optimizers.ppa_motpe import fitted_each
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.surrogate_front import Expected, learned_metrics
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import hypervolume_over, reference_point
from armillary.problems.problem import Problem
from armillary.studies.ask_tell import Budget, by_codes
from armillary.studies.layout_design import tightened
from armillary.studies.layout_picks import promised
from armillary.studies.layout_recipe import CAUTIOUS
from armillary.studies.subject import Shipped
from armillary.surrogates import default_of_layouts
from armillary.types import Candidate, Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload

LOOP, CAUTIOUS_LOOP, ONCE, MOTPE, QNEHVI = "loop", "cautious loop", "one fit", "motpe", "qnehvi"
METHODS: Mapping[str, Mapping[str, Any]] = {
    LOOP: {"optimizer": "ppa-motpe", "picks": 3},
    CAUTIOUS_LOOP: {"optimizer": "ppa-motpe", "picks": 3, "caution": CAUTIOUS},
    ONCE: {"picks": 3},
    MOTPE: {"optimizer": "motpe"},
    QNEHVI: {"optimizer": "qnehvi"},
}
BUDGETS, SEEDS, RANDOM = (20, 40, 60), 5, 200
QUICK_BUDGETS, QUICK_RANDOM, QUICK_METHODS = (20,), 40, (LOOP, MOTPE)
START = 12
"""Random layouts of the table that a search is told before it asks."""
GOAL, PUBLISHED = 0.05, 0.07
_CHUNK = 10
_DIMENSION = 6
_NARROWED = {"input_width": (4, 8), "internal_width": (8, 12)}
_OBJECTIVES = (Objective("energy_j"), Objective("area_mm2"))
_BOUNDS = (Bound("power_mw", at_most=3.0), Bound("runtime_s", at_most=3e-9))  # of an input, of a stream


@dataclass(frozen=True)
class Task:
    """What is searched.

    Attributes:
        template: architectures with knobs.
        workload: that they are for.
        spec: of what makes layouts.
        make: the evaluator of a specification; other processes can import it.
    """

    template: Template
    workload: Workload
    spec: EvaluatorSpec
    make: Make = evaluators.make

    @property
    def problem(self) -> Problem:
        """Energy and area under bounds on power and runtime."""
        return self.template.asked(_OBJECTIVES, _BOUNDS, (self.workload,))

    def laid_out(self, folder: Path, codes: NDArray[np.int64]) -> Evaluations:
        """Return the layouts of coded designs, those made before from the log in a folder."""
        executor = LocalExecutor(Log(folder / "layouts"), make=self.make)
        rows = []
        for design in self.template.space.designs(codes):  # one after another: other searches have the other cores
            rows += list(executor.run(self.spec, [Candidate(design)], self.workload))
        return Evaluations.from_list(rows)


def svm_task() -> Task:
    """Return the small support vector machine of `axiline`."""
    weights = tuple((-0.75) ** k for k in range(_DIMENSION))
    algorithm = Algorithm("svm", "inference", _DIMENSION, weights=weights, bias=0.125)
    workload = Workload(f"svm{_DIMENSION}", (), algorithm=algorithm)
    subject = Shipped("axiline", Fidelity.PHYSICAL)
    template = tightened(subject.template([workload]), workload).narrowed(_NARROWED, "ppa-dse")
    return Task(template, workload, subject.simulator().spec)


def run(options: BenchOptions) -> BenchResult:
    """Lay out what was not laid out before, and compare; `--quick`: 40 random layouts, two methods, one seed."""
    return compared(options, svm_task)


def compared(options: BenchOptions, make_task: Any) -> BenchResult:
    """Return what methods found of a task that a function, which other processes can import, makes."""
    budgets = QUICK_BUDGETS if options.quick else BUDGETS
    methods = QUICK_METHODS if options.quick else tuple(METHODS)
    amount = QUICK_RANDOM if options.quick else RANDOM
    seeds = options.counted(SEEDS)
    folder = options.out
    chunks = {
        k: (_part(folder, "table", {"chunk": k}), partial(_table, folder, make_task, k))
        for k in range(amount // _CHUNK)
    }
    drawn = measured_each(chunks, partial(options.on_progress, "random layouts"))
    table = [row for one in drawn.values() for row in one["codes"]]
    work = {
        (method, budget, seed): (
            _part(folder, f"{method}-{budget}-{seed}".replace(" ", "-"),
                  {"method": method, "budget": budget, "seed": seed, "table": amount}),
            partial(_searched, folder, make_task, table, method, budget, seed),
        )
        for method in methods for seed in seeds for budget in (budgets if method == ONCE else budgets[-1:])
    }  # fmt: skip
    found = measured_each(work, partial(options.on_progress, "searches"))
    return _result(options, make_task(), np.array(table), found, (methods, budgets, seeds))


def _part(folder: Path, label: str, inputs: Mapping[str, Any]) -> Part:
    sources = (__name__, *(optimizers.REGISTRY.paths()[name] for name in ("ppa-motpe", "motpe", "qnehvi")))
    return Part(folder / "parts", label, inputs, sources, evaluators.spec_of("axiline", Fidelity.PHYSICAL))


def _table(folder: Path, make_task: Any, chunk: int) -> dict[str, Any]:
    """Lay out so many random designs, other ones in each chunk."""
    task = make_task()
    codes = RandomSearch(task.problem, seed=1000 + chunk).ask_codes(_CHUNK)
    rows = task.laid_out(folder, codes)
    return {"codes": codes.tolist(), "feasible": int(rows.feasible.sum()), "seconds": rows.seconds.tolist()}


def _searched(
    folder: Path, make_task: Any, table: Sequence[Sequence[int]], method: str, budget: int, seed: int
) -> dict[str, Any]:
    """Return the designs that a method laid out within a budget, in order, and what it predicted of its picks."""
    task, how = make_task(), METHODS[method]
    order = np.random.default_rng(seed).permutation(len(table))
    picks = how.get("picks", 0)
    if "optimizer" not in how:
        codes = np.array(table)[order[: budget - picks]]
    else:
        codes = np.array(table)[order[:START]]
        own: dict[str, Any] = {} if how["optimizer"] == "motpe" else {"initial": START}
        if how["optimizer"] == "ppa-motpe":
            own |= {"caution": how.get("caution", 0.0), "surrogate": default_of_layouts(task.template.space)}
        optimizer = optimizers.load(how["optimizer"])(task.problem, seed=seed, **own)
        optimizer.tell_codes(codes, Outcomes.of(task.laid_out(folder, codes)))
        rest = Budget(budget - picks - START)
        batches = by_codes(optimizer, partial(task.laid_out, folder), rest, task.problem.matrix, told=START)
        codes = np.concatenate([codes, *(asked for asked, _ in batches)])
    if not picks:
        return {"codes": codes.tolist(), "picks": {}}
    told = {name: _picks(folder, task, codes, picks, seed, caution) for name, caution in _CAUTIONS.items()}
    mine = "cautious" if how.get("caution") else "plain"
    return {"codes": [*codes.tolist(), *told[mine]["codes"]], "picks": told, "mine": mine}


_CAUTIONS = {"plain": 0.0, "cautious": CAUTIOUS}


def _picks(folder: Path, task: Task, codes: NDArray[np.int64], most: int, seed: int, caution: float) -> dict[str, Any]:
    """Return the new designs of least expected cost, the means that were predicted of them, and their layouts."""
    problem, rows = task.problem, task.laid_out(folder, codes)
    models = fitted_each(_known(rows, problem), problem, default_of_layouts(problem.space), seed)
    expected = Expected(models, problem, context_of(task.workload), caution)
    chosen = promised(expected, rows, most=most, seed=seed).picks.codes
    said = expected.predictions(chosen)
    laid = task.laid_out(folder, chosen)
    true = {name: [problem.with_derived(row.metrics).get(name) for row in laid.to_list()] for name in said}
    return {
        "codes": chosen.tolist(),
        "mean": {name: prediction.mean.tolist() for name, prediction in said.items()},
        "laid_out": true,
        "legal": np.isfinite(problem.matrix(laid)).all(axis=1).tolist(),
    }


def _known(rows: Evaluations, problem: Problem) -> Evaluations:
    """Return the rows that tell of their designs, with the metrics that follow from others."""
    return with_derived(rows.select(rows.settled()), tuple(learned_metrics(problem)), problem.metrics)


def _result(
    options: BenchOptions, task: Task, table: NDArray[np.int64], found: Mapping[Any, Any], sizes: Any
) -> BenchResult:
    methods, budgets, seeds = sizes
    problem = task.problem
    random = problem.matrix(task.laid_out(options.out, table))
    reference = np.log(reference_point(random))

    def volume(codes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        matrix = problem.matrix(task.laid_out(options.out, np.array(codes)))
        return hypervolume_over(np.log(matrix), reference)

    whole = float(hypervolume_over(np.log(random), reference)[-1])
    rows, curves = [], {}
    for method in methods:
        shares = np.array([_shares(method, seed, budgets, found, volume) for seed in seeds]) / whole
        rows.append(
            {
                "method": method,
                **{f"{budget}": float(shares[:, place].mean()) for place, budget in enumerate(budgets)},
                "worst_seed": float(shares[:, -1].min()),
                "best_seed": float(shares[:, -1].max()),
                **_off(method, budgets[-1], seeds, found),
            }
        )
        curves[method] = (list(budgets), shares.mean(axis=0).tolist())
    write_csv(rows, options)
    write_lines(curves, options.out / "hypervolume.html", title="Hypervolume over that of all random layouts",
                x="Layouts", y="Share")  # fmt: skip
    legal = float(np.isfinite(random).all(axis=1).mean())
    return BenchResult(rows, _checks(rows, budgets, len(table)), _notes(len(table), legal, len(seeds)))


def _shares(method: str, seed: int, budgets: Sequence[int], found: Mapping[Any, Any], volume: Any) -> list[float]:
    """Return the hypervolume after each budget."""
    if method == ONCE:
        return [float(volume(found[method, budget, seed]["codes"])[-1]) for budget in budgets]
    over = volume(found[method, budgets[-1], seed]["codes"])
    return [float(over[min(budget, len(over)) - 1]) for budget in budgets]


def _off(method: str, budget: int, seeds: Sequence[int], found: Mapping[Any, Any]) -> dict[str, float]:
    """Return how far off predictions of the picks were, how hopeful, and how many picks keep to the bounds."""
    told: dict[str, float] = {}
    for name in _CAUTIONS:
        runs = [found[method, budget, seed]["picks"].get(name) for seed in seeds]
        errors = [
            (true - said) / true
            for run in runs if run
            for goal in _OBJECTIVES
            for said, true in zip(run["mean"][goal.metric], run["laid_out"][goal.metric], strict=True)
            if true is not None
        ]  # fmt: skip
        legal = [one for run in runs if run for one in run["legal"]]
        told |= {
            f"{name}_error": float(np.mean(np.abs(errors))) if errors else float("nan"),
            f"{name}_optimism": float(np.mean(errors)) if errors else float("nan"),
            f"{name}_within_bounds": float(np.mean(legal)) if legal else float("nan"),
        }
    return told


def _checks(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int], table: int) -> list[Check]:
    by = {row["method"]: row for row in rows}
    last, loop = f"{budgets[-1]}", by[LOOP]
    checks = [
        Check(f"hypervolume of the loop after {last} layouts over that of {table} random ones", loop[last],
              "at least 1", loop[last] >= 1)
    ]  # fmt: skip
    for budget in budgets:
        rival, ours = by[MOTPE][f"{budget}"], loop[f"{budget}"]
        name = f"hypervolume of the loop after {budget} layouts"
        checks.append(Check(name, ours, f"above {rival:.4f}, motpe", ours > rival))
    error, hope, careful = (loop[name] for name in ("plain_error", "plain_optimism", "cautious_optimism"))
    goal = f"at most {GOAL} (published: {PUBLISHED})"
    checks.append(Check("mean error of what was predicted of the picks", error, goal, error <= GOAL))
    goal = f"at most {hope:.4f}, of plain ones"
    checks.append(Check("optimism of predictions of cautious picks", careful, goal, careful <= hope))
    return checks


def _notes(table: int, legal: float, seeds: int) -> list[str]:
    several = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return [
        f"Hypervolume of energy and area in natural logarithms, over that of {table} random layouts, {legal:.0%} of "
        f"which are feasible and within the bounds; up to the worst of these. Mean of {several}.",
        "Errors and optimism are of the predicted means of energy and area: by which share of the layout's they are "
        "off, and by how much less than it they promise.",
    ]
