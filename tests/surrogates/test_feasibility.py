import numpy as np
import pytest

from armillary.surrogates.feasibility import fit_feasibility


def test_recovers_separated_groups():
    rng = np.random.default_rng(0)
    fitted = fit_feasibility(rng.normal(0, 1, 400), rng.normal(6, 1, 400), share=0.5)
    assert fitted(np.array([0.0]))[0] > 0.95
    assert fitted(np.array([6.0]))[0] < 0.05


def test_says_the_share_when_the_value_says_nothing():
    x = np.random.default_rng(1).normal(0, 1, 500)
    assert fit_feasibility(x, x, share=0.2)(np.array([-3.0, 3.0])) == pytest.approx([0.2, 0.2], abs=0.03)


def test_never_rises_with_the_value():
    rng = np.random.default_rng(2)
    fitted = fit_feasibility(rng.normal(5, 1, 100), rng.normal(0, 1, 100), share=0.3)
    assert (np.diff(fitted(np.linspace(-5, 10, 50))) <= 0).all()


def test_without_one_kind_it_is_the_share():
    assert fit_feasibility(np.array([1.0]), np.array([]), share=0.7)(np.array([0.0])) == pytest.approx([0.7])
