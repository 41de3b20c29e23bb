import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from armillary.surrogates.selection import kendall

values = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=25)


def by_the_book(truth, predicted):
    """PRIME Equation 4, pair by pair."""
    n = len(truth)
    signs = [
        1 if (truth[i] - truth[j]) * (predicted[i] - predicted[j]) > 0 else -1
        for i, j in itertools.permutations(range(n), 2)
    ]
    return sum(signs) / (n * (n - 1))


@given(values)
def test_is_equation_4(pairs):
    truth, predicted = np.array(pairs, dtype=float).T
    assert kendall(truth, predicted) == pytest.approx(by_the_book(truth, predicted))


def test_agrees_with_scipy_without_ties():
    rng = np.random.default_rng(0)
    a, b = rng.permutation(50).astype(float), rng.permutation(50).astype(float)
    assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_needs_two_rows():
    assert np.isnan(kendall(np.array([1.0]), np.array([1.0])))
