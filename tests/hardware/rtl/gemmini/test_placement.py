import numpy as np
import pytest

from armillary.evaluators.gemmini.tensors import convolved
from armillary.hardware.rtl.gemmini.layout import Padding, Requantization
from armillary.hardware.rtl.gemmini.placement import Place, padded, padded_channels
from armillary.workloads.quantized.executing import execute_step
from armillary.workloads.quantized.step import Step, TensorInfo, Window

RNG = np.random.default_rng(0)


def conv(k, c, groups, kernel=(3, 2), seed=0):
    rng = np.random.default_rng(seed)
    window = Window(kernel, (2, 1), (1, 0, 1, 1))
    given = TensorInfo("x", (2, c, 7, 6), 1.0)
    output = TensorInfo("y", (2, k, *window.outputs(7, 6)), 1.0)
    weights = rng.integers(-128, 128, (k, c // groups, *kernel)).astype(np.int8)
    bias = np.zeros(k, dtype=np.int32)
    return Step("c", "conv", given, output, window, groups, weights, bias, scale=2.0**-8)


@pytest.mark.parametrize(
    ("k", "c", "groups", "found"),
    [
        (5, 3, 1, 1),  # dense
        (16, 8, 1, 1),
        (24, 24, 24, 6),  # by depth: four groups side by side
        (22, 22, 22, 6),  # the last ones are padding
        (3, 3, 3, 1),
        (16, 8, 8, 2),  # two outputs of each channel
        (14, 7, 7, 2),
        (8, 4, 4, 1),
        (10, 5, 5, 1),  # zeros would have to stand between the groups
        (24, 16, 2, 2),
        (16, 16, 2, 2),
        (32, 16, 4, 4),
        (12, 12, 2, 1),
    ],
)
def test_padded_convolutions_compute_the_same(k, c, groups, found):
    step = conv(k, c, groups)
    run = padded(step, 4)
    assert run.layer.groups == found
    assert run.layer.K % 4 == 0
    assert run.layer.C % (4 * run.layer.groups) == 0
    assert run.layer.K % (4 * run.layer.groups) == 0
    inputs = RNG.integers(-128, 128, step.inputs.shape).astype(np.int8)
    wide = np.pad(inputs, ((0, 0), (0, run.layer.C - c), (0, 0), (0, 0)))
    sides = Padding(top=1, left=0, bottom=run.layer.input_height - 8, right=run.layer.input_width - 6)
    got = convolved(run.layer, wide, run.weights, sides, Requantization())
    assert not got[:, k:].any()
    plain = Step(**{**vars(step), "scale": 1.0})
    np.testing.assert_array_equal(got[:, :k], execute_step(plain, inputs))


@pytest.mark.parametrize("k", [5, 8])
def test_a_bias_is_padded_with_zeros(k):
    step = Step(**{**vars(conv(k, 4, 1)), "bias": np.arange(k, dtype=np.int32) - 2})
    np.testing.assert_array_equal(padded(step, 8).bias, [*range(-2, k - 2), *[0] * (8 - k)])


@pytest.mark.parametrize(("channels", "dim", "found"), [(1, 4, 4), (4, 4, 4), (5, 4, 8), (1000, 16, 1008)])
def test_channels_are_rounded_up(channels, dim, found):
    assert padded_channels(channels, dim) == found


@pytest.mark.parametrize(("dim", "pitch"), [(4, 4), (6, 8)])
@pytest.mark.parametrize("shape", [(1, 3, 2, 5), (2, 8, 3, 1)])
def test_a_tensor_comes_back_from_its_place(shape, dim, pitch):
    place = Place(TensorInfo("x", shape, 1.0), 64, dim, pitch)
    values = RNG.integers(-128, 128, shape).astype(np.int8)
    dram = np.full(4096, 77, dtype=np.uint8)
    dram[place.address : place.end] = place.packed(values)
    np.testing.assert_array_equal(place.unpacked(dram), values)
    n, c, y, x = (size - 1 for size in shape)
    image, line, pixel = place.strides
    at = place.address + n * image + y * line + x * pixel + c // dim * pitch + c % dim
    assert dram.view(np.int8)[at] == values[n, c, y, x]
    assert np.count_nonzero(dram[place.address : place.end]) == np.count_nonzero(values)
