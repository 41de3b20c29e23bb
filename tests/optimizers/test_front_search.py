import numpy as np
import pytest

from armillary.optimizers.front_search import front_designs, ranked
from armillary.problems.pareto import front, hypervolume
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError

CUBE = Space("cube", tuple(Parameter(f"p{i}", tuple(range(9))) for i in range(6)))


def at_odds(codes):
    """The nearer to the first corner the smaller one, the nearer to the last the other; two parameters only cost."""
    wasted = codes[:, 4:].sum(axis=1)
    return np.stack([1.0 + codes[:, :4].sum(axis=1), 33.0 - codes[:, :4].sum(axis=1)], axis=1) + wasted[:, None]


def test_the_whole_front_of_a_score_is_found():
    """All sums from 0 to 32 are on it, with nothing wasted."""
    found = at_odds(front_designs(at_odds, CUBE, n=64, seed=1))
    assert {tuple(row) for row in found[front(found)]} == {(1.0 + s, 33.0 - s) for s in range(33)}


def test_it_dominates_more_than_random_designs_do():
    rng = np.random.default_rng(0)
    drawn = at_odds(rng.integers(0, 9, size=(20_000, 6)))
    reference = np.array([40.0, 40.0])
    for seed in range(3):
        found = at_odds(front_designs(at_odds, CUBE, n=64, seed=seed))
        assert hypervolume(found, reference) > hypervolume(drawn, reference) + 5


def test_what_is_not_kept_is_neither_scored_nor_returned():
    scored = []

    def watched(codes):
        scored.append(codes)
        return at_odds(codes)

    found = front_designs(watched, CUBE, n=16, keep=lambda codes: codes[:, 0] > 3)
    assert (found[:, 0] > 3).all()
    assert (np.concatenate(scored)[:, 0] > 3).all()
    assert len(np.unique(found, axis=0)) == len(found) == 16


def test_infeasible_designs_are_not_returned():
    def half(codes):
        return np.where(codes[:, :1] < 4, np.inf, at_odds(codes))

    assert (front_designs(half, CUBE, n=32)[:, 0] >= 4).all()
    with pytest.raises(ArmillaryError, match="none of the designs of space cube that were tried is expected"):
        front_designs(lambda codes: np.full((len(codes), 2), np.inf), CUBE, n=4)
    with pytest.raises(ArmillaryError, match="no design that was tried in space cube passes the constraint"):
        front_designs(at_odds, CUBE, n=4, keep=lambda codes: np.zeros(len(codes), dtype=bool))


def test_the_same_seed_returns_the_same():
    one, two, other = (front_designs(at_odds, CUBE, n=8, seed=seed) for seed in (3, 3, 4))
    assert one.tolist() == two.tolist() != other.tolist()


def test_the_first_front_comes_first_and_its_ends_before_its_middle():
    values = np.array([[2.0, 2.0], [1.0, 4.0], [9.0, 9.0], [4.0, 1.0], [np.inf, np.inf], [2.1, 2.0], [2.0, 2.1]])
    order = ranked(values).tolist()
    assert set(order[:3]) == {0, 1, 3}
    assert order[2] == 0
    assert set(order[3:5]) == {5, 6}
    assert order[5:] == [2, 4]
