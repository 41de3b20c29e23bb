"""When the decoder, the load, the execute and the store unit are done with one command after another.

Every function takes the state behind the commands before and leaves that behind its own. Times are cycles from reset.
A transfer that meets another one on the bus, or in a bank of the scratchpad, delays what is already under way: both
share, so that `_delay` moves what was worked out before.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.evaluators.gemmini.timing import stages
from armillary.evaluators.gemmini.timing.commands import JUMP, LOOPS, PIXELS, TURNS, WITHIN
from armillary.evaluators.gemmini.timing.machine import MOST_BURST_BEATS
from armillary.evaluators.gemmini.timing.tiles import INPUTS, SUMS, WEIGHTS, rounded_up

_compiled, _ = compilers(Path(__file__).parent)

LOAD, EXECUTE, STORE = UNITS = (0, 1, 2)
NEVER = -1e18
_WRITES = 32
_NOT_WRITTEN = 1e9  # cycles
LOADED, USED, STORED = 0, 3, 6
"""Rows of `State.finished`: loads and executes of inputs, weights and sums; stores of sums."""
DECODED, CHUNK, NEXT_CHUNK, WEIGHTS_FREE = range(4)
"""Places in `State.at`: the decoder is free; a fetched chunk's first word, and the next one's; the last tile of
weights is in use, so that others may be read."""
NEXT_START, BEGIN, END, SHARE, BURST = range(5)
"""Rows of `State.units`: when a unit can take another command; begin and end of what it moves or computes; what share
of the bus that takes; and the cycles of a burst on it, of the execute unit those from one row that is loaded into the
scratchpad to the next."""
OLDEST, BUFFER, WORDS = range(3)
"""Rows of `State.places`: of the oldest command in each unit's queue; of each tensor's buffer; and, first in its row,
the word of its chunk that the decoder reads next; behind it, the rows from one that the array reads to the next."""


class State(NamedTuple):
    """Where the hardware stands. Few arrays: a call copies each.

    Attributes:
        at: times, see `DECODED`, shape [4].
        units: see `NEXT_START`, shape [5, 3].
        finished: the last command for each buffer, see `LOADED`, shape [7, 2].
        queue: when the commands that hold a place in each unit's queue finish, shape [3, most depth].
        places: see `OLDEST`, shape [3, 3].
    """

    at: NDArray[np.float64]
    units: NDArray[np.float64]
    finished: NDArray[np.float64]
    queue: NDArray[np.float64]
    places: NDArray[np.int64]


def state_room(most_depth: int) -> State:
    """Return a state to be filled, with room for so many commands in a queue; one per thread."""
    places = np.zeros((3, 3), dtype=np.int64)
    return State(np.zeros(4), np.zeros((5, 3)), np.zeros((7, 2)), np.zeros((3, most_depth)), places)


@_compiled
def reset(state, machine):
    """Begin: the first chunks of commands are on their way."""
    state.units.fill(NEVER)
    state.finished.fill(NEVER)
    state.queue.fill(NEVER)
    state.places.fill(0)
    for unit in UNITS:
        state.units[SHARE, unit] = state.units[BURST, unit] = 1.0
    state.at[DECODED], state.at[WEIGHTS_FREE] = 0.0, NEVER
    state.at[CHUNK] = machine.latency + stages.FETCH_TO_WORD - 1
    state.at[NEXT_CHUNK] = state.at[CHUNK] + machine.fetch_beats * machine.beat_cycles
    state.units[END, LOAD] = machine.latency + 2 * machine.fetch_beats * machine.beat_cycles  # tensors come behind them


@_compiled
def decode(state, machine, unit, words):
    """Read the words of a command and push it into its unit's queue, as soon as there is a place."""
    per_word = max(1.0, machine.fetch_beats * machine.beat_cycles / stages.CHUNK_WORDS)
    time, left = state.at[DECODED], words
    while left > 0:
        some = min(left, stages.CHUNK_WORDS - state.places[WORDS, 0])
        state.places[WORDS, 0] += some
        left -= some
        time = max(time + some, state.at[CHUNK] + per_word * state.places[WORDS, 0])
        if state.places[WORDS, 0] == stages.CHUNK_WORDS:
            state.places[WORDS, 0] = 0
            state.at[CHUNK], state.at[NEXT_CHUNK] = state.at[NEXT_CHUNK], _fetch(state, machine, time - 1)
    state.at[DECODED] = max(time, state.queue[unit, state.places[OLDEST, unit]] + stages.FINISH_TO_PUSH)


