"""Which designs of the space are within an area: their places in its enumeration, computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.atomic_file import replaced
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.spaces.samplers import sample

CHUNK = 1_000_000
QUICK_DESIGNS = 7_000_000  # a million of them are within 29 mm2


def positions_within(area_mm2: float, options: BenchOptions) -> NDArray[np.int64]:
    """Return where in the enumeration of the space the designs within an area are, rising, shape [designs].

    With `quick` of a random sample; else of all, one part per value of the first parameter, each kept in a file.
    """
    if options.quick:
        return _within(area_mm2, np.unique(SPACE.index(sample(SPACE, QUICK_DESIGNS, "random", options.seed))))
    return np.concatenate([np.load(path) for path in area_parts(area_mm2, options)])


def unmet(positions: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rising positions without those of known designs, whose codes are of shape [designs, parameters]."""
    wanted = SPACE.index(known).astype(positions.dtype)
    place = np.searchsorted(positions, wanted).clip(0, len(positions) - 1)
    kept = np.ones(len(positions), dtype=bool)
    kept[place[positions[place] == wanted]] = False
    return positions[kept]


def area_parts(area_mm2: float, options: BenchOptions) -> dict[Path, Callable[[], None]]:
    """Return the files that hold every position within an area, in order, and what writes each."""
    folder = options.out.parent / "edge-tpu-designs"
    files = [
        Part(
            folder, f"within-{area_mm2}-{part:02}", {"area_mm2": area_mm2, "part": part}, (__name__,), ending=".npy"
        ).path
        for part in range(SPACE.cardinalities[0])
    ]
    return {path: partial(_write_part, path, area_mm2, part) for part, path in enumerate(files)}


def _write_part(path: Path, area_mm2: float, part: int) -> None:
    size = SPACE.size // SPACE.cardinalities[0]
    starts = range(part * size, (part + 1) * size, CHUNK)
    within = [_within(area_mm2, np.arange(start, min(start + CHUNK, (part + 1) * size))) for start in starts]
    with replaced(path) as unfinished:
        np.save(unfinished, np.concatenate(within).astype(np.int32))


def _within(area_mm2: float, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    return positions[TEMPLATE.area_mm2(SPACE.at(positions)) <= area_mm2]
