import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import Hierarchy, Level, LoopRules
from armillary.hardware.mapping import Mapping
from armillary.mapping.imperfection import with_remainders
from armillary.mapping.search import search
from armillary.workloads.layer import Layer

CHIP = Hierarchy(
    name="h",
    levels=(
        Level(name="DRAM", kind="dram"),
        Level(name="Buf", capacity_words=4096, fanout=(14, 1)),
        Level(name="Reg", kind="regfile", capacity_words=16),
    ),
)


def delay(costs):
    return costs.delay_cycles


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("L2[WIO] K3 P4 - L1[WIO] C4 K9X - L0[W] N1", "L2[WIO] K2 P4 - L1[WIO] C4 K14,13X - L0[W] N1"),
        ("L2[WIO] P4 - L1[WIO] C4 K9X - L0[W] K3", "L2[WIO] P4 - L1[WIO] C4 K14X - L0[W] K2,1"),
    ],
)
def test_the_mesh_is_filled_whichever_loop_is_outside(start, end):
    layer = Layer("l", "conv", K=27, C=4, P=4)
    found = with_remainders(CHIP, layer, Mapping.parse(start), delay)
    assert str(found) == end
    assert not list(found.faults(CHIP, layer))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 8))
def test_the_search_ends_no_worse_and_legal(k, c, p):
    layer = Layer("l", "conv", K=k, C=c, P=p)
    plain, cut = (search(CHIP, layer, budget=300, seed=0, goal="delay", remainders=r) for r in (False, True))
    assert cut.value <= plain.value
    costs = evaluate(CHIP, layer, cut.mapping)
    assert bool(costs.feasible)
    assert (float(costs.delay_cycles), float(costs.energy_pj)) == (cut.delay_cycles, cut.energy_pj)
    assert costs.macs.item() == layer.macs


def test_bounded_tiles_keep_their_factors():
    rules = LoopRules(max_tile={"K": 9})
    chip = CHIP.model_copy(update={"levels": (*CHIP.levels[:2], CHIP.levels[2].model_copy(update={"rules": rules}))})
    start = Mapping.parse("L2[WIO] K3 P4 - L1[WIO] C4 K9X - L0[W] N1")
    assert with_remainders(chip, Layer("l", "conv", K=27, C=4, P=4), start, delay) == start
