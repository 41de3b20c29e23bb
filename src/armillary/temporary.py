"""Folders for the time of a task, which go when it ends; those of killed processes go when another makes one.

A folder is its owner's while a lock on it is held, which the system releases however the owner ends.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from armillary.types import AccidentError, ArmillaryError

_PREFIX, _LOCK = "armillary-", ".owner"
_YOUNG_S = 60.0  # in which a folder may not have its lock yet
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LEAST_BYTES = 1 << 20  # a disk with less room is full


@contextmanager
def temporary_folder(task: str) -> Iterator[Path]:
    """Provide an empty folder, which is removed when the block ends.

    Args:
        task: what it is for, as a part of its name.

    Raises:
        ArmillaryError: if there is no room for temporary files, or none was left for what the block did; names the
            folder that is full.
    """
    root = _root()
    _swept(root)
    try:
        with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{task}-", dir=root) as name, _locked(Path(name)):
            yield Path(name)
    except OSError as fault:
        if fault.errno in _FULL and _is_within(fault.filename, root):
            raise _full(root) from fault
        raise
    except AccidentError as fault:
        if shutil.disk_usage(root).free < _LEAST_BYTES:
            raise _full(root) from OSError(errno.ENOSPC, str(fault))
        raise


def _root() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as fault:
        raise ArmillaryError(
            f"there is no folder for temporary files ({fault.strerror or fault}); free room, or set TMPDIR to another"
        ) from OSError(errno.ENOSPC, str(fault))


def _full(root: Path) -> ArmillaryError:
    return ArmillaryError(f"the folder for temporary files, {root}, is full; free room, or set TMPDIR to another")


def _is_within(name: object, root: Path) -> bool:
    """Return whether a file that a fault names lies there; most faults of writing name none."""
    return name is None or Path(os.fsdecode(str(name))).is_relative_to(root)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@functools.cache
def _swept(root: Path) -> None:
    """Remove, once per process, the folders of ours whose owners have ended."""
    for folder in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    found = folder.lstat()
    if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        return False
    if time.time() - found.st_mtime < _YOUNG_S:
        return False
    try:
        descriptor = os.open(folder / _LOCK, os.O_WRONLY)
    except FileNotFoundError:  # not of ours, or of before there were locks
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
