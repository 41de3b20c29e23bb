"""An integer network by NumPy, independently of ONNX Runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.workloads.quantized.step import LOWEST, IntegerNetwork, Shape4, Step, Window

Tensor = NDArray[np.int8]
Sums = NDArray[np.int32]


def execute(network: IntegerNetwork, inputs: Tensor) -> dict[str, Tensor]:
    """Return every tensor of a network by name, the input as well.

    Args:
        network: what to run.
        inputs: shape [N, C, H, W].
    """
    tensors = {network.inputs.name: inputs}
    for step in network.steps:
        residual = tensors[step.residual.name] if step.residual else None
        tensors[step.output.name] = execute_step(step, tensors[step.inputs.name], residual)
    return tensors


def execute_step(step: Step, inputs: Tensor, residual: Tensor | None = None) -> Tensor:
    """Return what a step writes, shape [N, K, P, Q]."""
    if step.kind == "max_pool":
        return _largest(step.window, step.output.shape, inputs)
    sums = _core(step, inputs)
    if residual is not None:
        sums = sums + residual.astype(np.int32) * np.int32(step.residual_multiplier.value)
    scaled = sums.astype(np.float32) * np.float32(step.scale)
    converted: Tensor = np.rint(scaled).clip(step.low, step.high).astype(np.int8)
    if step.table is not None:
        converted = step.table[converted.view(np.uint8)]
    return converted if step.pool is None else _largest(step.pool, step.output.shape, converted)


def _largest(window: Window, shape: Shape4, values: Tensor) -> Tensor:
    """Return the maxima over windows, of the given shape."""
    largest: Tensor = _taps(window, shape, values, LOWEST).max(axis=0)
    return largest


def _core(step: Step, inputs: Tensor) -> Sums:
    if step.kind in ("add", "lookup"):
        return inputs.astype(np.int32) * np.int32(step.multiplier.value)
    if step.kind == "average_pool":
        sums: Sums = _taps(step.window, step.output.shape, inputs, 0).sum(axis=0, dtype=np.int32)
        return sums
    assert step.weights is not None
    assert step.bias is not None
    return _convolved(step, inputs, step.weights) + step.bias.reshape(1, -1, 1, 1)


def _convolved(step: Step, inputs: Tensor, weights: Tensor) -> Sums:
    """Return a convolution's sums: one matrix product per group, in float64, which holds them exactly."""
    (n, k, p, q), groups = step.sums_shape, step.groups
    inputs = inputs.swapaxes(0, 1) if step.transposed else inputs
    taps = _taps(step.window, step.sums_shape, inputs, 0)
    columns = taps.reshape(len(taps), n, groups, -1, p * q).transpose(1, 2, 3, 0, 4)
    columns = columns.reshape(n, groups, -1, p * q).astype(np.float64)
    rows = weights.reshape(groups, k // groups, -1).astype(np.float64)
    return (rows @ columns).astype(np.int64).astype(np.int32).reshape(n, k, p, q)


def _taps(window: Window, shape: Shape4, inputs: Tensor, fill: int) -> Tensor:
    """Return what each place of a window reads, shape [places, N, C, P, Q]; `fill` outside the input."""
    _, _, p, q = shape
    top, left, bottom, right = window.pads
    padded = np.pad(inputs, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    places = [
        padded[
            :, :, y : y + (p - 1) * window.strides[0] + 1 : window.strides[0],
            x : x + (q - 1) * window.strides[1] + 1 : window.strides[1],
        ]
        for y in range(0, window.kernel[0] * window.dilations[0], window.dilations[0])
        for x in range(0, window.kernel[1] * window.dilations[1], window.dilations[1])
    ]  # fmt: skip
    return np.stack(places)


def differing(found: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """Return the names of the tensors that are not equal in shape and in every element, or are missing."""
    return [n for n, values in expected.items() if n not in found or not np.array_equal(found[n], values)]
