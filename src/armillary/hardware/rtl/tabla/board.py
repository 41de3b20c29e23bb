"""What is booked in every cycle of a schedule, and where each value is to be had.

An operation that an element begins in cycle t reads memories in t, takes its operands in t + 1, computes in t + 2, and
shows its result in t + 3: to itself, to its two neighbours in the ring of all elements, and to the bus of its unit, if
that is booked, which shows it to the unit in t + 4 and may pass it to the global bus, which shows it to all in t + 5.
What shows in a cycle is taken as an operand in that cycle, or written to the inbox and read from the cycle after on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import count

from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Kind

OPERAND, COMPUTE, RESULT = 1, 2, 3
"""Cycles from the beginning of an operation to its parts."""
UNIT, GLOBAL = 1, 2
"""How far a result is driven; each step is a cycle. One further and it leaves."""
OUT = 3


class Source(IntEnum):
    """Where an operand comes from, as instructions have it."""

    DATA = 0
    WEIGHT = 1
    INTERMEDIATE = 2
    INBOX = 3
    RESULT = 4
    LEFT = 5
    RIGHT = 6
    BUS = 7
    GLOBAL_BUS = 8


SINGLE_PORT = (Source.DATA, Source.WEIGHT, Source.INBOX)
"""Memories of which an element reads one word in a cycle."""


@dataclass(eq=False)
class Held:
    """A value in a memory of an element.

    Attributes:
        value: its number.
        element: whose memory.
        memory: which.
        written: the cycle in which it is written; -1 if it is there before the step.
        taken: what the inbox takes it from.
        reads: cycles in which it is read.
    """

    value: int
    element: int
    memory: Source
    written: int = -1
    taken: Source = Source.RESULT
    reads: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Operand:
    """How an operation gets an operand: what shows, a word that is held, or one that the inbox has yet to take."""

    value: int
    source: Source
    held: Held | None = None
    taken: tuple[int, Source] | None = None  # cycle, and what shows

    def clashes(self, other: Operand) -> bool:
        """Return whether both cannot be had at once: two words of one port, or two that the inbox takes at once."""
        ports = self.source == other.source and self.source in SINGLE_PORT and self.held is not other.held
        both = self.taken is not None and other.taken is not None
        return (ports or both) and self != other


@dataclass(frozen=True)
class Done:
    """An operation of the schedule, passing on included.

    Attributes:
        value: of the result.
        kind: of operation.
        element: that computes it.
        begin: its first cycle.
        operands: one or two.
    """

    value: int
    kind: Kind
    element: int
    begin: int
    operands: tuple[Operand, ...]

    @property
    def shows(self) -> int:
        """The cycle in which its result shows."""
        return self.begin + RESULT


@dataclass(frozen=True)
class Route:
    """A way to show a value to an element: a result that is driven, or a word that is passed on first.

    Attributes:
        cycle: in which it shows there.
        element: that drives or passes it on.
        drives: how far; 0 to a neighbour.
        shows: the cycle of the result.
        held: what is passed on; None for a result of an operation.
    """

    cycle: int
    element: int
    drives: int
    shows: int
    held: Held | None


class Board:
    """The bookings of an accelerator's elements and buses.

    Attributes:
        done: all operations, passing on included, by their results' numbers.
        held: every word that a memory holds, of each value by element.
        drives: how far the result that an element shows in a cycle is driven, by (element, cycle).
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._per_unit, self._elements = accelerator.num_pe, accelerator.elements
        self._begins: list[set[int]] = [set() for _ in range(self._elements)]
        self._inboxes: list[set[int]] = [set() for _ in range(self._elements)]
        self._buses: list[set[int]] = [set() for _ in range(accelerator.num_pu)]
        self._global: set[int] = set()
        self._shown: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # cycle, how far driven, element
        self.done: dict[int, list[Done]] = defaultdict(list)
        self.held: dict[int, dict[int, list[Held]]] = defaultdict(lambda: defaultdict(list))
        self.drives: dict[tuple[int, int], int] = {}

    def hold(self, value: int, element: int, memory: Source) -> None:
        """Note what a memory holds before the step."""
        self.held[value][element].append(Held(value, element, memory))

    def load(self, element: int) -> int:
        """Return how many operations an element has."""
        return len(self._begins[element])

    def elements_of(self, value: int) -> list[int]:
        """Return the elements that hold a value."""
        return list(self.held[value])

    def neighbours(self, element: int) -> tuple[int, int]:
        """Return the elements to the left and to the right."""
        return (element - 1) % self._elements, (element + 1) % self._elements

    def _free_begin(self, element: int, cycle: int) -> int:
        begins = self._begins[element]
        while cycle in begins:
            cycle += 1
        return cycle

    def _shows(self, value: int, element: int) -> Iterator[tuple[int, Source]]:
        """Yield when a value shows to an element, and where."""
        left, right = self.neighbours(element)
        unit = element // self._per_unit
        for cycle, driven, source in self._shown[value]:
            if driven == 0 and source == element:
                yield cycle, Source.RESULT
            elif driven == 0 and source == left:
                yield cycle, Source.LEFT
            elif driven == 0 and source == right:
                yield cycle, Source.RIGHT
            elif driven == UNIT and source // self._per_unit == unit:
                yield cycle, Source.BUS
            elif driven == GLOBAL:
                yield cycle, Source.GLOBAL_BUS

    def is_free(self, element: int, shows: int, drives: int) -> bool:
        """Return whether a result can be driven so far, or is so already."""
        booked = self.drives.get((element, shows), 0)
        if drives <= booked:
            return True
        unit = booked >= UNIT or shows not in self._buses[element // self._per_unit]
        return unit and (drives < GLOBAL or booked >= GLOBAL or shows not in self._global)

    def _drives_needed(self, source: int, element: int) -> int:
        if source == element or element in self.neighbours(source):
            return 0
        return UNIT if source // self._per_unit == element // self._per_unit else GLOBAL

    def route(self, value: int, element: int, avoid: Collection[int] = ()) -> Route:
        """Return the way by which a value shows to an element first, and its inbox can take it.

        Args:
            value: that some element holds.
            element: other than that.
            avoid: cycles in which the inbox takes something else.
        """
        taken = self._inboxes[element]
        best: Route | None = None
        for cycle, driven, source in self._shown[value]:
            drives = self._drives_needed(source, element)
            free = driven == 0 and drives and self.is_free(source, cycle, drives)
            arrives = cycle + drives
            if free and arrives not in taken and arrives not in avoid and (best is None or arrives < best.cycle):
                best = Route(arrives, source, drives, cycle, None)
        for source, words in self.held[value].items():
            drives = self._drives_needed(source, element)
            for begin in count(self._free_begin(source, words[0].written + 1)):
                arrives = begin + RESULT + drives
                if best is not None and arrives >= best.cycle:
                    break
                bookable = begin not in self._begins[source] and self.is_free(source, begin + RESULT, drives)
                if bookable and arrives not in taken and arrives not in avoid:
                    best = Route(arrives, source, drives, begin + RESULT, words[0])
                    break
        if best is None:
            raise AssertionError(f"no element holds value {value}")
        return best

    def bring(self, value: int, route: Route) -> None:
        """Book a route."""
        if route.held is not None:
            source = Operand(value, route.held.memory, route.held)
            self._book(Done(value, "pass", route.element, route.shows - RESULT, (source,)))
        self.drive(value, route.element, route.shows, route.drives)

    def pass_on(self, value: int, element: int, drives: int) -> Done:
        """Book that an element passes on what it holds, as early as the buses let it, and return that."""
        word = self.held[value][element][0]
        for begin in count(self._free_begin(element, word.written + 1)):
            if begin not in self._begins[element] and self.is_free(element, begin + RESULT, drives):
                self.bring(value, Route(begin + RESULT + drives, element, drives, begin + RESULT, word))
                return self.done[value][-1]
        raise AssertionError("cycles do not end")

    def drive(self, value: int, element: int, shows: int, drives: int) -> None:
        """Book the buses for a result, which may be driven already."""
        before = self.drives.get((element, shows), 0)
        if drives > before:
            self.drives[element, shows] = drives
            self._buses[element // self._per_unit].add(shows)
            if drives >= GLOBAL:
                self._global.add(shows)
            for far in range(before + 1, min(drives, GLOBAL) + 1):
                self._shown[value].append((shows + far, far, element))

    def _available(self, value: int, element: int) -> int | None:
        """Return the first cycle in which an operation on a value may begin, None if it neither shows nor is held."""
        ready = [word.written + 1 for word in self.held[value].get(element, ())]
        inbox = self._inboxes[element]
        ready += [
            cycle - OPERAND
            for cycle, source in self._shows(value, element)
            if source == Source.RESULT or cycle not in inbox
        ]
        return min(ready, default=None)

    def begin_of(self, values: tuple[int, ...], element: int) -> int:
        """Return about when an operation on values could begin on an element."""
        ready = 0
        for value in values:
            available = self._available(value, element)
            ready = max(ready, self.route(value, element).cycle - OPERAND if available is None else available)
        return self._free_begin(element, max(ready, 0))

    def perform(self, value: int, kind: Kind, operands: tuple[int, ...], element: int, after: int = 0) -> Done:
        """Book an operation as early as possible, with all that brings its operands there.

        Args:
            value: of the result.
            kind: of operation.
            operands: one or two values that elements hold.
            element: that computes it.
            after: it does not begin before this cycle.
        """
        distinct = tuple(dict.fromkeys(operands))
        brought: list[int] = []
        for operand in distinct:
            if self._available(operand, element) is None:
                route = self.route(operand, element, brought)
                self.bring(operand, route)
                brought.append(route.cycle)
        while (found := self._first(distinct, element, after)) is None:
            self._make_room(distinct, element)
        begin, chosen = found
        return self._book(Done(value, kind, element, begin, tuple(chosen[operand] for operand in operands)))

    def _first(self, values: tuple[int, ...], element: int, after: int) -> tuple[int, dict[int, Operand]] | None:
        """Return the first cycle in which operands can be had together, and how; None if they never can."""
        begin = max(after, *(self._available(value, element) or 0 for value in values), 0)
        latest = max((cycle for value in values for cycle, _ in self._shows(value, element)), default=0)
        latest = max(latest, begin, *(w.written + 1 for value in values for w in self.held[value].get(element, ())))
        for cycle in range(begin, self._free_begin(element, latest + 1) + 1):
            if cycle in self._begins[element]:
                continue
            ways = [list(self._ways(value, element, cycle)) for value in values]
            if len(values) == 1 and ways[0]:
                return cycle, {values[0]: ways[0][0]}
            for one in ways[0]:
                for other in ways[-1] if len(values) > 1 else ():
                    if not one.clashes(other):
                        return cycle, dict(zip(values, (one, other), strict=True))
        return None

    def _ways(self, value: int, element: int, begin: int) -> Iterator[Operand]:
        """Yield how an operation that begins in a cycle can have a value: what costs least first."""
        shows = list(self._shows(value, element))
        yield from (Operand(value, source) for cycle, source in shows if cycle == begin + OPERAND)
        for word in self.held[value].get(element, ()):
            if word.written < begin:
                yield Operand(value, word.memory, word)
        for cycle, source in shows:
            if source != Source.RESULT and cycle < begin and cycle not in self._inboxes[element]:
                yield Operand(value, Source.INBOX, taken=(cycle, source))

    def _make_room(self, values: tuple[int, ...], element: int) -> None:
        """Help operands that cannot be had together: bring one anew, or copy one to where two can be read."""
        for value in values:
            lasting = any(cycle not in self._inboxes[element] for cycle, _ in self._shows(value, element))
            if not self.held[value].get(element) and not lasting:
                self.bring(value, self.route(value, element))
                return
        self.perform(values[0], "pass", values[:1], element)

    def _book(self, done: Done) -> Done:
        """Book an operation and note its result."""
        self._begins[done.element].add(done.begin)
        booked = {operand.value: self._booked(operand, done) for operand in dict.fromkeys(done.operands)}
        done = replace(done, operands=tuple(booked[operand.value] for operand in done.operands))
        self.done[done.value].append(done)
        self._shown[done.value].append((done.shows, 0, done.element))
        word = Held(done.value, done.element, Source.INTERMEDIATE, done.shows)
        self.held[done.value][done.element].append(word)
        return done

    def _booked(self, operand: Operand, done: Done) -> Operand:
        """Return an operand with the word that it reads, whose reading is noted."""
        word = operand.held
        if operand.taken is not None:
            cycle, source = operand.taken
            word = Held(operand.value, done.element, Source.INBOX, cycle, source)
            self._inboxes[done.element].add(cycle)
            self.held[operand.value][done.element].append(word)
        if word is not None:
            word.reads.append(done.begin)
        return Operand(operand.value, operand.source, word)
