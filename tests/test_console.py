from __future__ import annotations

import ast
import logging
import re
import time
from pathlib import Path

import pytest

from armillary import console
from armillary.console import (
    note,
    print_table,
    print_warning,
    progress_bars,
    set_voice,
    stop_for,
    stop_interrupted,
    tell,
)
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
            stop_interrupted(130, "interrupted")
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
        stop_interrupted(130, "interrupted")
    assert capsys.readouterr().err.endswith(f"interrupted; {told}\n")


def table_of(rows, capsys, monkeypatch, width=None):
    if width is not None:
        monkeypatch.setattr(console, "_terminal_width", lambda: width)
    print_table(rows)
    return capsys.readouterr().out.splitlines()


def test_a_table_aligns_words_left_and_numbers_right(capsys, monkeypatch):
    rows = [{"name": "a", "n": 7, "x": 0.123456}, {"name": "long\x1b[31m\u202e", "n": 12_345, "x": 2.0}]
    assert table_of(rows, capsys, monkeypatch) == [
        "name                     n       x",
        "a                        7  0.1235",
        "long\\x1b[31m\\u202e  12,345       2",
    ]
    assert table_of([], capsys, monkeypatch) == ["(no rows)"]


def test_a_terminal_folds_the_widest_column_and_a_pipe_gets_whole_lines(capsys, monkeypatch):
    rows = [{"n": 1, "words": "one two three four five six seven eight"}]
    assert table_of(rows, capsys, monkeypatch) == ["n  words", "1  one two three four five six seven eight"]
    head, *lines = table_of(rows, capsys, monkeypatch, width=24)
    assert head == "\x1b[1mn  words\x1b[0m"
    assert lines == ["1  one two three four", "   five six seven eight"]


def test_what_is_too_wide_for_a_table_is_a_block_per_row(capsys, monkeypatch):
    rows = [{f"column_{i}": i * 1000 for i in range(30)}] * 2
    lines = table_of(rows, capsys, monkeypatch)
    assert lines[0] == "row 1 of 2"
    assert lines[1:3] == ["  column_0   0", "  column_1   1,000"]
    assert lines[31] == "row 2 of 2"
    narrow = table_of([{f"column_{i}": i for i in range(9)}], capsys, monkeypatch, width=40)
    assert narrow[0] == "row 1 of 1"


def test_wide_letters_take_two_columns(capsys, monkeypatch):
    rows = [{"名": "芯片", "n": 1}, {"名": "x", "n": 2}]
    assert table_of(rows, capsys, monkeypatch) == ["名    n", "芯片  1", "x     2"]


def test_a_bug_leaves_its_trace_in_the_log_file_too(tmp_path, capsys):
    set_voice(quiet=True, verbose=False, log_file=tmp_path / "log.txt")
    with pytest.raises(SystemExit):
        stop_for(KeyError("lost"))
    assert "KeyError: 'lost'" in (tmp_path / "log.txt").read_text()
    assert capsys.readouterr().err.count("KeyError: 'lost'") == 1


HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m"


def test_nothing_from_a_file_reaches_a_terminal_raw(capsys):
    set_voice(quiet=False, verbose=True, log_file=None)
    print_table([{HOSTILE: HOSTILE, "a\nb": "c\nd"}])
    print_table([{f"{HOSTILE}{number}": HOSTILE for number in range(30)}])
    tell(f"{HOSTILE}\ttab")
    print_warning(HOSTILE)
    with pytest.raises(SystemExit):
        stop_for(ArmillaryError(HOSTILE))
    with progress_bars() as on_progress:
        on_progress(HOSTILE, 0, 1)
    out, err = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in out + err)
    assert "\\x1b[2J\\x1b]0;title\\x07\\x9b31m    tab" in out
    assert err.count("\\x1b[2J") >= 4


def test_long_names_are_shortened(capsys):
    print_table([{"n" * 3000: "c" * 3000, "x": 1}])
    tell("l" * 100_000)
    head, row, line = capsys.readouterr().out.splitlines()
    assert "nnn...(3,000 letters)...nnn" in head
    assert "ccc...(3,000 letters)...ccc" in row
    assert len(row) < 500
    assert len(line) < 4100


def test_commands_print_by_the_console_alone():
    for path in sorted((Path(console.__file__).parent / "cli").glob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}, path.name


def test_files_that_a_log_skips_are_told_the_first_ones(capsys):
    set_voice(quiet=False, verbose=False, log_file=None)
    for number in range(9):
        logging.getLogger("armillary.log").warning("skipped %s: %s", f"{number}\x1b", "odd")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: skipped 0\\x1b: odd"
    assert lines[5:] == ["warning: there are more such files; `armillary log check` lists all"]
