"""Language models: a block of Llama 3 8B on the baselines of template `tpu_like`, in prefill and in decode.

Every row is one inference: a prompt of 2,048 tokens, or one token behind 2,048. `dram_bytes` stands beside two lower
bounds of it. `compulsory_bytes` is what layers that run one after another must move: every operand read once, every
output written once. `fused_bytes` is what any schedule must move that starts with weights and cache in DRAM: weights,
the cache, and what enters and leaves the block. Attention whose cache stays on the chip moves less than either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators import for_template
from armillary.hardware.templates.tpu_like import BASELINES, design_of
from armillary.studies.running import Running
from armillary.types import Candidate, Evaluation, Fidelity
from armillary.workloads.layer import Layer, Workload
from armillary.workloads.phases import Phase

NETWORK = "llama3_8b_block"
PREFILL, DECODE = Phase("prefill", 2048, 0, 1), Phase("decode", 1, 2048, 1)
BATCHED = Phase("decode", 1, 2048, 16)
WIDTHS: Mapping[str, Mapping[str, int]] = {
    "fp16": {"weights": 16, "kv": 16, "activations": 16},
    "int4, kv fp8": {"weights": 4, "kv": 8, "activations": 16},
}
_ROUNDING = 1.001  # counts of the cost model are in single precision


def run(options: BenchOptions) -> BenchResult:
    """Evaluate the block on both baselines in both phases and widths, and a batch of 16; `--quick` leaves that out."""
    phases = (PREFILL, DECODE) if options.quick else (PREFILL, DECODE, BATCHED)
    asked = [Running(phase=phase, bits=bits) for phase in phases for bits in WIDTHS.values()]
    evaluator = for_template("tpu_like", Fidelity.ANALYTICAL, {"goal": "edp"}, seed=options.seed)
    candidates = [Candidate(design_of(chip)) for chip in BASELINES.values()]
    rows: list[dict[str, Any]] = []
    for number, running in enumerate(asked):
        options.on_progress("phases and widths", number, len(asked))
        network = running.load(NETWORK)
        found = evaluator.evaluate(candidates, network)
        rows += [_row(chip, running, network, one) for chip, one in zip(BASELINES, found, strict=True)]
    options.on_progress("phases and widths", len(asked), len(asked))
    return BenchResult(rows, list(_checks(rows)), _NOTES)


_NOTES = (
    "Figures of our own analytical model. tokens_per_s is of one of the 32 blocks alone.",
    "All operands of layers count; operators beside the arrays are not in the zoo's networks.",
)


def _row(chip: str, running: Running, network: Workload, found: Evaluation) -> dict[str, Any]:
    assert running.phase is not None
    metrics = found.metrics
    compulsory = _bytes(network)
    return {
        "chip": chip,
        "phase": running.phase.name,
        "batch": running.phase.batch,
        "bits": next(name for name, bits in WIDTHS.items() if bits == running.bits),
        "runtime_ms": metrics["runtime_s"] * 1e3,
        "tokens_per_s": metrics["tokens_per_s"],
        "energy_per_token_uj": metrics["energy_per_token_pj"] * 1e-6,
        "utilization": network.macs / metrics["delay_cycles"] / _units(chip),
        "dram_mb": metrics["dram_bytes"] * 1e-6,
        "compulsory_mb": compulsory * 1e-6,
        "fused_mb": _fused_bytes(network, running.phase) * 1e-6,
        "over_compulsory": metrics["dram_bytes"] / compulsory,
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


def _fused_bytes(network: Workload, phase: Phase) -> float:
    """Return what any schedule must move: weights, the cache of decode, and the residual stream in and out."""
    cached = phase.past > 0
    operands = sum(
        use.count * use.layer.weights * _widths(use.layer)[0] / 8
        for use in network.layers
        if cached or not use.layer.dynamic
    )
    first = network.layers[0].layer
    return operands + 2 * first.inputs * _widths(first)[1] / 8


def _checks(rows: list[dict[str, Any]]) -> Iterator[Check]:
    def those(**wanted: Any) -> list[dict[str, Any]]:
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    prefill = [row["over_compulsory"] for row in those(phase="prefill")]
    yield Check("least traffic of prefill over compulsory", min(prefill), ">= 1", min(prefill) * _ROUNDING >= 1)
    best = min(row["over_compulsory"] for row in those(phase="prefill", chip="TPUv4i-like"))
    yield Check("traffic of prefill over compulsory, TPUv4i-like", best, "<= 1.5", best <= 1.5)
    decode = [row["over_compulsory"] for row in those(phase="decode")]
    yield Check("largest traffic of decode over compulsory", max(decode), "<= 1.05", max(decode) <= 1.05)
    busy = max(row["utilization"] for row in those(phase="prefill", chip="TPUv4i-like"))
    yield Check("utilization in prefill, TPUv4i-like", busy, ">= 0.7", busy >= 0.7)
    wide, narrow = (those(phase="decode", batch=1, chip="TPUv4i-like", bits=bits)[0] for bits in WIDTHS)
    saved = wide["energy_per_token_uj"] / narrow["energy_per_token_uj"]
    yield Check("energy per token of decode, fp16 over int4", saved, "3 to 4", 3 <= saved <= 4)
    if batched := those(batch=BATCHED.batch, chip="TPUv4i-like", bits="fp16"):
        shared = wide["energy_per_token_uj"] / batched[0]["energy_per_token_uj"]
        yield Check("energy per token of decode, alone over batch of 16", shared, ">= 4", shared >= 4)
