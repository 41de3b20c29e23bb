from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.tabla import SPACE, TEMPLATE, Accelerator
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("num_pu", 0, "1 to 256"),
        ("num_pu", 300, "1 to 256"),
        ("num_pe", 1, "at least 2, and at most 512 in all of num_pu=4 units"),
        ("num_pe", 129, "at least 2, and at most 512 in all of num_pu=4 units"),
        ("bit_width", 2, "even, 4 to 32"),
        ("bit_width", 7, "even, 4 to 32"),
        ("internal_bit_width", 6, "even, 8 to 32"),
        ("internal_bit_width", 34, "even, 8 to 32"),
        ("internal_bit_width", 12, "at least bit_width=16"),
        ("axi_width", 0, r"1 to num_pu \* num_pe = 32"),
        ("axi_width", 33, r"1 to num_pu \* num_pe = 32"),
        ("data_depth", 1, "a power of two, 2 to 256"),
        ("weight_depth", 48, "a power of two, 4 to 1024"),
        ("intermediate_depth", 2048, "a power of two, 4 to 1024"),
        ("inbox_depth", 2, "a power of two, 4 to 1024"),
        ("instruction_depth", 8, "a power of two, 16 to 4096"),
        ("num_pe", 4.0, "an integer"),
        ("num_pe", True, "an integer"),
    ],
)
def test_illegal_values_are_refused(field, value, allowed):
    with pytest.raises(ArmillaryError, match=rf"{field}={value!r} is not allowed; it must be .*{allowed}"):
        replace(Accelerator(), **{field: value})


def test_what_the_space_says_exists_is_what_can_be_made():
    codes = sample(SPACE, 500, "random", 0)
    made = []
    for design in (SPACE.design(code) for code in codes):
        try:
            Accelerator(**design.as_dict())
        except ArmillaryError:
            made.append(False)
        else:
            made.append(True)
    assert TEMPLATE.exists(codes).tolist() == made
    assert 0 < np.mean(made) < 1


@pytest.mark.parametrize("shape", [(1, 128), (2, 64), (4, 32), (8, 16), (16, 32), (1, 2)])
def test_published_shapes_are_of_the_space(shape):
    names = dict(zip(("num_pu", "num_pe"), shape, strict=True))
    assert Accelerator(**SPACE.design_from({**TEMPLATE.defaults, "axi_width": 1, **names}, "test").as_dict())


def test_numbers_have_half_of_their_bits_after_the_point():
    own = Accelerator(bit_width=8, internal_bit_width=24)
    assert (own.input_fraction, own.fraction) == (4, 12)


def test_groups_hold_all_elements():
    assert [Accelerator(3, 3, axi_width=lanes).groups for lanes in (1, 2, 4, 9)] == [9, 5, 3, 1]
