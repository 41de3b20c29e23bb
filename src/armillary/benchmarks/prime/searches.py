"""How soon each search comes how near to the true optimum: `portfolio` against all others.

No method here learns from a log, and none is PRIME. Every method searches each of the nine applications at 29 mm2 and
is judged by the best legal design that it has met after 64, 128, ... 8,000 legal evaluations, over the optimum of all
452,760,000 designs. Each keeps to the area bound by itself, asks few designs at first and more later, and hears every
result. A search that has met the true optimum ends: nothing that it could still find would change its curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from armillary.benchmarks.figures import write_lines
from armillary.benchmarks.prime.curves import regrets, regrets_part
from armillary.benchmarks.prime.runs import OPTIMUM
from armillary.benchmarks.prime.scenarios import ALL, ENC, M4, V2
from armillary.benchmarks.prime.sizes import duration
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, in_processes, write_csv
from armillary.optimizers.bayesian import MOST_ROWS

OURS = "portfolio"
METHODS = ("random", "firefly", "genetic", "p3bo", "mbo", "bayesian", OURS)
BUDGETS = (64, 128, 256, 512, 1024, 2048, 4096, 8000)
_QUICK = BUDGETS[:3]
_FEW = (V2, M4, ENC)
_CORE_S = {"quick": 900, "full": 8000}
"""Of one seed, in s: rough, for the size that is printed."""
SEEDS = 3
_LEAST_SHOWN = 0.01  # percent: a logarithmic axis has no zero
_SAME = 1.0005  # two latencies that differ less are the same


def run(options: BenchOptions) -> BenchResult:
    """Run what was not run before, and compare; `--quick`: three applications, one seed, 256 evaluations."""
    budgets, names = (_QUICK, _FEW) if options.quick else (BUDGETS, ALL)
    seeds = options.counted(SEEDS)
    folder = options.out / "runs"
    jobs = [(folder, method, name, seed, budgets) for seed in seeds for method in METHODS for name in names]
    in_processes(
        {regrets_part(*job).path: partial(regrets, *job) for job in jobs},
        partial(options.on_progress, "searches"),
    )
    means, optimal = {}, {}
    for method in METHODS:
        every = np.array([[regrets(folder, method, name, seed, budgets) for seed in seeds] for name in names])
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
        title=f"Best latency above the true optimum, geometric mean of {len(names)} applications",
        x="Legal evaluations",
        y=f"Above the optimum, % ({_LEAST_SHOWN} or less)",
    )
    return BenchResult(
        rows=rows, checks=_checks(means, budgets), notes=_notes(), preface=[_size(names, len(seeds), budgets)]
    )


def _size(names: tuple[str, ...], seeds: int, budgets: tuple[int, ...]) -> str:
    kind = "full" if names == ALL else "quick"
    return (
        f"Size: {len(names)} applications, seeds: {seeds}, {len(METHODS)} searches of at most {budgets[-1]:,} legal "
        f"evaluations each, fewer where the optimum is found; about {duration(seeds * _CORE_S[kind])} of one core. "
        f"Without `--quick`: {len(ALL)} applications, seeds: {SEEDS}, {BUDGETS[-1]:,} evaluations, about "
        f"{duration(SEEDS * _CORE_S['full'])} of one core."
    )


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


def _notes() -> list[str]:
    return [
        "Geometric means over the applications of the best latency found, the median of the seeds, over the true "
        "optimum. Then the mean over the budgets, and the share of the searches that found the optimum. bayesian "
        f"learns from {MOST_ROWS} results at most."
    ]
