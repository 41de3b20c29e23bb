"""A folder on any file system that fsspec knows, in which files appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.fs
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from armillary.atomic_file import created_by, is_unfinished, refusals_reported, replaced, unfinished_name
from armillary.log import shipped
from armillary.types import ArmillaryError

Writer = Callable[[Any], None]
_MARK = "mark"
Stamp = tuple[int, float]
"""Size in bytes and time of the last change of a file, in seconds since 1970; 0 where the file system knows none."""


class LogWriteError(ArmillaryError):
    """A file could not be written; nothing of it is left behind, and nothing written earlier is harmed."""


def absolute(path: str) -> str:
    """Return the path of a folder such that it holds from every working directory; URLs stay as they are."""
    return path if "://" in path or not path.strip() else os.path.abspath(path)


class Folder:
    """A folder of files, local or remote.

    Args:
        path: a local path or any fsspec URL, e.g. `memory://log` or `s3://bucket/log`; `shipped://NAME` is a log that
            comes with Armillary, which can only be read.

    Raises:
        ArmillaryError: if the path is empty, or of a protocol that fsspec does not know or lacks a package for; or
            there is no such log.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not self.path.strip():
            raise ArmillaryError("the path of a log is empty; name a folder")
        self._kept = self.path.startswith(shipped.PREFIX)
        place = str(shipped.read(self.path.removeprefix(shipped.PREFIX)).folder) if self._kept else self.path
        try:
            self._fs, self._root = url_to_fs(place)
        except (ValueError, ImportError) as fault:
            raise ArmillaryError(f"cannot open the log {self.path}: {fault}") from fault
        self._root = self._root.rstrip("/") or "/"
        self._local = isinstance(self._fs, LocalFileSystem)

    def inside(self, name: str) -> Folder:
        """Return a folder within this one; it need not exist yet."""
        inner = copy(self)
        inner.path = f"{self.path.rstrip('/')}/{name}"
        inner._root = self.full_path(name)
        return inner

    @property
    def arrow(self) -> pyarrow.fs.FileSystem:
        """The file system as Arrow sees it; native for local files, because that is faster."""
        if self._local:
            return pyarrow.fs.LocalFileSystem()
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self._fs))

    def full_path(self, name: str) -> str:
        """Return the path of a file within its file system (without protocol)."""
        return f"{self._root.rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """Return the names of what lies in the folder, sorted; leftovers of killed writers are left out.

        Raises:
            ArmillaryError: if the path exists but cannot be listed.
        """
        return list(self.listing())

    def listing(self) -> dict[str, Stamp]:
        """Return the same names, sorted, with what tells whether a file has changed.

        Raises:
            ArmillaryError: if the path exists but cannot be listed.
        """
        self._fs.invalidate_cache(self._root)
        try:
            with _store_errors():
                found = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        except OSError as fault:
            raise ArmillaryError(f"cannot read the log {self.path}: {fault.strerror or fault}") from fault
        if len(found) == 1 and self._fs.isfile(self._root):
            raise ArmillaryError(f"cannot read the log {self.path}: it is a file, and a log is a folder")
        named = {each["name"].rstrip("/").rsplit("/", 1)[-1]: _stamp(each) for each in found}
        return {name: named[name] for name in sorted(named) if not is_unfinished(name)}

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: if it cannot be read.
        """
        with self._fs.open(self.full_path(name), "rb") as file:
            return bytes(file.read())

    @contextmanager
    def rewriting(self) -> Iterator[None]:
        """Keep others from rewriting files of a local folder meanwhile; appending goes on.

        Raises:
            ArmillaryError: if another process rewrites it now.
        """
        if not self._local or not os.path.isdir(self._root):
            yield
            return
        descriptor = os.open(self._root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ArmillaryError(f"log {self.path}: another process removes, compacts or quarantines; wait") from None
        finally:
            os.close(descriptor)

    def write(self, name: str, writer: Writer, *, new: bool = False) -> None:
        """Create the folder if need be, and in it a file with what `writer` puts into the open file.

        Args:
            name: of the file.
            writer: is called with the open file.
            new: leave a file of that name as it is. Of several local writers of one name one writes; elsewhere two
                that write in the same moment may both do, and the later file stays.

        Raises:
            FileExistsError: if the file is to be new and is not.
            LogWriteError: if the file system refuses, e.g. because the disk is full.
        """
        self._check_own()
        try:
            if self._local and new:
                created_by(Path(self.full_path(name)), partial(_written, writer=writer))
            elif self._local:
                with replaced(Path(self.full_path(name))) as unfinished:
                    _written(unfinished, writer)
            else:
                self._write_remote(name, writer, new)
        except ArmillaryError as fault:
            raise LogWriteError(f"{fault}; what was logged before is intact") from fault.__cause__

    @property
    def whole_path(self) -> str:
        """The path such that it holds from every working directory."""
        return absolute(self.path)

    @contextmanager
    def marked(self) -> Iterator[str]:
        """Provide the name of a file that lies in the folder until the block ends, and is none of what it holds.

        Raises:
            LogWriteError: if the folder cannot be written.
        """
        name = unfinished_name(_MARK)
        self.write(name, lambda file: file.write(b""))
        try:
            yield name
        finally:
            self.remove(name)

    def marks(self) -> list[str]:
        """Return the names of the marks that lie in the folder."""
        self._fs.invalidate_cache(self._root)
        try:
            names = [path.rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []
        return [name for name in names if name.startswith(f".{_MARK}") and is_unfinished(name)]

    @property
    def is_local(self) -> bool:
        """Whether it lies on a disk of this machine, where locks hold."""
        return self._local

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name, as others see it now."""
        self._fs.invalidate_cache(self._root)
        return bool(self._fs.exists(self.full_path(name)))

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            LogWriteError: if the file system refuses.
        """
        self._check_own()
        try:
            self._fs.rm(self.full_path(name))
        except OSError as fault:
            raise LogWriteError(f"{self.path}/{name}: cannot be removed ({fault.strerror or fault})") from fault

    def move(self, name: str, inner: str) -> None:
        """Move a file into a folder within this one, which is made if need be.

        Raises:
            LogWriteError: if the file system refuses.
        """
        self._check_own()
        target = self.inside(inner)
        try:
            self._fs.makedirs(target._root, exist_ok=True)
            self._fs.mv(self.full_path(name), target.full_path(name), recursive=True)
        except OSError as fault:
            raise LogWriteError(f"{self.path}/{name}: cannot be moved ({fault.strerror or fault})") from fault

    def _check_own(self) -> None:
        if self._kept:
            raise LogWriteError(
                f"log {self.path} comes with Armillary and can only be read; copy its folder {self._root}"
            )

    def _write_remote(self, name: str, writer: Writer, new: bool) -> None:
        if new and self.has(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.full_path(name))
        unfinished = self.full_path(unfinished_name(name))
        with refusals_reported(f"{self.path.rstrip('/')}/{name}"), _store_errors():
            self._fs.makedirs(self._root, exist_ok=True)
            try:
                with self._fs.open(unfinished, "wb") as file:
                    writer(file)
                self._fs.mv(unfinished, self.full_path(name))
            except BaseException:
                with suppress(OSError):
                    self._fs.rm(unfinished)
                raise


@contextmanager
def _store_errors() -> Iterator[None]:
    """Let what an object store's client raises be what a file system does."""
    try:
        yield
    except Exception as fault:
        if type(fault).__module__.startswith("botocore."):
            raise OSError(str(fault)) from fault
        raise


def _written(path: Path, writer: Writer) -> None:
    with path.open("xb") as file:
        writer(file)


def _stamp(found: Mapping[str, Any]) -> Stamp:
    changed = found.get("mtime") or found.get("LastModified") or found.get("created") or 0.0
    return int(found.get("size") or 0), changed.timestamp() if isinstance(changed, datetime) else float(changed)
