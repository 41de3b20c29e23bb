"""Maxima over windows of a convolution's outputs, taken of its sums on their way out of the accumulator.

Converting sums to bytes keeps their order, so that the largest byte is that of the largest sum. What a window reaches
beyond the outputs does not count, so that it is cut off at their border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from armillary.hardware.rtl.gemmini.commands import MOST_MOVE_LOOPS, NestLoop, Window, merged
from armillary.workloads.quantized.step import Window as Pool


@dataclass(frozen=True)
class Windows:
    """Windows along an axis, one behind the other, of one size.

    Attributes:
        output: the first one's number.
        count: how many.
        first: where the first begins.
        size: of each.
    """

    output: int
    count: int
    first: int
    size: int


def along(pool: Pool, axis: int, size: int) -> list[tuple[int, int]]:
    """Return where every window along an axis of so many outputs begins and ends, cut off at the border.

    Args:
        pool: without dilation.
        axis: 0 down, 1 across.
        size: outputs along the axis.
    """
    kernel, stride, before = pool.kernel[axis], pool.strides[axis], pool.pads[axis]
    count = pool.outputs(size, size)[axis]
    return [(max(n * stride - before, 0), min(n * stride - before + kernel, size)) for n in range(count)]


def whole(pool: Pool, axis: int, size: int, tile: int) -> int:
    """Return how many windows along an axis lie in one tile of so many outputs each; see `along`."""
    return sum(first < end and first // tile == (end - 1) // tile for first, end in along(pool, axis, size))


def of_tile(pool: Pool, axis: int, size: int, begin: int, tile: int) -> list[Windows]:
    """Return the windows that lie in the tile which begins at an output, those of one size together; see `along`."""
    found: list[Windows] = []
    for number, (first, end) in enumerate(along(pool, axis, size)):
        if not begin <= first < begin + tile:
            continue
        last = found[-1] if found else None
        follows = last and first == last.first + last.count * pool.strides[axis] and end - first == last.size
        if last and follows:
            found[-1] = Windows(last.output, last.count + 1, last.first, last.size)
        else:
            found.append(Windows(number, 1, first, end - first))
    return found


def pooled_moves(
    lines: Windows,
    pixels: Windows,
    strides: tuple[int, int],
    outside: Sequence[NestLoop],
    width: int,
    steps: tuple[int, int],
) -> tuple[list[NestLoop], Window, list[tuple[int, int]]]:
    """Return the nest over some windows of a tile, which of its loops go over a window, and how often it has to run.

    Args:
        lines: windows down.
        pixels: windows across.
        strides: of the pool, down and across.
        outside: loops over what has windows of its own: blocks of channels, images, groups.
        width: rows of the accumulator from one line to the next.
        steps: bytes in DRAM from one pooled line and pixel to the next.

    Returns:
        The loops, the innermost first; those of a window; and the row and address that is added for every time that
        the nest runs: loops beyond those that a command has are repeated commands.
    """
    inside = merged(
        [NestLoop(pixels.size, {"row": 1, "address": 0}), NestLoop(lines.size, {"row": width, "address": 0})]
    )
    over = [
        NestLoop(pixels.count, {"row": strides[1], "address": steps[1]}),
        NestLoop(lines.count, {"row": strides[0] * width, "address": steps[0]}),
    ]
    # What is close in DRAM comes one behind the other.
    around = merged(sorted([*outside, *over], key=lambda loop: loop.deltas["address"]))
    room = MOST_MOVE_LOOPS - len(inside)
    repeated = around[room:]
    turns = product(*(range(loop.count) for loop in repeated))
    offsets = [
        tuple(
            sum(turn * loop.deltas[name] for turn, loop in zip(turns_of, repeated, strict=True))
            for name in ("row", "address")
        )
        for turns_of in turns
    ]
    return [*inside, *around[:room]], Window((1 << len(inside)) - 1), offsets  # type: ignore[return-value]
