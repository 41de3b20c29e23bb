"""The areas of pins in LEF files, as rectangles.

Source: LEF/DEF language reference 5.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from armillary.evaluators.physical.floorplan import units
from armillary.evaluators.physical.lef import read_pins

Rectangle = tuple[int, int, int, int]
"""Left, bottom, right and top in units, from the cell's lower left corner."""
_SHAPES = re.compile(r"\bLAYER\s+(\S+)|\b(RECT|POLYGON)\s+([^;]*);")


def read_shapes(path: Path, layer: str) -> dict[str, dict[str, list[Rectangle]]]:
    """Return the areas of each signal pin of each cell on a layer; of pins that have none there, those on others.

    Raises:
        ArmillaryError: if the file cannot be read.
    """
    return {cell: {pin: _areas(text, layer) for pin, text in pins.items()} for cell, pins in read_pins(path).items()}


def _areas(text: str, layer: str) -> list[Rectangle]:
    here: list[Rectangle] = []
    elsewhere: list[Rectangle] = []
    found = here
    for name, kind, numbers in _SHAPES.findall(text):
        if name:
            found = here if name == layer else elsewhere
            continue
        lengths = [units(float(word)) for word in numbers.split()]
        corners = list(zip(lengths[::2], lengths[1::2], strict=True))
        if kind == "RECT":
            (left, bottom), (right, top) = corners
            found.append((left, bottom, right, top))
        else:
            found += slabs(corners)
    return here or elsewhere


def slabs(corners: list[tuple[int, int]]) -> Iterator[Rectangle]:
    """Return a polygon with level and upright sides as rectangles, one for each pair of neighbouring abscissae."""
    sides = list(pairwise([*corners, corners[0]]))
    for left, right in pairwise(sorted({x for x, _ in corners})):
        crossed = sorted(y for (x, y), (to, _) in sides if min(x, to) <= left and right <= max(x, to))
        for bottom, top in zip(crossed[::2], crossed[1::2], strict=True):
            yield left, bottom, right, top
