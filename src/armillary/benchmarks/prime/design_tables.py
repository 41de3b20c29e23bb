"""PRIME's Tables 11, 12 and 14: the designs themselves, apart and beside the Edge TPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armillary.benchmarks.figures import write_bars
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.edge_tpu_sanity import fixed_s
from armillary.benchmarks.prime.paper import APPLICATIONS, EDGE_TPU_AREA_MM2, TABLE_12_AREA_MM2, TABLE_14
from armillary.benchmarks.prime.runs import SEEDS, Runs, joint_values
from armillary.benchmarks.prime.scenarios import AREA_MM2, TABLE_4, Task
from armillary.benchmarks.prime.sizes import expected_s, full_size, size
from armillary.benchmarks.prime.tables import CLOSE, FEW_OF_NINE, settings_note
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, write_csv
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE, area_mm2
from armillary.types import Candidate
from armillary.workloads import zoo


def table11_12(options: BenchOptions) -> BenchResult:
    """Take the designs for all nine applications at 100 mm2 apart: latencies, parameters and area.

    With `--quick` those for four of them at 29 mm2.
    """
    runs, task = Runs.of(options), TABLE_4[1] if options.quick else TABLE_4[-1]
    methods = ("prime", "firefly")
    runs.prepare([(method, task, {}) for method in methods])
    found = {}
    for method in ("prime", "firefly"):
        each = [runs.one(method, task, seed) for seed in runs.seeds]
        found[method] = np.array([min(each, key=lambda run: run["runtime_s"])["codes"]])
    rows: list[dict[str, Any]] = []
    for published in (known for known in APPLICATIONS if known.workload in task.target):
        alone = Task((published.workload,), (published.workload,), task.area_mm2)
        prime, firefly = (float(joint_values(codes, alone)[0]) for codes in found.values())
        theirs = published.table11_ms[1] / published.table11_ms[0]
        rows.append(_pair(published.workload, 1e3 * prime, 1e3 * firefly, theirs))
    for name in SPACE.names:
        one, other = (SPACE.design(codes[0])[name] for codes in found.values())
        rows.append({"what": name, "PRIME": one, "firefly": other, "firefly/PRIME": "", "published": ""})
    small, large = (float(area_mm2(codes)[0]) for codes in found.values())
    rows.append(_pair("area_mm2", small, large, TABLE_12_AREA_MM2["Evolutionary"] / TABLE_12_AREA_MM2["PRIME"]))
    mean = [float(joint_values(codes, task)[0]) for codes in found.values()]
    write_csv(rows, options)
    bars = {name: {row["what"]: row[name] for row in rows[: len(task.target)]} for name in ("PRIME", "firefly")}
    title = f"Latency of one design for {task.label}"
    write_bars(bars, options.out / "figure.html", title=title, y="Latency, ms")
    return BenchResult(
        rows=rows,
        checks=[
            Check(
                "firefly's mean latency over PRIME's",
                mean[1] / mean[0],
                f"at least {1 / CLOSE:.3f}",
                mean[1] >= mean[0] / CLOSE,
            )
        ],
        notes=[f"PRIME over the optimum: {regret(task.scenario, mean[0]):.3f}.", *settings_note()],
        preface=[_size_of_designs(runs, [task], methods, [TABLE_4[-1]])],
    )


def _size_of_designs(runs: Runs, tasks: Sequence[Task], methods: Sequence[str], whole: Sequence[Task]) -> str:
    """Return how large a table of designs is."""
    expected, full = (
        expected_s([(method, task, {}) for task in every for method in methods], seeds)
        for every, seeds in ((tasks, len(runs.seeds)), (whole, SEEDS))
    )
    return size(runs, tasks, [], expected, full_size(len(whole), SEEDS, full))


def _pair(what: str, prime: float, firefly: float, published: float) -> dict[str, Any]:
    ratio = firefly / prime
    return {"what": what, "PRIME": prime, "firefly": firefly, "firefly/PRIME": ratio, "published": published}


def table14(options: BenchOptions) -> BenchResult:
    """Design for one application each what the Edge TPU may use: 27 mm2 and 25 Gbit/s of DRAM."""
    runs = Runs.of(options)
    settings = {"trained_at_mm2": AREA_MM2, "most_gbps": 25.0}
    every = [Task((a.workload,), (a.workload,), EDGE_TPU_AREA_MM2) for a in APPLICATIONS]
    kept = [task.target for task in FEW_OF_NINE]
    tasks = [task for task in every if not options.quick or task.target in kept]
    runs.prepare([("prime", task, settings) for task in tasks])
    rows = []
    by_name = {published.workload: published for published in APPLICATIONS}
    for task in tasks:
        published = by_name[task.target[0]]
        name = published.workload
        each = sorted((runs.one("prime", task, seed, **settings) for seed in runs.seeds), key=lambda r: r["runtime_s"])
        chosen = each[len(each) // 2]
        (edge_tpu,) = EdgeTpuEvaluator().evaluate([Candidate(EDGE_TPU)], zoo.build(name))
        area = float(area_mm2(np.array([chosen["codes"]]))[0])
        theirs, ours = edge_tpu.metrics["runtime_s"], chosen["runtime_s"]
        fixed = fixed_s(zoo.build(name))
        rows.append(
            {
                "application": name,
                "PRIME ms": 1e3 * ours,
                "Edge TPU ms": 1e3 * theirs,
                "Edge TPU/PRIME": theirs / ours,
                "half the fixed time": (theirs - fixed / 2) / (ours - fixed / 2),
                "no fixed time": (theirs - fixed) / (ours - fixed),
                "published": published.edge_tpu_ms / TABLE_14[name][0],
                "PRIME mm2": area,
                "Edge TPU mm2": edge_tpu.metrics["area_mm2"],
                "area, Edge TPU/PRIME": edge_tpu.metrics["area_mm2"] / area,
            }
        )
    gain = geometric_mean([row["Edge TPU/PRIME"] for row in rows])
    smaller = geometric_mean([row["area, Edge TPU/PRIME"] for row in rows])
    write_csv(rows, options)
    columns = {"ours": "Edge TPU/PRIME", "published": "published"}
    bars = {name: {row["application"]: row[column] for row in rows} for name, column in columns.items()}
    title = "Latency of the Edge TPU over that of PRIME's design for one application"
    write_bars(bars, options.out / "figure.html", title=title, y="Edge TPU over PRIME", logarithmic="")
    return BenchResult(
        rows=rows,
        checks=[
            Check("Edge TPU's latency over PRIME's, geometric mean", gain, "above 1; published: 2.69", gain > 1),
            Check("Edge TPU's area over PRIME's, geometric mean", smaller, "above 1; published: 1.50", smaller > 1),
        ],
        notes=settings_note(),
        preface=[_size_of_designs(runs, tasks, ["prime"], every)],
    )
