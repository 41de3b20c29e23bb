"""What is done after placement keeps to the core."""

import re

import pytest

from armillary.evaluators.physical.congestion import routable
from armillary.evaluators.physical.floorplan import planned
from armillary.evaluators.physical.knobs import Knobs
from armillary.evaluators.physical.optimize import Technology, optimized
from armillary.evaluators.physical.placement import Shapes, area_of, free_area
from armillary.tools.coloquinte import PlacementError
from evaluators.physical.designs import MULTIPLIER, mapped, needs_tools

pytestmark = needs_tools


@pytest.fixture(scope="module")
def multiplier(nangate):
    return mapped(MULTIPLIER, "multiplier", nangate, aim="area")


def filled(netlist, nangate, library, *, placed_at, **knobs):
    """Return what part of the rows cells fill after optimization, and the slack.

    They were placed at another utilization.
    """
    chosen, shapes = Knobs(**knobs, effort=1), Shapes(library, {})
    roomy, plan = (
        planned(netlist, library, {}, utilization=each, aspect=1.0) for each in (placed_at, chosen.utilization)
    )
    placement = routable(netlist, shapes, roomy, effort=1, seed=0).placement
    made, _, metrics = optimized(netlist, placement, plan, Technology(nangate, library, shapes), chosen, 0)
    return area_of(made.cells.values(), shapes) / free_area(made, shapes, plan), metrics["sized_slack_ns"]


def test_cells_grow_as_far_as_the_core_has_room(multiplier, nangate, library):
    (free, free_ns), (full, full_ns) = (
        filled(multiplier, nangate, library, placed_at=part, clock_ns=0.3, utilization=part) for part in (0.5, 0.86)
    )
    assert 0.86 * free / 0.5 > 0.95  # that is what they would fill
    assert 0.9 < full <= 0.93
    assert free_ns - 0.02 < full_ns < 0  # the clock is not kept: a result


def test_what_outgrows_the_core_says_which_utilization_would_do(multiplier, nangate, library):
    knobs = {"clock_ns": 1.0, "sizing_rounds": 0, "placed_at": 0.8}
    with pytest.raises(PlacementError, match=r"lower the utilization from 0\.98 to 0\.\d+ or less") as fault:
        filled(multiplier, nangate, library, utilization=0.98, **knobs)
    enough = float(re.search(r"to (0\.\d+) or less", str(fault.value))[1])
    assert enough > 0.93
    with pytest.raises(PlacementError, match=r"cells fill 0.9[67] of the rows; lower the utilization .Coloquinte: "):
        filled(multiplier, nangate, library, utilization=enough, **knobs)  # too full for rows as short as these


def test_cells_of_steep_edges_are_larger(multiplier, nangate, library):
    knobs = {"clock_ns": 3.0, "utilization": 0.5, "placed_at": 0.5, "sizing_rounds": 3}
    as_allowed, steep = (
        filled(multiplier, nangate, library, **knobs, loads=loads)[0] for loads in ("library", "steep")
    )
    assert steep > 1.03 * as_allowed
