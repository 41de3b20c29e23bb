"""The Edge TPU's energies are those that a hierarchy of the same node is charged."""

import numpy as np
import pytest

from armillary.evaluators.edge_tpu.energy import Traffic, energy_parts_pj, leakage_pj
from armillary.hardware.hierarchy import Compute, Hierarchy, Level
from armillary.hardware.technology import access_energy, mac_energy_pj
from armillary.hardware.templates.edge_tpu import NODE_NM, SPACE, EdgeTpuChips
from armillary.spaces.samplers import sample

CODES = sample(SPACE, 50, "random", 3)
CHIPS = EdgeTpuChips.of(CODES)


def parts(*, macs=0, dram=0.0, onchip=0.0):
    """Return the energy by component of so many multiply-accumulates and bytes on each of 50 chips."""
    return energy_parts_pj(CHIPS, Traffic(macs, np.full(len(CODES), dram), np.full(len(CODES), onchip)))


def byte_pj(kind, capacity_bytes=None):
    """Return what a hierarchy at the node of the template is charged for a byte."""
    dram = Level(name="DRAM", kind="dram")
    level = dram if kind == "dram" else Level(name="memory", kind=kind, capacity_words=int(capacity_bytes))
    hierarchy = Hierarchy(name="h", levels=(dram,) if level is dram else (dram, level), technology_nm=NODE_NM)
    return access_energy(hierarchy, level).read_pj


def test_a_multiply_accumulate_costs_what_a_hierarchy_is_charged():
    hierarchy = Hierarchy(
        name="h", levels=(Level(name="DRAM", kind="dram"),), compute=Compute(bits=8), technology_nm=NODE_NM
    )
    assert parts(macs=7)["MAC"] == pytest.approx(7 * mac_energy_pj(hierarchy))


def test_memories_cost_what_a_hierarchy_is_charged():
    core = np.array([byte_pj("sram", capacity) for capacity in CHIPS.columns["core_memory_bytes"]])
    pe = np.array([byte_pj("sram", capacity) for capacity in CHIPS.columns["pe_memory_bytes"]])
    assert len(set(core)) > 5
    assert len(set(pe)) > 5
    computing, moving = parts(macs=7), parts(onchip=5.0)
    assert computing["core memory"] == pytest.approx(7 * core)
    assert computing["PE memory"] == pytest.approx(7 / CHIPS.columns["lanes"] * pe)
    assert moving["PE memory"] == pytest.approx(5 * pe)
    assert moving["array buses"] == pytest.approx(np.full(len(CODES), 5 * byte_pj("sram", 64 * 1024)))
    assert parts(dram=3.0)["DRAM"] == pytest.approx(np.full(len(CODES), 3 * byte_pj("dram")))


def test_what_is_not_used_costs_nothing():
    assert {name for name, pj in parts(macs=1).items() if (pj > 0).any()} == {"MAC", "core memory", "PE memory"}
    assert {name for name, pj in parts(onchip=1.0).items() if (pj > 0).any()} == {"PE memory", "array buses"}
    assert {name for name, pj in parts(dram=1.0).items() if (pj > 0).any()} == {"DRAM"}


def test_a_chip_leaks_by_its_area_as_long_as_it_runs():
    watts = 25e-3 * CHIPS.area_mm2()
    assert leakage_pj(CHIPS, np.full(len(CODES), 2e-3)) == pytest.approx(watts * 2e-3 * 1e12)
