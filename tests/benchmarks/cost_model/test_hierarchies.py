from pathlib import Path

import pytest

from armillary.benchmarks.cost_model.hierarchies import eyeriss, gemmini, nvdla, tpu
from armillary.hardware.hierarchy import load_hierarchy
from armillary.mapping.search import search
from armillary.workloads.layer import Layer

EXAMPLE = Path(__file__).parents[3] / "examples" / "gemmini_16.yaml"
GROUPED = Layer("grouped", "conv", K=8, C=8, P=5, Q=5, R=3, S=3, groups=4)


def test_gemmini_is_the_example():
    assert gemmini() == load_hierarchy(EXAMPLE)
    assert gemmini(40.0) == gemmini().model_copy(update={"technology_nm": 40.0})


@pytest.mark.parametrize(
    ("chip", "levels", "units"), [(eyeriss(), 5, 168), (tpu(), 4, 16_384), (nvdla(), 4, 1_024), (gemmini(), 4, 256)]
)
def test_each_has_its_levels_and_units_and_maps_a_layer(chip, levels, units):
    assert len(chip.levels) == levels
    assert chip.instances()[-1] == units
    assert search(chip, GROUPED, budget=500, seed=0).legal > 0
