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


def start_writer(log_path, table, writer, fragments, rows):
    command = [sys.executable, str(APPENDER), str(log_path), table, *map(str, (writer, fragments, rows))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_writers_at_once_lose_nothing(tmp_path, case):
    writers = [start_writer(tmp_path / "log", case.table.name, writer, fragments=25, rows=40) for writer in (1, 2, 3)]
    names = [name for process in writers for name in process.communicate(timeout=60)[0].split()]
    log = Log(tmp_path / "log")
    back = case.read(log, "edge_tpu")
    assert sorted(names) == [fragment.name for fragment in case.fragments(log)]
    assert log.skipped == []
    assert np.unique(back.seed, return_counts=True)[1].tolist() == [1000, 1000, 1000]


def test_writers_of_both_tables_at_once_lose_nothing(tmp_path):
    tables = ("evaluations", "layer_runs")
    writers = [start_writer(tmp_path / "log", table, 1, fragments=25, rows=40) for table in tables]
    for process in writers:
        process.communicate(timeout=60)
    log = Log(tmp_path / "log")
    assert len(log.evaluations("edge_tpu")) == len(log.layer_runs("edge_tpu")) == 1000
    assert log.skipped == []


def test_a_reader_beside_a_writer_sees_only_whole_fragments(tmp_path, case):
    log = Log(tmp_path)
    process = start_writer(tmp_path, case.table.name, writer=1, fragments=40, rows=30)
    process.stdout.readline()
    seen = []
    while process.poll() is None:
        seen.append(len(case.read(log, "edge_tpu")))
        assert log.skipped == []
    process.communicate()
    assert len(case.read(log, "edge_tpu")) == 1200
    assert seen == sorted(seen)
    assert all(rows % 30 == 0 for rows in seen)


def test_a_killed_writer_loses_no_finished_fragment(tmp_path, case):
    rng = random.Random(7)
    log = Log(tmp_path)
    promised = set()
    for writer in range(4):
        process = start_writer(tmp_path, case.table.name, writer, fragments=100_000, rows=5000)
        promised.add(process.stdout.readline().strip())
        time.sleep(rng.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        promised.update(process.communicate()[0].split("\n")[:-1])
    held = {fragment.name: fragment.rows for fragment in case.fragments(log)}
    assert promised <= set(held)
    assert set(held.values()) == {5000}
    assert len(case.read(log, "edge_tpu")) == 5000 * len(held)
    assert log.skipped == []


def test_leftovers_of_a_killed_writer_do_not_disturb_the_next(tmp_path, case, assert_same):
    log = Log(tmp_path)
    folder = tmp_path / case.subfolder
    folder.mkdir(exist_ok=True)
    (folder / unfinished_name("20260101T000000.000000Z-1-00.parquet")).write_bytes(b"half")
    case.append(log, case.rows())
    assert_same(case.read(log, "edge_tpu"), case.rows())
    assert log.skipped == []


def test_a_new_folder_is_synced_into_the_one_that_holds_it(tmp_path, case, monkeypatch):
    """Or a crash of the machine could lose a folder with the fragments that were said to be safe."""
    synced = []
    monkeypatch.setattr("armillary.atomic_file._sync", lambda path: synced.append(path) if path.is_dir() else None)
    case.append(Log(tmp_path / "deep" / "log"), case.rows())
    folder = tmp_path / "deep" / "log" / case.subfolder
    assert synced == [tmp_path, tmp_path / "deep", *[folder.parent] * (folder.name == case.subfolder), folder]


def full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_the_log_as_it_was(tmp_path, case, assert_same, monkeypatch, call):
    log = Log(tmp_path)
    name = case.append(log, case.rows())
    with monkeypatch.context() as patch:
        patch.setattr(f"os.{call}", full_disk)
        with pytest.raises(
            LogWriteError, match=rf"{tmp_path}/.*\.parquet: cannot be written \(No space left on device\); .* intact"
        ):
            case.append(log, case.rows(seed=1))
    assert os.listdir(tmp_path / case.subfolder) == [name]
    assert_same(case.read(log, "edge_tpu"), case.rows())


def test_a_disk_that_fills_up_while_rows_are_written(tmp_path, case):
    """The limit on file size makes the kernel refuse a write in the middle of a fragment."""
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); from appender import APPEND, ROWS, Log\n"
        "from armillary.log.folder import LogWriteError\n"
        "log, rows, append = Log(sys.argv[1]), ROWS[sys.argv[3]], APPEND[sys.argv[3]]\n"
        "append(log, rows(10, 1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    append(log, rows(50_000, 2))\n"
        "except LogWriteError as fault:\n    print(fault)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(APPENDER.parent), case.table.name]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    folder = tmp_path / case.subfolder
    assert printed.startswith(f"{str(folder).rstrip('/')}/2")
    assert printed.endswith(".parquet: cannot be written (File too large); what was logged before is intact\n")
    assert len(os.listdir(folder)) == 1
    assert len(case.read(Log(tmp_path), "edge_tpu")) == 10


def test_a_remote_file_system_that_refuses_leaves_nothing(case, monkeypatch):
    root = f"/refusing/{case.table.name}"
    log = Log(f"memory:/{root}")
    name = case.append(log, case.rows())
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "mv", full_disk)
    with pytest.raises(LogWriteError, match=rf"memory:/{root}.*\.parquet: cannot be written \(No space left"):
        case.append(log, case.rows())
    assert [Path(path).name for path in memory.ls(f"{root}/{case.subfolder}".rstrip("/"), detail=False)] == [name]


def test_ctrl_c_while_writing_leaves_no_temporary_file(tmp_path, case, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    folder = tmp_path / "log" / case.subfolder
    folder.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        case.append(Log(tmp_path / "log"), case.rows())
    assert os.listdir(folder) == []
