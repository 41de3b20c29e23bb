import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.hardware import templates
from armillary.hardware.templates.vta import SPACE, TEMPLATE, Accelerator, accelerator_of
from armillary.types import ArmillaryError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": 3}, r"batch=3 is not allowed; choose one of \[1, 2, 4, 8\]"),
        ({"block_in": 16.0}, r"block_in=16.0 is not allowed; choose one of \[2, 4"),
        ({"batch": True}, "batch=True is not allowed"),
        ({"weight_width": 1}, r"weight_width=1 is not allowed; choose one of \[2, 4, 8\]"),
        ({"bus_bytes": 32}, "bus_bytes=32 is not allowed; a tile of inputs has 16 bytes, which must be 1 to 256 beats"),
        ({"block_in": 64, "block_out": 64, "bus_bytes": 8}, "a tile of weights has 4096 bytes"),
        ({"input_buffer": 65536}, "input_buffer=65536 .* it must be 64 to 32768, 4 to 2048 tiles of 16 bytes"),
        ({"weight_buffer": 512}, "weight_buffer=512 .* it must be 1024 to 262144, 4 to 1024 tiles of 256 bytes"),
        ({"uop_buffer": 64, "bus_bytes": 64, "batch": 4}, "uop_buffer=64 .* at least two beats, 128"),
    ],
)
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


def test_a_part_of_the_space_exists():
    codes = SPACE.at(np.arange(0, SPACE.size, 9973))
    assert 0.02 < TEMPLATE.exists(codes).mean() < 0.5


def test_the_published_default_is_as_large_as_commands_can_number():
    assert Accelerator().tiles == {"input": 2048, "weight": 1024, "accumulator": 2048, "uop": 8192}
    assert Accelerator().macs_per_cycle == 256
    narrow = Accelerator(weight_width=2, input_width=4, weight_buffer=65536, input_buffer=16384)
    assert narrow.tiles == Accelerator().tiles
    assert narrow.tile_bytes == {"input": 8, "weight": 64, "accumulator": 64, "output": 8}


def test_the_baseline_is_what_a_file_may_leave_out():
    assert accelerator_of(templates.load("vta").baseline) == Accelerator()
