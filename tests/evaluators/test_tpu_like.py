"""The evaluator of `tpu_like`: traffic by widths, caches that stay on the chip, batches that share weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.tpu_like import Placing
from armillary.hardware.bits import Bits
from armillary.hardware.templates.tpu_like import TPUV3_LIKE, TPUV4I_LIKE, Chip, design_of
from armillary.studies.running import Running
from armillary.types import ArmillaryError, Candidate, Evaluation, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.pairs import LayerPair
from armillary.workloads.phases import Phase
from armillary.workloads.vector_work import VectorUse, VectorWork

SMALL = replace(TPUV3_LIKE, arrays=2, array_rows=32, array_columns=32, weights_kib=256, activations_kib=512)


def block(batch: int = 1, past: int = 64) -> Workload:
    """A small decode step: two query heads for one head of keys and values, of 32, in each of 2 groups."""
    length = past + 1
    layers = (
        LayerUse(Layer("in", "gemm", P=batch, K=128, C=256)),
        LayerUse(Layer("scores", "gemm", P=2, K=2 * batch * length, C=2 * batch * 32, groups=2 * batch, dynamic=True)),
        LayerUse(Layer("values", "gemm", P=2, K=2 * batch * 32, C=2 * batch * length, groups=2 * batch, dynamic=True)),
    )
    return Workload("block", layers, phase=Phase("decode", 1, past, batch))


def evaluated(chip: Chip, workload: Workload) -> Evaluation:
    evaluator = evaluators.for_template("tpu_like", Fidelity.ANALYTICAL, {"budget": 1000, "goal": "energy"})
    (found,) = evaluator.evaluate([Candidate(design_of(chip))], workload)
    assert found.feasible, found.failure
    return found


def with_bits(workload: Workload, **bits: int) -> Workload:
    return Running(bits=bits).applied(workload)


def test_the_cache_stays_on_the_chip_where_it_takes_at_most_half_of_the_memory() -> None:
    cache = 2 * 65 * 32 * 2 * 2  # keys and values of 65 tokens, 32 channels, 2 groups, 2 bytes
    small = evaluated(SMALL, block())
    assert Placing.of(SMALL, block().layers).held_bytes == cache
    assert [run.metrics["dram_bytes"] > 0 for run in small.layers] == [True, False, False]
    longest = SMALL.activations_kib * 1024 // 2 // (2 * 32 * 2 * 2) - 1
    assert Placing.of(SMALL, block(past=longest).layers).held_bytes == SMALL.activations_kib * 512
    assert Placing.of(SMALL, block(past=longest + 1).layers).held_bytes == 0
    large = evaluated(SMALL, block(past=longest + 1))
    assert all(run.metrics["dram_bytes"] > 0 for run in large.layers)


def test_half_as_wide_keys_and_values_let_twice_as_many_stay() -> None:
    past = SMALL.activations_kib * 1024 // (2 * 32 * 2 * 2) - 2
    assert Placing.of(SMALL, block(past=past).layers).held_bytes == 0
    assert Placing.of(SMALL, with_bits(block(past=past), kv=8).layers).held_bytes > 0


def test_traffic_follows_the_width_of_each_tensor() -> None:
    workload = Workload("one", (LayerUse(Layer("l", "gemm", P=4, K=256, C=512)),))
    for bits in ({}, {"weights": 4}, {"weights": 8, "activations": 8}):
        found = evaluated(SMALL, with_bits(workload, **bits))
        weights, others = bits.get("weights", 16), bits.get("activations", 16)
        least = (256 * 512 * weights + (4 * 512 + 4 * 256) * others) / 8
        assert found.metrics["dram_bytes"] == pytest.approx(least, rel=0.02)


def test_tokens_of_a_batch_share_weights() -> None:
    one, many = evaluated(SMALL, block()), evaluated(SMALL, block(batch=8))
    weights = 128 * 256 * 2
    assert one.layers[0].metrics["dram_bytes"] > weights
    assert many.layers[0].metrics["dram_bytes"] < 1.2 * weights
    assert many.metrics["energy_per_token_pj"] < 0.5 * one.metrics["energy_per_token_pj"]
    assert many.metrics["tokens_per_s"] == pytest.approx(8 / many.metrics["runtime_s"])


def test_operators_beside_the_arrays_take_time_and_energy() -> None:
    work = VectorWork("norm", "normalization", adds=1000, multiplies=1000, reads=500, writes=500)
    without, with_ = evaluated(SMALL, block()), evaluated(SMALL, replace(block(), beside=(VectorUse(work, 3),)))
    assert with_.metrics["beside_cycles"] > 0
    for name, share in (("delay_cycles", "beside_cycles"), ("energy_pj", "beside_energy_pj")):
        assert with_.metrics[name] == pytest.approx(without.metrics[name] + with_.metrics[share])


def test_an_explanation_adds_up() -> None:
    work = VectorWork("sum", "sum", adds=10_000, reads=20_000, writes=10_000)
    workload = replace(block(), beside=(VectorUse(work),))
    evaluator = evaluators.for_template("tpu_like", Fidelity.ANALYTICAL, {"budget": 500})
    (found,) = evaluator.evaluate([Candidate(design_of(SMALL))], workload)
    told = evaluator.explain(found, workload)  # type: ignore[attr-defined]
    assert sum(told.energy_parts_pj.values()) == pytest.approx(found.metrics["energy_pj"], rel=1e-5)
    assert sum(told.area_parts_mm2.values()) == pytest.approx(found.metrics["area_mm2"])


@pytest.mark.parametrize("goal", ["delay", "energy"])
def test_no_search_beats_the_bounds_and_each_comes_near(goal: str) -> None:
    """A GEMM of whole tiles: no fewer cycles than its MACs over all units, no less traffic than its operands."""
    layer = Layer("l", "gemm", P=1024, K=1024, C=1024)
    for seed in range(3):
        evaluator = evaluators.for_template("tpu_like", Fidelity.ANALYTICAL, {"goal": goal}, seed=seed)
        (run,) = evaluator.run_layers([Candidate(design_of(TPUV4I_LIKE))], [layer])  # type: ignore[attr-defined]
        cycles, traffic = layer.macs / (4 * 128 * 128), 3 * 1024 * 1024 * 2
        assert run.metrics["delay_cycles"] >= cycles * (1 - 1e-6)
        assert run.metrics["dram_bytes"] >= traffic * (1 - 1e-6)
        near = {"delay": run.metrics["delay_cycles"] / cycles, "energy": run.metrics["dram_bytes"] / traffic}
        assert near[goal] < 1.3


def test_layers_too_large_for_any_tile_do_not_fail() -> None:
    tiny = Chip(1, 16, 16, 64, 256, 256, 32, 1)
    found = evaluated(tiny, Workload("w", (LayerUse(Layer("l", "gemm", P=300, K=5000, C=7000)),)))
    assert np.isfinite(found.metrics["runtime_s"])


def test_mappings_of_others_are_refused() -> None:
    evaluator = evaluators.for_template("tpu_like", Fidelity.ANALYTICAL)
    with pytest.raises(ArmillaryError, match="takes no mappings"):
        evaluator.evaluate([Candidate(design_of(SMALL), mappings={"in": "L0[W] N1"})], block())


def attention(queries: int = 64, length: int = 256) -> Workload:
    """A prefill of two heads of 16 with more scores than other values, and the softmax between its two products."""
    scores = Layer("scores", "gemm", P=queries, K=2 * length, C=2 * 16, groups=2, dynamic=True)
    values = Layer("values", "gemm", P=queries, K=2 * 16, C=2 * length, groups=2, dynamic=True)
    count = scores.outputs
    softmax = VectorUse(VectorWork("softmax", "softmax", adds=2 * count, functions=count, reads=count, writes=count))
    pair = LayerPair(0, 1, 1, (softmax,))
    return Workload("attention", (LayerUse(scores), LayerUse(values)), beside=(softmax,), pairs=(pair,))


TINY = replace(SMALL, weights_kib=256, activations_kib=256)


def both(chip: Chip, workload: Workload, **options: object) -> tuple[Evaluation, Evaluation]:
    """Return an evaluation without and with fusion."""
    found = []
    for fuse in (False, True):
        given = {"budget": 1000, "goal": "energy", "fuse": fuse, **options}
        evaluator = evaluators.for_template("tpu_like", Fidelity.ANALYTICAL, given)
        found += evaluator.evaluate([Candidate(design_of(chip))], workload)
    return found[0], found[1]


def test_fused_attention_leaves_its_scores_on_the_chip() -> None:
    workload = attention(queries=4096, length=4096)
    apart, fused = both(TINY, workload)
    scores = 2 * 4096 * 4096 * 2
    assert apart.metrics["dram_bytes"] - fused.metrics["dram_bytes"] > 3.5 * scores  # the softmax's, too
    assert fused.metrics["dram_bytes"] < 0.1 * apart.metrics["dram_bytes"]
    for name, saved in (
        ("dram_bytes", "fused_saved_dram_bytes"),
        ("energy_pj", "fused_saved_energy_pj"),
        ("delay_cycles", "fused_saved_cycles"),
    ):
        assert fused.metrics[name] + fused.metrics[saved] == pytest.approx(apart.metrics[name], rel=1e-9)
    assert [run.mapping.split(" ")[0] for run in fused.layers] == ["L4[WI]", "L4[WO]"]
    assert not any(name.startswith("fused") for name in apart.metrics)


def test_a_softmax_whose_rows_are_cut_scales_the_outputs_anew() -> None:
    workload = attention(queries=4096, length=4096)
    _, fused = both(TINY, workload)
    evaluator = evaluators.for_template(
        "tpu_like", Fidelity.ANALYTICAL, {"budget": 1000, "goal": "energy", "fuse": True}
    )
    (pair,) = evaluator.explain(fused, workload).fused  # type: ignore[attr-defined]
    unit = TINY.vector_unit()
    softmax = workload.pairs[0].between[0].work
    blocks = next((int(part[1:]) for part in pair.tiling.split() if part.startswith("K")), 1)
    computed = sum(unit.operations(softmax)) / unit.lanes
    scaled = workload.layers[1].layer.outputs * (blocks - 1)
    expected = max(computed, 3 * 2 * softmax.reads / unit.buffer_values) + max(
        scaled / unit.lanes, 2 * scaled / unit.buffer_values
    )
    assert fused.metrics["beside_cycles"] == pytest.approx(expected)
    assert fused.metrics["beside_dram_bytes"] == 0


def test_the_parts_of_a_fused_evaluation_add_up() -> None:
    workload = attention(queries=1024, length=1024)
    _, fused = both(TINY, workload)
    evaluator = evaluators.for_template(
        "tpu_like", Fidelity.ANALYTICAL, {"budget": 1000, "goal": "energy", "fuse": True}
    )
    explained = evaluator.explain(fused, workload)  # type: ignore[attr-defined]
    assert sum(explained.energy_parts_pj.values()) == pytest.approx(fused.metrics["energy_pj"], rel=1e-6)
    time = sum(layer.delay_cycles for layer in explained.layers) / explained.rates.clock_hz
    assert time + sum(explained.overhead_s.values()) == pytest.approx(fused.metrics["runtime_s"], rel=1e-6)
    (pair,) = explained.fused
    assert (pair.producer, pair.consumer, pair.count) == ("scores", "values", 1)
    assert pair.saved_dram_bytes == fused.metrics["fused_saved_dram_bytes"]


def test_layers_of_different_width_stay_apart() -> None:
    workload = attention(queries=1024, length=1024)
    narrow = replace(workload.layers[1], layer=replace(workload.layers[1].layer, bits=Bits(W=8)))
    apart, fused = both(TINY, replace(workload, layers=(workload.layers[0], narrow)))
    assert fused.metrics == apart.metrics


def test_a_layer_is_fused_as_often_as_it_has_runs() -> None:
    up = Layer("up", "gemm", P=2048, K=1024, C=64)
    down = Layer("down", "gemm", P=2048, K=64, C=1024)
    uses = (LayerUse(up, count=3, weight_sets=3), LayerUse(down, count=2, weight_sets=2))
    workload = Workload("mlp", uses, pairs=(LayerPair(0, 1, 2),))
    apart, fused = both(TINY, workload)
    assert [(run.layer.name, run.runs) for run in fused.layers] == [("up", 1), ("up (2)", 2), ("down", 2)]
    assert fused.layers[0].metrics == apart.layers[0].metrics
    assert fused.metrics["energy_pj"] < apart.metrics["energy_pj"]
