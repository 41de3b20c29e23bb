import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.optimizers.acquisitions import ACQUISITIONS, acquisition_of
from armillary.types import ArmillaryError

RNG = np.random.default_rng(0)
LOGS = st.floats(-3, 3)


def worth(name, mean, spread, best=0.0, rng=RNG):
    return ACQUISITIONS[name].worth(np.atleast_1d(mean), np.atleast_1d(spread), best, rng)


@given(mean=LOGS, spread=st.floats(0.05, 1.5))
def test_improvements_are_those_of_samples(mean, spread):
    samples = mean + spread * np.random.default_rng(1).standard_normal(200_000)
    saved = np.maximum(1 - np.exp(samples), 0)
    assert -worth("ei", mean, spread)[0] == pytest.approx(saved.mean(), abs=4 * saved.std() / 447 + 1e-4)
    fall = np.maximum(-samples, 0)
    assert np.exp(-worth("log-ei", mean, spread)[0]) == pytest.approx(fall.mean(), abs=4 * fall.std() / 447 + 1e-4)


@given(spread=st.floats(0.01, 1.0), one=LOGS, other=LOGS)
def test_of_equal_spread_the_lower_mean_is_better(spread, one, other):
    low, high = sorted((one, other))
    for name in ("ucb", "ei", "log-ei", "mean"):
        first, second = worth(name, [low, high], np.full(2, spread))
        assert first <= second


@given(mean=st.floats(0.1, 3), spread=st.floats(0.05, 0.5))
def test_doubt_makes_what_is_expected_to_be_worse_more_worth(mean, spread):
    for name in ("ucb", "ei", "log-ei"):
        sure, unsure = worth(name, np.full(2, mean), [spread, 2 * spread])
        assert unsure <= sure
    assert len(set(worth("mean", np.full(2, mean), [spread, 2 * spread]))) == 1


def test_the_logarithm_tells_hopeless_ones_apart():
    hopeless = np.array([40.0, 50.0])
    assert (worth("ei", hopeless, np.full(2, 0.5)) == 0).all()
    first, second = worth("log-ei", hopeless, np.full(2, 0.5))
    assert first < second < np.inf


@pytest.mark.parametrize("name", ["ei", "log-ei"])
def test_before_anything_is_measured_the_mean_counts(name):
    assert worth(name, [2.0, 1.0], np.ones(2), np.inf).tolist() == [2.0, 1.0]


def test_thompson_draws_from_the_beliefs():
    drawn = worth("thompson", np.full(20_000, 2.0), np.full(20_000, 0.5), rng=np.random.default_rng(3))
    assert drawn.mean() == pytest.approx(2.0, abs=0.02)
    assert drawn.std() == pytest.approx(0.5, abs=0.02)


def test_unknown_ones_are_refused():
    assert acquisition_of("ucb").level == 0.5
    with pytest.raises(ArmillaryError, match="'pi' is unknown; choose one of"):
        acquisition_of("pi")
