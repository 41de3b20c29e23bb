import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.bayesian import Bayesian, believed
from armillary.optimizers.coded import keys
from armillary.optimizers.genetic import Genetic
from armillary.optimizers.mbo import Mbo
from armillary.optimizers.model_based import log_expected_improvement
from armillary.optimizers.p3bo import P3bo
from armillary.optimizers.prime_online import PrimeOnline
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.surrogate_search import neighbours
from armillary.spaces.space import Parameter, Space
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
    found = best_after(kind(space=SPACE, objective=OBJECTIVE, seed=1), 300)
    chance = best_after(RandomSearch(space=SPACE, objective=OBJECTIVE, seed=1), 300)
    assert found < 0.8 * chance


@given(ahead=st.floats(-3e4, 30.0))
def test_the_logarithm_of_the_expected_improvement_is_exact_where_it_underflows(ahead):
    def scaled(t):  # the improvement over the density at `ahead`
        return t * np.exp(t * ahead - t * t / 2)

    root = np.sqrt(ahead * ahead + 4)
    peak = 2 / (root - ahead) if ahead < 0 else (root + ahead) / 2
    parts = [quad(lambda t: scaled(t) / scaled(peak), a * peak, b * peak)[0] for a, b in ((0, 2), (2, 10), (10, 60))]
    exact = norm.logpdf(ahead) + np.log(peak) + peak * ahead - peak * peak / 2 + np.log(sum(parts))
    assert log_expected_improvement(np.array([ahead]))[0] == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_a_batch_is_chosen_as_if_the_process_had_been_told_what_it_expects():
    rng = np.random.default_rng(3)
    mean, factor, chance = rng.normal(size=40), rng.normal(size=(40, 60)), -rng.exponential(size=40)
    covariance = factor @ factor.T / 60
    expected = []
    for _ in range(6):
        told = covariance[:, expected]
        left = covariance - told @ np.linalg.solve(covariance[np.ix_(expected, expected)], told.T)
        deviation = np.sqrt(np.maximum(left.diagonal(), 1e-6))
        best = max([1.0, *mean[expected]])
        score = log_expected_improvement((mean - best) / deviation) + np.log(deviation) + chance
        score[expected] = -np.inf
        expected.append(int(score.argmax()))
    assert believed(mean, covariance, chance, 1.0, 6) == expected
    assert expected != np.argsort(-(log_expected_improvement(mean - 1.0) + chance))[:6].tolist()


def test_a_batch_does_not_spend_itself_on_one_place():
    search = Bayesian(space=SPACE, objective=OBJECTIVE, seed=0, initial=50)
    best_after(search, 100)
    batch, alone = search._batch(16), search._promising(search._score)[:16]
    assert len(np.unique(batch, axis=0)) == 16
    unknown = [np.linalg.slogdet(search._joint(codes)[1] + 1e-9 * np.eye(16))[1] for codes in (batch, alone)]
    assert unknown[0] > unknown[1] + 1.0


def test_p3bo_gives_more_to_who_improves():
    p3bo = P3bo(space=SPACE, objective=OBJECTIVE, seed=0)
    best_after(p3bo, 300)
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


def test_prime_online_asks_what_a_network_ranks_first_however_far_from_all_that_is_known():
    prime = PrimeOnline(space=SPACE, objective=OBJECTIVE, seed=0, setting=SMALL)
    known = RandomSearch(space=SPACE, objective=OBJECTIVE, seed=3).ask_codes(260)
    prime.tell_batch(known, walled(known))
    prime.ask_codes(8)  # trains
    first = prime._best_of(1)
    assert prime._unmet(first).all()
    rank = prime._alone(first, 1)
    assert (np.diff(rank) <= 1e-6).all()
    near = neighbours(SPACE, first[:50])
    better = near[prime._unmet(near) & (prime._alone(near, 1) > rank[-1] + 1e-6)]
    assert set(keys(better)) <= set(keys(first))


def test_prime_online_needs_members_that_can_disagree():
    with pytest.raises(ArmillaryError, match="members=1 must be at least 2"):
        PrimeOnline(space=SPACE, objective=Objective(), setting=Setting(members=1))


def test_an_exhausted_space_is_not_searched_again(monkeypatch):
    tiny = Space("tiny", (Parameter("x", (1, 2, 3)), Parameter("y", (1, 2))))
    search = PrimeOnline(space=tiny, objective=OBJECTIVE, seed=0, initial=10, setting=SMALL)
    every = tiny.at(np.arange(tiny.size))
    search.tell_batch(every, every.sum(axis=1) + 1.0)
    monkeypatch.setattr(search, "_propose", None)
    assert len(search.ask_codes(5)) == 5
