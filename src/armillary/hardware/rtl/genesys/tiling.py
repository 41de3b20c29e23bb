"""How a layer is cut into tiles that fit the buffers: the shape of a layer on the array, and the choice of tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.templates.genesys import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Order = Literal["weights", "inputs"]
ORDERS: tuple[Order, ...] = ("weights", "inputs")
"""What stays in its buffer longer: weights with the loop over output channels outside, inputs with it inside."""
Sizes = NDArray[np.int64]
_PARTS = (*range(1, 9), *(factor << power for power in range(2, 10) for factor in (3, 4)))
_PASS, _TILE, _BEHIND = 9, 30, 15
"""Cycles of a pass of the vector unit beside its words; of the instructions of a tile, and of those of a pass."""


class TooSmallError(ArmillaryError):
    """A buffer that does not hold the smallest tile of a layer.

    Attributes:
        layer: its name.
        resource: the buffer, with its unit.
        needed: words.
        available: likewise.
    """

    def __init__(self, layer: str, resource: str, needed: int, available: int) -> None:
        super().__init__(f"layer {layer}: {resource} needs {needed:,}, has {available:,}")
        self.layer, self.resource, self.needed, self.available = layer, resource, needed, available


@dataclass(frozen=True)
class Shape:
    """A layer as blocks of the array; groups that fit beside each other share it, with zero weights between them.

    Attributes:
        layer: what is computed.
        bundles: of groups that run together.
        channels: input channels of a bundle.
        outputs: output channels of a bundle.
        array: rows and columns.
    """

    layer: Layer
    bundles: int
    channels: int
    outputs: int
    array: int

    @staticmethod
    def of(layer: Layer, array: int) -> Shape:
        """Return the shape of a layer."""
        width = max(layer.K, layer.C) // layer.groups
        together = max(d for d in range(1, max(1, array // width) + 1) if layer.groups % d == 0)
        bundles = layer.groups // together
        return Shape(layer, bundles, layer.C // bundles, layer.K // bundles, array)

    @property
    def channel_blocks(self) -> int:
        """Blocks of input channels."""
        return -(-self.channels // self.array)

    @property
    def output_blocks(self) -> int:
        """Blocks of output channels."""
        return -(-self.outputs // self.array)

    def rows(self, outputs: int, filter_rows: int) -> int:
        """Return the rows of inputs that rows of outputs see through rows of the filter."""
        return (outputs - 1) * self.layer.stride_h + (filter_rows - 1) * self.layer.dilation_h + 1

    def columns(self, outputs: int) -> int:
        """Return the columns of inputs that columns of outputs see."""
        return (outputs - 1) * self.layer.stride_w + (self.layer.S - 1) * self.layer.dilation_w + 1


@dataclass(frozen=True)
class Tiling:
    """Tiles of a layer; the last of each kind may be smaller.

    Attributes:
        output_blocks: of output channels.
        channel_blocks: of input channels.
        filter_rows: of the filter; all, if a block of channels fits with all.
        rows: of outputs.
        columns: of outputs.
        order: see `ORDERS`.
    """

    output_blocks: int
    channel_blocks: int
    filter_rows: int
    rows: int
    columns: int
    order: Order

    def __str__(self) -> str:
        """Return sizes, in blocks of channels, and what stays."""
        sizes = (self.output_blocks, self.channel_blocks, self.filter_rows, self.rows, self.columns)
        return " ".join(f"{name}{size}" for name, size in zip("KCRPQ", sizes, strict=True)) + f" {self.order} stay"


def tilings(layer: Layer, accelerator: Accelerator, passes: int, count: int) -> list[Tiling]:
    """Return the tilings of each order that promise least delay, and least traffic among equals.

    Args:
        layer: to be cut.
        accelerator: whose halves of buffers hold a tile each.
        passes: of the vector unit over every output.
        count: how many of each order, at most.

    Raises:
        TooSmallError: if the smallest tile does not fit.
    """
    shape = Shape.of(layer, accelerator.array)
    filter_rows = _filter_rows(shape, accelerator.wbuf_words // 2)
    grids = np.meshgrid(
        _sizes(shape.output_blocks),
        _sizes(shape.channel_blocks) if filter_rows == layer.R else [1],
        _sizes(layer.P),
        _sizes(layer.Q),
        indexing="ij",
    )
    k, c, p, q = (grid.ravel().astype(np.int64) for grid in grids)
    tiles = _Tiles(shape, accelerator, passes, filter_rows, k, c, p, q)
    tiles = tiles.where(tiles.fitting())
    return [
        Tiling(int(tiles.k[place]), int(tiles.c[place]), filter_rows, int(tiles.p[place]), int(tiles.q[place]), order)
        for order in ORDERS
        for place in np.lexsort(tiles.costs(order)[::-1])[:count]
    ]


def _filter_rows(shape: Shape, words: int) -> int:
    """Return how many rows of the filter of one block of channels so many words of weights hold."""
    row = shape.layer.S * shape.array
    if row > words:
        raise TooSmallError(shape.layer.name, "WBUF words", row, words)
    return min(shape.layer.R, words // row)


@dataclass(frozen=True)
class _Tiles:
    """Tilings by sizes of their tiles, each of shape [tilings]; see `Tiling`."""

    shape: Shape
    accelerator: Accelerator
    passes: int
    filter_rows: int
    k: Sizes
    c: Sizes
    p: Sizes
    q: Sizes

    def where(self, kept: NDArray[np.bool_]) -> _Tiles:
        """Return some of them."""
        return replace(self, **{name: getattr(self, name)[kept] for name in "kcpq"})

    @property
    def inputs(self) -> Sizes:
        """Words of inputs of a tile."""
        layer, shape = self.shape.layer, self.shape
        high = shape.rows(1, self.filter_rows) + (self.p - 1) * layer.stride_h
        return np.asarray(self.c * high * (shape.columns(1) + (self.q - 1) * layer.stride_w))

    @property
    def weights(self) -> Sizes:
        """Words of weights of a tile."""
        return np.asarray(self.k * self.c * (self.filter_rows * self.shape.layer.S * self.shape.array))

    @property
    def sums(self) -> Sizes:
        """Words of sums of a tile."""
        return np.asarray(self.k * self.p * self.q)

    def fitting(self) -> NDArray[np.bool_]:
        """Return which fit: a half of each buffer holds a tile, and each memory of the vector unit its values.

        Raises:
            TooSmallError: if the smallest tile does not fit.
        """
        chip, fits = self.accelerator, np.ones(len(self.k), dtype=bool)
        for resource, needed, available in (
            ("IBUF words", self.inputs, chip.ibuf_words // 2),
            ("WBUF words", self.weights, chip.wbuf_words // 2),
            ("OBUF words", self.sums, chip.obuf_words // 2),
            ("BBUF words", self.k, chip.bbuf_words // 2),
            ("VMEM words", self.sums if self.passes > 1 else np.zeros_like(self.sums), chip.vmem_words),
        ):
            if needed.min() > available:
                raise TooSmallError(self.shape.layer.name, resource, int(needed.min()), available)
            fits &= needed <= available
        return fits

    def costs(self, order: Order) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an estimate of cycles and the beats that are read, each of shape [tilings], by tiles of mean size.

        The slowest of instructions, loads, array and vector unit sets the pace; the first loads and the last values
        stand alone.
        """
        layer, shape, chip = self.shape.layer, self.shape, self.accelerator
        every = layer.N * shape.bundles
        in_k, in_c = -(-shape.output_blocks // self.k), -(-shape.channel_blocks // self.c)
        in_r, in_p, in_q = -(-layer.R // self.filter_rows), -(-layer.P // self.p), -(-layer.Q // self.q)
        parts, places = in_c * in_r, in_p * in_q
        mean = _Means(shape.output_blocks / in_k, shape.channel_blocks / in_c, layer.P / in_p, layer.Q / in_q)
        taps = layer.R / in_r * layer.S
        high = (mean.p - 1) * layer.stride_h + (layer.R / in_r - 1) * layer.dilation_h + 1
        wide = (mean.q - 1) * layer.stride_w + (layer.S - 1) * layer.dilation_w + 1
        inputs = mean.c * high * wide * chip.beats(chip.input_bits)
        weights = mean.k * mean.c * taps * shape.array * chip.beats(chip.weight_bits)
        sums = mean.k * mean.p * mean.q

        # A tile is loaded once if nothing else has come between its uses.
        inputs_again = np.where((parts > 1) | ((order == "weights") & (places > 1)), in_k, 1)
        weights_again = np.where((parts > 1) | ((order == "inputs") & (in_k > 1)), places, 1)
        traffic = every * parts * (places * inputs_again * inputs + in_k * weights_again * weights)
        tiles = every * in_k * places
        array = tiles * parts * (mean.k * mean.c * taps * np.maximum(mean.p * mean.q, shape.array) + 2)
        vector = tiles * (sums * (self.passes - 1 + chip.beats(chip.input_bits)) + _PASS * self.passes)
        instructions = tiles * (parts * _TILE + _BEHIND * self.passes)
        pace = np.maximum.reduce([array, vector, traffic, instructions])
        return np.asarray(pace + inputs + weights + sums * self.passes), np.asarray(traffic)


@dataclass(frozen=True)
class _Means:
    """Mean sizes of tiles, each of shape [tilings]."""

    k: NDArray[np.float64]
    c: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]


def _sizes(whole: int) -> list[int]:
    """Return sizes of parts: one, and the whole in ever more parts."""
    return sorted({-(-whole // parts) for parts in _PARTS if parts <= whole} | {1})
