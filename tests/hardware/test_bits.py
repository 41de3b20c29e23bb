import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware.bits import PRESETS, ROLES, Bits
from armillary.types import ArmillaryError

WIDTHS = st.none() | st.integers(1, 64)
BITS = st.builds(Bits, WIDTHS, WIDTHS, WIDTHS, WIDTHS, st.sampled_from([None, "int", "float"]))


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("W=4,I=8,P=32,O=8", Bits(4, 8, 32, 8)),
        (" P = 24 ", Bits(P=24)),
        ("kind=float,W=8", Bits(W=8, kind="float")),
        ("int4", Bits(4, 4, 32, 4, "int")),
        ("int8", Bits(8, 8, 32, 8, "int")),
        ("fp8", Bits(8, 8, 32, 8, "float")),
        ("fp16", Bits(16, 16, 32, 16, "float")),
    ],
)
def test_a_text_is_read(text, bits):
    assert Bits.parse(text) == bits


@given(BITS.filter(lambda bits: bits != Bits()))
def test_writing_and_reading_are_inverse(bits):
    assert Bits.parse(str(bits)) == bits


@given(BITS, BITS)
def test_the_first_to_set_a_field_decides(first, second):
    both = first.over(second)
    for name in (*ROLES, "kind"):
        mine = getattr(first, name)
        assert getattr(both, name) == (getattr(second, name) if mine is None else mine)
    assert first.over(None) == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("W=0", r"W=0 is not allowed; it must be an integer of at least 1"),
        ("W=4.5", r"W='4\.5' is not allowed; it must be an integer"),
        ("P=", r"P='' is not allowed"),
        (
            "X=4",
            r"'X=4' in 'X=4' is not allowed; write e\.g\. W=4,I=8.*or choose one of \['int4', 'int8', 'fp8', 'fp16'",
        ),
        ("W=4,W=8", r"'W=8' in 'W=4,W=8' is not allowed; .* each at most once"),
        ("int5", r"'int5' in 'int5' is not allowed"),
        ("", r"'' in '' is not allowed"),
        ("kind=fixed", r"kind='fixed' is not allowed; choose one of \['int', 'float'\]"),
    ],
)
def test_a_wrong_text_is_told(text, message):
    with pytest.raises(ArmillaryError, match=message):
        Bits.parse(text)


@pytest.mark.parametrize("width", [True, 8.0, "8", -1])
def test_a_width_is_a_whole_number(width):
    with pytest.raises(ArmillaryError, match=rf"I={width!r} is not allowed"):
        Bits(I=width)


def test_presets_set_everything():
    assert all(getattr(bits, name) for bits in PRESETS.values() for name in (*ROLES, "kind"))
