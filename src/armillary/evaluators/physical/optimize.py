"""After placement: buffers, sizes against the clock, the clock's tree, and legal places for what is new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from armillary.evaluators.physical import buffering, clock_tree, sizing
from armillary.evaluators.physical.enablement import Enablement
from armillary.evaluators.physical.floorplan import UNITS_PER_UM, Floorplan
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.physical.library import Cell, Library
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.parasitics import net_caps, spef
from armillary.evaluators.physical.placement import Placement, Shapes, area_of, free_area, legalized, most_area
from armillary.evaluators.physical.routing import trees_of, unrouted
from armillary.evaluators.physical.static_timing import StaticTimer
from armillary.evaluators.physical.timing import Clocking, timed, write_design
from armillary.evaluators.physical.timing_tables import read_tables
from armillary.temporary import temporary_folder
from armillary.tools.coloquinte import PlacementError

_BEFORE_ISOLATION = 0.6  # of the rounds
_MOST_SIZED = 0.93  # of the rows, that growing cells may fill: in what is left all find legal places
_FIRST_WIRE = 1  # layer, from the lowest, whose capacitance stands for wires that are not laid yet


@dataclass(frozen=True)
class Technology:
    """What cells, macros and wires are."""

    enablement: Enablement
    library: Library
    shapes: Shapes

    @property
    def buffer(self) -> Cell:
        """The second smallest of the buffers."""
        family = self.library.sizes[self.library.cells[self.enablement.buffer].family]
        return family[min(1, len(family) - 1)]

    def outputs(self) -> dict[str, frozenset[str]]:
        """Return the output pins of cells and macros."""
        found = {name: frozenset(pin for pin, each in cell.pins.items() if each.direction == "output")
                 for name, cell in self.library.cells.items()}  # fmt: skip
        macros = {name: frozenset(pin for pin, direction in macro.pins.items() if direction == "output")
                  for name, macro in self.shapes.macros.items()}  # fmt: skip
        return found | macros


def optimized(
    netlist: Netlist, placement: Placement, plan: Floorplan, technology: Technology, knobs: Knobs, seed: int
) -> tuple[Netlist, Placement, dict[str, float]]:
    """Return the design with buffers, sizes and a clock tree, legally placed, and what was done to it.

    Raises:
        PlacementError: if what is new has no room.
        TimingError: if no path has a constraint.
        ArmillaryError: if a tool is missing or refuses.
    """
    library, shapes = technology.library, technology.shapes
    per_um = library.layers[min(_FIRST_WIRE, len(library.layers) - 1)].wire.ff_per_um
    netlist, placement = buffering.without_overload(netlist, placement, shapes, library, technology.buffer, per_um)
    first = round(_BEFORE_ISOLATION * knobs.sizing_rounds)
    best = with_sizes(netlist, placement, plan, technology, knobs, first, seed, {})
    slack_ns = _judged(best.netlist, placement, plan, technology, knobs)
    if knobs.sizing_rounds:
        apart, moved = buffering.isolated(
            best.netlist, placement, shapes, library, technology.buffer, best.slacks.of, knobs.clock_ns
        )
        again = with_sizes(apart, moved, plan, technology, knobs, knobs.sizing_rounds - first, seed, best.multipliers)
        again_ns = _judged(again.netlist, moved, plan, technology, knobs)
        if sizing.is_better(again, best, again_ns, slack_ns, knobs.clock_ns):
            best, placement, slack_ns = again, moved, again_ns
    added = {name: sum(key.startswith(name) for key in best.netlist.cells) for name in ("buffer_", "isolate_")}
    netlist, placement = clock_tree.with_clock_tree(
        best.netlist, placement, shapes, library, technology.enablement.clock_buffer
    )
    _check_room(netlist, plan, shapes, knobs.utilization)
    placement = legalized(netlist, shapes, plan, placement, effort=knobs.effort, seed=seed)
    return netlist, placement, {
        "sized_slack_ns": slack_ns,
        "load_buffers": added["buffer_"],
        "isolating_buffers": added["isolate_"],
        "clock_buffers": len(clock_tree.clock_cells(netlist.cells)),
    }  # fmt: skip


def with_sizes(
    netlist: Netlist,
    placement: Placement,
    plan: Floorplan,
    technology: Technology,
    knobs: Knobs,
    rounds: int,
    seed: int,
    multipliers: Mapping[str, float],
) -> sizing.Sized:
    """Return the netlist with sizes for the clock, by our own timing under Steiner trees as wires.

    Args:
        netlist: with its clock still one net.
        placement: of it.
        plan: the core.
        technology: of the cells.
        knobs: with the clock.
        rounds: of timing analyses.
        seed: of the order in which cells are looked at.
        multipliers: of cells, in um2 per ns, to begin with.
    """
    library = technology.library
    wires = unrouted(trees_of(netlist, technology.shapes, placement), library, plan)
    timer = StaticTimer(
        netlist, wires, library, read_tables(technology.enablement, library), technology.shapes.macros,
        _clocking(netlist, technology, knobs),
    )  # fmt: skip
    return sizing.sized(
        netlist, library, net_caps(wires, library), timer.slacks, period_ns=knobs.clock_ns,
        most_um2=_most_um2(netlist, placement, plan, technology), rounds=rounds, seed=seed,
        steep=knobs.loads == "steep", multipliers=multipliers,
    )  # fmt: skip


def _most_um2(netlist: Netlist, placement: Placement, plan: Floorplan, technology: Technology) -> float:
    """Return the area that cells which have sizes may take, so that the others and the clock's tree find places.

    What is fuller than that from the beginning stays as full.
    """
    library, shapes = technology.library, technology.shapes
    whole, _ = clock_tree.with_clock_tree(netlist, placement, shapes, library, technology.enablement.clock_buffer)
    has_sizes = {name for name, kind in netlist.cells.items() if kind in library.cells and library.cells[kind].family}
    others = [kind for name, kind in whole.cells.items() if name not in has_sizes]
    begun = min(area_of(whole.cells.values(), shapes), most_area(netlist, shapes, plan))
    most = max(begun, _MOST_SIZED * free_area(netlist, shapes, plan))
    return (most - area_of(others, shapes)) / UNITS_PER_UM**2


def _check_room(netlist: Netlist, plan: Floorplan, shapes: Shapes, utilization: float) -> None:
    """Raise PlacementError if the cells, sizes and clock tree included, have no room."""
    filled = area_of(netlist.cells.values(), shapes) / most_area(netlist, shapes, plan)
    if filled > 1:
        enough = math.floor(100 * utilization / filled) / 100
        raise PlacementError(
            f"cells, with buffers and the clock's tree, take {filled:.2f} times the area that may be filled; "
            f"lower the utilization from {utilization:g} to {enough:g} or less"
        )


def _judged(netlist: Netlist, placement: Placement, plan: Floorplan, technology: Technology, knobs: Knobs) -> float:
    """Return the worst slack by OpenSTA."""
    wires = unrouted(trees_of(netlist, technology.shapes, placement), technology.library, plan)
    with temporary_folder("sizing") as folder:
        text = spef(netlist, wires, technology.library, technology.outputs())
        write_design(folder, netlist, text, _clocking(netlist, technology, knobs), technology.shapes.macros)
        return timed(folder, netlist, technology.library, technology.enablement, with_slacks=False).slack_ns


def _clocking(netlist: Netlist, technology: Technology, knobs: Knobs) -> Clocking:
    late = clock_tree.expected_latency_ns(netlist, technology.library, technology.enablement.clock_buffer)
    return Clocking(knobs.clock_ns, knobs.port_delay, propagated=False, latency_ns=late)
