"""What cells can do."""

import pytest

from armillary.evaluators.physical.library import STEEP


def test_loads_for_steep_edges_are_those_of_buffers_with_ten_times_their_input(library):
    buffers = [cell for name, cell in library.cells.items() if name.startswith("BUF_")]
    times = [cell.steep_ff / cell.pins["A"].cap_ff for cell in buffers]
    assert sum(times) / len(times) == pytest.approx(STEEP, rel=0.1)


def test_stronger_cells_of_a_kind_may_drive_more_and_none_as_much_as_the_library_allows(library):
    for kind in ("INV", "NAND2", "BUF", "AOI21"):
        cells = [library.cells[f"{kind}_X{size}"] for size in (1, 2, 4)]
        loads = [cell.steep_ff for cell in cells]
        assert loads == sorted(loads)
        assert all(load < cell.pins[cell.output].max_cap_ff for load, cell in zip(loads, cells, strict=True))
