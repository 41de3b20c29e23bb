"""LEF files: the layers of a technology, and the size and pins of cells.

Source: LEF/DEF language reference 5.8. Only what placement and routing need is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from armillary.types import ArmillaryError

Direction = Literal["horizontal", "vertical"]
_LAYER = re.compile(r"^LAYER\s+(\S+)\s*\n(.*?)^END\s+\1", re.MULTILINE | re.DOTALL)
_MACRO = re.compile(r"^MACRO\s+(\S+)(.*?)^END\s+\1", re.MULTILINE | re.DOTALL)
_SITE = re.compile(r"^SITE\s+(\S+)\s*\n(.*?)^END\s+\1", re.MULTILINE | re.DOTALL)
_PIN = re.compile(r"^\s*PIN\s+(\S+)(.*?)^\s*END\s+\1", re.MULTILINE | re.DOTALL)
_SHAPE = re.compile(r"\b(?:RECT|POLYGON)\s+([^;]*);")


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
        ArmillaryError: if the file cannot be read.
    """
    found = []
    for name, body in _LAYER.findall(_text(path)):
        if not re.search(r"TYPE\s+ROUTING", body):
            continue
        width = _number(body, "WIDTH")
        to_plane = _number(body, r"CAPACITANCE\s+CPERSQDIST") * width * 1000
        to_sides = 2 * _number(body, "EDGECAPACITANCE") * 1000
        direction: Direction = "vertical" if re.search(r"DIRECTION\s+VERTICAL", body) else "horizontal"
        resistance = _number(body, r"RESISTANCE\s+RPERSQ") / width
        pitch, offset = _number(body, "PITCH"), _offset(body, direction)
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
    for name, body in _SITE.findall(_text(path)):
        size = re.search(r"SIZE\s+(\S+)\s+BY\s+([^\s;]+)", body)
        if size is not None and re.search(r"CLASS\s+CORE", body, re.IGNORECASE):
            return name, float(size[1]), float(size[2])
    raise ArmillaryError(f"{path}: has no SITE of CLASS CORE with its SIZE")


def read_cells(path: Path) -> dict[str, LefCell]:
    """Return the cells of a file by name.

    Raises:
        ArmillaryError: if the file cannot be read.
    """
    found = {}
    for name, body in _MACRO.findall(_text(path)):
        size = re.search(r"SIZE\s+(\S+)\s+BY\s+(\S+)", body)
        if size is not None:
            found[name] = LefCell(float(size[1]), float(size[2]), _pins(body))
    return found


def read_pins(path: Path) -> dict[str, dict[str, str]]:
    """Return what a file tells of each signal pin of each cell.

    Raises:
        ArmillaryError: if the file cannot be read.
    """
    return {name: _signals(body) for name, body in _MACRO.findall(_text(path))}


def _signals(body: str) -> dict[str, str]:
    found = dict(_PIN.findall(body))
    return {name: inner for name, inner in found.items() if not re.search(r"USE\s+(?:power|ground)", inner, re.I)}


def _pins(body: str) -> dict[str, tuple[float, float]]:
    pins = {}
    for name, inner in _signals(body).items():
        numbers = [[float(word) for word in shape.split()] for shape in _SHAPE.findall(inner)]
        across = [x for shape in numbers for x in shape[::2]]
        up = [y for shape in numbers for y in shape[1::2]]
        if across:
            pins[name] = ((min(across) + max(across)) / 2, (min(up) + max(up)) / 2)
    return pins


def _offset(body: str, direction: Direction) -> float:
    """Return where the first track lies: OFFSET has one number for both ways, or one for x and one for y."""
    match = re.search(r"^\s*OFFSET\s+([^;]*);", body, re.MULTILINE)
    numbers = [float(word) for word in match[1].split()] if match else [0.0]
    return numbers[0] if direction == "vertical" else numbers[-1]


def _number(body: str, name: str) -> float:
    match = re.search(rf"^\s*{name}\s+([-+0-9.eE]+)\s*;", body, re.MULTILINE)  # a table of spacings has widths, too
    return float(match[1]) if match else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read ({fault.strerror})") from fault
