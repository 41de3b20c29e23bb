"""The instructions of `genesys`: operations of its three units, their encoding, and what waits for what.

An instruction has 64 bits: in bits 61:60 the unit, in 56 whether it runs, in 53:48 a register's index, in 31:0 a
value. A unit's registers hold the loops, strides and addresses of its next operation; they keep what they hold, so that
an operation costs an instruction for each register that changes, and one that runs it. That one names channels: from
which the unit takes a token before it begins (bits 5:0), and to which it gives one when it is done (13:8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.genesys.arithmetic import Op, Reduce
from armillary.types import ArmillaryError

INSTRUCTION_BYTES = 8
MOST_COUNT = 1 << 16
MOST_WORDS = 1 << 20
"""Passes of a loop; words of a row and rows of a load."""


class Unit(IntEnum):
    """Who does an operation; zero ends the program."""

    LOAD = 1
    ARRAY = 2
    VECTOR = 3


CHANNELS = {
    (Unit.LOAD, Unit.ARRAY): 0,
    (Unit.ARRAY, Unit.LOAD): 1,
    (Unit.ARRAY, Unit.VECTOR): 2,
    (Unit.VECTOR, Unit.ARRAY): 3,
    (Unit.LOAD, Unit.VECTOR): 4,
    (Unit.VECTOR, Unit.LOAD): 5,
}
"""Of tokens, from who gives to who takes."""


class Target(IntEnum):
    """Where loaded words go: a memory of the vector unit takes words of inputs, widened, or of 32-bit numbers."""

    IBUF = 0
    WBUF = 1
    BBUF = 2
    VMEM1 = 3
    VMEM2 = 4
    WIDE_VMEM1 = 5
    WIDE_VMEM2 = 6


class Source(IntEnum):
    """Where the vector unit's first operand lies."""

    SUMS = 0
    VMEM1 = 1
    VMEM2 = 2


class Second(IntEnum):
    """Where its second operand lies."""

    IMMEDIATE = 0
    VMEM1 = 1
    VMEM2 = 2
    FIRST = 3


class Result(IntEnum):
    """Where its values go."""

    VMEM1 = 1
    VMEM2 = 2
    DRAM = 3


class Start(IntEnum):
    """What the first products of a sum are added to."""

    ZERO = 0
    BIAS = 1
    SUM = 2


@dataclass(frozen=True)
class Walk:
    """Addresses that follow loops, the innermost stride first; strides that are left out are zero."""

    base: int = 0
    strides: tuple[int, ...] = ()

    def steps(self, counts: Sequence[int]) -> list[int]:
        """Return what the address moves by when each loop goes on and all within it start anew."""
        strides = [*self.strides, *([0] * (len(counts) - len(self.strides)))]
        back, found = 0, []
        for stride, count in zip(strides, counts, strict=True):
            found.append(stride - back)
            back += stride * (count - 1)
        return found


@dataclass(frozen=True)
class Load:
    """Rows of words from DRAM, one behind the other, into a buffer.

    Attributes:
        target: the buffer.
        to: word of it.
        dram: byte of the first row.
        counts: words of a row, rows, planes.
        strides: bytes from a row to the next and from a plane to the next.
    """

    target: Target
    to: int
    dram: int
    counts: tuple[int, int, int]
    strides: tuple[int, int] = (0, 0)
    unit: Unit = field(default=Unit.LOAD, init=False)

    @property
    def words(self) -> int:
        """All words."""
        return prod(self.counts)

    def registers(self, word_bytes: int) -> dict[int, int]:
        """Return the registers by index.

        Args:
            word_bytes: of a word of the target.
        """
        _check_counts(self.counts, MOST_WORDS)
        _, row, plane = Walk(strides=(word_bytes, *self.strides)).steps(self.counts)
        lasts = {index: count - 1 for index, count in enumerate(self.counts)}
        steps = {index: step for index, step in ((4, row), (5, plane)) if self.counts[index - 3] > 1}
        return {**lasts, 3: self.dram, **steps, 6: (self.target << 28) | self.to}


@dataclass(frozen=True)
class Multiply:
    """Blocks of weights times words of inputs.

    Attributes:
        counts: words of a row, rows, filter columns, filter rows, blocks of input channels, of output channels.
        inputs: words of the input buffer.
        sums: words of the buffer of sums; what is summed up has a stride of zero.
        weights: word of the weight buffer of the first block; the others follow.
        bias: word of the bias buffer; the next block of output channels has the next.
        start: what the first products are added to.
    """

    counts: tuple[int, int, int, int, int, int]
    inputs: Walk
    sums: Walk
    weights: int = 0
    bias: int = 0
    start: Start = Start.ZERO
    unit: Unit = field(default=Unit.ARRAY, init=False)

    @property
    def words(self) -> int:
        """Words of inputs of a block."""
        return prod(self.counts[:2])

    @property
    def blocks(self) -> int:
        """Blocks of weights."""
        return prod(self.counts[2:])

    def registers(self) -> dict[int, int]:
        """Return the registers by index."""
        _check_counts(self.counts, MOST_COUNT)
        return {
            **{index: count - 1 for index, count in enumerate(self.counts)},
            **_walk(8, 6, self.inputs, self.counts),
            **_walk(16, 6, self.sums, self.counts),
            30: self.bias,
            31: self.weights,
            32: self.start,
        }


