"""How large a benchmark of PRIME's is, in words: rows, seeds, steps, evaluations, and how long it takes on one core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armillary.benchmarks.prime.runs import OFFLINE, TOP, Job, Runs
from armillary.benchmarks.prime.scenarios import Task
from armillary.surrogates.prime.schedules import SCHEDULES
from armillary.surrogates.prime.surrogate import ALPHAS, BETAS

GRID = len(ALPHAS) * len(BETAS)
"""Pairs of alpha and beta that PRIME trains with."""

_OF_PROPOSALS = frozenset({"lean", "top", "trained_at_mm2", "most_gbps"})
"""Settings that the training does not depend on."""


@dataclass(frozen=True)
class Cost:
    """What a run takes on one core, in s: with one application, and with each further one."""

    first_s: float
    further_s: float = 0.0


_PRIME = Cost(75, 30)
COSTS: Mapping[str, Cost] = {
    "prime": _PRIME,
    "prime-without-opt": Cost(60, 30),
    "prime-without-infeasible": Cost(60, 30),
    "standard": Cost(40, 30),
    "hurdle": Cost(65, 10),
    "deep-ensemble": Cost(20, 3),
    "coms": Cost(130, 20),
    "mins": Cost(60),
    "firefly": Cost(4, 4),
    "mbo": Cost(100, 50),
    "bayesian": Cost(150, 20),
    "p3bo": Cost(240),
}
"""Of runs with the paper's sizes and PRIME's schedule `brief`; rough, as machines differ."""


def expected_s(jobs: Sequence[Job], seeds: int) -> float:
    """Return how long one core takes for jobs, with every seed, in s; a model that several share trains once."""
    each = {_training(job): _cost_s(job) for job in jobs}
    return seeds * sum(each.values())


def _training(job: Job) -> tuple[object, ...]:
    """Return what jobs that share a trained model have in common; of a search all of it."""
    method, task, settings = job
    if method not in OFFLINE:
        return method, task, str(settings)
    trained = {name: value for name, value in settings.items() if name not in _OF_PROPOSALS}
    return method, task.train, settings.get("trained_at_mm2", task.area_mm2), str(trained)


def _cost_s(job: Job) -> float:
    method, task, _ = job
    applications = len(task.train if method in OFFLINE else task.target)
    return COSTS[method].first_s + (applications - 1) * COSTS[method].further_s


def duration(seconds: float) -> str:
    """Return a time in words, to two digits at most."""
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def size(
    runs: Runs, tasks: Sequence[Task], budgets: Sequence[float], jobs_s: float, full: str, trains: bool = True
) -> str:
    """Return what a run consists of, and what the full one would.

    Args:
        runs: what all runs share.
        tasks: the rows.
        budgets: evaluations of the searches; none if nothing is searched online.
        jobs_s: seconds of one core that the run is expected to take.
        full: the full run in words.
        trains: whether PRIME trains.
    """
    schedule = SCHEDULES[runs.schedule]
    steps = (
        f"; PRIME trains {schedule.member_steps(GRID):,} steps over its grid of {GRID} and {schedule.refit:,} per "
        f"application after it (schedule `{runs.schedule}`; the paper: {GRID} x 100,000)"
        if trains
        else ""
    )
    online = f"; online methods evaluate {min(budgets):,.0f} to {max(budgets):,.0f}" if len(budgets) else ""
    return (
        f"Size: {counted(len(tasks), 'row')}, {counted(len(runs.seeds), 'seed')}{steps}; offline methods have {TOP} "
        f"designs evaluated{online}. About {duration(jobs_s)} of one core from an empty folder. {full}"
    )


def full_size(rows: int, seeds: int, seconds: float) -> str:
    """Return what the full run consists of, in words."""
    return f"Complete: {counted(rows, 'row')}, {counted(seeds, 'seed')}, about {duration(seconds)} of one core."


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
