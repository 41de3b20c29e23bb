"""The search of shared tiles and of the mappings inside them."""

import pytest

from armillary.benchmarks.cost_model import fused_attention
from armillary.cost_model.fused import evaluate_pair
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level, LoopRules
from armillary.hardware.mapping import loop_bounds
from armillary.mapping.fused import _Pair, _tilings, search_pair
from armillary.mapping.goals import GOALS
from armillary.mapping.judge import NoLegalMappingError
from armillary.mapping.search import search
from armillary.workloads.layer import Layer
from armillary.workloads.pairs import UnfusableError, shared_loops

SCORES = Layer("scores", "gemm", K=2 * 64, C=2 * 16, P=64, groups=2, dynamic=True)
VALUES = Layer("values", "gemm", K=2 * 16, C=2 * 64, P=64, groups=2, dynamic=True)


def chip(words=4096, bandwidth=4.0, bits=None):
    pj = AccessEnergy(read_pj=1.0, fill_pj=1.0, update_pj=1.0)
    return Hierarchy(
        name="small",
        compute=Compute(energy_pj=0.5),
        bits=bits,
        levels=(
            Level(
                name="DRAM",
                kind="dram",
                shared_bandwidth=bandwidth,
                energy=AccessEnergy(read_pj=60.0, fill_pj=60.0, update_pj=60.0),
                rules=LoopRules(spatial_x="", spatial_y=""),
            ),
            Level(
                name="Buffer",
                capacity_words=words,
                energy=pj,
                fanout=(8, 8),
                rules=LoopRules(spatial_x="K", spatial_y="C"),
            ),
            Level(
                name="Registers",
                keeps="WO",
                capacity_words=16,
                energy=AccessEnergy(read_pj=0.1, fill_pj=0.1, update_pj=0.1),
            ),
        ),
    )


def apart(hierarchy, goal, seed=0):
    found = [search(hierarchy, layer, goal=goal, budget=4000, seed=seed) for layer in (SCORES, VALUES)]
    return sum(one.energy_pj for one in found), sum(one.delay_cycles for one in found)


@pytest.mark.parametrize("seed", range(3))
def test_attention_that_dram_bounds_gains_by_fusion(seed):
    hierarchy = chip()
    found = search_pair(hierarchy, SCORES, VALUES, budget=2000, seed=seed)
    energy, delay = apart(hierarchy, "edp", seed)
    assert found.costs.failure is None
    assert found.costs.energy_pj < 0.7 * energy  # 16,384 scores go out and come back, of 24,576 words in all
    assert found.costs.delay_cycles < 0.8 * delay
    least = 2 * (3 * 16 * 64 + 64 * 16)  # every operand once, every output once
    assert least <= found.costs.outermost_words <= 0.65 * (least + 2 * 2 * 64 * 64)


def test_the_value_is_that_of_the_mapping():
    for goal in GOALS:
        found = search_pair(chip(), SCORES, VALUES, goal=goal, budget=500)
        again = evaluate_pair(chip(), SCORES, VALUES, found.mapping)
        assert again.failure is None
        energy, delay = again.energy_pj, again.delay_cycles
        assert found.value == {"edp": energy * delay, "energy": energy, "delay": delay}[goal]


def test_the_same_seed_finds_the_same():
    one, other = (search_pair(chip(), SCORES, VALUES, budget=500, seed=3) for _ in range(2))
    assert (one.mapping, one.value) == (other.mapping, other.value)


@pytest.mark.parametrize("words", [700, 1200, 2500])
def test_a_small_buffer_is_cut_into_tiles_that_fit(words):
    found = search_pair(chip(words), SCORES, VALUES, goal="energy", budget=2000)
    assert found.costs.failure is None
    assert found.mapping.tiling.tiles > 1
    held = [costs.tile_words[1, :, 0] for costs in (found.costs.producer, found.costs.consumer)]
    assert max(float(words.sum()) for words in held) <= words


