"""`ppa-dse`: the front of energy and area that few layouts find, against two hundred random ones.

Architectures of a platform (see `tasks`) and the back end's clock, utilization, aspect ratio and mapping are searched
together, under bounds on power and runtime. All methods start from the same random layouts, a
table that is made once. The loop (`ppa-motpe`) and its cautious form keep three layouts of their budget for what the
last surrogates promise at the least cost, energy and area weighed alike, as `armillary design --verify physical` does.
The framework's recipe fits once, to random layouts, and has three of its own choice; MOTPE and qNEHVI hear of layouts
alone. The ladder (`ppa-ladder`) synthesises and places designs before it lays some of them out; it spends the seconds
of CPU of as many layouts as the others make, a layout taking the mean of the random ones.

Every layout is made once, whichever method asks for it first, and every method pays for each of its steps once.

Published: Esmaeilzadeh et al. (arXiv 2308.12120) find the best three designs for a support vector machine of Axiline in
45 nm predicted within 7% of their layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary import optimizers
from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa import tasks
from armillary.benchmarks.ppa.tasks import OBJECTIVES, Task
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.metrics import with_derived
from armillary.optimizers.ppa_motpe import fitted_each
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.surrogate_front import Expected, learned_metrics
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import hypervolume_over, reference_point
from armillary.problems.problem import Problem
from armillary.problems.rung import Rung
from armillary.studies.ask_tell import Budget, by_codes
from armillary.studies.ladder import Climbs, Ledger, climbing, mean_s
from armillary.studies.layout_picks import promised
from armillary.studies.layout_recipe import CAUTIOUS
from armillary.surrogates import default_of_layouts
from armillary.types import Evaluations
from armillary.workloads.context import context_of

LOOP, CAUTIOUS_LOOP, LADDER, ONCE, MOTPE, QNEHVI = "loop", "cautious loop", "ladder", "one fit", "motpe", "qnehvi"
METHODS: Mapping[str, Mapping[str, Any]] = {
    LOOP: {"optimizer": "ppa-motpe", "picks": 3},
    CAUTIOUS_LOOP: {"optimizer": "ppa-motpe", "picks": 3, "caution": CAUTIOUS},
    LADDER: {"optimizer": "ppa-ladder", "picks": 3},
    ONCE: {"picks": 3},
    MOTPE: {"optimizer": "motpe"},
    QNEHVI: {"optimizer": "qnehvi"},
}
BUDGETS, SEEDS, RANDOM = (20, 40, 60), 5, 200
QUICK_BUDGETS, QUICK_RANDOM, QUICK_METHODS = (20, 40), 40, (LOOP, LADDER, MOTPE)
_OPTIMIZERS = ("ppa-motpe", "ppa-ladder", "motpe", "qnehvi")
START = 12
"""Random layouts of the table that a search is told before it asks."""
GOAL, PUBLISHED = 0.05, 0.07
_CHUNK = 10


def run(options: BenchOptions) -> BenchResult:
    """Search a support vector machine of `axiline`; `--quick`: 40 random layouts, three methods, one seed."""
    return compared(options, tasks.svm)


def tabla(options: BenchOptions) -> BenchResult:
    """Search `tabla`, likewise."""
    return compared(options, tasks.tabla)


def genesys(options: BenchOptions) -> BenchResult:
    """Search `genesys`, likewise."""
    return compared(options, tasks.genesys)


def vta(options: BenchOptions) -> BenchResult:
    """Search `vta`, likewise."""
    return compared(options, tasks.vta)


def compared(options: BenchOptions, make_task: Callable[[], Task]) -> BenchResult:
    """Return what methods found of a task that a function, which other processes can import, makes."""
    task = make_task()
    budgets = QUICK_BUDGETS if options.quick else BUDGETS
    methods = QUICK_METHODS if options.quick else tuple(METHODS)
    amount = QUICK_RANDOM if options.quick else RANDOM
    seeds = options.counted(SEEDS)
    folder = options.out
    chunks = {
        k: (_part(folder, task, "table", {"chunk": k}), partial(_table, folder, make_task, k))
        for k in range(amount // _CHUNK)
    }
    drawn = measured_each(chunks, partial(options.on_progress, "random layouts"))
    table = [row for one in drawn.values() for row in one["codes"]]
    work = {
        (method, budget, seed): (
            _part(folder, task, f"{method}-{budget}-{seed}".replace(" ", "-"),
                  {"method": method, "budget": budget, "seed": seed, "table": amount}),
            partial(_searched, folder, make_task, table, method, budget, seed),
        )
        for method in methods for seed in seeds for budget in (budgets if method == ONCE else budgets[-1:])
    }  # fmt: skip
    found = measured_each(work, partial(options.on_progress, "searches"))
    return _result(options, task, np.array(table), found, (methods, budgets, seeds))


def _part(folder: Path, task: Task, label: str, inputs: Mapping[str, Any]) -> Part:
    sources = (__name__, *(optimizers.REGISTRY.paths()[name] for name in _OPTIMIZERS))
    return Part(folder / "parts", label, inputs, sources, task.spec)


def _table(folder: Path, make_task: Callable[[], Task], chunk: int) -> dict[str, Any]:
    """Lay out so many random designs, other ones in each chunk."""
    task = make_task()
    codes = RandomSearch(task.problem, seed=1000 + chunk).ask_codes(_CHUNK)
    rows = task.laid_out(folder, codes)
    return {"codes": codes.tolist(), "feasible": int(rows.feasible.sum()), "seconds": rows.seconds.tolist()}


def _searched(
    folder: Path, make_task: Callable[[], Task], table: Sequence[Sequence[int]], method: str, budget: int, seed: int
) -> dict[str, Any]:
    """Return the designs that a method laid out within a budget, in order, and what it predicted of its picks.

    With each design stands what was spent by then, in layouts of the mean seconds of the table's.
    """
    task, how, ledger = make_task(), METHODS[method], Ledger()
    order = np.random.default_rng(seed).permutation(len(table))
    picks = how.get("picks", 0)
    whole_s = mean_s(task.laid_out(folder, np.array(table)), ledger)
    codes = np.array(table)[order[: START if "optimizer" in how else budget - picks]]
    found = [_paid(folder, task, codes, ledger, whole_s)]
    if "optimizer" in how:
        optimizer, rows = _optimizer(task, how, seed), task.laid_out(folder, codes)
        if isinstance(optimizer, Climbs):
            optimizer.tell_rung(codes, len(optimizer.rungs), Outcomes.of(rows), ledger.work(rows))
            found += _climbed(folder, task, optimizer, budget - picks, ledger, whole_s)
        else:
            optimizer.tell_codes(codes, Outcomes.of(rows))
            found += _asked(folder, task, optimizer, budget - picks, ledger, whole_s)
    codes, spent = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not picks:
        return {"codes": codes.tolist(), "spent": spent.tolist(), "picks": {}}
    told = {name: _picks(folder, task, codes, picks, seed, caution) for name, caution in _CAUTIONS.items()}
    mine = "cautious" if how.get("caution") else "plain"
    last, after = _paid(folder, task, np.array(told[mine]["codes"], dtype=np.int64), ledger, whole_s)
    return {
        "codes": [*codes.tolist(), *last.tolist()],
        "spent": [*spent.tolist(), *after.tolist()],
        "picks": told,
        "mine": mine,
    }


def _optimizer(task: Task, how: Mapping[str, Any], seed: int) -> Any:
    own: dict[str, Any] = {} if how["optimizer"] == "motpe" else {"initial": START}
    if how["optimizer"] in ("ppa-motpe", "ppa-ladder"):
        own |= {"caution": how.get("caution", 0.0), "surrogate": default_of_layouts(task.template.space)}
    if how["optimizer"] == "ppa-ladder":
        own |= {"rungs": task.rungs()}
    return optimizers.load(how["optimizer"])(task.problem, seed=seed, **own)


Paid = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Coded designs, shape [designs, parameters], and what was spent in layouts after each, shape [designs]."""


