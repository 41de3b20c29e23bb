"""Two layers whose intermediate stays on the chip."""

import pytest
from tests.cost_model.fused_walk import walk

from armillary.cost_model.cost import evaluate
from armillary.cost_model.fused import FusedMapping, Tiling, evaluate_pair, home_of
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, Mapping, loop_bounds
from armillary.workloads.layer import Layer
from armillary.workloads.pairs import shared_loops

PAIRS = {
    "attention": (
        Layer("scores", "gemm", K=2 * 8, C=2 * 4, P=6, groups=2, dynamic=True),
        Layer("values", "gemm", K=2 * 4, C=2 * 8, P=6, groups=2, dynamic=True),
    ),
    "mlp": (Layer("up", "gemm", K=12, C=4, P=6), Layer("down", "gemm", K=4, C=12, P=6)),
    "valid_convs": (
        Layer("first", "conv", K=4, C=2, P=10, Q=6, R=3, S=3),
        Layer("second", "conv", K=3, C=4, P=8, Q=4, R=3, S=3),
    ),
    "depthwise_pointwise": (
        Layer("dw", "depthwise", K=6, C=6, P=4, Q=4, R=3, S=3, groups=6),
        Layer("pw", "conv", K=5, C=6, P=4, Q=4),
    ),
    "pointwise_depthwise": (
        Layer("pw", "conv", N=2, K=6, C=3, P=6, Q=6),
        Layer("dw", "depthwise", N=2, K=6, C=6, P=4, Q=4, R=3, S=3, groups=6),
    ),
}
_PJ = AccessEnergy(read_pj=2.0, fill_pj=3.0, update_pj=5.0)


def chip(capacity=None):
    return Hierarchy(
        name="two_levels",
        compute=Compute(energy_pj=1.0),
        levels=(
            Level(
                name="DRAM",
                kind="dram",
                shared_bandwidth=2.0,
                energy=AccessEnergy(read_pj=90.0, fill_pj=90.0, update_pj=90.0),
            ),
            Level(name="Buffer", capacity_words=capacity, energy=_PJ),
        ),
    )


def in_buffer(layer):
    """Return a mapping that fetches the whole layer and turns all loops in the buffer."""
    loops = tuple(Loop(d, bound) for d, bound in loop_bounds(layer).items() if bound > 1)
    return Mapping((LevelMapping("WIO"), LevelMapping("WIO", loops)))


def fused(pair, tiling):
    """Return the mapping of a pair all of whose loops inside a tile turn in the buffer."""
    producer, consumer = pair
    parts = []
    for part, keeps in ((tiling.producer_tile(producer, consumer), "WI"), (tiling.consumer_tile(consumer), "WO")):
        whole = in_buffer(part)
        parts.append(Mapping((LevelMapping(keeps), *whole.levels[1:])))
    return FusedMapping.of_tiles(tiling, *parts)


def tilings(pair):
    """Return some tilings of a pair in which every layer has whole tiles."""
    loops = {loop.producer: loop for loop in shared_loops(*pair)}
    two = [Tiling(((loop, 2),)) for loop in loops.values() if not loop.overlap]
    if "G" in loops and "K" in loops:
        two += [Tiling(((loops["G"], 2), (loops["P"], 3), (loops["K"], 4)))]
        two += [Tiling(((loops["G"], 2), (loops["K"], 2), (loops["P"], 2)))]
    elif "K" in loops and not loops["P"].overlap:
        two += [Tiling(((loops["P"], 2), (loops["K"], 3))), Tiling(((loops["K"], 3), (loops["P"], 2)))]
    again = [Tiling(((loops[d], 2),), again=True) for d in "PQ" if d in loops and loops[d].overlap]
    return two + again


CASES = [(name, tiling) for name, pair in PAIRS.items() for tiling in tilings(pair)]


@pytest.mark.parametrize("name", PAIRS)
def test_one_tile_costs_both_layers_less_the_traffic_of_the_intermediate(name):
    producer, consumer = PAIRS[name]
    hierarchy, whole = chip(), Tiling()
    found = evaluate_pair(hierarchy, producer, consumer, fused(PAIRS[name], whole))
    first, second = (evaluate(hierarchy, layer, in_buffer(layer)) for layer in (producer, consumer))
    assert found.failure is None
    written, read = (float(c.words_moved[-1, t].sum()) for c, t in ((first, 2), (second, 1)))
    assert written == producer.outputs
    assert read == consumer.inputs
    apart = float(first.words_moved[-1].sum() + second.words_moved[-1].sum())
    assert found.outermost_words == apart - written - read
    saved = 90.0 * (written + read) + _PJ.fill_pj * consumer.inputs
    assert found.energy_pj == pytest.approx(float(first.energy_pj + second.energy_pj - saved), rel=1e-12)
    assert found.delay_cycles <= float(first.delay_cycles + second.delay_cycles)


@pytest.mark.parametrize(("name", "tiling"), CASES, ids=[f"{name} {tiling}" for name, tiling in CASES])
def test_words_outside_are_those_of_a_walk_over_sets(name, tiling):
    producer, consumer = PAIRS[name]
    found = evaluate_pair(chip(), producer, consumer, fused(PAIRS[name], tiling))
    seen = walk(producer, consumer, tiling)
    assert found.failure is None
    for side, costs, tensors in (("p", found.producer, "WI"), ("c", found.consumer, "W")):
        for tensor in tensors:
            moved = float(costs.words_moved[-1, "WIO".index(tensor), :, 0].sum())
            assert moved == seen.reads[side, tensor], (side, tensor)
    assert float(found.consumer.words_moved[-1, 2, 0, 0]) == seen.reads["c", "O"]
    assert float(found.consumer.words_moved[-1, 2, 2, 0]) == seen.writes["c", "O"]
    assert float(found.producer.words_moved[-1, 2].sum() + found.consumer.words_moved[-1, 1].sum()) == 0


