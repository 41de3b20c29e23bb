from functools import cache, partial

import numpy as np
import pytest

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.templates.spotlight import EDGE, Chip
from armillary.mapping.spotlight.dabo import DaboMaps, DomainModel
from armillary.mapping.spotlight.features import (
    FURTHER,
    RAW_HW,
    RAW_SW,
    SPOTLIGHT_HW,
    SPOTLIGHT_SW,
    TABLE_4_2,
    FeatureSpace,
    union,
)
from armillary.mapping.spotlight.mapspace import DRAM, REGISTERS, SCRATCHPAD, Maps, UnrolledSpace
from armillary.mapping.spotlight.search import RANDOM, Mapper
from armillary.optimizers.spotlight import Spotlight
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.layer import Layer

CHIP = Chip(8, 128, rows=12, columns=14, scratchpad_kib=128, register_file_kib=64)
LAYER = Layer("conv", "conv", K=64, C=32, P=28, Q=28, R=3, S=3)
SPACE = UnrolledSpace(CHIP, LAYER)
PROBLEM = Problem.minimising(EDGE, "delay_cycles")


def one_mapping():
    """P fills 4 rows, K 8 columns, C 8 lanes; Q turns 14 times and R 3 times in DRAM."""
    factors = np.ones((1, 8, 5), dtype=np.int64)
    k, c, p, q, r, s = (DIMENSIONS.index(d) for d in "KCPQRS")
    factors[0, k] = (2, 1, 8, 2, 2)
    factors[0, c] = (1, 8, 1, 4, 1)
    factors[0, p] = (7, 1, 4, 1, 1)
    factors[0, q] = (2, 1, 1, 1, 14)
    factors[0, r], factors[0, s] = (1, 1, 1, 1, 3), (3, 1, 1, 1, 1)
    return Maps(factors, np.array([p]), np.array([k]), np.array([c]), np.zeros((1, 2), dtype=np.int64))


def test_the_features_of_table_4_2_by_hand():
    found = dict(zip(TABLE_4_2.names, TABLE_4_2(SPACE, one_mapping())[0], strict=True))
    assert found == {
        "kernel_parallelism": 3 * 1,
        "spatial_unrolling": 4 * 8,
        "pe_utilization": pytest.approx(4 / 12 * 8 / 14),
        "loop_iterations": np.ceil(4 * 1 / 12) * np.ceil(8 * 2 / 14),
        "dram_transfers": pytest.approx(14 / 2 * (1 / 7) * (12 + 14)),
        "unrolled_dimensions": 2 * 14 + 3 * 1 + 5 * 2 + 7 * 2 + 11 * 2,
    }


def test_further_features_by_hand():
    found = dict(zip(FURTHER.names, FURTHER(SPACE, one_mapping())[0], strict=True))
    assert found["lane_utilization"] == 8 / 8
    assert found["array_perimeter"] == 4 + 8
    assert found["dram_iterations"] == 2 * 14 * 3
    # weights 2 x 8 x 1 x 3, inputs 8 x 7 x 4, outputs 2 x 7 x 2
    assert found["register_file_use"] == pytest.approx((48 + 8 * 7 * 4 + 28) / CHIP.register_file_bytes)


def test_a_user_adds_a_feature_in_one_line():
    more = SPOTLIGHT_SW.with_features(k_per_pe=lambda _chip, maps, _layer: maps.tile("K", 0))
    assert more(SPACE, one_mapping())[0, -1] == 2
    assert more.names == (*SPOTLIGHT_SW.names, "k_per_pe")
    assert more.without("k_per_pe").names == SPOTLIGHT_SW.names
    with pytest.raises(KeyError):
        more.without("nothing")


def test_features_of_the_hardware():
    row = dict(zip(SPOTLIGHT_HW.names, SPOTLIGHT_HW.of_chips([CHIP])[0], strict=True))
    assert row == {
        "simd_lanes": 8,
        "bandwidth": 128,
        "pes": 168,
        "array_width": 14,
        "on_chip_sram": 192,
        "all_lanes": 168 * 8,
        "power_of_two_lanes": 8 * 8 * 8,
        "array_height": 12,
        "scratchpad_kib": 128,
        "register_file_per_pe": pytest.approx(64 / 168),
    }
    assert len(RAW_HW.of_chips([CHIP, CHIP])) == 2


def test_raw_parameters_are_all_tile_factors_and_the_unrolled_dimensions():
    assert len(RAW_SW.names) == 8 * 3 + 2
    values = dict(zip(RAW_SW.names, RAW_SW(SPACE, one_mapping())[0], strict=True))
    for place, index in ((REGISTERS, 2), (SCRATCHPAD, 1), (DRAM, 0)):
        for d, dimension in enumerate(DIMENSIONS):
            assert values[f"{dimension}{index}"] == one_mapping().factors[0, d, place]


