"""Tensors as a program expects them in DRAM, and back; and what a layer computes, by NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.gemmini.arithmetic import converted
from armillary.hardware.rtl.gemmini.compiler import Padding, Program, Requantization, Shape
from armillary.hardware.rtl.gemmini.layout import grown, weight_rows
from armillary.workloads.layer import Layer

Tensor = NDArray[np.int8]
Bytes = NDArray[np.uint8]


def into_dram(program: Program, inputs: Tensor, weights: Tensor) -> Bytes:
    """Return the first bytes of DRAM.

    Args:
        program: whose tensors these are.
        inputs: shape [N, C, height, width], without the padding that the program makes up.
        weights: shape [K, C of a group, R, S].
    """
    dram = np.zeros(max(program.inputs.end, program.weights.end), dtype=np.uint8)
    _rows_of(program.inputs, dram)[...] = _input_rows(program, inputs).view(np.uint8)
    own = weights_across(program, weights) if "W" in program.transposed else weight_rows(program, weights)
    _rows_of(program.weights, dram)[...] = own.view(np.uint8)
    return dram


def _input_rows(program: Program, inputs: Tensor) -> Tensor:
    """Return inputs as a program reads them, shape [*counts, bytes of a row]."""
    if "I" in program.transposed:
        groups = program.inputs.counts[0]
        lines = inputs.reshape(inputs.shape[0], groups, -1, *inputs.shape[2:])
        return _lines(program, program.inputs, lines.transpose(1, 2, 0, 3, 4).reshape(groups, lines.shape[2], -1))
    groups, blocks, n, height, width = program.inputs.counts
    rows = grown(inputs.reshape(n, groups, -1, height, width), 2, blocks * program.channel_block)
    rows = rows.reshape(n, groups, blocks, program.channel_block, height, width).transpose(1, 2, 0, 4, 5, 3)
    return grown(rows, -1, program.inputs.row_bytes)


def weights_across(program: Program, weights: Tensor) -> Tensor:
    """Return weights that lie transposed, a line per output, shape [*counts, bytes of a row].

    Args:
        program: whose weights these are.
        weights: shape [K, C of a group, 1, 1].
    """
    groups = program.weights.counts[0]
    return _lines(program, program.weights, weights.reshape(groups, -1, weights.shape[1]))


def _lines(program: Program, shape: Shape, lines: Tensor) -> Tensor:
    """Return lines, shape [groups, lines, elements], cut into rows, with zeros behind the last of each."""
    groups, count, rows = shape.counts
    cut = grown(grown(lines, 1, count), 2, rows * program.line_row).reshape(groups, count, rows, -1)
    return grown(cut, -1, shape.row_bytes)


def from_dram(program: Program, dram: Bytes, outputs: int) -> Tensor:
    """Return the outputs, shape [N, K, P, Q].

    Args:
        program: that has run.
        dram: its bytes.
        outputs: K.
    """
    rows = _rows_of(program.outputs, dram).view(np.int8)
    found = rows[..., : program.output_block].transpose(2, 0, 1, 5, 3, 4)
    n, groups, blocks, width, p, q = found.shape
    return found.reshape(n, groups, blocks * width, p, q)[:, :, : outputs // groups].reshape(n, outputs, p, q)


def _rows_of(shape: Shape, dram: Bytes) -> Bytes:
    """Return a view of the rows of a tensor, shape [*counts, bytes of a row]."""
    return np.lib.stride_tricks.as_strided(dram[shape.address :], (*shape.counts, shape.row_bytes), (*shape.strides, 1))


def random_tensors(layer: Layer, padding: Padding, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return random inputs and weights of a layer, of all values that a byte has."""
    height = layer.input_height - padding.top - padding.bottom
    width = layer.input_width - padding.left - padding.right
    shapes = (layer.N, layer.C, height, width), (layer.K, layer.channels_per_group, layer.R, layer.S)
    inputs, weights = (rng.integers(-128, 128, size=shape).astype(np.int8) for shape in shapes)
    return inputs, weights


def convolved(
    layer: Layer, inputs: Tensor, weights: Tensor, padding: Padding, requantization: Requantization
) -> Tensor:
    """Return what a layer computes, bit for bit: 32-bit sums, requantised; shape [N, K, P, Q]."""
    return converted(summed(layer, inputs, weights, padding), requantization.conversion)


def summed(layer: Layer, inputs: Tensor, weights: Tensor, padding: Padding) -> NDArray[np.int32]:
    """Return a layer's 32-bit sums, which wrap around, shape [N, K, P, Q]."""
    sides = ((0, 0), (0, 0), (padding.top, padding.bottom), (padding.left, padding.right))
    padded = np.pad(inputs.astype(np.int64), sides)
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    sums = np.zeros((layer.N, layer.groups, outputs, layer.P, layer.Q), dtype=np.int64)
    for r in range(layer.R):
        for s in range(layer.S):
            y, x = r * layer.dilation_h, s * layer.dilation_w
            seen = padded[
                :, :, y : y + (layer.P - 1) * layer.stride_h + 1 : layer.stride_h,
                x : x + (layer.Q - 1) * layer.stride_w + 1 : layer.stride_w,
            ]  # fmt: skip
            seen = seen.reshape(layer.N, layer.groups, channels, layer.P, layer.Q)
            tap = weights[:, :, r, s].reshape(layer.groups, outputs, channels).astype(np.int64)
            sums += np.einsum("ngcpq,gkc->ngkpq", seen, tap)
    return sums.reshape(layer.N, layer.K, layer.P, layer.Q).astype(np.int32)


def requantized(sums: NDArray[np.int64], how: Requantization) -> Tensor:
    """Return sums, which wrap around to 32 bits, as bytes: scaled, rounded half up, saturated."""
    return converted(sums.astype(np.int32), how.conversion)
