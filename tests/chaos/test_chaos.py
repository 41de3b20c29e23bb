"""A little chaos for every change, and more of it for all tests."""

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import killing
from chaos.chains import Tally, Undisturbed, chained
from chaos.killing import Kill, children, left_running, run
from chaos.troubles import harm_unseen
from chaos.victims import VICTIMS, rows

TESTS = Path(__file__).parents[1]
COLLECT = ("collect", "--workload", "mobilenet_v2", "--samples", "1500", "--log")


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_run_kills_itself_at_a_rename(tmp_path, side):
    done = run((*COLLECT, str(tmp_path / "log")), tmp_path, Kill("rename", 2, side))
    assert done.struck
    assert done.status == -9
    assert sum(rows(tmp_path / "log").values()) in (0, 500, 1000)


def test_only_what_a_run_left_behind_is_ended(monkeypatch):
    monkeypatch.setattr(killing, "_PATIENCE_S", 0.2)
    with subprocess.Popen(["sleep", "60"]) as helper:
        helpers = children()
        with subprocess.Popen(["sleep", "61"]) as left:
            assert [*left_running(helpers)] == ["sleep 61 "]
            left.returncode = -9  # its end was taken notice of
        assert helper.poll() is None
        helper.kill()


def test_another_result_is_noticed(tmp_path):
    collect = replace(VICTIMS[0], arguments=lambda folder: (*COLLECT, str(folder / "log")))
    tally = Tally()
    chained(collect, Undisturbed(1.0, {}, Counter({("another row",): 1})), tmp_path, iter(()), tally)
    assert tally.faults == ["collect: after its kills it found something else than undisturbed"]


def test_a_fragment_that_reads_as_other_rows_is_noticed(tmp_path):
    whole, harmed = tmp_path / "whole", tmp_path / "harmed"
    assert run((*COLLECT, str(whole)), tmp_path).status == 0
    shutil.copytree(whole, harmed)
    assert list(harm_unseen(harmed, whole, [])) == []
    first, second, *_ = sorted(harmed.glob("*.parquet"))
    shutil.copy(first, second)
    (fault,) = harm_unseen(harmed, whole, [second.name])
    assert fault.endswith("damaged, unnamed, and read as other rows")


@pytest.mark.slow
def test_ten_kills_and_all_troubles_break_nothing():
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", sys.executable, "-m", "chaos", "--kills", "10"],
        cwd=TESTS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
