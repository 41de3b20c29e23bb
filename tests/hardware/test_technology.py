import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware import technology
from armillary.hardware.bits import Bits
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.tools import nangate45

DRAM = Level(name="DRAM", kind="dram")
NODES = st.floats(7, 45)


def chip(level, node_nm=45.0, compute=None):
    return Hierarchy(
        name="h",
        levels=(DRAM,) if level is DRAM else (DRAM, level),
        technology_nm=node_nm,
        compute=compute or Compute(),
    )


def energy(level, node_nm=45.0):
    return technology.access_energy(chip(level, node_nm), level).read_pj


def sram(kib, node_nm=45.0, bits=64):
    return energy(Level(name="b", capacity_words=kib * 1024 * 8 // bits, word_bits=bits), node_nm)


@pytest.mark.parametrize(
    ("kib", "at_45", "at_7"), [(8, 10.0, 7.5), (32, 20.0, 8.5), (1024, 100.0, 14.0)], ids=["8 KiB", "32 KiB", "1 MiB"]
)
def test_published_memories_are_met_exactly(kib, at_45, at_7):
    assert sram(kib) == pytest.approx(at_45)
    assert sram(kib, 7.0) == pytest.approx(at_7)


def test_published_arithmetic_is_met_exactly():
    assert technology.mac_energy_pj(chip(DRAM.model_copy(update={"name": "x"}))) == pytest.approx(0.2 + 0.1)
    wide = chip(DRAM.model_copy(update={"name": "x"}), 7.0, Compute(bits=32))
    assert technology.mac_energy_pj(wide) == pytest.approx(1.48 + 4 * 0.03)
    assert technology.compute_area_mm2(chip(Level(name="b", capacity_words=1))) == pytest.approx(419e-6)


def mac(text, node_nm=45.0, **compute):
    hierarchy = chip(DRAM, node_nm, Compute(**compute)).model_copy(update={"bits": Bits.parse(text)})
    return technology.mac_energy_pj(hierarchy)


def test_integers_cost_by_the_widths_of_operands_and_sums():
    assert mac("int8") == pytest.approx(0.2 + 0.1)
    assert mac("P=64") == pytest.approx(0.2 + 2 * 0.1)
    assert mac("W=32,I=32", 7.0) == pytest.approx(1.48 + 4 * 0.03)
    assert mac("W=4,I=16,P=32") == pytest.approx(mac("int8"))
    assert mac("W=16", bits=4) == pytest.approx(mac("W=8,I=8"))  # what is not set is compute.bits
    assert mac("int4") < mac("int8")


def test_floating_point_numbers_cost_what_was_published():
    assert mac("fp16") == pytest.approx(1.10 + 0.90)
    assert mac("fp16", 7.0) == pytest.approx(0.34 + 0.38)
    assert mac("W=32,I=32,P=16,kind=float", 7.0) == pytest.approx(1.31 + 0.16)
    assert mac("fp8") == pytest.approx(1.10 * 16 / 121 + 0.90)
    assert mac("fp16") > mac("fp8") > mac("int8")
    assert mac("kind=float", bits=16) == pytest.approx(1.10 + 0.90)  # sums of 32 bits


def test_a_given_energy_stays_whatever_the_widths():
    assert mac("fp16", energy_pj=7.0) == 7.0


def test_dram_has_no_logic_node_and_no_area():
    assert energy(DRAM, 45.0) == energy(DRAM, 7.0) == pytest.approx(8 * 1300 / 64)
    assert technology.level_area_mm2(chip(Level(name="b", capacity_words=1)), DRAM) == 0


@given(st.sampled_from(["sram", "regfile"]), st.integers(1, 1 << 20), st.integers(1, 1 << 20), NODES)
def test_larger_memories_cost_more(kind, few, more, node):
    small, large = sorted((few, more))
    levels = [Level(name="b", kind=kind, capacity_words=n) for n in (small, large)]
    assert energy(levels[0], node) <= energy(levels[1], node) * (1 + 1e-12)
    areas = [technology.level_area_mm2(chip(level, node), level) for level in levels]
    assert areas[0] <= areas[1]


@given(st.sampled_from(["sram", "regfile"]), st.integers(1, 1 << 20), NODES, NODES)
def test_smaller_nodes_never_cost_more_from_8_kib_on(kind, words, one, other):
    level = Level(name="b", kind=kind, capacity_words=words + 8192)
    small, large = sorted((one, other))
    assert energy(level, small) <= energy(level, large) * (1 + 1e-9)
    assert technology.area_mm2(chip(level, small)) <= technology.area_mm2(chip(level, large)) * (1 + 1e-9)
    macs = [technology.mac_energy_pj(chip(level, node)) for node in (small, large)]
    assert macs[0] <= macs[1] * (1 + 1e-9)


def test_what_is_given_is_taken():
    own = AccessEnergy(read_pj=1.0, fill_pj=2.0, update_pj=3.0)
    level = Level(name="b", capacity_words=8, energy=own, area_mm2=0.5, fanout=(2, 2))
    hierarchy = chip(level, compute=Compute(energy_pj=7.0, area_mm2=0.1))
    assert technology.access_energy(hierarchy, level) == own
    assert technology.mac_energy_pj(hierarchy) == 7.0
    assert technology.area_mm2(hierarchy) == pytest.approx(0.5 + 4 * 0.1)


def test_blocks_cost_by_their_bits():
    one, eight = (Level(name="b", capacity_words=8192, block_words=n) for n in (1, 8))
    assert energy(eight) == pytest.approx(8 * energy(one))


def test_a_register_file_costs_a_multiply_accumulate_at_half_a_kib():
    level = Level(name="rf", kind="regfile", capacity_words=256, word_bits=16)
    assert energy(level) == pytest.approx(technology.mac_energy_pj(chip(level, compute=Compute(bits=16))))


def test_many_memories_at_once_cost_what_each_does():
    capacities = np.array([2.0**20, 4096.0, 50_000.0, 4096.0, 2.0**24, 32_768.0])
    levels = [Level(name="b", capacity_words=int(capacity)) for capacity in capacities]
    expected = [energy(level, 16.0) / 8 for level in levels]
    assert technology.sram_pj_per_bit(capacities, 16.0).tolist() == expected


def test_wires_cost_by_length():
    hierarchy = chip(Level(name="b", capacity_words=8), 40.0)
    assert technology.wire_energy_pj(hierarchy, 256, 10.0) == pytest.approx(310.0)


def test_the_table_tells_published_from_interpolated():
    rows = technology.rows()
    assert len(rows) == len(technology.TABLE) * len(technology.NODES_NM)
    by_node = {row["node_nm"]: row for row in rows if row["quantity"] == "int8_multiply"}
    assert by_node[45.0]["source"].startswith("Horowitz")
    assert by_node[28.0]["source"] == "interpolated between 7 and 45 nm"
    assert by_node[45.0]["value"] > by_node[28.0]["value"] > by_node[7.0]["value"]


def test_leakage_is_that_of_the_median_cell_of_the_open_library():
    library = pytest.importorskip("adks") and nangate45.liberty().read_text()
    groups = re.split(r"^\s*cell\s*\(", library, flags=re.MULTILINE)[1:]
    found = [
        [re.search(rf"^\s*{field}\s*:\s*([\d.]+)", group, re.MULTILINE) for group in groups]
        for field in ("cell_leakage_power", "area")
    ]
    densities = [float(leakage[1]) / float(area[1]) for leakage, area in zip(*found, strict=True) if leakage and area]
    assert len(densities) > 100  # fillers and the like state no leakage
    assert pytest.approx(np.median(densities), rel=0.03) == technology.LEAKAGE_MW_PER_MM2
