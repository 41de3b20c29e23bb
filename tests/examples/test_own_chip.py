"""The tutorial on a log of one's own, step by step, on the example's simulator."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parents[2] / "examples" / "own_chip"


def armillary(folder, *arguments):
    command = [sys.executable, "-c", "from armillary.cli import main; main()", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_chip")
    shutil.copy(HERE / "mysim.py", folder)
    made = subprocess.run([sys.executable, "mysim.py", "--sample", "400"], cwd=folder, capture_output=True, check=True)
    (folder / "runs.csv").write_bytes(made.stdout)
    armillary(folder, "problem", "init", "runs.csv", "--name", "mychip")
    imported = armillary(folder, "log", "import", "runs.csv", "--problem", "problem.yaml", "--log", "mychip.log")
    assert imported["rows"] > 390
    assert set(imported["reasons"]) == {"BUFFER", "TIMING"}
    return folder


def truth(row):
    """What the simulator says of a proposal."""
    sys.path.insert(0, str(HERE))
    try:
        from mysim import CHOICES, simulate
    finally:
        sys.path.remove(str(HERE))
    design = {name: next(v for v in values if str(v) == row[name]) for name, values in CHOICES.items()}
    return simulate(design, "speech")


@pytest.mark.parametrize(
    ("surrogate", "working"), [("deep-ensemble", 4), pytest.param("auto", 10, marks=pytest.mark.slow)]
)
def test_proposals_are_better_than_the_log(folder, surrogate, working):
    out = folder / surrogate
    found = armillary(folder, "design", "--problem", "problem.yaml", "--log", "mychip.log", "--workload", "speech",
                      "--bound", "area_mm2=2", "--surrogate", surrogate, "--out", out)  # fmt: skip
    with (out / "proposals.csv").open() as file:
        proposals = [truth(row) for row in csv.DictReader(file)]
    works = [p["latency_ms"] for p in proposals if p["status"] == "OK" and p["area_mm2"] <= 2]
    assert len(works) >= working
    assert min(works) < found["best_of_log"]["latency_ms"]
    assert (out / "report.html").stat().st_size < 3_000_000


def test_with_the_simulator_named_the_winner_is_measured(folder):
    content = yaml.safe_load((folder / "problem.yaml").read_text())
    content["evaluator"] = {"command": [sys.executable, "mysim.py"]}
    (folder / "with.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    found = armillary(
        folder, "design", "--problem", "with.yaml", "--log", "mychip.log", "--workload", "speech", "--bound",
        "area_mm2=2", "--surrogate", "deep-ensemble", "--top", "4", "--out", "loop",
    )  # fmt: skip
    assert found["metrics"]["area_mm2"] <= 2
    assert found["metrics"]["latency_ms"] <= found["best_of_log"]["latency_ms"]
    design = {name: str(value) for name, value in found["design"].items()}
    assert truth(design)["latency_ms"] == found["metrics"]["latency_ms"]
