"""Layers, tilings and tensors drawn at random."""

import numpy as np

from armillary.hardware.rtl.vta.compiler import Tiling, TooLargeError, check, choices
from armillary.hardware.rtl.vta.numbers import wrapped
from armillary.hardware.rtl.vta.shape import Padding, Requantization, Shape, convolved
from armillary.workloads.layer import Layer


def some_layer(rng):
    """Return a layer with everything that a layer may have."""
    groups = int(rng.choice([1, 1, 2, 3, 10]))
    bias = bool(rng.integers(2))
    if rng.integers(4) == 0:
        rows, outputs, inputs = (int(value) for value in rng.integers(1, 14, size=3))
        return Layer("l", "gemm", K=groups * outputs, C=groups * inputs, P=rows, groups=groups, bias=bias)
    k, c = (int(value) for value in (rng.integers(1, 3, size=2) if groups > 3 else rng.integers(1, 12, size=2)))
    n, p, q, r, s = (int(value) for value in rng.integers(1, (4, 7, 7, 4, 4)))
    strides = {name: int(rng.integers(1, 3)) for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")}
    return Layer("l", "conv", N=n, K=groups * k, C=groups * c, P=p, Q=q, R=r, S=s, groups=groups, bias=bias, **strides)


def some_padding(layer, rng):
    """Return padding that leaves some input."""
    sides = []
    for taps, dilation, length in (
        (layer.R, layer.dilation_h, layer.input_height),
        (layer.S, layer.dilation_w, layer.input_width),
    ):
        reach = (taps - 1) * dilation
        first = int(rng.integers(0, min(reach, length - 1) + 1))
        sides += [first, int(rng.integers(0, min(reach, length - 1 - first) + 1))]
    return Padding(*sides)


def some_tiling(shape, rng):
    """Return a tiling that fits, None if none was found."""
    for _ in range(200):
        parts = [int(rng.choice(sizes)) for sizes in choices(shape)]
        tiling = Tiling(*parts, stays=str(rng.choice(["weight", "input"])), threads=int(rng.integers(1, 3)))
        try:
            check(shape, tiling)
        except TooLargeError:
            continue
        return tiling
    return None


def some_requantization(accelerator, rng):
    """Return a requantisation, with and without ReLU."""
    most = 1 << (accelerator.input_width - 1)
    return Requantization(int(rng.integers(0, 9)), int(rng.choice([0, -most])), most - 1)


def tensors(shape, rng):
    """Return inputs, weights and bias over the whole range of their bits, and often at its ends."""
    layer, a, padding = shape.layer, shape.accelerator, shape.padding

    def whole(bits, size):
        ends = rng.choice([-(1 << (bits - 1)), (1 << (bits - 1)) - 1], size=size)
        return np.where(rng.random(size) < 0.3, ends, rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), size=size))

    height = layer.input_height - padding.top - padding.bottom
    width = layer.input_width - padding.left - padding.right
    inputs = whole(a.input_width, (layer.N, layer.C, height, width))
    weights = whole(a.weight_width, (layer.K, layer.channels_per_group, layer.R, layer.S))
    return inputs, weights, whole(a.accumulator_width, (layer.K,)) if layer.bias else None


def expected(shape, how, inputs, weights, bias):
    """Return what the layer's outputs are."""
    width = shape.accelerator.accumulator_width
    return how.applied(wrapped(convolved(shape.layer, inputs, weights, bias, shape.padding), width), width)


def some_shape(accelerator, rng):
    """Return a layer with padding on an accelerator."""
    layer = some_layer(rng)
    product = layer.kind == "gemm"
    return Shape(layer, Padding() if product else some_padding(layer, rng), accelerator)
