"""How long PRIME has to train: its whole grid by schedules of rising length, on two applications.

The paper trains each of 30 pairs of alpha and beta by itself for 100,000 steps. Ours train the grid side by side and
drop what Kendall's correlation ranks last; what they choose and what its proposals are worth is compared here. The
paper's schedule was run once, on a GPU: what it chose is recorded, and its proposals are evaluated anew, as long as the
evaluator's delays are those that it learned from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import torch

from armillary.benchmarks.figures import regrets_of, write_regrets
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import Runs, joint_values, trained
from armillary.benchmarks.prime.scenarios import M4, TABLE_3, V2, Task
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.cores import one_thread
from armillary.evaluators.edge_tpu.evaluator import DELAY_VERSION
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.surrogates.prime.model import Architecture, forward, initial_weights
from armillary.surrogates.prime.schedules import SCHEDULES
from armillary.surrogates.prime.surrogate import Prime

COMPARED = ("brief", "quick", "full")
APPLICATIONS = (V2, M4)
PAPER = "paper, once"
_RECORD = "paper_schedule.json"
_MOST_SECONDS = 600.0
_AS_GOOD = 1.01
_TIMED_STEPS = 3


def run(options: BenchOptions) -> BenchResult:
    """Train by every schedule once, verify 256 proposals, and compare; `--quick` leaves out the longest schedule."""
    schedules = COMPARED[:2] if options.quick else COMPARED
    tasks = [task for task in TABLE_3 if task.target[0] in APPLICATIONS]
    jobs = [(replace(Runs.of(options), schedule=schedule), task) for schedule in schedules for task in tasks]
    rows: list[dict[str, Any]] = []
    for runs, task in jobs:  # one after the other on all cores: how long that takes is told, too
        options.on_progress("trainings", len(rows), len(jobs))
        rows.append(_row(task, runs, options.seed))
    options.on_progress("trainings", len(jobs), len(jobs))
    rows += _recorded(tasks)
    write_csv(rows, options)
    shown = regrets_of(rows, method="schedule", task="application", worst="over_optimum")
    title = "Latency of PRIME's best design above the true optimum, by schedule"
    write_regrets(shown, options.out / "figure.html", title=title)
    return BenchResult(rows=rows, checks=_checks(rows), notes=_notes())


def _row(task: Task, runs: Runs, seed: int) -> dict[str, Any]:
    found, facts = runs.one("prime", task, seed), _facts(task, runs, seed)
    schedule = SCHEDULES[runs.schedule]
    return {
        "application": task.target[0],
        "schedule": runs.schedule,
        "member_steps": schedule.member_steps(30) + schedule.refit,
        **{name: facts[name] for name in ("kendall", "alpha", "beta")},
        "over_optimum": regret(task.scenario, found["runtime_s"]),
        "training_s": found["training_seconds"],
    }


def _facts(task: Task, runs: Runs, seed: int) -> Mapping[str, float]:
    """Return what a run's training chose; kept beside the run, whose model may have been trained elsewhere."""

    def told() -> dict[str, float]:
        model, _ = trained("prime", task.train, task.area_mm2, runs, seed)
        assert isinstance(model, Prime)
        return model.facts()

    model = runs.model("prime", task.train, task.area_mm2, seed, {})
    return replace(model, folder=runs.folder("schedules"), ending=".json").measured(told)


def _recorded(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return what the paper's schedule chose for each application; nothing if it learned from other delays."""
    record = _record()
    if record["delay_version"] != DELAY_VERSION:
        return []
    runs = {run["application"]: run for run in record["runs"]}
    return [_recorded_row(task, runs[task.target[0]]) for task in tasks]


def _record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath(_RECORD).read_text())
    return found


def _recorded_row(task: Task, run: Mapping[str, Any]) -> dict[str, Any]:
    searched = joint_values(np.array(run["best_codes"]), task)
    return {
        "application": task.target[0],
        "schedule": PAPER,
        "member_steps": 30 * run["steps"],
        **{name: run[name] for name in ("kendall", "alpha", "beta")},
        "over_optimum": regret(task.scenario, float(np.median(searched))),
        "training_s": run["seconds"],
    }


def _checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Check the shortest schedule beside the longest of ours, and beside the paper's where it was run."""
    by_name = {(row["application"], row["schedule"]): row for row in rows}
    shortest, *_, longest = dict.fromkeys(row["schedule"] for row in rows if row["schedule"] != PAPER)
    slowest = max(row["training_s"] for row in rows if row["schedule"] != PAPER)
    checks = [Check("longest training of the whole grid, s", slowest, "under 600", slowest < _MOST_SECONDS)]
    for application in APPLICATIONS:
        for longer in (name for name in (longest, PAPER) if (application, name) in by_name):
            ratio = by_name[application, shortest]["over_optimum"] / by_name[application, longer]["over_optimum"]
            name = f"{application}: latency after the brief schedule over that after `{longer}`"
            checks.append(Check(name, ratio, f"at most {_AS_GOOD}", ratio <= _AS_GOOD))
    return checks


def _notes() -> list[str]:
    paper = SCHEDULES["paper"]
    hours = paper.member_steps(30) * _seconds_per_step(2 * paper.batch) / 3600
    version = _record()["delay_version"]
    former = f" It is left out: it learned from version {version} of the delays." if version != DELAY_VERSION else ""
    return [
        f"One training each, on all cores. The paper's own schedule takes {paper.member_steps(30):,} steps of "
        f"{2 * paper.batch} rows: at least {hours:,.0f} hours on one core of this machine, mining left out. "
        "`armillary fit --surrogate prime --schedule paper --device cuda` runs it.",
        f"`{PAPER}`: one training per application on an H200, its matrix products in bfloat16, stopped when the GPU's "
        "time was over, after 95,000 and 85,000 steps of the 100,000; the median of five searches for its best 256 "
        "designs. It keeps the checkpoint itself, as the paper does; ours train a last network on the rows that "
        f"validated, too.{former}",
    ]


def _seconds_per_step(rows: int) -> float:
    """Return how long one thread takes for a step of one network: forward and backward, no mining, no Adam."""
    shape = Architecture(SPACE.cardinalities)
    weights = initial_weights(shape, 1, torch.Generator().manual_seed(0))
    for weight in weights.values():
        weight.requires_grad_()
    codes = torch.zeros((1, rows, len(SPACE.names)), dtype=torch.int64)
    with one_thread():
        started = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            forward(shape, weights, codes)[0].sum().backward()  # type: ignore[no-untyped-call]
        return (time.perf_counter() - started) / _TIMED_STEPS
