from __future__ import annotations

import re
import time

import pytest

from armillary import console
from armillary.console import note, print_warning, progress_bars, set_voice, stop_interrupted
from armillary.types import ArmillaryError


@pytest.fixture(autouse=True)
def usual_voice():
    yield
    set_voice(quiet=False, verbose=False, log_file=None)


def a_stage(steps=4, kept="", hold_s=0.0):
    with progress_bars(kept) as on_progress:
        for step in range(steps + 1):
            on_progress("baking", step, steps)
            time.sleep(hold_s)


def test_without_a_terminal_a_long_stage_says_now_and_then_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.05)
    a_stage(steps=2, hold_s=0.12)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "baking ..."
    assert any(re.fullmatch(r"baking: 1 of 2, 0:00 so far, about 0:00 to go", line) for line in lines)
    assert any(line == "baking: 0 of 2, 0:00 so far" for line in lines)
    assert not [line for line in lines if "2 of 2" in line]  # it is over, so there is nothing to wait for


def test_a_stage_that_ends_soon_says_one_line(capsys):
    a_stage()
    assert capsys.readouterr().err == "baking ...\n"


def test_quiet_says_errors_alone(capsys):
    set_voice(quiet=True, verbose=False, log_file=None)
    a_stage()
    print_warning("hot")
    assert capsys.readouterr().err == ""


def test_verbose_says_how_long_a_stage_took(capsys):
    set_voice(quiet=False, verbose=True, log_file=None)
    a_stage()
    assert re.fullmatch(r"baking \.\.\.\nbaking: 4 in 0\.\d s\n", capsys.readouterr().err)


def test_a_log_file_is_told_everything_with_times_even_if_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.05)
    path = tmp_path / "log.txt"
    for _ in range(2):  # it is appended to
        set_voice(quiet=True, verbose=False, log_file=path)
        note("begins")
        a_stage(steps=1, hold_s=0.12)
        print_warning("hot")
        with pytest.raises(SystemExit):
            stop_interrupted(130)
    lines = path.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ", line) for line in lines)
    said = [line.split(" ", 3)[3] for line in lines]
    for wanted in ("begins", "baking ...", "baking: 0 of 1, 0:00 so far", "hot", "interrupted; nothing new was kept"):
        assert said.count(wanted) >= 2, wanted


def test_a_log_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ArmillaryError, match=r"--log-file .*nowhere.*: cannot be written \(No such file"):
        set_voice(quiet=False, verbose=False, log_file=tmp_path / "nowhere" / "log.txt")


def test_quiet_and_verbose_contradict():
    with pytest.raises(ArmillaryError, match="--quiet and --verbose contradict"):
        set_voice(quiet=True, verbose=True, log_file=None)


@pytest.mark.parametrize(("steps", "told"), [(0, "nothing new was kept"), (1, "the loaf is in the oven")])
def test_ctrl_c_says_what_was_kept(steps, told, capsys):
    def interrupted_work():
        with progress_bars("the loaf is in the oven") as on_progress:
            for step in range(steps + 1):
                on_progress("baking", step, 9)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_work()
    with pytest.raises(SystemExit):
        stop_interrupted(130)
    assert capsys.readouterr().err.endswith(f"interrupted; {told}\n")
