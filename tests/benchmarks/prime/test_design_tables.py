from dataclasses import replace

import pytest

from armillary.benchmarks.prime import design_tables
from armillary.benchmarks.prime.runs import Runs, joint_values
from armillary.benchmarks.prime.scenarios import TABLE_4
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE


def options(folder, quick=False):
    return BenchOptions(None, quick, 0, folder, lambda *_: None)


@pytest.fixture
def one_design(monkeypatch):
    """Every run finds the published Edge TPU, or a smaller one."""

    def one(self, method, task, seed, **settings):
        design = dict(EDGE_TPU.as_dict())
        design["dram_bandwidth_gbps"] = 30 if method == "prime" else 25
        codes = SPACE.encode([SPACE.design_from(design, "test")])
        return {"runtime_s": float(joint_values(codes, replace(task, area_mm2=98.0))[0]), "codes": codes[0].tolist()}

    monkeypatch.setattr(Runs, "one", one)
    monkeypatch.setattr(Runs, "prepare", lambda *_: None)


def test_two_designs_are_taken_apart(one_design, tmp_path):
    few = design_tables.table11_12(options(tmp_path, quick=True))
    assert [row["what"] for row in few.rows[:5]] == [*TABLE_4[1].target, "pes_x"]
    result = design_tables.table11_12(options(tmp_path))
    rows = {row["what"]: row for row in result.rows}
    assert rows["t_rnn_enc"]["firefly/PRIME"] > 1
    assert (rows["dram_bandwidth_gbps"]["PRIME"], rows["dram_bandwidth_gbps"]["firefly"]) == (30, 25)
    assert rows["area_mm2"]["firefly/PRIME"] == 1
    assert result.ok
    assert "t_rnn_enc" in (tmp_path / "figure.html").read_text()


def test_a_design_is_held_against_the_edge_tpu(one_design, tmp_path):
    assert len(design_tables.table14(options(tmp_path, quick=True)).rows) == 3
    result = design_tables.table14(options(tmp_path))
    assert [row["area, Edge TPU/PRIME"] for row in result.rows] == [1.0] * 9
    last = result.rows[-1]
    assert 1 < last["Edge TPU/PRIME"] < last["half the fixed time"] < last["no fixed time"]
    assert "t_rnn_enc" in (tmp_path / "figure.html").read_text()