@pytest.mark.parametrize("kernel", ["linear", "matern", "trend"])
@pytest.mark.parametrize("acquisition", ["lcb", "ei"])
def test_the_model_finds_a_linear_trend(kernel, acquisition):
    rng = np.random.default_rng(0)
    features = rng.uniform(1, 5, size=(40, 3))
    model = DomainModel(kernel, acquisition)
    model.add(features, np.exp(0.7 * features[:, 0] - 0.5 * features[:, 2] + 0.01 * rng.normal(size=40)))
    fresh = rng.uniform(1, 5, size=(200, 3))
    truth = 0.7 * fresh[:, 0] - 0.5 * fresh[:, 2]
    assert np.corrcoef(model.predict(fresh), truth)[0, 1] > 0.95
    assert truth[np.argsort(model.rank(fresh))[:10]].mean() < np.quantile(truth, 0.15)


@pytest.mark.parametrize("acquisition", ["lcb", "ei"])
def test_the_model_learns_what_deviates_from_what_was_expected(acquisition):
    rng = np.random.default_rng(0)
    features, steps = rng.uniform(1, 5, size=(12, 3)), np.exp(rng.integers(0, 5, size=12))
    model = DomainModel("trend", acquisition)
    model.add(features, steps * np.exp(0.05 * features[:, 0]), steps)
    fresh, ahead = rng.uniform(1, 5, size=(200, 3)), np.exp(rng.integers(0, 5, size=200))
    truth = np.log(ahead) + 0.05 * fresh[:, 0]
    assert np.argsort(model.rank(fresh, ahead))[:20].tolist() != np.argsort(model.rank(fresh))[:20].tolist()
    assert truth[np.argsort(model.rank(fresh, ahead))[:20]].max() < np.quantile(truth, 0.25)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_draws_fills_the_array(share):
    maps = DaboMaps(SPACE, np.random.default_rng(0), features=SPOTLIGHT_SW, prior_share=share).ask(400)
    filled = maps.select(np.arange(400))
    SPACE.fill(filled, np.arange(400))
    could = SPACE.legal(filled)
    done = (filled.factors == maps.factors).all(axis=(1, 2))
    assert SPACE.legal(maps).all()
    # with no share a few random mappings fill the array by chance
    least, most = {0.0: (0.0, 0.1), 0.5: (0.4, 0.7), 1.0: (1.0, 1.0)}[share]
    assert least <= done[could].mean() <= most


def test_what_cannot_be_used_is_no_better_than_expected():
    rng = np.random.default_rng(0)
    features = rng.uniform(1, 5, size=(30, 2))
    expected = np.exp(features[:, 0])
    bad = (features[:, 0] > 4) & (features[:, 1] > 2)
    assert 0 < bad.sum() < 15
    model = DomainModel("trend")
    model.add(features, np.where(bad, np.inf, expected), expected)
    assert model.predict(features)[bad].mean() >= model.predict(features)[~bad].mean() - 1e-6


def test_importance_tells_what_the_model_uses():
    rng = np.random.default_rng(1)
    features = rng.uniform(1, 5, size=(60, 3))
    model = DomainModel()
    model.add(features, np.exp(2 * features[:, 1]))
    importance = model.importance(rng)
    assert importance.argmax() == 1
    assert importance.sum() == pytest.approx(1)


def test_what_cannot_be_used_counts_as_the_worst():
    model = DomainModel()
    features = np.arange(1.0, 21.0)[:, None]
    model.add(features, np.where(features[:, 0] > 10, np.inf, features[:, 0]))
    assert model.rank(np.array([[2.0]]))[0] < model.rank(np.array([[18.0]]))[0]
    hopeless = DomainModel()
    hopeless.add(features, np.full(20, np.inf))
    with pytest.raises(ArmillaryError, match="finite value"):
        hopeless.rank(features)


def test_unknown_settings_are_refused():
    with pytest.raises(ArmillaryError, match="kernel 'cubic' is unknown"):
        DomainModel("cubic")
    with pytest.raises(ArmillaryError, match="acquisition 'ucb' is unknown"):
        DomainModel("linear", "ucb")


FEW = [use.layer for use in zoo.build("resnet50").layers[:4]]
SEEDS = range(3)


@cache
def by_chance(seed):
    """Return the best of five times as many random mappings as daBO evaluates."""
    plenty = Mapper("random", RANDOM.make, samples=500)
    return [best.value for best in plenty.map(CHIP, FEW, "edp", seed)]


