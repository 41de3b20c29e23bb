import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware import templates
from armillary.hardware.templates.axiline import SPACE, TEMPLATE, Accelerator, accelerator_of
from armillary.types import ArmillaryError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"algorithm": "kmeans"}, r"algorithm='kmeans' is not allowed; it must be one of \['linear_regression'"),
        ({"algorithm": "decision_tree"}, r"mode='training' is not allowed; it must be one of \['inference'\]"),
        ({"dimension": 0}, "dimension=0 is not allowed; it must be 1 to 1024"),
        ({"dimension": 8.0}, "dimension=8.0 is not allowed; it must be an integer"),
        ({"cycles": 55}, "cycles=55 is not allowed; it must be 1 to dimension=54"),
        ({"internal_width": 15}, "internal_width=15 is not allowed; it must be even"),
        ({"input_width": 12, "internal_width": 8}, "internal_width=8 is not .* at least input_width=12"),
        ({"depth": 2}, "depth=2 is not allowed; it must be 1 to 1 for algorithm='svm'"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_named(values, message):
    with pytest.raises(ArmillaryError, match=message):
        Accelerator(**values)


@given(st.integers(0, SPACE.size - 1))
def test_what_exists_is_what_can_be_built(index):
    codes = SPACE.at(np.array([index]))
    try:
        accelerator_of(SPACE.design(codes[0]))
        built = True
    except ArmillaryError:
        built = False
    assert TEMPLATE.exists(codes).tolist() == [built]


@given(st.integers(1, 200), st.integers(1, 200))
def test_lanes_times_cycles_hold_an_input(dimension, cycles):
    if cycles <= dimension:
        accelerator = Accelerator(dimension=dimension, cycles=cycles)
        assert (accelerator.lanes - 1) * cycles < dimension <= accelerator.lanes * cycles


@given(st.integers(0, SPACE.size - 1), st.integers(1, 8))
def test_a_design_has_a_depth_only_if_it_is_a_tree(index, depth):
    codes = SPACE.at(np.array([index]))
    if TEMPLATE.exists(codes)[0]:
        values = SPACE.design(codes[0]).as_dict()
        found = accelerator_of(SPACE.design_from(values | {"depth": depth}, "test"))
        assert found.depth == (depth if found.algorithm == "decision_tree" else 1)
        assert found.cycles == values["cycles"]


def test_the_baseline_is_what_a_file_may_leave_out():
    assert accelerator_of(templates.load("axiline").baseline) == Accelerator()
