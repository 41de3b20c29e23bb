import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from armillary.tools.command import Command
from armillary.tools.kept import MOST_FOLDERS, keep, kept_folder
from armillary.tools.process import run
from tools.programs import python

# Tells all that a run depends on, changes its input, and fails. Its mark, by which it is found, no repetition has.
WITNESS = """
import os, resource, sys
from pathlib import Path
print(sys.argv[1], sys.stdin.read(), Path("deep/in.txt").read_text(), os.environ["MORE"], os.environ.get("SECRET"))
print(sorted(set(os.environ) - {"ARMILLARY_RUN"}), resource.getrlimit(resource.RLIMIT_AS)[0])
print(sorted(str(path) for path in Path().rglob("*")))
Path("made").write_text("by the run")
sys.exit("it's wrong")
"""


def again(folder, **environment):
    """Run a kept folder's script, from another folder and in another environment."""
    return subprocess.run(
        [folder / "run.sh"], cwd="/", capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **environment}
    )


def test_the_script_repeats_the_failure(tmp_path, kept, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "in.txt").write_text("file's text")
    ended = run(
        python(
            WITNESS,
            'it\'s "quoted" $HOME',
            stdin="given\n",
            folder=folder,
            inputs=(Path("deep"),),
            environment={"MORE": "a b"},
            memory_limit_bytes=1 << 33,
        ),
        keep_failed=True,
    )
    assert ended.failure == "exit status 1: it's wrong"
    assert "a b None" in ended.text
    (found,) = kept.iterdir()
    for _ in range(2):  # the first repetition changes nothing for the second
        done = again(found, SECRET="2", MORE="other")
        assert (done.returncode, done.stdout, done.stderr) == (ended.status, ended.text, ended.error_text)
    assert (found / "run" / "made").exists()


def test_without_a_folder_the_script_runs_where_we_ran(tmp_path, kept, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(Command(("sh", "-c", "pwd; exit 4")), keep_failed=True)
    (found,) = kept.iterdir()
    done = again(found)
    assert (done.returncode, done.stdout) == (4, f"{tmp_path}\n")


def test_only_the_user_can_read_it(kept):
    found = keep(Command(("tool",), environment={"LICENCE": "secret"}), "why")
    assert found.stat().st_mode & 0o077 == 0


def test_the_reader_is_told_why(kept):
    text = (keep(Command(("/usr/bin/tool",)), "exit status 1:\nrm -rf /") / "run.sh").read_text()
    assert "# Repeats a run of tool that failed: exit status 1: rm -rf /\n" in text


def test_the_same_run_is_kept_once(tmp_path, kept):
    (tmp_path / "in").write_text("1")
    command = Command(("tool",), folder=tmp_path, inputs=(Path("in"),), stdin="a")
    first = keep(command, "exit status 1")
    os.utime(first, (1, 1))
    assert keep(command, "exit status 2") == first
    assert time.time() - first.stat().st_mtime < 60
    (tmp_path / "in").write_text("2")
    others = {
        keep(command, ""),
        keep(Command(("tool",), folder=tmp_path, inputs=(Path("in"),), stdin="b"), ""),
        keep(Command(("tool", "-x"), folder=tmp_path), ""),
        keep(Command(("tool",), folder=tmp_path, environment={"A": "1"}), ""),
        keep(Command(("tool",), folder=tmp_path, memory_limit_bytes=1 << 30), ""),
        keep(Command(("tool",)), ""),
    }
    assert len(others | {first}) == 7
    assert set(kept.iterdir()) == others | {first}


def test_the_last_twenty_are_kept_and_nothing_else_is_touched(kept):
    kept.mkdir()
    own = kept / "notes-0123456789abcdef"  # named like ours, without our script
    own.mkdir()
    (kept / "thesis.txt").write_text("years of work")
    abandoned, fresh = kept / ".unfinished-a", kept / ".unfinished-b"
    abandoned.mkdir()
    fresh.mkdir()
    os.utime(abandoned, (1, 1))
    folders = []
    for number in range(MOST_FOLDERS + 3):
        folders.append(keep(Command(("tool", str(number))), ""))
        os.utime(folders[-1], (1000 + number, 1000 + number))
    last = keep(Command(("tool", "last")), "")
    left = set(kept.iterdir())
    assert left == {own, kept / "thesis.txt", fresh, last, *folders[4:]}
    assert MOST_FOLDERS == 20


def test_many_threads_keep_at_once(kept):
    faults = []

    def one(number):
        try:
            for turn in range(10):
                keep(Command(("tool", str(turn % 3))), str(number))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(list(kept.iterdir())) == 3


def test_an_input_that_is_not_there_is_not_there_again(tmp_path, kept):
    ended = run(Command(("cat", "lost"), folder=tmp_path, inputs=(Path("lost"),)), keep_failed=True)
    (found,) = kept.iterdir()
    assert again(found).returncode == ended.status == 1


@pytest.mark.parametrize(("variable", "where"), [("ARMILLARY_KEPT", ""), ("ARMILLARY_CACHE", "kept")])
def test_where_runs_are_kept(monkeypatch, tmp_path, variable, where):
    monkeypatch.delenv("ARMILLARY_KEPT", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert kept_folder() == tmp_path / where
