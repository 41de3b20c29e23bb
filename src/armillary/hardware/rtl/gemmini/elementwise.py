"""Commands for layers without weights: windows of pixels that become one, and tensors that are added.

Bytes are loaded into the accumulator as sums, in tiles of which two fit, and leave through the store unit. Tensors are
those of `compiler.Shape`: groups, channel blocks, batch, height, width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import Integers, Moves, NestLoop, Scaled, Window, Words, merged
from armillary.hardware.rtl.gemmini.compiler import NO_PADDING, Padding, Shape
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.types import ArmillaryError


@dataclass(frozen=True)
class Pooling:
    """Windows over the pixels of a tensor.

    Attributes:
        height: of a window, pixels.
        width: likewise.
        stride_h: from a window to the next below.
        stride_w: to the next on the right.
        padding: around the input.
        totals: of the pixels, not the largest.
        outside: address of a row of bytes that stands for a pixel of the padding.
    """

    height: int
    width: int
    stride_h: int = 1
    stride_w: int = 1
    padding: Padding = NO_PADDING
    totals: bool = False
    outside: int = 0

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the pixels of the output of an input, down and across."""
        p = self.padding
        return (
            (height + p.top + p.bottom - self.height) // self.stride_h + 1,
            (width + p.left + p.right - self.width) // self.stride_w + 1,
        )


