import itertools
import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.rtl.gemmini import commands
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import (
    Executes,
    Field,
    FieldError,
    Moves,
    NestLoop,
    Scaled,
    Window,
    executes,
    jumps,
    merged,
    table_load,
    tables_of,
)
from armillary.types import ArmillaryError


def leaves(value):
    """Fields in tuples in tuples."""
    if isinstance(value, tuple):
        return [found for inner in value for found in leaves(inner)]
    return [value] if isinstance(value, Field) else []


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


FIELDS = [found for value in vars(commands).values() for found in leaves(value)]


def test_all_fields_are_tested():
    assert len(FIELDS) == 43


@pytest.mark.parametrize("held", FIELDS, ids=lambda f: f.name)
def test_a_field_holds_its_least_and_its_most_and_refuses_the_next(held):
    for value in (held.least, held.most):
        word = int(held.packed(np.array([value]))[0])
        assert word & ~(((1 << held.bits) - 1) << held.first) == 0
        assert (word >> held.first) % (1 << held.bits) == value % (1 << held.bits)
        assert held.first + held.bits <= 64
    for value in (held.least - 1, held.most + 1):
        message = rf"^{held.name}={value} is not allowed; .* {held.bits} bits .* allow {held.least} to {held.most}$"
        with pytest.raises(FieldError, match=message) as fault:
            held.packed(np.array([held.least, value, held.most]))
        assert (fault.value.name, fault.value.value, fault.value.most) == (held.name, value, held.most)


@pytest.mark.parametrize("value", [1.0, "1", None, 1 << 80])
def test_a_field_holds_integers_alone(value):
    with pytest.raises(ArmillaryError, match=rf"^run={re.escape(repr(value))} is not allowed; .* allow 0 to 262143"):
        Field("run", 18).packed(value)


def one(loops=(), **changes):
    """Return a load command with a value changed."""
    values = {"run": 1, "rows": np.array([0]), "addresses": np.array([0]), "ranges": []} | changes
    return Moves(loops, **values).loads()


AT = np.array([0]), np.array([0]), []
LOOP = NestLoop(2, {"row": 1, "address": 1})
AXES = ("weight", "input", "output", "y", "x")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("loops", lambda: one([LOOP] * 5)),
        ("iterations after the first", lambda: one([NestLoop((1 << 18) + 1, LOOP.deltas)])),
        ("row jump", lambda: one([NestLoop(2, {"row": 1 << 31, "address": 1})])),
        ("DRAM jump", lambda: one([NestLoop(2, {"row": 1, "address": 1 << 32})])),
        ("rows of a run", lambda: one(run=0)),
        ("row", lambda: one(rows=np.array([0, 1 << 18]), addresses=np.array([0, 0]))),
        ("DRAM address", lambda: one(addresses=np.array([1 << 32]))),
        ("end of a range of rows", lambda: one(ranges=[(np.array([0]), np.array([1 << 18]))])),
        ("iterations after the first", lambda: one([NestLoop(1, LOOP.deltas)])),
        ("rows from one of a run to the next", lambda: one(stride=1 << 17)),
        ("loops of a window", lambda: Moves([], 1, *AT).stores(Conversion(), Window(1 << 4))),
        ("scale of a load", lambda: Moves([], 1, *AT).loads(scaled=Scaled(256))),
        ("shift of a load", lambda: Moves([], 1, *AT).loads(scaled=Scaled(1, 16))),
        *((f"{axis} jump", lambda axis=axis: execute([NestLoop(2, dict.fromkeys(AXES, 0) | {axis: 1 << 17})]))
          for axis in AXES),
        *((name, lambda key=key, value=value: execute(**{key: value}))
          for name, key, value in (("y", "y", 1 << 17), ("x", "x", -(1 << 17) - 1), ("height", "height", 1 << 17),
                                   ("width", "width", 1 << 17), ("input row", "inputs", -1),
                                   ("weight row", "weights", 1 << 18), ("output row", "outputs", 1 << 18))),
        ("resting loops", lambda: execute(masks=(1 << 12, 0, 0))),
        ("channels of a step", lambda: execute(channels=1 << 12)),
        ("loops", lambda: execute([NestLoop(2, dict.fromkeys(AXES, 0))] * 13)),
    ],
)  # fmt: skip
def test_every_value_of_a_command_goes_through_its_field(name, make):
    with pytest.raises(FieldError) as fault:
        make()
    assert fault.value.name == name


def test_commands_without_loops_have_a_header_alone():
    assert execute().shape == one().shape == (1, 8)


def test_flags_say_what_lies_transposed_and_what_the_array_holds():
    moves = Moves([], 2, *AT, stride=3)
    assert int(moves.loads(transposes=True)[0, 0] ^ moves.loads()[0, 0]) == 1 << 12
    found = execute(), execute(holds_sums=True)
    assert [int(words[0, 0]) >> 8 for words in found] == [0, 2]


def execute(loops=(), masks=(0, 0, 0), channels=1, holds_sums=False, **changes):
    names = [f.name for f in fields(Executes)]
    return executes(
        loops, masks, channels, Executes(**{n: np.array([changes.get(n, 0)]) for n in names}), [], holds_sums=holds_sums
    )


def test_hazards_count_the_tables_as_the_row_behind_the_scratchpad():
    words = table_load(4096, 512, 128).tolist()
    assert words[0] == 1 | 1 << 9  # a load of bytes, not into the accumulator
    assert words[1:4] == [512 | 513 << 18, 0, 128 << 18]
    assert (words[4] & (1 << 18) - 1, words[4] >> 18 & (1 << 18) - 1, words[5]) == (0, 256, 4096)
    nothing = np.zeros(1, np.int64), np.zeros(1, np.int64)
    row = tables_of(512, nothing[0])
    moves = Moves((), 4, nothing[0], nothing[0], [row, nothing, nothing])
    plain, looking = (moves.stores(Conversion(), looks_up=looks)[0] for looks in (False, True))
    assert looking[1] == words[1]
    assert (plain ^ looking).tolist() == [1 << 11, *[0] * 7]
