"""From a schedule to what an accelerator is loaded with: addresses, instructions, and the places of inputs."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from armillary.hardware.rtl.tabla.board import COMPUTE, OPERAND, Held, Source
from armillary.hardware.rtl.tabla.mapping import Mapped
from armillary.hardware.rtl.tabla.scheduling import Schedule
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Kind

OPERATIONS: tuple[Kind, ...] = (
    "add", "sub", "mul", "max", "min", "greater", "equal", "select", "reject", "sigmoid", "pass",
)  # fmt: skip
"""In the order of their codes."""
_DEPTHS = {
    Source.DATA: "data_depth",
    Source.WEIGHT: "weight_depth",
    Source.INTERMEDIATE: "intermediate_depth",
    Source.INBOX: "inbox_depth",
}
_READS = {Source.DATA: "data", Source.WEIGHT: "weight", Source.INBOX: "inbox"}


class TooSmallError(Exception):
    """A program that needs more of a memory than there is.

    Attributes:
        memory: the parameter of its depth.
        needed: words.
        available: words.
    """

    def __init__(self, memory: str, needed: int, available: int) -> None:
        super().__init__(f"{memory}={available} is too small; the program needs {needed}")
        self.memory, self.needed, self.available = memory, needed, available


@dataclass(frozen=True)
class Program:
    """What an accelerator is loaded with, and how its inputs come in.

    Attributes:
        instructions: of each element, one for every cycle of a step, shape [elements][cycles].
        weights: element, address and number of every parameter's element and of every constant that an element needs.
        data: element and address of every element of an input that is used, by its number.
        groups: of elements, the first ones, to which words of inputs go.
        words: of inputs in a step; an accelerator takes one at least.
        emitted: the results that leave in a step, in their order.
        used: the most words of each memory that an element uses, by the parameter of its depth.
    """

    instructions: Sequence[Sequence[int]]
    weights: Sequence[tuple[int, int, int]]
    data: Mapping[int, tuple[int, int]]
    groups: int
    words: int
    emitted: Sequence[int]
    used: Mapping[str, int]

    @property
    def cycles(self) -> int:
        """Of a step, its inputs there."""
        return len(self.instructions[0])


def program_of(mapped: Mapped, schedule: Schedule, accelerator: Accelerator) -> Program:
    """Return the program of a schedule.

    Raises:
        TooSmallError: if a memory of an element is too small.
    """
    addresses: dict[Held, int] = {}
    used = {"instruction_depth": schedule.cycles, **dict.fromkeys(_DEPTHS.values(), 0)}
    for (memory, _), words in schedule.words.items():
        stays = memory in (Source.DATA, Source.WEIGHT)
        own = _in_order(words, mapped) if stays else _shared(words)
        addresses |= own
        used[_DEPTHS[memory]] = max(used[_DEPTHS[memory]], 1 + max(own.values(), default=-1))
    for name, needed in used.items():
        available = getattr(accelerator, name)
        if needed > available:
            raise TooSmallError(name, needed, available)
    homes = {
        memory: [(held.element, addresses[held], held.value) for held in addresses if held.memory == memory]
        for memory in (Source.DATA, Source.WEIGHT)
    }
    data = {number: (element, address) for element, address, number in homes[Source.DATA]}
    groups = 1 + max((element // accelerator.axi_width for element, _ in data.values()), default=0)
    last = max((address * groups + element // accelerator.axi_width for element, address in data.values()), default=0)
    return Program(
        _encoded(_fields(schedule, addresses), schedule.cycles, accelerator),
        sorted(homes[Source.WEIGHT]),
        data,
        groups,
        last + 1,
        schedule.emitted,
        used,
    )


def _in_order(words: Sequence[Held], mapped: Mapped) -> dict[Held, int]:
    """Return addresses of what is there before the step: parameters first, so that other programs find them there."""
    parameters = mapped.dataflow.next_values
    ordered = sorted(words, key=lambda word: (word.value not in parameters, word.value))
    return {word: address for address, word in enumerate(ordered)}


def _shared(words: Sequence[Held]) -> dict[Held, int]:
    """Return addresses of what comes and goes: a word is written again when nobody reads it any more."""
    found: dict[Held, int] = {}
    free: list[int] = []
    busy: list[tuple[int, int]] = []  # last cycle in which it is read, address
    for word in sorted(words, key=lambda held: (held.written, held.value)):
        while busy and busy[0][0] < word.written:
            heapq.heappush(free, heapq.heappop(busy)[1])
        found[word] = heapq.heappop(free) if free else len(free) + len(busy)
        heapq.heappush(busy, (max(word.reads), found[word]))
    return found


def _fields(schedule: Schedule, addresses: Mapping[Held, int]) -> dict[tuple[int, int], dict[str, int]]:
    """Return the fields of each instruction that are not zero, by element and cycle."""
    fields: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for done in schedule.done:
        reads = fields[done.element, done.begin]
        for operand, port, name in zip(done.operands, ("first", "second"), "ab", strict=False):
            if operand.held is not None:
                memory = _READS.get(operand.source, port)
                reads |= {f"{memory}_read": 1, f"{memory}_address": addresses[operand.held]}
            fields[done.element, done.begin + OPERAND][f"{name}_source"] = operand.source
        fields[done.element, done.begin + COMPUTE]["operation"] = OPERATIONS.index(done.kind)
    weights = {(held.value, held.element): a for held, a in addresses.items() if held.memory == Source.WEIGHT}
    for (element, cycle), parameter in schedule.stores.items():
        fields[element, cycle] |= {"weight_write": 1, "weight_target": weights[parameter, element]}
    for held, address in addresses.items():
        if held.memory == Source.INTERMEDIATE:
            fields[held.element, held.written] |= {"intermediate_write": 1, "intermediate_target": address}
        elif held.memory == Source.INBOX:
            own = fields[held.element, held.written]
            own |= {"inbox_write": 1, "inbox_target": address, "inbox_source": held.taken - Source.LEFT}
    for place, drives in schedule.drives.items():
        fields[place]["drives"] = drives
    return fields


def _encoded(
    fields: Mapping[tuple[int, int], Mapping[str, int]], cycles: int, accelerator: Accelerator
) -> list[list[int]]:
    """Return the instructions, shape [elements][cycles]; `pe.sv` takes them apart."""
    layout = layout_of(accelerator)
    instructions = [[0] * cycles for _ in range(accelerator.elements)]
    for (element, cycle), values in fields.items():
        for name, value in values.items():
            first, bits = layout[name]
            if not 0 <= value < 1 << bits:
                raise AssertionError(f"{name}={value} has no room in {bits} bits")
            instructions[element][cycle] |= int(value) << first
    return instructions


def layout_of(accelerator: Accelerator) -> dict[str, tuple[int, int]]:
    """Return the first bit and the bits of every field of an instruction, from the last to the first."""
    bits = {memory: (getattr(accelerator, depth) - 1).bit_length() for memory, depth in _DEPTHS.items()}
    data, weight, intermediate, inbox = bits.values()
    widths = {
        "drives": 2, "inbox_source": 2, "inbox_target": inbox, "inbox_write": 1, "intermediate_target": intermediate,
        "intermediate_write": 1, "weight_target": weight, "weight_write": 1, "operation": 4, "b_source": 4,
        "a_source": 4, "inbox_address": inbox, "inbox_read": 1, "second_address": intermediate, "second_read": 1,
        "first_address": intermediate, "first_read": 1, "weight_address": weight, "weight_read": 1,
        "data_address": data, "data_read": 1,
    }  # fmt: skip
    layout, first = {}, 0
    for name, width in widths.items():
        layout[name] = first, width
        first += width
    if first != accelerator.instruction_bits:
        raise AssertionError(f"instructions of {first} bits, not {accelerator.instruction_bits}")
    return layout