@pytest.mark.parametrize("words", [1200, 4096])
def test_no_tiling_is_much_better_than_those_that_are_searched(words):
    pair = _Pair(chip(words), 1, SCORES, VALUES, "energy", 0)
    every = pair.ranked(list(_tilings(shared_loops(SCORES, VALUES), SCORES)))
    found = [one.value for tiling in every[::5] if (one := pair.searched(tiling, 1000)) is not None]
    assert len(found) > 10
    best = search_pair(chip(words), SCORES, VALUES, goal="energy", budget=4000)
    assert best.value <= 1.05 * min(found)


def test_tilings_divide_both_layers():
    first = Layer("first", "conv", K=12, C=4, P=12, Q=8, R=3, S=3)
    second = Layer("second", "conv", K=4, C=12, P=12, Q=8, R=3, S=3)
    some = list(_tilings(shared_loops(first, second), first))
    assert len(set(some)) == len(some)
    for tiling in some:
        parts = tiling.producer_tile(first, second), tiling.consumer_tile(second)
        for whole, part, consumer in ((first, parts[0], False), (second, parts[1], True)):
            for dimension, count in tiling.counts(consumer).items():
                if consumer or not tiling.again or dimension not in "PQ":
                    assert loop_bounds(part)[dimension] * count == loop_bounds(whole)[dimension]
        if tiling.again:
            assert any(first.P // count < parts[0].P or first.Q // count < parts[0].Q for _, count in tiling.loops)
    assert any(tiling.again for tiling in some)


DEPTHWISE = Layer("dw", "depthwise", K=16, C=16, P=16, Q=16, R=3, S=3, groups=16)
HALVING = Layer("half", "conv", K=8, C=8, P=8, Q=8, R=3, S=3, stride_h=2, stride_w=2)
KINDS = {
    "depthwise_pointwise": (DEPTHWISE, Layer("pw", "conv", K=24, C=16, P=16, Q=16)),
    "pointwise_depthwise": (Layer("pw", "conv", K=16, C=8, P=16, Q=16), DEPTHWISE),
    "convolutions": (Layer("a", "conv", K=8, C=8, P=16, Q=16, R=3, S=3), HALVING),
    "mlp": (Layer("up", "gemm", K=128, C=32, P=32), Layer("down", "gemm", K=32, C=128, P=32)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_all_kinds_save_the_traffic_of_what_is_between(kind):
    first, second = KINDS[kind]
    hierarchy = chip(4096)
    found = search_pair(hierarchy, first, second, goal="energy", budget=2000)
    alone = [search(hierarchy, layer, goal="energy", budget=4000) for layer in (first, second)]
    assert found.costs.failure is None
    assert found.costs.energy_pj < 0.95 * sum(one.energy_pj for one in alone)
    assert float(found.costs.producer.words_moved[-1, 2].sum() + found.costs.consumer.words_moved[-1, 1].sum()) == 0


def test_what_cannot_be_fused_says_why():
    with pytest.raises(UnfusableError, match="puts out 128 channels, scores reads 32"):
        search_pair(chip(), SCORES, SCORES)
    with pytest.raises(NoLegalMappingError, match="none was found to run"):
        search_pair(chip(3), SCORES, VALUES, budget=100)
    split = chip().model_copy(
        update={"levels": (chip().levels[0], Level(name="In", keeps="WI"), Level(name="Out", keeps="O"))}
    )
    with pytest.raises(NoLegalMappingError, match="no level on the chip keeps both"):
        search_pair(split, SCORES, VALUES)


@pytest.mark.parametrize("seed", range(2))
def test_attention_of_llama_is_no_worse_than_accelforges_optimum(seed):
    found, reference = fused_attention.ours(seed).costs, fused_attention.ACCELFORGE
    assert found.failure is None
    assert found.energy_pj <= reference.energy_pj
    assert found.delay_cycles == pytest.approx(reference.delay_cycles, rel=0.02)
