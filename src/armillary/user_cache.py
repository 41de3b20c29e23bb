"""The user's cache: what was made once and is found again.

Beside each file lies its digest. What was damaged since, by a full disk or by hand, is as if it were not there.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from pathlib import Path

from armillary.atomic_file import sweep, unfinished_name

_DIGEST = ".sha256"


def cache_folder(kind: str) -> Path:
    """Return where things of a kind are cached: in `$ARMILLARY_CACHE`, or in `armillary` in the user's cache."""
    if "ARMILLARY_CACHE" in os.environ:
        return Path(os.environ["ARMILLARY_CACHE"]) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "armillary" / kind


def store(made: Path, kept: Path) -> None:
    """Copy a file into a cache, with its digest, so that nobody ever sees half of it, however many do so at once."""
    put(made, kept)
    beside = _beside(kept)
    unfinished = beside.with_name(unfinished_name(beside.name))
    try:
        unfinished.write_text(_digest(made), encoding="ascii")
        unfinished.replace(beside)
    finally:
        unfinished.unlink(missing_ok=True)


def is_stored(kept: Path) -> bool:
    """Return whether a cache has a file, whole, and executable if it was when it was stored."""
    try:
        found, beside = kept.stat(), _beside(kept)
        return _is_whole(kept, found.st_mtime_ns, found.st_size, found.st_mode, beside.read_text(encoding="ascii"))
    except (OSError, UnicodeError):
        return False


def put(made: Path, kept: Path) -> None:
    """Copy a file so that nobody ever sees half of it, however many do so at once."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    sweep(kept.parent)
    unfinished = kept.with_name(unfinished_name(kept.name))
    try:
        shutil.copy2(made, unfinished)
        unfinished.replace(kept)
    finally:
        unfinished.unlink(missing_ok=True)


def _beside(kept: Path) -> Path:
    return kept.with_name(kept.name + _DIGEST)


def _digest(path: Path) -> str:
    """Return a digest of a file's content and of whether it is a program."""
    found = hashlib.sha256(b"program" if os.access(path, os.X_OK) else b"")
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


@functools.lru_cache(maxsize=1024)  # a file that has not changed since is not read again
def _is_whole(kept: Path, _changed_ns: int, _size: int, _mode: int, digest: str) -> bool:
    return _digest(kept) == digest
