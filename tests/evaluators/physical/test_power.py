"""Power by OpenSTA against a calculation by hand from the liberty file's tables."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from armillary.evaluators.physical.floorplan import planned
from armillary.evaluators.physical.liberty import cells_of, read_liberty
from armillary.evaluators.physical.netlist import PORT, Netlist
from armillary.evaluators.physical.optimize import Technology
from armillary.evaluators.physical.parasitics import spef
from armillary.evaluators.physical.placement import Placement, Shapes
from armillary.evaluators.physical.routing import trees_of, unrouted
from armillary.evaluators.physical.timing import Clocking, powered, write_design
from evaluators.physical.designs import COUNTER, MULTIPLIER, mapped, needs_tools

PERIOD_NS, ACTIVITY = 1.0, 0.2
pytestmark = needs_tools


def by_hand(netlist, nangate):
    """Return internal, switching and leakage power in mW, of a design without wires whose nets change alike.

    A net takes C V^2 / 2 for each change; a cell the mean of its tables, at the slew that its input has, for each
    change of its outputs, and of its inputs where these have tables.
    """
    cells = cells_of(read_liberty(nangate.liberty))
    load, slew = {}, defaultdict(float)
    for net, pins in netlist.nets.items():
        load[net] = sum(cells[netlist.cells[i]].pins[p].cap_ff for i, p in pins[1:] if i != PORT)
    for _ in range(len(netlist.cells)):  # until slews have come through the longest path
        before = dict(slew)
        for net, pins in netlist.nets.items():
            instance, pin = pins[0]
            if instance != PORT:
                at = netlist.pins_of[instance]
                arcs = [arc for arc in cells[netlist.cells[instance]].pins[pin].timing if arc.related in at]
                slews = [arc.tables[name].at(slew[at[arc.related]], load[net]) for arc in arcs
                         for name in ("rise_transition", "fall_transition") if name in arc.tables]  # fmt: skip
                slew[net] = float(np.mean(slews))
        if before == dict(slew):
            break
    internal = switching = 0.0
    for net, pins in netlist.nets.items():
        changes = 2.0 if net == netlist.clock_net else ACTIVITY
        if pins[0][0] != PORT:
            switching += load[net] * nangate.volts**2 / 2 * changes
    for instance, kind in netlist.cells.items():
        on = netlist.pins_of[instance]
        for name, pin in cells[kind].pins.items():
            net = on.get(name)  # none for outputs that nothing reads, which change all the same
            changes = 2.0 if pin.clock else ACTIVITY
            own = [table.at(slew[on.get(arc.related, net)], load.get(net, 0.0))
                   for arc in pin.energy for table in arc.tables.values()]  # fmt: skip
            internal += (float(np.mean(own)) if own else 0.0) * changes
    leakage = sum(cells[kind].leakage_nw for kind in netlist.cells.values())
    return internal / PERIOD_NS * 1e-3, switching / PERIOD_NS * 1e-3, leakage * 1e-6


def chain(length):
    cells = {f"u{k}": "INV_X1" for k in range(length)}
    nets = {"n0": ((PORT, "a"), ("u0", "A"))}
    for k in range(length):
        after = (f"u{k + 1}", "A") if k + 1 < length else (PORT, "y")
        nets[f"n{k + 1}"] = ((f"u{k}", "ZN"), after)
    return Netlist("chain", cells, nets, {"a": "input", "y": "output"}, {}, "", {})


def without_wires(netlist, nangate, library):
    """Return SPEF of wires without length; without SPEF OpenSTA takes the library's wire-load model."""
    shapes = Shapes(library, {})
    placement = Placement(dict.fromkeys(netlist.cells, (0, 0, "N")), dict.fromkeys(netlist.ports, (0, 0)))
    plan = planned(netlist, library, {}, utilization=0.5, aspect=1.0)
    wires = unrouted(trees_of(netlist, shapes, placement), library, plan)
    nothing = replace(wires, lengths=np.zeros_like(wires.lengths))
    return spef(netlist, nothing, library, Technology(nangate, library, shapes).outputs())


@pytest.mark.parametrize("name", ["chain", "counter", "multiplier"])
def test_power_is_what_the_tables_say(name, tmp_path, nangate, library):
    netlist = (
        chain(20) if name == "chain" else mapped({"counter": COUNTER, "multiplier": MULTIPLIER}[name], name, nangate)
    )
    write_design(tmp_path, netlist, without_wires(netlist, nangate, library), Clocking(PERIOD_NS, 0.0, False), {})
    found = powered(tmp_path, netlist, nangate, [], (), ACTIVITY)
    internal, switching, leakage = by_hand(netlist, nangate)
    assert found.switching == pytest.approx(switching, rel=0.05)
    assert found.internal == pytest.approx(internal, rel=0.05)
    assert found.leakage == pytest.approx(leakage, rel=0.05)
