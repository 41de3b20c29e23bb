from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.starlight import collection
from armillary.evaluators.gemmini import build
from armillary.testing.layer_surrogates import LAYERS
from armillary.types import Fidelity
from armillary.workloads.layer import Workload


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of benches whose hardware is the analytical evaluator, and whose networks are small."""
    monkeypatch.setattr(collection, "FIDELITY", Fidelity.ANALYTICAL)
    monkeypatch.setattr(collection, "default_networks", lambda: [Workload("net", LAYERS)])
    monkeypatch.setattr(collection, "QUICK", collection.Sizes(24, 12, 1e8))
    return BenchOptions(tmp_path, True, 0, tmp_path / "out", lambda *_: None)


def test_benches_share_rows_and_measure_none_twice(options, monkeypatch):
    rows = collection.collected(options, others=True)
    assert set(rows.knobs) == {"", *collection.KNOBS}
    designs = [one.design for one in rows.data.mapped]
    for name, (parameter, value) in {
        "latency 200": ("dram_latency", 200), "burst 4": ("burst_rows", 4), "2 outstanding": ("outstanding", 2),
        "bus 4": ("bus_bytes", 4), "output stationary": ("dataflow", "output_stationary"),
    }.items():  # fmt: skip
        assert {d[parameter] for d, own in zip(designs, rows.knobs == name, strict=True) if own} == {value}
    np.testing.assert_allclose(rows.physics.metrics["delay_cycles"], rows.data.delay_cycles)
    assert (rows.roofline.metrics["delay_cycles"] < rows.data.delay_cycles).any()
    pairs = {(one.design, one.layer.name) for one, own in zip(rows.data.mapped, rows.knobs == "", strict=True) if own}
    assert len(pairs) == 24 / collection.MAPPINGS

    def none_left(_executor, _spec, wanted, _on_progress):
        assert {collection._key(one) for one in wanted} <= {collection._key(one) for one in rows.data.mapped}

    monkeypatch.setattr(collection, "collect_layers", none_left)
    fewer = collection.collected(options)
    assert len(fewer) == (rows.knobs == "").sum()
    assert set(fewer.data.mappings) < set(rows.data.mappings)


def test_other_hardware_has_another_log(options, monkeypatch):
    spec = collection.evaluators.spec_of("gemmini", Fidelity.ANALYTICAL)
    folder = collection.log_folder(options, spec)
    assert folder.parent == options.data / "starlight"
    assert collection.log_folder(options, replace(spec, version="other")) != folder
    monkeypatch.setattr(build, "harness", lambda: "another harness")
    assert collection.log_folder(options, spec) != folder
