"""`armillary design --budget`: from an ONNX file to simulated hardware, in one command."""

import json

import onnx
import pytest
import yaml
from onnx import TensorProto, helper
from typer.testing import CliRunner

from armillary.cli import app
from armillary.evaluators import for_template
from armillary.hardware.templates.gemmini import SPACE, published_designs
from armillary.log.store import Log
from armillary.optimizers import closed_form, design_table
from armillary.studies.design_file import read_design
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Candidate, Fidelity
from armillary.workloads import load


@pytest.fixture
def model(tmp_path):
    """Two small convolutions."""
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["h"], name="one"),
        helper.make_node("Conv", ["h", "w"], ["y"], pads=[1, 1, 1, 1], name="two"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6])],
        [
            helper.make_tensor("v", TensorProto.FLOAT, [8, 4, 1, 1], [0.0] * 32),
            helper.make_tensor("w", TensorProto.FLOAT, [8, 8, 3, 3], [0.0] * 576),
        ],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def smallest(monkeypatch):
    """Arrays of four, of which one simulator does for all; few designs and mappings are judged."""
    table = published_designs()
    monkeypatch.setattr(design_table, "published_designs", lambda space: table[space.columns(table)["dim"] == 4])
    monkeypatch.setattr(closed_form.ClosedForm.__init__, "__kwdefaults__",
                        {"layers": None, "seed": 0, "first": 4, "near": 8, "searched": 100})  # fmt: skip


def designed(*arguments):
    return CliRunner().invoke(app, ["design", *map(str, arguments), "--json"], catch_exceptions=False)


def test_one_command_ends_with_design_mappings_hardware_and_report(model, smallest, tmp_path):
    out = tmp_path / "study"
    request = (model, "--template", "gemmini", "--verify", "rtl", "--budget", "3", "--out", out)
    found = json.loads(designed(*request).stdout)
    design = read_design(out / "design.yaml", SPACE)
    assert (found["simulations"], found["feasible"]) == (3, 3)
    assert found["design"] == design.as_dict()
    rows = Log(out / "log").evaluations("gemmini")
    assert len(rows) == 3
    assert {str(fidelity) for fidelity in rows.fidelity} == {"rtl"}
    assert found["metrics"]["runtime_s"] == rows.metrics["runtime_s"].min()
    mappings = yaml.safe_load((out / "mappings.yaml").read_text())
    (again,) = for_template("gemmini", Fidelity.RTL).evaluate([Candidate(design, mappings)], load(str(model), {}))
    assert again.metrics["delay_cycles"] == found["metrics"]["delay_cycles"]
    assert (out / "rtl" / "accelerator.sv").exists()
    assert {str(out / "rtl" / "accelerator.sv"), str(out / "mappings.yaml")} <= set(found["files"])
    assert "small" in (out / "report.html").read_text()
    assert json.loads(designed(*request).stdout)["metrics"] == found["metrics"]  # nothing is simulated anew
    assert len(Log(out / "log").evaluations("gemmini")) == 3


def test_another_optimizer_chooses_where_it_is_named(model, smallest, tmp_path):
    out = tmp_path / "study"
    request = (model, "--template", "gemmini", "--verify", "rtl", "--budget", "2", "--optimizer", "polaris-random")
    found = json.loads(designed(*request, "--minimize", "edp_pj_cycles", "--out", out).stdout)
    assert StudyFolder(out).request()["optimizer"] == "polaris-random"
    assert found["design"] == read_design(out / "design.yaml", SPACE).as_dict()
    assert (out / "rtl" / "accelerator.sv").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--budget", "3"), "--verify rtl"),
        (("--optimizer", "polaris"), "--optimizer says what chooses simulations"),
        (("--budget", "3", "--verify", "rtl", "--samples", "9"), "--samples goes with designs that a surrogate"),
        (("--budget", "3", "--verify", "rtl", "--minimize", "energy_pj", "--minimize", "area_mm2"), "one goal"),
        (("--budget", "3", "--verify", "rtl", "--minimize", "dram_bytes"), "'dram_bytes' is not allowed; Polaris"),
    ],
)
def test_requests_that_do_not_go_together_are_refused(model, arguments, fault, tmp_path):
    with pytest.raises(ArmillaryError, match=fault):
        designed(model, "--template", "gemmini", "--out", tmp_path / "study", *arguments)
    assert not (tmp_path / "study").exists()
