"""From a dataflow graph to operations of two operands and the elements that hold their data.

Products meet their data: the terms of the sums of a level are spread over the elements in contiguous blocks, with the
parameters and inputs that they multiply, terms that share a factor side by side. A sum is a tree: first over the terms
of an element, then over the elements of a unit, then over units. What updates a parameter is computed where the
parameter is.

Source: the placement of data before operations is TABLA's (Mahajan et al. 2016); the rest is ours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Dataflow, Operation


@dataclass(frozen=True)
class Mapped:
    """Operations of at most two operands, numbered from `first_result`, and where they and their data are.

    Attributes:
        dataflow: what is mapped; inputs and constants have its numbers.
        operations: in an order in which they can be computed.
        places: the element of those operations that have a fixed one, by their results' numbers.
        homes: the element that holds each element of an input that is used.
        next_values: the result that replaces each element of a parameter.
        emitted: the results that leave, each once.
        outputs: for each output that leaves, the results of its elements.
    """

    dataflow: Dataflow
    operations: tuple[Operation, ...]
    places: dict[int, int]
    homes: dict[int, int]
    next_values: dict[int, int]
    emitted: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]

    @property
    def first_result(self) -> int:
        """The number of the first operation's result."""
        return self.dataflow.first_result

    def numbered(self) -> Iterator[tuple[int, Operation]]:
        """Yield every operation with its result's number."""
        yield from enumerate(self.operations, self.first_result)


def mapped(dataflow: Dataflow, accelerator: Accelerator, spread: int) -> Mapped:
    """Return a dataflow graph mapped to an accelerator.

    Args:
        dataflow: the graph.
        accelerator: whose elements hold it.
        spread: elements over which data are spread, the first ones.
    """
    placing = _Placing(dataflow, accelerator, spread)
    return _Expansion(dataflow, accelerator, placing.places, placing.homes).mapped()


