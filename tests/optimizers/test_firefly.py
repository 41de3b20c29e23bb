import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.firefly import Firefly
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.problem import Problem
from armillary.testing.optimizers import OptimizerContract, bowl
from armillary.types import ArmillaryError

PROBLEM = Problem.minimising(SPACE)


def smooth(codes):
    """A bowl away from the corners, three designs of four infeasible."""
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    value = ((unit - 0.3) ** 2).sum(axis=1)
    return np.where(codes[:, :3].sum(axis=1) % 4 == 0, value, np.inf)


def best_after(optimizer, evaluations, batch=23):
    for _ in range(evaluations // batch):
        codes = optimizer.ask_codes(batch)
        optimizer.tell_values(codes, smooth(codes))
    return optimizer.best_value


class TestFirefly(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Firefly(problem, seed=seed)

    def test_is_drawn_to_the_best(self, make, space):
        found = []
        for seed in range(100):
            firefly = make(seed=seed)
            for _ in range(6):
                asked = firefly.ask(5)
                firefly.tell(asked, bowl(asked, space))
            found.append(firefly.best_value)
        # half of the designs drawn at random meet the least of the bowl, 1.0, in half of all runs; fireflies in 79 %
        assert np.mean(np.array(found) == 1.0) > 0.65


def test_beats_random_search_on_a_smooth_function():
    firefly, random = (
        np.median([best_after(kind(PROBLEM, seed=seed), 1500) for seed in range(5)]) for kind in (Firefly, RandomSearch)
    )
    assert firefly < 0.4 * random


def test_best_is_never_infeasible():
    firefly = Firefly(PROBLEM, seed=0)
    codes = firefly.ask_codes(10)
    firefly.tell_values(codes, np.full(10, np.inf))
    assert firefly.best_codes is None
    firefly.tell_values(codes[:1], np.array([np.nan]))
    assert firefly.best_value == np.inf


@pytest.mark.parametrize("options", [{"population": 1}, {"shrink": 1.0}, {"exhausted": 0.0}, {"noise": 0.0}])
def test_refuses_senseless_options(options):
    with pytest.raises(ArmillaryError, match=next(iter(options))):
        Firefly(PROBLEM, **options)


def test_refuses_to_ask_for_nothing():
    with pytest.raises(ArmillaryError, match="at least 1"):
        Firefly(PROBLEM).ask(0)
