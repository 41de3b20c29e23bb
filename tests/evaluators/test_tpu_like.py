"""The evaluator of `tpu_like`: traffic by widths, caches that stay on the chip, batches that share weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.tpu_like import Placing
from armillary.hardware.templates.tpu_like import TPUV3_LIKE, TPUV4I_LIKE, Chip, design_of
from armillary.studies.running import Running
from armillary.types import ArmillaryError, Candidate, Evaluation, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload
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
