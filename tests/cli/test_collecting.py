"""Layers alone on the command line: collect, export, fit, predict."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import armillary

EXAMPLES = Path(__file__).parents[2] / "examples"
COLLECT = ("collect", "--template", "gemmini", "--per-layer", "--workload", "bert", "--knob", "dim=16,32")


def done(*arguments):
    found = armillary(*arguments, "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def refused(*arguments):
    found = armillary(*arguments)
    assert found.returncode == 2
    return found.stderr


def test_from_samples_to_predictions_of_a_file(tmp_path):
    log, rows, model = tmp_path / "log", tmp_path / "rows.csv", tmp_path / "model.pt"
    first = done(*COLLECT, "--samples", 40, "--log", log)
    assert (first["evaluated"], first["already_logged"], first["layers"]) == (40, 0, 6)
    assert done(*COLLECT, "--samples", 40, "--log", log)["already_logged"] == 40
    (foreseen,) = done(*COLLECT, "--samples", 44, "--log", log, "--dry-run")
    assert (foreseen["evaluations"], foreseen["logged"]) == (4, 40)

    assert done("log", "export", "--layer-runs", "--csv", rows, "--log", log)["rows"] == 40
    assert done("collect", "--template", "gemmini", "--from", rows, "--log", log)["already_logged"] == 40
    sql = "SELECT * FROM layer_runs WHERE dim = 16 AND feasible"
    some = done("log", "query", sql, "--csv", tmp_path / "some.csv", "--log", log)["rows"]
    assert 10 < some <= 20

    fitted = done("fit", "--log", log, "--per-layer", "--out", model)
    assert (fitted["surrogate"], fitted["metric"], fitted["rows"]) == ("starlight", "delay_cycles", 40)
    found = done("predict", "--model", model, "--rows", tmp_path / "some.csv")
    assert (found["metric"], found["interval"], len(found["rows"])) == ("delay_cycles", 0.9, some)
    with (tmp_path / "some.csv").open() as file:
        truth = [float(row["delay_cycles"]) for row in csv.DictReader(file)]
    assert [row["mean"] for row in found["rows"]] == pytest.approx(truth)
    assert [row["line"] for row in found["rows"]] == list(range(2, some + 2))
    assert {row["network"] for row in found["rows"]} == {"bert"}

    wrong = ("fit", "--log", log, "--per-layer", "--out", model, "--surrogate", "calibrated", "--analytical-log", log)
    assert "surrogate 'calibrated' learns no analytical rows beforehand; leave the log out" in refused(*wrong)

    out = tmp_path / "out.csv"
    assert done("predict", "--model", model, "--rows", tmp_path / "some.csv", "--out", out)["rows"] == some
    with out.open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["predicted_delay_cycles"]) for row in written] == pytest.approx(truth)
    assert written[0]["mapping"].startswith("L3[WIO]")
    assert float(written[0]["predicted_low"]) <= truth[0] <= float(written[0]["predicted_high"])
    assert 0 < float(written[0]["p_feasible"]) < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "rows.csv", "--knob", "dim=16"), "--knob goes with samples; leave it out with --from"),
        (("--points", "3"), "--architectures and --points go together"),
        (("--architectures", "2", "--points", "3", "--samples", "4"), "--samples 4 goes without --architectures"),
        (("--architectures", "2", "--points", "3", "--workload", "bert"), "designs of gemmini have no knobs"),
        (("--architectures", "2", "--points", "3", "--per-layer"), "--architectures goes with whole designs"),
        (("--workload", "bert", "--knob", "dim=9..15"), "--knob dim='9..15' is not allowed; choose of [4, 8, 16, 32]"),
        (("--most-cycles", "5"), "--most-cycles goes with --per-layer"),
        (("--from", "rows.csv", "--samples", "5"), "--samples goes with samples; leave it out with --from"),
        (("--from", "rows.csv"), "rows.csv: no such file"),
        (("--per-layer", "--knob", "dims=4"), "--knob 'dims=4' is not allowed; write PARAMETER=VALUE"),
        (("--per-layer", "--knob", "dim=5"), "--knob dim='5' is not allowed; choose of [4, 8, 16, 32]"),
        (("--per-layer", "--knob", "dim=4", "--knob", "dim=8"), "name each once"),
        (("--per-layer", "--samples", "4", "--sampler", "sobl"), "did you mean 'sobol'"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, tmp_path):
    assert message in refused("collect", "--template", "gemmini", "--log", tmp_path / "log", *arguments)


def test_samples_are_of_what_is_left_open(tmp_path):
    log = tmp_path / "log"
    collect = ("collect", "--workload", "mobilenet_v2", "--samples", 40, "--log", log)
    assert done(*collect, "--knob", "lanes=8..40", "--knob", "dram_bandwidth_gbps=5")[0]["evaluated"] == 40
    sql = "SELECT list(DISTINCT lanes) AS lanes, list(DISTINCT dram_bandwidth_gbps) AS width FROM log"
    (found,) = done("log", "query", sql, "--log", log)
    assert (sorted(found["lanes"]), found["width"]) == ([8, 16, 32], [5])


def test_layouts_are_sampled_by_architecture_and_point(tmp_path):
    step = tmp_path / "svm.onnx"
    subprocess.run([sys.executable, EXAMPLES / "svm_to_onnx.py", step], check=True)
    collect = (
        "collect",
        "--template",
        "axiline",
        "--fidelity",
        "physical",
        "--workload",
        step,
        "--log",
        tmp_path / "l",
    )
    (foreseen,) = done(*collect, "--architectures", 3, "--points", 4, "--knob", "dimension=54..60", "--dry-run")
    assert (foreseen["evaluator"].split()[0], foreseen["evaluations"]) == ("axiline/physical", 12)
    assert "a layout takes seconds to minutes; give --samples, or --architectures and --points" in refused(*collect)
    assert "dimension='20' is not allowed" in refused(*collect, "--samples", 3, "--knob", "dimension=20")


def test_a_design_may_bring_its_knobs(tmp_path):
    design, step = tmp_path / "design.yaml", tmp_path / "svm.onnx"
    subprocess.run([sys.executable, EXAMPLES / "svm_to_onnx.py", step], check=True)
    evaluate = ("evaluate", "--workload", step, "--design", design)
    design.write_text("template: axiline\ndesign: {dimension: 20, clock_ns: 1.3}\n")  # too small: nothing is laid out
    found = done(*evaluate, "--template", "axiline.physical", "--log", tmp_path / "log")
    assert (found["fidelity"], found["feasible"], found["design"]["clock_ns"]) == ("physical", False, 1.3)
    assert "dimension elements" in found["failure"]
    assert "clock_ns" not in found["options"]
    (row,) = done("log", "query", "SELECT space, clock_ns, utilization FROM log", "--log", tmp_path / "log")
    assert row == {"space": "axiline.physical", "clock_ns": 1.3, "utilization": 0.6}
    assert "clock_ns=1.3 is not allowed; choose one of [1.2]" in refused(
        *evaluate, "--template", "axiline.physical", "--set", "clock_ns=1.2"
    )
    assert "clock_ns is no parameter of axiline" in refused(*evaluate, "--fidelity", "physical")


def test_options_of_the_two_kinds_of_models_are_told_apart(tmp_path):
    fit = ("fit", "--log", tmp_path / "log", "--out", tmp_path / "model.pt")
    assert "--fidelity goes with --per-layer" in refused(*fit, "--fidelity", "rtl")
    assert "--analytical-log goes with --per-layer" in refused(*fit, "--analytical-log", tmp_path / "other")
    assert "--area goes with models of whole designs" in refused(*fit, "--per-layer", "--area", 29)
    assert "--layer-runs goes with --csv" in refused(
        "log", "export", "--log", tmp_path, "--optuna", "sqlite:///x.db", "--layer-runs"
    )
    assert "there is no such model file" in refused("predict", "--model", tmp_path / "no.pt", "--rows", "rows.csv")
