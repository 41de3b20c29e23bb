"""Coriolis: cells in rows, and wires that join what belongs together."""

from importlib import util
from itertools import pairwise

import pytest

from armillary.tools import packaged
from armillary.tools.coriolis import Core, CoriolisError, Instance, Layer, Line, Master, Net, Pin, place, route
from armillary.types import ArmillaryError

SITE, ROW, UNITS = 380, 2800, 2000
LAYERS = (
    Layer("metal1", True, 280, 140, 140),
    Layer("metal2", False, 380, 190, 140),
    Layer("metal3", True, 280, 140, 140),
    Layer("metal4", False, 560, 190, 280),
)
CORE = Core(100 * SITE, 20 * ROW, SITE, ROW, UNITS, LAYERS)
# Its pins lie off the middle both ways, so that a wrong orientation shows.
CELL = Master(
    "cell",
    (4 * SITE, ROW),
    {"a": Pin(False, (Line(190, 420, 1540, 140),)), "z": Pin(True, (Line(190 + 2 * SITE, 980, 2380, 140),))},
)
PLACES = ((2 * SITE, 0, "N"), (90 * SITE, 18 * ROW, "S"), (4 * SITE, 16 * ROW, "FN"), (88 * SITE, 3 * ROW, "FS"))
needs_coriolis = pytest.mark.skipif(util.find_spec("coriolis") is None, reason="Coriolis is missing")


def ring(count):
    return [Net([(k, "z"), ((k + 1) % count, "a")]) for k in range(count)]


def joined(wires, pins):
    """Return whether every pin can be reached from the first."""
    reached, more = {0}, True
    while more:
        new = {b for a, b, _ in wires.edges if a in reached} | {a for a, b, _ in wires.edges if b in reached}
        more = not new <= reached
        reached |= new
    return set(range(pins)) <= reached


def length(wires):
    return sum(abs(wires.at[a][0] - wires.at[b][0]) + abs(wires.at[a][1] - wires.at[b][1]) for a, b, _ in wires.edges)


@needs_coriolis
def test_cells_lie_in_rows_on_sites_and_near_what_they_join():
    nets = [Net([(k, "z"), ((k + 1) % 8, "a")], [(CORE.width, CORE.height)]) for k in range(8)]
    found = place(CORE, [CELL], [Instance(0)] * 8, nets, effort=1)
    assert all(x % SITE == 0 and y % ROW == 0 for x, y, _ in found)
    assert all(x + y > (CORE.width + CORE.height) / 2 for x, y, _ in found)  # towards the port in the corner
    spans = sorted((y, x) for x, y, _ in found)
    assert all(low != high or left + 4 * SITE <= right for (low, left), (high, right) in pairwise(spans))
    assert place(CORE, [CELL], [Instance(0)] * 8, nets, effort=1) == found


@needs_coriolis
def test_what_is_fixed_stays_and_nothing_lies_on_it():
    block = Master("block", (40 * SITE, 10 * ROW), {"q": Pin(True, (Line(190, 1000, 2000, 140),))})
    nets = [Net([(0, "q"), *((k, "a") for k in range(1, 9))])]
    instances = [Instance(1, (20 * SITE, 5 * ROW, "N")), *[Instance(0)] * 8]
    found = place(CORE, [CELL, block], instances, nets, effort=1)
    assert found[0] == (20 * SITE, 5 * ROW, "N")
    for x, y, _ in found[1:]:
        beside = x + 4 * SITE <= 20 * SITE or x >= 60 * SITE
        assert beside or not 5 * ROW <= y < 15 * ROW


@needs_coriolis
@pytest.mark.parametrize("detailed", [False, True])
def test_wires_join_pins_where_cells_lie(detailed):
    instances = [Instance(0, at) for at in PLACES]
    found = route(CORE, [CELL], instances, ring(4), detailed=detailed)
    ends = {  # of each orientation, from the lower left corner
        "N": {"a": (190, 980), "z": (950, 1680)}, "S": {"a": (1330, 1820), "z": (570, 1120)},
        "FN": {"a": (1330, 980), "z": (570, 1680)}, "FS": {"a": (190, 1820), "z": (950, 1120)},
    }  # fmt: skip
    for k, wires in enumerate(found.nets):
        corners = []
        for (x, y, turned), pin in ((PLACES[k], "z"), (PLACES[(k + 1) % 4], "a")):
            corners.append((x + ends[turned][pin][0], y + ends[turned][pin][1]))
        for at, wanted in zip(wires.at, corners, strict=False):
            assert at == pytest.approx(wanted, abs=700)  # anywhere along the pin
            assert at[0] == wanted[0]
        assert joined(wires, 2)
        (x, y), (to_x, to_y) = wires.at[:2]
        straight = abs(x - to_x) + abs(y - to_y)
        assert 0.95 * straight < length(wires) < 1.5 * straight
        for a, b, layer in wires.edges:
            assert not layer or 0 in (wires.at[a][0] - wires.at[b][0], wires.at[a][1] - wires.at[b][1])
    assert found.overflow == 0
    assert found.unrouted <= 2 * detailed  # Katana leaves some even where there is room
    assert found.global_length > 0
    assert route(CORE, [CELL], instances, ring(4), detailed=detailed) == found


@needs_coriolis
def test_a_net_of_one_pin_has_no_wires():
    nets = [Net([(0, "z"), (1, "a")]), Net([(1, "z")])]
    found = route(CORE, [CELL], [Instance(0, at) for at in PLACES[:2]], nets, detailed=False)
    assert joined(found.nets[0], 2)
    assert length(found.nets[1]) == 0


@needs_coriolis
def test_wires_that_do_not_fit_are_counted():
    tight = Core(CORE.width, 6 * ROW, SITE, ROW, UNITS, (*LAYERS[:3], Layer("metal4", False, 10 * SITE, 190, 140)))
    instances = [Instance(0, (column * 4 * SITE, row * ROW, "N")) for column in range(25) for row in range(6)]
    crossing = [Net([(k, "z"), ((k * 77 + 37) % 150, "a")]) for k in range(150)]  # 77 and 150 share no factor
    found = route(tight, [CELL], instances, crossing, detailed=False)
    assert found.overflow > 0
    assert all(joined(wires, 2) for wires in found.nets)


@needs_coriolis
def test_a_failed_run_is_kept(kept):
    with pytest.raises(CoriolisError, match="run it again by hand"):
        route(CORE, [CELL], [Instance(0, PLACES[0])], [Net([(0, "none"), (0, "a")])], detailed=False)
    assert list(kept.iterdir())


def test_a_missing_coriolis_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(packaged.util, "find_spec", lambda _: None)
    packaged.version_of.cache_clear()
    with pytest.raises(
        ArmillaryError, match=r"Coriolis not found: pip install 'armillary\[coriolis\]' \(coriolis-eda\)"
    ):
        place(CORE, [CELL], [], [], effort=1)
