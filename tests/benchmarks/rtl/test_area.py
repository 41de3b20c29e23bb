import json
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.benchmarks.result import BenchOptions
from armillary.benchmarks.rtl import area, area_sweep
from armillary.evaluators.gemmini.synthesis import Block, Memory, Synthesized
from armillary.hardware.templates import gemmini_area
from armillary.hardware.templates.gemmini import DATAFLOWS
from armillary.hardware.templates.gemmini_area import memories_mm2


def silent(_what, _done, _total):
    pass


def synthesized(design, wrong=1.0):
    """A synthesis whose blocks have areas by known laws, and memories by their own."""
    deep = {"weight_stationary": 700.0, "output_stationary": 1100.0, "both": 1400.0}[design.dataflow]
    blocks = (
        Block("execute/systolic_array", "array", 1, wrong * deep * design.dim**2, 0.0),
        Block("hazards", "control", 1, wrong * (300.0 + 40.0 * design.queue_depth**2), 0.0),
        Block("load", "control", 1, wrong * (20.0 * design.bus_bytes + 50.0 * design.outstanding), 0.0),
    )
    main = memories_mm2(area_sweep.columns_of([design]))
    memories = [Memory(name.removesuffix(" memory"), 1, 1, 1, 1, 1e6 * float(um2[0])) for name, um2 in main.items()]
    return Synthesized(blocks, (*memories, Memory("fetch", 32, 64, 2, 1, 5000.0)), (), 1.0, 0)


@pytest.fixture
def fitted(monkeypatch, tmp_path):
    monkeypatch.setattr(area_sweep, "synthesized", synthesized)
    monkeypatch.setattr(area_sweep, "slowest_paths", lambda design: {"store": 1.0 + design.dim / 100, "load": 0.5})
    result = area_sweep.run(BenchOptions(None, False, 0, tmp_path, silent))
    laws = json.loads((tmp_path / gemmini_area.LAWS.name).read_text())
    monkeypatch.setattr(gemmini_area, "_laws", lambda: laws)
    return SimpleNamespace(result=result, laws=laws)


def test_the_fit_finds_the_laws_that_areas_follow(fitted):
    assert fitted.result.ok
    blocks = fitted.laws["blocks"]
    assert blocks["execute/systolic_array"]["weight_stationary"]["dim^2"] == pytest.approx(700, rel=0.02)
    assert blocks["execute/systolic_array"]["output_stationary"]["dim^2"] == pytest.approx(1100, rel=0.02)
    assert blocks["execute/systolic_array"]["both"]["dim^2"] == pytest.approx(1400, rel=0.02)
    assert blocks["hazards"]["any"]["queue_depth^2"] == pytest.approx(40, rel=0.02)
    assert blocks["load"]["any"]["bus_bytes"] == pytest.approx(20, rel=0.02)
    assert blocks["fetch memory"]["any"]["1"] == pytest.approx(5000, rel=0.02)
    assert "scratchpad memory" not in blocks
    assert fitted.laws["period_ns"]["output_stationary"] == {"4": 1.04, "8": 1.08, "16": 1.16}
    assert len(fitted.laws["sweep"]) >= 60


def test_the_bench_holds_where_areas_follow_the_laws_and_fails_where_not(fitted, monkeypatch, tmp_path):
    options = BenchOptions(None, False, 0, tmp_path, silent)
    monkeypatch.setattr(area, "synthesized", synthesized)
    checks = {check.name: check for check in area.run(options).checks}
    assert checks["largest error of area_mm2"].ok
    assert checks["largest error of area_mm2"].value < 0.01
    monkeypatch.setattr(area, "synthesized", lambda design: synthesized(design, wrong=1.2))
    result = area.run(options)
    assert len(result.rows) == 12
    assert [row["dim"] for row in result.rows] == [4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32]
    assert {row["dataflow"] for row in result.rows} == set(DATAFLOWS)
    assert not {check.name: check for check in result.checks}["without scratchpad's and accumulator's memories"].ok


def test_what_is_compared_is_not_what_was_fitted():
    swept = area_sweep.swept(0)
    assert not set(swept) & set(area.drawn((4, 8, 16, 32), 0))
    assert len(swept) >= 60
    assert np.unique([design.dim for design in swept]).tolist() == [4, 8, 16, 32]
    for seed in range(3):
        for name in ("queue_depth", "outstanding", "bus_bytes", "scratchpad_banks", "accumulator_banks"):
            assert len({getattr(design, name) for design in area_sweep.swept(seed)}) > 1
