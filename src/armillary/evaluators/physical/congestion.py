"""Placement that wires have room in: cells where they crowd are given more room, and everything is placed again.

Source: inflation of cells by the congestion of a global routing, as in Spindler, Johannes 2007, "Fast and accurate
routing demand estimation for efficient routability-driven placement", and in RePlAce (Cheng, Kahng, Kang, Wang 2019),
section V; here the wires are those of `routing`, and the first estimate comes from the hasty placement before the
ports are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.floorplan import Floorplan
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.placement import (
    FIRST_EFFORT,
    Placement,
    Shapes,
    Wish,
    placed,
    placed_without_ports,
    port_places,
)
from armillary.evaluators.physical.routing import grid_of, trees_of

_MOST_ROUNDS = 3
_PART = 0.95  # of the tracks that may be taken before buffers, sizes and the clock's tree add wires
_TRIES, _PATIENCE = 60, 4  # rounds of routing again in which it should come out; and which may pass in vain
_AIM = 0.8  # part of the tracks that a region should take where it gets more room
_MOST_AT_ONCE, _MOST_ROOM = 2.0, 3.0  # times its width that a cell is given
_MOST_FILLED = 0.92  # of the rows, by cells with the room they are given


@dataclass(frozen=True)
class Routable:
    """A placement, how many times its width each cell was given for it, and how often that grew."""

    placement: Placement
    rooms: Mapping[str, float]
    rounds: int


def routable(netlist: Netlist, shapes: Shapes, plan: Floorplan, *, effort: int, seed: int) -> Routable:
    """Return a placement in which wires have tracks, or as nearly as some rounds get there.

    A first placement without ports tells where ports belong and where wires will crowd. Placements in haste find how
    much room cells should have, and one with all effort uses it; if wires crowd even so, a last one is tried.

    Args:
        netlist: to place.
        shapes: of its cells.
        plan: the core.
        effort: 1 to 9.
        seed: of what is drawn.

    Raises:
        PlacementError: if there is no legal one.
        ArmillaryError: if Coloquinte is missing.
    """
    first = placed_without_ports(netlist, shapes, plan, effort=effort, seed=seed)
    ports = port_places(netlist, first, plan)

    def tried(rooms: Mapping[str, float], effort: int) -> Placement:
        return placed(netlist, shapes, plan, ports, Wish(rooms), effort=effort, seed=seed)

    rooms: Mapping[str, float] = {}
    found, rounds = replace(first, ports=ports), 0
    over = overflow(netlist, shapes, plan, found)
    while rounds < _MOST_ROUNDS and over:
        rooms = _roomier(netlist, shapes, plan, found, rooms)
        found, rounds = tried(rooms, min(effort, FIRST_EFFORT)), rounds + 1
        over = overflow(netlist, shapes, plan, found)
    if not rounds or effort > FIRST_EFFORT:  # else it is this one already
        found = tried(rooms, effort)
        over = overflow(netlist, shapes, plan, found)
    if over:
        more = _roomier(netlist, shapes, plan, found, rooms)
        again = tried(more, effort)
        if overflow(netlist, shapes, plan, again) < over:
            found, rooms = again, more
    return Routable(found, rooms, rounds)


def overflow(netlist: Netlist, shapes: Shapes, plan: Floorplan, placement: Placement) -> float:
    """Return how many wires would find no track, with some left for buffers and the clock's tree."""
    trees = trees_of(netlist, shapes, placement)
    grid = grid_of(shapes.library, plan, shapes.corners(netlist, plan))
    return grid.use(trees, rounds=_TRIES, patience=_PATIENCE, part=_PART)[2].overflow


def _roomier(
    netlist: Netlist, shapes: Shapes, plan: Floorplan, placement: Placement, rooms: Mapping[str, float]
) -> Mapping[str, float]:
    """Return how many times its width each cell should be given.

    A region that is given f times the room has f times the tracks, and wires that are longer by the root of f. So
    borders that are r times as full as they may be call for the square of r.
    """
    grid = grid_of(shapes.library, plan, shapes.corners(netlist, plan))
    trees = trees_of(netlist, shapes, placement)
    growth = np.clip(_smooth(grid.use(trees, rounds=0)[2].fullest / _AIM) ** 2, 1.0, _MOST_AT_ONCE)
    cells = [name for name in netlist.cells if name not in plan.macros]
    sizes = np.array([shapes.size(netlist.cells[name]) for name in cells], np.int64)
    corners = np.array([placement.places[name][:2] for name in cells], np.int64)
    x, y = grid.at(*(corners + sizes // 2).T)
    wanted = np.minimum(np.array([rooms.get(name, 1.0) for name in cells]) * growth[x, y], _MOST_ROOM)
    areas = sizes.prod(axis=1)
    macros = sum((right - left) * (top - bottom) for left, bottom, right, top in shapes.corners(netlist, plan))
    spare = _MOST_FILLED * (plan.width * plan.height - macros) - areas.sum()
    asked = ((wanted - 1) * areas).sum()
    granted = 1 + (wanted - 1) * float(np.clip(spare / max(asked, 1e-9), 0, 1))
    return dict(zip(cells, granted.tolist(), strict=True))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over each gcell and its neighbours."""
    wide = np.pad(values, 1, mode="edge")
    columns = wide[:-2] + wide[1:-1] + wide[2:]
    return np.asarray((columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]) / 9)
