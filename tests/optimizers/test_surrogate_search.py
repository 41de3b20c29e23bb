import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.optimizers.surrogate_search import neighbours, spread_out, top_designs
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

SMALL = Space("small", (Parameter("x", tuple(range(12))), Parameter("y", tuple(range(9))), Parameter("z", (0, 1))))


def rugged(codes):
    """Every parameter has a hidden best value; neighbouring values say nothing about it."""
    table = np.random.default_rng(5).random((codes.shape[1], 16))
    return sum(table[i][codes[:, i]] for i in range(codes.shape[1]))


def unique_rows(codes):
    return len(np.unique(codes, axis=0))


def test_finds_the_true_best_of_a_small_space_in_order():
    every = SMALL.at(np.arange(SMALL.size))
    expected = np.sort(rugged(every))[:20]
    found = top_designs(rugged, SMALL, n=20, seed=0)
    np.testing.assert_allclose(rugged(found), expected)
    assert unique_rows(found) == 20


def test_returns_fewer_when_the_space_is_smaller():
    assert unique_rows(top_designs(rugged, SMALL, n=1000, seed=0)) == len(top_designs(rugged, SMALL, n=1000, seed=0))
    assert len(top_designs(rugged, SMALL, n=1000, seed=0)) <= SMALL.size


def test_same_seed_same_designs():
    one, two = (top_designs(rugged, SPACE, n=16, seed=3, swarms=4, steps=10) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_keeps_to_the_constraint_and_never_scores_outside_it():
    def keep(codes):
        return codes[:, 0] >= 5

    def score(codes):
        assert keep(codes).all()
        return rugged(codes)

    assert keep(top_designs(score, SPACE, n=64, seed=0, keep=keep, swarms=4, steps=10)).all()


def test_a_constraint_that_nothing_meets_is_an_error():
    with pytest.raises(ArmillaryError, match="passes the constraint"):
        top_designs(rugged, SMALL, keep=lambda codes: np.zeros(len(codes), dtype=bool), swarms=2, steps=2)


def test_nan_is_the_worst_score():
    found = top_designs(lambda c: np.where(c[:, 2] == 0, np.nan, rugged(c)), SMALL, n=10, seed=0)
    assert (found[:, 2] == 1).all()


def test_refinement_reaches_the_optimum_that_fireflies_miss():
    options = {"n": 32, "seed": 1, "swarms": 2, "steps": 10, "generations": 0}
    plain = rugged(top_designs(rugged, SPACE, refine_rounds=0, **options))[0]
    refined = rugged(top_designs(rugged, SPACE, **options))[0]
    table = np.random.default_rng(5).random((10, 16))
    optimum = sum(table[i, :n].min() for i, n in enumerate(SPACE.cardinalities))
    assert refined == pytest.approx(optimum)
    assert plain > optimum


def in_blocks(codes):
    """Two blocks of three parameters each, of which all three must be right at once."""
    solved = [(codes[:, first : first + 3] == right).all(axis=1) for first, right in ((0, (3, 4, 2)), (3, (5, 1, 6)))]
    return 2.0 - sum(block.astype(float) for block in solved) + 1e-3 * rugged(codes)


def test_recombination_reaches_what_lies_three_parameters_from_all_that_was_met():
    """Hardly a design drawn has both blocks right, and many have one."""
    options = {"n": 64, "swarms": 64, "steps": 1, "apart": 2, "refine_rounds": 0}
    solved = [
        [in_blocks(top_designs(in_blocks, SPACE, seed=s, generations=g, **options))[0] < 1.0 for g in (0, 200)]
        for s in range(7)
    ]
    alone, bred = np.sum(solved, axis=0)
    assert alone <= 2
    assert bred >= 5


def tangled(codes):
    """The sum of twenty hidden tables, each of two parameters."""
    rng = np.random.default_rng(9)
    pairs, tables = rng.integers(0, 10, (20, 2)), rng.random((20, 16, 16))
    return sum(table[codes[:, a], codes[:, b]] for table, (a, b) in zip(tables, pairs, strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_breed_until_they_no_longer_change(seed):
    options = {"n": 128, "seed": seed, "swarms": 4, "steps": 20, "apart": 3, "refine_rounds": 0}
    scored = []

    def score(codes):
        scored.append(len(codes))
        return tangled(codes)

    found = top_designs(score, SPACE, **options)
    assert len(scored) < 21 + 200  # it ended by itself
    needed = len(scored) - 21
    np.testing.assert_array_equal(top_designs(tangled, SPACE, generations=needed - 2, **options), found)
    assert needed > 20
    assert tangled(found).mean() < tangled(top_designs(tangled, SPACE, generations=10, **options)).mean()


def test_neighbours_differ_in_one_parameter():
    centre = np.array([[3, 4, 1]])
    around = neighbours(SMALL, centre)
    assert len(around) == sum(n - 1 for n in SMALL.cardinalities) == unique_rows(around)
    assert ((around != centre).sum(axis=1) == 1).all()


def test_half_of_the_designs_are_apart_and_the_others_the_best_of_the_rest():
    options = {"seed": 1, "swarms": 4, "steps": 20, "apart": 2}
    found = top_designs(rugged, SPACE, n=32, **options)
    wide = spread_out(found, 16, 2)
    different = (found[wide][:, None, :] != found[wide][None, :, :]).sum(axis=2)
    assert (different[~np.eye(16, dtype=bool)] >= 2).all()
    assert (np.diff(rugged(found)) >= 0).all()
    np.testing.assert_array_equal(found[0], top_designs(rugged, SPACE, n=32, seed=1, swarms=4, steps=20)[0])
    others = np.delete(np.arange(32), wide)
    seen = top_designs(rugged, SPACE, n=32 * 32, **{**options, "apart": 1})
    better = seen[rugged(seen) < rugged(found[others]).max()]
    assert unique_rows(np.concatenate([found, better])) == 32  # no better one was left out


@given(st.integers(1, 3), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_designs_are_chosen_in_order_if_far_enough_from_those_before(apart, n, seed):
    codes = np.unique(np.random.default_rng(seed).integers(0, 4, size=(60, 4)), axis=0)
    slow = []
    for place, code in enumerate(codes):
        if len(slow) < n and all((codes[other] != code).sum() >= apart for other in slow):
            slow.append(place)
    chosen = spread_out(codes, n, apart)
    assert set(slow) <= set(chosen.tolist())
    assert len(chosen) == min(n, len(codes))


def test_where_too_few_designs_are_apart_close_ones_fill_up():
    codes = SMALL.at(np.arange(40))
    chosen = spread_out(codes, 30, 3)
    assert len(chosen) == 30
    assert (np.diff(chosen) > 0).all()
    assert len(spread_out(codes, 100, 2)) == 40


def test_starts_within_a_bound_that_next_to_no_design_meets():
    found = top_designs(rugged, SPACE, n=8, keep=lambda c: TEMPLATE.area_mm2(c) <= 0.25, swarms=2, steps=5)
    assert (TEMPLATE.area_mm2(found) <= 0.25).all()


def test_a_space_of_one_design_is_searched():
    one = Space("one", (Parameter("x", (3,)), Parameter("y", (4,))))
    assert top_designs(rugged, one, n=4, swarms=1, steps=2).tolist() == [[0, 0]]
