"""Placement again for the clock."""

import pytest

from armillary.evaluators.physical.congestion import routable
from armillary.evaluators.physical.critical import hastened, net_weights
from armillary.evaluators.physical.floorplan import planned
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.physical.netlist import Netlist
from armillary.evaluators.physical.optimize import Technology, with_sizes
from armillary.evaluators.physical.placement import Shapes
from armillary.evaluators.physical.static_timing import Slacks
from evaluators.physical.designs import MULTIPLIER, mapped, needs_tools


def test_nets_weigh_more_the_nearer_they_are_to_the_latest():
    nets = {name: ((name, "Z"), ("sink", name)) for name in ("late", "near", "early", "free")}
    netlist = Netlist("top", {}, nets, {}, {}, "", {})
    slacks = Slacks(-0.3, {("late", "Z"): -0.3, ("near", "Z"): -0.2, ("early", "Z"): -0.05})
    weights = net_weights(netlist, slacks, period_ns=1.0)
    assert set(weights) == {"late", "near"}
    assert weights["late"] == pytest.approx(7.0)
    assert weights["near"] == pytest.approx(4.0)


@needs_tools
def test_a_placement_is_kept_only_where_the_clock_gains(nangate, library):
    netlist, shapes = mapped(MULTIPLIER, "multiplier", nangate), Shapes(library, {})
    plan = planned(netlist, library, {}, utilization=0.5, aspect=1.0)
    technology = Technology(nangate, library, shapes)
    given = routable(netlist, shapes, plan, effort=1, seed=0).placement

    def tried(clock_ns, placement=given):
        return hastened(netlist, placement, {}, plan, technology, Knobs(clock_ns=clock_ns, effort=1), 0)

    assert tried(3.0) is None  # nothing is late
    found = tried(0.3)
    assert found is not None
    worst = [with_sizes(netlist, each, plan, technology, Knobs(clock_ns=0.3, effort=1), 6, 0, {}).slacks.worst_ns
             for each in (given, found)]  # fmt: skip
    assert worst[1] > worst[0]
    assert tried(0.3, found) != found
