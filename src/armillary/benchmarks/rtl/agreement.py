"""The RTL evaluator: how soon it is built, how fast it runs, and how the cost model agrees with it."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from armillary.benchmarks.figures import write
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, write_csv
from armillary.benchmarks.starlight.scores import within
from armillary.cost_model.cost import evaluate
from armillary.evaluators.gemmini.build import simulated_text, simulator
from armillary.evaluators.gemmini.layers import best_mapping, mapped, packed
from armillary.evaluators.gemmini.rtl import KIND, simulated
from armillary.evaluators.gemmini.sampling import random_sample
from armillary.evaluators.gemmini.simulation import Job, simulate
from armillary.execution.local import LocalExecutor
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import SPACE, Accelerator, accelerator_of
from armillary.log.store import Log
from armillary.metrics import STALLS
from armillary.reports.theme import blank
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError, Candidate, Design
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, merge

NETWORKS = ("resnet50", "mobilenet_v2", "unet", "bert")
SAMPLED = ("resnet50", "retinanet", "bert", "unet")
GEMM = Layer("gemm_1024", "gemm", K=1024, C=1024, P=1024)
GEMM_MAPPING = "L3[WIO] P16 K8 C4 - L2[WI] N1 K16X - L1[O] K8 C16 C16X - L0[W] P64"
_MEASURED = ("busy_cycles", *(f"{cause}_stall_cycles" for cause in STALLS), "dram_bytes")
_MOST_CYCLES = 10_000_000
_SAMPLES, _CONFIGURATIONS = 2_000, 100
_MAPPED = 48
_SMALLEST_GROUP = 4
"""Samples of a layer whose rank correlation counts."""


def run(options: BenchOptions) -> BenchResult:
    """Time builds and simulations at DIM 16, run four networks, and compare random mappings with the cost model.

    ResNet-50 is mapped and simulated on 48 random designs, from an empty cache; `--quick`: on 6. 2,000 random mappings
    on 100 random designs of the whole template; `--quick`: 240 on 12. They are of layers of the four networks that the
    dissertation samples.
    """
    builds, checks = _builds()
    speeds, more = _speeds()
    networks = [_network(name, options) for name in NETWORKS]
    many, enough = _many_designs(options)
    samples = _samples(options)
    write_csv(samples, options)
    _draw(samples, options)
    checks += [*more, *_network_checks(networks), *enough, *_sample_checks(samples)]
    rows = [*builds, *speeds, *map(_network_row, networks), *many, *_rank_rows(samples)]
    return BenchResult(rows=rows, checks=checks, notes=_notes(samples))


def _row(what: str, value: float, unit: str, detail: str = "") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "detail": detail}


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Build as on a machine where nothing was built before."""
    before = os.environ.get("ARMILLARY_CACHE")
    with tempfile.TemporaryDirectory(prefix="armillary-bench-") as folder:
        os.environ["ARMILLARY_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["ARMILLARY_CACHE"]
            else:
                os.environ["ARMILLARY_CACHE"] = before


def _seconds(accelerator: Accelerator, *, full: bool) -> float:
    started = time.perf_counter()
    simulator(accelerator, full=full)
    return time.perf_counter() - started


def _builds() -> tuple[list[dict[str, Any]], list[Check]]:
    with _empty_cache():
        first = _seconds(Accelerator(dim=4, bus_bytes=4), full=False)
        full, fast = (_seconds(Accelerator(), full=kind) for kind in (True, False))
        again = _seconds(Accelerator(), full=True)
    rows = [
        _row("first build, DIM 4", first, "s", "with Verilator's library, once per machine"),
        _row("build, DIM 16, full", full, "s"),
        _row("build, DIM 16, fast", fast, "s"),
        _row("second time", again, "s"),
    ]
    checks = [
        Check("build of every multiplier at DIM 16, seconds", full, "under 15", full < 15),
        Check("build with the array's model at DIM 16, seconds", fast, "under 8", fast < 8),
        Check("second time, seconds", again, "under 0.1", again < 0.1),
    ]
    return rows, checks


def _speeds() -> tuple[list[dict[str, Any]], list[Check]]:
    accelerator = Accelerator()
    mapping = LoopMapping.parse(GEMM_MAPPING)
    job = Job(accelerator, compile_layer(GEMM, mapping, accelerator))
    rows, rates = [], {}
    for kind in ("fast", "full"):
        program = simulator(accelerator, full=kind == "full")
        started = time.perf_counter()
        result = simulate(program, job)
        rates[kind] = result.cycles / (time.perf_counter() - started) / 1e6
        rows.append(
            _row(f"GEMM 1024 x 1024 x 1024, {kind}", rates[kind], "million cycles/s", f"{result.cycles:,} cycles")
        )
    analytical = float(evaluate(accelerator.hierarchy(), GEMM, mapping).delay_cycles)
    used = GEMM.macs / result.cycles / accelerator.dim**2
    above = result.cycles / analytical
    rows.append(_row("GEMM, utilization", used, "of the peak", GEMM_MAPPING))
    rows.append(_row("GEMM, RTL over the cost model", above, "x", f"{analytical:,.0f} cycles by the model"))
    return rows, [
        Check("simulated cycles per second, fast, millions", rates["fast"], "at least 4", rates["fast"] >= 4),
        Check("utilization of a large GEMM", used, "at least 0.9", used >= 0.9),
        Check("its RTL delay over the cost model's", above, "1 to 1.25", 1 <= above <= 1.25),
    ]


def _network(name: str, options: BenchOptions) -> dict[str, Any]:
    """Return cycles and seconds of a network at DIM 16, nothing kept from before but the build."""
    options.on_progress(f"{name} at DIM 16", 0, 1)
    accelerator = Accelerator()
    simulator(accelerator)
    started = time.perf_counter()
    runs = mapped(accelerator, merge(zoo.build(name).layers), seed=options.seed)
    search = time.perf_counter() - started
    started = time.perf_counter()
    layers = simulated(accelerator, runs)
    simulation = time.perf_counter() - started
    options.on_progress(f"{name} at DIM 16", 1, 1)
    hierarchy = accelerator.hierarchy()
    cycles = sum(run.count * layer.cycles for run, layer in zip(runs, layers, strict=True))
    by_model = sum(run.count * float(evaluate(hierarchy, run.layer, run.mapping).delay_cycles) for run in runs)
    work = sum(run.count * run.macs for run in runs)
    return {
        "name": name,
        "layers": len(runs),
        "search_s": search,
        "simulation_s": simulation,
        "cycles": cycles,
        "over_model": cycles / by_model,
        "utilization": work / cycles / accelerator.dim**2,
    }


def _network_row(found: Mapping[str, Any]) -> dict[str, Any]:
    detail = (
        f"{found['layers']} different layers, {found['cycles']:,} cycles, {found['over_model']:.2f}x the cost model's, "
        f"utilization {found['utilization']:.2f}, {found['search_s']:.0f} s to map"
    )
    return _row(f"{found['name']}, simulated", found["simulation_s"], "s", detail)


def _network_checks(networks: Sequence[Mapping[str, Any]]) -> list[Check]:
    whole = next(n["simulation_s"] + n["search_s"] for n in networks if n["name"] == "resnet50")
    return [Check("ResNet-50 at DIM 16, mapped and simulated, seconds", whole, "under 60", whole < 60)]


def _many_designs(options: BenchOptions) -> tuple[list[dict[str, Any]], list[Check]]:
    """Map and simulate ResNet-50 on random designs, nothing kept from before; a design that cannot run it counts."""
    designs = _designs(6 if options.quick else _MAPPED, options.seed)
    network, spec = zoo.build("resnet50"), KIND.spec(seed=options.seed)
    best_mapping.cache_clear()
    feasible, started = 0, time.perf_counter()
    with _empty_cache():
        evaluator = KIND.evaluator(spec)
        for number, design in enumerate(designs):
            options.on_progress("designs for ResNet-50", number, len(designs))
            feasible += evaluator.evaluate([Candidate(design)], network)[0].feasible
    seconds = time.perf_counter() - started
    options.on_progress("designs for ResNet-50", len(designs), len(designs))
    memory = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    limit = 180 * len(designs) / _MAPPED
    rows = [
        _row("ResNet-50 on random designs", seconds, "s", f"{len(designs)} designs, {feasible} feasible, empty cache"),
        _row("memory", memory, "MiB", "this process and the largest of its programs, at most"),
    ]
    name = f"ResNet-50 on {len(designs)} random designs from an empty cache, seconds"
    return rows, [Check(name, seconds, f"under {limit:.0f}", seconds < limit)]


def _samples(options: BenchOptions) -> list[dict[str, Any]]:
    """Return what was measured of every random mapping, design by design; each design's layer runs are in a log."""
    designs = 12 if options.quick else _CONFIGURATIONS
    rows: list[dict[str, Any]] = []
    for number, design in enumerate(_designs(designs, options.seed)):
        options.on_progress("designs", number, designs)
        seed = [options.seed, number]
        part = _part(design, seed, options)
        rows += part.measured(partial(_sampled, design, seed, Log(part.path.with_suffix(".log"))))["rows"]
    options.on_progress("designs", designs, designs)
    return rows


def _designs(n: int, seed: int) -> list[Design]:
    """Return random designs of the template that can be built."""
    found: list[Design] = []
    for design in SPACE.designs(sample(SPACE, 4 * n + 16, "sobol", seed)):
        try:
            accelerator_of(design)
        except ArmillaryError:
            continue
        found.append(design)
    return found[:n]


def _part(design: Design, seed: list[int], options: BenchOptions) -> Part:
    """Return where the samples of a design are kept; what is simulated is not Python, so that its text is an input."""
    inputs = {
        "design": design.as_dict(),
        "seed": seed,
        "samples": _SAMPLES // _CONFIGURATIONS,
        "most_cycles": _MOST_CYCLES,
        "networks": SAMPLED,
        "hardware": digest(simulated_text(accelerator_of(design))),
    }
    networks = (zoo.paths()[name] for name in SAMPLED)
    return Part(
        options.out / "samples", f"seed{seed[0]}-{seed[1]}", inputs, (__name__, *networks), KIND.spec(seed=seed[0])
    )


def _sampled(design: Design, seed: list[int], log: Log) -> dict[str, Any]:
    rng, accelerator = np.random.default_rng(seed), accelerator_of(design)
    layers = [packed(use.layer, accelerator.dim) for name in SAMPLED for use in merge(zoo.build(name).layers)]
    started = time.perf_counter()
    samples = [random_sample(accelerator, layers, _MOST_CYCLES, rng) for _ in range(_SAMPLES // _CONFIGURATIONS)]
    numbered = [replace(one.layer, name=f"{one.layer.name}#{number}") for number, one in enumerate(samples)]
    mappings = {layer.name: str(one.mapping) for layer, one in zip(numbered, samples, strict=True)}
    runs = LocalExecutor(log).run_layers(KIND.spec(seed=seed[0]), Candidate(design, mappings), numbered)
    seconds = (time.perf_counter() - started) / len(samples)
    failed = [run for run in runs if run.failure is not None]
    if failed:
        raise ArmillaryError(f"layer {failed[0].layer.name} on {design.as_dict()}: {failed[0].failure}")
    rows = [
        {
            **asdict(accelerator),
            "layer": one.layer.name,
            "macs": one.layer.macs,
            "mapping": run.mapping,
            "model_cycles": one.delay_cycles,
            "rtl_cycles": run.metrics["delay_cycles"],
            **{name: run.metrics[name] for name in _MEASURED},
            "seconds": seconds,
        }
        for one, run in zip(samples, runs, strict=True)
    ]
    return {"rows": rows}


def _draw(samples: Sequence[Mapping[str, Any]], options: BenchOptions) -> None:
    figure = blank()
    for dataflow in dict.fromkeys(row["dataflow"] for row in samples):
        own = [row for row in samples if row["dataflow"] == dataflow]
        figure.add_scatter(
            x=[row["model_cycles"] for row in own],
            y=[row["rtl_cycles"] for row in own],
            text=[f"{row['layer']}, DIM {row['dim']}<br>{row['mapping']}" for row in own],
            mode="markers",
            marker={"size": 5, "opacity": 0.6},
            name=dataflow.replace("_", " "),
        )
    least, most = min(row["model_cycles"] for row in samples), max(row["rtl_cycles"] for row in samples)
    figure.add_scatter(x=[least, most], y=[least, most], mode="lines", name="equal", line={"color": "#8a95a3"})
    title = f"{len(samples)} random mappings: the cost model and the RTL"
    write(figure, options.out / "figure.html", title=title, x="Cost model, cycles", y="RTL, cycles", logarithmic="xy")


def _rank_rows(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rank correlations with the RTL: over all samples, which differ in size, and within a layer."""
    ours, true, macs = (np.array([row[name] for row in samples]) for name in ("model_cycles", "rtl_cycles", "macs"))
    _, layers = np.unique([row["layer"] for row in samples], return_inverse=True)
    inside = within(layers, ours, true, _SMALLEST_GROUP)
    groups = int((np.bincount(layers) >= _SMALLEST_GROUP).sum())
    rows = [
        _row("rank correlation of the cost model", float(spearmanr(ours, true).statistic), "", "over all samples"),
        _row(
            "rank correlation of multiply-accumulates", float(spearmanr(macs, true).statistic), "", "over all samples"
        ),
    ]
    if inside is not None:
        detail = f"median of {groups} layers with at least {_SMALLEST_GROUP} samples"
        rows.append(_row("rank correlation of the cost model within a layer", inside, "", detail))
    return rows


def _sample_checks(samples: Sequence[Mapping[str, Any]]) -> list[Check]:
    rank = float(spearmanr([r["model_cycles"] for r in samples], [r["rtl_cycles"] for r in samples]).statistic)
    minutes = sum(row["seconds"] for row in samples) / len(samples) * _SAMPLES / 60
    return [
        Check(
            f"rank correlation over {len(samples)} random mappings of all sizes", rank, "at least 0.95", rank >= 0.95
        ),
        Check("minutes for 2,000 samples on 100 designs", minutes, "under 10", minutes < 10),
    ]


def _notes(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    ratios = [row["rtl_cycles"] / row["model_cycles"] for row in samples]
    worst = sorted(samples, key=lambda row: row["rtl_cycles"] / row["model_cycles"])[-3:][::-1]
    notes = [
        f"RTL over the cost model: geometric mean {geometric_mean(ratios):.2f}, "
        f"{np.quantile(ratios, 0.05):.2f} to {np.quantile(ratios, 0.95):.2f} for nine of ten."
    ]
    for row in worst:
        waits = {n.removesuffix("_stall_cycles"): row[n] for n in row if n.endswith("_stall_cycles")}
        cause = max(waits, key=lambda name: waits[name])
        notes.append(
            f"{row['rtl_cycles'] / row['model_cycles']:.1f}x: {row['layer']} on DIM {row['dim']} {row['dataflow']}, "
            f"{row['mapping']}; waits for {cause} in {waits[cause] / row['rtl_cycles']:.0%} of the cycles."
        )
    return notes
