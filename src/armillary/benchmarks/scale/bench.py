"""How far it scales: workers, a cluster of a thousand of them, and logs of a hundred million rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.benchmarks.scale.cluster_model import Cost, efficiency, shortest
from armillary.benchmarks.scale.log_rows import Took, commands
from armillary.benchmarks.scale.workers import TASK_S, Measured, measured

EFFICIENCY, OVERHEAD_S = 0.9, {"local": 0.002, "ray": 0.005}
CLUSTER, CLUSTER_TASK_S = 1000, 10.0
MEMORY_BYTES = 2 << 30
APPENDED_S = 1.0  # for 131,072 rows
_TASKS_S = (0.05, 0.5, 1.0, 2.0, CLUSTER_TASK_S, 60.0)


def run(options: BenchOptions) -> BenchResult:
    """Measure executors on sleeping evaluations, a modelled cluster, and commands on a log of many rows.

    At full size the log has 10^8 rows in less than 20 GB, under `--out`; with `--quick` two million.
    """
    rows, collected, evaluations = (2_000_000, 131_072, 100) if options.quick else (100_000_000, 1_000_000, 400)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        workers = []
        pairs = [(executor, number) for executor in OVERHEAD_S for number in (1, 2)]
        for done, (executor, number) in enumerate(pairs):
            options.on_progress("executors", done, len(pairs))
            workers.append(measured(executor, number, evaluations, Path(folder)))
        options.on_progress("executors", len(pairs), len(pairs))
        took = commands(Path(folder), rows, collected, options.seed, lambda n: options.on_progress("rows", n, rows))
    cost = Cost(driver_s=workers[-1].driver_s, way_s=workers[-2].overhead_s)
    cluster, checks = _cluster(cost)
    return BenchResult(
        rows=[*map(_row_of_workers, workers), *cluster, *map(_row_of_log, took)],
        checks=[*_checks_of_workers(workers), *checks, *_checks_of_log(took)],
        notes=[
            f"Evaluations sleep for {TASK_S:g} s or not at all; starting processes is not counted.",
            f"The cluster is a model, event by event, with what was measured on Ray here: {1e3 * cost.driver_s:.2f} ms "
            f"of the sender for each evaluation, {1e3 * cost.way_s:.2f} ms for the way there and back.",
        ],
    )


def _row_of_workers(one: Measured) -> dict[str, Any]:
    return {
        "what": f"{one.executor}, {one.workers} workers",
        "efficiency": one.efficiency,
        "overhead_ms": 1e3 * one.overhead_s,
        "sender_ms": 1e3 * one.driver_s,
        "seconds": None,
        "memory_mib": None,
    }


def _row_of_log(one: Took) -> dict[str, Any]:
    unknown = dict.fromkeys(("efficiency", "overhead_ms", "sender_ms"))
    memory = one.most_bytes / 2**20 if one.most_bytes else None
    return {"what": one.what, **unknown, "seconds": one.seconds, "memory_mib": memory}


def _cluster(cost: Cost) -> tuple[list[dict[str, Any]], list[Check]]:
    unknown = dict.fromkeys(("overhead_ms", "sender_ms", "seconds", "memory_mib"))
    found = {task_s: efficiency(CLUSTER, task_s, cost) for task_s in _TASKS_S}
    rows = [
        {"what": f"modelled, {CLUSTER:,} workers, evaluations of {task_s:g} s", "efficiency": value, **unknown}
        for task_s, value in found.items()
    ]
    least = shortest(CLUSTER, EFFICIENCY, cost)
    name = f"modelled, {CLUSTER:,} workers, evaluations of {CLUSTER_TASK_S:g} s: efficiency"
    return rows, [
        Check(name, found[CLUSTER_TASK_S], f"at least {EFFICIENCY:g}", found[CLUSTER_TASK_S] >= EFFICIENCY),
        Check(
            f"modelled, {CLUSTER:,} workers: shortest evaluation with that efficiency, s",
            least,
            f"at most {CLUSTER_TASK_S:g}",
            least <= CLUSTER_TASK_S,
        ),
    ]


def _checks_of_workers(workers: list[Measured]) -> list[Check]:
    checks = []
    for one in workers:
        name, most = f"{one.executor}, {one.workers} workers", OVERHEAD_S[one.executor]
        checks.append(
            Check(f"{name}: efficiency", one.efficiency, f"at least {EFFICIENCY:g}", one.efficiency >= EFFICIENCY)
        )
        checks.append(
            Check(f"{name}: overhead, ms", 1e3 * one.overhead_s, f"below {1e3 * most:g}", one.overhead_s < most)
        )
    return checks


def _checks_of_log(took: list[Took]) -> list[Check]:
    made, again = took[0], took[2]
    checks = [
        Check(f"{one.what}: memory, MiB", one.most_bytes / 2**20, "below 2,048", one.most_bytes < MEMORY_BYTES)
        for one in took
        if one.most_bytes
    ]
    checks += [
        Check(f"{one.what}: seconds", one.seconds, f"below {APPENDED_S:g}", one.seconds < APPENDED_S)
        for one in took
        if not one.most_bytes
    ]
    share = again.seconds / made.seconds
    return [*checks, Check("known designs, share of the time to make them", share, "below 1", share < 1)]