@_compiled
def _fetch(state, machine, asked):
    """Return when the first word of a chunk is at the decoder; its beats go between those of tensors."""
    answer = asked + machine.latency
    beats = machine.fetch_beats * machine.beat_cycles
    waits = 0.0
    if state.units[BEGIN, LOAD] <= answer < state.units[END, LOAD]:
        ahead = machine.outstanding * state.units[BURST, LOAD] - machine.latency  # of what was asked for before
        waits = min(max(0.0, ahead), state.units[END, LOAD] - answer)
        _delay(state, machine, LOAD, answer, beats)
    if state.units[BEGIN, STORE] <= answer < state.units[END, STORE]:
        _delay(state, machine, STORE, answer, beats)
    return max(answer + stages.FETCH_TO_WORD + waits, state.at[NEXT_CHUNK] + beats)


@_compiled
def _delay(state, machine, unit, after, cycles):
    """Move what a unit finishes after a time."""
    for place in range(machine.queue_depth):
        if state.queue[unit, place] > after:
            state.queue[unit, place] += cycles
    first, end = (LOADED, USED) if unit == LOAD else (USED, STORED) if unit == EXECUTE else (STORED, STORED + 1)
    for row in range(first, end):
        for buffer in range(2):
            if state.finished[row, buffer] > after:
                state.finished[row, buffer] += cycles
    state.units[END, unit] += cycles
    state.units[NEXT_START, unit] += cycles
    if unit == EXECUTE:
        state.at[WEIGHTS_FREE] += cycles


@_compiled
def _finish(state, machine, unit, time):
    """Give the place in the queue of the oldest command, which must be done, to one that finishes at a time."""
    state.queue[unit, state.places[OLDEST, unit]] = time
    behind = state.places[OLDEST, unit] + 1
    state.places[OLDEST, unit] = 0 if behind == machine.queue_depth else behind


@_compiled
def _last(state, row, tensor):
    """Return when the last command for the current buffer of a tensor finishes."""
    return state.finished[row, state.places[BUFFER, tensor]]


@_compiled
def _start(state, unit, waits_for):
    """Return when a unit starts the command that was pushed last, which waits for others to finish."""
    pushed = max(state.at[DECODED] + stages.PUSH_TO_START, state.units[NEXT_START, unit])
    return max(pushed, waits_for + stages.FINISH_TO_START)


