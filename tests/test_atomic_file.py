"""Files that appear whole or not at all."""

import errno
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from armillary.atomic_file import created, is_unfinished, refusals_reported, replaced, unfinished_name
from armillary.types import ArmillaryError


def write(path, text):
    with replaced(path) as unfinished:
        unfinished.write_text(text)


def full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "a.tar.gz"
    with replaced(path) as unfinished:
        assert unfinished.parent == path.parent
        assert unfinished.suffix == ".gz"  # NumPy and matplotlib go by it
        unfinished.write_text("one")
        assert names(path.parent) == [unfinished.name]
    write(path, "two")
    assert path.read_text() == "two"
    assert names(path.parent) == ["a.tar.gz"]


def test_the_content_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    """Without the order of the two, a machine that loses its power may keep an empty file under the name."""
    path, done = tmp_path / "a.txt", []
    fsync, rename = os.fsync, os.replace

    def seen_fsync(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def seen_rename(source, target):
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr("os.fsync", seen_fsync)
    monkeypatch.setattr("os.replace", seen_rename)
    with replaced(path) as unfinished:
        unfinished.write_text("one")
    assert done == [path.stat().st_ino, "renamed", tmp_path.stat().st_ino]


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "pathlib.Path.write_text"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "a.txt"
    write(path, "before")
    with monkeypatch.context() as patch:
        patch.setattr(call, full_disk)
        with pytest.raises(ArmillaryError) as refused:
            write(path, "after")
    assert str(refused.value) == f"{path}: cannot be written (No space left on device)"
    assert isinstance(refused.value.__cause__, OSError)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_disk_that_fills_up_halfway(tmp_path):
    """The limit on file size makes the kernel refuse the second half."""
    path = tmp_path / "a.bin"
    write(path, "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ArmillaryError, match=r"a\.bin: cannot be written \(File too large\)"):  # noqa: SIM117
            with replaced(path) as unfinished:
                unfinished.write_bytes(b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_other_faults_pass_and_leave_nothing(tmp_path, fault):
    write(tmp_path / "a.txt", "before")
    with pytest.raises(fault), replaced(tmp_path / "a.txt") as unfinished:  # noqa: PT012
        unfinished.write_text("half")
        raise fault
    assert (tmp_path / "a.txt").read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_writers_of_one_file_do_not_meet(tmp_path):
    path, whole = tmp_path / "a.txt", {letter * 200_000 for letter in "abcd"}
    write(path, "a" * 200_000)
    seen, ended = set(), threading.Event()

    def read():
        while not ended.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: write(path, text), sorted(whole) * 10))
    ended.set()
    reader.join()
    assert seen <= whole
    assert names(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link(tmp_path):
    write(tmp_path / "real.txt", "before")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.txt"
    link.symlink_to(tmp_path / "real.txt")
    write(link, "after")
    assert link.is_symlink()
    assert (tmp_path / "real.txt").read_text() == "after"


def test_pipes_and_folders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArmillaryError, match=r"pipe: cannot be written \(it is a device or a pipe, no file\)"):
        write(tmp_path / "pipe", "x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "x"):
        with pytest.raises(ArmillaryError, match=f"{path}: cannot be written"):
            write(path, "x")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["file", "folder", "pipe"]


def test_a_file_is_created_once(tmp_path):
    path = tmp_path / "new" / "a.json"
    created(path, "µ")
    with pytest.raises(FileExistsError, match=r"a\.json"):
        created(path, "two")
    assert path.read_text(encoding="utf-8") == "µ"
    assert names(path.parent) == ["a.json"]


def test_of_many_that_create_a_file_one_does(tmp_path, monkeypatch):
    path, meet = tmp_path / "a.json", threading.Barrier(8)
    link = os.link

    def meeting_link(source, target):
        meet.wait(timeout=30)  # none has found the file there before
        link(source, target)

    monkeypatch.setattr("os.link", meeting_link)

    def create(number):
        try:
            created(path, str(number))
        except FileExistsError:
            return None
        return str(number)

    with ThreadPoolExecutor(8) as pool:
        creators = [number for number in pool.map(create, range(8)) if number is not None]
    assert creators == [path.read_text()]
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_is_created_is_whole_when_it_appears(tmp_path, monkeypatch):
    path, fsync = tmp_path / "a.json", os.fsync
    at_fsync = []

    def seen_fsync(descriptor):
        at_fsync.append((path.exists(), os.fstat(descriptor).st_size))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", seen_fsync)
    created(path, "whole")
    assert at_fsync[0] == (False, len("whole"))


@pytest.mark.parametrize("call", ["os.fsync", "os.link"])
def test_a_full_disk_creates_nothing(tmp_path, monkeypatch, call):
    monkeypatch.setattr(call, full_disk)
    with pytest.raises(ArmillaryError, match=r"a\.json: cannot be written \(No space left on device\)"):
        created(tmp_path / "a.json", "{}")
    assert names(tmp_path) == []


def test_a_file_where_the_folder_belongs_is_no_file_that_exists(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArmillaryError, match=r"file/a\.json: cannot be written"):
        created(tmp_path / "file" / "a.json", "{}")


def test_unfinished_names_are_told_from_others():
    one, two = (unfinished_name("a.b.parquet") for _ in range(2))
    assert one != two
    assert one.startswith(".a.b")  # hidden from those who list *.parquet
    assert one.endswith(".parquet")
    assert is_unfinished(one)
    assert is_unfinished(unfinished_name("noext"))
    for name in ("a.b.parquet", ".hidden", "a.unfinished-1.parquet"):
        assert not is_unfinished(name)


def test_a_refusal_without_words_has_its_type():
    with pytest.raises(ArmillaryError, match=r"x: cannot be written \(TimeoutError\)"), refusals_reported("x"):
        raise TimeoutError


def test_what_killed_writers_left_goes_when_it_is_old(tmp_path):
    old, young = (tmp_path / unfinished_name(name) for name in ("a.txt", "b.txt"))
    other = tmp_path / "c.txt"
    for path in (old, young, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write(tmp_path / "new.txt", "whole")
    assert names(tmp_path) == sorted([young.name, "c.txt", "new.txt"])
