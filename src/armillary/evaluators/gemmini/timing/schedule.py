"""The cycles of a mapped layer: its commands, tile after tile, through the units of the accelerator.

Loops over tiles soon repeat themselves: all their iterations but the first and the last have the same commands, and the
hardware, whose next state follows from its state alone, runs in a cycle (Baccelli et al., Synchronization and
Linearity, 1992, on max-plus systems). Where the state, seen from the decoder, is what it was some iterations ago, all
further such rounds are passed over at once. That is exact but for what the decoder has fetched, which the state leaves
out, and makes the work grow with the loops' number, not with their product. Brent's method finds the round: the state
is kept at iterations 1, 2, 4, 8...
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import C, Work, nest_of
from armillary.evaluators.gemmini.timing import stages
from armillary.evaluators.gemmini.timing.commands import (
    PIXELS,
    SHORT,
    TURNS,
    WITHIN,
    WORDS,
    Walk,
    count_rows,
    find_walk,
    runs_of,
    walk_room,
)
from armillary.evaluators.gemmini.timing.machine import Machine
from armillary.evaluators.gemmini.timing.tiles import (
    AXES,
    BUFFERS,
    CHANGES,
    INDEX,
    INPUTS,
    MOST_LOOPS,
    SUMS,
    UNIT,
    WEIGHTS,
    Tiles,
    advance,
    go_to,
    is_first_visit,
    is_last_visit,
    iterations,
    lay_out,
    leaves,
    next_loop,
    tiles_room,
)
from armillary.evaluators.gemmini.timing.units import (
    BEGIN,
    BUFFER,
    DECODED,
    END,
    EXECUTE,
    LOAD,
    NEXT_START,
    OLDEST,
    STORE,
    UNITS,
    WEIGHTS_FREE,
    State,
    decode,
    execute,
    load,
    reset,
    state_room,
    store,
)

_compiled, _ = compilers(Path(__file__).parent, Path(__file__).parents[3] / "cost_model" / "kernel")

_KEPT = 24  # of a state, without the queues
_SAME = 1e-3  # cycles
_PAST = -2.0
"""Times that are further behind the decoder than this have no effect: a command starts two cycles after its push."""


class Room(NamedTuple):
    """Room to work in.

    Attributes:
        tiles: see `Tiles`.
        walk: see `Walk`.
        state: see `State`.
        counts: rows that move, shape [5].
        seen: the state at an iteration of each loop over tiles, shape [16, times].
        seen_at: which iteration that was, 0 for none, shape [16].
        seen_time: when the decoder got there, shape [16].
        now: the state, shape [times].
    """

    tiles: Tiles
    walk: Walk
    state: State
    counts: NDArray[np.int64]
    seen: NDArray[np.float64]
    seen_at: NDArray[np.int64]
    seen_time: NDArray[np.float64]
    now: NDArray[np.float64]


def room(most_depth: int) -> Room:
    """Return room for accelerators whose queues hold so many commands at most; one per thread."""
    times = _KEPT + len(UNITS) * most_depth
    return Room(
        tiles_room(), walk_room(), state_room(most_depth), np.zeros(AXES, dtype=np.int64),
        np.zeros((MOST_LOOPS, times)), np.zeros(MOST_LOOPS, dtype=np.int64), np.zeros(MOST_LOOPS), np.zeros(times),
    )  # fmt: skip


@_compiled
def cycles_of_some(nests, works, machines, own, first, last, space, out, trace):
    """Put the cycles of mappings number `first` to `last` - 1 into out; nests, works and machines are stacked.

    `own` says of works and machines whether each mapping has its own, 1, or all share one, 0. A trace of more than one
    row takes each command, as `_note` writes it; then none is passed over.
    """
    for i in range(first, last):
        w, m = i * own[0], machines[i * own[1]]
        machine = Machine(
            int(m[0]), int(m[1]), int(m[2]), m[3], int(m[4]), int(m[5]), int(m[6]), int(m[7]), int(m[8]), int(m[9]),
            int(m[10]), int(m[11]),
        )  # fmt: skip
        work = Work(works.bounds[w], works.stride[w], works.dilation[w])
        out[i] = _cycles(nest_of(nests, i), work, machine, space, trace)


@_compiled
def _cycles(nest, work, machine, space, trace):
    tiles, state = space.tiles, space.state
    lay_out(nest, work, machine, tiles)
    space.walk.numbers[SHORT] = -1
    space.seen_at.fill(0)
    reset(state, machine)
    while True:
        loop = next_loop(tiles)
        _run_tile(machine, space, leaves(tiles, loop), trace)
        if loop < 0:
            break
        advance(tiles, loop)
        for tensor in (INPUTS, WEIGHTS, SUMS):
            if tiles.tensors[CHANGES, tensor] and tiles.tensors[BUFFERS, tensor] == 2:
                state.places[BUFFER, tensor] = 1 - state.places[BUFFER, tensor]
        for inside in range(loop + 1, len(space.seen_at)):
            space.seen_at[inside] = 0
        if len(trace) == 1:
            _pass_over(space, machine, loop)
    end = state.at[DECODED]
    for unit in UNITS:
        for place in range(machine.queue_depth):
            end = max(end, state.queue[unit, place])
    return np.ceil(end) + stages.END


@_compiled
def _run_tile(machine, space, goes, trace):
    """Run the commands of a tile, in the order of the program."""
    tiles, state, counts = space.tiles, space.state, space.counts
    for tensor in (INPUTS, WEIGHTS, SUMS):
        if tiles.tensors[CHANGES, tensor] and (tensor != SUMS or not is_first_visit(tiles)):
            count_rows(tiles, tensor, counts)
            run, runs, words = runs_of(tiles, tensor, counts)
            decode(state, machine, LOAD, words)
            load(state, machine, tensor, run, runs)
            _note(trace, tensor, words, run * runs, state.queue[LOAD, _newest(state, machine, LOAD)])
    find_walk(machine, tiles, space.walk)
    decode(state, machine, EXECUTE, space.walk.numbers[WORDS])
    execute(state, machine, space.walk, tiles.dims[UNIT, C])
    work_done = space.walk.numbers[WITHIN] * space.walk.numbers[TURNS] * space.walk.numbers[PIXELS]
    _note(trace, 3, space.walk.numbers[WORDS], work_done, state.queue[EXECUTE, _newest(state, machine, EXECUTE)])
    if goes:
        count_rows(tiles, SUMS, counts)
        run, runs, words = runs_of(tiles, SUMS, counts)
        decode(state, machine, STORE, words)
        store(state, machine, run, runs, is_last_visit(tiles))
        _note(trace, 4, words, run * runs, state.queue[STORE, _newest(state, machine, STORE)])


@_compiled
def _newest(state, machine, unit):
    return (state.places[OLDEST, unit] - 1) % machine.queue_depth


@_compiled
def _note(trace, kind, words, rows, finish):
    """Write a command down: 0 to 2 for a load of inputs, weights or sums, 3 execute, 4 store; trace[0, 0] counts."""
    number = int(trace[0, 0]) + 1
    if number < len(trace):
        trace[0, 0] = number
        trace[number, 0], trace[number, 1], trace[number, 2], trace[number, 3] = kind, words, rows, finish


@_compiled
def _pass_over(space, machine, loop):
    """Pass over rounds of iterations of a loop that would bring the state back to what it is, but for the time."""
    tiles, state = space.tiles, space.state
    iteration, last = tiles.loops[INDEX, loop], iterations(tiles, loop) - 1
    if last < 3:
        return
    size = _seen_from_decoder(state, machine, space.now)
    at = space.seen_at[loop]
    if at > 0 and _is_same(space.now, space.seen[loop], size):
        rounds = (last - iteration) // (iteration - at)
        if rounds > 0:
            _pass_time(state, rounds * (state.at[DECODED] - space.seen_time[loop]))
            go_to(tiles, loop, iteration + rounds * (iteration - at))
            space.seen_at[loop] = 0
            return
    if at == 0 or iteration >= 2 * at:
        space.seen_at[loop] = iteration
        space.seen_time[loop] = state.at[DECODED]
        for place in range(size):
            space.seen[loop, place] = space.now[place]


@_compiled
def _is_same(one, other, size):
    place = 0
    while place < size and abs(one[place] - other[place]) <= _SAME:
        place += 1
    return place == size


@_compiled
def _seen_from_decoder(state, machine, out):
    """Put all times, counted from the decoder's and the oldest command's, into out; return how many.

    Buffers are named from the current one on. Left out is how far the decoder is in what is fetched: that changes from
    iteration to iteration, and matters only where it has to wait for words.
    """
    now = state.at[DECODED]
    out[0] = max(state.at[WEIGHTS_FREE] - now, _PAST)
    size = 1
    for row in (NEXT_START, BEGIN, END):
        for unit in UNITS:
            out[size] = max(state.units[row, unit] - now, _PAST)
            size += 1
    for row in range(7):
        current = state.places[BUFFER, row % 3 if row < 6 else SUMS]
        for place in (current, 1 - current):
            out[size] = max(state.finished[row, place] - now, _PAST)
            size += 1
    for unit in UNITS:
        for place in range(machine.queue_depth):
            time = state.queue[unit, (state.places[OLDEST, unit] + place) % machine.queue_depth]
            out[size] = max(time - now, _PAST)
            size += 1
    return size


@_compiled
def _pass_time(state, cycles):
    for place in range(len(state.at)):
        state.at[place] += cycles
    for unit in UNITS:
        for row in (NEXT_START, BEGIN, END):
            state.units[row, unit] += cycles
        for place in range(state.queue.shape[1]):
            state.queue[unit, place] += cycles
    for row in range(len(state.finished)):
        for buffer in range(2):
            state.finished[row, buffer] += cycles