@pytest.mark.parametrize(
    ("name", "tiling"), [case for case in CASES if case[0] in ("attention", "mlp")], ids=lambda case: str(case)
)
def test_a_pair_needs_the_room_that_a_walk_sees_and_no_more(name, tiling):
    producer, consumer = PAIRS[name]
    mapping, needed = fused(PAIRS[name], tiling), walk(producer, consumer, tiling).needed
    assert evaluate_pair(chip(needed), producer, consumer, mapping).failure is None
    short = evaluate_pair(chip(needed - 1), producer, consumer, mapping).failure
    assert short is not None
    assert short.resource == "Buffer.capacity_words"
    assert short.needed == needed


def test_rows_that_are_computed_again_are_counted():
    producer, consumer = PAIRS["valid_convs"]
    (rows,) = [loop for loop in shared_loops(producer, consumer) if loop.producer == "P"]
    once = evaluate_pair(chip(), producer, consumer, fused(PAIRS["valid_convs"], Tiling(((rows, 2),))))
    again = evaluate_pair(chip(), producer, consumer, fused(PAIRS["valid_convs"], Tiling(((rows, 2),), again=True)))
    assert float(once.producer.macs) == producer.macs
    assert float(again.producer.macs) == producer.macs * 12 / 10  # two windows of six rows in place of ten
    assert again.energy_pj > once.energy_pj


def test_overlapping_rows_stay_only_under_the_innermost_shared_loop():
    pair = PAIRS["valid_convs"]
    loops = {loop.producer: loop for loop in shared_loops(*pair)}
    kept = Tiling(((loops["K"], 2), (loops["P"], 2)))
    lost = Tiling(((loops["P"], 2), (loops["K"], 2)))
    assert evaluate_pair(chip(), *pair, fused(pair, kept)).failure is None
    failure = evaluate_pair(chip(), *pair, fused(pair, lost)).failure
    assert "innermost shared loop" in str(failure)


def test_what_stays_at_an_inner_level_needs_room_beside_the_other_layer():
    producer, consumer = PAIRS["mlp"]
    loops = {loop.producer: loop for loop in shared_loops(producer, consumer)}
    tiling = Tiling(((loops["K"], 3), (loops["P"], 2)))  # weights of a tile stay while rows turn
    first = Mapping.parse("L2[WI] K3 P2 - L1[WIO] P3 - L0[W] K4 C4")
    second = Mapping.parse("L2[WO] C3 P2 - L1[WIO] P3 - L0[W] C4 K4")
    mapping = FusedMapping(tiling, first, second)

    def with_registers(words):
        base = chip()
        level = Level(name="Registers", keeps="W", capacity_words=words, energy=_PJ)
        return base.model_copy(update={"levels": (*base.levels, level)})

    assert evaluate_pair(with_registers(32), producer, consumer, mapping).failure is None
    failure = evaluate_pair(with_registers(31), producer, consumer, mapping).failure
    assert failure is not None
    assert (failure.resource, failure.needed) == ("Registers.capacity_words", 32)
    moving = FusedMapping(
        tiling, first, Mapping.parse("L2[WO] C3 P2 - L1[WIO] P3 K4 - L0[W] C4")
    )  # the consumer's weights leave, the producer's stay: 16 + 4
    assert evaluate_pair(with_registers(20), producer, consumer, moving).failure is None
    assert evaluate_pair(with_registers(19), producer, consumer, moving).failure is not None


def test_loops_that_are_not_shared_or_cut_the_intermediate_are_refused():
    producer, consumer = PAIRS["mlp"]
    loops = {loop.producer: loop for loop in shared_loops(producer, consumer)}
    tiling = Tiling(((loops["P"], 2),))
    good = fused(PAIRS["mlp"], tiling)
    for wrong, said in (
        (FusedMapping(tiling, good.producer, Mapping.parse("L1[WO] N1 - L0[WIO] C12 K4 P6")), "not the shared ones"),
        (
            FusedMapping(tiling, Mapping.parse("L1[WI] P2 K3 - L0[WIO] C4 K4 P3"), good.consumer),
            "cuts the intermediate",
        ),
        (FusedMapping(tiling, Mapping.parse("L1[WIO] P2 - L0[WIO] C4 K12 P3"), good.consumer), "cannot keep"),
        (FusedMapping(tiling, Mapping.parse("L1[WI] P2 - L0[WI] C4 K12 P3"), good.consumer), "at its home"),
    ):
        assert said in str(evaluate_pair(chip(), producer, consumer, wrong).failure)


def test_a_hierarchy_without_a_level_for_both_has_no_home():
    split = chip().model_copy(
        update={"levels": (chip().levels[0], Level(name="In", keeps="WI"), Level(name="Out", keeps="O"))}
    )
    assert home_of(split) is None
    assert home_of(chip()) == 0
    with pytest.raises(ValueError, match="keeps both inputs and outputs"):
        evaluate_pair(split, *PAIRS["mlp"], fused(PAIRS["mlp"], Tiling()))
