"""A made-up but physically plausible study: a toy roofline model stands in for the evaluator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.explanation import ChipRates, Explanation, LayerCost
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.studies.results import Candidates, Contender, Importances, Proof, Selection, StudyResults, Trial
from armillary.types import Design, Evaluations, Failure, Fidelity
from armillary.workloads.layer import NotMapped

CLOCK_HZ = 800e6
EDGE_TPU_VALUES = (4, 4, 64, 4, 2**21, 2**15, 1024, 16384, 16384, 25)


@dataclass(frozen=True)
class ToyLayer:
    name: str
    kind: str
    count: int
    macs: float  # of one run
    weights: float
    activations: float


def toy_layers(blocks: int) -> list[ToyLayer]:
    """A stem, then inverted bottlenecks (expand, depthwise, project) that shrink and widen, then a classifier."""
    layers = [ToyLayer("stem/conv", "conv", 1, 10.8e6, 864, 550e3)]
    for block in range(blocks):
        pixels, channels = 112**2 / 4 ** (1 + block / 4), 16 * 2 ** (block / 4)
        wide = 6 * channels
        for name, kind, weights in (
            ("expand", "conv", channels * wide),
            ("depthwise", "depthwise", 9 * wide),
            ("project", "conv", wide * channels),
        ):
            title = f"features.{block}/inverted_bottleneck/{name}"
            layers.append(ToyLayer(title, kind, 1 + block % 3, pixels * weights, weights, pixels * (channels + wide)))
    layers.append(ToyLayer("classifier/gemm", "gemm", 1, 1.28e6, 1.28e6, 2280))
    return layers


def columns_of(codes: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    return SPACE.columns(codes)


def toy_timing(design: dict[str, float], layer: ToyLayer) -> tuple[float, float, float, float]:
    """Compute cycles, DRAM cycles, DRAM bytes and utilisation of all runs of a layer."""
    peak = 4.0 * design["pes_x"] * design["pes_y"] * design["lanes"] * design["cores"]
    fit = min(1.0, layer.weights / (16 * design["lanes"] * design["cores"]))
    utilization = (0.12 if layer.kind == "depthwise" else 0.75) * max(0.05, fit) * (64 / (64 + peak / 512))
    on_chip = design["pes_x"] * design["pes_y"] * design["pe_memory_bytes"]
    moved = layer.weights + layer.activations * max(0.0, min(1.0, 1.5 - on_chip / 30e6)) + 64
    compute = layer.count * layer.macs / (peak * utilization)
    dram = layer.count * moved / (design["dram_bandwidth_gbps"] * 1e9 / 8 / CLOCK_HZ)
    return compute, dram, layer.count * moved, utilization


def toy_area(design: dict[str, float]) -> dict[str, float]:
    pes = design["pes_x"] * design["pes_y"]
    return {
        "mac_lanes": 0.0011 * pes * design["lanes"] * design["cores"],
        "pe_memory_bytes": 0.35e-6 * pes * design["pe_memory_bytes"],
        "core_memory_bytes": 0.42e-6 * pes * design["cores"] * design["core_memory_bytes"],
        "activation_memory": 4e-5 * design["activation_memory_entries"],
        "instruction_memory": 2e-5 * design["instruction_memory_entries"],
        "parameter_memory": 5e-5 * design["parameter_memory_entries"],
        "controller_and_io": 1.2 + 0.04 * design["dram_bandwidth_gbps"],
    }


def toy_layer_results(design: dict[str, float], layers: list[ToyLayer]) -> tuple[LayerCost, ...]:
    results = []
    for layer in layers:
        compute, dram, moved, utilization = toy_timing(design, layer)
        overhead = 1500.0 * layer.count
        limits = {"compute": compute, "dram": dram, "overhead": overhead}
        bound = max(limits, key=lambda name: limits[name])
        results.append(
            LayerCost(
                layer.name, layer.kind, layer.count, layer.count * layer.macs, max(compute, dram) + overhead,
                compute, dram, 0.45 * layer.count * layer.macs + 120 * moved, moved, utilization, bound,  # type: ignore[arg-type]
                "X:P Y:Q cores:K",
            )
        )  # fmt: skip
    return tuple(results)


def toy_metrics(design: dict[str, float], layers: list[ToyLayer]) -> dict[str, float]:
    results = toy_layer_results(design, layers)
    cycles = sum(r.delay_cycles for r in results)
    energy = sum(r.energy_pj for r in results)
    return {
        "delay_cycles": cycles,
        "runtime_s": cycles / CLOCK_HZ,
        "energy_pj": energy,
        "area_mm2": sum(toy_area(design).values()),
        "utilization": sum(r.macs for r in results)
        / (cycles * 4 * design["pes_x"] * design["pes_y"] * design["lanes"] * design["cores"]),
        "dram_bytes": sum(r.dram_bytes for r in results),
    }


def toy_failure(design: dict[str, float], area: float) -> Failure | None:
    checks = [
        ("area_mm2", "", area, 180.0),
        ("core_memory_bytes", "classifier/gemm", 100e3 / design["cores"], design["core_memory_bytes"]),
        ("activation_memory_entries", "stem/conv", 700.0, design["activation_memory_entries"]),
        ("instruction_memory_entries", "", 6000.0 + 40 * design["lanes"], design["instruction_memory_entries"]),
        ("parameter_memory_entries", "classifier/gemm", 2500.0, design["parameter_memory_entries"]),
    ]
    for resource, layer, needed, available in checks:
        if needed > available:
            return Failure("infeasible", resource, layer, float(needed), float(available))
    return None


def evaluations_of(codes: NDArray[np.int64], workload: str, layers: list[ToyLayer]) -> Evaluations:
    """The toy evaluator on coded designs."""
    designs = [design.as_dict() for design in SPACE.designs(codes)]
    metrics = [toy_metrics(d, layers) for d in designs]  # type: ignore[arg-type]
    failures = [toy_failure(d, m["area_mm2"]) for d, m in zip(designs, metrics, strict=True)]  # type: ignore[arg-type]
    rows = len(codes)
    feasible = np.array([f is None for f in failures], dtype=bool)
    known = [f or Failure("") for f in failures]

    def text(values: list[str]) -> NDArray[np.object_]:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column

    return Evaluations(
        space=SPACE.name,
        design=SPACE.columns(codes),
        workload=text([workload] * rows),
        context={},
        evaluator=text(["toy_roofline"] * rows),
        version=text(["1.0"] * rows),
        fidelity=text([str(Fidelity.ANALYTICAL)] * rows),
        metrics={
            name: np.where(feasible | (name == "area_mm2"), [m[name] for m in metrics], np.nan).astype(float)
            for name in ("delay_cycles", "runtime_s", "energy_pj", "area_mm2", "utilization", "dram_bytes")
        },
        feasible=feasible,
        failure_kind=text([f.kind for f in known]),
        failure_resource=text([f.resource for f in known]),
        failure_layer=text([f.layer for f in known]),
        failure_needed=np.array([f.needed for f in known]),
        failure_available=np.array([f.available for f in known]),
        failure_detail=text([f.detail for f in known]),
        seconds=np.full(rows, 2e-4),
        seed=np.full(rows, 7, dtype=np.int64),
        time=np.full(rows, np.datetime64("2030-01-02T03:04:05", "us")),
        options=text([""] * rows),
    )


def contender_of(name: str, design: Design, layers: list[ToyLayer], note: str = "") -> Contender:
    values: dict[str, float] = design.as_dict()  # type: ignore[assignment]
    metrics, area = toy_metrics(values, layers), toy_area(values)
    failure = toy_failure(values, metrics["area_mm2"])
    results = toy_layer_results(values, layers)
    traffic, macs = sum(r.dram_bytes for r in results), sum(r.macs for r in results)
    if failure is not None:
        return Contender(name, design, {"area_mm2": metrics["area_mm2"]}, failure=failure, note=note)
    peak = 4.0 * values["pes_x"] * values["pes_y"] * values["lanes"] * values["cores"]
    explanation = Explanation(
        results,
        ChipRates(CLOCK_HZ, peak * CLOCK_HZ, values["dram_bandwidth_gbps"] * 1e9 / 8),
        area_parts_mm2=area,
        energy_parts_pj={"mac_lanes": 0.2 * macs, "pe_memory_bytes": 0.15 * macs, "core_memory_bytes": 0.1 * macs,
                         "dram": 120 * traffic},
        overhead_s={"invocation": 2e-5},
        fixed=("invocation",),
        remarks={"dram_bytes": "weights stay on chip"},
    )  # fmt: skip
    return Contender(name, design, metrics, explanation, note=note)


def explained(contender: Contender, **changes: object) -> Contender:
    """Return a contender with changes to its explanation."""
    assert contender.explanation is not None
    return replace(contender, explanation=replace(contender.explanation, **changes))  # type: ignore[arg-type]


def with_proof(results: StudyResults, ratios: Sequence[float]) -> StudyResults:
    """Return a search whose best designs were measured again by `toy/rtl`, so many times slower; the second won."""
    legal = np.where(results.legal(results.log), results.measured(results.log), np.inf)
    rows = results.log.select(np.argsort(legal)[: len(ratios)])

    def text(value: str) -> NDArray[np.object_]:
        return np.full(len(ratios), value, dtype=object)

    cheaper = rows.metrics["runtime_s"].copy()
    again = replace(rows, evaluator=text("toy/rtl"), version=text("2"), fidelity=text("rtl"))
    proof = Proof(again.with_metrics({"runtime_s": cheaper * np.array(ratios)}), cheaper)
    winner = replace(results.winner, design=rows.row(1).design)
    return replace(results, candidates=None, winner=winner, proof=proof)


def edge_tpu() -> Design:
    return Design(SPACE.name, tuple(zip(SPACE.names, EDGE_TPU_VALUES, strict=True)))


def plausible_results(
    *,
    title: str = "MobileNetV2 at 29 mm²",
    workload: str = "mobilenet_v2",
    rows: int = 1200,
    candidates: int = 256,
    blocks: int = 14,
    layers: list[ToyLayer] | None = None,
    seed: int = 7,
) -> StudyResults:
    """Build a whole study: a random log, candidates proposed by a noisy predictor, the contenders and the rest."""
    rng = np.random.default_rng(seed)
    layers = toy_layers(blocks) if layers is None else layers
    log = evaluations_of(_random_codes(rng, rows), workload, layers)
    pool = evaluations_of(_random_codes(rng, 4 * candidates), workload, layers)
    truth = np.where(np.isfinite(pool.metrics["runtime_s"]), pool.metrics["runtime_s"], 4e-2)
    promise = truth * (1 + 3 * (pool.metrics["area_mm2"] > 29)) * np.exp(rng.normal(0, 0.6, len(pool)))
    top = np.argsort(promise)[:candidates]
    chosen, predicted = pool.select(top), promise[top]
    logged = SPACE.design(SPACE.encode_columns(log.design)[_best(log)])
    winner = SPACE.design(SPACE.encode_columns(chosen.design)[_best(chosen)])
    trials = tuple(
        Trial(alpha, beta, step, 0.55 - 0.2 * abs(math.log10(alpha + 0.02) + 1) - 0.05 * beta + 0.04 * rng.normal())
        for alpha in (0.0, 0.01, 0.1, 0.5, 1.0, 5.0)
        for beta in (0.0, 0.01, 0.1, 1.0, 5.0)
        for step in (5000, 10000, 20000)
    )
    shares = dict(zip(SPACE.names, rng.dirichlet(np.linspace(0.3, 3, len(SPACE.names))).tolist(), strict=True))
    return StudyResults(
        title=title,
        workload=workload,
        problem=TEMPLATE.problem("runtime_s", {"area_mm2": 29.0}),
        command="armillary design mobilenet_v2.onnx --template edge_tpu --area 29 --seed 7 --study studies/v2",
        versions={"armillary": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
        created=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        seed=seed,
        stage_seconds={"import": 0.8, "collect": 21.4, "fit": 212.0, "propose": 31.5, "verify": 3.1},
        log=log,
        winner=contender_of("Winner", winner, layers, "proposed by the surrogate"),
        best_of_log=contender_of("Best of log", logged, layers),
        baseline=contender_of("Edge TPU", edge_tpu(), layers, "published design, nearest in the space"),
        candidates=Candidates(chosen, predicted),
        importances=Importances(shares, "Permutation importance: how much shuffling one parameter hurts."),
        selection=Selection(trials, int(np.argmax([t.kendall for t in trials]))),
        not_mapped=(
            NotMapped("Add", 10, 2_900_000),
            NotMapped("Clip", 35, 13_400_000),
            NotMapped("GlobalAveragePool", 1, 62_720),
            NotMapped("NonMaxSuppression", 1, 4_000, unsized=1),
        ),
        report_command="armillary report studies/v2",
    )


def _random_codes(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Random designs, half of them drawn from the smaller values so that some respect the area bound."""
    high = np.array(SPACE.cardinalities)
    small = rng.integers(0, 2, size=(rows, 1))
    return (rng.random((rows, len(high))) ** (1 + small) * high).astype(np.int64)


def _best(evaluations: Evaluations) -> int:
    area, runtime = evaluations.metrics["area_mm2"], evaluations.metrics["runtime_s"]
    return int(np.nanargmin(np.where(evaluations.feasible & (area <= 29.0), runtime, np.inf)))