def _paid(folder: Path, task: Task, codes: NDArray[np.int64], ledger: Ledger, whole_s: float) -> Paid:
    """Return designs that are laid out, and what was spent after each."""
    return codes, ledger.pay(task.laid_out(folder, codes), None) / whole_s if len(codes) else np.empty(0)


def _asked(folder: Path, task: Task, optimizer: Any, amount: int, ledger: Ledger, whole_s: float) -> Iterator[Paid]:
    """Yield what an optimizer asks for until so many layouts are made, those that it began with included."""
    rest = Budget(amount - START)
    for codes, _ in by_codes(optimizer, partial(task.laid_out, folder), rest, task.problem.matrix, told=START):
        yield _paid(folder, task, codes, ledger, whole_s)


def _climbed(
    folder: Path, task: Task, optimizer: Climbs, amount: int, ledger: Ledger, whole_s: float
) -> Iterator[Paid]:
    """Yield the whole layouts of a climb that spends the seconds of so many, those that it began with included."""
    answer = partial(_answer, folder, task)
    for step in climbing(optimizer, answer, amount, ledger=ledger, whole_s=whole_s):
        if step.rung is None:
            yield step.codes, step.spent


def _answer(folder: Path, task: Task, rung: Rung | None, codes: NDArray[np.int64]) -> Evaluations:
    return task.laid_out(folder, codes, rung)


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
                **_costs(method, budgets[-1], seeds, found),
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
    run = found[method, budgets[-1], seed]
    over = volume(run["codes"])
    done = [sum(spent <= budget for spent in run["spent"]) if method == LADDER else budget for budget in budgets]
    return [float(over[min(max(amount, START), len(over)) - 1]) for amount in done]


def _costs(method: str, budget: int, seeds: Sequence[int], found: Mapping[Any, Any]) -> dict[str, float]:
    """Return how many layouts a method made, and what it spent, in layouts of the mean seconds."""
    runs = [found[method, budget, seed] for seed in seeds]
    return {
        "layouts": float(np.mean([len(run["codes"]) for run in runs])),
        "spent": float(np.mean([run["spent"][-1] for run in runs])),
    }


def _off(method: str, budget: int, seeds: Sequence[int], found: Mapping[Any, Any]) -> dict[str, float]:
    """Return how far off predictions of the picks were, how hopeful, and how many picks keep to the bounds."""
    told: dict[str, float] = {}
    for name in _CAUTIONS:
        runs = [found[method, budget, seed]["picks"].get(name) for seed in seeds]
        errors = [
            (true - said) / true
            for run in runs if run
            for goal in OBJECTIVES
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
        climbed = by[LADDER][f"{budget}"]
        name = f"hypervolume of the ladder for what {budget} layouts cost"
        checks.append(Check(name, climbed, f"at least {ours:.4f}, the loop", climbed >= ours))
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
        "The ladder is told by what it spent; `spent` counts layouts of the mean seconds of CPU of the random ones.",
    ]