@dataclass(frozen=True)
class Vector:
    """An operation on words, lane by lane.

    Attributes:
        op: see `arithmetic.Op`.
        counts: passes of five loops, the innermost first.
        first: words of the first operand, which lies in `source`.
        result: words of the values, or bytes of DRAM; reduced loops have no stride.
        source: where the first operand lies.
        target: where values go.
        second: words of the second operand, if it lies in a memory.
        second_source: where it lies; not in the memory of the first.
        immediate: the second operand, if it is the same number everywhere.
        shift: see `arithmetic.computed`.
        relu: negative values become zero.
        reduce: what becomes of the values of the inner `reduced` loops.
        reduced: how many loops are reduced.
    """

    op: Op
    counts: tuple[int, int, int, int, int]
    first: Walk
    result: Walk
    source: Source = Source.SUMS
    target: Result = Result.DRAM
    second: Walk = Walk()
    second_source: Second = Second.IMMEDIATE
    immediate: int = 0
    shift: int = 0
    relu: bool = False
    reduce: Reduce = Reduce.NONE
    reduced: int = 0
    unit: Unit = field(default=Unit.VECTOR, init=False)

    def __post_init__(self) -> None:
        if self.source != Source.SUMS and int(self.source) == int(self.second_source):
            raise ArmillaryError(f"second_source={self.second_source!r} is not allowed; the first operand lies there")

    @property
    def elements(self) -> int:
        """Words that are read."""
        return prod(self.counts)

    @property
    def per_value(self) -> int:
        """Words that become one value."""
        return prod(self.counts[: self.reduced])

    def registers(self) -> dict[int, int]:
        """Return the registers by index."""
        _check_counts(self.counts, MOST_COUNT)
        mask = (1 << self.reduced) - 1
        mode = (self.op, self.source << 4, self.second_source << 6, self.target << 8, self.shift << 10)
        return {
            **{index: count - 1 for index, count in enumerate(self.counts)},
            **_walk(8, 5, self.first, self.counts),
            **_walk(16, 5, self.second, self.counts),
            **_walk(24, 5, self.result, self.counts),
            32: self.immediate,
            33: sum(mode) | (self.relu << 16) | (self.reduce << 17) | (mask << 19),
        }


Operation: TypeAlias = Load | Multiply | Vector


def _walk(first: int, levels: int, walk: Walk, counts: Sequence[int]) -> dict[int, int]:
    """Return the registers of a walk; a loop of one pass never goes on."""
    steps = enumerate(walk.steps(counts))
    return {**{first + level: step for level, step in steps if counts[level] > 1}, first + levels: walk.base}


def _check_counts(counts: Sequence[int], most: int) -> None:
    wrong = [count for count in counts if not 1 <= count <= most]
    if wrong:
        raise ArmillaryError(f"counts={tuple(counts)} is not allowed; each must be 1 to {most}")


@dataclass(frozen=True)
class Step:
    """An operation of a program.

    Attributes:
        operation: what runs.
        sets: registers that are set before.
        waits: channels from which it takes a token, a bit each.
        gives: channels to which it gives one.
    """

    operation: Operation
    sets: int
    waits: int
    gives: int


@dataclass(frozen=True)
class Program:
    """Operations in order, and their instructions, with the one that ends the program."""

    steps: tuple[Step, ...]
    words: NDArray[np.uint64]


class Builder:
    """Puts operations in order, and finds out which tokens they need.

    Args:
        word_bytes: of a word of each target of loads.
    """

    def __init__(self, word_bytes: dict[Target, int]) -> None:
        self._word_bytes = word_bytes
        self._operations: list[Operation] = []
        self._after: list[tuple[int, ...]] = []

    def add(self, operation: Operation, after: Sequence[int | None] = ()) -> int:
        """Add an operation, and return its number.

        Args:
            operation: what runs.
            after: numbers of operations that must be done before; those of its own unit are.
        """
        self._operations.append(operation)
        self._after.append(tuple(number for number in after if number is not None))
        return len(self._operations) - 1

    def program(self) -> Program:
        """Return the program.

        A unit that waits for an operation of another takes one token from it; whoever waited for a later one need not
        wait again, because a unit's operations end in order.
        """
        waits, gives = [0] * len(self._operations), [0] * len(self._operations)
        waited: dict[int, int] = {}
        for number, (operation, after) in enumerate(zip(self._operations, self._after, strict=True)):
            for other in after:
                channel = CHANNELS.get((self._operations[other].unit, operation.unit))
                if channel is None or waited.get(channel, -1) >= other:
                    continue
                if waits[number] >> channel & 1:  # it waits for the later one of two
                    gives[waited[channel]] &= ~(1 << channel)
                waits[number] |= 1 << channel
                gives[other] |= 1 << channel
                waited[channel] = other
        return self._encoded(waits, gives)

    def _encoded(self, waits: Sequence[int], gives: Sequence[int]) -> Program:
        held: dict[tuple[Unit, int], int] = {}
        words, steps = [], []
        for operation, wait, give in zip(self._operations, waits, gives, strict=True):
            changed = {
                index: value
                for index, value in self._registers(operation).items()
                if held.get((operation.unit, index)) != value
            }
            held |= {(operation.unit, index): value for index, value in changed.items()}
            words += [_word(operation.unit, index, value) for index, value in changed.items()]
            words.append(_word(operation.unit, 0, wait | give << 8, runs=True))
            steps.append(Step(operation, len(changed), wait, give))
        return Program(tuple(steps), np.array([*words, 0], dtype=np.uint64))

    def _registers(self, operation: Operation) -> dict[int, int]:
        if isinstance(operation, Load):
            return operation.registers(self._word_bytes[operation.target])
        return operation.registers()


def _word(unit: Unit, index: int, value: int, *, runs: bool = False) -> int:
    return unit << 60 | runs << 56 | index << 48 | value & 0xFFFFFFFF
