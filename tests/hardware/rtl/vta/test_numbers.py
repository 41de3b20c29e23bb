import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.rtl.vta.numbers import packed, unpacked, wrapped


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
def test_what_is_packed_can_be_unpacked(bits):
    values = np.random.default_rng(0).integers(-(1 << (bits - 1)), 1 << (bits - 1), size=64)
    raw = packed(values, bits)
    assert len(raw) == 64 * bits // 8
    assert unpacked(raw, bits).tolist() == values.tolist()


def test_the_first_lies_in_the_lowest_bits():
    assert packed(np.array([1, -2]), 4).tolist() == [0xE1]
    assert packed(np.array([1, -2, -1, 0]), 2).tolist() == [0b00111001]
    assert packed(np.array([-2]), 16).tolist() == [0xFE, 0xFF]


@given(st.integers(-(2**40), 2**40), st.sampled_from([4, 8, 16, 32]))
def test_wrapping_keeps_the_lowest_bits(value, bits):
    found = int(wrapped(np.array([value]), bits)[0])
    assert -(1 << (bits - 1)) <= found < 1 << (bits - 1)
    assert (found - value) % (1 << bits) == 0
