import numpy as np
import pytest

from armillary.hardware.rtl.vta.commands import Alu, Gemm, Move, encoded, uop_word
from armillary.types import ArmillaryError


def bits(code, first, last):
    return code >> first & ((1 << (last - first + 1)) - 1)


def test_a_load_lies_where_the_hardware_looks():
    code = Move(
        memory="weight", tile=5000, address=0x89ABCDEF, rows=1000, columns=2000, stride=50000, top=1, bottom=2, left=3,
        right=4, takes_next=True, sends_next=True,
    ).code  # fmt: skip
    found = [bits(code, *at) for at in ((0, 2), (3, 6), (7, 9), (10, 22), (32, 63), (64, 75), (76, 87), (88, 103))]
    assert found == [0, 0b1010, 1, 5000, 0x89ABCDEF, 1000, 2000, 50000]
    assert bits(code, 104, 119) == 0x4321
    assert code < 1 << 120


def test_steps_lie_where_the_hardware_looks():
    factors = {"target": (1001, 1002), "source": (1003, 1004)}
    loops = {"uop": 8000, "uops": 9000, "outer": 3000, "inner": 4000}
    gemm = Gemm(**loops, **factors, weight=(501, 502), clears=True, takes_previous=True, sends_previous=True).code
    alu = Alu(**loops, **factors, operation="shift", constant=-2, writes_output=True, takes_next=True).code
    for code in (gemm, alu):
        assert [bits(code, *at) for at in ((9, 21), (22, 35), (36, 47), (48, 59))] == list(loops.values())
        assert [bits(code, *at) for at in ((60, 70), (71, 81), (82, 92), (93, 103))] == [1001, 1002, 1003, 1004]
    assert [bits(gemm, *at) for at in ((0, 2), (3, 8), (104, 113), (114, 123))] == [2, 0b010101, 501, 502]
    assert [bits(alu, *at) for at in ((0, 2), (3, 8), (104, 119), (120, 120), (121, 123))] == [
        3,
        0b100010,
        0xFFFE,
        1,
        3,
    ]
    assert bits(Alu(uop=0, operation="multiply").code, 104, 123) == 4 << 17


def test_a_program_ends_and_what_is_fetched_behind_it_ends_too():
    words = encoded([Gemm(uop=1)])
    assert words.dtype == np.uint64
    assert int(words[0]) | int(words[1]) << 64 == Gemm(uop=1).code
    assert words[2::2].tolist() == [4] * (len(words) // 2 - 1)
    assert len(words) * 8 >= 3 * 256


def test_a_micro_operation_has_three_indices():
    assert uop_word(2047, 0, 0) == 0x7FF
    assert uop_word(0, 2047, 1023) == 0xFFFFF800


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Move(memory="input", tile=0, address=0, columns=0), "columns=0 is not allowed; it must be 1 to 4095"),
        (lambda: Move(memory="input", tile=8192, address=0, columns=1), "tile=8192 .* it must be 0 to 8191"),
        (lambda: Move(memory="input", tile=0, address=0, columns=1, left=16), "left=16 .* it must be 0 to 15"),
        (lambda: Move(memory="accumulator", tile=0, address=0, columns=1, top=1), "top=1 .* it must be 0 to 0"),
        (lambda: Move(memory="input", tile=0, address=0, columns=1, takes_previous=True),
         "takes_previous=True is not allowed; load has no such module beside it"),
        (lambda: Move(memory="output", tile=0, address=0, columns=1, sends_next=True), "store has no such module"),
        (lambda: Gemm(uop=0, outer=4096), "outer=4096 is not allowed; it must be 1 to 4095"),
        (lambda: Gemm(uop=0, weight=(0, 1024)), "weight=1024 is not allowed; it must be 0 to 1023"),
        (lambda: Alu(uop=0, operation="divide"), "operation='divide' is not allowed; choose one of"),
        (lambda: Alu(uop=0, operation="add", constant=32768), "constant=32768 .* 16 bits with a sign"),
    ],
)  # fmt: skip
def test_what_the_fields_do_not_hold_is_refused(make, message):
    with pytest.raises(ArmillaryError, match=message):
        make()
