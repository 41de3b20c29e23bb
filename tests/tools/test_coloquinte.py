"""Coloquinte: cells in rows around what is fixed."""

from importlib import util

import pytest

from armillary.tools import packaged
from armillary.tools.coloquinte import Box, PlacementError, Wiring, place
from armillary.types import ArmillaryError

ROW = 10
needs_coloquinte = pytest.mark.skipif(util.find_spec("coloquinte") is None, reason="Coloquinte is missing")


@needs_coloquinte
def test_cells_lie_beside_macros_and_near_what_they_join():
    macro = Box(40, 40, 0, 0, fixed=True)
    pin = Box(0, 0, 100, 100, fixed=True, obstructs=False)
    cells = [Box(8, ROW, 50, 50) for _ in range(6)]
    nets = [Wiring([1, k], [0, 4], [0, 5]) for k in range(2, 8)]
    found = place([macro, pin, *cells], nets, width=100, height=100, row=ROW, effort=1, seed=0, spread=0.5)
    spans = [(found.x[k], found.y[k]) for k in range(2, 8)]
    assert (found.x[0], found.y[0]) == (0, 0)
    for x, y in spans:
        assert y % ROW == 0
        assert 0 <= x <= 92
        assert x >= 40 or y >= 40
        assert x + y > 100  # towards the pin in the upper right corner
    assert len({(x // 8, y) for x, y in spans}) > 1
    again = place([macro, pin, *cells], nets, width=100, height=100, row=ROW, effort=1, seed=0, spread=0.5)
    assert again == found


@needs_coloquinte
def test_a_failed_run_is_kept(kept):
    with pytest.raises(PlacementError, match="run it again by hand"):
        place([Box(500, ROW)], [], width=100, height=100, row=ROW, effort=1, seed=0)
    assert list(kept.iterdir())


def test_a_missing_placer_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(packaged.util, "find_spec", lambda _: None)
    packaged.version_of.cache_clear()
    with pytest.raises(ArmillaryError, match=r"pip install 'armillary\[physical\]'"):
        place([], [], width=1, height=ROW, row=ROW, effort=1, seed=0)
