"""How long PRIME has to train: its whole grid by schedules of rising length, on three applications.

The paper trains each of 30 pairs of alpha and beta by itself for 100,000 steps. Ours train the grid side by side and
drop what Kendall's correlation ranks last. `brief` does so after 20 steps that follow a shared warm-up without alpha
and beta, too few to tell whether conservatism pays; `halving` gives every pair 500 steps of its own before any is
dropped. Beside it stands the same schedule with alpha = beta = 0, the network that is not conservative.
Whether conservatism pays is asked by `conservatism`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from armillary.benchmarks.figures import regrets_of, write_regrets
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import TOP, Runs, trained
from armillary.benchmarks.prime.scenarios import ENC, M4, TABLE_3, V2, Task
from armillary.benchmarks.prime.sizes import GRID, counted, duration
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.cores import one_thread
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.surrogates.prime.model import Architecture, forward, initial_weights
from armillary.surrogates.prime.schedules import SCHEDULES
from armillary.surrogates.prime.surrogate import Prime

APPLICATIONS = (V2, M4, ENC)
_FEW = (V2, ENC)
_MOST_SECONDS = 600.0
_AS_GOOD = 1.01
_TIMED_STEPS = 3
_STEP_S = 0.025  # of one network on one core, mining included; rough, for the size that is printed
NOT_CONSERVATIVE: Mapping[str, Any] = {"alphas": (0.0,), "betas": (0.0,)}


@dataclass(frozen=True)
class Training:
    """A schedule, and the grid that it trains if that is not the whole one."""

    schedule: str
    grid: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a row is called."""
        return f"{self.schedule}, alpha = beta = 0" if self.grid else self.schedule

    @property
    def steps(self) -> int:
        """Gradient steps of one network, all of the grid and the last one together."""
        schedule = SCHEDULES[self.schedule]
        return schedule.member_steps(1 if self.grid else GRID) + schedule.refit


BRIEF = Training("brief")
HALVING = Training("halving")
PLAIN = Training("halving", NOT_CONSERVATIVE)
_PLAIN_BRIEF = Training("brief", NOT_CONSERVATIVE)
COMPARED = (BRIEF, _PLAIN_BRIEF, Training("quick"), HALVING, PLAIN, Training("full"))


def run(options: BenchOptions) -> BenchResult:
    """Train by every schedule once, verify 256 proposals, and compare; `--quick`: `brief` alone, two applications."""
    trainings = (BRIEF, _PLAIN_BRIEF) if options.quick else COMPARED
    tasks = [task for task in TABLE_3 if task.target[0] in (_FEW if options.quick else APPLICATIONS)]
    jobs = [(training, task) for training in trainings for task in tasks]
    rows: list[dict[str, Any]] = []
    for training, task in jobs:  # one after the other on all cores: the time that each takes is a result
        options.on_progress("trainings", len(rows), len(jobs))
        rows.append(_row(task, training, replace(Runs.of(options), schedule=training.schedule)))
    options.on_progress("trainings", len(jobs), len(jobs))
    write_csv(rows, options)
    shown = regrets_of(rows, method="schedule", task="application", worst="over_optimum")
    title = "Latency of PRIME's best design above the true optimum, by schedule"
    write_regrets(shown, options.out / "figure.html", title=title)
    return BenchResult(rows=rows, checks=_checks(rows), notes=_notes(), preface=[_size(trainings, tasks)])


def _row(task: Task, training: Training, runs: Runs) -> dict[str, Any]:
    seed = runs.options.seed
    found, facts = runs.one("prime", task, seed, **training.grid), _facts(task, training, runs, seed)
    return {
        "application": task.target[0],
        "schedule": training.name,
        "member_steps": training.steps,
        **{name: facts[name] for name in ("kendall", "alpha", "beta")},
        "over_optimum": regret(task.scenario, found["runtime_s"]),
        "legal_share": found["feasible_of_top"],
        "training_s": found["training_seconds"],
    }


def _facts(task: Task, training: Training, runs: Runs, seed: int) -> Mapping[str, float]:
    """Return what a run's training chose; kept beside the run, whose model may have been trained elsewhere."""

    def told() -> dict[str, float]:
        model, _ = trained("prime", task.train, task.area_mm2, runs, seed, **training.grid)
        assert isinstance(model, Prime)
        return model.facts()

    model = runs.model("prime", task.train, task.area_mm2, seed, training.grid)
    return replace(model, folder=runs.folder("schedules"), ending=".json").measured(told)


def _size(trainings: Sequence[Training], tasks: Sequence[Task]) -> str:
    full_s = expected_s(COMPARED, len(APPLICATIONS))
    return size_of(len(tasks), len(trainings), 1, expected_s(trainings, len(tasks)), full_s)


def expected_s(trainings: Sequence[Training], times: int) -> float:
    """Return how many seconds of one core it takes to run each of these trainings so many times."""
    return sum(training.steps for training in trainings) * times * _STEP_S


def size_of(applications: int, trainings: int, seeds: int, seconds: float, full_s: float) -> str:
    """Return in words what a comparison of trainings consists of, and what the full one takes."""
    return (
        f"Size: {counted(applications, 'application')}, {trainings} trainings each, {counted(seeds, 'seed')}, {TOP} "
        f"designs evaluated; about {duration(seconds)} of one core from an empty folder, {duration(full_s)} without "
        "`--quick`."
    )


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Check that the shortest schedule chooses as good designs as the longest, and that training is short."""
    by_name = {(row["application"], row["schedule"]): row for row in rows}
    ours = [row for row in rows if row["schedule"] not in (HALVING.name, PLAIN.name)]
    slowest = max(row["training_s"] for row in ours)
    checks = [Check("longest training of the whole grid, s", slowest, "under 600", slowest < _MOST_SECONDS)]
    longer = [name for name in dict.fromkeys(row["schedule"] for row in rows) if name != BRIEF.name]
    for application in dict.fromkeys(row["application"] for row in rows):
        for name in longer:
            brief, other = (by_name[application, each]["over_optimum"] for each in (BRIEF.name, name))
            what = f"{application}: latency after `brief` over that after `{name}`"
            checks.append(Check(what, brief / other, f"at most {_AS_GOOD}", brief / other <= _AS_GOOD))
    return checks


def _notes() -> list[str]:
    paper = SCHEDULES["paper"]
    hours = paper.member_steps(GRID) * _seconds_per_step(2 * paper.batch) / 3600
    return [
        f"One training each, on all cores. The paper's own schedule takes {paper.member_steps(GRID):,} steps of "
        f"{2 * paper.batch} rows: at least {hours:,.0f} hours on one core of this machine, mining left out. "
        "`armillary fit --surrogate prime --schedule paper --device cuda` runs it.",
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
