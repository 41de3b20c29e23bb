"""Our Edge TPU evaluator beside the published pools, latencies and areas of PRIME."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from armillary.benchmarks.prime.paper import (
    APPLICATIONS,
    EDGE_TPU_AREA_MM2,
    TABLE_12,
    TABLE_12_AREA_MM2,
    PublishedApplication,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.edge_tpu.evaluator import KIND
from armillary.execution.local import LocalExecutor, evaluated_codes
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE, area_mm2
from armillary.spaces.samplers import sample
from armillary.types import Candidate
from armillary.workloads import zoo

SHARE_TOLERANCE = 0.08
SPEARMAN_GOAL = 0.8
AREA_TOLERANCE = 0.30
SIGN_GOAL = 7
_ILLEGAL = float("nan")


def run(options: BenchOptions) -> BenchResult:
    """Compare feasible shares, runtime spreads, the Edge TPU's latencies, and the designs of Table 12.

    A pool is 1,000,000 random designs per application (20,000 with `quick`), as many as the
    largest of the public dataset.
    """
    samples = 20_000 if options.quick else 1_000_000
    rows = []
    for done, published in enumerate(APPLICATIONS):
        options.on_progress("random pools", done, len(APPLICATIONS))
        rows.append(_row(published, samples, options.seed))
    options.on_progress("random pools", len(APPLICATIONS), len(APPLICATIONS))
    return BenchResult(
        rows=rows,
        checks=[*_share_checks(rows), *_spread_checks(rows), *_latency_checks(rows), *_area_checks()],
        notes=(
            "Runtimes are ratios to the least of the pool; ours are of our own evaluator and workloads.",
            "A spread is of the same order of magnitude if ours lies within a factor of 10 of the published one.",
        ),
    )


def _row(published: PublishedApplication, samples: int, seed: int) -> dict[str, Any]:
    workload = zoo.build(published.workload)
    spec = KIND.spec(seed=seed)
    feasible, runtimes = 0, []
    for first in range(0, samples, 100_000):
        codes = sample(SPACE, min(100_000, samples - first), "random", seed + first)
        pool = evaluated_codes(spec, SPACE, codes, workload)
        feasible += int(pool.feasible.sum())
        runtimes.append(pool.metrics["runtime_s"][pool.feasible])
    runtime = np.concatenate(runtimes)
    named = [EDGE_TPU, *(SPACE.design_from(values, name) for name, values in TABLE_12.items())]
    results = LocalExecutor().run(spec, [Candidate(design) for design in named], workload)
    edge_tpu, prime, evolutionary = (1e3 * r.metrics.get("runtime_s", _ILLEGAL) for r in results)
    low, mean, high = published.pool_min_mean_max_ms
    return {
        "application": published.workload,
        "feasible": feasible / samples,
        "feasible published": published.feasible_share,
        "min ms": 1e3 * float(runtime.min()),
        "mean/min": float(runtime.mean() / runtime.min()),
        "mean/min published": mean / low,
        "max/min": float(runtime.max() / runtime.min()),
        "max/min published": high / low,
        "Edge TPU ms": edge_tpu,
        "Edge TPU published": published.edge_tpu_ms,
        "evolutionary/PRIME": evolutionary / prime,
        "evolutionary/PRIME published": published.table11_ms[1] / published.table11_ms[0],
    }


def _share_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    for row in rows:
        gap = row["feasible"] - row["feasible published"]
        yield Check(
            f"feasible share {row['application']}", gap, "within 0.08 of the published", abs(gap) <= SHARE_TOLERANCE
        )


def _spread_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    for row in rows:
        for spread in ("mean/min", "max/min"):
            ratio = row[spread] / row[f"{spread} published"]
            yield Check(f"{spread} {row['application']}", ratio, "0.1 to 10 of the published", 0.1 <= ratio <= 10)


def _latency_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    rank = spearmanr([r["Edge TPU ms"] for r in rows], [r["Edge TPU published"] for r in rows]).statistic
    yield Check(
        "Edge TPU latencies, Spearman",
        round(float(rank), 6),
        "at least 0.8",
        bool(round(float(rank), 6) >= SPEARMAN_GOAL),
    )
    agree = sum(_same_sign(row) for row in rows)
    yield Check("designs of Table 12, sign of the difference", agree, "agrees in at least 7 of 9", agree >= SIGN_GOAL)


def _same_sign(row: Mapping[str, Any]) -> bool:
    return bool((row["evolutionary/PRIME"] > 1) == (row["evolutionary/PRIME published"] > 1))


def _area_checks() -> Iterator[Check]:
    area = float(area_mm2(SPACE.encode([EDGE_TPU]))[0])
    yield Check("area of the Edge TPU, mm2", area, "27, calibrated", abs(area - EDGE_TPU_AREA_MM2) < 0.1)
    for name, values in TABLE_12.items():
        area = float(area_mm2(SPACE.encode([SPACE.design_from(values, name)]))[0])
        published = TABLE_12_AREA_MM2[name]
        yield Check(
            f"area of Table 12 {name}, mm2",
            area,
            f"within 30% of {published}",
            abs(area / published - 1) <= AREA_TOLERANCE,
        )
