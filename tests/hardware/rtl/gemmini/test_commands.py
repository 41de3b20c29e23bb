import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.rtl.gemmini.commands import NestLoop, field, jumps, merged


def walked(loops):
    """Addresses in the order in which the hardware's nest visits them, by its own rule."""
    steps, left = jumps(loops, "a"), [loop.count - 1 for loop in loops]
    address, found = 0, [0]
    while any(left):
        number = next(i for i, n in enumerate(left) if n)
        for inner in range(number):
            left[inner] = loops[inner].count - 1
        left[number] -= 1
        address += steps[number]
        found.append(address)
    return found


def summed(loops):
    ranges = [range(loop.count) for loop in reversed(loops)]
    return [
        sum(i * loop.deltas["a"] for i, loop in zip(index[::-1], loops, strict=True))
        for index in itertools.product(*ranges)
    ]


nests = st.lists(
    st.builds(lambda count, delta: NestLoop(count, {"a": delta}), st.integers(1, 4), st.integers(-50, 50)), max_size=4
)


@given(nests)
def test_jumps_visit_what_the_loops_say(loops):
    assert walked(loops) == summed(loops)


@given(nests)
def test_merged_loops_visit_the_same_in_the_same_order(loops):
    assert walked(merged(loops)) == summed(loops)


def test_neighbours_that_lie_together_become_one_loop():
    loops = [NestLoop(4, {"a": 1, "b": 2}), NestLoop(1, {"a": 9, "b": 9}), NestLoop(3, {"a": 4, "b": 8})]
    assert merged(loops) == [NestLoop(12, {"a": 1, "b": 2})]
    apart = [NestLoop(4, {"a": 1, "b": 2}), NestLoop(3, {"a": 4, "b": 9})]
    assert merged(apart) == apart


@pytest.mark.parametrize(("value", "first", "bits"), [(5, 0, 18), (-1, 18, 18), (-131072, 36, 18), (7, 32, 16)])
def test_fields_hold_negative_values_too(value, first, bits):
    word = int(field(np.array([value]), first, bits)[0])
    assert word & ~(((1 << bits) - 1) << first) == 0
    raw = word >> first
    assert (raw - (1 << bits) if raw >> (bits - 1) else raw) == value
