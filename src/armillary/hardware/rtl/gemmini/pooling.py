"""Pools, additions and lookups of tensors as loads into the accumulator and stores from it; the array does nothing.

A tile of the input is loaded as sums of one byte each, with padding around it where the windows reach beyond. The store
turns every window of it into one row. An addition loads one tensor over the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from armillary.hardware.rtl.gemmini.commands import MOST_MOVE_LOOPS, NestLoop, merged
from armillary.hardware.rtl.gemmini.placement import Place
from armillary.hardware.templates.gemmini import SETUP_CYCLES, TooSmallError
from armillary.workloads.quantized.step import ONCE, Multiplier, Step

LONGEST_RUN = 1 << 17
_LONG_RUN = 8  # rows, which hide a latency of DRAM behind those under way


@dataclass(frozen=True)
class Load:
    """Rows of bytes that become sums.

    Attributes:
        loops: over runs, the innermost first, with the deltas `row` and `address`.
        run: rows that lie together in DRAM, and on chip.
        row: the first in the accumulator.
        address: of the first in DRAM.
        multiplier: of every byte.
        adds: to the sums that are there, which are replaced otherwise.
        repeats: one row of DRAM fills the whole run.
        held: rows of the accumulator that hazards watch, from and to.
    """

    loops: tuple[NestLoop, ...]
    run: int
    row: int
    address: int
    held: tuple[int, int]
    multiplier: Multiplier = ONCE
    adds: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Store:
    """Sums that become rows of bytes.

    Attributes:
        loops: over runs, the innermost first, with the deltas `row` and `address`.
        window: so many loops, the innermost ones, go over the rows that become one.
        totals: the sum of a window, not its maximum.
        run: rows that lie together in DRAM, and on chip; one where there is a window.
        row: the first in the accumulator.
        address: of the first in DRAM.
        held: rows of the accumulator that hazards watch, from and to.
    """

    loops: tuple[NestLoop, ...]
    run: int
    row: int
    address: int
    held: tuple[int, int]
    window: int = 0
    totals: bool = False


def added(step: Step, first: Place, second: Place | None, output: Place, rows: int) -> Iterator[Load | Store]:
    """Yield what adds two tensors, or takes one as it is.

    Args:
        step: the addition or lookup.
        first: where its input is.
        second: where its residual is, if it has one.
        output: where the sum goes.
        rows: of the accumulator.
    """
    total = (output.end - output.address) // output.pitch
    most = min(max(1, rows // 2), LONGEST_RUN)
    for number, start in enumerate(range(0, total, most)):
        run, row, offset = min(most, total - start), number % 2 * (rows // 2), start * output.pitch
        held = row, row + run
        yield Load((), run, row, first.address + offset, held, step.multiplier)
        if second is not None:
            yield Load((), run, row, second.address + offset, held, step.residual_multiplier, adds=True)
        yield Store((), run, row, output.address + offset, held)


def pooled(step: Step, source: Place, output: Place, padding: int, rows: int) -> Iterator[Load | Store]:
    """Yield what reduces every window of a tensor to one value.

    Args:
        step: a maximum or an average.
        source: where its input is.
        output: where the result goes.
        padding: address of a row of what stands around the input: the least byte for a maximum, 0 for an average.
        rows: of the accumulator.

    Raises:
        TooSmallError: if one row of outputs needs more of the accumulator than there is.
    """
    pool = _Pool(step, source, output, padding)
    sizes, buffers = pool.tile_sizes(rows)
    n, _, p, q = step.output.shape
    starts = product(range(n), *(range(0, n, size) for n, size in zip((source.blocks, p, q), sizes, strict=True)))
    for number, (image, block, line, pixel) in enumerate(starts):
        ends = (
            min(at + size, n) for at, size, n in zip((block, line, pixel), sizes, (source.blocks, p, q), strict=True)
        )
        blocks, lines, pixels = (end - at for end, at in zip(ends, (block, line, pixel), strict=True))
        tile = _Tile(image, block, blocks, line, lines, pixel, pixels, number % buffers * (rows // 2))
        yield from pool.loads(tile)
        yield from pool.stores(tile)


@dataclass(frozen=True)
class _Tile:
    """Some lines and pixels of an image's outputs, some blocks of its channels, at a row of the accumulator."""

    image: int
    block: int
    blocks: int
    line: int
    lines: int
    pixel: int
    pixels: int
    base: int


