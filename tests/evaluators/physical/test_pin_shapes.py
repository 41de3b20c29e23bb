"""Areas of pins in LEF files."""

import pytest

from armillary.evaluators.physical.floorplan import units
from armillary.evaluators.physical.lef import read_cells, read_layers, read_site
from armillary.evaluators.physical.pin_shapes import read_shapes, slabs
from armillary.types import ArmillaryError
from evaluators.physical.designs import needs_tools


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (4, 0), (4, 2), (0, 2)],
        [(0, 0), (6, 0), (6, 2), (2, 2), (2, 5), (0, 5)],  # an L
        [(0, 0), (9, 0), (9, 6), (6, 6), (6, 2), (3, 2), (3, 6), (0, 6)],  # a U, whose middle column is low
        [(0, 0), (0, 5), (7, 5), (7, 3), (2, 3), (2, 2), (7, 2), (7, 0)],  # a C, clockwise: two slabs in a column
    ],
)
def test_slabs_have_the_area_of_the_polygon_and_do_not_overlap(corners):
    found = list(slabs(corners))
    shoelace = sum(
        x * to_y - to_x * y for (x, y), (to_x, to_y) in zip(corners, [*corners[1:], corners[0]], strict=True)
    )
    assert sum((right - left) * (top - bottom) for left, bottom, right, top in found) == abs(shoelace) / 2
    squares = [(x, y) for left, bottom, right, top in found for x in range(left, right) for y in range(bottom, top)]
    assert len(squares) == len(set(squares))


def test_areas_are_those_of_the_layer_or_else_all(tmp_path):
    path = tmp_path / "cells.lef"
    path.write_text("""
MACRO INV
  SIZE 1 BY 2 ;
  PIN A
    PORT
      LAYER metal1 ; RECT 0.1 0.2 0.3 0.4 ;
      LAYER metal2 ; RECT 0.5 0.6 0.7 0.8 ;
    END
  END A
  PIN Z
    PORT
      LAYER metal2 ; POLYGON 0 0 1 0 1 1 0 1 ;
    END
  END Z
  PIN VDD
    USE power ;
    PORT
      LAYER metal1 ; RECT 0 1.9 1 2 ;
    END
  END VDD
END INV
""")
    assert read_shapes(path, "metal1") == {"INV": {"A": [(200, 400, 600, 800)], "Z": [(0, 0, 2000, 2000)]}}


@needs_tools
def test_every_pin_of_a_library_has_an_area_inside_its_cell(nangate, library):
    shapes = read_shapes(nangate.cell_lef, "metal1")
    for name, cell in library.cells.items():
        assert set(shapes[name]) >= set(cell.pins)
        for areas in shapes[name].values():
            assert areas
            for left, bottom, right, top in areas:
                assert 0 <= left < right <= units(cell.width_um)
                assert 0 <= bottom < top <= units(cell.height_um)


LEF = """
SITE core
  CLASS CORE ; SIZE 0.2 BY 1.4 ;
END core
LAYER metal2
  TYPE ROUTING ;
  PITCH 0.19 ;
  WIDTH 0.07 ;
END metal2
MACRO INV
  SIZE 1 BY 2 ;
  PIN A
    LAYER metal1 ; RECT 0.1 0.2 0.3 0.4 ;
  END A
END INV
"""
EVERY = (read_cells, read_layers, read_site, lambda path: read_shapes(path, "metal1"))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("RECT 0.1", "RECT left", "MACRO INV: PIN A: RECT or POLYGON: 'left' is not allowed"),
        ("RECT 0.1", "RECT", "PIN A: RECT or POLYGON has 3 numbers; it needs an x and a y"),
        ("RECT 0.1", "RECT 0 0 0.1", "PIN A: RECT has 3 points"),
        ("RECT 0.1", "RECT 1e999", "'1e999' is not allowed; write a number from -1e"),
        ("RECT", "POLYGON 0 0", "POLYGON has a slanted side"),
        ("SIZE 1 BY", "SIZE wide BY", "MACRO INV: SIZE: 'wide' is not allowed"),
        ("SIZE 1 BY", "SIZE 0 BY", "MACRO INV: SIZE 0 BY 2 is not allowed"),
        ("SIZE 0.2", "SIZE nan", "SITE core: SIZE: 'nan' is not allowed"),
        ("WIDTH 0.07", "WIDTH 0", "LAYER metal2: WIDTH=0 is not allowed"),
        ("PITCH 0.19 ;", "", "LAYER metal2: PITCH=0 is not allowed"),
        ("PITCH 0.19", "PITCH x", "LAYER metal2: PITCH: 'x' is not allowed"),
        ("END INV", "", "MACRO INV has no END INV"),
        ("END A", "", "MACRO INV: PIN A has no END A"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, old, new, match):
    path = tmp_path / "wrong.lef"
    path.write_text(LEF.replace(old, new))
    with pytest.raises(ArmillaryError, match=match) as told:
        [read(path) for read in EVERY]
    assert str(told.value).startswith(f"{path}: ")


def test_of_two_pitches_the_one_across_the_wires_counts(tmp_path):
    path = tmp_path / "layers.lef"
    for direction, pitch in (("VERTICAL", 0.19), ("HORIZONTAL", 0.14)):
        path.write_text(LEF.replace("PITCH 0.19", f"DIRECTION {direction} ; \n PITCH 0.19 0.14"))
        assert read_layers(path)[0].pitch_um == pitch


def test_many_blocks_without_an_end_are_refused_at_once(tmp_path):
    path = tmp_path / "wrong.lef"
    path.write_text("LAYER a\n" * 200_000)
    with pytest.raises(ArmillaryError, match="LAYER a has no END a"):
        read_layers(path)
