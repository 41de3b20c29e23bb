"""How much of the trade between runtime, energy and area each search finds: `pareto` against NSGA-II, MOTPE and chance.

Every method searches a network's designs on the product's own loop and is judged by the hypervolume of what it has met
after 32, 64, ... 512 evaluations, in logarithms of the three metrics, up to the worst value of each among the feasible
ones of a hundred random designs. Infeasible designs cost an evaluation; those that the template's area excludes cost
none, and no method is asked for them. `qnehvi` is left out: it takes minutes for what the others take seconds for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import evaluators, optimizers
from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, in_processes, write_csv
from armillary.execution.local import LocalExecutor
from armillary.hardware import templates
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.criteria import Objective
from armillary.problems.pareto import front, hypervolume_over, reference_point
from armillary.problems.problem import Problem
from armillary.studies.ask_tell import Budget, by_codes
from armillary.types import Evaluations, EvaluatorSpec, Fidelity
from armillary.workloads import zoo

OURS = "pareto"
METHODS = ("random", "nsga2", "motpe", OURS)
OBJECTIVES = ("runtime_s", "energy_pj", "area_mm2")
BUDGETS = (32, 64, 128, 256, 512)
_QUICK = BUDGETS[:2]
SEEDS = 5
_RANDOM_DESIGNS, _RANDOM_SEED = 100, 10_000


@dataclass(frozen=True)
class Task:
    """A template, a network of the zoo, and the options of the analytical evaluator."""

    template: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.network} on {self.template}"

    @property
    def spec(self) -> EvaluatorSpec:
        """Its evaluator."""
        return evaluators.spec_of(self.template, Fidelity.ANALYTICAL, self.options)

    def problem(self) -> Problem:
        """Return the three objectives within what the template can build."""
        workload = zoo.build(self.network)
        return templates.load(self.template).asked(tuple(map(Objective, OBJECTIVES)), (), (workload,))


# of gemmini the smallest network, and few mappings per layer: an evaluation is then a search of 0.1 s, not of 6
TASKS = (Task("edge_tpu", "mobilenet_v2"), Task("gemmini", "t_rnn_enc", {"budget": 20, "timing": "roofline"}))


def run(options: BenchOptions) -> BenchResult:
    """Run what was not run before, and compare."""
    budgets = _QUICK if options.quick else BUDGETS
    seeds = range(options.seed, options.seed + (1 if options.quick else SEEDS))
    folder = options.out / "runs"
    jobs = [(folder, task, method, seed, budgets) for task in TASKS for seed in seeds for method in METHODS]
    in_processes({part(*job).path: partial(searched, *job) for job in jobs}, partial(options.on_progress, "searches"))
    rows: list[dict[str, Any]] = []
    checks: list[Check] = []
    for task in TASKS:
        found = {m: [searched(folder, task, m, seed, budgets) for seed in seeds] for m in METHODS}
        rows += [_row(task, method, runs, budgets) for method, runs in found.items()]
        means = {method: _means(runs) for method, runs in found.items()}
        checks += _checks(task, means, budgets)
        write_lines(
            {method: (budgets, mean.tolist()) for method, mean in means.items()},
            options.out / f"{task.template}.html",
            title=f"Hypervolume of {', '.join(OBJECTIVES)}, {task.name}, mean of the seeds",
            x="Evaluations",
            y="Hypervolume, natural logarithms",
            logarithmic="x",
        )
    write_csv(rows, options)
    return BenchResult(rows=rows, checks=checks, notes=_notes(len(seeds)))


def part(folder: Path, task: Task, method: str, seed: int, budgets: Sequence[int]) -> Part:
    """Return where the numbers of one search are kept."""
    path = optimizers.REGISTRY.paths()[method]
    inputs = {"method": method, "network": task.network, "seed": seed, "budgets": list(budgets)}
    return Part(
        folder, f"{task.template}-{method}-{seed}", inputs, (__name__, path, zoo.paths()[task.network]), task.spec
    )


def searched(folder: Path, task: Task, method: str, seed: int, budgets: Sequence[int]) -> dict[str, Any]:
    """Return what one search found: the hypervolume after each of rising budgets, and the size of its front."""
    return part(folder, task, method, seed, budgets).measured(partial(_search, task, method, seed, budgets))


def _search(task: Task, method: str, seed: int, budgets: Sequence[int]) -> dict[str, Any]:
    problem, executor = task.problem(), LocalExecutor()
    started = time.process_time()

    def evaluate(codes: NDArray[np.int64]) -> Evaluations:
        return Evaluations.concat(list(executor.run_codes(task.spec, problem.space, codes, problem.workloads[0])))

    def worst() -> NDArray[np.float64]:
        drawn = RandomSearch(problem, seed=_RANDOM_SEED).ask_codes(_RANDOM_DESIGNS)
        return reference_point(problem.matrix(evaluate(drawn)))

    optimizer = optimizers.load(method)(problem, seed=seed)
    batches = by_codes(optimizer, evaluate, Budget(budgets[-1]), problem.matrix)
    matrix = np.concatenate([values for _, values in batches])
    seconds = time.process_time() - started
    volume = hypervolume_over(np.log(matrix), np.log(worst()))
    return {
        "hypervolume": [float(volume[budget - 1]) for budget in budgets],
        "front": int(front(matrix).sum()),
        "feasible": float(np.isfinite(matrix).all(axis=1).mean()),
        "seconds": seconds,
    }


def _means(runs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.asarray(np.mean([run["hypervolume"] for run in runs], axis=0))


def _row(task: Task, method: str, runs: Sequence[Mapping[str, Any]], budgets: Sequence[int]) -> dict[str, Any]:
    last = [run["hypervolume"][-1] for run in runs]
    return {
        "task": task.name,
        "method": method,
        **{f"{b}": float(v) for b, v in zip(budgets, _means(runs), strict=True)},
        "worst_seed": min(last),
        "best_seed": max(last),
        **{f"mean_{name}": float(np.mean([run[name] for run in runs])) for name in ("front", "feasible", "seconds")},
    }


def _checks(task: Task, means: Mapping[str, NDArray[np.float64]], budgets: Sequence[int]) -> list[Check]:
    ours = float(means[OURS][-1])
    return [
        Check(
            f"{task.name}: hypervolume of {OURS} after {budgets[-1]} evaluations",
            ours,
            f"above {means[method][-1]:.4f}, {method}",
            ours > means[method][-1],
        )
        for method in METHODS
        if method != OURS
    ]


def _notes(seeds: int) -> list[str]:
    several = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return [
        f"Hypervolume of {', '.join(OBJECTIVES)} in natural logarithms, up to the worst of each among "
        f"{_RANDOM_DESIGNS} random designs, after so many evaluations: the mean of {several}; then the worst and the "
        "best seed after the last, the designs on the front, the share of feasible designs and the seconds of CPU, "
        "evaluations included."
    ]
