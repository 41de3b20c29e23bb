"""Layouts on the command line."""

import json

import pytest

from evaluators.physical.designs import COUNTER, needs_tools
from test_cli import armillary

pytestmark = needs_tools
QUICK = ("--set", "effort=1", "--set", "sizing_rounds=1")


@pytest.fixture
def counter(tmp_path):
    path = tmp_path / "counter.sv"
    path.write_text(COUNTER)
    return path


def test_run_and_repeat(counter, tmp_path):
    out = tmp_path / "layout"
    first = armillary("physical", "run", counter, "--top", "counter", "--out", out, *QUICK, "--json")
    assert first.returncode == 0, first.stderr
    content = json.loads(first.stdout)
    assert content["feasible"]
    assert content["metrics"]["fmax_mhz"] > 500
    assert [step["name"] for step in content["steps"]][-1] == "drawing"
    again = armillary("physical", "repeat", out)
    assert again.returncode == 0, again.stderr
    assert "kept" in again.stdout
    assert "effective clock" in again.stdout


@pytest.mark.parametrize(("options", "message"), [
    (("--set", "utilisation=0.5"), "option 'utilisation' is unknown"),
    (("--set", "utilization=1.5"), "option utilization='1.5' is not allowed"),
    (("--macro", "sram=3"), "--macro 'sram=3' is not allowed"),
    (("--set", "enablement=sky130"), "choose one of"),
    (("--set", "clock_port=clock"), "no input 'clock'"),
])  # fmt: skip
def test_wrong_requests(counter, tmp_path, options, message):
    found = armillary("physical", "run", counter, "--top", "counter", "--out", tmp_path / "layout", *options)
    assert found.returncode == 2
    assert message in found.stderr


def test_a_failed_layout_ends_with_one(counter, tmp_path):
    found = armillary("physical", "run", counter, "--top", "nowhere", "--out", tmp_path / "layout")
    assert found.returncode == 1
    assert "failed in step synthesis" in found.stdout
