"""Where the tensors of a layer lie in DRAM, and what a program on the accelerator is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import (
    LIMIT,
    RELU,
    SCALE,
    SHIFT,
    Field,
    Integers,
    Moves,
    NestLoop,
    Scaled,
    Words,
    merged,
)
from armillary.hardware.templates.gemmini import TooSmallError
from armillary.workloads.layer import Layer

FETCHED = 256
"""Bytes of commands that the accelerator fetches at once; a program begins at a multiple of it."""


class RefusedError(TooSmallError):
    """A mapping that the accelerator cannot run: says what is too small for which layer."""

    def __init__(self, layer: Layer, resource: str, needed: int, available: int, detail: str = "") -> None:
        why = f" ({detail})" if detail else ""
        message = f"layer {layer.name}: {resource} overflow: {needed:,} needed, {available:,} there{why}"
        super().__init__(message, resource, needed, available, layer.name)


@dataclass(frozen=True)
class Padding:
    """Zeros around the input that are not in memory, per side, in pixels.

    Raises:
        FieldError: if a side is negative, or more than a command's coordinates hold.
    """

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        for side in fields(self):
            Field(f"padding {side.name}", 0, largest=LIMIT - 1).check(getattr(self, side.name))


NO_PADDING = Padding()


@dataclass(frozen=True)
class Requantization:
    """How sums become bytes: sum * scale / 2^shift, rounded half up, saturated, at least 0 with `relu`.

    Attributes:
        scale: 1 to 65535.
        shift: 0 to 63.
        relu: whether.

    Raises:
        FieldError: if a value is not one that a store command holds.
    """

    scale: int = 1
    shift: int = 0
    relu: bool = False

    def __post_init__(self) -> None:
        for held in (SCALE, SHIFT, RELU):
            held.check(getattr(self, held.name))

    @property
    def conversion(self) -> Conversion:
        """What the store unit does for it."""
        return Conversion(self.scale, self.shift, low=0 if self.relu else -128)


@dataclass(frozen=True)
class Shape:
    """How a tensor lies in DRAM: counts by dimension, the outermost first, and the bytes of a row.

    Attributes:
        address: of the first row, bytes.
        counts: rows along each dimension.
        row_bytes: of a row.
        apart: bytes from one index of each dimension to the next; empty if rows lie in order, one behind the other.
    """

    address: int
    counts: tuple[int, ...]
    row_bytes: int
    apart: tuple[int, ...] = ()

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one index of each dimension to the next."""
        return self.apart or tuple(self.row_bytes * prod(self.counts[i + 1 :]) for i in range(len(self.counts)))

    @property
    def end(self) -> int:
        """Address behind the last row."""
        last = sum((count - 1) * stride for count, stride in zip(self.counts, self.strides, strict=True))
        return self.address + last + self.row_bytes


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a layer lie in DRAM, and what its sums begin with.

    Attributes:
        inputs: groups, channel blocks, batch, height, width; None for the order of this module, from `address` on.
        weights: groups, output blocks, R, S, channels; likewise, behind the inputs.
        outputs: groups, output blocks, batch, P, Q; likewise, behind the weights.
        address: behind which there is room for tensors that are not given, unfinished sums and commands.
        bias: address of a row of 32-bit sums per group and output block, which all pixels begin with.
        added: a tensor as the outputs, whose bytes the sums begin with, on top of the biases.
        scaled: how those become sums; None for as they are.
        table: address of a row of the array per byte, which that becomes in each column; None for as they are.
        transposed: the operands of a matrix product that lie transposed, of "IW": their rows hold a channel of as many
            pixels as the array has rows, or of as many outputs' channels. Inputs are then counted by groups, channels,
            and rows of a channel; weights by groups, outputs, and rows of an output.
    """

    inputs: Shape | None = None
    weights: Shape | None = None
    outputs: Shape | None = None
    address: int = 0
    bias: int | None = None
    added: Shape | None = None
    scaled: Scaled | None = None
    table: int | None = None
    transposed: str = ""


@dataclass(frozen=True)
class Program:
    """What runs on the accelerator.

    Attributes:
        words: the commands, the end among them.
        address: where they lie in DRAM.
        inputs: where they lie in DRAM.
        weights: likewise.
        outputs: likewise.
        dram_bytes: that the program touches.
        channel_block: input channels per row.
        output_block: outputs per row.
        tiles: execute commands.
        transposed: the operands that lie transposed, of "IW".
        line_row: elements in a row of what lies transposed; 0 if nothing does.
    """

    words: Words
    address: int
    inputs: Shape
    weights: Shape
    outputs: Shape
    dram_bytes: int
    channel_block: int
    output_block: int
    tiles: int
    transposed: str = ""
    line_row: int = 0


def moves_between(
    counts: Sequence[int],
    shape: Shape,
    places: Sequence[int],
    rows: Integers,
    addresses: Integers,
    ranges: Sequence[tuple[Integers, Integers]],
) -> Moves:
    """Return how rows move between DRAM and a memory on chip, in runs that lie together in DRAM.

    Args:
        counts: rows along each dimension, the outermost first.
        shape: how they lie in DRAM.
        places: rows that the memory on chip sets aside along each dimension.
        rows: first row of each move.
        addresses: likewise in DRAM.
        ranges: see `Moves`.
    """
    loops = [
        NestLoop(count, {"row": prod(places[i + 1 :]), "address": stride})
        for i, (count, stride) in enumerate(zip(counts, shape.strides, strict=True))
    ][::-1]
    # The order of rows does not matter, so those that are neighbours in DRAM come one after another.
    found = merged(sorted(loops, key=lambda loop: loop.deltas["address"]))
    if found and found[0].deltas["address"] == shape.row_bytes:
        return Moves(found[1:], found[0].count, rows, addresses, ranges, stride=found[0].deltas["row"])
    return Moves(found, 1, rows, addresses, ranges)


def weight_rows(program: Program, weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return weights as a program reads them: a row per channel, with its weights for a block of outputs.

    Args:
        program: whose weights these are.
        weights: shape [K, C of a group, R, S]; what the program has beyond them is zero.

    Returns:
        Rows, shape [*program.weights.counts, bytes of a row].
    """
    groups, blocks, *taps, c = program.weights.counts
    rows = weights.reshape(groups, -1, *weights.shape[1:])
    for axis, size in enumerate((blocks * program.output_block, c, *taps), start=1):
        rows = grown(rows, axis, size)
    rows = rows.reshape(groups, blocks, program.output_block, c, *taps).transpose(0, 1, 4, 5, 3, 2)
    return np.ascontiguousarray(grown(rows, -1, program.weights.row_bytes))


def grown(array: NDArray[np.int8], axis: int, size: int) -> NDArray[np.int8]:
    """Return an array with zeros behind it along an axis, up to a size."""
    behind = [(0, 0)] * array.ndim
    behind[axis] = 0, size - array.shape[axis]
    return np.pad(array, behind)


def program_bytes(words: int) -> int:
    """Return the bytes of DRAM that so many words of commands need, with what is fetched behind their end."""
    return aligned(8 * words, FETCHED) + 2 * FETCHED


def aligned(value: int, to: int) -> int:
    """Return the next multiple of a number."""
    return -(-value // to) * to
