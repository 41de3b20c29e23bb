"""The areas of pins in LEF files, as rectangles.

Source: LEF/DEF language reference 5.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from armillary.evaluators.physical.floorplan import units
from armillary.evaluators.physical.lef import corners, read_pins
from armillary.types import ArmillaryError

Rectangle = tuple[int, int, int, int]
"""Left, bottom, right and top in units, from the cell's lower left corner."""
_SHAPES = re.compile(r"\bLAYER\s+(\S+)|\b(RECT|POLYGON)\s+([^;]*);")


def read_shapes(path: Path, layer: str) -> dict[str, dict[str, list[Rectangle]]]:
    """Return the areas of each signal pin of each cell on a layer; of pins that have none there, those on others.

    Raises:
        ArmillaryError: if the file cannot be read, or a shape is none; names file, cell and pin.
    """
    return {
        cell: {pin: _areas(text, layer, f"{path}: MACRO {cell}: PIN {pin}") for pin, text in pins.items()}
        for cell, pins in read_pins(path).items()
    }


def _areas(text: str, layer: str, place: str) -> list[Rectangle]:
    here: list[Rectangle] = []
    elsewhere: list[Rectangle] = []
    found = here
    for name, kind, numbers in _SHAPES.findall(text):
        if name:
            found = here if name == layer else elsewhere
            continue
        points = [(units(x), units(y)) for x, y in corners(numbers, place)]
        if kind == "RECT":
            if len(points) != 2:
                raise ArmillaryError(f"{place}: RECT has {len(points)} points; write two opposite ones")
            (left, bottom), (right, top) = points
            found.append((left, bottom, right, top))
        else:
            if any(x != to and y != up for (x, y), (to, up) in pairwise([*points, points[0]])):
                raise ArmillaryError(f"{place}: POLYGON has a slanted side; only level and upright ones are read")
            found += slabs(points)
    return here or elsewhere


def slabs(points: list[tuple[int, int]]) -> Iterator[Rectangle]:
    """Return a polygon with level and upright sides as rectangles, one for each pair of neighbouring abscissae."""
    sides = list(pairwise([*points, points[0]]))
    for left, right in pairwise(sorted({x for x, _ in points})):
        crossed = sorted(y for (x, y), (to, _) in sides if min(x, to) <= left and right <= max(x, to))
        for bottom, top in zip(crossed[::2], crossed[1::2], strict=True):
            yield left, bottom, right, top
