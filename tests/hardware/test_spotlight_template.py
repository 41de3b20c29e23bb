import numpy as np
import pytest

from armillary.hardware import templates
from armillary.hardware.hierarchy import hierarchy_from
from armillary.hardware.technology import access_energy, mac_energy_pj
from armillary.hardware.technology import area_mm2 as area_of_parts
from armillary.hardware.templates.spotlight import (
    CLOUD,
    EDGE,
    EYERISS_LIKE,
    MAERI_LIKE,
    NVDLA_LIKE,
    Chip,
    area_mm2,
    chip_of,
    cloud,
    mac_pj,
)
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError


def test_the_edge_space_is_that_of_table_4_1():
    by_name = {p.name: p for p in EDGE.parameters}
    assert by_name["simd_lanes"].values == tuple(range(2, 17))
    assert by_name["bandwidth"].values == tuple(range(64, 257))
    assert by_name["scratchpad_kib"].values == by_name["register_file_kib"].values == tuple(range(64, 257, 8))
    pes = {int(a) * int(b) for a, b in (v.split("x") for v in by_name["pe_array"].values)}
    assert pes == set(range(128, 301))
    assert {p.name: p.kind for p in EDGE.parameters} == {
        "simd_lanes": "cardinal",
        "bandwidth": "cardinal",
        "pe_array": "ordinal",
        "scratchpad_kib": "ordinal",
        "register_file_kib": "ordinal",
    }


def test_the_cloud_space_is_that_of_the_release():
    by_name = {p.name: p for p in CLOUD.parameters}
    assert len(by_name["pe_array"].values) == 1407
    assert [v // 1024 for v in by_name["scratchpad_kib"].values] == list(range(8, 33, 2))


@pytest.mark.parametrize("space", [EDGE, CLOUD], ids=lambda s: s.name)
def test_areas_of_codes_chips_and_hierarchies_agree(space):
    codes = sample(space, 30, "random", 0)
    for design, area in zip(space.designs(codes), area_mm2(space, codes), strict=True):
        chip = chip_of(design)
        assert chip.area_mm2 == pytest.approx(area, rel=1e-12)
        # a register file holds whole bytes, the area of the space does not round
        assert area_of_parts(chip.hierarchy()) == pytest.approx(area, rel=2e-3)


@pytest.mark.parametrize("space", [EDGE, CLOUD], ids=lambda s: s.name)
def test_area_never_shrinks_along_a_parameter(space):
    codes = sample(space, 20, "random", 1)
    for parameter, count in enumerate(space.cardinalities):
        for code in codes:
            line = np.repeat(code[None], count, axis=0)
            line[:, parameter] = np.arange(count)
            assert (np.diff(area_mm2(space, line)) >= 0).all()


@pytest.mark.parametrize("chip", [EYERISS_LIKE, NVDLA_LIKE, MAERI_LIKE], ids=lambda c: c.name)
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_scaled_chip_fills_the_area(chip, lanes):
    scaled = chip.scaled_to(3.5, simd_lanes=lanes, most_lanes=4800, bus=lambda _: chip.bandwidth)
    assert scaled.simd_lanes == lanes
    assert scaled.pes * lanes <= 4800
    assert 0.97 * 3.5 < scaled.area_mm2 <= 3.5
    assert scaled.rows / scaled.columns == pytest.approx(chip.rows / chip.columns, rel=0.1)
    assert cloud(chip).area_mm2 > chip.area_mm2


def test_a_scaled_chip_pays_for_the_bus_that_its_array_asks_for():
    sizes = {"simd_lanes": 8, "most_lanes": 4800}
    narrow = MAERI_LIKE.scaled_to(3.5, bus=lambda _: 64, **sizes)
    wide = MAERI_LIKE.scaled_to(3.5, bus=lambda pes: 4 * pes, **sizes)
    assert wide.bandwidth == 4 * wide.pes
    assert wide.area_mm2 <= 3.5
    assert wide.pes < narrow.pes


def test_a_chip_that_cannot_be_built_is_refused():
    with pytest.raises(ArmillaryError, match="register_file_kib=1 leaves 0 bytes"):
        Chip(1, 64, 100, 100, 64, 1).hierarchy()
    with pytest.raises(ArmillaryError, match="not even one PE of nvdla_like fits"):
        NVDLA_LIKE.scaled_to(1e-4, simd_lanes=1, most_lanes=4800, bus=lambda _: 256)


def test_more_distance_costs_more_energy():
    small, large = (Chip(4, 64, n, n, 64, 64).hierarchy().levels[1].energy for n in (12, 120))
    assert large.read_pj > small.read_pj
    assert large.fill_pj == small.fill_pj


def test_the_hierarchy_is_written_and_read():
    hierarchy = Chip(4, 128, 12, 14, 128, 64).hierarchy()
    assert hierarchy_from(hierarchy.model_dump(mode="json"), "again") == hierarchy


@pytest.mark.parametrize("name", ["spotlight", "spotlight_cloud"])
def test_the_baseline_keeps_to_the_budget(name):
    template = templates.load(name)
    code = template.space.encode([template.baseline])
    assert template.area_mm2(code)[0] <= template.budgets["area_mm2"] <= template.max_area_mm2
    share = (template.area_mm2(sample(template.space, 4000, "random", 0)) <= template.budgets["area_mm2"]).mean()
    assert 0.35 < share < 0.65


def test_energies_are_those_of_the_hierarchy():
    chip = Chip(8, 128, rows=12, columns=14, scratchpad_kib=128, register_file_kib=64)
    hierarchy = chip.hierarchy()
    dram, scratchpad, registers = (access_energy(hierarchy, level).read_pj for level in hierarchy.levels)
    assert chip.read_pj == pytest.approx((registers, scratchpad, dram))
    assert mac_pj() == pytest.approx(mac_energy_pj(hierarchy))
