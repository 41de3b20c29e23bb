"""The clock's tree: buffers over groups of registers, over groups of buffers, up to one at the clock's port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from armillary.evaluators.physical.clusters import Located, centre, clusters
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.netlist import Netlist, through
from armillary.evaluators.physical.placement import Placement, Shapes

PREFIX = "clock_"
_MOST_SINKS, _MOST_BUFFERS = 20, 8  # of a buffer


def with_clock_tree(
    netlist: Netlist, placement: Placement, shapes: Shapes, library: Library, buffer: str
) -> tuple[Netlist, Placement]:
    """Return the design with its clock distributed by buffers, each in the middle of what it drives; not yet legal.

    Every register is the same number of buffers away from the port. A net with less than two sinks gets no tree.
    """
    net = netlist.clock_net
    if net is None or len(netlist.nets[net]) < 3:
        return netlist, placement
    entry, leave = through(library, buffer)
    root, *sinks = netlist.nets[net]
    nets = dict(netlist.nets)
    cells, places = dict(netlist.cells), dict(placement.places)
    level: list[Located] = [(pin, *shapes.at(pin, netlist, placement)) for pin in sinks]
    depth = 0
    while len(level) > 1 or depth == 0:
        most = _MOST_SINKS if depth == 0 else _MOST_BUFFERS
        above: list[Located] = []
        for number, group in enumerate(clusters(level, lambda pins, most=most: len(pins) <= most)):  # type: ignore[misc]
            instance = f"{PREFIX}{depth}_{number}"
            x, y = centre(group)
            cells[instance], places[instance] = buffer, (x, y, "N")
            nets[f"{instance}_net"] = ((instance, leave), *(pin for pin, _, _ in group))
            above.append(((instance, entry), x, y))
        level, depth = above, depth + 1
    nets[net] = (root, level[0][0])
    return replace(netlist, cells=cells, nets=nets), replace(placement, places=places)


def clock_cells(cells: Mapping[str, str]) -> list[str]:
    """Return the buffers of the clock's tree."""
    return [instance for instance in cells if instance.startswith(PREFIX)]
