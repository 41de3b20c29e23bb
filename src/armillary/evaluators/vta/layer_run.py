"""One layer on the hardware: random tensors, what the reference makes of them, and whether the hardware agrees."""

from __future__ import annotations

from math import floor, log2, sqrt
from typing import Literal

import numpy as np

from armillary.evaluators.simulated import compare
from armillary.evaluators.vta.simulation import Dram, Simulated, simulate
from armillary.hardware.rtl.vta.compiler import Program
from armillary.hardware.rtl.vta.numbers import Integers, wrapped
from armillary.hardware.rtl.vta.shape import MOST_PADDING, Padding, Requantization, Shape, convolved
from armillary.hardware.templates.vta import Accelerator
from armillary.workloads.layer import Layer

PaddingRule = Literal["none", "same"]
_MOST_SHIFT = 15


def padding_of(layer: Layer, rule: PaddingRule) -> Padding:
    """Return how much of a layer's input is padding, which a workload does not say.

    `none`: all of its input comes from DRAM. `same`: half of a filter's reach on every side, as where strides are 1 and
    outputs are as many as inputs.
    """
    if rule == "none":
        return Padding()
    sides = []
    for taps, dilation, length in (
        (layer.R, layer.dilation_h, layer.input_height),
        (layer.S, layer.dilation_w, layer.input_width),
    ):
        reach = (taps - 1) * dilation
        before = min(reach // 2, MOST_PADDING, (length - 1) // 2)
        sides += [before, min(reach - reach // 2, MOST_PADDING, length - 1 - before)]
    return Padding(*sides)


def requantization_of(layer: Layer, accelerator: Accelerator) -> Requantization:
    """Return a requantisation with ReLU that spreads the sums of random tensors over the outputs' range.

    The deviation of a sum is that of a product, of numbers over the whole of their range, times the root of the number
    of products; a workload has no scales of its own.
    """
    products = layer.channels_per_group * layer.R * layer.S
    deviation = sqrt(products) * 2.0 ** (accelerator.input_width + accelerator.weight_width - 2) / 3
    most = (1 << (accelerator.input_width - 1)) - 1
    shift = floor(log2(deviation)) - (accelerator.input_width - 2)
    return Requantization(min(max(shift, 0), _MOST_SHIFT, accelerator.accumulator_width - 1), 0, most)


def random_tensors(shape: Shape, rng: np.random.Generator) -> tuple[Integers, Integers, Integers | None]:
    """Return random inputs, weights and bias (None if the layer has none), over the whole range of their bits."""
    layer, a = shape.layer, shape.accelerator
    height = layer.input_height - shape.padding.top - shape.padding.bottom
    width = layer.input_width - shape.padding.left - shape.padding.right
    inputs = _any(rng, a.input_width, (layer.N, layer.C, height, width))
    weights = _any(rng, a.weight_width, (layer.K, layer.channels_per_group, layer.R, layer.S))
    bias = _any(rng, min(16, a.accumulator_width - 1), (layer.K,)) if layer.bias else None
    return inputs, weights, bias


def _any(rng: np.random.Generator, bits: int, shape: tuple[int, ...]) -> Integers:
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), size=shape)


def checked(program: Program, how: Requantization, memory: Dram, *, seed: int = 0, pauses: int = 0) -> Simulated:
    """Return what the hardware makes of a layer's program and random tensors, every output compared.

    Args:
        program: of the layer.
        how: its sums become outputs.
        memory: behind the accelerator.
        seed: of the tensors, and of what registers and memories hold at the start.
        pauses: see `simulate`.

    Raises:
        RunError: names the first output that differs; likewise if the simulation does not end.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    shape = program.shape
    layer, accelerator = shape.layer, shape.accelerator
    inputs, weights, bias = random_tensors(shape, np.random.default_rng(seed))
    dram = program.dram(inputs, weights, bias)
    found = simulate(accelerator, dram, program.addresses["program"], memory, seed=seed, pauses=pauses)
    sums = wrapped(convolved(layer, inputs, weights, bias, shape.padding), accelerator.accumulator_width)
    expected, outputs = how.applied(sums, accelerator.accumulator_width), program.outputs(found.dram)
    compare(f"layer {layer.name}: output", expected, outputs, f"{program.tiling}; seed {seed}")
    return found
