"""What programs compute, whatever order their tokens allow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from armillary.hardware.rtl.vta.compiler import Tiling, TooLargeError, check, compile_layer
from armillary.hardware.rtl.vta.machine import Machine
from armillary.hardware.rtl.vta.shape import Padding, Requantization, Shape, convolved
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from hardware.rtl.vta.accelerators import MIXED, NARROW, SMALL
from hardware.rtl.vta.layers import expected, some_requantization, some_shape, some_tiling, tensors
from hardware.rtl.vta.orders import in_any_order


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("accelerator", [SMALL, NARROW, MIXED], ids=["small", "narrow", "mixed"])
def test_a_program_computes_its_layer_in_any_order_that_its_tokens_allow(accelerator, seed):
    rng = np.random.default_rng(seed)
    shape = some_shape(accelerator, rng)
    tiling = some_tiling(shape, rng)
    if tiling is None:  # a filter of more taps than the buffers have tiles
        assert shape.taps > 4
        return
    how = some_requantization(shape.accelerator, rng)
    program = compile_layer(shape, tiling, how)
    given = tensors(shape, rng)
    dram = program.dram(*given)
    left = in_any_order(Machine(shape.accelerator, dram), program.commands, rng)
    assert not any(left.values())  # tokens that nobody takes
    assert np.array_equal(program.outputs(dram), expected(shape, how, *given)), (shape.layer, shape.padding, tiling)


@pytest.mark.parametrize("groups", [1, 3])
def test_sums_are_those_of_a_convolution(groups):
    layer = Layer("l", "conv", N=2, K=6, C=9, P=4, Q=5, R=3, S=2, stride_h=2, dilation_w=2, groups=groups)
    padding = Padding(1, 1, 2, 2)
    rng = np.random.default_rng(0)
    inputs = rng.integers(-128, 128, size=(2, 9, layer.input_height - 2, layer.input_width - 4))
    weights = rng.integers(-128, 128, size=(6, 9 // groups, 3, 2))
    bias = rng.integers(-1000, 1000, size=6)
    found = convolved(layer, inputs, weights, bias, padding)
    given = [torch.from_numpy(value).double() for value in (inputs, weights, bias)]
    exact = torch.nn.functional.conv2d(*given, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=groups)
    assert found.tolist() == exact.numpy().astype(int).tolist()


def test_outputs_are_rounded_half_up_and_bounded():
    sums = np.array([-300, -9, -8, 7, 8, 23, 24, 5000])
    assert Requantization(4, -8, 7).applied(sums, 16).tolist() == [-8, -1, 0, 0, 1, 1, 2, 7]
    assert Requantization(0, 0, 127).applied(sums, 16).tolist() == [0, 0, 0, 7, 8, 23, 24, 127]
    assert Requantization(1, -128, 127).applied(np.array([32767]), 16).tolist() == [-128]  # the half wraps around
    with pytest.raises(ArmillaryError, match="shift=16 is not allowed; it must be 0 to 15"):
        Requantization(16, 0, 1)


DEPTHWISE = Layer("dw", "depthwise", K=10, C=10, P=4, Q=4, R=3, S=3, groups=10)


def test_small_groups_run_together():
    shape = Shape(DEPTHWISE, Padding(), SMALL)
    assert (shape.together, shape.groups, shape.blocks_in, shape.blocks_out) == (4, 3, 1, 1)
    wide = Shape(replace(DEPTHWISE, groups=2), Padding(), SMALL)
    assert (wide.together, wide.groups, wide.blocks_in, wide.blocks_out) == (1, 2, 2, 2)


def moves(program, memory):
    return [command for command in program.commands if getattr(command, "memory", "") == memory]


def test_what_stays_is_loaded_once():
    shape = Shape(Layer("l", "conv", K=8, C=4, P=6, Q=6), Padding(), SMALL)
    how = Requantization(4, 0, 127)
    tiles = Tiling(1, 1, 3, 6)
    weights_stay = compile_layer(shape, tiles, how)
    inputs_stay = compile_layer(shape, replace(tiles, stays="input"), how)
    assert (len(moves(weights_stay, "weight")), len(moves(weights_stay, "input"))) == (2, 4)
    assert (len(moves(inputs_stay, "weight")), len(moves(inputs_stay, "input"))) == (4, 2)


def test_micro_operations_are_loaded_once_where_they_fit():
    layer = Layer("l", "conv", K=4, C=4, P=12, Q=4, R=3, S=3)
    shape = Shape(layer, Padding(), SMALL)
    how = Requantization(4, 0, 127)
    program = compile_layer(shape, Tiling(1, 1, 3, 4), how)
    assert len(program.uops) == 2 + 2 * 9  # two halves of each buffer; weights stay
    assert len(moves(program, "uop")) == 4
    tight = Shape(layer, Padding(), replace(SMALL, uop_buffer=64))
    again = compile_layer(tight, Tiling(1, 1, 3, 4), how)
    assert len(again.uops) == 20
    assert len(moves(again, "uop")) > 4


@pytest.mark.parametrize(
    ("layer", "tiling", "message"),
    [
        (
            Layer("l", "conv", K=4, C=4, P=8, Q=8),
            Tiling(1, 1, 8, 8),
            "layer l: input tiles overflow: 64 needed, 32 there",
        ),
        (Layer("l", "gemm", K=260, C=8), Tiling(65, 1, 1, 1), "accumulator tiles overflow: 65 needed, 32 there"),
        (Layer("l", "conv", K=4, C=4, P=4, Q=8, bias=True), Tiling(1, 1, 4, 8), "accumulator tiles .* 33 needed, 32"),
        (Layer("l", "conv", K=4, C=4, R=12, S=12), Tiling(1, 1, 1, 1), "input tiles overflow: 144 needed, 32 there"),
        (Layer("l", "conv", K=32, C=4, P=1, Q=1, R=3, S=3), Tiling(8, 1, 1, 1), "micro-operations overflow: 72"),
    ],
)
def test_a_tiling_that_does_not_fit_says_why(layer, tiling, message):
    shape = Shape(layer, Padding(), SMALL)
    with pytest.raises(TooLargeError, match=message):
        check(shape, tiling)
    with pytest.raises(TooLargeError, match=message):
        compile_layer(shape, tiling, Requantization(0, 0, 1))


@pytest.mark.parametrize(
    ("padding", "message"),
    [(Padding(top=3), "padding top=3 is not allowed; it must be 0 to 2"), (Padding(1, 2, 0, 0), "leaves no input")],
)
def test_padding_that_is_more_than_a_filter_sees_is_refused(padding, message):
    with pytest.raises(ArmillaryError, match=message):
        Shape(Layer("l", "conv", K=1, C=1, P=1, Q=1, R=3, S=3), padding, SMALL)
