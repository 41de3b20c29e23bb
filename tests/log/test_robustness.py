"""Writers that are killed, that run out of disk, and that write at the same time."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest

from armillary.atomic_file import unfinished_name
from armillary.log.folder import LogWriteError
from armillary.log.store import Log

APPENDER = Path(__file__).with_name("appender.py")


def start_writer(log_path, writer, fragments, rows):
    command = [sys.executable, str(APPENDER), str(log_path), *map(str, (writer, fragments, rows))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_writers_at_once_lose_nothing(tmp_path):
    writers = [start_writer(tmp_path / "log", writer, fragments=25, rows=40) for writer in (1, 2, 3)]
    names = [name for process in writers for name in process.communicate(timeout=60)[0].split()]
    log = Log(tmp_path / "log")
    back = log.evaluations("edge_tpu")
    assert sorted(names) == [fragment.name for fragment in log.fragments()]
    assert log.skipped == []
    assert np.unique(back.seed, return_counts=True)[1].tolist() == [1000, 1000, 1000]


def test_a_reader_beside_a_writer_sees_only_whole_fragments(tmp_path):
    log = Log(tmp_path)
    process = start_writer(tmp_path, writer=1, fragments=40, rows=30)
    process.stdout.readline()
    seen = []
    while process.poll() is None:
        seen.append(len(log.evaluations("edge_tpu")))
        assert log.skipped == []
    process.communicate()
    assert len(log) == 1200
    assert seen == sorted(seen)
    assert all(rows % 30 == 0 for rows in seen)


def test_a_killed_writer_loses_no_finished_fragment(tmp_path):
    rng = random.Random(7)
    log = Log(tmp_path)
    promised = set()
    for writer in range(6):
        process = start_writer(tmp_path, writer, fragments=100_000, rows=5000)
        promised.add(process.stdout.readline().strip())
        time.sleep(rng.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        promised.update(process.communicate()[0].split("\n")[:-1])
    held = {fragment.name: fragment.rows for fragment in log.fragments()}
    assert promised <= set(held)
    assert set(held.values()) == {5000}
    assert len(log.evaluations("edge_tpu")) == 5000 * len(held)
    assert log.skipped == []


def test_leftovers_of_a_killed_writer_do_not_disturb_the_next(tmp_path, evaluations, assert_same):
    log = Log(tmp_path)
    (tmp_path / unfinished_name("20260101T000000.000000Z-1-00.parquet")).write_bytes(b"half")
    log.append(evaluations())
    assert_same(log.evaluations("edge_tpu"), evaluations())
    assert log.skipped == []


def full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_the_log_as_it_was(tmp_path, evaluations, assert_same, monkeypatch, call):
    log = Log(tmp_path)
    name = log.append(evaluations())
    with monkeypatch.context() as patch:
        patch.setattr(f"os.{call}", full_disk)
        with pytest.raises(
            LogWriteError, match=rf"{tmp_path}/.*\.parquet: cannot be written \(No space left on device\); .* intact"
        ):
            log.append(evaluations(seed=1))
    assert os.listdir(tmp_path) == [name]
    assert_same(log.evaluations("edge_tpu"), evaluations())


def test_a_disk_that_fills_up_while_rows_are_written(tmp_path):
    """The limit on file size makes the kernel refuse a write in the middle of a fragment."""
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); from appender import Log, rows\n"
        "from armillary.log.folder import LogWriteError\n"
        "log = Log(sys.argv[1]); log.append(rows(10, 1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    log.append(rows(50_000, 2))\n"
        "except LogWriteError as fault:\n    print(fault)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(APPENDER.parent)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.startswith(f"{tmp_path}/2")
    assert printed.endswith(".parquet: cannot be written (File too large); what was logged before is intact\n")
    assert len(os.listdir(tmp_path)) == 1
    assert len(Log(tmp_path)) == 10


def test_a_remote_file_system_that_refuses_leaves_nothing(evaluations, monkeypatch):
    log = Log("memory://refusing/log")
    name = log.append(evaluations())
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "mv", full_disk)
    with pytest.raises(LogWriteError, match=r"memory://refusing/log/.*\.parquet: cannot be written \(No space left"):
        log.append(evaluations())
    assert [Path(path).name for path in memory.ls("/refusing/log", detail=False)] == [name]


def test_ctrl_c_while_writing_leaves_no_temporary_file(tmp_path, evaluations, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    (tmp_path / "log").mkdir()
    with pytest.raises(KeyboardInterrupt):
        Log(tmp_path / "log").append(evaluations())
    assert os.listdir(tmp_path / "log") == []
