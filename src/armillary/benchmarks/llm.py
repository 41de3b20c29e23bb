"""Language models on the baselines of template `tpu_like`, in prefill and in decode, with layers fused and apart.

Every row is one inference: a prompt of 2,048 tokens, or one token behind 2,048. Layers are fused where that pays;
`apart` are the same layers one after the other. Traffic stands beside two lower bounds. `compulsory` is what layers
that run one after another must move: every operand read once, every output written once. `least` is what any schedule
must move that starts with weights and cache in DRAM: weights, the cache, what enters and what leaves. Attention whose
cache stays on the chip moves less than either. The models are read from ONNX files, whose operators beside the array
count; the block of the zoo has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from armillary.benchmarks.cost_model import fused_attention
from armillary.benchmarks.language_models import GPT2, LLAMA3_8B, LLAMA_7B_BLOCK, write
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators import for_template
from armillary.hardware.templates.tpu_like import BASELINES, design_of
from armillary.studies.running import Running
from armillary.types import Candidate, Evaluation, Evaluator, Fidelity
from armillary.workloads.layer import Layer, Workload
from armillary.workloads.phases import Phase

BLOCK = "llama3_8b_block"
MODELS = (GPT2, LLAMA3_8B, LLAMA_7B_BLOCK)
PREFILL, DECODE = Phase("prefill", 2048, 0, 1), Phase("decode", 1, 2048, 1)
BATCHED = Phase("decode", 1, 2048, 16)
WIDTHS: Mapping[str, Mapping[str, int]] = {
    "fp16": {"weights": 16, "kv": 16, "activations": 16},
    "int4, kv fp8": {"weights": 4, "kv": 8, "activations": 16},
}
_ROUNDING = 1.001  # counts of the cost model are in single precision
_MOST_SECONDS = 20.0
_SAVED = {"delay_cycles": "fused_saved_cycles", "energy_pj": "fused_saved_energy_pj"}


def run(options: BenchOptions) -> BenchResult:
    """Evaluate the models and the block of the zoo in both phases; `--quick` leaves all but the block out."""
    evaluator = for_template("tpu_like", Fidelity.ANALYTICAL, {"goal": "edp"}, seed=options.seed)
    asked = [(BLOCK, Running(phase=phase, bits=bits)) for phase in (PREFILL, DECODE) for bits in WIDTHS.values()]
    with TemporaryDirectory() as folder:
        if not options.quick:
            asked += [(BLOCK, Running(phase=BATCHED, bits=bits)) for bits in WIDTHS.values()]
            files = [write(model, Path(folder)) for model in MODELS]
            running = [Running(phase=phase, bits=WIDTHS["fp16"]) for phase in (PREFILL, DECODE)]
            asked += [(str(file), one) for file in files for one in running]
        rows = list(_rows(evaluator, asked, options))
    checks = [*_checks(rows), *([] if options.quick else _fused_checks(rows, options.seed))]
    return BenchResult(rows, checks, _NOTES)


_NOTES = (
    "Figures of our own analytical model. tokens_per_s of a block is of one of the 32 blocks alone.",
    "All operands of layers count. The zoo's block has no operators beside the arrays; the models, from ONNX, have.",
)


def _rows(evaluator: Evaluator, asked: list[tuple[str, Running]], options: BenchOptions) -> Iterator[dict[str, Any]]:
    candidates = [Candidate(design_of(chip)) for chip in BASELINES.values()]
    for number, (source, running) in enumerate(asked):
        options.on_progress("phases and widths", number, len(asked))
        begun = time.process_time()
        network = running.load(source)
        found = evaluator.evaluate(candidates, network)
        seconds = (time.process_time() - begun) / len(found)
        for chip, one in zip(BASELINES, found, strict=True):
            yield {**_row(Path(source).stem, chip, running, network, one), "processor_s": seconds}
    options.on_progress("phases and widths", len(asked), len(asked))


def _row(source: str, chip: str, running: Running, network: Workload, found: Evaluation) -> dict[str, Any]:
    assert running.phase is not None
    metrics, compulsory = found.metrics, _bytes(network)
    tokens = metrics["energy_pj"] / metrics["energy_per_token_pj"]
    apart = {name: value + metrics.get(_SAVED.get(name, f"fused_saved_{name}"), 0.0) for name, value in metrics.items()}
    return {
        "network": source,
        "chip": chip,
        "phase": running.phase.name,
        "batch": running.phase.batch,
        "bits": next(name for name, bits in WIDTHS.items() if bits == running.bits),
        "runtime_ms": metrics["runtime_s"] * 1e3,
        "apart_ms": metrics["runtime_s"] * 1e3 * apart["delay_cycles"] / metrics["delay_cycles"],
        "tokens_per_s": metrics["tokens_per_s"],
        "energy_per_token_uj": metrics["energy_per_token_pj"] * 1e-6,
        "apart_uj": apart["energy_pj"] / tokens * 1e-6,
        "utilization": network.macs / metrics["delay_cycles"] / _units(chip),
        "dram_mb": metrics["dram_bytes"] * 1e-6,
        "apart_mb": apart["dram_bytes"] * 1e-6,
        "compulsory_mb": compulsory * 1e-6,
        "least_mb": _least_bytes(network, running.phase) * 1e-6,
        "over_compulsory": apart["dram_bytes"] / compulsory,
    }


def _units(chip: str) -> int:
    one = BASELINES[chip]
    return one.arrays * one.array_rows * one.array_columns


def _widths(layer: Layer) -> tuple[int, int, int]:
    """Return the bits of an element of the second operand, of an input and of an output."""
    bits = layer.bits
    assert bits is not None
    assert bits.W is not None
    assert bits.I is not None
    assert bits.O is not None
    return bits.W, bits.I, bits.O


def _bytes(network: Workload) -> float:
    """Return what layers that run one after another must move."""
    total = 0.0
    for use in network.layers:
        weight, value, output = _widths(use.layer)
        moved = use.layer.weights * weight + use.layer.inputs * value + use.layer.outputs * output
        total += use.count * moved / 8
    return total


def _least_bytes(network: Workload, phase: Phase) -> float:
    """Return what any schedule must move: weights, the cache of decode, and what enters the network and leaves it."""
    cached = phase.past > 0
    operands = sum(
        use.count * use.layer.weights * _widths(use.layer)[0] / 8
        for use in network.layers
        if cached or not use.layer.dynamic
    )
    first, last = network.layers[0].layer, network.layers[-1].layer
    return operands + (first.inputs * _widths(first)[1] + last.outputs * _widths(last)[2]) / 8


def _checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    def those(**wanted: Any) -> list[dict[str, Any]]:
        wanted = {"network": BLOCK, **wanted}
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    prefill = [row["over_compulsory"] for row in those(phase="prefill")]
    yield Check("least traffic of prefill over compulsory, apart", min(prefill), ">= 1", min(prefill) * _ROUNDING >= 1)
    best = min(row["over_compulsory"] for row in those(phase="prefill", chip="TPUv4i-like"))
    yield Check("traffic of prefill over compulsory, apart, TPUv4i-like", best, "<= 1.5", best <= 1.5)
    decode = [row["over_compulsory"] for row in those(phase="decode")]
    yield Check("largest traffic of decode over compulsory, apart", max(decode), "<= 1.05", max(decode) <= 1.05)
    busy = max(row["utilization"] for row in those(phase="prefill", chip="TPUv4i-like"))
    yield Check("utilization in prefill, TPUv4i-like", busy, ">= 0.7", busy >= 0.7)
    wide, narrow = (those(phase="decode", batch=1, chip="TPUv4i-like", bits=bits)[0] for bits in WIDTHS)
    saved = wide["energy_per_token_uj"] / narrow["energy_per_token_uj"]
    yield Check("energy per token of decode, fp16 over int4", saved, "3 to 4", 3 <= saved <= 4)
    fused = [row["dram_mb"] / row["apart_mb"] for row in those(phase="prefill", bits="fp16")]
    yield Check("largest traffic of prefill, fused over apart, fp16", max(fused), "<= 0.9", max(fused) <= 0.9)
    if batched := those(batch=BATCHED.batch, chip="TPUv4i-like", bits="fp16"):
        shared = wide["energy_per_token_uj"] / batched[0]["energy_per_token_uj"]
        yield Check("energy per token of decode, alone over batch of 16", shared, ">= 4", shared >= 4)


def _fused_checks(rows: list[dict[str, Any]], seed: int) -> Iterator[Check]:
    """Yield what the models take, that fusion costs nothing in the goal, and how attention is beside AccelForge's."""
    seconds = sum(row["processor_s"] for row in rows if row["network"] != BLOCK)
    yield Check("processor seconds of the models", seconds, f"<= {_MOST_SECONDS:.0f}", seconds <= _MOST_SECONDS)
    worst = max(r["runtime_ms"] / r["apart_ms"] * r["energy_per_token_uj"] / r["apart_uj"] for r in rows)
    yield Check("largest EDP, fused over apart", worst, "<= 1", worst <= _ROUNDING)
    found, reference = fused_attention.ours(seed).costs, fused_attention.ACCELFORGE
    energy = found.energy_pj / reference.energy_pj
    yield Check("energy of fused attention over AccelForge's, Llama 7B at 4,096", energy, "<= 1", energy <= 1)
    cycles = found.delay_cycles / reference.delay_cycles
    yield Check("cycles of fused attention over AccelForge's", cycles, "0.98 to 1.02", 0.98 <= cycles <= 1.02)
    apart = fused_attention.ours_apart(seed).energy_pj / found.energy_pj
    yield Check("energy of that attention apart over fused", apart, ">= 1.7", apart >= 1.7)
