import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from armillary.problems.pareto import front, hypervolume, hypervolume_over, logarithms, preferred, reference_point
from armillary.types import ArmillaryError

SIDE = 5
"""Small whole numbers make equal rows and equal columns, and volumes that can be counted."""


def tables():
    shape = st.tuples(st.integers(0, 12), st.integers(1, 4))
    return arrays.arrays(np.float64, shape, elements=st.integers(0, SIDE).map(float))


def dominates(one, other):
    return bool((one <= other).all() and (one < other).any())


def counted(values, reference):
    """The unit cubes below the reference that a row dominates."""
    cubes = itertools.product(*(range(int(side)) for side in reference))
    return float(sum(any((row <= cube).all() for row in values) for cube in map(np.array, cubes)))


@given(tables())
def test_the_front_is_what_nothing_dominates(values):
    assert front(values).tolist() == [not any(dominates(other, row) for other in values) for row in values]


@given(tables(), st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_the_order(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    assert front(values[order]).tolist() == front(values)[order].tolist()


def test_infeasible_rows_are_on_no_front():
    values = np.array([[np.inf, np.inf], [3.0, 1.0], [np.inf, 0.0], [3.0, 1.0]])
    assert front(values).tolist() == [False, True, False, True]
    assert not front(np.full((3, 2), np.inf)).any()


@settings(deadline=None)  # the first call loads torch
@given(tables())
def test_the_hypervolume_counts_what_is_dominated(values):
    reference = np.full(values.shape[1], float(SIDE))
    assert hypervolume(values, reference) == pytest.approx(counted(values, reference))


@settings(deadline=None)  # the first call loads torch
@given(tables())
def test_the_hypervolume_after_each_row_never_falls_and_is_that_of_the_rows_so_far(values):
    reference = np.full(values.shape[1], float(SIDE))
    over = hypervolume_over(values, reference)
    assert (np.diff(over) >= 0).all()
    assert over == pytest.approx([hypervolume(values[: n + 1], reference) for n in range(len(values))])


def test_infeasible_rows_and_those_beyond_the_reference_add_no_volume():
    reference = np.array([2.0, 2.0])
    values = np.array([[np.inf, np.inf], [1.0, 1.0], [0.0, 2.0], [3.0, 0.0]])
    assert hypervolume(values, reference) == 1.0
    assert hypervolume_over(values, reference).tolist() == [0.0, 1.0, 1.0, 1.0]


def test_a_reference_of_other_objectives_is_refused():
    with pytest.raises(ArmillaryError, match=r"shape \[2, 2\] up to a reference of shape \[3\]"):
        hypervolume(np.ones((2, 2)), np.ones(3))
    with pytest.raises(ArmillaryError, match="the same 1 to 4 objectives"):
        hypervolume_over(np.ones((2, 5)), np.ones(5))


def test_the_reference_point_is_the_worst_of_each_objective_among_feasible_rows():
    values = np.array([[1.0, 9.0], [4.0, 2.0], [np.inf, np.inf]])
    assert reference_point(values).tolist() == [4.0, 9.0]
    with pytest.raises(ArmillaryError, match="no row is feasible"):
        reference_point(values[2:])


def test_only_positive_columns_become_logarithms():
    values = np.array([[1.0, -1.0, np.e], [np.e, 2.0, np.inf]])
    np.testing.assert_allclose(logarithms(values), [[0.0, -1.0, 1.0], [1.0, 2.0, np.inf]])


FRONT = np.array([[1.0, 100.0], [2.0, 60.0], [10.0, 10.0], [60.0, 2.0], [100.0, 1.0], [50.0, 50.0], [np.inf, np.inf]])


def test_the_preferred_row_is_on_the_front_and_follows_the_weights():
    assert preferred(FRONT, [1, 1]) == 2
    assert preferred(FRONT, [1, 0]) == 0
    assert preferred(FRONT, [0, 1]) == 4
    assert preferred(FRONT, [1, 2]) == 3


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_the_preferred_row_does_not_depend_on_units(first, second):
    assert preferred(FRONT * np.array([first, second]), [1, 2]) == 3


def test_values_that_may_be_negative_are_preferred_on_their_own_scale():
    assert preferred(np.array([[-1.0, 4.0], [0.0, 0.0], [4.0, -1.0]]), [1, 1]) == 1


def test_one_row_is_preferred_to_none():
    assert preferred(FRONT[2:3], [1, 1]) == 0
    with pytest.raises(ArmillaryError, match="none can be preferred"):
        preferred(FRONT[6:], [1, 1])


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan], [1, 1, 1]])
def test_weights_that_mean_nothing_are_refused(weights):
    with pytest.raises(ArmillaryError, match=r"must be 2 numbers, at least 0, not all 0"):
        preferred(FRONT, weights)
