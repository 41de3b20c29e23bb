from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.bayesian import Bayesian, believed
from armillary.optimizers.coded import keys
from armillary.optimizers.firefly import Firefly
from armillary.optimizers.genetic import Genetic
from armillary.optimizers.mbo import Mbo
from armillary.optimizers.model_based import log_expected_improvement
from armillary.optimizers.p3bo import P3bo
from armillary.optimizers.portfolio import Portfolio
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.surrogate_search import neighbours
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.deep_ensemble import Setting
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError

SMALL = Setting(members=2, hidden=32, steps=30, more_steps=10, batch=32)
PROBLEM = Problem.minimising(SPACE)


def walled(codes):
    """A bowl whose middle touches a wall: a third of all designs lie behind it and are illegal."""
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    value = 0.01 + ((unit - 0.4) ** 2).sum(axis=1)
    return np.where(unit[:, 0] + unit[:, 1] + unit[:, 2] < 1.2, value, np.inf)


def best_after(optimizer, evaluations, batch=40):
    for _ in range(evaluations // batch):
        codes = optimizer.ask_codes(batch)
        optimizer.tell_values(codes, walled(codes))
    return optimizer.best_value


class TestBayesian(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Bayesian(problem, seed=seed, initial=10)


class TestMbo(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Mbo(problem, seed=seed, initial=10, regressors=("ridge",))


class TestP3bo(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: P3bo(problem, seed=seed)


@pytest.mark.parametrize(
    ("kind", "evaluations"),
    [
        (Bayesian, 160),
        (Genetic, 600),
        (partial(Mbo, initial=80, regressors=("ridge", "neighbours")), 320),
        (P3bo, 320),
        (partial(Portfolio, setting=SMALL), 160),
    ],
    ids=["bayesian", "genetic", "mbo", "p3bo", "portfolio"],
)
def test_beats_random_search_on_a_smooth_function(kind, evaluations):
    found, chance = (
        np.median([best_after(make(PROBLEM, seed=seed), evaluations) for seed in range(3)])
        for make in (kind, RandomSearch)
    )
    assert found < 0.5 * chance  # 0.3 at most, whichever seeds


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
    order = [*expected[:2], *(k for k in range(len(mean)) if k not in expected[:2])]  # two that are being evaluated
    after = believed(mean[order], covariance[np.ix_(order, order)], chance[order], 1.0, 4, taken=2)
    assert [order[k] for k in after] == expected[2:]
    assert expected != np.argsort(-(log_expected_improvement(mean - 1.0) + chance))[:6].tolist()


def test_a_batch_does_not_spend_itself_on_one_place():
    more_unknown = []
    for seed in range(3):
        search = Bayesian(PROBLEM, seed=seed)
        known = RandomSearch(PROBLEM, seed=seed + 50).ask_codes(80)
        search.tell_values(known, walled(known))
        search.ask_codes(1)  # fits
        batch, alone = search._batch(16), search._promising(search._score)[:16]
        assert len(np.unique(batch, axis=0)) == 16
        unknown = [np.linalg.slogdet(search._joint(codes)[1] + 1e-9 * np.eye(16))[1] for codes in (batch, alone)]
        more_unknown.append(unknown[0] - unknown[1])
    assert np.median(more_unknown) > 10.0


def test_p3bo_gives_more_to_who_improves():
    p3bo = P3bo(PROBLEM, seed=0)
    first = p3bo.ask_codes(60)
    p3bo.tell_values(first, np.full(60, 8.0))
    assert (p3bo.credit == 0).all()  # nothing was known that could be improved on
    firefly = next(i for i, member in enumerate(p3bo.members) if isinstance(member, Firefly))
    asked = p3bo.ask_codes(60)
    of_firefly = np.array([p3bo._asked_by[key] == firefly for key in keys(asked)])
    assert 0 < of_firefly.sum() < 60
    p3bo.tell_values(asked, np.where(of_firefly, 2.0, 9.0))
    assert p3bo.credit.tolist() == [np.log(4.0) if i == firefly else 0.0 for i in range(len(p3bo.members))]
    shares = np.mean([p3bo._shares(100) for _ in range(20)], axis=0)
    assert shares[firefly] > 40  # 60 are expected: exp(2) to 1 for each of the five others
    p3bo.tell_values(first, np.full(60, 9.0))
    assert p3bo.credit[firefly] == pytest.approx(0.9 * np.log(4.0))


def checkered(codes):
    """Whether two parameters are odd and small: what trees see and neither planes nor neighbours do."""
    return np.where(codes[:, 0] % 2 == 0, 4.0, 1.0) * np.where(codes[:, 5] < 3, 2.0, 1.0)


def exponential(codes):
    return np.exp(codes[:, 0] / 9.0 + codes[:, 5] / 10.0)


def noisy(codes):
    return np.exp(np.random.default_rng(0).normal(size=len(codes)))


@pytest.mark.parametrize(
    ("truth", "kept"),
    [
        (checkered, [["ExtraTreesRegressor"]]),
        (exponential, [["Ridge", "KNeighborsRegressor", "ExtraTreesRegressor"]]),
        (noisy, [["Ridge"], ["KNeighborsRegressor"], ["ExtraTreesRegressor"]]),  # the best alone, where none is good
    ],
)
def test_an_ensemble_keeps_who_predicts_well(truth, kept):
    mbo = Mbo(PROBLEM, seed=0, regressors=("ridge", "neighbours", "trees"))
    codes = mbo.ask_codes(400)
    mbo.tell_values(codes, truth(codes))
    mbo.ask_codes(5)
    assert [type(model).__name__ for model in mbo._ensemble] in kept


def cliff(codes):
    """A bowl whose middle lies far behind the wall."""
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    value = 0.01 + ((unit - 0.8) ** 2).sum(axis=1)
    return np.where(unit[:, 0] + unit[:, 1] + unit[:, 2] < 1.2, value, np.inf)


def test_illegal_regions_are_learned_and_left():
    """Though designs there would be the best, by those that are legal."""
    legal = []
    for seed in range(3):
        mbo = Mbo(PROBLEM, seed=seed, regressors=("neighbours",))
        codes = mbo.ask_codes(500)
        mbo.tell_values(codes, cliff(codes))
        legal.append(np.isfinite(cliff(mbo.ask_codes(100))).mean())
    assert np.median(legal) > 0.6  # 0.8; without what was learned of illegal designs 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mbo(PROBLEM, regressors=("oracle",)), r"regressors=\('oracle',\) is not"),
        (lambda: Mbo(PROBLEM, initial=0), "initial=0 must be at least 1"),
        (lambda: Bayesian(PROBLEM, rows=1), "rows=1 must be at least 2"),
        (lambda: P3bo(PROBLEM, decay=1.0), "decay=1.0 must be in"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ArmillaryError, match=message):
        make()


class TestPortfolio(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Portfolio(problem, seed=seed, initial=10, setting=SMALL)


def test_portfolio_learns_on_from_a_log():
    found = []
    for seed in range(3):
        prime = Portfolio(PROBLEM, seed=seed, setting=SMALL)
        known = RandomSearch(PROBLEM, seed=seed + 50).ask_codes(250)
        prime.tell_values(known, walled(known))
        told, asked = walled(known), walled(prime.ask_codes(60))
        found.append([np.isfinite(asked).mean(), np.mean(told[np.isfinite(told)] < np.median(asked))])
    legal, better = np.median(found, axis=0)
    assert legal > 0.75  # of 0.3 in the log
    assert better < 0.05


def test_portfolio_asks_what_a_network_ranks_first_however_far_from_all_that_is_known():
    prime = Portfolio(PROBLEM, seed=0, setting=SMALL)
    known = RandomSearch(PROBLEM, seed=3).ask_codes(260)
    prime.tell_values(known, walled(known))
    prime.ask_codes(8)  # trains
    first = prime._best_of(1)
    assert prime._unmet(first).all()
    rank = prime._alone(first, 1)
    assert (np.diff(rank) <= 1e-6).all()
    near = neighbours(SPACE, first[:50])
    better = near[prime._unmet(near) & (prime._alone(near, 1) > rank[-1] + 1e-6)]
    assert set(keys(better)) <= set(keys(first))


def test_portfolio_needs_members_that_can_disagree():
    with pytest.raises(ArmillaryError, match="members=1 must be at least 2"):
        Portfolio(PROBLEM, setting=Setting(members=1))


def test_an_exhausted_space_is_not_searched_again(monkeypatch):
    tiny = Space("tiny", (Parameter("x", (1, 2, 3)), Parameter("y", (1, 2))))
    search = Portfolio(Problem.minimising(tiny), seed=0, initial=10, setting=SMALL)
    every = tiny.at(np.arange(tiny.size))
    search.tell_values(every, every.sum(axis=1) + 1.0)
    monkeypatch.setattr(search, "_propose", None)
    assert len(search.ask_codes(5)) == 5
