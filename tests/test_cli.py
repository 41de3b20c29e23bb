"""The command line as a user meets it; in a process of its own where signals, limits or the exit matter."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, helper

from armillary import __version__, optimizers, surrogates
from armillary.atomic_file import is_unfinished
from armillary.cli import app, main
from armillary.execution import local
from armillary.hardware import templates
from armillary.hardware.templates import spotlight
from armillary.hardware.templates.edge_tpu import EDGE_TPU
from armillary.mapping.goals import GOALS, METHODS
from armillary.spaces.samplers import SAMPLERS
from armillary.studies.subject import Shipped
from armillary.surrogates import hurdle
from armillary.surrogates.prime import schedules as prime_schedules
from armillary.surrogates.prime.schedules import SCHEDULES, Rung, Schedule
from armillary.workloads import zoo

ARMILLARY = [sys.executable, "-c", "from armillary.cli import main; main()"]


@dataclass
class Done:
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def armillary(*arguments, cwd="."):
    """Run a command within this process, where it starts in no time."""
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        chdir(cwd),
        patch.object(sys, "argv", ["armillary", *map(str, arguments)]),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return Done(stop.value.code, out.getvalue(), err.getvalue())


def answer(*arguments, cwd="."):
    """Return what a command prints with --json."""
    done = armillary(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*arguments, cwd="."):
    """Return the message of a request that is wrong."""
    done = armillary(*arguments, cwd=cwd)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture
def design_file(tmp_path):
    path = tmp_path / "edge_tpu.yaml"
    path.write_text("\n".join(f"{name}: {value}" for name, value in EDGE_TPU.as_dict().items()))
    return path


@pytest.fixture
def model(tmp_path):
    """An ONNX file of one convolution with a symbolic batch."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], name="c")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16, 32, 32])],
        [helper.make_tensor("w", TensorProto.FLOAT, [16, 3, 3, 3], [0.0] * 432)],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_lists_workloads_templates_and_benchmarks():
    assert "mobilenet_v2" in [row["name"] for row in answer("workloads")]
    assert {row["name"]: row["designs"] for row in answer("templates")}["edge_tpu"] == 452_760_000
    assert answer("templates", "show", "edge_tpu")["one_hot_width"] == 77
    assert {"edge-tpu-sanity", "first-light", "speed"} <= set(answer("bench", "list"))


def test_shows_a_workload():
    content = answer("workloads", "show", "mobilenet_v2")
    assert {"macs", "parameters", "layers", "context", "not_mapped"} <= set(content)
    assert content["macs"] == 300_774_272
    shown = armillary("workloads", "show", "mobilenet_v2").stdout
    assert "\nMACs: 300,774,272\n" in shown
    assert max(map(len, shown.split("\n\n")[1].splitlines())) <= 100
    assert "beside the array" in shown


def test_shows_the_phases_of_a_language_model(tmp_path):
    decode = ("workloads", "show", "gpt2", "--phase", "decode", "--past", "1023")
    assert answer(*decode)["macs"] == 12 * (12 * 768**2 + 2 * 1024 * 768) + 768 * 50257
    assert answer(*decode, "--batch", "2", "--csv", tmp_path / "layers.csv")["macs"] == 2 * answer(*decode)["macs"]
    lines = (tmp_path / "layers.csv").read_text().splitlines()
    assert lines[0].startswith("name,kind,N,K,C,P,Q,R,S")
    assert len(lines) == 1 + len(answer(*decode)["layers"])


