"""Placement of cells by Coloquinte, around macros and the ports' pins."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from armillary.evaluators.physical.floorplan import Floorplan, edge_places, units
from armillary.evaluators.physical.library import Library
from armillary.evaluators.physical.macros import MacroCell
from armillary.evaluators.physical.netlist import PORT, Netlist, PinName
from armillary.tools.coloquinte import Box, Placed, PlacementError, Wiring, place

_DENSEST = 0.97  # part of the rows that cells may fill at all
_DENSER = 0.2  # part of the free room that packing closer than evenly takes away
FIRST_EFFORT = 1
"""Of placements in haste."""
Place = tuple[int, int, str]


@dataclass(frozen=True)
class Placement:
    """Where everything lies; lengths in units.

    Attributes:
        places: lower left corner and orientation (`N`, `S`, `FN`, `FS`) of each instance.
        ports: of each port's pin.
    """

    places: Mapping[str, Place]
    ports: Mapping[str, tuple[int, int]]

    def as_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {"places": self.places, "ports": self.ports}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Placement:
        """Return the placement that `as_json` described."""
        places = {name: (x, y, turned) for name, (x, y, turned) in content["places"].items()}
        return Placement(places, {name: (x, y) for name, (x, y) in content["ports"].items()})


@dataclass(frozen=True)
class Shapes:
    """Sizes and pins of cells and macros, in units, by what they are called in the netlist."""

    library: Library
    macros: Mapping[str, MacroCell]

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        cells = {kind: (units(cell.width_um), units(cell.height_um)) for kind, cell in self.library.cells.items()}
        return cells | {kind: (units(macro.width_um), units(macro.height_um)) for kind, macro in self.macros.items()}

    @cached_property
    def _pins(self) -> dict[tuple[str, str], tuple[int, int]]:
        found = {(kind, name): (units(pin.x_um), units(pin.y_um))
                 for kind, cell in self.library.cells.items() for name, pin in cell.pins.items()}  # fmt: skip
        for kind, macro in self.macros.items():
            found |= {(kind, pin): (units(x), units(y)) for pin, (x, y) in macro.places_um.items()}
        return found

    def size(self, kind: str) -> tuple[int, int]:
        """Return the width and height."""
        return self._sizes[kind]

    def pin(self, kind: str, pin: str) -> tuple[int, int]:
        """Return where a pin lies from the lower left corner."""
        return self._pins[kind, pin]

    def corners(self, netlist: Netlist, plan: Floorplan) -> list[tuple[int, int, int, int]]:
        """Return left, bottom, right and top of each macro in the core."""
        found = []
        for name, (x, y) in plan.macros.items():
            width, height = self.size(netlist.cells[name])
            found.append((x, y, x + width, y + height))
        return found

    def at(self, pin: PinName, netlist: Netlist, placement: Placement) -> tuple[int, int]:
        """Return where a pin lies in the layout."""
        instance, name = pin
        if instance == PORT:
            return placement.ports[name]
        x, y, turned = placement.places[instance]
        kind = netlist.cells[instance]
        right, up = self._pins[kind, name]
        if turned == "N":
            return x + right, y + up
        width, height = self._sizes[kind]
        return x + (width - right if turned in ("S", "FN") else right), y + (
            height - up if turned in ("S", "FS") else up
        )


@dataclass(frozen=True)
class Wish:
    """What a placement should heed beside the lengths of wires.

    Attributes:
        rooms: how many times its width a cell is given while cells are spread; 1 if missing.
        weights: of nets whose length counts more; 1 if missing.
    """

    rooms: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def placed_without_ports(netlist: Netlist, shapes: Shapes, plan: Floorplan, *, effort: int, seed: int) -> Placement:
    """Return a hasty placement that tells where ports belong: it has none.

    Raises:
        PlacementError: if there is no legal one.
        ArmillaryError: if Coloquinte is missing.
    """
    return _run(netlist, shapes, plan, {}, min(effort, FIRST_EFFORT), seed, Wish())


def placed(
    netlist: Netlist,
    shapes: Shapes,
    plan: Floorplan,
    ports: Mapping[str, tuple[int, int]],
    wish: Wish,
    *,
    effort: int,
    seed: int,
) -> Placement:
    """Return a placement.

    Args:
        netlist: to place.
        shapes: of its cells.
        plan: the core.
        ports: where their pins lie.
        wish: what else it should heed.
        effort: 1 to 9.
        seed: of what is drawn.

    Raises:
        PlacementError: if there is no legal one.
        ArmillaryError: if Coloquinte is missing.
    """
    return _run(netlist, shapes, plan, ports, effort, seed, wish)


def legalized(
    netlist: Netlist, shapes: Shapes, plan: Floorplan, given: Placement, *, effort: int, seed: int
) -> Placement:
    """Return the next legal placement to one whose cells have changed their widths or been added.

    Raises:
        PlacementError: if there is none.
        ArmillaryError: if Coloquinte is missing.
    """
    return _run(netlist, shapes, plan, given.ports, effort, seed, Wish(), given)


def _run(
    netlist: Netlist,
    shapes: Shapes,
    plan: Floorplan,
    ports: Mapping[str, tuple[int, int]],
    effort: int,
    seed: int,
    wish: Wish,
    given: Placement | None = None,
) -> Placement:
    instances = list(netlist.cells)
    boxes = [_box(instance, netlist, shapes, plan, wish, given) for instance in instances]
    boxes += [Box(0, 0, x, y, fixed=True, obstructs=False) for x, y in ports.values()]
    number = {(PORT, port): len(instances) + k for k, port in enumerate(ports)}
    of = {instance: k for k, instance in enumerate(instances)}
    nets = []
    for net, pins in netlist.nets.items():
        if net == netlist.clock_net:
            continue  # a tree will take its place
        known = [pin for pin in pins if pin[0] != PORT or pin in number]
        if len(known) < 2:
            continue
        offsets = [
            (0, 0) if i == PORT else _offset((i, p), netlist, shapes, _turn(i, boxes[of[i]], plan)) for i, p in known
        ]
        joined = [number[pin] if pin[0] == PORT else of[pin[0]] for pin in known]
        nets.append(Wiring(joined, [x for x, _ in offsets], [y for _, y in offsets], wish.weights.get(net, 1.0)))
    cells, free = area_of(netlist.cells.values(), shapes), free_area(netlist, shapes, plan)
    if cells > most_area(netlist, shapes, plan):
        raise PlacementError(f"cells fill {cells / free:.2f} of the rows, at most {_DENSEST}; lower the utilization")
    try:
        found = place(
            boxes, nets, width=plan.width, height=plan.height, row=plan.row, effort=effort, seed=seed,
            spread=_spread(cells / free), from_given=given is not None,
        )  # fmt: skip
    except PlacementError as fault:
        raise PlacementError(f"cells fill {cells / free:.2f} of the rows; lower the utilization ({fault})") from fault
    placement = _on_sites(found, instances, boxes, plan, ports)
    check_legal(placement, instances, boxes, plan)
    return placement


def area_of(kinds: Iterable[str], shapes: Shapes) -> int:
    """Return the area of cells in rows, without that of macros among them, in square units."""
    return sum(math.prod(shapes.size(kind)) for kind in kinds if kind not in shapes.macros)


def free_area(netlist: Netlist, shapes: Shapes, plan: Floorplan) -> int:
    """Return the area of the rows that macros leave, in square units."""
    taken = sum(math.prod(_whole_sites(netlist.cells[name], shapes, plan)) for name in plan.macros)
    return plan.width * plan.height - taken


def most_area(netlist: Netlist, shapes: Shapes, plan: Floorplan) -> float:
    """Return the area that cells may have, in square units; in short rows they find legal places for less alone."""
    return _DENSEST * free_area(netlist, shapes, plan)


def _whole_sites(macro: str, shapes: Shapes, plan: Floorplan) -> tuple[int, int]:
    """Return the size of a macro in whole sites and rows: cells that are put on sites stay clear of it."""
    width, height = shapes.size(macro)
    return -(-width // plan.site) * plan.site, -(-height // plan.row) * plan.row


def _turn(instance: str, box: Box, plan: Floorplan) -> str:
    """Return how a macro lies; empty for a cell, whose row and neighbours decide."""
    return plan.orientation(instance, box.width) if instance in plan.macros else ""


def _offset(pin: PinName, netlist: Netlist, shapes: Shapes, turn: str) -> tuple[int, int]:
    """Return where a pin lies from the lower left corner of its cell, or of its macro, turned so."""
    kind = netlist.cells[pin[0]]
    right, up = shapes.pin(kind, pin[1])
    return shapes.size(kind)[0] - right if turn == "FN" else right, up


def _spread(density: float) -> float:
    """Return the part of the core that cells should be taken to fill, to be packed denser than evenly by so much."""
    return min(_DENSEST, max(density, density / min(_DENSEST, density + _DENSER * (1 - density))))


def _box(instance: str, netlist: Netlist, shapes: Shapes, plan: Floorplan, wish: Wish, given: Placement | None) -> Box:
    width, height = shapes.size(netlist.cells[instance])
    if instance in plan.macros:
        return Box(*_whole_sites(netlist.cells[instance], shapes, plan), *plan.macros[instance], fixed=True)
    x, y, _ = given.places[instance] if given else (plan.width // 2, plan.height // 2, "N")
    return Box(width, height, x, y, room=wish.rooms.get(instance, 1.0))


def _on_sites(
    found: Placed, instances: list[str], boxes: list[Box], plan: Floorplan, ports: Mapping[str, tuple[int, int]]
) -> Placement:
    """Return the placement on whole sites: widths are, so that rounding down keeps cells apart."""
    places = {}
    for k, instance in enumerate(instances):
        x = found.x[k] if boxes[k].fixed else found.x[k] // plan.site * plan.site
        places[instance] = (x, found.y[k], _turn(instance, boxes[k], plan) or found.orientation[k])
    return Placement(places, dict(ports))


def half_perimeter(netlist: Netlist, shapes: Shapes, placement: Placement) -> int:
    """Return half the perimeters of the boxes around all nets' pins, the clock's included, in units."""
    found = 0
    for pins in netlist.nets.values():
        x, y = zip(*(shapes.at(pin, netlist, placement) for pin in pins), strict=True)
        found += max(x) - min(x) + max(y) - min(y)
    return found


def check_legal(placement: Placement, instances: list[str], boxes: list[Box], plan: Floorplan) -> None:
    """Raise PlacementError where cells lie upon each other or beyond their rows."""
    rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for instance, box in zip(instances, boxes[: len(instances)], strict=True):  # without ports
        x, y, _ = placement.places[instance]
        for row in range(y // plan.row, math.ceil((y + box.height) / plan.row)):
            rows[row].append((x, x + box.width))
        if not box.fixed and (y % plan.row or x % plan.site):
            raise PlacementError(f"{instance} lies on no site")
    for row, spans in rows.items():
        spans.sort()
        inside = 0 <= row < plan.height // plan.row and spans[0][0] >= 0 and spans[-1][1] <= plan.width
        if not inside or any(left[1] > right[0] for left, right in pairwise(spans)):
            raise PlacementError(f"cells lie upon each other or beyond the core in row {row}")


def port_places(netlist: Netlist, first: Placement, plan: Floorplan) -> dict[str, tuple[int, int]]:
    """Return places along the edge, in the order of the direction in which what the ports join lies."""
    middle = (plan.width / 2, plan.height / 2)

    def direction(port: str) -> float:
        joined = [first.places[i] for i, _ in netlist.nets.get(netlist.net_of.get((PORT, port), ""), ()) if i != PORT]
        if not joined or port == netlist.clock:
            return math.pi
        x = sum(place[0] for place in joined) / len(joined)
        y = sum(place[1] for place in joined) / len(joined)
        return math.atan2(y - middle[1], x - middle[0])

    ports = sorted(netlist.ports, key=lambda port: (direction(port), port))
    places = edge_places(len(ports), plan.width, plan.height)
    places.sort(key=lambda place: math.atan2(place[1] - middle[1], place[0] - middle[0]))
    return dict(zip(ports, places, strict=True))