class _Pool:
    def __init__(self, step: Step, source: Place, output: Place, padding: int) -> None:
        self._step, self._source, self._output, self._padding = step, source, output, padding

    def _reach(self, outputs: int, axis: int) -> int:
        """Return the lines (axis 0) or pixels (1) of input that so many of the output reach."""
        window = self._step.window
        return (outputs - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1

    def _rows(self, blocks: int, lines: int, pixels: int) -> int:
        """Return the rows of a tile."""
        return blocks * self._reach(lines, 0) * self._reach(pixels, 1)

    def tile_sizes(self, rows: int) -> tuple[tuple[int, int, int], int]:
        """Return blocks of channels, lines and pixels of a tile, and how many of them the accumulator has at a time."""
        _, _, p, q = self._step.output.shape
        for buffers in (2, 1):
            fitting = [
                (blocks, lines, pixels)
                for blocks in _halves(self._source.blocks)
                for lines in _halves(p)
                for pixels in _halves(q)
                if self._rows(blocks, lines, pixels) <= rows // buffers
            ]
            if fitting:
                return min(fitting, key=self._cycles), buffers
        needed = self._rows(1, 1, 1)
        message = f"layer {self._step.name}: accumulator rows overflow: {needed:,} needed for a window, {rows:,} there"
        raise TooSmallError(message, "accumulator rows", needed, rows, self._step.name)

    def _cycles(self, sizes: tuple[int, int, int]) -> float:
        """Return about how long the loads take: a row a cycle in long runs, less in short ones."""
        _, _, p, q = self._step.output.shape
        every = (self._source.blocks, p, q)
        tiles = prod(-(-n // size) for n, size in zip(every, sizes, strict=True))
        whole = sizes[0] == self._source.blocks
        run = sizes[0] * (self._reach(sizes[2], 1) if whole else 1)
        return tiles * (self._rows(*sizes) * max(1.0, _LONG_RUN / run) + SETUP_CYCLES)

    def _held(self, tile: _Tile) -> tuple[int, int]:
        return tile.base, tile.base + self._rows(tile.blocks, tile.lines, tile.pixels)

    def loads(self, tile: _Tile) -> Iterator[Load]:
        """Yield the loads of a tile: padding all over if it has any, then what is inside of the input."""
        step, source, held = self._step, self._source, self._held(tile)
        _, _, height, width = step.inputs.shape
        tall, wide = self._reach(tile.lines, 0), self._reach(tile.pixels, 1)
        top = tile.line * step.window.strides[0] - step.window.pads[0]
        left = tile.pixel * step.window.strides[1] - step.window.pads[1]
        y, x = max(top, 0), max(left, 0)
        lines, pixels = min(top + tall, height) - y, min(left + wide, width) - x
        if (lines, pixels) != (tall, wide):
            yield Load((), held[1] - held[0], tile.base, self._padding, held, repeats=True)
        if lines <= 0 or pixels <= 0:
            return
        row = tile.base + ((y - top) * wide + x - left) * tile.blocks
        image, line, pixel = source.strides
        address = source.address + tile.image * image + y * line + x * pixel + tile.block * source.pitch
        loops = _loops(
            (pixels, tile.blocks, pixel), (lines, wide * tile.blocks, line)
        )  # over runs of one pixel's blocks
        run, loops = _joined(tile.blocks, source.pitch, loops)
        yield Load(loops, run, row, address, held)

    def stores(self, tile: _Tile) -> Iterator[Store]:
        """Yield the stores of a tile, one for all blocks of channels where that takes no more loops than there are."""
        step, output, window = self._step, self._output, self._step.window
        image, line, pixel = output.strides
        across, down = tile.blocks, self._reach(tile.pixels, 1) * tile.blocks
        inside = merged(
            _loops(
                (window.kernel[1], window.dilations[1] * across, 0), (window.kernel[0], window.dilations[0] * down, 0)
            )
        )
        outside = _loops((tile.pixels, window.strides[1] * across, pixel), (tile.lines, window.strides[0] * down, line))
        by_block = _loops((tile.blocks, 1, output.pitch))
        address = output.address + tile.image * image + tile.line * line + tile.pixel * pixel
        address += tile.block * output.pitch
        whole = Store(
            (*inside, *merged([*by_block, *outside])), 1, tile.base, address, self._held(tile), len(inside),
            step.kind == "average_pool",
        )  # fmt: skip
        if len(whole.loops) <= MOST_MOVE_LOOPS:
            yield whole
            return
        alone = (*inside, *merged(outside))
        for block in range(tile.blocks):
            yield replace(whole, loops=alone, row=tile.base + block, address=address + block * output.pitch)


def _halves(count: int) -> list[int]:
    """Return a count, half of it rounded up, and so on down to one."""
    return [count] if count == 1 else [count, *_halves(-(-count // 2))]


def _loops(*each: tuple[int, int, int]) -> tuple[NestLoop, ...]:
    """Return loops of counts and the deltas of row and address, without those that turn once."""
    return tuple(NestLoop(count, {"row": row, "address": address}) for count, row, address in each if count > 1)


def _joined(run: int, pitch: int, loops: tuple[NestLoop, ...]) -> tuple[int, tuple[NestLoop, ...]]:
    """Return a longer run and the loops outside it, where the runs of a loop follow each other on chip and in DRAM."""
    left = list(loops)
    while left and left[0].deltas == {"row": run, "address": run * pitch} and run * left[0].count <= LONGEST_RUN:
        run *= left.pop(0).count
    return run, tuple(left)
