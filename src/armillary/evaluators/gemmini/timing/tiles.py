"""The tiles of a mapping as the command compiler makes them: how large, where on chip, and which one comes next.

The counts are those of `hardware.rtl.gemmini.tiling` and `sequence`, for one mapping at a time and compiled; a test
compares them command by command with what the compiler writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import INDEXES, C, D, G, K, N, P, Q, R, S
from armillary.hardware.hierarchy import TENSORS

Integers = NDArray[np.int64]

INPUTS, WEIGHTS, SUMS = range(3)
REGISTERS, ACCUMULATOR, SCRATCHPAD, DRAM = range(4)
MOST_LOOPS = 2 * D
AXES = 5
"""Of a tensor's rows in DRAM and on chip, see `hardware.rtl.gemmini.compiler`."""
RELEVANT = INDEXES[[TENSORS.index(tensor) for tensor in "IWO"]]

_compiled, _inlined = compilers(Path(__file__).parent)


(
    BOUND, INNER, HELD, UNIT, STEP, ORIGIN, INSIDE, ACROSS, AT_REGISTERS, AROUND, ORDER_ACROSS, ORDER_AT_REGISTERS,
    ORDER_AROUND,
) = range(13)  # fmt: skip
"""Rows of `Tiles.dims`, a number per dimension: how far the layer's loop runs; the extents of a tile of the accumulator
and of the scratchpad; what one row of a memory holds; rows of the scratchpad from an input to that of the next index;
the first element of the scratchpad's tile, and of the accumulator's in it; the factors of the loops inside that, across
the array, at its registers and around them; and the orders of these, the innermost dimension first."""
DIMENSION, LEVEL, FACTOR, INDEX = range(4)
"""Rows of `Tiles.loops`, the outermost loop first."""
BUFFERS, CHANGES = range(2)
"""Rows of `Tiles.tensors`: tiles of each that lie on chip at once; 1 if this tile's is another than the last one's."""
LOOPS, STRIDE, DILATION = 0, 1, 3
"""Places in `Tiles.numbers`: loops over tiles; strides and dilations of rows and of columns."""


class Tiles(NamedTuple):
    """How a mapping splits a layer, and the tile that it is at. Few arrays: a call copies each.

    Attributes:
        dims: see `BOUND`, shape [13, 8].
        places: rows that each tensor's tile has along its axes, the outermost first, shape [3, 5].
        shape: rows that the whole tensor has in DRAM, likewise.
        loops: see `DIMENSION`, shape [4, 16].
        tensors: see `BUFFERS`, shape [2, 3].
        numbers: see `LOOPS`, shape [5].
    """

    dims: Integers
    places: Integers
    shape: Integers
    loops: Integers
    tensors: Integers
    numbers: Integers


def tiles_room() -> Tiles:
    """Return tiles to be filled; one per thread."""
    shapes = ((13, D), (3, AXES), (3, AXES), (4, MOST_LOOPS), (2, 3), (5,))
    return Tiles(*(np.zeros(shape, dtype=np.int64) for shape in shapes))


