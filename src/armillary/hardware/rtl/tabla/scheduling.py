"""The schedule of a mapped graph: list scheduling by critical path, transfers booked to the cycle.

Of the operations whose operands are computed, the one with the longest way to the end comes first. It goes to its
place, or else to where it can begin first: to an element that holds an operand of its, or to a neighbour of one.

Source: list scheduling, Graham 1966; priorities by critical path, as in TABLA's compiler (Mahajan et al. 2016).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armillary.hardware.rtl.tabla.board import GLOBAL, OPERAND, OUT, RESULT, Board, Done, Held, Source
from armillary.hardware.rtl.tabla.mapping import Mapped
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Operation

_FASTEST = RESULT - OPERAND
"""Cycles from an operation to one that takes its result at once."""
_HOLDERS = 4
"""Elements that hold an operand, of those that are tried."""


@dataclass(frozen=True)
class Schedule:
    """A schedule of a step.

    Attributes:
        done: all operations.
        words: everything that memories hold and that is read or stays, by memory and element.
        drives: how far results are driven, by (element, cycle).
        stores: the element of a parameter that a result replaces, by (element, cycle).
        emitted: what leaves, in this order.
        cycles: of a step.
    """

    done: Sequence[Done]
    words: Mapping[tuple[Source, int], Sequence[Held]]
    drives: Mapping[tuple[int, int], int]
    stores: Mapping[tuple[int, int], int]
    emitted: Sequence[int]
    cycles: int


def scheduled(mapped: Mapped, accelerator: Accelerator) -> Schedule:
    """Return the schedule of a mapped graph on an accelerator."""
    return _Scheduler(mapped, accelerator).schedule()


class _Scheduler:
    def __init__(self, mapped: Mapped, accelerator: Accelerator) -> None:
        self._mapped = mapped
        self._board = Board(accelerator)
        self._parameters = set(mapped.dataflow.next_values)
        self._stores: dict[tuple[int, int], int] = {}
        self._emitted: list[tuple[int, int]] = []
        for number, element in mapped.homes.items():
            memory = Source.WEIGHT if number in self._parameters else Source.DATA
            self._board.hold(number, element, memory)

    def schedule(self) -> Schedule:
        """Return the schedule."""
        self._compute()
        for value in self._mapped.emitted:
            self._emit(value)
        for parameter, value in self._mapped.next_values.items():
            self._store(parameter, value)
        board = self._board
        words: dict[tuple[Source, int], list[Held]] = defaultdict(list)
        for of_value in board.held.values():
            for element, held in of_value.items():
                for word in held:
                    if word.reads or (word.value in self._parameters and word.memory == Source.WEIGHT):
                        words[word.memory, element].append(word)
        # what shows last is written, taken or driven in that cycle; a parameter's update is such a result
        done = [one for of_value in board.done.values() for one in of_value]
        last = max((one.shows for one in done), default=0)
        taken = (word.written for held in words.values() for word in held)
        return Schedule(
            done,
            words,
            board.drives,
            self._stores,
            [value for _, value in sorted(self._emitted)],
            1 + max(last, *taken, 0),
        )

    def _compute(self) -> None:
        """Perform all operations."""
        operations = dict(self._mapped.numbered())
        first = self._mapped.first_result
        level, readers = self._levels(operations)
        waiting = {n: sum(o >= first for o in set(op.operands)) for n, op in operations.items()}
        ready = [(-level[number], number) for number, count in waiting.items() if not count]
        heapq.heapify(ready)
        while ready:
            _, number = heapq.heappop(ready)
            self._perform(number, operations[number])
            for reader in readers[number]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    heapq.heappush(ready, (-level[reader], reader))

    def _levels(self, operations: Mapping[int, Operation]) -> tuple[dict[int, int], dict[int, list[int]]]:
        """Return the cycles from each operation to the end, and who reads its result."""
        level = dict.fromkeys(operations, _FASTEST)
        readers: dict[int, list[int]] = {number: [] for number in operations}
        for number in sorted(operations, reverse=True):
            for operand in set(operations[number].operands):
                if operand in level:
                    level[operand] = max(level[operand], level[number] + _FASTEST)
                    readers[operand].append(number)
        return level, readers

    def _perform(self, number: int, operation: Operation) -> None:
        computed = tuple(value for value in operation.operands if not self._is_constant(value))
        place = self._mapped.places.get(number)
        if place is None:
            tried = self._candidates(computed)
            place = min(tried, key=lambda e: (self._board.begin_of(computed, e), self._board.load(e), e))
        for value in operation.operands:
            if self._is_constant(value) and place not in self._board.elements_of(value):
                self._board.hold(value, place, Source.WEIGHT)
        self._board.perform(number, operation.kind, operation.operands, place)

    def _is_constant(self, value: int) -> bool:
        return self._mapped.dataflow.first_constant <= value < self._mapped.first_result

    def _candidates(self, values: Sequence[int]) -> list[int]:
        """Return the elements on which an operation is tried."""
        holders = [element for value in values for element in self._board.elements_of(value)[:_HOLDERS]] or [0]
        around = (other for element in holders for other in self._board.neighbours(element))
        return list(dict.fromkeys([*holders, *around]))

    def _emit(self, value: int) -> None:
        """Let a value leave by the global bus: when it shows first and nothing else is there, or passed on."""
        board = self._board
        shown = board.done[value]
        free = [done for done in shown if board.is_free(done.element, done.shows, OUT)]
        if free:
            done = min(free, key=lambda one: one.shows)
        else:
            element = shown[0].element
            done = board.pass_on(value, element, GLOBAL)
        board.drive(value, done.element, done.shows, OUT)
        self._emitted.append((done.shows, value))

    def _store(self, parameter: int, value: int) -> None:
        """Let a result replace a parameter's element: when it shows, or passed on, once nobody reads the old one."""
        home = self._mapped.homes[parameter]
        (old,) = self._board.held[parameter][home][:1]
        last = max(old.reads, default=-1)
        shown = [done for done in self._board.done[value] if done.element == home]
        fit = [done.shows for done in shown if done.shows > last and (home, done.shows) not in self._stores]
        if not fit:
            fit = [self._board.perform(value, "pass", (value,), home, max(0, last + 1 - RESULT)).shows]
        self._stores[home, min(fit)] = parameter