@pytest.mark.parametrize(
    "features", [SPOTLIGHT_SW, RAW_SW, union(SPOTLIGHT_SW, RAW_SW)], ids=["features", "raw", "all"]
)
def test_dabo_needs_far_fewer_mappings_than_random_search(features):
    dabo = Mapper("dabo", partial(DaboMaps, features=features))
    found = [[best.value for best in dabo.map(CHIP, FEW, "edp", seed)] for seed in SEEDS]
    gains = np.log([by_chance(seed) for seed in SEEDS]) - np.log(found)
    assert np.median(gains.mean(axis=1)) > 0.2  # 0.5 and more


def test_a_feature_that_never_changes_does_no_harm():
    constant = FeatureSpace({"one": lambda *_: 1.0, **SPOTLIGHT_SW.features})
    found = Mapper("dabo", partial(DaboMaps, features=constant)).map(CHIP, [LAYER], "delay", 0)
    assert np.isfinite(found[0].value)
    assert isinstance(found[0].maps, Maps)
    assert UnrolledSpace(CHIP, LAYER).legal(found[0].maps).all()


def test_candidates_are_drawn_anew_for_every_batch():
    search = DaboMaps(SPACE, np.random.default_rng(0), features=SPOTLIGHT_SW, warm_up=20, explore=0.0, candidates=800)
    search.tell(search.ask(20), np.arange(20.0) + 1)
    # nothing is told in between, so that the same candidates would be chosen again
    batches = [set(search.ask(10).keys().tolist()) for _ in range(2)]
    assert len(batches[0] & batches[1]) < 5


def test_a_search_begins_with_what_was_best_on_another_chip():
    first = DaboMaps(SPACE, np.random.default_rng(0), features=SPOTLIGHT_SW)
    maps = first.ask(20)
    values = np.random.default_rng(1).random(20)
    first.tell(maps, values)
    assert first.population.keys()[0] == maps.keys()[values.argmin()]
    same = DaboMaps(SPACE, np.random.default_rng(1), features=SPOTLIGHT_SW, start=first.population)
    begun = np.concatenate([same.ask(5).keys(), same.ask(5).keys()])
    assert begun[:8].tolist() == maps.select(np.argsort(values)[:8]).keys().tolist()


def test_words_moved_by_hand():
    # Order 0 turns the loops of DRAM in some order; of R (3), K (2) and Q (14) all three tensors are indexed by two.
    maps = one_mapping()
    order = SPACE.orders[0]
    outside = {d: int(order[DIMENSIONS.index(d)]) for d in "KQR"}
    times = {"K": 2, "Q": 14, "R": 3}
    tiles = {"W": 32 * 32 * 1 * 3, "I": 32 * 28 * 4, "O": 32 * 28 * 2}
    expected = 0
    for tensor, dims in (("W", "KR"), ("I", "QR"), ("O", "KQ")):
        innermost = min(outside[d] for d in dims)
        expected += tiles[tensor] * np.prod([times[d] for d in "KQR" if outside[d] >= innermost])
    found = dict(zip(FURTHER.names, FURTHER(SPACE, maps)[0], strict=True))
    assert found["dram_words"] == expected


@pytest.mark.parametrize("kernel", ["matern", "trend"])
def test_a_search_uses_the_model_that_it_is_given(kernel):
    model = DomainModel(kernel)  # without rows it has no length, and is no less a model
    assert DaboMaps(SPACE, np.random.default_rng(0), features=SPOTLIGHT_SW, model=model).model is model
    given = Spotlight(PROBLEM, model=model)
    assert given.model is model


def test_neighbours_of_the_best_chips_are_candidates():
    search = Spotlight(PROBLEM, warm_up=5, explore=0.0, candidates=1)
    codes = search.ask_codes(5)
    search.tell_values(codes, np.arange(5.0) + 1)
    for value in (0.5, 0.4, 0.3):
        asked = search.ask_codes(1)
        assert (codes != asked).sum(axis=1).min() == 1
        search.tell_values(asked, np.array([value]))
        codes = np.concatenate([codes, asked])


def test_logarithms_are_in_the_unit_of_the_objective():
    rng = np.random.default_rng(0)
    features, expected = rng.uniform(1, 5, (60, 2)), rng.uniform(10, 1000, 60)
    model = DomainModel("linear")
    model.add(features, expected * np.exp(2.0 + 0.5 * features[:, 0]), expected)
    asked = rng.uniform(1, 5, (20, 2))
    mean, std = model.logarithms(asked, np.full(20, 50.0))
    np.testing.assert_allclose(mean, np.log(50.0) + 2.0 + 0.5 * asked[:, 0], atol=0.02)
    assert (std > 0).all()
    assert (std < 0.1).all()