@_compiled
def _bursts(machine, run, runs, row_beats):
    """Return how many bursts move so many runs of rows, and their cycles on the bus in the mean."""
    most = max(1, min(machine.burst_rows, MOST_BURST_BEATS // row_beats))
    bursts = runs * rounded_up(run, most)
    return bursts, run * runs * row_beats * machine.beat_cycles / bursts


@_compiled
def _transfer(bursts, cycles, outstanding, round_trip):
    """Return the cycles from the first beat of so many bursts to the last, some of which are under way at once.

    Little's law: a burst goes once that which was `outstanding` bursts before it has come back.
    """
    if outstanding * cycles >= round_trip:
        return bursts * cycles
    rounds = (bursts - 1) // outstanding
    return rounds * round_trip + (bursts - rounds * outstanding) * cycles


@_compiled
def _meet(state, machine, unit, other, begin, end):
    """Return the end of a transfer, which shares the bus with that of another unit; that is delayed as well.

    The bus serves both in turns. A beat finds the other's in its way as often as that has the bus: of two streams that
    would fill it, both take twice as long.
    """
    both = min(end, state.units[END, other]) - max(begin, state.units[BEGIN, other])
    if both <= 0.0:
        return end
    lost = both * state.units[SHARE, unit] * state.units[SHARE, other]
    _delay(state, machine, other, begin, lost)
    return end + lost


@_compiled
def _write_beside_reads(state, machine, after):
    """Have the array wait where the rows of a load and its own reads meet in a bank, whose port goes to the load."""
    both = min(state.units[END, LOAD], state.units[END, EXECUTE])
    both -= max(state.units[BEGIN, LOAD], state.units[BEGIN, EXECUTE])
    if both > 0.0:
        between = state.units[BURST, EXECUTE]
        lost = _stalls_per_row(between, state.places[WORDS, 1], machine.scratchpad_banks) * both / between
        _delay(state, machine, EXECUTE, after, lost)


@_compiled
def _stalls_per_row(between, jump, banks):
    """Return how often a row that is written holds up a reader of one row per cycle, the mean over banks.

    Rows are written one behind the other, so many cycles from one to the next; those that are read lie a jump apart.
    A reader that has been held up may meet the next row again, or none any more.
    """
    stalls = 0
    for first in range(banks):
        ahead, time = first, 0.0
        for _ in range(_WRITES):
            cycles = int(time + between) - int(time)
            time += between
            if ahead % banks == 0:
                stalls += 1
                ahead -= jump
            ahead += jump * cycles - 1
    return stalls / (banks * _WRITES)


@_compiled
def load(state, machine, tensor, run, runs):
    """Load rows of inputs or weights into the scratchpad, or sums into the accumulator."""
    row_beats = machine.beats * (4 if tensor == SUMS else 1)
    waits_for = _last(state, USED + tensor, tensor)
    if tensor == SUMS:
        waits_for = max(waits_for, _last(state, STORED, SUMS))
    asks = _start(state, LOAD, waits_for) + stages.NEST + stages.ASK
    bursts, cycles = _bursts(machine, run, runs, row_beats)
    round_trip = machine.latency + cycles + stages.ANSWER_TO_REQUEST
    window = machine.outstanding * cycles
    state.units[SHARE, LOAD] = min(1.0, window / round_trip)
    free = state.units[END, LOAD] + stages.LOADED
    begin = max(asks + machine.latency, free)
    end = begin + _transfer(bursts, cycles, machine.outstanding, round_trip)
    end = max(end, asks + bursts - 1 + machine.latency + cycles)  # a request a cycle
    end = max(end, free + bursts * cycles / state.units[SHARE, LOAD])
    end = _meet(state, machine, LOAD, STORE, begin, end)
    last_asked = max(asks + bursts - 1, end - max(window - stages.ANSWER_TO_REQUEST, machine.latency + cycles))
    if begin > free:
        state.units[BEGIN, LOAD] = begin
    state.units[END, LOAD], state.units[BURST, LOAD] = end, cycles
    state.units[NEXT_START, LOAD] = last_asked + stages.ASKED_TO_START
    state.finished[LOADED + tensor, state.places[BUFFER, tensor]] = end - 1 + stages.LOADED
    _finish(state, machine, LOAD, end - 1 + stages.LOADED)
    state.units[BURST, EXECUTE] = (end - begin) / (run * runs) if tensor != SUMS else _NOT_WRITTEN
    _write_beside_reads(state, machine, begin)


@_compiled
def store(state, machine, run, runs, whole):
    """Store sums, those that are whole as bytes."""
    row_beats = machine.beats * (1 if whole else 4)
    start = _start(state, STORE, max(_last(state, USED + SUMS, SUMS), _last(state, LOADED + SUMS, SUMS)))
    goes_on = start == state.units[NEXT_START, STORE]
    bursts, cycles = _bursts(machine, run, runs, row_beats)
    round_trip = machine.latency + cycles + stages.WRITE_TO_REQUEST
    state.units[SHARE, STORE] = min(1.0, machine.outstanding * cycles / round_trip)
    begin = start + (stages.STORE if whole else stages.STORE_RAW)
    end = begin + _transfer(bursts, cycles, machine.outstanding, round_trip)
    end = _meet(state, machine, STORE, LOAD, begin, end)
    if not goes_on:  # else one command after another has the bus
        state.units[BEGIN, STORE] = begin
    state.units[END, STORE] = end
    state.units[NEXT_START, STORE] = end + stages.SENT_TO_START
    state.finished[STORED, state.places[BUFFER, SUMS]] = end + machine.latency
    _finish(state, machine, STORE, end + machine.latency)


@_compiled
def execute(state, machine, walk, channels):
    """Compute a tile of the accumulator."""
    waits_for = max(_last(state, LOADED + INPUTS, INPUTS), _last(state, LOADED + WEIGHTS, WEIGHTS))
    waits_for = max(waits_for, max(_last(state, LOADED + SUMS, SUMS), _last(state, STORED, SUMS)))
    start = _start(state, EXECUTE, waits_for)
    finish = (
        _hold_sums(state, machine, walk, channels, start)
        if machine.holds_sums
        else _hold_weights(state, machine, walk, start)
    )
    for tensor in (INPUTS, WEIGHTS, SUMS):
        state.finished[USED + tensor, state.places[BUFFER, tensor]] = finish
    _finish(state, machine, EXECUTE, finish)
    state.places[WORDS, 1] = 1
    if walk.numbers[LOOPS] > 0 and (machine.holds_sums or walk.numbers[WITHIN] >= walk.rows[0]):
        state.places[WORDS, 1] = walk.loops[JUMP, 0]  # else the reads of weights decide
    _write_beside_reads(state, machine, finish - 1)


@_compiled
def _hold_weights(state, machine, walk, start):
    """Walk over tiles of weights, each with its pixels; return when the last sum is in the accumulator.

    The next weights are read while the pixels of those before are at work.
    """
    pixels, turns, rows = walk.numbers[WITHIN], walk.numbers[TURNS], walk.rows[0]
    reads = max(start + stages.NEST, state.at[WEIGHTS_FREE] + stages.NEXT_WEIGHTS)
    there = reads + min(rows, machine.dim + max(0.0, state.units[END, EXECUTE] - reads))
    begin = max(there, state.units[END, EXECUTE] - 1 + stages.NEXT_PIXELS)
    tile = max(float(pixels), stages.NEXT_WEIGHTS + rows)
    last_tile = begin + (turns - 1) * tile
    stepped = start + stages.NEST - 1 + turns - 1
    if turns > stages.TILES_AHEAD:  # the walk over tiles waits until so many before the last one have been read
        before = last_tile - (stages.TILES_AHEAD + 1) * tile
        stepped = max(there, before + stages.NEXT_WEIGHTS + rows)
    handed = max(start + 1, state.units[END, EXECUTE] - 1)
    state.units[NEXT_START, EXECUTE] = max(stepped + stages.TILES_TO_START, handed + stages.HANDED_TO_START)
    state.units[BEGIN, EXECUTE], state.units[END, EXECUTE] = begin, last_tile + pixels
    state.at[WEIGHTS_FREE] = last_tile
    return last_tile + pixels - 1 + 2 * machine.dim + stages.SUM_TO_FINISH


@_compiled
def _hold_sums(state, machine, walk, channels, start):
    """Walk over blocks of sums, each with its steps; return when the last sum is in the accumulator.

    The pixels of a step are read while the one before is at work; a block's sums leave during the next one.
    """
    pixels = walk.numbers[PIXELS]
    first = start + stages.NEST + pixels
    step = max(float(pixels), walk.rows[0])
    last_block = first + (walk.numbers[TURNS] - 1) * max(walk.numbers[WITHIN] * step, float(pixels + stages.DRAIN))
    fed = last_block + (walk.numbers[WITHIN] - 1) * step + channels
    flush = max(fed, last_block + pixels + stages.DRAIN)
    state.units[NEXT_START, EXECUTE] = flush + pixels + stages.FLUSH_TO_START
    state.units[BEGIN, EXECUTE], state.units[END, EXECUTE] = first - pixels, fed
    return flush + pixels + 2 * machine.dim + stages.FLUSH_TO_FINISH
