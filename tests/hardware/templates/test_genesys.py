import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware import templates
from armillary.hardware.templates.genesys import SPACE, TEMPLATE, Accelerator, accelerator_of
from armillary.types import ArmillaryError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"array": 12}, "array=12 is not allowed; it must be a power of two, 2 to 128"),
        ({"array": 16.0}, "array=16.0 is not allowed; it must be an integer"),
        ({"array": True}, "array=True is not allowed; it must be an integer"),
        ({"data_width": 16}, r"data_width=16 is not allowed; it must be one of \[4, 8\]"),
        ({"weight_width": 5}, r"weight_width=5 is not allowed; it must be one of \[4, 8\]"),
        ({"port_width": 1024}, "port_width=1024 is not allowed; it must be a power of two, 32 to 512"),
        ({"ibuf_kib": 1024}, "ibuf_kib=1024 is not allowed; it must be a power of two, 1 to 512"),
        ({"array": 128, "wbuf_kib": 16}, "wbuf_kib=16 is not allowed; it must be a power of two, 32 to 4096"),
        ({"array": 64, "obuf_kib": 2}, "obuf_kib=2 is not allowed; it must be a power of two, 4 to 2048"),
        ({"bbuf_kib": 3}, "bbuf_kib=3 is not allowed"),
        ({"vmem_kib": 0}, "vmem_kib=0 is not allowed"),
    ],
)
def test_what_is_not_allowed_is_named(values, message):
    with pytest.raises(ArmillaryError, match=message):
        Accelerator(**values)


@given(st.integers(0, SPACE.size - 1))
def test_what_exists_is_what_can_be_built(index):
    codes = SPACE.at(np.array([index]))
    try:
        accelerator = accelerator_of(SPACE.design(codes[0]))
    except ArmillaryError:
        accelerator = None
    assert TEMPLATE.exists(codes).tolist() == [accelerator is not None]
    if accelerator is not None:
        words = [getattr(accelerator, f"{name}_words") for name in ("ibuf", "wbuf", "obuf", "bbuf", "vmem")]
        assert min(words) >= 16
        assert accelerator.wbuf_words >= 2 * accelerator.array


@given(st.integers(0, SPACE.size - 1))
def test_words_fill_the_memories(index):
    codes = SPACE.at(np.array([index]))
    if TEMPLATE.exists(codes)[0]:
        chip = accelerator_of(SPACE.design(codes[0]))
        bits = {
            "ibuf": chip.input_bits,
            "wbuf": chip.weight_bits,
            **dict.fromkeys(("obuf", "bbuf", "vmem"), chip.sum_bits),
        }
        for name, width in bits.items():
            assert getattr(chip, f"{name}_words") * width == getattr(chip, f"{name}_kib") * 8192
            assert chip.beats(width) == max(1, width // chip.port_width)


def test_the_baseline_is_what_a_file_may_leave_out():
    assert accelerator_of(templates.load("genesys").baseline) == Accelerator()
