"""LEF files: the layers of a technology, and the size and pins of cells.

Source: LEF/DEF language reference 5.8. Only what placement and routing need is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from armillary.types import ArmillaryError

Direction = Literal["horizontal", "vertical"]
_SHAPE = re.compile(r"\b(?:RECT|POLYGON)\s+([^;]*);")
_LARGEST = 1e6  # number of a file; as a length, a metre
_MOST_CORNERS = 1000  # of a pin's polygon


@dataclass(frozen=True)
class LefLayer:
    """A routing layer.

    Attributes:
        name: of the layer.
        direction: in which its wires run.
        pitch_um: from one track to the next.
        offset_um: of the first track from the edge.
        width_um: of a wire.
        ohm_per_um: of a wire.
        ff_per_um: of a wire to what is below and beside it, without neighbours.
    """

    name: str
    direction: Direction
    pitch_um: float
    offset_um: float
    width_um: float
    ohm_per_um: float
    ff_per_um: float


@dataclass(frozen=True)
class LefCell:
    """A cell: size in um, and the middle of each signal pin in um from its lower left corner."""

    width_um: float
    height_um: float
    pins: dict[str, tuple[float, float]]


def read_layers(path: Path) -> tuple[LefLayer, ...]:
    """Return the routing layers of a file, the lowest first.

    Raises:
        ArmillaryError: if the file cannot be read, or a layer has no width or pitch; names file, layer and statement.
    """
    found = []
    for name, body in _blocks(path, "LAYER", whole_line=True):
        if not re.search(r"TYPE\s+ROUTING", body):
            continue
        place = f"{path}: LAYER {name}"
        width = _number(body, "WIDTH", place)
        direction: Direction = "vertical" if re.search(r"DIRECTION\s+VERTICAL", body) else "horizontal"
        pitch = _across(body, "PITCH", direction, place)
        for statement, value in (("WIDTH", width), ("PITCH", pitch)):
            if value <= 0:
                raise ArmillaryError(
                    f"{place}: {statement}={value:g} is not allowed; a routing layer needs one above 0"
                )
        to_plane = _number(body, r"CAPACITANCE\s+CPERSQDIST", place) * width * 1000
        to_sides = 2 * _number(body, "EDGECAPACITANCE", place) * 1000
        resistance = _number(body, r"RESISTANCE\s+RPERSQ", place) / width
        offset = _across(body, "OFFSET", direction, place)
        found.append(LefLayer(name, direction, pitch, offset, width, resistance, to_plane + to_sides))
    return tuple(found)


def site_name(path: Path) -> str:
    """Return the name of the site of core cells.

    Raises:
        ArmillaryError: if the file cannot be read or has none.
    """
    return _core_site(path)[0]


def read_site(path: Path) -> tuple[float, float]:
    """Return the width and height in um of the site of core cells.

    Raises:
        ArmillaryError: if the file cannot be read or has none.
    """
    return _core_site(path)[1:]


def _core_site(path: Path) -> tuple[str, float, float]:
    for name, body in _blocks(path, "SITE", whole_line=True):
        size = _size(body, f"{path}: SITE {name}")
        if size is not None and re.search(r"CLASS\s+CORE", body, re.IGNORECASE):
            return name, *size
    raise ArmillaryError(f"{path}: has no SITE of CLASS CORE with its SIZE")


def read_cells(path: Path) -> dict[str, LefCell]:
    """Return the cells of a file by name.

    Raises:
        ArmillaryError: if the file cannot be read, or a size or a pin's shape is none; names file, cell and pin.
    """
    found = {}
    for name, body in _blocks(path, "MACRO"):
        size = _size(body, f"{path}: MACRO {name}")
        if size is not None:
            found[name] = LefCell(*size, _pins(body, f"{path}: MACRO {name}"))
    return found


def read_pins(path: Path) -> dict[str, dict[str, str]]:
    """Return what a file tells of each signal pin of each cell.

    Raises:
        ArmillaryError: if the file cannot be read.
    """
    return {name: _signals(body, f"{path}: MACRO {name}") for name, body in _blocks(path, "MACRO")}


def corners(words: str, place: str) -> list[tuple[float, float]]:
    """Return the points in um of a RECT or a POLYGON.

    Args:
        words: its numbers, as the file has them.
        place: where it stands, for messages.

    Raises:
        ArmillaryError: if a word is no number, or they are no pairs, or too many.
    """
    numbers = [_checked(word, f"{place}: RECT or POLYGON") for word in words.split()]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    if not 2 <= len(pairs) <= _MOST_CORNERS or len(numbers) % 2:
        raise ArmillaryError(
            f"{place}: RECT or POLYGON has {len(numbers)} numbers; it needs an x and a y of 2 to {_MOST_CORNERS} points"
        )
    return pairs


def _signals(body: str, place: str) -> dict[str, str]:
    found = dict(_blocks_of(body, "PIN", place, indented=True))
    return {name: inner for name, inner in found.items() if not re.search(r"USE\s+(?:power|ground)", inner, re.I)}


def _pins(body: str, place: str) -> dict[str, tuple[float, float]]:
    pins = {}
    for name, inner in _signals(body, place).items():
        points = [point for shape in _SHAPE.findall(inner) for point in corners(shape, f"{place}: PIN {name}")]
        if points:
            across, up = zip(*points, strict=True)
            pins[name] = ((min(across) + max(across)) / 2, (min(up) + max(up)) / 2)
    return pins


def _size(body: str, place: str) -> tuple[float, float] | None:
    size = re.search(r"SIZE\s+(\S+)\s+BY\s+([^\s;]+)", body)
    if size is None:
        return None
    width, height = _checked(size[1], f"{place}: SIZE"), _checked(size[2], f"{place}: SIZE")
    if width <= 0 or height <= 0:
        raise ArmillaryError(f"{place}: SIZE {width:g} BY {height:g} is not allowed; both must be above 0")
    return width, height


def _across(body: str, name: str, direction: Direction, place: str) -> float:
    """Return a distance across the wires, 0 without one; one number is for both ways, two are for x and y."""
    match = re.search(rf"^\s*{name}\s+([^;]*);", body, re.MULTILINE)
    numbers = [_checked(word, f"{place}: {name}") for word in match[1].split()] if match else []
    if not numbers:
        return 0.0
    return numbers[0] if direction == "vertical" else numbers[-1]


def _number(body: str, name: str, place: str) -> float:
    match = re.search(rf"^\s*{name}\s+([-+0-9.eE]+)\s*;", body, re.MULTILINE)  # a table of spacings has widths, too
    return _checked(match[1], f"{place}: {name}") if match else 0.0


def _checked(word: str, place: str) -> float:
    """Return a word as a number.

    Raises:
        ArmillaryError: if it is none, or none that a chip can have.
    """
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise ArmillaryError(
            f"{place}: {word[:40]!r} is not allowed; write a number from -{_LARGEST:g} to {_LARGEST:g}"
        )
    return number


def _blocks(path: Path, keyword: str, *, whole_line: bool = False) -> Iterator[tuple[str, str]]:
    """Yield name and content of each block of a file that begins with a keyword."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read ({fault.strerror})") from fault
    yield from _blocks_of(text, keyword, str(path), whole_line=whole_line)


def _blocks_of(
    text: str, keyword: str, place: str, *, whole_line: bool = False, indented: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield name and content of each block, from `KEYWORD name` to `END name`, in one pass over the text.

    Args:
        text: where they stand, each beginning a line.
        keyword: that begins a block.
        place: of the text, for messages.
        whole_line: nothing stands behind the name; where the keyword is also that of a statement.
        indented: blanks may stand before the keyword.

    Raises:
        ArmillaryError: if a block does not end.
    """
    blanks, end = r"[ \t]*" if indented else "", r"[ \t\r]*$" if whole_line else ""
    name, start = "", 0
    for match in re.finditer(rf"^{blanks}(?:{keyword}[ \t]+(\S+){end}|END[ \t]+(\S+))", text, re.MULTILINE):
        if not name and match[1]:
            name, start = match[1], match.end()
        elif name and match[2] == name:
            yield name, text[start : match.start()]
            name = ""
    if name:
        raise ArmillaryError(f"{place}: {keyword} {name} has no END {name}")
