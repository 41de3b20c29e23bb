import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.firefly import Firefly
from armillary.optimizers.random_search import RandomSearch
from armillary.testing.optimizers import OptimizerContract, bowl
from armillary.types import ArmillaryError, Objective

OBJECTIVE = Objective("runtime_s", {"area_mm2": 29.0})


def smooth(codes):
    """A bowl away from the corners, three designs of four infeasible."""
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    value = ((unit - 0.3) ** 2).sum(axis=1)
    return np.where(codes[:, :3].sum(axis=1) % 4 == 0, value, np.inf)


def best_after(optimizer, evaluations, batch=23):
    for _ in range(evaluations // batch):
        codes = optimizer.ask_codes(batch)
        optimizer.tell_batch(codes, smooth(codes))
    return optimizer.best_value


class TestFirefly(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: Firefly(space=tiny_space, objective=objective, seed=seed)

    def test_is_drawn_to_the_best(self, make, tiny_space):
        found = []
        for seed in range(20):
            firefly = make(seed=seed)
            for _ in range(6):
                firefly.tell(bowl(firefly.ask(5), tiny_space))
            found.append(firefly.best_value)
        # half of the designs drawn at random meet the least of the bowl, 1.0, in half of all runs
        assert np.mean(np.array(found) == 1.0) > 0.6


def test_beats_random_search_on_a_smooth_function():
    pairs = [
        (best_after(kind(space=SPACE, objective=OBJECTIVE, seed=seed), 1500) for kind in (Firefly, RandomSearch))
        for seed in range(3)
    ]
    assert all(firefly < 0.5 * random for firefly, random in pairs)


def test_best_is_never_infeasible():
    firefly = Firefly(space=SPACE, objective=OBJECTIVE, seed=0)
    codes = firefly.ask_codes(10)
    firefly.tell_batch(codes, np.full(10, np.inf))
    assert firefly.best_codes is None
    firefly.tell_batch(codes[:1], np.array([np.nan]))
    assert firefly.best_value == np.inf


@pytest.mark.parametrize("options", [{"population": 1}, {"shrink": 1.0}, {"exhausted": 0.0}, {"noise": 0.0}])
def test_refuses_senseless_options(options):
    with pytest.raises(ArmillaryError, match=next(iter(options))):
        Firefly(space=SPACE, objective=OBJECTIVE, **options)


def test_refuses_to_ask_for_nothing():
    with pytest.raises(ArmillaryError, match="at least 1"):
        Firefly(space=SPACE, objective=OBJECTIVE).ask(0)
