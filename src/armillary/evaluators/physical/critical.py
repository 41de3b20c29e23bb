"""Placement again with late nets shorter: what net weights by slack gain is kept where the clock gains by it.

Source: net weights by criticality, as in Marquardt, Betz, Rose 2000, "Timing-driven placement for FPGAs" (weights that
grow with how near a net's slack is to the worst); here from one placement to the next, and after sizing, by which most
of what is late before it ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from armillary.evaluators.physical.congestion import overflow
from armillary.evaluators.physical.floorplan import Floorplan
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.optimize import Technology, with_sizes
from armillary.evaluators.physical.placement import Placement, Wish, placed
from armillary.evaluators.physical.static_timing import Slacks

_ROUNDS = 6  # of sizing, before slacks count
_HEAVIEST = 6.0  # what the most critical net weighs more
_WINDOW = 0.2  # of the period: nets whose slack is as much better than the worst weigh as others
_LEAST_GAIN = 0.002  # of the period


def hastened(
    netlist: Netlist,
    given: Placement,
    rooms: Mapping[str, float],
    plan: Floorplan,
    technology: Technology,
    knobs: Knobs,
    seed: int,
) -> Placement | None:
    """Return a placement in which sized cells are less late than in the given one.

    None if there is no such, if it has more wires without a track, or if nothing is late.

    Args:
        netlist: as it was synthesised.
        given: a placement of it.
        rooms: how many times its width each cell was given for the sake of wires.
        plan: the core.
        technology: of the cells.
        knobs: with the clock.
        seed: of what is drawn.

    Raises:
        PlacementError: if there is no legal one.
        ArmillaryError: if Coloquinte is missing.
    """
    before = with_sizes(netlist, given, plan, technology, knobs, _ROUNDS, seed, {}).slacks
    if before.worst_ns >= 0:
        return None
    weights = net_weights(netlist, before, knobs.clock_ns)
    wish = Wish(rooms, weights)
    found = placed(netlist, technology.shapes, plan, given.ports, wish, effort=knobs.effort, seed=seed)
    after = with_sizes(netlist, found, plan, technology, knobs, _ROUNDS, seed, {}).slacks
    if after.worst_ns < before.worst_ns + _LEAST_GAIN * knobs.clock_ns:
        return None
    crowded = (overflow(netlist, technology.shapes, plan, placement) for placement in (found, given))
    return found if next(crowded) <= next(crowded) else None


def net_weights(netlist: Netlist, slacks: Slacks, period_ns: float) -> dict[str, float]:
    """Return the weights of nets that are near the latest; others weigh 1."""
    found = {}
    for net, pins in netlist.nets.items():
        slack = slacks.of.get(pins[0])
        near = 0.0 if slack is None else 1 - (slack - slacks.worst_ns) / (_WINDOW * period_ns)
        if near > 0:
            found[net] = 1 + _HEAVIEST * near
    return found
