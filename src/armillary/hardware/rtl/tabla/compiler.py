"""The compiler of `tabla`: from a dataflow graph to the program of a step, and to those that read parameters out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from armillary.hardware.rtl.tabla.mapping import Mapped, mapped
from armillary.hardware.rtl.tabla.program import Program, TooSmallError, program_of
from armillary.hardware.rtl.tabla.scheduling import scheduled
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Dataflow, Operation

_FEWEST = 16
"""Data are spread over all elements, over half of them, and so on, down to so many: they then have less to exchange."""
_DRAIN = 8
"""Cycles of a program that reads parameters out beyond those in which one of them is read."""


@dataclass(frozen=True)
class Compiled:
    """A dataflow graph on an accelerator.

    Attributes:
        accelerator: for which it is compiled.
        mapped: the operations, which a reference can repeat.
        program: of a step.
    """

    accelerator: Accelerator
    mapped: Mapped
    program: Program

    def start_cycles(self, steps: int) -> list[int]:
        """Return when steps begin whose inputs come without a pause, counted from the first word; shape [steps].

        A bank of inputs is free when the step before the last one has ended; a step begins two cycles after its last
        word, or when the step before ends.
        """
        words, cycles = self.program.words, self.program.cycles
        starts: list[int] = []
        last_word = -1
        for step in range(steps):
            freed = starts[step - 2] + cycles if step > 1 else 0
            last_word = max(last_word + 1, freed) + words - 1
            starts.append(max(last_word + 2, starts[-1] + cycles if starts else 0))
        return starts

    def delay_cycles(self, steps: int) -> int:
        """Return the cycles from the first word of inputs to the last instruction of some steps, both included."""
        few = self.start_cycles(min(steps, 8 + steps % 2))
        more = steps - len(few)  # even: two steps take as long as the two before
        period = few[-1] - few[-3] if more else 0
        return few[-1] + more // 2 * period + self.program.cycles + 1


def compiled(dataflow: Dataflow, accelerator: Accelerator) -> Compiled:
    """Return a dataflow graph compiled for an accelerator, data spread as the shortest program wants them.

    Raises:
        TooSmallError: if a memory of its elements is too small for each of them.
    """
    found: list[Compiled] = []
    faults: list[TooSmallError] = []
    spreads = [accelerator.elements]
    while spreads[-1] // 2 >= _FEWEST:
        spreads.append(spreads[-1] // 2)
    for spread in spreads:
        graph = mapped(dataflow, accelerator, spread)
        try:
            program = program_of(graph, scheduled(graph, accelerator), accelerator)
            found.append(Compiled(accelerator, graph, program))
        except TooSmallError as fault:
            faults.append(fault)
    if not found:
        raise faults[0]
    return min(found, key=lambda one: (one.program.cycles, one.program.words))


def readouts(step: Compiled) -> Iterator[Program]:
    """Yield programs that let the elements of all parameters leave, some after others, by their numbers."""
    graph, accelerator = step.mapped, step.accelerator
    parameters = sorted(graph.next_values)
    most = accelerator.instruction_depth - _DRAIN
    for first in range(0, len(parameters), most):
        some = parameters[first : first + most]
        places = {graph.first_result + place: graph.homes[number] for place, number in enumerate(some)}
        own = replace(
            graph,
            operations=tuple(Operation("pass", (number,)) for number in some),
            places=places,
            homes={number: graph.homes[number] for number in parameters},
            next_values={},
            emitted=tuple(places),
            outputs=(),
        )
        yield program_of(own, scheduled(own, accelerator), accelerator)