@pytest.fixture
def odd_model(tmp_path):
    """A product, and an operator of somebody else."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Foo", ["a"], ["b"], domain="com.acme", name="foo"),
    ]
    graph = helper.make_graph(
        nodes, "odd", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.ones((8, 4), np.float32), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), str(tmp_path / "odd.onnx"))
    return tmp_path / "odd.onnx"


def test_unknown_work_is_said_in_the_headline_and_strict_fails(odd_model):
    shown = armillary("workloads", "show", odd_model)
    assert "\nMACs: 64 + unknown work of 1 node\n" in shown.stdout
    assert "com.acme.Foo node 'foo' is no operator that is known" in shown.stdout
    strict = armillary("workloads", "show", odd_model, "--strict")
    assert (strict.returncode, strict.stdout) == (1, shown.stdout)
    told = armillary("workloads", "show", odd_model, "--strict", "--op", "com.acme.Foo=elementwise")
    assert told.returncode == 0
    assert "\nMACs: 64\n" in told.stdout
    odd_model.with_name("odd.operators.yaml").write_text("com.acme.Foo: elementwise\n")
    assert armillary("workloads", "show", odd_model, "--strict").stdout == told.stdout


def test_every_command_says_what_a_network_leaves_out(odd_model, design_file):
    done = armillary("evaluate", "--design", design_file, "--workload", odd_model)
    assert done.returncode == 0
    assert "warning: odd: the work of 1 node is unknown and left out; `armillary workloads show` lists" in done.stderr


def test_checks_a_folder_of_models(odd_model):
    expected = odd_model.with_name("expected.json")
    expected.write_text(json.dumps({"odd": {"macs": 64, "parameters": 32}}))
    assert answer("workloads", "check", odd_model.parent)["right"] == 1
    expected.write_text(json.dumps({"odd": {"macs": 65}}))
    wrong = armillary("workloads", "check", odd_model.parent)
    assert wrong.returncode == 1
    assert "0 of 1 as expected" in wrong.stdout


def test_shows_an_onnx_file(model):
    assert answer("workloads", "show", model, "--dim", "batch=2")["macs"] == 2 * 16 * 3 * 9 * 32 * 32


def test_evaluates_a_design(design_file, tmp_path):
    content = answer("evaluate", "--design", design_file, "--workload", "mobilenet_v2", "--log", tmp_path / "log")
    assert content["feasible"]
    assert content["metrics"]["area_mm2"] == pytest.approx(27.0, abs=0.1)
    assert answer("log", "query", "SELECT count(*) AS n FROM log", "--log", tmp_path / "log") == [{"n": 1}]


GEMMINI = Path(__file__).parents[1] / "examples" / "gemmini_16.yaml"


def test_maps_a_network_onto_a_hierarchy(model, tmp_path):
    request = ("evaluate", "--hierarchy", GEMMINI, "--workload", model, "--dim", "batch=1", "--budget", "100")
    found = answer(*request)
    assert found["feasible"]
    assert found["metrics"]["area_mm2"] > 0
    layer = found["layers"][0]
    assert layer["delay_cycles"] * layer["count"] == found["metrics"]["delay_cycles"]
    assert sum(layer["level_energy_pj"].values()) < layer["energy_pj"]
    (tmp_path / "m.yaml").write_text(f"{layer['layer']}: '{layer['mapping']}'\n")
    for mapping in (layer["mapping"], tmp_path / "m.yaml"):
        assert answer(*request, "--mapping", mapping)["metrics"] == found["metrics"]
    shown = armillary(*request).stdout
    assert layer["mapping"] in shown
    assert 0 <= layer["gap"] < 1
    assert f"proven optimal for its goal: {int(layer['optimal'])} of 1 layers" in shown


def test_a_run_has_widths_of_its_own(model):
    request = ("evaluate", "--hierarchy", GEMMINI, "--workload", model, "--dim", "batch=1", "--budget", "100")
    plain = answer(*request)
    assert "bits" not in plain
    assert "bits" not in plain["layers"][0]
    name = plain["layers"][0]["layer"]
    given = (*request, "--mapping", plain["layers"][0]["mapping"])
    wide = answer(*given, "--bits", "P=32")
    assert wide["bits"] == "P=32"
    assert wide["metrics"]["energy_pj"] >= plain["metrics"]["energy_pj"]
    thin = answer(*given, "--bits", "P=32", "--bits", f"{name}:W=4")
    assert thin["layers"][0]["bits"] == "W=4"
    assert thin["metrics"]["energy_pj"] < wide["metrics"]["energy_pj"]
    assert "bits P=32" in armillary(*given, "--bits", "P=32").stdout
    explained = answer("explain", *given[1:7], "--mapping", plain["layers"][0]["mapping"], "--bits", "int4")
    assert [level["widths"] for level in explained["levels"]] == [[4, 4, 32, 4]] * 4
    assert f"it has ['{name}']" in refusal(*given, "--bits", "none:W=4")


def test_asks_an_external_simulator(design_file, tmp_path):
    (tmp_path / "sim.sh").write_text('cat > /dev/null; echo \'{"metrics": {"runtime_s": 0.25}}\'\n')
    (tmp_path / "sim.yaml").write_text(f"name: shell\nversion: '1'\ncommand: [sh, {tmp_path / 'sim.sh'}]\n")
    request = ("evaluate", "--design", design_file, "--workload", "unet", "--fidelity", "external")
    answered = answer(*request, "--program", tmp_path / "sim.yaml", "--log", tmp_path / "log")
    assert (answered["evaluator"], answered["metrics"]) == ("shell 1", {"runtime_s": 0.25})
    rows = answer("log", "query", "SELECT fidelity FROM log", "--log", tmp_path / "log")
    assert rows == [{"fidelity": "external"}]
    assert "--fidelity external --program FILE.yaml" in refusal(*request)


def test_a_simulator_that_was_killed_is_no_result(design_file, tmp_path):
    """It was started three times; the row says so, and the same command starts it again."""
    starts = tmp_path / "starts"
    (tmp_path / "sim.sh").write_text(f"echo >> {starts}; kill -KILL $$\n")
    (tmp_path / "sim.yaml").write_text(f"name: shell\nversion: '1'\ncommand: [sh, {tmp_path / 'sim.sh'}]\n")
    request = (
        "evaluate", "--design", design_file, "--workload", "unet", "--fidelity", "external",
        "--program", tmp_path / "sim.yaml", "--log", tmp_path / "log",
    )  # fmt: skip
    for times in (1, 2):
        done = armillary(*request)
        assert done.returncode == 1  # the work failed; nothing was wrong with the request
        assert "error: accident, 3 times: sh: ended by SIGKILL" in done.stdout
        assert len(starts.read_text().splitlines()) == 3 * times
    rows = answer("log", "query", "SELECT failure_kind, feasible FROM log", "--log", tmp_path / "log")
    assert rows == 2 * [{"failure_kind": "error", "feasible": False}]


def test_explains_a_mapping(tmp_path):
    request = ("explain", "--hierarchy", GEMMINI, "--workload", "resnet18", "--budget", "400")
    found = answer(*request, "--layer", "conv_1", "--svg", tmp_path / "nest.svg")
    assert [level["name"] for level in found["levels"]] == ["DRAM", "Scratchpad", "Accumulator", "Registers"]
    assert (tmp_path / "nest.svg").read_text().startswith("<svg")
    text = armillary(*request, "--layer", "conv_1", "--mapping", found["mapping"]).stdout
    assert "multiply-accumulate" in text
    assert f"{found['delay_cycles']:,.0f} cycles, bound by {found['bound']}" in text
    assert "resnet18 has 12 layers; name one with --layer" in refusal(*request)
    assert "has no layer 'conv_99'" in refusal(*request, "--layer", "conv_99")
    assert "cannot be written" in refusal(*request, "--layer", "conv_1", "--svg", tmp_path / "nest.svg" / "x.svg")


def test_what_to_evaluate_must_be_clear(design_file, tmp_path):
    both = ("--design", design_file, "--hierarchy", GEMMINI)
    for given in ((), both):
        assert "either --design, of a template, or --hierarchy" in refusal("evaluate", "--workload", "unet", *given)
    request = ("evaluate", "--hierarchy", GEMMINI, "--workload", "unet")
    assert "leave it out with --hierarchy" in refusal(*request, "--log", tmp_path / "log")
    assert "method 'magic' is unknown" in refusal(*request, "--method", "magic")
    assert "give a YAML file of layer name: mapping" in refusal(*request, "--mapping", "L0[WIO] K2")
    assert "none.yaml: no such file" in refusal("evaluate", "--hierarchy", "none.yaml", "--workload", "unet")


def test_widths_go_with_a_hierarchy(design_file):
    assert "--bits 'int8' goes with --hierarchy" in refusal(
        "evaluate", "--design", design_file, "--workload", "unet", "--bits", "int8"
    )


def test_an_infeasible_design_is_an_answer(design_file):
    design_file.write_text(design_file.read_text().replace("core_memory_bytes: 32768", "core_memory_bytes: 4096"))
    content = answer("evaluate", "--design", design_file, "--workload", "unet")
    assert not content["feasible"]
    assert "core_memory_bytes needs" in content["failure"]


def test_collects_queries_exports_and_imports(tmp_path):
    collect = ("collect", "--workload", "mobilenet_v2", "--samples", "300", "--log", tmp_path / "log")
    assert answer(*collect)[0]["evaluated"] == 300
    assert answer(*collect)[0]["already_logged"] == 300
    answer("log", "export", "--csv", tmp_path / "log.csv", "--log", tmp_path / "log")
    answer("log", "import", tmp_path / "log.csv", "--log", tmp_path / "copy")
    sql = "SELECT * EXCLUDE (time, seconds) FROM log WHERE feasible ORDER BY runtime_s, pes_x, pes_y LIMIT 10"
    assert answer("log", "query", sql, "--log", tmp_path / "log") == answer(
        "log", "query", sql, "--log", tmp_path / "copy"
    )


def test_searches_and_reports(tmp_path):
    found = answer(
        "search", "--workload", "mobilenet_v2", "--optimizer", "firefly", "--budget", "64", "--study", tmp_path / "s"
    )
    sql = "SELECT min(runtime_s) AS least, count(*) AS n FROM log WHERE feasible AND area_mm2 <= 29"
    (log,) = answer("log", "query", sql, "--log", tmp_path / "s" / "log")
    assert (found["evaluated"], found["feasible"]) == (64, log["n"])
    assert found["metrics"]["runtime_s"] == log["least"]
    assert Path(found["report"]).exists()
    Path(found["report"]).unlink()
    assert answer("report", tmp_path / "s")["report"] == found["report"]
    assert Path(found["report"]).exists()


def test_an_evaluation_tells_what_operators_beside_the_array_take(design_file, tmp_path):
    """Of a model with a pool behind its layer; a network of layers alone has no such line."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2]),
    ]
    weights = onnx.numpy_helper.from_array(np.ones((8, 3, 1, 1), np.float32), "w")
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", [1, 3, 32, 32]), ("y", [1, 8, 31, 31]))
    )
    model = tmp_path / "pooled.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", inputs, outputs, [weights])), str(model))
    request = ("evaluate", "--design", design_file, "--workload")
    metrics = answer(*request, model)["metrics"]
    share = metrics["beside_cycles"] / metrics["delay_cycles"]
    energy = metrics["beside_energy_pj"] / metrics["energy_pj"]
    shown = armillary(*request, model)
    assert f"operators beside the array: {share:.1%} of the delay, {energy:.1%} of the energy" in shown.stdout
    assert "operators beside the array" not in armillary(*request, "unet").stdout
    assert "what they compute and move" in armillary("workloads", "show", model).stdout


