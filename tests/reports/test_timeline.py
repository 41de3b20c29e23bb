import sys

import pytest
from PIL import Image

from armillary.reports.timeline import write_timeline
from armillary.types import ArmillaryError

SPANS = [("load", 0, 40), ("execute", 41, 90), ("store", 91, 99)]
STALLS = {"dram": 30, "scratchpad_bank": 2, "accumulator": 3, "dependency": 10, "command": 5}


def test_each_unit_shows_in_its_colour(tmp_path):
    path = tmp_path / "timeline.png"
    write_timeline(SPANS, 100, STALLS, 50, path, title="a layer")
    picture = Image.open(path).convert("RGB")
    colours = {colour for _, colour in picture.getcolors(1_000_000)}
    assert {(0x48, 0x78, 0xA8), (0xC8, 0x55, 0x3D), (0x58, 0x81, 0x57)} <= colours


def test_a_missing_matplotlib_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ArmillaryError, match="matplotlib not found: pip install matplotlib"):
        write_timeline(SPANS, 100, STALLS, 50, tmp_path / "timeline.png", title="a layer")
