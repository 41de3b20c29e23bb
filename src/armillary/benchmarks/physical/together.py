"""What layouts gain by being made at once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from armillary.user_cache import cache_folder

_CACHE = "ARMILLARY_CACHE"
_KIND = "physical"


def apart(processes: int) -> ProcessPoolExecutor:
    """Return processes that have done nothing yet."""
    return ProcessPoolExecutor(processes, get_context("spawn"))


def gain(lay_out: Callable[[Path, int], object], warm_up: Callable[[Path, int], object], folder: Path) -> float:
    """Return how many times as fast two layouts are made at once, on two cores, as one after another.

    Args:
        lay_out: lays out a design in a folder with a seed; picklable.
        warm_up: likewise a small one, before the clock runs.
        folder: for the layouts; what is in it is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with apart(2) as processes:
        warm = [processes.submit(fresh, warm_up, folder / f"warm_{number}", 0) for number in range(2)]
        _ = [each.result() for each in warm]  # both have loaded what they need
        begun = time.perf_counter()
        for number in range(2):
            processes.submit(fresh, lay_out, folder / f"alone_{number}", number).result()
        alone = time.perf_counter() - begun
        begun = time.perf_counter()
        _ = [each.result() for each in [processes.submit(fresh, lay_out, folder / f"both_{number}", number)
                                        for number in range(2)]]  # fmt: skip
        return round(alone / (time.perf_counter() - begun), 2)


def fresh(lay_out: Callable[[Path, int], object], folder: Path, seed: int) -> None:
    """Lay out with a cache that holds the cell library and no steps; what is in the folder is removed."""
    kept, before = cache_folder(_KIND), os.environ.get(_CACHE)
    shutil.rmtree(folder, ignore_errors=True)
    cache = folder / "cache"
    (cache / _KIND).mkdir(parents=True)
    for path in kept.glob("*"):
        if path.is_file():
            shutil.copy2(path, cache / _KIND)
    os.environ[_CACHE] = str(cache)
    try:
        lay_out(folder / "layout", seed)
    finally:
        del os.environ[_CACHE]
        if before is not None:
            os.environ[_CACHE] = before
