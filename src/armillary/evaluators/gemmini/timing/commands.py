"""What the commands of a tile are: rows that move in runs, and the walk of the array over weights and pixels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import C, D, G, K, N, P, Q, R, S
from armillary.evaluators.gemmini.timing.tiles import (
    ACROSS,
    AROUND,
    AT_REGISTERS,
    AXES,
    INNER,
    INPUTS,
    ORDER_ACROSS,
    ORDER_AROUND,
    ORDER_AT_REGISTERS,
    ORIGIN,
    RELEVANT,
    STEP,
    SUMS,
    UNIT,
    WEIGHTS,
    Integers,
    rounded_up,
    valid_in_accumulator,
    valid_in_scratchpad,
    window,
)
from armillary.hardware.rtl.gemmini.commands import HEADER

_compiled, _ = compilers(Path(__file__).parent)

SHORT, WORDS, WITHIN, TURNS, PIXELS, LOOPS = range(6)
"""Places in `Walk.numbers`: which dimensions are short, one bit each, -1 before the first tile; words of the command;
of weights: pixels that use a tile of them, of sums: steps that add to a block of them; tiles of weights, or blocks of
sums; pixels of a block; loops over the pixels that are read while weights are."""
COUNT, JUMP = range(2)
"""Rows of `Walk.loops`, the innermost first: pixels of the loop, and rows of the scratchpad from one to the next."""


class Walk(NamedTuple):
    """The walk of an execute command, of which all tiles that are as short have the same.

    Attributes:
        numbers: see `SHORT`, shape [6].
        rows: cycles to read a tile of weights, or a step's channels of them, beside the pixels, shape [1].
        loops: see `COUNT`, shape [2, 24].
        done: how far the loops inside have gone over each dimension, shape [8].
    """

    numbers: Integers
    rows: NDArray[np.float64]
    loops: Integers
    done: Integers


def walk_room() -> Walk:
    """Return a walk to be filled; one per thread."""
    numbers, loops, done = (np.zeros(shape, dtype=np.int64) for shape in ((6,), (2, 3 * D), (D,)))
    return Walk(numbers, np.zeros(1), loops, done)


@_compiled
def count_rows(tiles, tensor, counts):
    """Put how many rows of a tensor move for this tile, along each axis, the outermost first, into counts [5]."""
    unit = tiles.dims[UNIT]
    if tensor == SUMS:
        counts[0], counts[2] = valid_in_accumulator(tiles, G), valid_in_accumulator(tiles, N)
        counts[1] = rounded_up(valid_in_accumulator(tiles, K), unit[K])
        counts[3], counts[4] = valid_in_accumulator(tiles, P), valid_in_accumulator(tiles, Q)
        return
    counts[0] = valid_in_scratchpad(tiles, G)
    if tensor == WEIGHTS:
        counts[1] = rounded_up(valid_in_scratchpad(tiles, K), unit[K])
        counts[2], counts[3], counts[4] = _covered(tiles, R), _covered(tiles, S), _covered(tiles, C)
        return
    counts[1] = rounded_up(valid_in_scratchpad(tiles, C), unit[C])
    counts[2] = valid_in_scratchpad(tiles, N)
    origin, places, shape = tiles.dims[ORIGIN], tiles.places[INPUTS], tiles.shape[INPUTS]
    counts[3] = min(places[3], shape[3] + 1 - window(tiles, origin[P] + 1, origin[R] + 1, 0))
    counts[4] = min(places[4], shape[4] + 1 - window(tiles, origin[Q] + 1, origin[S] + 1, 1))


@_compiled
def _covered(tiles, d):
    """Return how far the tiles that the scratchpad holds go over a reduced dimension, maybe beyond its bound."""
    valid, inner = valid_in_scratchpad(tiles, d), tiles.dims[INNER, d]
    whole = (valid - 1) // inner * inner
    step = done = tiles.dims[UNIT, d]
    for row in (ACROSS, AT_REGISTERS, AROUND):
        factor = tiles.dims[row, d]
        done += (min(factor, rounded_up(valid - whole, step)) - 1) * step
        step *= factor
    return whole + done


@_compiled
def runs_of(tiles, tensor, counts):
    """Return rows per run, runs, and words of the command that moves so many rows of a tensor.

    Rows that are neighbours both in DRAM and on chip are one run; loops that go on where those inside them end are one.
    """
    run = runs = inner = 1
    inner_row = inner_address = loops = 0
    row = address = 1
    for axis in range(AXES - 1, -1, -1):
        count = counts[axis]
        if count > 1:
            if loops > 0 and row == inner_row * inner and address == inner_address * inner:
                inner *= count
            else:
                inner, inner_row, inner_address = count, row, address
                loops += 1
            if loops == 1 and inner_address == 1:
                run = inner
            else:
                runs *= count
        row *= tiles.places[tensor, axis]
        address *= tiles.shape[tensor, axis]
    return run, runs, HEADER + 2 * (loops - int(run > 1))


@_compiled
def find_walk(machine, tiles, walk):
    """Fill in the walk of this tile's execute command, unless it is that of the tile before."""
    numbers, short = walk.numbers, 0
    for d in range(D):
        if valid_in_accumulator(tiles, d) < tiles.dims[INNER, d]:
            short |= 1 << d
    if short == numbers[SHORT]:
        return
    numbers[SHORT], numbers[LOOPS] = short, 0
    numbers[WITHIN] = numbers[TURNS] = numbers[PIXELS] = 1
    for d in range(D):
        walk.done[d] = tiles.dims[UNIT, d]
    loops = _walk_block(tiles, walk) + _walk_tile(machine, tiles, walk)
    numbers[WORDS] = HEADER + 2 * loops
    rows, pixels = machine.dim, numbers[WITHIN]
    if machine.holds_sums:
        rows, pixels = tiles.dims[UNIT, C], numbers[PIXELS]
    walk.rows[0] = _rows_beside_pixels(walk, rows, pixels, machine.scratchpad_banks)


