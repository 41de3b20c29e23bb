import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.benchmarks.prime.paper import TABLE_12, TABLE_12_AREA_MM2
from armillary.hardware import templates
from armillary.hardware.templates.edge_tpu import EDGE_TPU, MAX_AREA_MM2, SPACE, EdgeTpuChips, area_mm2
from armillary.types import ArmillaryError

codes = st.tuples(*(st.integers(0, n - 1) for n in SPACE.cardinalities)).map(np.array)


def test_the_edge_tpu_has_27_mm2_and_26_tops():
    chip = EdgeTpuChips.of(SPACE.encode([EDGE_TPU]))
    assert chip.area_mm2()[0] == pytest.approx(27.0, abs=0.1)
    assert 2 * chip.macs_per_cycle[0] * 0.8e9 == pytest.approx(26.2e12, rel=0.01)


@pytest.mark.parametrize("name", sorted(TABLE_12))
def test_table_12_areas_within_30_percent(name):
    area = area_mm2(SPACE.encode([SPACE.design_from(TABLE_12[name], name)]))[0]
    assert area == pytest.approx(TABLE_12_AREA_MM2[name], rel=0.3)
    assert area <= MAX_AREA_MM2


@given(codes, st.integers(0, 9))
def test_area_never_shrinks_with_a_parameter(code, parameter):
    larger = code.copy()
    larger[parameter] = min(larger[parameter] + 1, SPACE.cardinalities[parameter] - 1)
    small, large = area_mm2(np.stack([code, larger]))
    assert large >= small
    if SPACE.names[parameter] == "dram_bandwidth_gbps":
        assert large == small


@given(codes)
def test_area_parts_add_up(code):
    chip = EdgeTpuChips.of(code[None])
    assert sum(part[0] for part in chip.area_parts_mm2().values()) == pytest.approx(chip.area_mm2()[0])


def test_templates_are_listed_and_unknown_ones_refused():
    assert templates.load("edge_tpu").space is SPACE
    with pytest.raises(ArmillaryError, match="did you mean 'edge_tpu'"):
        templates.load("edgetpu")
