"""Uneven tiles: what a search finds where a memory may hold its tensors at two places among its loops."""

from math import prod

import pytest

from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import AccessEnergy, Hierarchy, Level, LoopRules
from armillary.hardware.mapping import Mapping
from armillary.mapping.search import search
from armillary.mapping.uneven import in_parts
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from cost_model.test_memories import LAYER, chip


def array(**changes):
    """Return four units below a small buffer."""
    rules = LoopRules(spatial_x="K", spatial_y="", innermost="P")
    buffer = Level(name="Buf", capacity_words=40, fanout=(4, 1), rules=rules, uneven=True, shared_bandwidth=4.0)
    levels = (Level(name="DRAM", kind="dram", shared_bandwidth=1.0), buffer.model_copy(update=changes))
    return Hierarchy(name="array", levels=(*levels, Level(name="Reg", kind="regfile", keeps="O", capacity_words=2)))


PRODUCT = Layer("g", "gemm", K=10, C=6, P=9)


def test_the_best_of_a_hand_counted_case_is_found_and_proven():
    """No even tile but one of a single weight, input and sum fits; an uneven one brings 12 words in place of 20."""
    even = search(chip().even(), LAYER, method="exhaustive", goal="energy")
    assert even.value == 3684
    for method in ("exhaustive", "proven"):
        found = search(chip(), LAYER, method=method, goal="energy")
        assert (found.value, found.optimal) == (2876, True)
        assert evaluate(chip(), LAYER, found.mapping).energy_pj.item() == 2876
        assert not list(found.mapping.faults(chip(), LAYER))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["annealing", "proven", "genetic", "random", "sobol"])
def test_what_is_found_is_no_worse_than_the_even_mapping_of_the_same_seed(method, seed):
    options = {"method": method, "goal": "edp", "seed": seed, "budget": 300}
    found, even = search(array(), PRODUCT, **options), search(array().even(), PRODUCT, **options)
    assert found.value <= even.value * (1 + 1e-12)
    assert found.evaluated > even.evaluated
    assert [value for _, value in found.curve] == sorted((value for _, value in found.curve), reverse=True)
    counts = [count for count, _ in found.curve]
    assert counts == sorted(counts)


@pytest.mark.parametrize("seed", range(3))
def test_annealing_comes_near_the_proven_best(seed):
    best = search(array(), PRODUCT, method="proven", goal="energy")
    assert best.optimal
    assert best.value < 0.97 * search(array().even(), PRODUCT, method="proven", goal="energy").value
    assert search(array(), PRODUCT, goal="energy", budget=40_000, seed=seed).value <= 1.02 * best.value


def test_the_rules_hold_of_both_parts():
    rules = LoopRules(temporal="KP", spatial_x="C", spatial_y="", max_tile={"P": 3}, factors={"K": 2})
    found = search(array(rules=rules), PRODUCT, goal="energy", budget=3_000)
    _, outer, inner, registers = found.mapping.levels
    assert {loop.dimension for loop in outer.loops} <= {"P"}
    assert {loop.dimension for loop in inner.temporal} <= {"K", "P"}
    assert [loop.factor for loop in inner.temporal if loop.dimension == "K"] == [2]
    assert (
        prod(loop.factor for level in (outer, inner, registers) for loop in level.loops if loop.dimension == "P") <= 3
    )


def test_every_tensor_is_held_at_one_place():
    found = search(array(), PRODUCT, goal="energy", budget=3_000).mapping
    outer, inner = found.levels[1].keeps, found.levels[2].keeps
    assert outer
    assert inner
    assert sorted(outer + inner) == sorted("WIO")
    twice = Mapping.parse("L3[WIO] K10 C6 P9 - L2[WI] N1 - L1[WO] N1 - L0[O] N1")
    assert list(twice.faults(array(), PRODUCT)) == ["level Buf.inner keeps 'WO', but Buf keeps W, too"]


@pytest.mark.parametrize(("keeps", "outer", "inner"), [("WIO", "I", "WO"), ("WO", "O", "W"), ("W", "W", "")])
def test_an_even_mapping_is_one_in_parts(keeps, outer, inner):
    even = Mapping.parse(f"L2[WIO] K3 - L1[{keeps}] C6 P9 K4X - L0[O] N1")
    assert str(in_parts(array(), even)) == f"L3[WIO] K3 - L2[{outer}] N1 - L1[{inner}] C6 P9 K4X - L0[O] N1"


def test_tensors_that_may_pass_by_may_pass_both_parts():
    rules = LoopRules(spatial_x="K", spatial_y="", may_bypass="WI")
    best = search(array(rules=rules), PRODUCT, method="proven", goal="energy")
    fixed = search(array(), PRODUCT, method="proven", goal="energy")
    assert best.optimal
    assert best.value <= fixed.value
    expensive = AccessEnergy(read_pj=1000, fill_pj=1000, update_pj=1000)
    best = search(array(rules=rules, energy=expensive), PRODUCT, method="proven", goal="energy", budget=200_000)
    assert "".join(level.keeps for level in best.mapping.levels[1:3]) == "O"


def test_a_layer_without_loops_has_places_to_choose_all_the_same():
    found = search(array(), Layer("one", "gemm"), method="proven")
    assert found.optimal
    assert found.gap == 0


def test_gradients_are_refused():
    with pytest.raises(ArmillaryError, match=r"array has uneven tiles, which method 'gradient' lacks; choose one of"):
        search(array(), PRODUCT, method="gradient")


def test_a_layer_that_never_fits_is_told_of_the_whole_memory():
    small = chip(capacity_words=1)
    with pytest.raises(ArmillaryError, match=r"outer product on h: Buf\.capacity_words is exceeded most often"):
        search(small, LAYER, budget=500)


def test_a_time_limit_is_of_both_searches():
    found = search(array(), PRODUCT, goal="energy", seconds=0.5)
    assert found.seconds < 3
    assert found.value > 0
