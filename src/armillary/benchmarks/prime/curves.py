"""How near to the optimum a search is, evaluation by evaluation: measured once, kept, shown by the figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.edge_tpu_optimum import known_optima, regret
from armillary.benchmarks.prime.runs import Runs, best_so_far, budget_of, part_of
from armillary.benchmarks.prime.scenarios import AREA_MM2, Task


def curve_part(runs: Runs, method: str, task: Task) -> Part:
    """Return where `curve` is kept."""
    more = {"optimum_s": known_optima().get(task.scenario)}
    return runs.kept("curves", method, task, runs.options.seed, more, __name__)


def curve(runs: Runs, method: str, task: Task) -> NDArray[np.float64]:
    """Return the best latency in s after each legal evaluation of a search, as many as the log has rows."""

    def measure() -> dict[str, Any]:
        return {"best_s": best_so_far(method, task, budget_of(task, runs), runs.options.seed).tolist()}

    return np.array(curve_part(runs, method, task).measured(measure)["best_s"])


def regrets_part(folder: Path, method: str, name: str, seed: int, budgets: Sequence[int]) -> Part:
    """Return where `regrets` are kept."""
    task = _alone(name)
    more = {"budgets": list(budgets), "optimum_s": known_optima().get(task.scenario)}
    return part_of(folder, method, task, seed, more, __name__)


def regrets(folder: Path, method: str, name: str, seed: int, budgets: Sequence[int]) -> list[float]:
    """Return the best over the optimum that a search of an application has after each of rising budgets."""

    def measure() -> dict[str, Any]:
        started = time.perf_counter()
        task = _alone(name)
        best = best_so_far(method, task, budgets[-1], seed)
        found = [regret(task.scenario, best[budget - 1]) for budget in budgets]
        return {"over_optimum": found, "seconds": time.perf_counter() - started}

    part = regrets_part(folder, method, name, seed, budgets).measured(measure)
    return [float(over) for over in part["over_optimum"]]


def _alone(name: str) -> Task:
    return Task((name,), (name,), AREA_MM2)