@_compiled
def _walk_block(tiles, walk):
    """Walk over the pixels that lie across the array's rows; return the command's loops."""
    loops = 0
    for d in tiles.dims[ORDER_ACROSS]:
        turns = min(tiles.dims[ACROSS, d], rounded_up(valid_in_accumulator(tiles, d), walk.done[d]))
        if turns > 1:
            loops += 1
            walk.numbers[PIXELS] *= turns
            _add_loop(tiles, walk, d, turns)
        walk.done[d] *= tiles.dims[ACROSS, d]
    return loops


@_compiled
def _walk_tile(machine, tiles, walk):
    """Walk over the registers' and the accumulator's loops; return the command's loops, neighbours joined."""
    stationary = SUMS if machine.holds_sums else WEIGHTS
    loops, before, rests = 0, -1, True
    for factors, order in ((AT_REGISTERS, ORDER_AT_REGISTERS), (AROUND, ORDER_AROUND)):
        for d in tiles.dims[order]:
            turns = min(tiles.dims[factors, d], rounded_up(valid_in_accumulator(tiles, d), walk.done[d]))
            if turns > 1:
                loops += int(d != before)
                before = d
                rests = rests and not RELEVANT[stationary, d]
                walk.numbers[WITHIN if rests else TURNS] *= turns
                if rests and not machine.holds_sums:
                    _add_loop(tiles, walk, d, turns)
            walk.done[d] *= tiles.dims[factors, d]
    return loops


@_compiled
def _add_loop(tiles, walk, d, turns):
    number = walk.numbers[LOOPS]
    walk.loops[COUNT, number] = turns
    walk.loops[JUMP, number] = tiles.dims[STEP, d] * (walk.done[d] // tiles.dims[UNIT, d])
    walk.numbers[LOOPS] += 1


@_compiled
def _rows_beside_pixels(walk, rows, pixels, banks):
    """Return the cycles in which so many consecutive rows of weights are read while pixels are, the mean over banks.

    A bank has one port. A pixel goes first; rows of weights wait where it has their bank.
    """
    total = 0
    for first in range(banks):
        at, read, cycle = first, 0, 0
        while read < rows:
            if cycle >= pixels or (at - read) % banks != 0:
                read += 1
            cycle += 1
            at = first + _row_of_pixel(walk, cycle)
        total += cycle
    return total / banks


@_compiled
def _row_of_pixel(walk, number):
    """Return where a pixel lies in the scratchpad, from the first one on."""
    row = 0
    for loop in range(walk.numbers[LOOPS]):
        row += number % walk.loops[COUNT, loop] * walk.loops[JUMP, loop]
        number //= walk.loops[COUNT, loop]
    return row
