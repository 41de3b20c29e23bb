"""The clock's tree: buffers over groups of registers, over groups of buffers, up to one at the clock's port."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from armillary.evaluators.physical.clusters import Located, centre, clusters
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.netlist import Netlist, through
from armillary.evaluators.physical.placement import Placement, Shapes

PREFIX = "clock_"
_FILLED, _WITH_WIRE = 0.7, 1.4  # groups are halved until they fit; what a pin's wire adds to it
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


def expected_latency_ns(netlist: Netlist, library: Library, buffer: str) -> float:
    """Return about how late the clock will come to registers: at each level the delay of a buffer with its load."""
    net = netlist.clock_net
    sinks = netlist.nets[net][1:] if net is not None else ()
    if len(sinks) < 2:
        return 0.0
    kinds = [library.cells.get(netlist.cells[instance]) for instance, _ in sinks]
    caps = [kind.pins[pin].cap_ff for kind, (_, pin) in zip(kinds, sinks, strict=True) if kind]
    leaf_ff = _FILLED * _MOST_SINKS * _WITH_WIRE * sum(caps) / max(1, len(caps))
    cell = library.cells[buffer]
    upper_ff = _FILLED * _MOST_BUFFERS * _WITH_WIRE * cell.pins[through(library, buffer)[0]].cap_ff
    upper = math.ceil(math.log(max(1.0, len(sinks) / _MOST_SINKS), _MOST_BUFFERS))
    return cell.fixed_ns + cell.kohm * leaf_ff / 1000 + upper * (cell.fixed_ns + cell.kohm * upper_ff / 1000)


def clock_cells(cells: Mapping[str, str]) -> list[str]:
    """Return the buffers of the clock's tree."""
    return [instance for instance in cells if instance.startswith(PREFIX)]
