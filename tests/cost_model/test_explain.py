import pytest

from armillary.cost_model import evaluate
from armillary.cost_model.explain import as_text, explain
from armillary.hardware.mapping import Mapping
from armillary.workloads.layer import Layer
from cost_model.test_cost import THREE_LEVELS
from cost_model.test_memories import LAYER as OUTER_PRODUCT
from cost_model.test_memories import UNEVEN, chip

LAYER = Layer("conv", "conv", K=8, C=8, P=8, Q=8, R=3, S=3)
MAPPING = Mapping.parse("L2[WIO] K2 C2 P4 - L1[WIO] Q8 R3 S3 K4X - L0[W] C4 P2")


@pytest.fixture
def explained():
    return explain(THREE_LEVELS, LAYER, MAPPING)


def test_the_parts_add_up_to_the_whole(explained):
    costs = evaluate(THREE_LEVELS, LAYER, MAPPING)
    assert explained.energy_pj == pytest.approx(
        sum(sum(level.energy_pj) for level in explained.levels) + explained.mac_energy_pj
    )
    assert explained.delay_cycles == costs.delay_cycles.item()
    assert explained.levels[-1].loops[-1].runs == LAYER.macs
    assert explained.levels[-1].loops[-1].tile_words == (1, 1, 1)
    assert explained.levels[0].reads[0] == costs.accesses[2, 0, 0, 0].item()
    assert explained.failure is not None
    assert explained.failure.resource == "Buf.capacity_words"


def test_the_tile_beside_a_level_is_what_stands_beside_its_outer_neighbours_last_loop(explained):
    for outer, level in zip(explained.levels, explained.levels[1:], strict=False):
        for words, beside in zip(level.tile_words, outer.loops[-1].tile_words, strict=True):
            assert words in (0, beside)


def test_the_text_shows_every_loop_in_order(explained):
    text = as_text(explained)
    words = [
        "for K in 0..1",
        "for C in 0..1",
        "for P in 0..3",
        "for Q in 0..7",
        "for R",
        "for S",
        "spread K in 0..3 over X",
    ]
    places = [text.index(word) for word in [*words, "for C in 0..3", "for P in 0..1", "multiply-accumulate"]]
    assert places == sorted(places)
    assert "Reg [W] x 4, holds 4 words" in text


def test_two_parts_of_a_memory_are_shown_with_what_they_share():
    explained = explain(chip(), OUTER_PRODUCT, UNEVEN)
    text = as_text(explained)
    assert "Buf [I] x 1, holds 2 words and Buf.inner 2 of 4\n" in text
    assert "Buf.inner [WO] x 1, holds 2 words in Buf\n" in text
    assert [level.part_of for level in explained.levels] == [None, None, "Buf"]
    narrow = explain(chip(shared_bandwidth=0.01), OUTER_PRODUCT, UNEVEN)
    assert narrow.bound == "Buf"
