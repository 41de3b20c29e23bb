"""Machine code for inner loops, by numba: made once per machine and kept in Armillary's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
from numba import config, njit

from armillary.user_cache import cache_folder

_FOLDER = "CACHE_DIR"
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def compilers(*sources: Path) -> tuple[Decorator, Decorator]:
    """Return two decorators: one compiles a function; one puts its code where it is called, as calls copy their tuples.

    Compiled functions let other threads run. numba keeps machine code by the file of the function alone, so that it
    would not see a change in another file; here the folder is named by the contents of all.

    Args:
        sources: files, or folders of such, with the function and with all compiled ones that it calls.
    """
    folder = str(folder_of(*sources))
    return partial(_compile, folder), partial(_compile, folder, forceinline=True)


def called(*sources: Path) -> Decorator:
    """Return a decorator for what only compiled functions call: without an entry from Python it compiles much faster.

    Args:
        sources: see `compilers`.
    """
    return partial(_compile, str(folder_of(*sources)), no_cpython_wrapper=True, no_cfunc_wrapper=True)


def folder_of(*sources: Path) -> Path:
    """Return where the machine code of functions in these files is kept."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sources:
        for file in sorted(source.glob("*.py")) if source.is_dir() else [source]:
            digest.update(file.read_bytes())
    return cache_folder("numba") / digest.hexdigest()[:16]


def _compile(folder: str, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    before = getattr(config, _FOLDER)
    setattr(config, _FOLDER, folder)
    try:
        compiled: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        return compiled
    finally:
        setattr(config, _FOLDER, before)
