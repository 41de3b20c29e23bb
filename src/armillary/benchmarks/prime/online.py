"""How soon each search comes how near to the true optimum: `prime-online` against all others.

Every method searches each of the nine applications at 29 mm2 and is judged by the best legal design that it has met
after 64, 128, ... 8,000 legal evaluations, over the optimum of all 452,760,000 designs. Each keeps to the area
bound by itself, asks few designs at first and more later, and hears every result. A search that has met the true
optimum ends: nothing that it could still find would change its curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.prime.curves import regrets, regrets_part
from armillary.benchmarks.prime.runs import OPTIMUM
from armillary.benchmarks.prime.scenarios import ALL
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, in_processes, write_csv

OURS = "prime-online"
METHODS = ("random", "firefly", "genetic", "p3bo", "mbo", "bayesian", OURS)
BUDGETS = (64, 128, 256, 512, 1024, 2048, 4096, 8000)
_QUICK = BUDGETS[:4]
SEEDS = 5
_LEAST_SHOWN = 0.01  # percent: a logarithmic axis has no zero
_SAME = 1.0005  # two latencies that differ less are the same


def run(options: BenchOptions) -> BenchResult:
    """Run what was not run before, and compare."""
    budgets = _QUICK if options.quick else BUDGETS
    seeds = range(options.seed, options.seed + (1 if options.quick else SEEDS))
    folder = options.out / "runs"
    jobs = [(folder, method, name, seed, budgets) for seed in seeds for method in METHODS for name in ALL]
    in_processes(
        {regrets_part(*job).path: partial(regrets, *job) for job in jobs},
        partial(options.on_progress, "searches"),
    )
    means, optimal = {}, {}
    for method in METHODS:
        every = np.array([[regrets(folder, method, name, seed, budgets) for seed in seeds] for name in ALL])
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