def test_evaluates_with_options_and_given_mappings_and_shows_the_layers(tmp_path):
    design = tmp_path / "chip.yaml"
    design.write_text("\n".join(f"{k}: {v}" for k, v in spotlight.TEMPLATE.baseline.as_dict().items()))
    request = ("evaluate", "--template", "spotlight", "--design", design, "--workload", "unet")
    found = answer(*request, "--set", "mapper=random", "--set", "samples=20", "--log", tmp_path / "log")
    assert found["options"] == {"mapper": "random", "goal": "edp", "samples": 20}
    total = sum(layer["runs"] * layer["delay_cycles"] for layer in found["layers"])
    assert found["metrics"]["delay_cycles"] == total
    sql = "SELECT sum(runs * delay_cycles) AS total, count(*) AS n FROM layer_runs"
    logged = answer("log", "query", sql, "--log", tmp_path / "log")
    assert logged == [{"total": total, "n": len(found["layers"])}]
    mappings = tmp_path / "mappings.yaml"
    mappings.write_text("\n".join(f"{layer['layer']}: {layer['mapping']}" for layer in found["layers"]))
    assert answer(*request, "--mapping", mappings)["metrics"] == found["metrics"]
    shown = answer("templates", "show", "spotlight")["evaluators"][0]
    assert {option["option"] for option in shown["options"]} == set(found["options"])


