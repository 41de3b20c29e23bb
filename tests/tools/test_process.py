import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

import armillary
from armillary.tools import process
from armillary.tools.command import Command
from armillary.tools.process import StoppedError, run, shell_accident, side_by_side
from armillary.types import AccidentError, ArmillaryError
from tools.programs import python, survivors

# A child and a grandchild that sleep, and whose numbers it writes into a file; then what is appended.
FAMILY = """
import os, subprocess, sys, time
inner = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE, text=True)
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid} {child.stdout.readline()}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
"""


def family(path):
    """Return the numbers of the processes, once all are there."""
    for _ in range(1000):
        if path.exists():
            return [int(word) for word in path.read_text().split()]
        time.sleep(0.02)
    raise AssertionError("the program did not start")


def test_what_a_program_says_comes_back():
    ended = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (ended.stdout, ended.stderr, ended.status, ended.signal) == (b"out\n", b"err\n", 3, None)
    assert not ended.ok
    assert ended.failure == "exit status 3: err"
    assert 0 < ended.seconds < 30
    assert run(Command(("true",))).ok


def test_input_larger_than_a_pipe_goes_through_while_output_comes_back():
    given = os.urandom(3_000_000)
    assert run(Command(("cat",), stdin=given)).stdout == given
    assert run(Command(("cat",), stdin="grün")).text == "grün"
    assert run(Command(("cat",))).stdout == b""


def test_a_program_that_reads_none_of_its_input_is_no_fault():
    assert run(Command(("true",), stdin="x" * 1_000_000)).ok


def test_a_program_that_stops_reading_still_has_its_time_limit():
    ended = run(python("import sys, time; sys.stdin.buffer.raw.read(5000); time.sleep(60)",
                       stdin="x" * 1_000_000, time_limit_s=1))  # fmt: skip
    assert ended.hit_time_limit


def test_every_program_can_be_ended_from_outside(tmp_path):
    command = python(FAMILY + "time.sleep(60)", tmp_path / "pids")
    with side_by_side(1) as threads:
        running = threads.submit(run, command)
        numbers = family(tmp_path / "pids")
        process.end_all()
        with pytest.raises(AccidentError, match="ended by SIGKILL"):
            running.result()
    assert not survivors(numbers)
    assert run(Command(("true",))).ok


