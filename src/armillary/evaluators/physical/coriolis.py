"""Placement and routing by Coriolis: the second implementation of both, beside Coloquinte's and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.floorplan import UNITS_PER_UM, Floorplan, units
from armillary.evaluators.physical.lef import LefLayer, read_layers
from armillary.evaluators.physical.netlist import PORT, Netlist, PinName
from armillary.evaluators.physical.pin_shapes import Rectangle, read_shapes
from armillary.evaluators.physical.placement import Placement, Shapes, check_legal, port_places
from armillary.evaluators.physical.routing import BLOCKED_BY_MACROS, GCELL_ROWS, Ints, Routed, Trees, Use
from armillary.tools import coriolis
from armillary.tools.coloquinte import Box
from armillary.tools.coriolis import Core, Instance, Layer, Line, Master, Net, NetWires, Pin
from armillary.types import ArmillaryError

_PORT_IN, _PORT_OUT, _PORT_PIN = "port in", "port out", "port"
_FIRST_EFFORT = 1  # of the placement that only tells where ports belong
_FEWEST_LAYERS = 3
_Edge = tuple[int, int, int, int]
"""Two nodes of a net, the number of the layer, and the length."""


def placed(netlist: Netlist, shapes: Shapes, plan: Floorplan, enablement: Enablement, *, effort: int) -> Placement:
    """Return a placement by Etesian: first without ports, which then go where what they join lies, then with them.

    Args:
        netlist: to place.
        shapes: of its cells.
        plan: the core.
        enablement: of the cells' pins and the layers.
        effort: 1 to 9.

    Raises:
        PlacementError: if cells lie upon each other.
        CoriolisError: if Etesian refuses.
        ArmillaryError: if Coriolis is missing, or the enablement is not fit for it.
    """
    design = _Design(netlist, shapes, plan, enablement)
    first = design.placed({}, _FIRST_EFFORT)
    ports = port_places(netlist, first, plan)
    placement = design.placed(ports, effort)
    boxes = [Box(*shapes.size(kind), fixed=instance in plan.macros) for instance, kind in netlist.cells.items()]
    check_legal(placement, list(netlist.cells), boxes, plan)
    return placement


def routed(
    netlist: Netlist, shapes: Shapes, placement: Placement, plan: Floorplan, enablement: Enablement, *, detailed: bool
) -> tuple[Routed, dict[str, float]]:
    """Return the wires by Katana, and figures that our own router does not have.

    Args:
        netlist: to route.
        shapes: of its cells.
        placement: of its cells and ports.
        plan: the core.
        enablement: of the cells' pins and the layers.
        detailed: whether wires are laid on tracks; else they are on layers.

    Returns:
        The wires; `global_mm`, their length before they were laid on tracks, and `unrouted`, how many found none.

    Raises:
        CoriolisError: if Katana refuses.
        ArmillaryError: if Coriolis is missing, or the enablement is not fit for it.
    """
    design = _Design(netlist, shapes, plan, enablement)
    found = design.routes(placement, detailed=detailed)
    trees, lengths, layers = _trees(netlist, found.nets, design.core.layers)
    total = {layer.name: 0.0 for layer in design.core.layers[1:]}
    for number, name in enumerate(total):  # an edge has no length in the direction that it does not take
        total[name] = float(lengths[layers == number].sum()) / UNITS_PER_UM / 1000
    across, up = _use(trees, lengths, design.core)
    wire_mm = float(lengths.sum()) / UNITS_PER_UM / 1000
    figures = {"global_mm": found.global_length / units(1000), "unrouted": found.unrouted}
    return Routed(trees, lengths, layers, Use(across, up, float(found.overflow)), wire_mm, total), figures


@dataclass(frozen=True)
class _Design:
    """A design as Coriolis takes it."""

    netlist: Netlist
    shapes: Shapes
    plan: Floorplan
    enablement: Enablement

    @cached_property
    def core(self) -> Core:
        """The rows, the layer of pins and those of signals.

        Raises:
            ArmillaryError: if there are too few, or cells on sites would not lie on the tracks of the lowest one.
        """
        plan, layers = self.plan, tuple(_layers(self.enablement))
        lowest = layers[1]
        if lowest.horizontal or lowest.pitch != plan.site or 2 * lowest.offset != plan.site:
            raise ArmillaryError(
                f"enablement {self.enablement.name}: {lowest.name} is not fit for Coriolis, which needs upright wires, "
                f"one in the middle of each site of {plan.site / UNITS_PER_UM:g} um"
            )
        return Core(plan.width, plan.height, plan.site, plan.row, UNITS_PER_UM, layers)

    @cached_property
    def masters(self) -> list[Master]:
        """Cells, macros, and ports as small cells of one pin."""
        shapes = read_shapes(self.enablement.cell_lef, self.core.layers[0].name)
        found = []
        for kind in sorted(set(self.netlist.cells.values())):
            pins = self._macro_pins(kind) if kind in self.shapes.macros else self._cell_pins(kind, shapes[kind])
            blocks = tuple(self._blocks(kind)) if kind in self.shapes.macros else ()
            found.append(Master(kind, self.shapes.size(kind), pins, blocks))
        size, line = self._port
        return [*found, *(Master(name, size, {_PORT_PIN: Pin(name == _PORT_IN, (line,))})
                          for name in (_PORT_IN, _PORT_OUT))]  # fmt: skip

    @cached_property
    def _port(self) -> tuple[tuple[int, int], Line]:
        """Size of a port's cell and the line that its wire ends on: one upright track, two level ones."""
        lowest, above = self.core.layers[1], self.core.layers[2]
        height = 2 * above.pitch
        return (self.plan.site, height), Line(lowest.offset, lowest.width, height - lowest.width, lowest.width)

    def placed(self, ports: Mapping[str, tuple[int, int]], effort: int) -> Placement:
        """Return a placement that draws cells to ports."""
        of = {master.name: number for number, master in enumerate(self.masters)}
        number: dict[str, int] = {}
        instances: list[Instance] = []
        for instance, kind in self.netlist.cells.items():
            number[instance] = len(instances)
            fixed = self.plan.macros.get(instance)
            instances.append(Instance(of[kind], (fixed[0], fixed[1], "N") if fixed else None))
        nets = []
        for net, pins in self.netlist.nets.items():
            inner = [(number[instance], pin) for instance, pin in pins if instance != PORT]
            outer = [ports[pin] for instance, pin in pins if instance == PORT and pin in ports]
            if net != self.netlist.clock_net and len(inner) + len(outer) > 1:  # the clock gets a tree
                nets.append(Net(inner, outer))
        places = coriolis.place(self.core, self.masters, instances, nets, effort=effort)
        return Placement({name: places[k] for name, k in number.items()}, dict(ports))

    def routes(self, placement: Placement, *, detailed: bool) -> coriolis.Routes:
        """Return the wires of all nets."""
        of = {master.name: number for number, master in enumerate(self.masters)}
        number: dict[PinName, int] = {}
        instances: list[Instance] = []
        for instance, kind in self.netlist.cells.items():
            x, y, turned = placement.places[instance]
            number[instance, ""] = len(instances)
            instances.append(Instance(of[kind], (x, y, turned)))
        for port, way in self.netlist.ports.items():
            number[PORT, port] = len(instances)
            master = _PORT_IN if way == "input" else _PORT_OUT
            instances.append(Instance(of[master], self._port_place(*placement.ports[port])))
        nets = [Net([(number[pin], _PORT_PIN) if pin[0] == PORT else (number[pin[0], ""], pin[1]) for pin in pins])
                for pins in self.netlist.nets.values()]  # fmt: skip
        return coriolis.route(self.core, self.masters, instances, nets, detailed=detailed)

    def _port_place(self, x: int, y: int) -> tuple[int, int, str]:
        """Return where a port's cell lies: on tracks, inside the core."""
        (width, height), pitch = self._port[0], self.core.layers[2].pitch
        left = min(x, self.plan.width - width) // self.plan.site * self.plan.site
        return left, min(y, self.plan.height - height) // pitch * pitch, "N"

    def _cell_pins(self, kind: str, areas: Mapping[str, Sequence[Rectangle]]) -> dict[str, Pin]:
        pins = self.shapes.library.cells[kind].pins
        return {name: Pin(pin.direction == "output", tuple(self._lines(areas[name]))) for name, pin in pins.items()}

    def _lines(self, areas: Sequence[Rectangle]) -> Iterator[Line]:
        """Return the tracks of the lowest layer of wires on which a via has room, or else the nearest one."""
        lowest = self.core.layers[1]
        half, pitch = lowest.width // 2, lowest.pitch
        found = False
        for left, bottom, right, top in areas:
            middle = (bottom + top) // 2
            span = (min(bottom + half, middle), max(top - half, middle))
            first = -(-(left + half - lowest.offset) // pitch) * pitch + lowest.offset
            for x in range(first, right - half + 1, pitch):
                found = True
                yield Line(x, *span, lowest.width)
        if not found:
            left, bottom, right, top = max(areas, key=lambda area: (area[2] - area[0]) * (area[3] - area[1]))
            x = round(((left + right) / 2 - lowest.offset) / pitch) * pitch + lowest.offset
            yield Line(x, (bottom + top) // 2, (bottom + top) // 2, lowest.width)

    def _macro_pins(self, kind: str) -> dict[str, Pin]:
        lowest, macro = self.core.layers[1], self.shapes.macros[kind]
        found = {}
        for name, way in macro.pins.items():
            up = self.shapes.pin(kind, name)[1]
            line = Line(lowest.offset, up - lowest.width, up + lowest.width, lowest.width)
            found[name] = Pin(way == "output", (line,))
        return found

    def _blocks(self, kind: str) -> Iterator[tuple[int, int, int, int, int]]:
        """Return what a macro takes of the lower layers: all but a strip of sites along its pins."""
        width, height = self.shapes.size(kind)
        for depth in range(1, BLOCKED_BY_MACROS + 1):
            yield depth, 2 * self.plan.site, 0, width, height


def _layers(enablement: Enablement) -> Iterator[Layer]:
    """Yield the layer of pins, below that of the lowest wires, and the layers of signals.

    Raises:
        ArmillaryError: if there is none below, or there are too few of signals.
    """
    known = read_layers(enablement.tech_lef)
    names = [layer.name for layer in known]
    depth = names.index(enablement.layers[0])
    if not depth or len(enablement.layers) < _FEWEST_LAYERS:
        raise ArmillaryError(
            f"enablement {enablement.name}: layers={enablement.layers!r} is not fit for Coriolis, which needs "
            f"{_FEWEST_LAYERS} layers of signals and one of pins below them"
        )
    for name in (names[depth - 1], *enablement.layers):
        yield _layer(known[names.index(name)])


def _layer(layer: LefLayer) -> Layer:
    lengths = (units(length) for length in (layer.pitch_um, layer.offset_um, layer.width_um))
    return Layer(layer.name, layer.direction == "horizontal", *lengths)


def _trees(netlist: Netlist, found: Sequence[NetWires], layers: Sequence[Layer]) -> tuple[Trees, Ints, Ints]:
    """Return the nets' wires as trees, with the lengths and layers of edges as `Routed` has them."""
    nodes: list[tuple[int, int]] = []
    edges: list[_Edge] = []
    starts, edge_starts = [0], [0]
    for pins, wires in zip(netlist.nets.values(), found, strict=True):
        own_nodes, own_edges = _without_stubs(wires, len(pins))
        nodes += own_nodes
        edges += own_edges
        starts.append(len(nodes))
        edge_starts.append(len(edges))
    at, ends, layer, long = _ints(nodes, 2), *np.split(_ints(edges, 4), [2, 3], axis=1)
    side = np.where(np.array([each.horizontal for each in layers])[layer], [[True, False]], [[False, True]])
    trees = Trees(tuple(netlist.nets), tuple(netlist.nets.values()), _ints(starts), at[:, 0], at[:, 1],
                  _ints(edge_starts), ends)  # fmt: skip
    return trees, side * long, side * (layer - 1)


def _ints(values: Sequence[object], wide: int = 0) -> Ints:
    found = np.array(values, np.int64)
    return found.reshape(-1, wide) if wide else found


def _without_stubs(wires: NetWires, pins: int) -> tuple[list[tuple[int, int]], list[_Edge]]:
    """Return places and wires of a net in which nodes in one place, or in one pin, are one node.

    Pins stay nodes of their own: where two lie in one place, a wire of no length joins them. Wires from a pin to
    itself, which lie above it, are left out.
    """
    same = list(range(len(wires.at)))

    def root(node: int) -> int:
        while same[node] != node:
            same[node] = node = same[same[node]]
        return node

    kept = []
    for a, b, depth in wires.edges:
        (x, y), (to_x, to_y) = wires.at[a], wires.at[b]
        long = abs(x - to_x) + abs(y - to_y) if depth else 0  # in the lowest layer lie the pins themselves
        low, high = sorted((root(a), root(b)))
        if long or high < pins:  # a group that holds a pin has it as its root
            kept.append((a, b, max(1, depth), long))
        else:
            same[high] = low
    number = {node: node for node in range(pins)}
    for a, b, *_ in kept:
        for node in (root(a), root(b)):
            number.setdefault(node, len(number))
    edges = [(number[root(a)], number[root(b)], depth, long) for a, b, depth, long in kept]
    return [wires.at[node] for node in number], [edge for edge in edges if edge[0] != edge[1]]


def _use(trees: Trees, lengths: Ints, core: Core) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the part of all tracks that wires take at borders of gcells, across and up, as `Routed` has it."""
    size = GCELL_ROWS * core.row
    wide, high = -(-core.width // size), -(-core.height // size)
    first, second = trees.nodes_of_edges()
    x, y = np.clip(trees.x // size, 0, wide - 1), np.clip(trees.y // size, 0, high - 1)
    found = []
    for side, (along, beside, shape) in enumerate(((x, y, (wide, high)), (y, x, (high, wide)))):
        taken = np.zeros(shape)
        laid = lengths[:, side] > 0
        ends = np.stack([along[first[laid]], along[second[laid]]])
        np.add.at(taken, (ends.min(axis=0), beside[first[laid]]), 1)
        np.add.at(taken, (ends.max(axis=0), beside[first[laid]]), -1)
        tracks = sum(size / layer.pitch for layer in core.layers[1:] if layer.horizontal == (side == 0))
        found.append(np.cumsum(taken, axis=0)[:-1] / tracks)
    return found[0], found[1].T