def pooled(accelerator: Accelerator, inputs: Shape, outputs: Shape, pooling: Pooling, conversion: Conversion) -> Words:
    """Return the commands that pool a tensor.

    Args:
        accelerator: whose accumulator holds the tiles, each some rows of one image's output and what they come from.
        inputs: where the bytes lie.
        outputs: where the results go, with the same groups, channel blocks and images.
        pooling: the windows.
        conversion: of the largest sum, or the total, to a byte.

    Raises:
        TooSmallError: if the accumulator cannot hold two tiles of one row of output.
        ArmillaryError: if the output's shape is another.
    """
    rows, columns = pooling.output(*inputs.counts[3:])
    if outputs.counts != (*inputs.counts[:3], rows, columns):
        raise ArmillaryError(f"the windows make {(*inputs.counts[:3], rows, columns)}, the output has {outputs.counts}")
    width = inputs.counts[4] + pooling.padding.left + pooling.padding.right
    room = accelerator.accumulator_rows // 2
    most = (room // width - pooling.height) // pooling.stride_h + 1
    if room // width < pooling.height:
        needed = 2 * pooling.height * width
        raise TooSmallError(
            f"a window of {pooling.height} rows of {width} pixels needs {needed} rows of the accumulator, twice over",
            "accumulator rows",
            needed,
            accelerator.accumulator_rows,
        )
    found, tile = [], 0
    for image in _images(inputs):
        for first in range(0, rows, most):
            base = tile % 2 * room
            found += _window_rows(inputs, outputs, pooling, conversion, (*image, first), min(most, rows - first), base)
            tile += 1
    return np.concatenate([words.reshape(-1) for words in found])


def _images(shape: Shape) -> Iterator[tuple[int, int, int]]:
    """Yield every group, channel block and image."""
    for index in np.ndindex(*shape.counts[:3]):
        yield index[0], index[1], index[2]


def _window_rows(
    inputs: Shape,
    outputs: Shape,
    pooling: Pooling,
    conversion: Conversion,
    at: tuple[int, int, int, int],
    rows: int,
    base: int,
) -> list[Words]:
    """Return the commands of some rows of output."""
    padding, (height, columns) = pooling.padding, inputs.counts[3:]
    width = columns + padding.left + padding.right
    top = at[3] * pooling.stride_h - padding.top
    tall = (rows - 1) * pooling.stride_h + pooling.height
    used = [_none(), _none(), (_one(base), _one(base + tall * width))]
    found = []
    inside = max(top, 0), min(top + tall, height)
    if padding != NO_PADDING:
        everywhere = Moves([], tall * width, _one(base), _one(pooling.outside), used)
        found.append(everywhere.loads(to_accumulator=True, scaled=Scaled(), repeats=True))
    if inside[0] < inside[1]:
        loops = [
            NestLoop(columns, {"row": 1, "address": inputs.strides[4]}),
            NestLoop(inside[1] - inside[0], {"row": width, "address": inputs.strides[3]}),
        ]
        to = base + (inside[0] - top) * width + padding.left
        moves = _joined(loops, inputs, to, _address(inputs, (*at[:3], inside[0], 0)), used)
        found.append(moves.loads(to_accumulator=True, scaled=Scaled()))
    window = [
        NestLoop(pooling.width, {"row": 1, "address": 0}),
        NestLoop(pooling.height, {"row": width, "address": 0}),
    ]
    over = [
        NestLoop(outputs.counts[4], {"row": pooling.stride_w, "address": outputs.strides[4]}),
        NestLoop(rows, {"row": pooling.stride_h * width, "address": outputs.strides[3]}),
    ]
    loops = [loop for loop in (*window, *over) if loop.count > 1]
    turning = sum(loop.count > 1 for loop in window)
    moves = Moves(loops, 1, _one(base), _one(_address(outputs, (*at, 0))), used)
    return [*found, moves.stores(conversion, Window((1 << turning) - 1, pooling.totals))]


def added(
    accelerator: Accelerator,
    inputs: tuple[Shape, Shape],
    outputs: Shape,
    scaled: tuple[Scaled, Scaled],
    conversion: Conversion,
) -> Words:
    """Return the commands that add two tensors of one shape.

    Args:
        accelerator: whose accumulator holds the tiles, each some rows of one image.
        inputs: where the bytes lie.
        outputs: where the results go.
        scaled: how each one's bytes become sums.
        conversion: of the sums to bytes.

    Raises:
        TooSmallError: if the accumulator cannot hold two tiles of one row of pixels.
        ArmillaryError: if the shapes differ.
    """
    if len({shape.counts for shape in (*inputs, outputs)}) != 1:
        raise ArmillaryError(f"tensors of {inputs[0].counts} and {inputs[1].counts} are not added to {outputs.counts}")
    height, width = outputs.counts[3:]
    room = accelerator.accumulator_rows // 2
    if width > room:
        raise TooSmallError(f"a row of {width} pixels does not fit", "accumulator rows", 2 * width, 2 * room)
    found, tile = [], 0
    for image in _images(outputs):
        for first in range(0, height, room // width):
            rows, base = min(room // width, height - first), tile % 2 * room
            used = [_none(), _none(), (_one(base), _one(base + rows * width))]
            a, b, out = (_plane(shape, (*image, first), rows, base, used) for shape in (*inputs, outputs))
            found += [
                a.loads(to_accumulator=True, scaled=scaled[0]),
                b.loads(to_accumulator=True, scaled=scaled[1], adds=True),
                out.stores(conversion),
            ]
            tile += 1
    return np.concatenate([words.reshape(-1) for words in found])


def _plane(
    shape: Shape, at: tuple[int, int, int, int], rows: int, base: int, used: list[tuple[Integers, Integers]]
) -> Moves:
    """Return the moves of some whole rows of pixels."""
    width = shape.counts[4]
    loops = [
        NestLoop(width, {"row": 1, "address": shape.strides[4]}),
        NestLoop(rows, {"row": width, "address": shape.strides[3]}),
    ]
    return _joined(loops, shape, base, _address(shape, (*at, 0)), used)


def _joined(
    loops: list[NestLoop], shape: Shape, row: int, address: int, used: list[tuple[Integers, Integers]]
) -> Moves:
    found = merged(loops)
    if found and found[0].deltas == {"row": 1, "address": shape.row_bytes}:
        return Moves(found[1:], found[0].count, _one(row), _one(address), used)
    return Moves(found, 1, _one(row), _one(address), used)


def _address(shape: Shape, at: tuple[int, ...]) -> int:
    return shape.address + sum(index * stride for index, stride in zip(at, shape.strides, strict=True))


def _one(value: int) -> Integers:
    return np.array([value], dtype=np.int64)


def _none() -> tuple[Integers, Integers]:
    return _one(0), _one(0)
