"""Our own timing beside OpenSTA's, and by hand."""

import numpy as np
import pytest

from armillary.evaluators.physical import timing_kernel
from armillary.evaluators.physical.floorplan import planned
from armillary.evaluators.physical.parasitics import spef
from armillary.evaluators.physical.placement import Placement, Shapes
from armillary.evaluators.physical.routing import trees_of, unrouted
from armillary.evaluators.physical.static_timing import StaticTimer
from armillary.evaluators.physical.timing import Clocking, timed, write_design
from armillary.evaluators.physical.timing_tables import read_tables
from evaluators.physical.designs import MULTIPLIER, mapped, needs_tools

CLOCKING = Clocking(0.8, 0.2, propagated=False, latency_ns=0.05)


@pytest.fixture(scope="module")
def spread(nangate, library):
    """A multiplier whose cells lie in rows in the order of their names, so that wires are long."""
    netlist, shapes = mapped(MULTIPLIER, "multiplier", nangate), Shapes(library, {})
    plan = planned(netlist, library, {}, utilization=0.05, aspect=1.0)
    places = {name: (20 * plan.site * (k % 12), plan.row * (k // 12), "N") for k, name in enumerate(netlist.cells)}
    placement = Placement(places, dict.fromkeys(netlist.ports, (0, 0)))
    return netlist, unrouted(trees_of(netlist, shapes, placement), library, plan)


@needs_tools
def test_slacks_are_those_of_opensta(spread, nangate, library, tmp_path):
    netlist, wires = spread
    outputs = {name: frozenset(pin for pin, each in cell.pins.items() if each.direction == "output")
               for name, cell in library.cells.items()}  # fmt: skip
    timer = StaticTimer(netlist, wires, library, read_tables(nangate, library), {}, CLOCKING)
    strong = {name: kind.replace("_X1", "_X2") for name, kind in netlist.cells.items() if kind.startswith("NAND2_X1")}
    assert strong
    for number, each in enumerate((netlist, netlist.resized(strong))):
        own = timer.slacks(each)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        write_design(folder, each, spef(each, wires, library, outputs), CLOCKING, {})
        theirs = timed(folder, each, library, nangate, with_slacks=True)
        assert set(own.of) == set(theirs.slacks)
        pairs = np.array([(own.of[pin], theirs.slacks[pin]) for pin in own.of])
        assert np.corrcoef(pairs.T)[0, 1] > 0.995
        assert own.worst_ns == pytest.approx(theirs.slack_ns, abs=0.03)


@needs_tools
def test_a_later_clock_moves_slacks_by_as_much(spread, nangate, library):
    netlist, wires = spread
    tables = read_tables(nangate, library)
    tight, loose = (
        StaticTimer(netlist, wires, library, tables, {}, Clocking(period, 0.0, propagated=False)).slacks(netlist)
        for period in (0.8, 1.3)
    )
    assert loose.worst_ns == pytest.approx(tight.worst_ns + 0.5)
    assert all(loose.of[pin] == pytest.approx(slack + 0.5) for pin, slack in tight.of.items())


def test_a_wire_is_as_late_as_elmore_says():
    # 0 -- 2 -- 1, and 3 hangs on 2; ends of edges in any order
    starts, ends = np.array([0, 4]), np.array([[1, 2], [2, 0], [3, 2]])
    rooted = timing_kernel.rooted(starts, np.array([0, 3]), ends)
    ohm, ff, pins = np.array([10.0, 100.0, 50.0]), np.array([2.0, 4.0, 6.0]), np.array([9.0, 5.0, 0.0, 7.0])
    load, late = timing_kernel.wires(*rooted, ohm, ff, pins)
    assert load[0] == pytest.approx(pins.sum() + ff.sum())
    behind = 4 / 2 + 2 + 6 + 5 + 7
    assert late[2] == pytest.approx(100 * behind * 1e-6)
    assert late[1] == pytest.approx(late[2] + 10 * (2 / 2 + 5) * 1e-6)
    assert late[3] == pytest.approx(late[2] + 50 * (6 / 2 + 7) * 1e-6)


def test_tables_are_read_between_and_beyond_their_values():
    axis, values = np.array([1.0, 2.0, 4.0]), np.array([[0.0, 1.0, 3.0], [10.0, 11.0, 13.0], [30.0, 31.0, 33.0]])
    for row, column in ((1.5, 2.5), (4.0, 1.0), (0.5, 5.0)):  # 10 times the row and once the column, less 11
        at, down = timing_kernel.before(axis, 3, row)
        left, right = timing_kernel.before(axis, 3, column)
        assert timing_kernel.between(values, at, down, left, right) == pytest.approx(10 * (row - 1) + column - 1)


def test_nets_follow_those_that_they_depend_on_and_loops_are_left_out():
    # net 0 hangs on net 2, net 2 on the clock alone; 1 and 3 hang on each other
    starts, source = np.array([0, 1, 2, 3, 4]), np.array([2, 3, -1, 1])
    assert timing_kernel.levels(starts, source, np.arange(4), 4).tolist() == [2, 0]
