import json

import numpy as np
import pytest

from armillary.hardware.sram import area_um2
from armillary.hardware.templates import gemmini_area
from armillary.hardware.templates.gemmini import DATAFLOWS, SPACE, Accelerator
from armillary.hardware.templates.gemmini_area import area_mm2, blocks_mm2, clock_ghz, memories_mm2, parts_mm2
from armillary.types import ArmillaryError

LAWS = {
    "blocks": {
        "queue": {"any": {"queue_depth": 10.0, "1": 5.0}},
        "array": {"weight_stationary": {"dim^2": 800.0}, "output_stationary": {"dim^2": 1200.0, "dim": 3.0}},
    },
    "period_ns": {"weight_stationary": {"4": 1.0, "16": 2.0}, "output_stationary": {"4": 4.0, "16": 4.0}},
}


@pytest.fixture
def laws(monkeypatch):
    monkeypatch.setattr(gemmini_area, "_laws", lambda: LAWS)


def columns(*designs):
    return {name: np.array([getattr(design, name) for design in designs]) for name in SPACE.names}


def test_a_block_is_the_sum_of_its_terms_in_its_dataflow(laws):
    pair = [Accelerator(dim=8, bus_bytes=8, dataflow=kind) for kind in ("weight_stationary", "output_stationary")]  # type: ignore[arg-type]
    found = blocks_mm2(columns(*pair))
    assert found["queue"] == pytest.approx([45e-6, 45e-6])
    assert found["array"] == pytest.approx([800 * 64e-6, (1200 * 64 + 24) * 1e-6])  # fmt: skip


def test_memories_are_the_macros_of_every_bank(laws):
    design = Accelerator(dim=16, scratchpad_kib=48, scratchpad_banks=8, accumulator_kib=8, accumulator_banks=4)
    found = memories_mm2(columns(design))
    assert found["scratchpad memory"][0] == pytest.approx(8 * float(area_um2(48 * 1024 // 16 // 8, 128, 1)) / 1e6)
    assert found["accumulator memory"][0] == pytest.approx(4 * float(area_um2(8 * 1024 // 64 // 4, 512, 2)) / 1e6)


def test_the_whole_is_the_sum_of_its_parts():
    given = columns(Accelerator(), Accelerator(dim=4, bus_bytes=4))
    assert area_mm2(given) == pytest.approx(sum(parts_mm2(given).values()))
    assert (np.diff(area_mm2(given)) < 0).all()


def test_the_clock_is_between_those_of_the_sizes_beside_it(laws):
    weight = ["weight_stationary"] * 4
    assert clock_ghz([2, 4, 8, 64], weight) == pytest.approx([1.0, 1.0, 1 / 1.5, 0.5])
    assert clock_ghz([8], ["output_stationary"]) == pytest.approx([0.25])


def test_no_coefficient_is_negative_and_every_term_is_known():
    laws = json.loads(gemmini_area.LAWS.read_text())
    for block in laws["blocks"].values():
        for law in block.values():
            assert set(law) <= set(gemmini_area.TERMS)
            assert all(value >= 0 for value in law.values())
    assert set(laws["period_ns"]) == set(DATAFLOWS)


@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_the_laws_give_the_syntheses_that_they_were_fitted_to(size):
    rows = [row for row in json.loads(gemmini_area.LAWS.read_text())["sweep"] if row["dim"] == size]
    given = {name: np.array([row[name] for row in rows]) for name in SPACE.names}
    synthesised = np.array([sum(row["um2"].values()) for row in rows]) / 1e6
    law = np.asarray(sum(blocks_mm2(given).values()))
    assert rows
    assert np.abs(law / synthesised - 1).max() < 0.1


def test_a_dataflow_without_a_law_is_refused(laws):
    with pytest.raises(ArmillaryError, match="dataflow='both' has no law of its area; there are laws of"):
        area_mm2(columns(Accelerator(dataflow="both")))
