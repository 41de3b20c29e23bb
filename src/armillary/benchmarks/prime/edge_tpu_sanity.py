"""Our Edge TPU evaluator beside the published pools, latencies and areas of PRIME."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from armillary.benchmarks.prime.paper import (
    APPLICATIONS,
    EDGE_TPU_AREA_MM2,
    TABLE_12,
    TABLE_12_AREA_MM2,
    TABLE_14,
    PublishedApplication,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.edge_tpu.compiler import INVOCATION_S, ISSUE_CYCLES
from armillary.evaluators.edge_tpu.evaluator import KIND
from armillary.execution.local import LocalExecutor, evaluated_codes
from armillary.hardware.templates.edge_tpu import CLOCK_HZ, EDGE_TPU, ENTRY_BYTES, SPACE, area_mm2
from armillary.spaces.samplers import sample
from armillary.types import Candidate
from armillary.workloads import zoo
from armillary.workloads.context import issued_instruction_bytes
from armillary.workloads.layer import Workload

REFERENCE = "mobilenet_v2"
"""The application to whose latency the others' are ratios, as nobody knows the unit of the published ones."""
SHARE_TOLERANCE = 0.10
SHARE_FACTOR = 2.0
"""Beside the difference: of U-Net's published 10% nearly every smaller share would be within 0.10."""
RATIO_TOLERANCE = 1.6
SPREAD_TOLERANCES = {"mean": 4.0, "max": 10.0}
"""The largest latency of a pool is one design, and another one in another sample."""
SPEARMAN_GOAL = 0.9
SPREAD_SPEARMAN_GOAL = 0.75
AREA_TOLERANCE = 0.10
SIGN_GOAL = 7
_ILLEGAL = float("nan")


def run(options: BenchOptions) -> BenchResult:
    """Compare pools of random designs, the Edge TPU's latencies, and the designs of Tables 12 and 14.

    A pool is 1,000,000 random designs per application (20,000 with `quick`), as many as the largest of the public
    dataset. Latencies are compared as ratios to MobileNetV2's.
    """
    samples = 20_000 if options.quick else 1_000_000
    rows = []
    for done, published in enumerate(APPLICATIONS):
        options.on_progress("random pools", done, len(APPLICATIONS))
        rows.append(_row(published, samples, options.seed))
    options.on_progress("random pools", len(APPLICATIONS), len(APPLICATIONS))
    return BenchResult(
        rows=rows,
        checks=[
            *_share_checks(rows),
            *_latency_checks(rows),
            *_spread_checks(rows),
            *_floor_checks(rows),
            *_table_14_checks(rows),
            *_area_checks(),
            _sign_check(rows),
        ],
        notes=(
            "Latencies are of our own evaluator and workloads; nobody knows the unit of the published ones.",
            "The ranks of the pools' means miss 0.9: too few of our random designs hold the t-RNNs' parameters.",
            "With sizes of program estimated instead of published: " + _estimated_programs(rows),
        ),
    )


def _row(published: PublishedApplication, samples: int, seed: int) -> dict[str, Any]:
    workload = zoo.build(published.workload)
    area, runtime = _pool(workload, samples, seed)
    legal = runtime[np.isfinite(runtime)]
    named = [EDGE_TPU, *(SPACE.design_from(values, name) for name, values in TABLE_12.items())]
    results = LocalExecutor().run(KIND.spec(seed=seed), [Candidate(design) for design in named], workload)
    edge_tpu, prime, evolutionary = (r.metrics.get("runtime_s", _ILLEGAL) for r in results)
    prime_ms, prime_area = TABLE_14[published.workload]
    low, mean, high = published.pool_min_mean_max_ms
    best_ms = min(low, published.prime_ms, published.online_ms, prime_ms)
    return {
        "application": published.workload,
        "feasible": len(legal) / samples,
        "feasible published": published.feasible_share,
        "fixed ms": 1e3 * fixed_s(workload),
        "min ms": 1e3 * float(legal.min()),
        "min published": low,
        "least published": best_ms,
        "mean ms": 1e3 * float(legal.mean()),
        "mean published": mean,
        "max ms": 1e3 * float(legal.max()),
        "max published": high,
        "Edge TPU ms": 1e3 * edge_tpu,
        "Edge TPU published": published.edge_tpu_ms,
        **_without_fixed(edge_tpu, float(legal.min()), fixed_s(workload)),
        "within Table 14's area/min": float(legal[area[np.isfinite(runtime)] <= prime_area].min() / legal.min()),
        "within Table 14's area/min published": prime_ms / low,
        "evolutionary/PRIME": evolutionary / prime,
        "evolutionary/PRIME published": published.table11_ms[1] / published.table11_ms[0],
    }


