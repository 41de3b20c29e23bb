"""How a layer is cut into tiles that fit the buffers: the shape of a layer on the array, and the choice of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from armillary.hardware.templates.genesys import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Order = Literal["weights", "inputs"]
ORDERS: tuple[Order, ...] = ("weights", "inputs")
"""What stays in its buffer longer: the loop over blocks of output channels is outside that over the outputs, or inside."""


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

    def rows(self, outputs: int) -> int:
        """Return the rows of inputs that rows of outputs see."""
        return (outputs - 1) * self.layer.stride_h + (self.layer.R - 1) * self.layer.dilation_h + 1

    def columns(self, outputs: int) -> int:
        """Return the columns of inputs that columns of outputs see."""
        return (outputs - 1) * self.layer.stride_w + (self.layer.S - 1) * self.layer.dilation_w + 1


@dataclass(frozen=True)
class Tiling:
    """Tiles of a layer; the last of each kind may be smaller.

    Attributes:
        output_blocks: of output channels.
        channel_blocks: of input channels.
        rows: of outputs.
        columns: of outputs.
        order: see `ORDERS`.
    """

    output_blocks: int
    channel_blocks: int
    rows: int
    columns: int
    order: Order

    def __str__(self) -> str:
        return f"K{self.output_blocks} C{self.channel_blocks} P{self.rows} Q{self.columns} {self.order} stay"


@lru_cache(maxsize=10_000)
def best_tiling(layer: Layer, accelerator: Accelerator, passes: int) -> Tiling:
    """Return the tiles of least delay by what each unit has to do, and of least traffic among these.

    Args:
        layer: to be cut.
        accelerator: whose halves of buffers hold a tile each.
        passes: of the vector unit over every output.

    Raises:
        TooSmallError: if the smallest tile does not fit.
    """
    shape = Shape.of(layer, accelerator.array)
    grids = np.meshgrid(
        _sizes(shape.output_blocks), _sizes(shape.channel_blocks), _sizes(layer.P), _sizes(layer.Q), indexing="ij"
    )
    k, c, p, q = (grid.ravel().astype(np.int64) for grid in grids)
    fits = np.ones(len(k), dtype=bool)
    inputs = c * shape.rows(1) * shape.columns(1)
    inputs = c * (shape.rows(1) + (p - 1) * layer.stride_h) * (shape.columns(1) + (q - 1) * layer.stride_w)
    weights = k * c * (layer.R * layer.S * shape.array)
    sums = k * p * q
    for resource, needed, available in (
        ("IBUF words", inputs, accelerator.ibuf_words // 2),
        ("WBUF words", weights, accelerator.wbuf_words // 2),
        ("OBUF words", sums, accelerator.obuf_words // 2),
        ("BBUF words", k, accelerator.bbuf_words // 2),
        ("VMEM words", sums if passes > 1 else np.zeros_like(sums), accelerator.vmem_words),
    ):
        if needed.min() > available:
            raise TooSmallError(layer.name, resource, int(needed.min()), available)
        fits &= needed <= available
    if not fits.any():  # the smallest tile of each kind fits, so that the smallest of all does
        raise AssertionError(f"no tile of {layer} fits")
    k, c, p, q, inputs, weights, sums = (column[fits] for column in (k, c, p, q, inputs, weights, sums))

    every = layer.N * shape.bundles
    tiles_k, tiles_c = -(-shape.output_blocks // k), -(-shape.channel_blocks // c)
    tiles_o = -(-layer.P // p) * -(-layer.Q // q)
    tiles = every * tiles_k * tiles_c * tiles_o
    array = tiles * (k * c * layer.R * layer.S * np.maximum(p * q, shape.array) + 2)
    beats_in, beats_w = accelerator.beats(accelerator.input_bits), accelerator.beats(accelerator.weight_bits)
    vector = every * tiles_k * tiles_o * (sums * (passes - 1 + beats_in) + 9 * passes)
    best: tuple[float, float, Tiling] | None = None
    for order in ORDERS:
        once_c = tiles_c == 1
        input_loads = np.where(
            once_c & ((order == "inputs") | (tiles_o == 1)), tiles_o * tiles_c, tiles_o * tiles_c * tiles_k
        )
        weight_loads = np.where(
            once_c & ((order == "weights") | (tiles_k == 1)), tiles_k * tiles_c, tiles_k * tiles_c * tiles_o
        )
        traffic = every * (input_loads * inputs * beats_in + weight_loads * weights * beats_w)
        delay = np.maximum(np.maximum(array, vector), traffic) + inputs * beats_in + weights * beats_w + sums * passes
        place = np.lexsort((traffic, delay))[0]
        found = Tiling(int(k[place]), int(c[place]), int(p[place]), int(q[place]), order)
        key = (float(delay[place]), float(traffic[place]), found)
        if best is None or key[:2] < best[:2]:
            best = key
    assert best is not None
    return best[2]


def _sizes(whole: int) -> list[int]:
    """Return sizes of parts: one, and the whole in one to ever more parts."""
    return sorted(
        {
            -(-whole // parts)
            for parts in (*range(1, 9), 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
            if parts <= whole
        }
        | {1}
    )
