"""How an integer network lies in DRAM: tensors as pixels of padded channels, and convolutions padded to the array.

A tensor's bytes are in the order batch, height, width, channel. A pixel's channels fill whole rows of the array, with
zeros behind the last, and every row begins at a multiple of the pitch. So what one step writes is what the next reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.gemmini.layout import aligned
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import Step, TensorInfo

Tensor = NDArray[np.int8]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Attributes:
        tensor: which.
        address: of its first byte.
        dim: channels of a row.
        pitch: bytes from one row to the next.
    """

    tensor: TensorInfo
    address: int
    dim: int
    pitch: int

    @property
    def blocks(self) -> int:
        """Rows of a pixel."""
        return -(-self.tensor.shape[1] // self.dim)

    @property
    def strides(self) -> tuple[int, int, int]:
        """Bytes from one image, line and pixel to the next."""
        _, _, height, width = self.tensor.shape
        pixel = self.blocks * self.pitch
        return height * width * pixel, width * pixel, pixel

    @property
    def end(self) -> int:
        """Address behind the last byte."""
        return self.address + self.tensor.shape[0] * self.strides[0]

    def packed(self, values: Tensor) -> Bytes:
        """Return the bytes of a tensor of shape [N, C, H, W]."""
        n, c, height, width = values.shape
        pixels = np.zeros((n, height, width, self.blocks * self.dim), dtype=np.int8)
        pixels[..., :c] = values.transpose(0, 2, 3, 1)
        rows = np.zeros((n * height * width * self.blocks, self.pitch), dtype=np.int8)
        rows[:, : self.dim] = pixels.reshape(-1, self.dim)
        return rows.view(np.uint8).reshape(-1)

    def unpacked(self, dram: Bytes) -> Tensor:
        """Return the tensor, shape [N, C, H, W], of the bytes of a DRAM."""
        n, c, height, width = self.tensor.shape
        rows = dram[self.address : self.end].view(np.int8).reshape(-1, self.pitch)[:, : self.dim]
        pixels = rows.reshape(n, height, width, self.blocks * self.dim)[..., :c]
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def padded_channels(channels: int, dim: int) -> int:
    """Return channels rounded up to whole rows of the array."""
    return aligned(channels, dim)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution as the array runs it: whole rows and columns, with zeros where the step has nothing.

    Attributes:
        layer: its input includes the padding.
        weights: shape [K, C of a group, R, S].
        bias: shape [K].
    """

    layer: Layer
    weights: Tensor
    bias: NDArray[np.int32]


def padded(step: Step, dim: int) -> Convolution:
    """Return a step's convolution with its channels padded to multiples of the array.

    As many groups as fill whole rows and columns run side by side, with zeros between them. Where padding would
    have to stand between groups, all of them do.
    """
    assert step.weights is not None
    assert step.bias is not None
    layer = step.layer()
    k, c = padded_channels(layer.K, dim), padded_channels(layer.C, dim)
    together = _side_by_side(layer, k, c, dim)
    groups = k * layer.groups // (layer.K * together) if together < layer.groups else 1
    weights = np.zeros((k, c // groups, layer.R, layer.S), dtype=np.int8)
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    for group in range(layer.groups):
        first = group % together * channels
        rows = slice(group * outputs, (group + 1) * outputs)
        weights[rows, first : first + channels] = step.weights[rows]
    bias = np.zeros(k, dtype=np.int32)
    bias[: layer.K] = step.bias
    kind = "conv" if layer.kind == "depthwise" else layer.kind
    return Convolution(replace(layer, K=k, C=c, groups=groups, kind=kind), weights, bias)


def _side_by_side(layer: Layer, k: int, c: int, dim: int) -> int:
    """Return how many groups run as one; all, if fewer would need zeros between their channels."""
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    by_columns, by_rows = dim // gcd(outputs, dim), dim // gcd(channels, dim)
    together = by_columns * by_rows // gcd(by_columns, by_rows)
    whole = k % (together * outputs) == 0 and c % (together * channels) == 0
    alike = k // outputs == c // channels
    return together if whole and alike and together < layer.groups else layer.groups