@_inlined
def rounded_up(value, by):
    """Return how many groups of a size hold so many."""
    return -(-value // by)


@_compiled
def window(tiles, outputs, taps, axis):
    """Return the input rows (axis 0) or columns (1) under so many outputs and filter taps."""
    numbers = tiles.numbers
    return (outputs - 1) * numbers[STRIDE + axis] + (taps - 1) * numbers[DILATION + axis] + 1


@_compiled
def lay_out(nest, work, machine, tiles):
    """Fill in how a mapping splits a layer, and begin at the first tile."""
    dims = tiles.dims
    for axis in range(2):
        tiles.numbers[STRIDE + axis], tiles.numbers[DILATION + axis] = int(work.stride[axis]), int(work.dilation[axis])
    for d in range(D):
        dims[UNIT, d] = 1
    for d in range(D):
        dims[BOUND, d], dims[ORIGIN, d], dims[INSIDE, d] = int(work.bounds[d]), 0, 0
        dims[AT_REGISTERS, d], dims[AROUND, d] = int(nest.temporal[REGISTERS, d]), int(nest.temporal[ACCUMULATOR, d])
        dims[ACROSS, d] = int(nest.spatial[ACCUMULATOR, d])
        dims[INNER, d] = dims[ACROSS, d] * dims[AT_REGISTERS, d] * dims[AROUND, d] * int(nest.spatial[SCRATCHPAD, d])
        dims[HELD, d] = dims[INNER, d] * int(nest.temporal[SCRATCHPAD, d])
        dims[UNIT, K] *= int(nest.spatial[SCRATCHPAD, d])
        dims[ORDER_ACROSS, d] = int(nest.order_x[ACCUMULATOR, d])
        dims[ORDER_AT_REGISTERS, d], dims[ORDER_AROUND, d] = (
            int(nest.order[REGISTERS, d]),
            int(nest.order[ACCUMULATOR, d]),
        )
    dims[UNIT, C] = _channels_of_row(machine, tiles)
    if machine.holds_sums:  # an element takes a row's channels in one step
        dims[AT_REGISTERS, C] //= dims[UNIT, C]
    else:
        dims[ACROSS, C] = 1  # whose loop is the row itself
    _count_rows(nest, tiles)
    _find_buffers(nest, machine, tiles)
    _find_loops(nest, tiles)


@_compiled
def _channels_of_row(machine, tiles):
    dims = tiles.dims
    if machine.holds_sums == 0:
        return dims[ACROSS, C]
    found = 1
    for divisor in range(2, machine.dim + 1):
        if dims[AT_REGISTERS, C] % divisor == 0:
            found = divisor
    return found


@_compiled
def _count_rows(nest, tiles):
    held, inner, unit, bounds = tiles.dims[HELD], tiles.dims[INNER], tiles.dims[UNIT], tiles.dims[BOUND]
    height, width = window(tiles, held[P], held[R], 0), window(tiles, held[Q], held[S], 1)
    _five(tiles.places[INPUTS], held[G], held[C] // unit[C], held[N], height, width)
    _five(tiles.places[WEIGHTS], held[G], held[K] // unit[K], held[R], held[S], held[C])
    _five(tiles.places[SUMS], inner[G], inner[K] // unit[K], inner[N], inner[P], inner[Q])
    rows, columns = window(tiles, bounds[P], bounds[R], 0), window(tiles, bounds[Q], bounds[S], 1)
    _five(tiles.shape[INPUTS], bounds[G], rounded_up(bounds[C], unit[C]), bounds[N], rows, columns)
    over_k, over_c = held[K] * int(nest.temporal[DRAM, K]), held[C] * int(nest.temporal[DRAM, C])
    over_r, over_s = held[R] * int(nest.temporal[DRAM, R]), held[S] * int(nest.temporal[DRAM, S])
    _five(tiles.shape[WEIGHTS], bounds[G], over_k // unit[K], over_r, over_s, over_c)
    _five(tiles.shape[SUMS], bounds[G], rounded_up(bounds[K], unit[K]), bounds[N], bounds[P], bounds[Q])
    step = tiles.dims[STEP]
    step[K] = 0
    step[Q], step[S] = tiles.numbers[STRIDE + 1], tiles.numbers[DILATION + 1]
    step[P], step[R] = tiles.numbers[STRIDE] * width, tiles.numbers[DILATION] * width
    step[N] = height * width
    step[C] = held[N] * step[N]
    step[G] = tiles.places[INPUTS, 1] * step[C]


@_compiled
def _five(row, a, b, c, d, e):
    row[0], row[1], row[2], row[3], row[4] = a, b, c, d, e


@_compiled
def _find_buffers(nest, machine, tiles):
    """Give a tensor room for two tiles where that is there: first both, then weights, then inputs."""
    inputs = weights = sums = 1
    for axis in range(AXES):
        inputs *= tiles.places[INPUTS, axis]
        weights *= tiles.places[WEIGHTS, axis]
        sums *= tiles.places[SUMS, axis]
    more_inputs = more_weights = 0
    for d in range(D):
        if nest.temporal[DRAM, d] > 1:
            more_inputs |= int(RELEVANT[INPUTS, d])
            more_weights |= int(RELEVANT[WEIGHTS, d])
    buffers = tiles.tensors[BUFFERS]
    buffers.fill(1)
    room = machine.scratchpad_rows
    if (1 + more_inputs) * inputs + (1 + more_weights) * weights <= room:
        buffers[INPUTS], buffers[WEIGHTS] = 1 + more_inputs, 1 + more_weights
    elif inputs + (1 + more_weights) * weights <= room:
        buffers[WEIGHTS] = 1 + more_weights
    elif (1 + more_inputs) * inputs + weights <= room:
        buffers[INPUTS] = 1 + more_inputs
    if 2 * sums <= machine.accumulator_rows:
        buffers[SUMS] = 2


@_compiled
def _find_loops(nest, tiles):
    count = 0
    for level in (DRAM, SCRATCHPAD):
        for place in range(D - 1, -1, -1):
            d = int(nest.order[level, place])
            if nest.temporal[level, d] > 1:
                tiles.loops[DIMENSION, count] = d
                tiles.loops[LEVEL, count] = level
                tiles.loops[FACTOR, count] = int(nest.temporal[level, d])
                tiles.loops[INDEX, count] = 0
                count += 1
    tiles.numbers[LOOPS] = count
    for tensor in range(3):
        tiles.tensors[CHANGES, tensor] = 1


@_compiled
def valid_in_scratchpad(tiles, d):
    """Return how far the scratchpad's tile goes over a dimension."""
    return min(tiles.dims[HELD, d], tiles.dims[BOUND, d] - tiles.dims[ORIGIN, d])


@_compiled
def valid_in_accumulator(tiles, d):
    """Return how far the accumulator's tile goes over a dimension."""
    return min(tiles.dims[INNER, d], tiles.dims[BOUND, d] - tiles.dims[ORIGIN, d] - tiles.dims[INSIDE, d])


@_compiled
def iterations(tiles, number):
    """Return how often a loop over tiles turns where the loops outside it stand."""
    d, dims = tiles.loops[DIMENSION, number], tiles.dims
    if tiles.loops[LEVEL, number] == DRAM:
        return min(tiles.loops[FACTOR, number], rounded_up(dims[BOUND, d], dims[HELD, d]))
    return min(tiles.loops[FACTOR, number], rounded_up(dims[BOUND, d] - dims[ORIGIN, d], dims[INNER, d]))


@_compiled
def next_loop(tiles):
    """Return the number of the loop that advances after this tile; -1 after the last one."""
    dims = tiles.dims
    for number in range(tiles.numbers[LOOPS] - 1, -1, -1):
        d = tiles.loops[DIMENSION, number]
        behind = dims[ORIGIN, d] + (
            dims[HELD, d] if tiles.loops[LEVEL, number] == DRAM else dims[INSIDE, d] + dims[INNER, d]
        )
        if tiles.loops[INDEX, number] + 1 < tiles.loops[FACTOR, number] and behind < dims[BOUND, d]:
            return number
    return -1


@_compiled
def leaves(tiles, number):
    """Return whether the sums of this tile go before the next one, for which a loop advances."""
    if number < 0 or RELEVANT[SUMS, tiles.loops[DIMENSION, number]]:
        return True
    found = False
    for inside in range(number + 1, tiles.numbers[LOOPS]):
        found = found or (RELEVANT[SUMS, tiles.loops[DIMENSION, inside]] and tiles.loops[INDEX, inside] > 0)
    return found


@_compiled
def is_first_visit(tiles):
    """Return whether the sums of this tile begin here."""
    origin, inside = tiles.dims[ORIGIN], tiles.dims[INSIDE]
    return origin[C] + inside[C] + origin[R] + inside[R] + origin[S] + inside[S] == 0


@_compiled
def is_last_visit(tiles):
    """Return whether the sums of this tile are whole after it."""
    found = True
    for d in (C, R, S):
        found = found and tiles.dims[ORIGIN, d] + tiles.dims[INSIDE, d] + tiles.dims[INNER, d] >= tiles.dims[BOUND, d]
    return found


@_compiled
def advance(tiles, number):
    """Go to the next tile: a loop advances, those inside it begin anew."""
    for tensor in range(3):
        tiles.tensors[CHANGES, tensor] = 0
    for inside in range(number, tiles.numbers[LOOPS]):
        d = tiles.loops[DIMENSION, inside]
        if inside == number or tiles.loops[INDEX, inside] > 0:
            for tensor in range(3):
                if tiles.loops[LEVEL, inside] == DRAM or tensor == SUMS:
                    tiles.tensors[CHANGES, tensor] |= int(RELEVANT[tensor, d])
        go_to(tiles, inside, tiles.loops[INDEX, inside] + 1 if inside == number else 0)


@_compiled
def go_to(tiles, number, index):
    """Put a loop to an iteration."""
    d = tiles.loops[DIMENSION, number]
    tiles.loops[INDEX, number] = index
    if tiles.loops[LEVEL, number] == DRAM:
        tiles.dims[ORIGIN, d] = index * tiles.dims[HELD, d]
    else:
        tiles.dims[INSIDE, d] = index * tiles.dims[INNER, d]
