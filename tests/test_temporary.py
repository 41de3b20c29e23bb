"""Folders for the time of a task."""

import errno
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

import armillary
from armillary import temporary
from armillary.temporary import temporary_folder
from armillary.types import AccidentError, ArmillaryError

FULL = r"the folder for temporary files, .*, is full; free room, or set TMPDIR to another"
HOLDING = """
import sys
from armillary.temporary import temporary_folder
with temporary_folder("rtl") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    temporary._swept.cache_clear()
    return tmp_path


def holder(root):
    environment = {**os.environ, "PYTHONPATH": str(Path(armillary.__file__).parents[1]), "TMPDIR": str(root)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_with_its_task(root):
    with temporary_folder("rtl") as folder:
        assert folder.parent == root
        assert folder.name.startswith("armillary-rtl-")
        (folder / "a").write_text("a")
    assert list(root.iterdir()) == []


def test_folders_of_killed_processes_are_swept_and_those_of_others_are_not(root):
    killed, alive = holder(root), holder(root)
    killed[0].kill()
    killed[0].communicate()
    foreign = root / "armillary-mine"
    foreign.mkdir()
    for folder in (killed[1], alive[1], foreign):
        os.utime(folder, (time.time() - 100,) * 2)
    with temporary_folder("rtl") as folder:
        assert set(root.iterdir()) == {folder, alive[1], foreign}
    alive[0].communicate()
    assert list(root.iterdir()) == [foreign]


def test_a_full_folder_is_named(root, monkeypatch):
    with pytest.raises(ArmillaryError, match=FULL) as fault, temporary_folder("rtl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert fault.value.__cause__.errno == errno.ENOSPC
    with pytest.raises(OSError, match="space") as fault, temporary_folder("rtl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/elsewhere/log")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(temporary.shutil, "disk_usage", lambda _: usage(0))
    with pytest.raises(ArmillaryError, match=FULL), temporary_folder("rtl"):
        raise AccidentError("g++: fatal error: No space left on device")


def test_an_accident_with_room_left_is_an_accident():
    with pytest.raises(AccidentError, match="cc1plus"), temporary_folder("rtl"):
        raise AccidentError("g++: cc1plus was killed")
