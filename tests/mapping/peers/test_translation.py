import pytest

from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import Hierarchy, Level
from armillary.hardware.mapping import Loop, Mapping
from armillary.mapping.peers.translation import Nest, translated
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

CHIP = Hierarchy(
    name="h",
    levels=(
        Level(name="DRAM"),
        Level(name="Buffer", keeps="WI", capacity_words=64, fanout=(4, 1)),
        Level(name="Reg", keeps="O", capacity_words=4),
    ),
)
LAYER = Layer("l", "gemm", K=8, C=6, P=4)


def test_a_mapping_that_is_one_of_ours_comes_back():
    nest = Nest(
        (("C", 6), ("P", 2), ("K", 2), ("P", 2)),
        {(0, "O"): 2, (1, "W"): 3, (1, "I"): 3},
        {1: (Loop("K", 4, "X"),)},
    )
    found = translated(CHIP, LAYER, nest, "energy")
    assert str(found.mapping) == "L2[WIO] P2 - L1[WI] K2 K4X - L0[O] P2 C6"
    assert not found.lost


def test_cuts_meet_across_loops_that_do_not_matter():
    """The weights' cut lies inside the loop over P, the inputs' outside the loop over K: both may lie between."""
    nest = Nest((("C", 6), ("P", 4), ("K", 2)), {(0, "O"): 0, (1, "W"): 1, (1, "I"): 3}, {1: (Loop("K", 4, "X"),)})
    found = translated(CHIP, LAYER, nest, "energy")
    assert str(found.mapping) == "L2[WIO] K2 - L1[WI] P4 C6 K4X - L0[O] N1"
    assert not found.lost


def test_what_does_not_fit_is_held_less_of_and_said():
    small = CHIP.model_copy(update={"levels": (*CHIP.levels[:2], Level(name="Reg", keeps="O", capacity_words=1))})
    nest = Nest((("P", 4), ("C", 6), ("K", 2)), {(0, "O"): 1, (1, "W"): 3, (1, "I"): 3}, {1: (Loop("K", 4, "X"),)})
    found = translated(small, LAYER, nest, "energy")
    assert "Reg.capacity_words needs 4, has 1" in found.lost
    assert evaluate(small, LAYER, found.mapping).feasible


def test_a_level_that_holds_less_than_the_one_inside_is_only_near():
    nest = Nest((("P", 4), ("C", 6), ("K", 2)), {(0, "O"): 1, (1, "W"): 0, (1, "I"): 0}, {1: (Loop("K", 4, "X"),)})
    found = translated(CHIP, LAYER, nest, "energy")
    assert found.lost == "a level inside another one holds its tensors for longer"
    assert evaluate(CHIP, LAYER, found.mapping).feasible


def test_loops_over_one_dimension_are_joined_where_that_is_best():
    nest = Nest(
        (("C", 2), ("K", 2), ("C", 3), ("P", 4)), {(0, "O"): 0, (1, "W"): 4, (1, "I"): 4}, {1: (Loop("K", 4, "X"),)}
    )
    found = translated(CHIP, LAYER, nest, "energy")
    both = [f"L2[WIO] N1 - L1[WI] P4 {loops} K4X - L0[O] N1" for loops in ("C6 K2", "K2 C6")]
    best = min(both, key=lambda text: float(evaluate(CHIP, LAYER, Mapping.parse(text)).energy_pj))
    assert float(evaluate(CHIP, LAYER, Mapping.parse(best)).energy_pj) == float(
        evaluate(CHIP, LAYER, found.mapping).energy_pj
    )


@pytest.mark.parametrize(("bound", "text"), [(29, "K8 K4,1X"), (31, "K8 K4,3X"), (32, "K8 K4X")])
def test_rounds_beyond_the_layer_are_cut_short(bound, text):
    layer = Layer("l", "gemm", K=bound)
    nest = Nest((("K", 8),), {(0, "O"): 0, (1, "W"): 1, (1, "I"): 1}, {1: (Loop("K", 4, "X"),)})
    mapping = translated(CHIP, layer, nest, "delay").mapping
    assert mapping.extents()["K"] == bound
    assert f"L1[WI] {text}" in str(mapping)


def test_loops_that_do_not_turn_at_all_are_left_out():
    layer = Layer("l", "gemm", K=3)
    nest = Nest((("K", 2),), {(0, "O"): 0, (1, "W"): 1, (1, "I"): 1}, {1: (Loop("K", 4, "X"),)})
    assert str(translated(CHIP, layer, nest, "delay").mapping) == "L2[WIO] N1 - L1[WI] K3X - L0[O] N1"


def test_too_few_rounds_are_no_mapping():
    nest = Nest((("K", 2),), {(0, "O"): 0, (1, "W"): 1, (1, "I"): 1}, {})
    with pytest.raises(ArmillaryError, match="has loops over K that turn 2 times; layer l has 8"):
        translated(CHIP, Layer("l", "gemm", K=8), nest, "edp")


def test_an_array_that_is_too_small_is_illegal():
    nest = Nest((), {(0, "O"): 0, (1, "W"): 0, (1, "I"): 0}, {1: (Loop("K", 8, "X"),)})
    with pytest.raises(ArmillaryError, match=r"is illegal in our model: .*Buffer.fanout_x needs 8, has 4"):
        translated(CHIP, Layer("l", "gemm", K=8), nest, "edp")
