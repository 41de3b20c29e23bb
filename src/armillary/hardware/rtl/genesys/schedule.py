"""The cycles of a program, worked out operation by operation: exact while DRAM answers after a fixed latency.

Each unit's operations take cycles that follow from their loops. What remains is who waits for whom: for an instruction
that has not come, for a full queue, for a token. So a program's cycles are a longest path, and cost no simulation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from armillary.hardware.rtl.genesys.instructions import (
    CHANNELS,
    Load,
    Multiply,
    Operation,
    Program,
    Result,
    Step,
    Target,
    Unit,
    Vector,
)
from armillary.hardware.templates.genesys import Accelerator

AHEAD = 16
"""Instructions that are fetched ahead."""
_LEAST_BLOCK = 4
"""Cycles that a block of weights takes at least."""
_BEHIND = 3
"""Entries of a unit's queue behind the oldest, and of loads under way."""


@dataclass(frozen=True)
class Schedule:
    """What a program takes.

    Attributes:
        cycles: from its start to its end.
        load_cycles: beats that are read.
        array_cycles: words that enter the array, one in a cycle.
        vector_cycles: words that enter the vector unit, likewise.
        beats_written: of results.
        dram_bytes: of tensors, read and written.
    """

    cycles: int
    load_cycles: int
    array_cycles: int
    vector_cycles: int
    beats_written: int
    dram_bytes: int


class _Queue:
    """When the latest instructions moved up to the head of a queue; another may come once one of them has."""

    def __init__(self) -> None:
        self._moved = deque([-1] * _BEHIND, maxlen=_BEHIND)

    @property
    def free(self) -> int:
        """The first cycle in which another instruction may come."""
        return self._moved[0] + 1

    def push(self, cycle: int) -> None:
        """Note when an instruction moved to the head."""
        self._moved.append(cycle)


class _Fetch:
    """Instructions on their way: the cycle in which each is handed to its unit's queue."""

    def __init__(self, latency: int) -> None:
        self._latency = latency
        self._asked, self._handed = 0, deque([-1] * AHEAD, maxlen=AHEAD)

    def next(self, free: int) -> int:
        """Return when the next instruction is handed on, not before a queue is free."""
        self._asked = max(self._asked, self._handed[0]) + 1
        cycle = max(self._asked + self._latency + 1, self._handed[-1] + 1, free)
        self._handed.append(cycle)
        return cycle


class _Machine:
    def __init__(self, accelerator: Accelerator, latency: int) -> None:
        self._accelerator, self._latency = accelerator, latency
        self._fetch = _Fetch(latency)
        self._queues = {unit: _Queue() for unit in Unit}
        self._ready = dict.fromkeys(Unit, 0)
        self._popped = dict.fromkeys(Unit, -1)
        self._given: dict[int, list[int]] = {channel: [] for channel in CHANNELS.values()}
        self._taken = dict.fromkeys(CHANNELS.values(), 0)
        self._loading = _Queue()
        self._answered = -1
        self._idle = 0

    def run(self, step: Step) -> None:
        """Hand on and run an operation and the instructions that set its registers."""
        unit = step.operation.unit
        for _ in range(step.sets):
            self._pop(unit, 0)
        room = self._loading.free if unit is Unit.LOAD else 0
        start = self._pop(unit, max(self._tokens(step.waits), room))
        done, self._ready[unit], idle = self._durations(start, step.operation)
        for channel, given in self._given.items():
            if step.gives >> channel & 1:
                given.append(done)
        self._idle = max(self._idle, idle)

    def end(self) -> int:
        """Return the cycle in which the program has ended."""
        return max(self._fetch.next(0), self._idle)

    def _tokens(self, waits: int) -> int:
        """Return the first cycle in which all tokens are there."""
        cycle = 0
        for channel, given in self._given.items():
            if waits >> channel & 1:
                cycle = max(cycle, given[self._taken[channel]] + 1)
                self._taken[channel] += 1
        return cycle

    def _pop(self, unit: Unit, least: int) -> int:
        """Return when a unit takes its next instruction."""
        queue = self._queues[unit]
        handed = self._fetch.next(queue.free)
        queue.push(max(handed, self._popped[unit]))
        self._popped[unit] = max(handed + 1, self._popped[unit] + 1, self._ready[unit], least)
        return self._popped[unit]

    def _durations(self, start: int, operation: Operation) -> tuple[int, int, int]:
        """Return when an operation gives its tokens, its unit takes the next instruction, and is idle."""
        if isinstance(operation, Load):
            beats = operation.words * beats_of(operation, self._accelerator)
            last = start + beats + self._latency
            self._loading.push(max(start, self._answered))
            self._answered = last
            return last + 1, start + beats + 1, last + 2
        if isinstance(operation, Multiply):
            array = self._accelerator.array
            block = max(operation.words, array, _LEAST_BLOCK)
            done = start + 3 + (operation.blocks - 1) * block + operation.words + 2 * array
            return done, start + 2 + operation.blocks * block, done + 1
        done = start + vector_cycles(operation, self._accelerator)
        return done, done + 1, done + 1


def scheduled(program: Program, accelerator: Accelerator, latency: int) -> Schedule:
    """Return what a program takes.

    Args:
        program: to be timed.
        accelerator: that runs it.
        latency: cycles from a request to its answer, at least 1.
    """
    machine = _Machine(accelerator, latency)
    load = array = vector = values = moved = 0
    word_bits = accelerator.input_bits
    for step in program.steps:
        machine.run(step)
        operation = step.operation
        if isinstance(operation, Load):
            load += operation.words * beats_of(operation, accelerator)
            moved += operation.words * word_bits_of(operation, accelerator)
        elif isinstance(operation, Multiply):
            array += operation.words * operation.blocks
        else:
            vector += operation.elements
            if operation.target is Result.DRAM:
                values += operation.elements // operation.per_value
    moved += values * word_bits
    return Schedule(machine.end(), load, array, vector, values * accelerator.beats(word_bits), moved // 8)


def word_bits_of(operation: Load, accelerator: Accelerator) -> int:
    """Return the bits of a word of a load in DRAM."""
    if operation.target is Target.WBUF:
        return accelerator.weight_bits
    wide = operation.target in (Target.BBUF, Target.WIDE_VMEM1, Target.WIDE_VMEM2)
    return accelerator.sum_bits if wide else accelerator.input_bits


def beats_of(operation: Load, accelerator: Accelerator) -> int:
    """Return the beats of a word of a load."""
    return accelerator.beats(word_bits_of(operation, accelerator))


def vector_cycles(operation: Vector, accelerator: Accelerator) -> int:
    """Return the cycles from the start of an operation of the vector unit to its end.

    An element's value is there seven cycles after its addresses. To DRAM goes a beat a cycle, so that either the
    elements or the beats of their values set the pace.
    """
    elements = operation.elements
    if operation.target is not Result.DRAM:
        return 7 + elements
    beats = accelerator.beats(accelerator.input_bits)
    values = elements // operation.per_value
    return 8 + max(elements - 1 + beats, operation.per_value - 1 + values * beats)
