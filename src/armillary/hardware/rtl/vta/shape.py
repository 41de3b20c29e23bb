"""A layer as the accelerator runs it: groups, each a convolution of blocks of channels, on tiles of `batch` rows.

Several small groups run as one, with zeros between them. The rows of a matrix product of one image lie in the rows of a
tile and, behind these, along an output's row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.vta.numbers import packed, unpacked, wrapped
from armillary.hardware.templates.vta import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
MOST_PADDING = 15


@dataclass(frozen=True)
class Padding:
    """Rows and columns of zeros around an input, which the accelerator makes up."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Requantization:
    """How sums become outputs: a shift to the right, rounded half up, then the nearest between `low` and `high`.

    Attributes:
        shift: 0 to 15.
        low, high: bounds of outputs.

    Raises:
        ArmillaryError: if the shift is not allowed.
    """

    shift: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 15:
            raise ArmillaryError(f"shift={self.shift} is not allowed; it must be 0 to 15")

    def applied(self, sums: Integers, accumulator_width: int) -> Integers:
        """Return sums as outputs, bit for bit."""
        half = (1 << self.shift) >> 1
        return np.asarray(np.clip(wrapped(sums + half, accumulator_width) >> self.shift, self.low, self.high))


@dataclass(frozen=True)
class Shape:
    """A layer in blocks and tiles.

    Attributes:
        layer: as it was given.
        padding: of its input.
        accelerator: on which it runs.
    """

    layer: Layer
    padding: Padding
    accelerator: Accelerator

    def __post_init__(self) -> None:
        layer, padding = self.layer, self.padding
        reach_h, reach_w = (layer.R - 1) * layer.dilation_h + 1, (layer.S - 1) * layer.dilation_w + 1
        for name, reach in (("top", reach_h), ("bottom", reach_h), ("left", reach_w), ("right", reach_w)):
            value, most = getattr(padding, name), min(MOST_PADDING, reach - 1)
            if not 0 <= value <= most:
                raise ArmillaryError(
                    f"layer {layer.name}: padding {name}={value} is not allowed; it must be 0 to {most}"
                )
        if self.height < 1 or self.width < 1:
            raise ArmillaryError(f"layer {layer.name}: its padding leaves no input")

    @property
    def is_product(self) -> bool:
        """Whether it is a matrix product of one image, whose rows fill tiles."""
        layer = self.layer
        return layer.kind == "gemm" and layer.N == layer.Q == layer.R == layer.S == 1 == layer.stride_h

    @property
    def together(self) -> int:
        """Groups that run as one."""
        layer, a = self.layer, self.accelerator
        return max(1, min(a.block_in // layer.channels_per_group, a.block_out * layer.groups // layer.K, layer.groups))

    @property
    def groups(self) -> int:
        """Groups that run one after another."""
        return -(-self.layer.groups // self.together)

    @property
    def images(self) -> int:
        """Images, of `batch` rows of tiles."""
        return 1 if self.is_product else -(-self.layer.N // self.accelerator.batch)

    @property
    def blocks_in(self) -> int:
        """Blocks of input channels of a group."""
        return -(-self.layer.channels_per_group * self.together // self.accelerator.block_in)

    @property
    def blocks_out(self) -> int:
        """Blocks of output channels of a group."""
        return -(-self.layer.K // self.layer.groups * self.together // self.accelerator.block_out)

    @property
    def rows(self) -> int:
        """Rows of outputs."""
        return 1 if self.is_product else self.layer.P

    @property
    def columns(self) -> int:
        """Columns of outputs."""
        return -(-self.layer.P // self.accelerator.batch) if self.is_product else self.layer.Q

    @property
    def height(self) -> int:
        """Rows of input, without padding."""
        return 1 if self.is_product else self.layer.input_height - self.padding.top - self.padding.bottom

    @property
    def width(self) -> int:
        """Columns of input, without padding."""
        return self.columns if self.is_product else self.layer.input_width - self.padding.left - self.padding.right

    @property
    def taps(self) -> int:
        """Places of the filter."""
        return self.layer.R * self.layer.S

    @property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """Tiles of each tensor in DRAM, the outermost axis first."""
        groups, outer, inner = self.groups, self.blocks_out, self.blocks_in
        return {
            "input": (groups, self.images, inner, self.height, self.width),
            "weight": (groups, outer, inner, self.layer.R, self.layer.S),
            "accumulator": (groups, outer),
            "output": (groups, self.images, outer, self.rows, self.columns),
        }

    def input_bytes(self, inputs: Integers) -> Bytes:
        """Return inputs, shape [N, C, height, width] without padding, as they lie in DRAM."""
        a, layer = self.accelerator, self.layer
        values = self._as_product(inputs) if self.is_product else inputs
        n, _, height, width = values.shape
        grouped = values.reshape(n, layer.groups, layer.channels_per_group, height, width)
        grouped = _grown(_grown(grouped, 0, self.images * a.batch), 1, self.groups * self.together)
        flat = grouped.reshape(self.images, a.batch, self.groups, -1, height, width)
        flat = _grown(flat, 3, self.blocks_in * a.block_in)
        tiles = flat.reshape(self.images, a.batch, self.groups, self.blocks_in, a.block_in, height, width)
        return packed(tiles.transpose(2, 0, 3, 5, 6, 1, 4), a.input_width)

    def _as_product(self, inputs: Integers) -> Integers:
        """Return the rows of a matrix, shape [1, C, rows, 1], as images of one row, shape [batch, C, 1, columns]."""
        batch = self.accelerator.batch
        rows = _grown(inputs[0, :, :, 0], 1, self.columns * batch)
        return rows.reshape(-1, self.columns, batch).transpose(2, 0, 1)[:, :, None, :]

    def weight_bytes(self, weights: Integers) -> Bytes:
        """Return weights, shape [K, C of a group, R, S], as they lie in DRAM."""
        a, layer, together = self.accelerator, self.layer, self.together
        outputs, channels = layer.K // layer.groups, layer.channels_per_group
        own = _grown(weights.reshape(layer.groups, outputs, channels, layer.R, layer.S), 0, self.groups * together)
        own = own.reshape(self.groups, together, outputs, channels, layer.R, layer.S)
        wide = np.zeros((self.groups, together, outputs, together, channels, layer.R, layer.S), dtype=np.int64)
        each = np.arange(together)
        wide[:, each, :, each] = own.transpose(1, 0, 2, 3, 4, 5)
        flat = wide.reshape(self.groups, together * outputs, together * channels, layer.R, layer.S)
        flat = _grown(_grown(flat, 1, self.blocks_out * a.block_out), 2, self.blocks_in * a.block_in)
        tiles = flat.reshape(self.groups, self.blocks_out, a.block_out, self.blocks_in, a.block_in, layer.R, layer.S)
        return packed(tiles.transpose(0, 1, 3, 5, 6, 2, 4), a.weight_width)

    def bias_bytes(self, bias: Integers) -> Bytes:
        """Return a bias, shape [K], as it lies in DRAM: a tile of equal rows per block of outputs."""
        a, layer = self.accelerator, self.layer
        own = _grown(bias.reshape(layer.groups, -1), 0, self.groups * self.together).reshape(self.groups, -1)
        tiles = _grown(own, 1, self.blocks_out * a.block_out).reshape(-1, 1, a.block_out)
        return packed(np.repeat(tiles, a.batch, axis=1), a.accumulator_width)

    def outputs_of(self, raw: Bytes) -> Integers:
        """Return the outputs that lie in DRAM, shape [N, K, P, Q]."""
        a, layer = self.accelerator, self.layer
        groups, images, blocks, rows, columns = self.counts["output"]
        tiles = unpacked(raw, a.input_width).reshape(groups, images, blocks, rows, columns, a.batch, a.block_out)
        flat = tiles.transpose(1, 5, 0, 2, 6, 3, 4).reshape(images * a.batch, groups, -1, rows, columns)
        outputs = layer.K // layer.groups
        flat = flat[:, :, : self.together * outputs].reshape(images * a.batch, -1, rows, columns)[:, : layer.K]
        if self.is_product:
            return flat.transpose(1, 3, 0, 2).reshape(1, layer.K, -1, 1)[:, :, : layer.P]
        return flat[: layer.N]


def _grown(values: Integers, axis: int, length: int) -> Integers:
    """Return values with zeros behind them along an axis."""
    sides = [(0, 0)] * values.ndim
    sides[axis] = (0, length - values.shape[axis])
    return np.pad(values, sides)


def convolved(layer: Layer, inputs: Integers, weights: Integers, bias: Integers | None, padding: Padding) -> Integers:
    """Return a layer's exact sums, shape [N, K, P, Q].

    Args:
        layer: which.
        inputs: shape [N, C, height, width], without padding.
        weights: shape [K, C of a group, R, S].
        bias: shape [K]; None if there is none.
        padding: of the inputs.
    """
    padded = np.pad(inputs, ((0, 0), (0, 0), (padding.top, padding.bottom), (padding.left, padding.right)))
    outputs, channels = layer.K // layer.groups, layer.channels_per_group
    sums = np.zeros((layer.N, layer.groups, outputs, layer.P, layer.Q))
    for r in range(layer.R):
        for s in range(layer.S):
            y, x = r * layer.dilation_h, s * layer.dilation_w
            seen = padded[
                :, :, y : y + (layer.P - 1) * layer.stride_h + 1 : layer.stride_h,
                x : x + (layer.Q - 1) * layer.stride_w + 1 : layer.stride_w,
            ].reshape(layer.N, layer.groups, channels, layer.P * layer.Q)  # fmt: skip
            tap = weights[:, :, r, s].reshape(layer.groups, outputs, channels)
            # sums of a layer are far below 2**53, so that they are exact, and fast, in floating point
            sums += (tap.astype(float) @ seen.astype(float)).reshape(sums.shape)
    found = sums.astype(np.int64).reshape(layer.N, layer.K, layer.P, layer.Q)
    return found if bias is None else found + bias[:, None, None]
