"""The command line as a user meets it: in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from armillary.hardware.templates.edge_tpu import EDGE_TPU

ARMILLARY = [sys.executable, "-c", "from armillary.cli import main; main()"]
REFERENCE = Path(__file__).parents[2] / "shared" / "data"


def armillary(*arguments, cwd=None, **options):
    return subprocess.run(
        [*ARMILLARY, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300, check=False, **options
    )


def answer(*arguments, cwd=None):
    """Return what a command prints with --json."""
    done = armillary(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*arguments, cwd=None):
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
    assert answer("templates")[0]["designs"] == 452_760_000
    assert answer("templates", "show", "edge_tpu")["one_hot_width"] == 77
    assert {"edge-tpu-sanity", "first-light", "speed"} <= set(answer("bench", "list"))


def test_shows_a_workload():
    content = answer("workloads", "show", "mobilenet_v2")
    assert {"macs", "parameters", "layers", "context", "not_mapped"} <= set(content)
    assert content["macs"] == 300_774_272
    assert "300,774,272 MACs" in armillary("workloads", "show", "mobilenet_v2").stdout


def test_shows_an_onnx_file(model):
    assert answer("workloads", "show", model, "--dim", "batch=2")["macs"] == 2 * 16 * 3 * 9 * 32 * 32


def test_evaluates_a_design(design_file, tmp_path):
    content = answer("evaluate", "--design", design_file, "--workload", "mobilenet_v2", "--log", tmp_path / "log")
    assert content["feasible"]
    assert content["metrics"]["area_mm2"] == pytest.approx(27.0, abs=0.1)
    assert answer("log", "query", "SELECT count(*) AS n FROM log", "--log", tmp_path / "log") == [{"n": 1}]


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


def test_searches(tmp_path):
    found = answer(
        "search", "--workload", "mobilenet_v2", "--optimizer", "firefly", "--budget", "512", "--study", tmp_path / "s"
    )
    assert found["evaluated"] == 512
    assert found["design"]["lanes"] in (4, 8, 16, 32, 64, 128, 256)


@pytest.mark.slow
def test_fits_proposes_and_designs(tmp_path):
    log = tmp_path / "log"
    answer("collect", "--workload", "mobilenet_v2", "--samples", "4000", "--log", log)
    fitted = answer("fit", "--log", log, "--area", "29", "--schedule", "quick", "--out", tmp_path / "m.pt")
    assert fitted["rows"] == 4000
    rows = answer("propose", "--model", tmp_path / "m.pt", "--workload", "mobilenet_v2", "--area", "29", "--top", "8")
    assert len(rows) == 8
    assert max(row["area_mm2"] for row in rows) <= 29
    study = answer("design", "mobilenet_v2", "--area", "29", "--log", log, "--samples", "4000", "--out", tmp_path / "s")
    assert Path(study["report"]).exists()
    assert answer("report", tmp_path / "s")["report"] == study["report"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("workloads", "show", "mobilenetv2"), "did you mean mobilenet_v2"),
        (("templates", "show", "edgetpu"), "did you mean 'edge_tpu'"),
        (("bench", "speeed"), "did you mean 'speed'"),
        (("design", "mobilenet_v2", "--area", "-3"), "area=-3 mm2 is not allowed"),
        (("design", "mobilenet_v2", "--area", "0.1"), "the smallest legal design for mobilenet_v2 has 0.22 mm2"),
        (("design", "mobilenet_v2", "--area", "29", "--template", "edge"), "choose one of ['edge_tpu']"),
        (("design", "mobilenet_v2", "--area", "29", "--schedule", "long"), "schedule 'long' is unknown"),
        (("design", "mobilenet_v2", "--area", "29", "--sampler", "grid"), "sampler 'grid' is unknown"),
        (("design", "no.onnx", "--area", "29"), "no.onnx: no such file"),
        (("design", "mobilenet_v2"), "--area"),
        (("design", "mobilenet_v2", "--area", "29", "--log", "empty"), ""),
        (("report", "nowhere"), "nowhere: no such folder"),
        (("log", "query", "SELECT 1", "--log", "nowhere"), "nowhere"),
        (("evaluate", "--design", "no.yaml", "--workload", "unet"), "no.yaml: no such file"),
        (("workloads", "show", "unet", "--dim", "batch"), "write NAME=NUMBER"),
        (("fit", "--log", "nowhere", "--surrogate", "prime", "--out", "m.pt"), "nowhere"),
        (("fit", "--log", "l", "--area", "29", "--out", "m.pt", "--surrogate", "primes"), "did you mean 'prime'"),
        (("propose", "--model", "no.pt", "--workload", "unet", "--area", "29"), "no.pt"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else None,
)
def test_refuses_what_is_wrong(arguments, message, tmp_path):
    if message:
        assert message in refusal(*arguments, cwd=tmp_path)


def test_refuses_a_fidelity_that_the_template_lacks(design_file):
    request = ("evaluate", "--design", design_file, "--workload", "unet", "--fidelity")
    assert "no evaluator of fidelity 'rtl'" in refusal(*request, "rtl")
    assert "choose one of ['analytical'" in refusal(*request, "guess")


def test_refuses_files_that_are_no_networks(model, tmp_path):
    whole = model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("this is no network")
    for name in ("cut.onnx", "text.onnx"):
        assert name in refusal("design", tmp_path / name, "--area", "29")
    assert "batch" in refusal("design", model, "--area", "29")
    assert "no operator that can be mapped" in refusal("workloads", "show", REFERENCE / "onnx" / "svm54.onnx")


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


@pytest.mark.parametrize("stage", ["evaluating", "training", "optimising"])
def test_ctrl_c_says_how_to_resume(stage, tmp_path):
    arguments = ["design", "mobilenet_v2", "--area", "29", "--samples", "2000", "--out", str(tmp_path / "s")]
    if stage != "training":
        arguments[arguments.index("2000")] = "400000" if stage == "evaluating" else "2000"
    script = "from armillary.surrogates import prime_training as t; from armillary.cli import main\n"
    if stage == "optimising":
        script += (
            "t.SCHEDULES['quick'] = t.Schedule(rungs=(t.Rung(30, 1),), warmup=5, refit=0, checkpoint=1)\n"
            "import armillary.studies.propose as p, time\n"
            "p.top_designs = lambda *arguments, **options: time.sleep(60)\n"
        )
    with subprocess.Popen(
        [sys.executable, "-c", script + "main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        seen = ""
        while stage not in seen:
            line = process.stderr.readline()
            assert line, "the stage never came"
            seen += line
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, seen + rest
    assert "run the same command again to resume" in rest
    assert "Traceback" not in rest
    assert (tmp_path / "s" / "study.json").exists()