def test_it_runs_in_its_folder(tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\npwd\n")
    (tmp_path / "tool").chmod(0o755)
    assert run(Command(("./tool",), folder=tmp_path)).text.strip() == str(tmp_path)


def test_the_time_limit_kills_grandchildren_too(tmp_path):
    ended = run(python(FAMILY + "print('begun', flush=True)\ntime.sleep(60)", tmp_path / "pids", time_limit_s=3))
    assert ended.hit_time_limit
    assert not ended.hit_output_limit
    assert ended.failure == "took more than 3 s"
    assert ended.text == "begun\n"
    assert 3 <= ended.seconds < 13
    numbers = family(tmp_path / "pids")
    assert len(numbers) == 3
    assert survivors(numbers) == []


def test_what_a_program_leaves_behind_is_killed_and_not_waited_for(tmp_path):
    ended = run(python(FAMILY + "print('done')", tmp_path / "pids"))
    assert (ended.text, ended.status) == ("done\n", 0)
    assert ended.seconds < 30
    assert survivors(family(tmp_path / "pids")) == []


def test_what_a_program_leaves_behind_is_not_listened_to():
    ended = run(Command(("sh", "-c", "for i in 1 2 3 4; do yes & done; exit 0")))
    assert (ended.status, ended.hit_output_limit) == (0, False)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_beyond_the_limit_is_cut_and_our_memory_bounded(stream):
    endless = f"import sys\nwhile True: sys.{stream}.write('x' * 10_000)"
    tracemalloc.start()
    try:
        ended = run(python(endless, output_limit_bytes=1_000_000, time_limit_s=60))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended.hit_output_limit
    assert not ended.hit_time_limit
    assert ended.failure == "wrote more than 1,000,000 bytes"
    assert len(ended.stdout) + len(ended.stderr) == 1_000_000
    assert most < 6_000_000


def test_output_up_to_the_limit_is_all_there():
    ended = run(python("import sys; sys.stdout.write('o' * 600); sys.stderr.write('e' * 400)", output_limit_bytes=1000))
    assert (len(ended.stdout), len(ended.stderr)) == (600, 400)
    assert ended.ok


def test_a_program_that_closes_its_output_still_has_its_time_limit():
    ended = run(python("import os, time; os.close(1); os.close(2); time.sleep(60)", time_limit_s=0.5))
    assert ended.hit_time_limit
    assert run(python("import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(7)")).status == 7


def test_the_environment_is_cleaned(monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen = dict(line.split("=", 1) for line in run(Command(("env",), environment={"MORE": "2"})).text.splitlines())
    assert seen["MORE"] == "2"
    assert seen["PATH"] == os.environ["PATH"]
    assert not {"SECRET", "PYTHONPATH", "PYTEST_CURRENT_TEST"} & set(seen)


def test_the_memory_limit_holds_for_the_program():
    script = "a = bytearray(400 << 20); print('there')"
    assert run(python(script)).text == "there\n"
    ended = run(python(script, memory_limit_bytes=300 << 20))
    assert "MemoryError" in ended.error_text
    assert ended.status == 1


def test_a_signal_is_an_accident():
    with pytest.raises(AccidentError, match=r"^python.*: ended by SIGSEGV after 0\.\d s: last words$") as fault:
        run(python("import os, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)"))
    assert not isinstance(fault.value, ArmillaryError)
    with pytest.raises(AccidentError, match="ended by SIGKILL, as by a machine out of memory, after"):
        run(Command(("sh", "-c", "kill -KILL $$")))


def test_what_a_driver_tells_of_a_signal_is_an_accident():
    driver = Command(("sh", "-c", "echo 'part killed'; exit 1"))
    with pytest.raises(AccidentError, match=r"sh: its part after 0\.\d s: part killed"):
        run(driver, accident_of=lambda ended: "its part" if "killed" in ended.text else "")
    assert run(driver, accident_of=lambda ended: "").status == 1


def test_our_own_limits_are_no_accident():
    sleeping = Command(("sleep", "60"), time_limit_s=0.2)
    assert run(sleeping, accident_of=lambda ended: "an accident").failure == "took more than 0.2 s"


@pytest.mark.parametrize(("status", "told"), [(137, "SIGKILL"), (139, "SIGSEGV"), (130, ""), (128, ""), (1, "")])
def test_a_shell_tells_of_crashes_by_its_status(status, told):
    found = shell_accident(run(Command(("sh", "-c", f"exit {status}"))))
    assert told in found
    assert bool(found) == bool(told)
    if told:
        assert f"exit status {status}" in found


@pytest.mark.parametrize(
    ("arguments", "folder", "message"),
    [
        (("no-such-program",), None, r"program 'no-such-program' not found on the PATH \("),
        (("./no-such-program",), Path("/tmp"), r"/tmp/no-such-program: there is no such program"),
        (("/etc/passwd",), None, r"/etc/passwd: is not executable"),
        (("true",), Path("/no/folder"), r"true: there is no folder /no/folder to run in"),
    ],
)
@pytest.mark.parametrize("memory", [None, 1 << 30])
def test_what_cannot_be_started_is_refused(arguments, folder, message, memory):
    with pytest.raises(ArmillaryError, match=message):
        run(Command(arguments, folder=folder, memory_limit_bytes=memory))


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / "text").write_text("neither script nor binary")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(ArmillaryError, match=r"text: cannot be started \(Exec format error\)"):
        run(Command((str(tmp_path / "text"),)))


def test_a_machine_without_room_for_a_process_is_an_accident(monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(process.subprocess, "Popen", refused)
    with pytest.raises(AccidentError, match=r"true: cannot be started \(Resource temporarily unavailable\)"):
        run(Command(("true",)))


def test_an_interrupt_kills_the_whole_family(tmp_path):
    script = (
        "import signal, sys\nfrom pathlib import Path\nfrom armillary.tools.command import Command\n"
        "from armillary.tools.process import run, side_by_side\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # who tests may have been started to ignore it
        "command = Command((sys.executable, '-c', sys.argv[2] + 'time.sleep(60)', sys.argv[1]))\n"
        "if sys.argv[3] == 'threads':\n"
        "    with side_by_side(1) as threads:\n        list(threads.map(run, [command]))\n"
        "else:\n    run(command)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(armillary.__file__).parents[1])}
    for how in ("alone", "threads"):
        path = tmp_path / how
        with subprocess.Popen(
            [sys.executable, "-c", script, path, FAMILY, how], env=environment, stderr=subprocess.PIPE, text=True
        ) as ours:
            numbers = family(path)
            ours.send_signal(signal.SIGINT)
            _, said = ours.communicate(timeout=20)
        assert "KeyboardInterrupt" in said
        assert survivors(numbers) == []


def test_a_block_that_is_left_stops_its_programs(tmp_path):
    futures = []

    def fail():
        with side_by_side(1) as threads:
            futures.append(threads.submit(run, python(FAMILY + "time.sleep(60)", tmp_path / "pids")))
            futures.append(threads.submit(run, Command(("touch", str(tmp_path / "begun")))))
            family(tmp_path / "pids")
            raise ValueError("left")

    started = time.perf_counter()
    with pytest.raises(ValueError, match="left"):
        fail()
    assert time.perf_counter() - started < 30
    with pytest.raises(StoppedError):
        futures[0].result()
    assert futures[1].cancelled()
    assert not (tmp_path / "begun").exists()
    assert survivors(family(tmp_path / "pids")) == []
    assert run(Command(("true",))).ok


def test_a_block_within_a_block_stops_with_it(tmp_path):
    def inner():
        with side_by_side(1) as threads:
            return threads.submit(run, python(FAMILY + "time.sleep(60)", tmp_path / "pids")).result()

    def fail():
        with side_by_side(1) as threads:
            threads.submit(inner)
            family(tmp_path / "pids")
            raise ValueError("left")

    with pytest.raises(ValueError, match="left"):
        fail()
    assert survivors(family(tmp_path / "pids")) == []


def test_programs_run_side_by_side():
    both = threading.Barrier(2)

    def one(_):
        both.wait(timeout=20)
        return run(Command(("true",))).ok

    with side_by_side(2) as threads:
        assert list(threads.map(one, range(2))) == [True, True]


def test_a_failed_run_is_kept_if_asked_for(kept):
    failing = Command(("sh", "-c", "exit 3"))
    assert run(failing).kept == ""
    assert not kept.exists()
    ended = run(failing, keep_failed=True)
    (folder,) = kept.iterdir()
    assert ended.kept == f"; run it again by hand: {folder / 'run.sh'}"
    with pytest.raises(AccidentError, match=re.escape("; run it again by hand: " + str(kept)) + ".*run.sh$"):
        run(Command(("sh", "-c", "kill -ABRT $$")), keep_failed=True)
    run(Command(("true",)), keep_failed=True)
    assert len(list(kept.iterdir())) == 2


def test_a_full_disk_does_not_hide_how_the_run_failed(kept):
    kept.write_text("a file where the folder should be")
    ended = run(Command(("sh", "-c", "echo wrong; exit 3")), keep_failed=True)
    assert ended.failure == "exit status 3: wrong"
    assert ended.kept == "; the run could not be kept (File exists)"
