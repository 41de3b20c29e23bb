"""Template `tpu_like`: its area, its baselines, and the hierarchy that a chip is for the cost model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.tpu_like import (
    BASELINES,
    CLOCK_GHZ,
    NAMES,
    SPACE,
    TEMPLATE,
    TPUV3_LIKE,
    TPUV4I_LIKE,
    area_mm2,
    chip_of,
    design_of,
)


def test_the_law_of_the_area_is_that_of_the_chip() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, SPACE.cardinalities, size=(20, len(SPACE.names)))
    own = [chip_of(design).area_mm2 for design in SPACE.designs(codes)]
    np.testing.assert_allclose(area_mm2(codes), own, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_more_of_anything_is_larger(name: str) -> None:
    assert replace(TPUV4I_LIKE, **{name: 2 * getattr(TPUV4I_LIKE, name)}).area_mm2 > TPUV4I_LIKE.area_mm2


def test_baselines_have_what_was_published_of_them() -> None:
    """Jouppi et al., ISCA 2021, table 1: peak of TPUv4i, memory on the chip, bandwidth of DRAM."""
    units = TPUV4I_LIKE.arrays * TPUV4I_LIKE.array_rows * TPUV4I_LIKE.array_columns
    assert 2 * units * CLOCK_GHZ / 1e3 == pytest.approx(138, rel=0.01)  # Tflop/s
    for chip, mib, gb_per_s in ((TPUV4I_LIKE, 144, 614), (TPUV3_LIKE, 32, 900)):
        on_chip = chip.weights_kib + chip.activations_kib + chip.arrays * chip.accumulators_kib
        assert on_chip == mib * 1024
        assert chip.hbm_bytes_per_cycle * CLOCK_GHZ == pytest.approx(gb_per_s, rel=0.03)


def test_baselines_are_designs() -> None:
    assert {chip_of(design_of(chip)) for chip in BASELINES.values()} == set(BASELINES.values())
    assert TEMPLATE.baseline == design_of(TPUV4I_LIKE)


def test_an_array_takes_a_row_of_weights_per_cycle_however_wide_they_are() -> None:
    for bits in (4, 8, 16):
        hierarchy = TPUV4I_LIKE.hierarchy(bits)
        registers, weights = hierarchy.levels[-1], hierarchy.levels[1]
        assert registers.write_bandwidth is not None
        assert weights.read_bandwidth is not None
        filled = TPUV4I_LIKE.array_rows * TPUV4I_LIKE.array_columns * registers.write_bandwidth * registers.word_bits
        assert filled == TPUV4I_LIKE.array_columns * bits
        assert weights.read_bandwidth * 8 == TPUV4I_LIKE.arrays * TPUV4I_LIKE.array_columns * bits


def test_what_is_held_is_not_there_for_tiles() -> None:
    free, taken = TPUV4I_LIKE.hierarchy(8), TPUV4I_LIKE.hierarchy(8, 1 << 20)
    assert free.levels[2].capacity_words == TPUV4I_LIKE.activations_kib * 1024
    assert taken.levels[2].capacity_words == TPUV4I_LIKE.activations_kib * 1024 - (1 << 20)
    assert free.levels[2].energy == taken.levels[2].energy  # the memory is the same
