"""Tensors as words of DRAM and back, and what a layer computes, by NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.genesys.arithmetic import Integers
from armillary.hardware.rtl.genesys.tiling import Shape
from armillary.workloads.layer import Layer

Bytes = NDArray[np.uint8]


def packed(values: Integers, bits: int) -> Bytes:
    """Return words, shape [..., lanes], as bytes, shape [..., lanes * bits / 8]; numbers of 4, 8 or 32 bits."""
    if bits == 4:
        nibbles = (values & 15).astype(np.uint8)
        return np.asarray(nibbles[..., 0::2] | (nibbles[..., 1::2] << 4))
    kind = {8: np.int8, 32: np.int32}[bits]
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8)


def unpacked(data: Bytes, bits: int) -> Integers:
    """Return what `packed` packed."""
    if bits == 4:
        nibbles = np.stack([data & 15, data >> 4], axis=-1).reshape(*data.shape[:-1], -1).astype(np.int64)
        return (nibbles ^ 8) - 8
    kind = {8: np.int8, 32: np.int32}[bits]
    return np.ascontiguousarray(data).view(kind).astype(np.int64)


def input_words(shape: Shape, inputs: Integers) -> Integers:
    """Return inputs, shape [N, C, height, width], as words, shape [N, bundles, blocks, height, width, array]."""
    n, _, height, width = inputs.shape
    channels = inputs.reshape(n, shape.bundles, shape.channels, height, width)
    missing = shape.channel_blocks * shape.array - shape.channels
    channels = np.pad(channels, ((0, 0), (0, 0), (0, missing), (0, 0), (0, 0)))
    blocks = channels.reshape(n, shape.bundles, shape.channel_blocks, shape.array, height, width)
    return np.ascontiguousarray(blocks.transpose(0, 1, 2, 4, 5, 3))


def weight_words(shape: Shape, weights: Integers) -> Integers:
    """Return weights, shape [K, C of a group, R, S], as rows of the array.

    Returns:
        Words, shape [bundles, output blocks, channel blocks, R, S, array, array]: row by row, a weight per column; zero
        between groups and where there is no channel.
    """
    layer, array = shape.layer, shape.array
    together = layer.groups // shape.bundles
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    given = weights.reshape(shape.bundles, together, outputs, channels, layer.R, layer.S)
    rows, columns = shape.channel_blocks * array, shape.output_blocks * array
    whole = np.zeros((shape.bundles, columns, rows, layer.R, layer.S), dtype=np.int64)
    for g in range(together):
        whole[:, g * outputs : (g + 1) * outputs, g * channels : (g + 1) * channels] = given[:, g]
    blocks = whole.reshape(shape.bundles, shape.output_blocks, array, shape.channel_blocks, array, layer.R, layer.S)
    return np.ascontiguousarray(blocks.transpose(0, 1, 3, 5, 6, 4, 2))


def bias_words(shape: Shape, bias: Integers) -> Integers:
    """Return biases, shape [K], as words, shape [bundles, blocks, array]."""
    missing = shape.output_blocks * shape.array - shape.outputs
    padded = np.pad(bias.reshape(shape.bundles, shape.outputs), ((0, 0), (0, missing)))
    return padded.reshape(shape.bundles, shape.output_blocks, shape.array)


def outputs_of(shape: Shape, words: Integers) -> Integers:
    """Return outputs, shape [N, K, P, Q], of words, shape [N, bundles, blocks, P, Q, array]."""
    n, bundles, _, p, q, _ = words.shape
    channels = words.transpose(0, 1, 2, 5, 3, 4).reshape(n, bundles, -1, p, q)
    return channels[:, :, : shape.outputs].reshape(n, -1, p, q)


def summed(layer: Layer, inputs: Integers, weights: Integers, bias: Integers) -> Integers:
    """Return a layer's 32-bit sums, which wrap around, shape [N, K, P, Q].

    Args:
        layer: what is computed.
        inputs: shape [N, C, height, width], padding among them.
        weights: shape [K, C of a group, R, S].
        bias: shape [K].
    """
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    sums = np.zeros((layer.N, layer.groups, outputs, layer.P * layer.Q))
    for r in range(layer.R):
        for s in range(layer.S):
            y, x = r * layer.dilation_h, s * layer.dilation_w
            seen = inputs[
                :, :, y : y + (layer.P - 1) * layer.stride_h + 1 : layer.stride_h,
                x : x + (layer.Q - 1) * layer.stride_w + 1 : layer.stride_w,
            ]  # fmt: skip
            seen = seen.reshape(layer.N, layer.groups, channels, -1).astype(np.float64)
            tap = weights[:, :, r, s].reshape(layer.groups, outputs, channels).astype(np.float64)
            sums += tap @ seen  # sums of integers far below 2^53 are exact
    whole = sums.reshape(layer.N, layer.K, layer.P, layer.Q).astype(np.int64) + bias[:, None, None]
    return whole.astype(np.int32).astype(np.int64)