def _pool(workload: Workload, samples: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return areas and runtimes of random designs, infinite if infeasible, each of shape [samples]."""
    areas, runtimes = [], []
    for first in range(0, samples, 100_000):
        codes = sample(SPACE, min(100_000, samples - first), "random", seed + first)
        pool = evaluated_codes(KIND.spec(seed=seed), SPACE, codes, workload)
        areas.append(pool.metrics["area_mm2"])
        runtimes.append(np.where(pool.feasible, pool.metrics["runtime_s"], np.inf))
    return np.concatenate(areas), np.concatenate(runtimes)


def _without_fixed(edge_tpu_s: float, least_s: float, fixed_s: float) -> dict[str, float]:
    """Return the Edge TPU over the pool's least with all of the fixed time, half of it and none."""
    return {
        f"Edge TPU/min, {share}": (edge_tpu_s - cut * fixed_s) / (least_s - cut * fixed_s)
        for share, cut in (("all fixed time", 0.0), ("half", 0.5), ("none", 1.0))
    }


def fixed_s(workload: Workload) -> float:
    """Return what an inference takes on any design."""
    return INVOCATION_S + issued_instruction_bytes(workload) / ENTRY_BYTES * ISSUE_CYCLES / CLOCK_HZ


def _share_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    for row in rows:
        share, published = row["feasible"], row["feasible published"]
        low = max(published - SHARE_TOLERANCE, published / SHARE_FACTOR)
        high = min(published + SHARE_TOLERANCE, published * SHARE_FACTOR)
        yield Check(
            f"feasible share {row['application']}",
            share,
            f"{low:.3f} to {high:.3f}, of {published:.3f} published",
            low <= share <= high,
        )


def _latency_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    for ours, published, what in (
        ("min ms", "min published", "least latencies of the pools"),
        ("Edge TPU ms", "Edge TPU published", "Edge TPU latencies"),
    ):
        yield _rank_check(rows, ours, published, what, SPEARMAN_GOAL)
        factors = _factors(rows, ours, published)
        yield Check(
            f"{what} over MobileNetV2's, worst factor",
            max(max(x, 1 / x) for x in factors),
            f"at most {RATIO_TOLERANCE}",
            all(1 / RATIO_TOLERANCE <= x <= RATIO_TOLERANCE for x in factors),
        )


def _rank_check(rows: list[dict[str, Any]], ours: str, published: str, what: str, goal: float) -> Check:
    rank = _rank(rows, ours, published)
    return Check(f"{what}, Spearman", rank, f"at least {goal}", rank >= goal)


def _rank(rows: list[dict[str, Any]], ours: str, published: str) -> float:
    return round(float(spearmanr([r[ours] for r in rows], [r[published] for r in rows]).statistic), 6)


def _factors(rows: list[dict[str, Any]], ours: str, published: str) -> list[float]:
    """Return our ratios to MobileNetV2's latency over the published ones."""
    (reference,) = (row for row in rows if row["application"] == REFERENCE)
    return [(row[ours] / reference[ours]) / (row[published] / reference[published]) for row in rows]


def _spread_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    yield _rank_check(rows, "mean ms", "mean published", "mean latencies of the pools", SPREAD_SPEARMAN_GOAL)
    yield _rank_check(rows, "max ms", "max published", "largest latencies of the pools", SPREAD_SPEARMAN_GOAL)
    for row in rows:
        for spread, tolerance in SPREAD_TOLERANCES.items():
            published = row[f"{spread} published"] / row["min published"]
            ratio = row[f"{spread} ms"] / row["min ms"] / published
            yield Check(
                f"{spread}/min {row['application']}",
                ratio,
                f"within a factor of {tolerance:g} of the published",
                1 / tolerance <= ratio <= tolerance,
            )


def _floor_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    """A time that no design changes must lie below every published latency.

    Only where a published design is faster than the pool that can fail: the fixed time is below our own pool's least.
    """
    for row in rows:
        fixed, least = row["fixed ms"] / row["min ms"], row["least published"] / row["min published"]
        if least < 1:
            yield Check(
                f"fixed time over the pool's least {row['application']}",
                fixed,
                f"below the least published latency, {least:.3f}",
                fixed < least,
            )


def _table_14_checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    """Designs as small as the published ones must be as good; better ones than PRIME found may exist."""
    for row in rows:
        ratio = row["within Table 14's area/min"] / row["within Table 14's area/min published"]
        goal = f"at most {RATIO_TOLERANCE} of the published"
        yield Check(f"best within Table 14's area {row['application']}", ratio, goal, ratio <= RATIO_TOLERANCE)


def _sign_check(rows: list[dict[str, Any]]) -> Check:
    agree = sum(_same_sign(row) for row in rows)
    goal = f"agrees in at least {SIGN_GOAL} of {len(rows)}"
    return Check("designs of Table 12, sign of the difference", agree, goal, agree >= SIGN_GOAL)


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
            f"within {AREA_TOLERANCE:.0%} of {published}",
            abs(area / published - 1) <= AREA_TOLERANCE,
        )


def _estimated_programs(rows: list[dict[str, Any]]) -> str:
    """Say how the Edge TPU's latencies agree if the nine networks' sizes of program are estimated like any other's."""
    changed = []
    for row in rows:
        workload = replace(zoo.build(row["application"]), program_bytes=None)
        (result,) = LocalExecutor().run(KIND.spec(), [Candidate(EDGE_TPU)], workload)
        changed.append({**row, "Edge TPU ms": 1e3 * result.metrics["runtime_s"]})
    rank = _rank(changed, "Edge TPU ms", "Edge TPU published")
    factors = _factors(changed, "Edge TPU ms", "Edge TPU published")
    return f"Spearman {rank:.2f}, worst factor {max(max(x, 1 / x) for x in factors):.2f} for the Edge TPU's latencies."