class _Placing:
    """Chooses homes of inputs and places of operations."""

    def __init__(self, dataflow: Dataflow, accelerator: Accelerator, spread: int) -> None:
        self._dataflow, self._accelerator, self._spread = dataflow, accelerator, spread
        self.places: dict[int, int] = {}
        self.homes: dict[int, int] = {}
        self._operations = dict(dataflow.numbered())
        self._parameters = set(dataflow.next_values)
        self._held: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        self._consumers: dict[int, list[int]] = defaultdict(list)
        for number, operation in self._operations.items():
            for operand in set(operation.operands):
                self._consumers[operand].append(number)
        self._place_terms()
        self._house_the_rest()
        self._place_updates()

    def _is_input(self, number: int) -> bool:
        return number < self._dataflow.first_constant

    def _level(self) -> dict[int, int]:
        level: dict[int, int] = {}
        for number, operation in self._operations.items():
            level[number] = 1 + max(level.get(operand, 0) for operand in operation.operands)
        return level

    def _place_terms(self) -> None:
        """Spread the terms of the sums of each level, those without a parameter that has a home already."""
        level = self._level()
        sums = sorted((level[n], n) for n, operation in self._operations.items() if operation.kind == "sum")
        for _, of_level in groupby(sums, key=lambda entry: entry[0]):
            terms = dict.fromkeys(term for _, number in of_level for term in self._operations[number].operands)
            free = [term for term in terms if term not in self.places and term not in self.homes]
            undecided = sorted((term for term in free if not self._follows(term)), key=self._shared)
            for term, element in zip(undecided, self._blocks(len(undecided)), strict=True):
                self._settle(term, element)

    def _blocks(self, count: int) -> Iterator[int]:
        """Yield an element for each of some terms: as many to each, one after another, in contiguous blocks."""
        spread = self._spread
        return (number * spread // count if count > spread else number for number in range(count))

    def _follows(self, term: int) -> bool:
        """Place a term where a parameter of its is, or its data if it has no parameter; return whether there is one."""
        operands = self._operations[term].operands if term in self._operations else ()
        own = [operand for operand in operands if operand in self._parameters]
        constant = any(self._dataflow.first_constant <= o < self._dataflow.first_result for o in operands)
        decisive = own or ([] if constant else [operand for operand in operands if self._is_input(operand)])
        homes = [self.homes[operand] for operand in decisive if operand in self.homes]
        if homes:
            self.places[term] = homes[0]
        return bool(homes)

    def _shared(self, term: int) -> int:
        """Return the computed operand of a term, which terms of other sums may share; -1 for one of inputs alone.

        Terms with the same one come to lie side by side, so that it has to come there only once.
        """
        operands = self._operations[term].operands if term in self._operations else ()
        return next((operand for operand in operands if operand >= self._dataflow.first_result), -1)

    def _settle(self, term: int, element: int) -> None:
        if term in self._operations:
            self.places[term] = element
            for operand in self._operations[term].operands:
                if self._is_input(operand):
                    self._house(operand, element)
        elif self._is_input(term):
            self._house(term, element)

    def _house(self, number: int, element: int) -> None:
        """Give an input's element a home: this one, or where least is held if it is full."""
        if number in self.homes:
            return
        parameter = number in self._parameters
        depth = self._accelerator.weight_depth if parameter else self._accelerator.data_depth
        held = self._held[parameter]
        if held[element] >= depth:
            element = min(range(self._accelerator.elements), key=lambda other: (held[other], other))
        held[element] += 1
        self.homes[number] = element

    def _house_the_rest(self) -> None:
        """House parameters in blocks, then data where they are needed first."""
        parameters = [number for number in sorted(self._parameters) if number not in self.homes]
        for number, element in zip(parameters, self._blocks(len(parameters)), strict=True):
            self._house(number, element)
        rest = [n for n in range(self._dataflow.first_constant) if n not in self.homes and self._is_used(n)]
        for number, element in zip(rest, self._blocks(len(rest)), strict=True):
            beside = [
                place
                for consumer in self._consumers[number]
                for place in (self.places.get(consumer), *map(self.homes.get, self._operations[consumer].operands))
                if place is not None
            ]
            self._house(number, beside[0] if beside else element)

    def _is_used(self, number: int) -> bool:
        outputs = (value for output in self._dataflow.outputs for value in output.values)
        return bool(self._consumers[number]) or number in set(outputs)

    def _place_updates(self) -> None:
        """Place what updates a parameter, or reads one, at its home, and what only such an operation reads with it."""
        updates = {new: old for old, new in self._dataflow.next_values.items()}
        for number in sorted(self._operations, reverse=True):
            operation = self._operations[number]
            if number in self.places or operation.kind == "sum":
                continue
            own = [updates[number]] if number in updates else [o for o in operation.operands if o in self._parameters]
            readers = self._consumers[number]
            if own:
                self.places[number] = self.homes[own[0]]
            elif len(readers) == 1 and readers[0] in self.places:
                self.places[number] = self.places[readers[0]]


class _Expansion:
    """Makes trees of sums, and a result of everything that leaves or stays."""

    def __init__(
        self, dataflow: Dataflow, accelerator: Accelerator, places: dict[int, int], homes: dict[int, int]
    ) -> None:
        self._dataflow, self._accelerator = dataflow, accelerator
        self._homes, self._old_places = homes, places
        self._operations: list[Operation] = []
        self._places: dict[int, int] = {}
        self._new: dict[int, int] = {number: number for number in range(dataflow.first_result)}

    def mapped(self) -> Mapped:
        """Return all of it."""
        for number, operation in self._dataflow.numbered():
            place = self._old_places.get(number)
            if operation.kind == "sum":
                self._new[number] = self._tree(operation.operands)
            else:
                operands = tuple(self._new[operand] for operand in operation.operands)
                self._new[number] = self._append(Operation(operation.kind, operands), place)
        following = {old: self._result(new, self._homes[old]) for old, new in self._dataflow.next_values.items()}
        outputs = tuple(tuple(self._result(v, None) for v in output.values) for output in self._dataflow.emitted)
        emitted = dict.fromkeys(value for output in outputs for value in output)
        return Mapped(
            self._dataflow, tuple(self._operations), self._places, self._homes, following, tuple(emitted), outputs
        )

    def _append(self, operation: Operation, place: int | None) -> int:
        number = self._dataflow.first_result + len(self._operations)
        self._operations.append(operation)
        if place is not None:
            self._places[number] = place
        return number

    def _result(self, old: int, place: int | None) -> int:
        """Return a value as a result; an input or a constant is passed on."""
        if old < self._dataflow.first_result:
            return self._append(Operation("pass", (old,)), place)
        return self._new[old]

    def _tree(self, terms: Sequence[int]) -> int:
        """Return the sum of terms: of those of an element, of a unit, then of all."""
        at = {term: self._old_places.get(term, self._homes.get(term)) for term in terms}
        known = sorted((term for term in terms if at[term] is not None), key=lambda term: at[term] or 0)
        loose = [self._new[term] for term in terms if at[term] is None]
        of_units: dict[int, list[int]] = defaultdict(list)
        for element, own in groupby(known, key=lambda term: at[term] or 0):
            of_units[element // self._accelerator.num_pe].append(self._pairs((self._new[t] for t in own), element))
        return self._pairs([*(self._pairs(partial, None) for partial in of_units.values()), *loose], None)

    def _pairs(self, terms: Iterable[int], place: int | None) -> int:
        """Return the sum of terms as a balanced tree, whose operations may have a place."""
        row = list(terms)
        while len(row) > 1:
            pairs = [self._append(Operation("add", (a, b)), place) for a, b in zip(row[::2], row[1::2], strict=False)]
            row = [*pairs, *row[len(pairs) * 2 :]]
        return row[0]
