"""Files that appear whole or not at all.

A file is written under another name beside its place, synced, and put in place at once. So a reader sees all of it or
what was there before; a writer that fails leaves what was there, one that is killed at most a file that
`is_unfinished`, which later writers of the folder remove when it is a day old.
"""

from __future__ import annotations

import errno
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from armillary.types import ArmillaryError

_MARK = ".unfinished-"
_ABANDONED_S = 86_400.0  # the clock of a file server may differ from ours by hours


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Provide a path to write to; when the block ends, the file there takes the place of the one at `path`.

    The provided path has the suffix of `path`, and no other block, thread or process is provided the same. The folder
    is made if need be; a symbolic link is followed. When the block has ended, the file is on the disk.

    Raises:
        ArmillaryError: if the file system refuses, or `path` is a device or a pipe; what was at `path` is intact.
    """
    with refusals_reported(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is a device or a pipe, no file")
        target = Path(os.path.realpath(path))
        with _unfinished(target) as unfinished:
            yield unfinished
            _sync(unfinished)
            os.replace(unfinished, target)
            _sync(target.parent)


def created(path: Path, content: str) -> None:
    """Write a text file that is not there yet; see `created_by`."""
    created_by(path, lambda unfinished: unfinished.write_text(content, encoding="utf-8"))


def created_by(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that is not there yet.

    Of several that create the same file at once, one does. The folder is made if need be.

    Args:
        path: of the file.
        write: is called with another path, and writes the file there.

    Raises:
        FileExistsError: if the file is there already; it is as before.
        ArmillaryError: if the file system refuses; it has to have hard links.
    """
    there = os.path.lexists(path)
    if not there:
        with refusals_reported(path), _unfinished(path) as unfinished:
            write(unfinished)
            _sync(unfinished)
            try:
                os.link(unfinished, path)  # which, unlike a rename, never replaces
            except FileExistsError:
                there = True
            else:
                _sync(path.parent)
    if there:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


@contextmanager
def refusals_reported(path: str | Path) -> Iterator[None]:
    """Turn what a file system raises while a file is written into an error that names the file.

    Raises:
        ArmillaryError: `{path}: cannot be written ({reason})`.
    """
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or str(fault) or type(fault).__name__
        raise ArmillaryError(f"{path}: cannot be written ({reason})") from fault


def unfinished_name(name: str) -> str:
    """Return a name for a file that is not whole yet: hidden, of the same suffix, and another one at every call."""
    stem, suffix = os.path.splitext(name)
    return f".{stem}{_MARK}{secrets.token_hex(8)}{suffix}"


def is_unfinished(name: str) -> bool:
    """Return whether a file name is one of `unfinished_name`: of a writer at work, or of one that was killed."""
    return name.startswith(".") and _MARK in name


@functools.cache
def sweep(folder: Path) -> None:
    """Remove, once per process, what killed writers left in a folder a day ago or earlier."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_unfinished(entry.name) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_S:
                with suppress(OSError):
                    os.unlink(entry.path)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Provide an unused path beside another; what is still there when the block ends, or is left, is removed."""
    _make_folder(path.parent)
    sweep(path.parent)
    unfinished = path.with_name(unfinished_name(path.name))
    try:
        yield unfinished
    finally:
        with suppress(OSError):  # what the block raised says more
            unfinished.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make a folder and those that hold it, each name of them on the disk."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