def test_fits_proposes_designs_and_reports(tmp_path, monkeypatch):
    short = Schedule(rungs=(Rung(30, 2),), warmup=30, batch=64, learning_rate=1e-3, checkpoint=2, refit=20)
    for name in ("brief", "quick"):
        monkeypatch.setitem(prime_schedules.SCHEDULES, name, short)
    monkeypatch.setattr(hurdle, "_SETTING", {"steps": 150, "caution": 0.0})
    log = tmp_path / "log"
    answer("collect", "--workload", "mobilenet_v2", "--samples", "800", "--log", log)
    fit = ("fit", "--log", log, "--area", "29")
    prime = answer(*fit, "--surrogate", "prime", "--schedule", "quick", "--out", tmp_path / "p.pt")
    small = ("--area", "1", "--surrogate", "prime", "--schedule", "quick", "--out", tmp_path / "small.pt")
    assert "the bound area_mm2=1 mm2 lies below every feasible design" in armillary(*fit[:3], *small).stderr
    fitted = answer(*fit, "--out", tmp_path / "m.pt")
    assert prime["rows"] == fitted["rows"] == 800
    rows = answer("propose", "--model", tmp_path / "m.pt", "--workload", "mobilenet_v2", "--area", "29", "--top", "8")
    assert len(rows) == 8
    assert max(row["area_mm2"] for row in rows) <= 29
    study = answer(
        "design",
        "mobilenet_v2",
        "--area",
        "29",
        "--log",
        log,
        "--samples",
        "800",
        "--top",
        "8",
        "--out",
        tmp_path / "s",
    )
    assert Path(study["report"]).exists()
    assert study["metrics"]["area_mm2"] <= 29
    evaluated = answer("evaluate", "--design", study["design_file"], "--workload", "mobilenet_v2")
    assert evaluated["metrics"] == study["metrics"]
    Path(study["report"]).unlink()
    assert answer("report", tmp_path / "s")["report"] == study["report"]
    assert Path(study["report"]).exists()


