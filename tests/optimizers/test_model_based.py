import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.bayesian import Bayesian
from armillary.optimizers.genetic import Genetic
from armillary.optimizers.mbo import Mbo
from armillary.optimizers.p3bo import P3bo
from armillary.optimizers.prime_online import PrimeOnline
from armillary.optimizers.random_search import RandomSearch
from armillary.surrogates.deep_ensemble import Setting
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError, Objective

SMALL = Setting(members=2, hidden=32, steps=30, more_steps=10, batch=32)
OBJECTIVE = Objective("runtime_s", {"area_mm2": 29.0})


def walled(codes):
    """A bowl whose middle touches a wall: a third of all designs lie behind it and are illegal."""
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    value = 0.01 + ((unit - 0.4) ** 2).sum(axis=1)
    return np.where(unit[:, 0] + unit[:, 1] + unit[:, 2] < 1.2, value, np.inf)


def best_after(optimizer, evaluations):
    for _ in range(evaluations // 50):
        codes = optimizer.ask_codes(50)
        optimizer.tell_batch(codes, walled(codes))
    return optimizer.best_value


class TestBayesian(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: Bayesian(space=tiny_space, objective=objective, seed=seed, initial=10)


class TestMbo(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: Mbo(space=tiny_space, objective=objective, seed=seed, initial=10, regressors=("ridge",))


class TestP3bo(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: P3bo(space=tiny_space, objective=objective, seed=seed)


@pytest.mark.parametrize("kind", [Bayesian, Genetic, Mbo, P3bo, PrimeOnline])
def test_beats_random_search_on_a_smooth_function(kind):
    found = best_after(kind(space=SPACE, objective=OBJECTIVE, seed=1), 600)
    chance = best_after(RandomSearch(space=SPACE, objective=OBJECTIVE, seed=1), 600)
    assert found < 0.8 * chance


def test_p3bo_gives_more_to_who_improves():
    p3bo = P3bo(space=SPACE, objective=OBJECTIVE, seed=0)
    best_after(p3bo, 600)
    assert p3bo.credit.max() > 0
    shares = np.mean([p3bo._shares(100) for _ in range(20)], axis=0)
    assert shares[p3bo.credit.argmax()] == shares.max()


def test_an_ensemble_keeps_who_predicts_well():
    mbo = Mbo(space=SPACE, objective=OBJECTIVE, seed=0, regressors=("ridge", "neighbours", "trees"))
    codes = mbo.ask_codes(400)
    mbo.tell_batch(codes, np.exp(codes[:, 0] / 9.0 + codes[:, 5] / 10.0))
    mbo.ask_codes(5)
    assert type(mbo._ensemble[0]).__name__ == "Ridge"


def test_illegal_regions_are_learned_and_left():
    mbo = Mbo(space=SPACE, objective=OBJECTIVE, seed=0)
    codes = mbo.ask_codes(600)
    mbo.tell_batch(codes, walled(codes))
    asked = mbo.ask_codes(100)
    assert np.isfinite(walled(codes)).mean() < 0.5
    assert np.isfinite(walled(asked)).mean() > 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mbo(space=SPACE, objective=Objective(), regressors=("oracle",)), r"regressors=\('oracle',\) is not"),
        (lambda: Mbo(space=SPACE, objective=Objective(), initial=0), "initial=0 must be at least 1"),
        (lambda: Bayesian(space=SPACE, objective=Objective(), rows=1), "rows=1 must be at least 2"),
        (lambda: P3bo(space=SPACE, objective=Objective(), decay=1.0), "decay=1.0 must be in"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ArmillaryError, match=message):
        make()


class TestPrimeOnline(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: PrimeOnline(space=tiny_space, objective=objective, seed=seed, initial=10, setting=SMALL)


def test_prime_online_learns_on_from_a_log():
    prime = PrimeOnline(space=SPACE, objective=OBJECTIVE, seed=0)
    known = RandomSearch(space=SPACE, objective=OBJECTIVE, seed=3).ask_codes(300)
    prime.tell_batch(known, walled(known))
    asked = prime.ask_codes(60)
    assert np.isfinite(walled(asked)).mean() > 0.8
    assert np.median(walled(asked)) < np.quantile(walled(known)[np.isfinite(walled(known))], 0.05)


def test_prime_online_needs_members_that_can_disagree():
    with pytest.raises(ArmillaryError, match="members=1 must be at least 2"):
        PrimeOnline(space=SPACE, objective=Objective(), setting=Setting(members=1))
