"""Cores, and what ties their wells."""

import pytest

from armillary.evaluators.physical.floorplan import Outline, planned, tap_count
from armillary.evaluators.physical.macros import MacroCell
from armillary.evaluators.physical.netlist import Netlist


def test_taps_are_as_many_as_openroad_counts():
    # the cells that global placement has beyond the floorplan's, in OpenROAD-flow-scripts' rows of 2022-08 and 2022-10
    assert tap_count(2 * 49970, 35, 2800, [], 240_000) == 70  # gcd, 49.97 by 49 um
    assert abs(tap_count(2 * 230_000, 164, 2800, [], 240_000) - 411) <= 1  # aes


def test_a_macro_gives_rows_more_ends_and_covers_others():
    ends = 2 * 10
    assert tap_count(1000, 10, 10, [], 0) == ends
    assert tap_count(1000, 10, 10, [(400, 0, 600, 25)], 0) == ends + 2 * 3  # the third row is half covered
    assert tap_count(1000, 10, 10, [(0, 0, 600, 25)], 0) == ends
    assert tap_count(1000, 10, 10, [(0, 0, 1000, 20)], 0) == ends - 2 * 2


def test_macros_lie_at_the_outer_edges_so_that_no_cells_are_behind_them(library):
    outlines = {"wide": Outline(20.0, 20.0), "slim": Outline(10.0, 20.0)}
    kinds = {"a": "wide", "b": "wide", "c": "wide", "d": "slim"} | {f"u{k}": "NAND2_X1" for k in range(400)}
    plan = planned(Netlist("top", kinds, {}, {}, {}, "", {}), library, outlines, utilization=0.3, aspect=1.0)
    assert [plan.macros[name][0] for name in "ab"] == [0, 0]
    for name in "cd":  # of different widths, above each other
        beyond = plan.width - plan.macros[name][0] - round(2000 * outlines[kinds[name]].width_um)
        assert 0 <= beyond < plan.site


@pytest.mark.parametrize(("words_wide", "height"), [(8, 30.0), (400, 0.28 * 401)])
def test_a_memory_is_as_high_as_its_pins_ask_for(words_wide, height):
    cell = MacroCell("m", {"clk": ("input", 1), "out": ("output", words_wide)}, 900.0, 0.2, 0.05, 1.0)
    assert cell.height_um == pytest.approx(height)
    assert cell.width_um * cell.height_um == pytest.approx(900.0)
    places = sorted(y for _, y in cell.places_um.values())
    assert places[1] - places[0] > 0.27
