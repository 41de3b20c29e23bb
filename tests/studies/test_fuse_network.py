"""Which layers of a network are fused on a hierarchy, and what is said of it."""

from dataclasses import replace

import pytest

from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.studies.fuse_network import fused_pairs
from armillary.studies.map_network import map_by_search
from armillary.types import Failure
from armillary.workloads.layer import Layer, LayerUse, Workload
from armillary.workloads.pairs import LayerPair

DRAM = Level(name="DRAM", kind="dram", shared_bandwidth=0.1)
REGISTERS = Level(name="Reg", kind="regfile", keeps="W", capacity_words=1)
ROOMY = Hierarchy(name="roomy", levels=(DRAM, Level(name="Buffer", keeps="WIO", capacity_words=4_096), REGISTERS))
CHAIN = Workload(
    "chain",
    (LayerUse(Layer("up", "gemm", K=32, C=8, P=32), 2), LayerUse(Layer("down", "gemm", K=8, C=32, P=32), 2)),
    pairs=(LayerPair(0, 1, 2),),
)


def quiet(*_):
    pass


def mapped(chip):
    return map_by_search(chip, CHAIN, method="annealing", goal="edp", budget=2_000, seed=0, on_progress=quiet)


def found(chip, layers):
    return fused_pairs(chip, CHAIN, layers, goal="edp", seed=0, budget=300, on_progress=quiet)


def test_two_layers_keep_what_is_between_them_and_save_its_way_to_dram():
    layers = mapped(ROOMY)
    (pair,) = found(ROOMY, layers)
    assert (pair.producer, pair.consumer, pair.count) == ("up", "down", 2)
    assert pair.saved_dram_bytes == pytest.approx(2 * 2 * 32 * 32)  # twice, written and read
    apart = 2 * sum(layer.delay_cycles for layer in layers)
    assert 0 < pair.saved_delay_cycles < apart
    assert 0 < pair.saved_energy_pj < 2 * sum(layer.energy_pj for layer in layers)


def test_fused_layers_have_even_tiles():
    buffer = ROOMY.levels[1].model_copy(update={"uneven": True})
    uneven = Hierarchy(name="uneven", levels=(DRAM, buffer, REGISTERS))
    fused = []
    for chip in (ROOMY, uneven):
        layers = mapped(chip)
        (pair,) = found(chip, layers)
        fused.append((pair.tiling, 2 * sum(layer.energy_pj for layer in layers) - pair.saved_energy_pj))
    assert fused[1] == (fused[0][0], pytest.approx(fused[0][1]))


def test_nothing_is_fused_where_no_level_keeps_inputs_and_outputs():
    split = (Level(name="In", keeps="WI", capacity_words=4_096), Level(name="Out", keeps="O", capacity_words=4_096))
    chip = Hierarchy(name="split", levels=(DRAM, *split, REGISTERS))
    assert found(chip, mapped(chip)) == ()


def test_an_intermediate_that_does_not_fit_is_cut_into_tiles():
    buffer = ROOMY.levels[1].model_copy(update={"capacity_words": 900})
    chip = ROOMY.model_copy(update={"levels": (DRAM, buffer, REGISTERS)})
    (pair,) = found(chip, mapped(chip))
    assert pair.tiling.startswith("P")
    assert pair.saved_dram_bytes > 0


def test_a_layer_without_a_mapping_is_not_fused():
    layers = mapped(ROOMY)
    lacking = replace(layers[0], mapping=None, costs=None, failure=Failure("infeasible", "mapping", "up"))
    assert found(ROOMY, [lacking, layers[1]]) == ()
