"""The user's cache: what was made once and is found again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return where things of a kind are cached: in `$ARMILLARY_CACHE`, or in `armillary` in the user's cache."""
    if "ARMILLARY_CACHE" in os.environ:
        return Path(os.environ["ARMILLARY_CACHE"]) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "armillary" / kind


def put(made: Path, kept: Path) -> None:
    """Copy a file into a cache so that nobody ever sees half of it, however many do so at once."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f"{kept.name}.", dir=kept.parent)
    os.close(number)
    unfinished = Path(name)
    try:
        shutil.copy2(made, unfinished)
        unfinished.replace(kept)
    finally:
        unfinished.unlink(missing_ok=True)
