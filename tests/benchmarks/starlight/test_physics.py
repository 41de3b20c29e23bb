from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight import physics
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 0, tmp_path, lambda *_: None)


@pytest.fixture
def hardware_by_formula(monkeypatch):
    """Hardware that takes a tenth longer than the timing says, and counts how often it runs."""
    ran = []

    def simulated(accelerator, runs):
        ran.extend(runs)
        cycles = physics_cycles(accelerator, [run.layer for run in runs], [run.mapping for run in runs])
        return [SimpleNamespace(cycles=int(1.1 * found)) for found in cycles]

    monkeypatch.setattr(physics, "simulated", simulated)
    monkeypatch.setattr(physics, "_DIMS", (8,))
    monkeypatch.setattr(physics, "_QUICK_DESIGNS", 1)
    monkeypatch.setattr(physics, "_CUT_CYCLES", 2_000)
    monkeypatch.setattr(physics, "_MOST_CYCLES", 400_000)
    monkeypatch.setattr(physics, "SAMPLED", ("unet", "resnet50"))
    return ran


def test_the_bench_compares_both_delays_and_keeps_what_was_simulated(hardware_by_formula, options):
    result = physics.run(options)
    n = len(hardware_by_formula)  # five mappings of two layers on two designs, of fewer where a design has too little
    assert n in (10, 15, 20)
    rows = {(row["group"], row["model"]): row for row in result.rows}
    assert rows["all", "physics"]["samples"] == n
    assert rows["all", "physics"]["mean_error"] == pytest.approx(0.1 / 1.1, abs=0.01)
    assert rows["all", "physics"]["rmsle"] == pytest.approx(np.log(1.1), abs=0.01)
    assert rows["all", "physics"]["spearman"] == pytest.approx(1.0)
    assert rows["all", "physics"]["within_layer_and_hardware"] == pytest.approx(1.0)
    assert rows["all", "roofline"]["mean_error"] > 0.1
    assert {row["group"] for row in result.rows} == {
        "all", "dataflow weight stationary", "dataflow output stationary", "dim 8"
    }  # fmt: skip
    assert result.ok
    assert (options.out / "table.csv").read_text().count("\n") == n + 1
    assert physics.run(options).rows == result.rows
    assert len(hardware_by_formula) == n


def test_ranks_are_within_what_is_the_same():
    def row(layer, dim, model, rtl):
        return {**dict.fromkeys(physics.SPACE.names, 1), "dim": dim, "layer": layer, "physics": model, "rtl": rtl}

    rising = [row("a", 4, n, n) for n in range(1, 7)]
    falling = [row("a", 8, 100 + n, 100 - n) for n in range(1, 7)]
    few = [row("b", 8, n, 7 - n) for n in range(1, 5)]
    assert physics.agreement("all", "physics", rising)["within_layer"] == pytest.approx(1.0)
    assert physics.agreement("all", "physics", falling)["within_layer"] == pytest.approx(-1.0)
    both = physics.agreement("all", "physics", [*rising, *falling, *few])
    assert both["within_layer"] == both["within_layer_and_hardware"] == pytest.approx(0.0)
    assert both["spearman"] > 0.5
    assert physics.agreement("all", "physics", few)["within_layer"] == ""


def test_bad_agreement_fails():
    found = {"spearman": 0.96, "mean_error": 0.18, "within_layer": 0.84}
    assert [check.ok for check in physics._checks(found)] == [False] * 3
    assert [check.ok for check in physics._checks({"spearman": 0.97, "mean_error": 0.17, "within_layer": 0.85})] == [
        True
    ] * 3


def test_layers_are_cut_along_what_is_longest():
    layer = Layer("conv", "conv", K=64, C=32, P=15, Q=14, R=3, S=3, groups=4)
    assert physics.cut(layer, layer.macs) == layer
    assert physics.cut(layer, layer.macs - 1) == replace(layer, K=32)  # 16 per group, more than 15 rows
    assert physics.cut(layer, layer.macs // 3) == replace(layer, K=32, P=8)
    for dim in (4, 32):
        layers = physics.layers_of(dim, 0)
        assert len(layers) == len({one.name for one in layers}) == 12
        assert max(one.macs for one in layers) <= 50_000 * dim**2


def test_designs_differ_and_can_be_built():
    drawn = [physics.drawn(4, "output_stationary", np.random.default_rng(n)) for n in range(60)]
    assert {(one.dim, one.dataflow, one.bus_bytes) for one in drawn} == {(4, "output_stationary", 4)}
    assert len({one.dram_latency for one in drawn}) == 4


def test_a_layer_that_does_not_run_is_left_for_others(hardware_by_formula, options, monkeypatch):
    sample, refused = physics.random_sample, []

    def first_refused(accelerator, layers, most_cycles, rng):
        if not refused or refused == layers:
            refused[:] = layers
            raise ArmillaryError("none")
        return sample(accelerator, layers, most_cycles, rng)

    monkeypatch.setattr(physics, "random_sample", first_refused)
    assert len(physics._design_samples(8, "weight_stationary", 0, options)) == 10
