import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.problems.criteria import Bound, Objective
from armillary.types import ArmillaryError

POSITIVE = st.floats(1e-30, 1e30)


def test_a_bound_that_is_met_exactly_is_kept():
    values = np.array([28.9, 29.0, np.nextafter(29.0, 30.0), np.inf, np.nan])
    assert Bound("area_mm2", at_most=29.0).met_by(values).tolist() == [True, True, False, False, False]
    assert Bound("area_mm2", at_least=29.0).met_by(values).tolist() == [False, True, True, True, False]
    assert Bound("area_mm2", at_most=29.0, at_least=29.0).met_by(values).tolist() == [False, True, False, False, False]


def test_values_may_have_any_shape():
    bound = Bound("area_mm2", at_most=29.0, at_least=1.0)
    assert bound.met_by([[0.5, 2.0], [29.0, 30.0]]).tolist() == [[False, True], [True, False]]
    assert bool(bound.met_by(2))
    assert not bound.met_by(np.empty(0)).any()


@given(least=POSITIVE, most=POSITIVE, values=st.lists(st.floats(allow_nan=False), max_size=5))
def test_both_sides_of_a_bound_are_two_bounds(least, most, values):
    least, most = sorted((least, most))
    each = Bound("energy_pj", at_most=most).met_by(values) & Bound("energy_pj", at_least=least).met_by(values)
    assert Bound("energy_pj", at_most=most, at_least=least).met_by(values).tolist() == each.tolist()


def test_a_bound_reads_as_an_inequality():
    assert str(Bound("area_mm2", at_most=29.0)) == "area_mm2 <= 29"
    assert str(Bound("area_mm2", at_least=1.5)) == "1.5 <= area_mm2"
    assert str(Bound("area_mm2", at_most=29.0, at_least=1.5)) == "1.5 <= area_mm2 <= 29"


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({}, "bound area_mm2 is not allowed; it needs a finite number"),
        ({"at_most": math.nan}, "bound area_mm2 <= nan is not allowed; it needs a finite number"),
        ({"at_most": math.inf}, "bound area_mm2 <= inf is not allowed; it needs a finite number"),
        ({"at_least": -math.inf, "at_most": 1.0}, "bound -inf <= area_mm2 <= 1 is not allowed; it needs a finite"),
        ({"at_least": 3.0, "at_most": 2.0}, "bound 3 <= area_mm2 <= 2 is not allowed; no value lies between its sides"),
    ],
)
def test_a_bound_that_bounds_nothing_is_refused(sides, message):
    with pytest.raises(ArmillaryError, match=f"^{message}"):
        Bound("area_mm2", **sides)


def test_a_bound_from_below_may_be_nothing_or_less():
    assert Bound("utilization", at_least=0.0).met_by([-1.0, 0.0]).tolist() == [False, True]


def test_what_is_to_be_minimised_stays_as_it_is():
    values = np.array([3.0, -1.0, 0.0])
    assert Objective("runtime_s").direction == "minimize"
    assert Objective("runtime_s").to_minimise(values).tolist() == [3.0, -1.0, 0.0]


@given(st.lists(st.floats(1e-100, 1e100), min_size=2, max_size=20))
def test_of_what_is_to_be_maximised_the_most_becomes_the_least(values):
    values = np.array(values)
    least = Objective("utilization", "maximize").to_minimise(values)
    assert (least > 0).all()
    assert values[least.argmin()] == pytest.approx(values.max())
    np.testing.assert_allclose(np.log(least), -np.log(values), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wrong", [0.0, -2.0])
def test_a_value_that_has_no_reciprocal_of_its_order_cannot_be_maximised(wrong):
    with pytest.raises(ArmillaryError, match=f"utilization={wrong:g} cannot be maximised; .* positive numbers"):
        Objective("utilization", "maximize").to_minimise(np.array([1.0, wrong]))


def test_an_unknown_direction_is_refused():
    with pytest.raises(ArmillaryError, match=r"direction='up' of runtime_s .* one of \['minimize', 'maximize'\]"):
        Objective("runtime_s", "up")


def test_a_limit_lowers_the_upper_side_alone():
    assert Bound("slack", at_most=5.0, at_least=-1.0).within(3.0) == Bound("slack", at_most=3.0, at_least=-1.0)
    assert Bound("slack", at_most=2.0).within(3.0) == Bound("slack", at_most=2.0)
    assert Bound("slack", at_least=1.0).within(math.inf) == Bound("slack", at_least=1.0)
