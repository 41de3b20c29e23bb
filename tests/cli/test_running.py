"""How networks are run: the same options in every command that takes networks."""

import json
from itertools import product

import pytest
import typer

from armillary.cli import app
from armillary.cli.shared import RUNNING
from armillary.hardware.templates.tpu_like import SPACE
from test_cli import armillary

DECODE = ("--phase", "decode", "--past", "16", "--batch", "2")
FAST = ("--template", "tpu_like", "--set", "budget=20", "--set", "fuse=false")
NAME = "gpt2-decode-seq1-past16-batch2"


def done(*arguments):
    found = armillary(*arguments, "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


COMMANDS = ("collect", "search", "propose", "design", "evaluate")


@pytest.mark.parametrize(("command", "option"), list(product(COMMANDS, RUNNING)))
def test_every_command_has_every_option(command, option):
    commands = typer.main.get_command(app).commands
    (found,) = [p for p in commands[command].params if p.name == option]
    assert f"--{option}" in found.opts
    assert "running" not in [p.name for p in commands[command].params]


def test_a_log_is_collected_for_decode(tmp_path):
    (row,) = done("collect", "--workload", "gpt2", *DECODE, *FAST, "--samples", "8", "--log", tmp_path / "log")
    assert row["workload"] == NAME
    assert row["evaluated"] == 8


def test_a_design_for_decode(tmp_path):
    out = tmp_path / "study"
    sizes = ("--samples", "24", "--top", "2", "--surrogate", "hurdle")
    goal = ("--minimize", "energy_per_token_pj", "--bound", "area_mm2=60")
    found = done("design", "gpt2", *DECODE, *FAST, *sizes, *goal, "--out", out)
    assert set(found["design"]) == {parameter.name for parameter in SPACE.parameters}
    assert found["metrics"]["energy_per_token_pj"] > 0
    assert found["metrics"]["area_mm2"] <= 60
    assert NAME in (out / "report.html").read_text()
    assert json.loads((out / "study.json").read_text())["running"]["phase"]["past"] == 16


def test_a_search_for_decode_can_be_reported_again(tmp_path):
    study = tmp_path / "study"
    asked = ("search", "--workload", "gpt2", *DECODE, *FAST, "--optimizer", "random", "--budget", "4", "--study", study)
    assert done(*asked)["evaluated"] == 4
    assert json.loads((study / "study.json").read_text())["running"]["phase"]["batch"] == 2
    done("report", study)


def test_commands_refuse_half_a_phase(tmp_path):
    found = armillary("collect", "--workload", "gpt2", *FAST, "--past", "16", "--log", tmp_path)
    assert found.returncode == 2
    assert "--past says how large a phase is; give --phase" in found.stderr
