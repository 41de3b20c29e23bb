"""Floorplan: the core's size, its rows, where macros lie, and places for the ports' pins along the edges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.netlist import Netlist

UNITS_PER_UM = 2000
"""Lengths of layouts are whole numbers of 0.5 nm."""
_HALO_SITES, _HALO_ROWS = (
    24,
    1,
)  # free room around a macro; wires of its pins turn beside it, and with 4 sites crowd there
_FEWEST_ROWS = 4


class FloorplanError(Exception):
    """The macros do not fit."""


@dataclass(frozen=True)
class Floorplan:
    """The core; lengths in units (`UNITS_PER_UM`).

    Attributes:
        width: of the core, a multiple of the site's.
        height: likewise of the row's.
        site: width of a site.
        row: height of a row.
        macros: lower left corner of each macro.
        taps: of wells, at the ends of rows and in them; they are counted and have no places.
    """

    width: int
    height: int
    site: int
    row: int
    macros: Mapping[str, tuple[int, int]]
    taps: int = 0

    @property
    def core_mm2(self) -> float:
        """Area of the core."""
        return self.width * self.height / UNITS_PER_UM**2 * 1e-6

    def orientation(self, macro: str, width: int) -> str:
        """Return how a macro of some width lies, so that its pins, at its left edge, are on the side of the cells."""
        return "FN" if 2 * self.macros[macro][0] + width < self.width else "N"


@dataclass(frozen=True)
class Outline:
    """Size of a macro in um."""

    width_um: float
    height_um: float


def units(length_um: float) -> int:
    """Return a length in units."""
    return round(length_um * UNITS_PER_UM)


def planned(
    netlist: Netlist,
    library: Library,
    outlines: Mapping[str, Outline],
    *,
    utilization: float,
    aspect: float,
    tap_um: float = 0.0,
) -> Floorplan:
    """Return a core in which the cells fill a part of what the macros leave.

    Args:
        netlist: as it was synthesised; what is added later fills the core further.
        library: of the cells.
        outlines: of the macros, by module.
        utilization: that part.
        aspect: height over width.
        tap_um: distance of wells' taps in rows; 0 if there are none in rows.

    Raises:
        FloorplanError: if the macros do not fit side by side into the core.
    """
    site, row = units(library.site_um), units(library.row_um)
    cells = sum(units(library.cells[kind].width_um) * row for kind in netlist.cells.values() if kind in library.cells)
    instances = [instance for instance, kind in netlist.cells.items() if kind in outlines]
    boxes = {instance: _with_halo(outlines[netlist.cells[instance]], site, row) for instance in instances}
    area = cells / utilization + sum(width * height for width, height in boxes.values())
    widest = max((width for width, _ in boxes.values()), default=0)
    tallest = max((height for _, height in boxes.values()), default=0)
    rows = max(_FEWEST_ROWS, round(math.sqrt(area * aspect) / row), math.ceil(tallest / row))
    width = max(math.ceil(area / (rows * row) / site), math.ceil(widest / site)) * site
    macros = _macro_places(boxes, width, rows * row, site)
    taps = 0
    if library.tap_um2:
        sizes = {name: outlines[netlist.cells[name]] for name in instances}
        corners = [(x, y, x + units(sizes[name].width_um), y + units(sizes[name].height_um))
                   for name, (x, y) in macros.items()]  # fmt: skip
        taps = tap_count(width, rows, row, corners, units(tap_um))
    return Floorplan(width, rows * row, site, row, macros, taps)


def tap_count(width: int, rows: int, row: int, macros: Sequence[tuple[int, int, int, int]], distance: int) -> int:
    """Return how many taps of wells a core has: at both ends of each part of a row, and at distances within it.

    Source: OpenROAD's `tapcell`: within rows they lie at twice the distance, every second row's moved by one.

    Args:
        width: of the core, in units.
        rows: in it.
        row: height of one.
        macros: left, bottom, right and top of each.
        distance: in units; 0 if there are none within rows.
    """
    found = 0
    for number in range(rows):
        low, high = number * row, (number + 1) * row
        blocks = sorted((left, right) for left, bottom, right, top in macros if bottom < high and top > low)
        begins = [0, *(right for _, right in blocks)]
        ends = [*(left for left, _ in blocks), width]
        first = distance * (1 + number % 2)
        for begin, end in zip(begins, ends, strict=True):
            if end > begin:
                found += 2 + (len(range(first, end - begin, 2 * distance)) if distance else 0)
    return found


def _with_halo(outline: Outline, site: int, row: int) -> tuple[int, int]:
    width = math.ceil(units(outline.width_um) / site) + _HALO_SITES
    height = math.ceil(units(outline.height_um) / row) + _HALO_ROWS
    return width * site, height * row


def _macro_places(
    boxes: Mapping[str, tuple[int, int]], width: int, height: int, site: int
) -> dict[str, tuple[int, int]]:
    """Return columns of macros along the left and the right edge, in turns, the widest outermost."""
    found: dict[str, tuple[int, int]] = {}
    columns = _columns(sorted(boxes, key=lambda name: (-boxes[name][0], -boxes[name][1], name)), boxes, height)
    taken = [0, 0]
    for number, column in enumerate(columns):
        side = number % 2
        wide = max(boxes[name][0] for name in column)
        up = 0
        for name in column:
            # at the outer side, so that what is free beside narrower ones is on the side of their pins
            left = taken[0] if side == 0 else width - taken[1] - boxes[name][0] + _HALO_SITES * site
            found[name] = (left, up)
            up += boxes[name][1]
        taken[side] += wide
    if sum(taken) > width:
        raise FloorplanError(
            f"macros fill {sum(taken) / width:.2f} of the core's width; lower utilization or another aspect"
        )
    return found


def _columns(names: Sequence[str], boxes: Mapping[str, tuple[int, int]], height: int) -> list[list[str]]:
    columns: list[list[str]] = []
    room = 0
    for name in names:
        if not columns or boxes[name][1] > room:
            columns.append([])
            room = height
        columns[-1].append(name)
        room -= boxes[name][1]
    return columns


def edge_places(count: int, width: int, height: int) -> list[tuple[int, int]]:
    """Return places around the core's edge at equal distances, counter-clockwise from the lower left corner."""
    around = 2 * (width + height)
    return [_on_edge(round((number + 0.5) * around / count), width, height) for number in range(count)]


def _on_edge(along: int, width: int, height: int) -> tuple[int, int]:
    if along < width:
        return along, 0
    if along < width + height:
        return width, along - width
    if along < 2 * width + height:
        return 2 * width + height - along, height
    return 0, 2 * (width + height) - along
