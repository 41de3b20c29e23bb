"""What ends us ends the programs that we run, wherever they went."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import armillary
from armillary.tools import process
from armillary.tools.command import Command
from armillary.tools.process import run
from tools.programs import survivors

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(armillary.__file__).parents[1])}
# Writes its number into a file, and that of a child in a session of its own, which holds standard output open.
RUNAWAY = 'setsid sh -c \'echo $$ > "$0.part"; mv "$0.part" "$0"; exec sleep 60\' "$1" & echo $$ > "$1.own"'
OURS = """
import signal, sys
from armillary.tools.command import Command
from armillary.tools.process import run
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored
run(Command(("sh", "-c", sys.argv[2] + "; sleep 60", "sh", sys.argv[1])))
"""


def number_in(path):
    for _ in range(1000):
        if path.exists():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("the program did not start")


def test_what_leaves_its_group_is_killed_and_the_answer_kept(tmp_path):
    path = tmp_path / "pid"
    script = RUNAWAY + '; while [ ! -e "$1" ]; do sleep 0.05; done; echo answer'
    ended = run(Command(("sh", "-c", script, "sh", str(path)), foreign=True, time_limit_s=50))
    assert (ended.text, ended.status) == ("answer\n", 0)
    assert survivors([number_in(path)]) == []


def test_another_run_is_left_alone(tmp_path):
    with process.side_by_side(1) as threads:
        running = threads.submit(run, Command(("sh", "-c", 'echo 1 > "$0"; sleep 1; echo whole', str(tmp_path / "on"))))
        number_in(tmp_path / "on")
        assert run(Command(("true",), foreign=True)).ok
        assert running.result().text == "whole\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_however_we_end_our_programs_end(how, tmp_path):
    path = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", OURS, path, RUNAWAY], env=ENVIRONMENT) as ours:
        numbers = [number_in(path), number_in(tmp_path / "pid.own")]
        ours.send_signal(how)
        assert ours.wait(20) == -how
    assert survivors(numbers) == []


def test_a_warden_that_was_ended_is_replaced():
    run(Command(("true",)))
    first = process._warden._process
    os.kill(first, signal.SIGKILL)
    survivors([first])
    assert run(Command(("true",))).ok
    second = process._warden._process
    assert second != first
    os.kill(second, 0)


def test_a_fork_of_ours_does_not_hold_the_warden_back(tmp_path):
    path = tmp_path / "pid"
    forking = OURS.replace("signal.signal", "run(Command(('true',)))\nimport os, time\n"
                           "if not os.fork():\n    time.sleep(20)\n    os._exit(0)\nsignal.signal")  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", forking, path, RUNAWAY], env=ENVIRONMENT) as ours:
        numbers = [number_in(path)]
        ours.kill()
    assert survivors(numbers) == []
