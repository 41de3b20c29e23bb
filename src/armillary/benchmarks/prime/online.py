"""How soon each search comes how near to the true optimum: `prime-online` against all others.

Every method searches each of the nine applications at 29 mm2 and is judged by the best legal design that it has met
after 64, 128, ... 8,000 legal evaluations, over the optimum of all 452,760,000 designs. Each keeps to the area
bound by itself, asks few designs at first and more later, and hears every result. A search that has met the true
optimum ends: nothing that it could still find would change its curve.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import OPTIMUM, best_so_far
from armillary.benchmarks.prime.scenarios import ALL, AREA_MM2, Task
from armillary.benchmarks.prime.tables import geometric_mean, write_csv
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, in_processes, saved_part
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator

OURS = "prime-online"
METHODS = ("random", "firefly", "genetic", "p3bo", "mbo", "bayesian", OURS)
BUDGETS = (64, 128, 256, 512, 1024, 2048, 4096, 8000)
_QUICK = BUDGETS[:4]
SEEDS = 5
_REVISION = 6
_LEAST_SHOWN = 0.01  # percent: a logarithmic axis has no zero
_SAME = 1.0005  # two latencies that differ less are the same


def run(options: BenchOptions) -> BenchResult:
    """Run what was not run before, and compare."""
    budgets = _QUICK if options.quick else BUDGETS
    seeds = range(options.seed, options.seed + (1 if options.quick else SEEDS))
    jobs = [(method, name, seed, budgets[-1]) for seed in seeds for method in METHODS for name in ALL]
    in_processes(
        {_path(*job, options): partial(_one, *job, options.quiet()) for job in jobs},
        partial(options.on_progress, "searches"),
    )
    means, optimal = {}, {}
    for method in METHODS:
        every = np.array(
            [[_curve(_one(method, name, seed, budgets[-1], options), budgets) for seed in seeds] for name in ALL]
        )
        means[method] = [geometric_mean(column) for column in np.median(every, axis=1).T]
        optimal[method] = float(np.mean(every[..., -1] <= OPTIMUM))
    rows = [
        {
            "method": method,
            **{f"{b:,}": m for b, m in zip(budgets, mean, strict=True)},
            "mean": _area(mean),
            "optimum_met": optimal[method],
        }
        for method, mean in means.items()
    ]
    write_csv(rows, options)
    write_lines(
        {method: (budgets, [max(100 * (m - 1), _LEAST_SHOWN) for m in mean]) for method, mean in means.items()},
        options.out / "figure.html",
        title=f"Best latency above the true optimum, geometric mean of {len(ALL)} applications",
        x="Legal evaluations",
        y=f"Above the optimum, % ({_LEAST_SHOWN} or less)",
    )
    return BenchResult(rows=rows, checks=_checks(means, budgets), notes=_notes(len(seeds)))


def _one(method: str, name: str, seed: int, most: int, options: BenchOptions) -> Mapping[str, Any]:
    return saved_part(_path(method, name, seed, most, options), lambda: _searched(method, name, seed, most))


def _curve(found: Mapping[str, Any], budgets: tuple[int, ...]) -> list[float]:
    return [found[str(budget)] for budget in budgets]


def _path(method: str, name: str, seed: int, most: int, options: BenchOptions) -> Path:
    folder = options.out.parent / f"prime-online-{EdgeTpuEvaluator.delay_version}-{_REVISION}"
    return folder / f"{method}-{name}-{most}-seed{seed}.json"


def _searched(method: str, name: str, seed: int, most: int) -> dict[str, Any]:
    """Return the best over the optimum after each budget up to the most, and the seconds it took."""
    started = time.perf_counter()
    task = Task((name,), (name,), AREA_MM2)
    best = best_so_far(method, task, most, seed)
    curve = {str(budget): regret(task.scenario, best[budget - 1]) for budget in BUDGETS if budget <= most}
    return {**curve, "seconds": time.perf_counter() - started}


def _area(means: list[float]) -> float:
    """Return the geometric mean over the budgets, which double: the area under the curve."""
    return geometric_mean(means)


def _checks(means: Mapping[str, list[float]], budgets: tuple[int, ...]) -> list[Check]:
    others = {method: mean for method, mean in means.items() if method != OURS}
    checks = []
    for place, budget in enumerate(budgets):
        rival = min(others, key=lambda method: others[method][place])
        best, ours = others[rival][place], means[OURS][place]
        goal = f"at most {_SAME:g} times {best:.4f}, {rival}"
        checks.append(Check(f"{OURS} after {budget:,} evaluations", ours, goal, ours <= best * _SAME))
    rival = min(others, key=lambda method: _area(others[method]))
    ours, best = _area(means[OURS]), _area(others[rival])
    return [*checks, Check(f"{OURS}, area under the curve", ours, f"below {best:.4f}, {rival}", ours < best)]


def _notes(seeds: int) -> list[str]:
    return [
        "Geometric means over nine applications of the best latency found, the median of the seeds, over the true "
        f"optimum; seeds: {seeds}. "
        "Then the mean over the budgets, and the share of the searches that met the optimum."
    ]