def test_a_benchmark_prints_rows_and_checks(tmp_path):
    content = answer("bench", "edge-tpu-sanity", "--quick", "--seed", "1", "--out", tmp_path)
    assert {"bench", "command", "machine", "rows", "checks"} <= set(content)
    assert all({"name", "value", "goal", "ok"} <= set(check) for check in content["checks"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("workloads", "show", "mobilenetv2"), "did you mean mobilenet_v2"),
        (("templates", "show", "edgetpu"), "did you mean 'edge_tpu'"),
        (("bench", "speeed"), "did you mean 'speed'"),
        (("design", "mobilenet_v2", "--area", "-3"), "area_mm2=-3.0 is not allowed; it must be a positive number"),
        (("design", "mobilenet_v2", "--area", "0.01"), "the least of any design of edge_tpu is 0.1"),
        (("design", "mobilenet_v2", "--area", "29", "--template", "edge"), "choose one of ['axiline', 'edge_tpu'"),
        (
            ("design", "mobilenet_v2", "--area", "29", "--surrogate", "prime", "--schedule", "long"),
            "schedule 'long' is unknown",
        ),
        (
            ("design", "mobilenet_v2", "--area", "29", "--surrogate", "deep-ensemble", "--schedule", "quick"),
            "trains without a schedule",
        ),
        (("design", "mobilenet_v2", "--area", "29", "--sampler", "grid"), "sampler 'grid' is unknown"),
        (("design", "no.onnx", "--area", "29"), "no.onnx: no such file"),
        (("design", "mobilenet_v2", "--bound", "area_mm2"), "write METRIC=NUMBER"),
        (("design", "mobilenet_v2", "--bound", "speed=3"), "unknown metric 'speed'"),
        (("design", "mobilenet_v2", "--bound", "area_mm2=3", "--area", "29"), "contradicts area_mm2=29"),
        (("design", "mobilenet_v2", "--verify", "rtl"), "needs one truer than analytical: it has none"),
        (
            ("design", "mobilenet_v2", "--minimize", "energy_pj", "--minimize", "runtime_s", "--worst"),
            "--weights and --worst are for one goal",
        ),
        (("design", "mobilenet_v2", "--minimize", "energy_pj", "--maximize", "energy_pj"), "is named twice"),
        (("design", "mobilenet_v2", "--prefer", "runtime_s=2"), "is for several goals; there is one, runtime_s"),
        (("design", "mobilenet_v2", "--weights", "1,2"), "are for several workloads; there is one"),
        (("design", "mobilenet_v2", "--problem", "p.yaml", "--template", "edge_tpu"), "exclude each other"),
        (("design", "mobilenet_v2", "--area", "29", "--seed", "4294967296"), "less than or equal to 4294967295"),
        (("design", "mobilenet_v2", "--area", "29", "--seed", "-1"), "greater than or equal to 0"),
        (("fit", "--log", "l", "--out", "m.pt", "--area", "0.01"), "area_mm2=0.01 cannot be met"),
        (("design", "mobilenet_v2", "--set", "mapper=dabo"), "option 'mapper' is unknown; it has none"),
        (("design", "mobilenet_v2", "--set", "mapper"), "write OPTION=VALUE"),
        (
            (
                "search",
                "--template",
                "gemmini",
                "--workload",
                "unet",
                "--optimizer",
                "random",
                "--budget",
                "1",
                "--study",
                "s",
                "--set",
                "budget=none",
            ),
            "option budget='none' is not allowed: Input should be a valid integer",
        ),
        (("design", "mobilenet_v2", "--area", "29", "--sampler", "sobel"), "did you mean 'sobol'"),
        (("design", "mobilenet_v3", "--area", "29"), "or mobilenet_v3_large or"),
        (("search", "--workload", "unet", "--optimizer", "fire", "--budget", "9", "--study", "s"), "mean 'firefly'"),
        (("collect", "--workload", "unet", "--log", "l", "--samples", "0"), "--samples"),
        (("collect", "--workload", "unet", "--log", "l", "--samples", "2000000000"), "samples=2000000000"),
        (("bench", "speed", "--data", "nowhere"), "nowhere"),
        (("bench", "speed", "--prove"), "--prove is not for 'speed'; choose one of ['mapping']"),
        (("workloads", "show", "unet", "--dim", "batch=-1"), "write NAME=NUMBER"),
        (("workloads", "show", "unet", "--op", "Foo"), "write DOMAIN.NAME=elementwise, or a YAML file"),
        (("workloads", "show", "gpt2", "--phase", "decode", "--dim", "past=4"), "give --past instead"),
        (("design", "gpt2", "--phase", "decode", "--bits", "kv=4"), "choose --template tpu_like"),
        (("design", "gpt2", "--bits", "keys=4", "--template", "tpu_like"), "a tensor of ['weights', 'kv'"),
        (("workloads", "show", "unet", "--dim", "batch=²"), "write NAME=NUMBER"),
        (("workloads", "show", "unet", "--dim", "b=1", "--dim", "b=2"), "contradicts b=1"),
        (("workloads", "show", "unet", "--dim", "b=1"), "has no open dimension"),
        (
            ("search", "--workload", "unet", "--optimizer", "random", "--budget", "9", "--study", "s", "--area", "nan"),
            "must be a positive number",
        ),
        (("desing", "unet"), "desing"),
        (("report", "nowhere"), "nowhere: no such folder"),
        (("log", "query", "SELECT 1", "--log", "nowhere"), "nowhere"),
        (("evaluate", "--design", "no.yaml", "--workload", "unet"), "no.yaml: no such file"),
        (("workloads", "show", "unet", "--dim", "batch"), "write NAME=NUMBER"),
        (("fit", "--log", "nowhere", "--surrogate", "prime", "--out", "m.pt"), "nowhere"),
        (("fit", "--log", "l", "--area", "29", "--out", "m.pt", "--surrogate", "primes"), "did you mean 'prime'"),
        (("fit", "--log", "l", "--out", "m.pt", "--surrogate", "prime", "--device", "tpu"), "device 'tpu'"),
        (("fit", "--log", "l", "--out", "m.pt", "--surrogate", "deep-ensemble", "--device", "cuda"), "the CPU alone"),
        (("bench", "prime-table3", "--device", "tpu"), "device 'tpu' is not allowed; choose cpu, or cuda"),
        (("propose", "--model", "no.pt", "--workload", "unet", "--area", "29"), "no.pt"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else None,
)
def test_refuses_what_is_wrong(arguments, message, tmp_path):
    assert message in refusal(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_fidelity_that_the_template_lacks(design_file):
    request = ("evaluate", "--design", design_file, "--workload", "unet", "--fidelity")
    assert "no evaluator of fidelity 'rtl'" in refusal(*request, "rtl")
    assert "choose one of ['analytical'" in refusal(*request, "guess")


def test_networks_of_one_name_are_told_apart_by_their_layers():
    one, other = zoo.build("mobilenet_v2"), replace(zoo.build("resnet50"), name="mobilenet_v2")
    assert Shipped("edge_tpu").digest(one) != Shipped("edge_tpu").digest(other)
    assert Shipped("edge_tpu").digest(one) != Shipped("edge_tpu").digest(replace(one, layers=one.layers[:-1]))
    assert Shipped("edge_tpu").digest(one) == Shipped("edge_tpu").digest(zoo.build("mobilenet_v2"))


def test_refuses_files_that_are_no_networks(model, tmp_path):
    whole = model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("this is no network")
    for name in ("cut.onnx", "text.onnx"):
        assert name in refusal("design", tmp_path / name, "--area", "29")
    assert "batch" in refusal("design", model, "--area", "29")


def test_refuses_a_network_without_a_layer(tmp_path):
    x, y = (onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Exp", ["x"], ["y"])], "exp", [x], [y])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "exp.onnx")
    assert "no operator that can be mapped" in refusal("workloads", "show", tmp_path / "exp.onnx")


def test_refuses_a_log_of_which_nothing_is_feasible(model, tmp_path):
    log = tmp_path / "log"
    answer("collect", "--workload", "unet", "--samples", "3", "--log", log)
    message = refusal("fit", "--log", log, "--area", "29", "--out", tmp_path / "m.pt")
    assert "feasible" in message


def test_a_full_disk_is_named_and_loses_nothing(tmp_path):
    log = tmp_path / "log"
    collect = ("collect", "--workload", "mobilenet_v2", "--log", log, "--samples")
    answer(*collect, "100")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    script = limit + ignore + "from armillary.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, (*collect, "4000"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1  # the work failed; nothing was wrong with the request
    assert str(log) in done.stderr
    assert "Traceback" not in done.stderr
    assert answer("log", "query", "SELECT count(*) AS n FROM log", "--log", log) == [{"n": 100}]
    assert answer(*collect, "4000")[0]["evaluated"] == 3900


SHORT = """
from armillary.surrogates.prime import schedules as t
t.SCHEDULES["brief"] = t.Schedule(rungs=(t.Rung(30, 2),), warmup=30, batch=64, checkpoint=2, refit=20)
"""


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit that it is ignored


def interrupted(arguments, stage, script="", before_s=1.0, *, kept=True, by=signal.SIGINT):
    """Run a command, press Ctrl-C or send a signal once a stage was announced, and return what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", script + "from armillary.cli import main\nmain()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,
    ) as process:
        seen = ""
        while stage not in seen:
            line = process.stderr.readline()
            assert line, f"the stage {stage} never came: {seen}"
            seen += line
        time.sleep(before_s)
        process.send_signal(by)
        out, rest = process.communicate(timeout=60)
    assert process.returncode == 128 + by, seen + rest
    assert rest.splitlines()[-1].startswith("interrupted; " if by == signal.SIGINT else f"ended by {by.name}; ")
    end = "run the same command again to resume" if kept else "nothing new was kept"
    assert rest.splitlines()[-1].endswith(end)
    assert "Traceback" not in rest
    assert out == ""
    return seen + rest


def test_ctrl_c_in_a_collection_loses_nothing_that_is_logged(tmp_path):
    collect = ("collect", "--workload", "mobilenet_v2", "--log", tmp_path / "log", "--json", "--samples")
    script = "from armillary.execution import local\nlocal.BATCH_ROWS = 50\n"
    interrupted((*collect, "200000"), "evaluating", script, before_s=3.0)
    kept = answer("log", "query", "SELECT count(*) AS n FROM log", "--log", tmp_path / "log")[0]["n"]
    assert 0 < kept < 200_000
    assert kept % 50 == 0
    assert not [path for path in (tmp_path / "log").iterdir() if is_unfinished(path.name)]
    # of a longer run, the first samples are those of a shorter one
    assert answer(*collect[:-2], "--samples", "32")[0]["already_logged"] == 32


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_collection_is_told_and_loses_nothing(by, tmp_path):
    collect = ("collect", "--workload", "mobilenet_v2", "--log", tmp_path / "log", "--samples", "200000")
    # where the tests run under nohup, SIGHUP would be ignored
    script = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    script += "from armillary.execution import local\nlocal.BATCH_ROWS = 50\n"
    interrupted(collect, "evaluating", script, before_s=3.0, by=by)
    assert not [path for path in (tmp_path / "log").iterdir() if is_unfinished(path.name)]


@pytest.mark.slow
def test_ctrl_c_in_every_stage_and_the_same_command_resumes(tmp_path):
    """Real signals; each stage is held up in its work."""
    arguments = ("design", "mobilenet_v2", "--area", "29", "--samples", "2000", "--top", "16", "--json")
    sleep = " = lambda *a, **o: time.sleep(60)\n"
    holds = {
        "evaluating": "import armillary.execution.local as m, time\nm.LocalExecutor.run_codes" + sleep,
        "training": 't.SCHEDULES["brief"] = t.replace(t.SCHEDULES["brief"], warmup=100_000)\n',
        "optimising": "import armillary.studies.design as m, time\nm.propose" + sleep,
        "verifying": """
import armillary.execution.local as m, time
evaluates, calls = m.LocalExecutor.run_codes, []
def held(self, *given):
    calls.append(given)
    return evaluates(self, *given) if len(calls) == 1 else time.sleep(60)  # the first call collects
m.LocalExecutor.run_codes = held
""",
        "comparing": "import armillary.studies.design as m, time\nm.importances" + sleep,
        "writing": "import armillary.reports.page as m, time\nm.write_report" + sleep,
    }
    study = (*arguments, "--out", tmp_path / "s")
    for stage, hold in holds.items():
        interrupted(study, stage, SHORT + hold, before_s=0.3, kept=stage != "evaluating")
        assert (tmp_path / "s" / "study.json").exists()
    done = [
        subprocess.run(
            [sys.executable, "-c", SHORT + "from armillary.cli import main\nmain()", *map(str, (*arguments, *out))],
            capture_output=True,
            text=True,
            check=True,
        )
        for out in (("--out", tmp_path / "s"), ("--out", tmp_path / "t"))
    ]
    resumed, whole = (json.loads(d.stdout) for d in done)
    assert resumed["design"] == whole["design"]
    assert resumed["metrics"] == whole["metrics"]
    assert Path(resumed["report"]).exists()


def test_a_reader_that_has_enough_is_no_fault():
    script = "from armillary.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "workloads", "show", "bert", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert said == ""
    assert process.returncode in (0, 1)


def test_a_full_standard_output_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ARMILLARY, "workloads", "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "standard output: cannot be written (No space left on device)" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --design edge_tpu.yaml --workload unet --log {}",
        "collect --workload unet --samples 5 --log {}",
        "log query SELECT --log {}",
        "log export --csv {} --log log",
        "search --workload unet --optimizer random --budget 5 --study {}",
        "design unet --area 29 --out {}",
        "fit --log log --out {}",
        "report {}",
    ],
)
def test_a_place_that_cannot_be_written_is_named(command, tmp_path, design_file):
    (tmp_path / "file").write_text("")
    answer("evaluate", "--design", design_file, "--workload", "unet", "--log", tmp_path / "log")
    assert "file" in refusal(*(part.format("file/x") for part in command.split()), cwd=tmp_path)
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("log", ["", "foo://x", "s3://bucket/x"])
def test_an_address_of_a_log_that_cannot_be_opened(log, design_file):
    message = refusal("evaluate", "--design", design_file, "--workload", "unet", "--log", log)
    assert "log" in message
    assert log in message


def test_a_study_that_does_not_fit_on_the_disk_is_named(tmp_path):
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    arguments = ("search", "--workload", "mobilenet_v2", "--optimizer", "random", "--budget", "900", "--study")
    (tmp_path / "s").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SHORT + limit.replace("100_000", "12_000") + "from armillary.cli import main\nmain()",
         *arguments, str(tmp_path / "s")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert str(tmp_path / "s" / "log") in done.stderr
    assert "File too large" in done.stderr
    assert answer(*arguments, tmp_path / "s")["evaluated"] == 900


def test_values_of_a_design_file_are_of_the_space(design_file):
    text = design_file.read_text()
    for value in ("true", "'4'", "[4]", "3", "null"):
        design_file.write_text(text.replace("pes_x: 4", f"pes_x: {value}"))
        assert "pes_x=" in refusal("evaluate", "--design", design_file, "--workload", "unet")


def test_queries_sum_up_to_numbers_and_show_brackets(tmp_path, design_file):
    answer("evaluate", "--design", design_file, "--workload", "unet", "--log", tmp_path / "log")
    sql = "SELECT sum(pes_x) AS s, sum(pes_x) / 8 AS h, max(failure_needed) AS n, '[/b] :smile:' AS t FROM log"
    assert answer("log", "query", sql, "--log", tmp_path / "log") == [
        {"s": 4, "h": 0.5, "n": None, "t": "[/b] :smile:"}
    ]
    assert "[/b] :smile:" in armillary("log", "query", sql, "--log", tmp_path / "log").stdout


def test_a_bug_says_that_it_is_one(tmp_path):
    script = "import armillary.log.query as q; q.reading = lambda *a: 1 / 0\nfrom armillary.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", script, "log", "query", "SELECT 1", "--log", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: this is a bug of Armillary")


def test_tells_its_version():
    done = armillary("--version")
    assert (done.returncode, done.stdout) == (0, f"armillary {__version__}\n")


def test_completes_commands_and_options():
    environment = os.environ | {
        "_ARMILLARY_COMPLETE": "complete_bash",
        "COMP_WORDS": "armillary des",
        "COMP_CWORD": "1",
    }
    script = "import sys; sys.argv = ['armillary']; from armillary.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["design"]
    asked = environment | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the tests may run in another shell
    shown = "import sys; sys.argv = ['armillary', '--show-completion', 'bash']; from armillary.cli import main; main()"
    asked.pop("_ARMILLARY_COMPLETE")
    done = subprocess.run([sys.executable, "-c", shown], env=asked, capture_output=True, text=True, check=False)
    assert "_ARMILLARY_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("command", "there"),
    [
        ("design", [*SAMPLERS, *SCHEDULES, *surrogates.names(), *templates.names(), "rtl", "physical"]),
        ("search", optimizers.names()),
        ("evaluate", [*METHODS, *GOALS, "rtl", "physical", "external"]),
        ("fit", list(SCHEDULES)),
    ],
)
def test_help_lists_what_an_option_may_be(command, there, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # so that no name is folded
    said = " ".join(armillary(command, "--help").stdout.split())
    assert [name for name in there if name not in said] == []
    assert "{" not in said.replace("{model}", "")


def test_quiet_prints_the_result_alone_and_a_log_file_what_happened(tmp_path):
    collect = ("collect", "--workload", "unet", "--samples", "8", "--log", tmp_path / "log", "--json")
    done = armillary("-q", "--log-file", tmp_path / "what.txt", *collect)
    assert json.loads(done.stdout)[0]["evaluated"] == 8
    assert done.stderr == ""
    told = (tmp_path / "what.txt").read_text()
    for words in ("armillary -q --log-file", "evaluating unet ...", "evaluating unet: 8 in", "ends with status 0"):
        assert words in told
    done = armillary("--log-file", tmp_path / "what.txt", "report", tmp_path / "no")
    assert "no such folder" in done.stderr
    assert "ERROR error: " in (tmp_path / "what.txt").read_text()


def test_ctrl_c_before_anything_was_evaluated_says_so(tmp_path):
    hold = "import armillary.execution.local as m, time\nm.LocalExecutor.run_codes = lambda *a, **o: time.sleep(60)\n"
    collect = ("collect", "--workload", "unet", "--samples", "8", "--log", tmp_path / "log")
    assert "interrupted; nothing new was kept" in interrupted(collect, "evaluating", hold, 0.3, kept=False)


def test_the_doctor_tells_what_is_there():
    told = answer("doctor")
    assert told["armillary"] == __version__
    assert told["cores"] > 0
    assert {"name", "found", "use", "install"} == set(told["parts"][0])
    assert "torch" in armillary("doctor").stdout


@pytest.mark.parametrize(
    ("command", "evaluations"),
    [
        ("design mobilenet_v2 --area 29 --samples 64 --top 8", [64, 8]),
        ("collect --workload unet --workload mobilenet_v2 --samples 32 --log l", [32, 32]),
        ("search --workload unet --optimizer random --budget 48 --study s", [48]),
    ],
)
def test_a_dry_run_tells_what_would_be_evaluated_and_writes_nothing(command, evaluations, tmp_path):
    told = answer(*command.split(), "--dry-run", cwd=tmp_path)
    assert [stage["evaluations"] for stage in told] == evaluations
    assert all(stage["seconds"] > 0 for stage in told)
    assert list(tmp_path.iterdir()) == []
    assert "timed on this machine" in armillary(*command.split(), "--dry-run", cwd=tmp_path).stdout


def test_a_dry_run_refuses_what_the_run_would(tmp_path):
    search = ("search", "--workload", "unet", "--optimizer", "random", "--study", tmp_path / "s", "--budget")
    answer(*search, "4")
    assert "holds a study with budget=4, not 5" in refusal(*search, "5", "--dry-run")
    told = answer(*search, "4", "--dry-run")
    assert (told[0]["evaluations"], told[0]["seconds"]) == (0, 0)
    assert "cannot be met" in refusal("design", "unet", "--area", "0.1", "--dry-run", cwd=tmp_path)


def test_a_design_file_may_leave_out_what_has_a_default(tmp_path):
    few = Path(__file__).parents[1] / "examples" / "gemmini.yaml"
    told = answer("evaluate", "--template", "gemmini", "--design", few, "--workload", "resnet18", "--set", "budget=20")
    assert told["design"]["bus_bytes"] == 16
    partial = tmp_path / "edge_tpu.yaml"
    partial.write_text("pes_x: 4\n")
    assert "pes_y is missing" in refusal("evaluate", "--design", partial, "--workload", "unet")


def test_a_design_file_names_its_template(tmp_path):
    named = tmp_path / "d.yaml"
    named.write_text("template: gemmini\ndesign:\n  dim: 16\n")
    request = ("evaluate", "--design", named, "--workload", "resnet18", "--set", "budget=20")
    assert answer(*request)["evaluator"].startswith("gemmini ")
    assert "holds a design of template 'gemmini', not 'edge_tpu'" in refusal(*request, "--template", "edge_tpu")


def test_mappings_that_were_found_are_saved_and_read_again(model, tmp_path):
    hierarchy = Path(__file__).parents[1] / "examples" / "gemmini_16.yaml"
    request = ("evaluate", "--hierarchy", hierarchy, "--workload", model, "--dim", "batch=1")
    found = answer(*request, "--budget", "200", "--save-mapping", tmp_path / "m.yaml")
    again = answer(*request, "--mapping", tmp_path / "m.yaml")
    assert again["metrics"] == found["metrics"]
    assert [row["mapping"] for row in again["layers"]] == [row["mapping"] for row in found["layers"]]
    said = armillary(*request, "--budget", "200").stdout
    assert "the memory levels, the outermost first" in " ".join(said.split())
    assert "goes with --hierarchy" in refusal(
        "evaluate", "--design", "d.yaml", "--workload", model, "--save-mapping", "m"
    )


def test_the_head_of_many_rows_comes_soon_and_ends_the_command(tmp_path):
    log = tmp_path / "log"
    answer("collect", "--workload", "unet", "--samples", "20000", "--sampler", "random", "--log", log)
    script = "from armillary.cli import main; main()"
    command = f'{sys.executable} -c "{script}" log query "SELECT * FROM log" --log {log} | head -1'
    start = time.monotonic()
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "row 1\n"
    assert done.stderr == ""
    assert time.monotonic() - start < 30


def _leaves(command, path=()):
    inner = getattr(command, "commands", {})
    if not inner or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, one in inner.items():
        yield from _leaves(one, (*path, name))


def test_every_command_takes_json_and_a_seed():
    for path, command in _leaves(typer.main.get_command(app)):
        assert {"as_json", "seed"} <= {parameter.name for parameter in command.params}, path


def test_a_metric_that_the_evaluator_lacks_ends_a_study_with_the_first_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "BATCH_ROWS", 32)
    given = ("design", "mobilenet_v2", "--samples", "4000", "--out", tmp_path / "s", "--bound")
    assert "have no metric 'dram_stall_cycles'" in refusal(*given, "dram_stall_cycles=5")
    logged = answer("log", "query", "SELECT count(*) AS n FROM log", "--log", tmp_path / "s" / "log")
    assert logged[0]["n"] <= 64
