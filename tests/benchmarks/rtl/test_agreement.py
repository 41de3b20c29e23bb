import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.rtl import agreement as rtl
from armillary.evaluators.gemmini import build
from armillary.evaluators.gemmini.sampling import random_sample
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import SPACE, Accelerator
from armillary.log.store import Log
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

LAYERS = [Layer("conv", "conv", K=16, C=8, P=8, Q=8, R=3, S=3), Layer("gemm", "gemm", K=32, C=24, P=16)]
SMALL = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4)
DESIGN = SPACE.design_from({name: getattr(SMALL, name) for name in SPACE.names}, "small")


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
def test_samples_run_and_fill_the_array(dataflow):
    accelerator = Accelerator(dim=4, scratchpad_kib=8, accumulator_kib=8, bus_bytes=4, dataflow=dataflow)
    rng = np.random.default_rng(0)
    for _ in range(5):
        found = random_sample(accelerator, LAYERS, 1e6, rng)
        assert compile_layer(found.layer, found.mapping, accelerator).tiles == found.program.tiles
        assert found.mapping.levels[1].unrolled("X") == 4
        assert found.delay_cycles <= 1e6


def test_no_sample_within_too_few_cycles_is_an_error(monkeypatch):
    monkeypatch.setattr("armillary.evaluators.gemmini.sampling._ROUNDS", 2)
    with pytest.raises(ArmillaryError, match="runs within 1 cycles"):
        random_sample(SMALL, LAYERS, 1, np.random.default_rng(0))


def test_the_bench_compares_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(rtl, "_designs", lambda n, seed: [DESIGN])
    monkeypatch.setattr(rtl, "SAMPLED", ("mobilenet_v2",))
    monkeypatch.setattr(rtl, "_MOST_CYCLES", 200_000)
    monkeypatch.setattr(rtl, "_SAMPLES", 400)
    monkeypatch.setattr(rtl, "_many_designs", lambda _: ([], []))
    monkeypatch.setattr(rtl, "NETWORKS", ("resnet50",))
    network = {"layers": 1, "search_s": 1.0, "simulation_s": 2.0, "cycles": 10, "over_model": 1.1, "utilization": 0.5}
    monkeypatch.setattr(rtl, "_network", lambda name, _: {"name": name, **network})
    monkeypatch.setattr(rtl, "_builds", lambda: ([], []))
    monkeypatch.setattr(rtl, "_speeds", lambda: ([], []))
    options = BenchOptions(None, True, 0, tmp_path / "rtl", lambda *_: None)
    first = rtl.run(options)
    names = [check.name for check in first.checks]
    assert names[1] == "rank correlation over 4 random mappings of all sizes"
    assert (tmp_path / "rtl" / "figure.html").exists()
    assert (tmp_path / "rtl" / "table.csv").read_text().count("\n") == 5
    (log,) = map(Log, (tmp_path / "rtl" / "samples").glob("*.log"))
    assert len(log.layer_runs("gemmini")) == 4
    monkeypatch.setattr(rtl, "_sampled", lambda *_: pytest.fail("ran again"))
    assert rtl.run(options).rows == first.rows


def test_the_rank_within_a_layer_stands_beside_that_over_layers_of_all_sizes():
    small, large = [(1, 4), (2, 3), (3, 2), (4, 1)], [(1001, 1001), (1002, 1002), (1003, 1003), (1004, 1004)]
    samples = [
        {"layer": layer, "macs": macs, "model_cycles": ours, "rtl_cycles": true}
        for layer, macs, pairs in (("small", 10, small), ("large", 9000, large), ("once", 500, [(500, 500)]))
        for ours, true in pairs
    ]
    found = {row["what"]: row for row in rtl._rank_rows(samples)}
    whole, sizes, inside = (found[name]["value"] for name in found)
    assert 0.7 < whole < 0.95
    assert sizes > 0.9  # multiply-accumulates know of no mapping
    assert inside == 0.0  # the median of -1 and 1
    assert found["rank correlation of the cost model within a layer"]["detail"].startswith("median of 2 layers")


def test_samples_of_other_hardware_are_other_parts(tmp_path, monkeypatch):
    options = BenchOptions(None, True, 0, tmp_path / "rtl", lambda *_: None)
    before = rtl._part(DESIGN, [0, 1], options).path
    assert rtl._part(DESIGN, [0, 1], options).path == before
    assert rtl._part(DESIGN, [0, 2], options).path != before
    plain = build.sources
    monkeypatch.setattr(build, "sources", lambda *given, **more: {**plain(*given, **more), "top.sv": "other"})
    assert rtl._part(DESIGN, [0, 1], options).path != before
