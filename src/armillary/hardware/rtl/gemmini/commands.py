"""Commands of the accelerator: load, execute and store, each with an affine loop nest.

A batch of commands of one kind is a matrix of 64-bit words, one row per command. The words' fields are described in
`blocks/core.sv`. Every value goes through its `Field`, which refuses what its bits do not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.types import ArmillaryError

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]
END, LOAD, EXECUTE, STORE, BARRIER = range(5)
HEADER = 8
MOST_LOOPS, MOST_MOVE_LOOPS = 12, 4
_BITS = 18
LIMIT = 1 << (_BITS - 1)
"""Coordinates of pixels are below this; the hardware takes larger ones for negative."""
ADDRESS_BITS = 32


class FieldError(ArmillaryError):
    """A value that its command field does not hold.

    Attributes:
        name: of the field.
        value: that was asked for.
        most: the largest that the field holds.
    """

    def __init__(self, message: str, name: str, value: int, most: int) -> None:
        super().__init__(message)
        self.name, self.value, self.most = name, value, most


@dataclass(frozen=True)
class Field:
    """Bits of a command's word.

    Attributes:
        name: what it holds.
        first: its lowest bit.
        bits: how many.
        least: the smallest value that the hardware takes.
        largest: if it is not all ones.
    """

    name: str
    first: int
    bits: int = _BITS
    least: int = 0
    largest: int | None = None

    @property
    def most(self) -> int:
        """The largest value that the hardware takes."""
        return (1 << self.bits) - 1 if self.largest is None else self.largest

    def packed(self, values: ArrayLike) -> Words:
        """Return values in their place in the word, negative ones as two's complement.

        Raises:
            FieldError: if the field does not hold one of them.
            ArmillaryError: if one is no integer.
        """
        self.check(values)
        masked = np.asarray(values, dtype=np.int64) & ((1 << self.bits) - 1)
        return np.asarray(masked.astype(np.uint64) << np.uint64(self.first))

    def check(self, values: ArrayLike) -> None:
        """Refuse values that the field does not hold.

        Raises:
            FieldError: names the field, the value and what is allowed.
            ArmillaryError: if one is no integer.
        """
        found = np.asarray(values)
        allowed = f"the {self.bits} bits of its command field allow {self.least} to {self.most}"
        large = found.dtype == object and all(isinstance(value, int) for value in found.ravel())
        if found.dtype.kind not in "biu" and not large:
            raise ArmillaryError(f"{self.name}={values!r} is not allowed; {allowed}, integers")
        wrong = found[(found < self.least) | (found > self.most)]
        if wrong.size:
            message = f"{self.name}={wrong[0]} is not allowed; {allowed}"
            raise FieldError(message, self.name, int(wrong[0]), self.most)


def _signed(name: str, first: int, bits: int = _BITS) -> Field:
    return Field(name, first, bits, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


SHIFT = Field("shift", 16, 6)
SCALE = Field("scale", 32, 16, least=1)
RELU = Field("relu", 0, 1)
_SCALE_BITS = Field("scale of a store", 32, 32)
_LOW, _HIGH, _WINDOW = Field("low", 0, 8), Field("high", 8, 8), Field("loops of a window", 16, 4)
_LOAD_SCALE, _LOAD_SHIFT = Field("scale of a load", 32, 8, least=1), Field("shift of a load", 16, 4)
_OPCODE = Field("opcode", 0, 4)
_FLAGS = tuple(Field("flag", 8 + place, 1) for place in range(5))
ENTRIES = 256
"""Of a table of the store unit: one for each byte."""
_EXECUTE_LOOPS = Field("loops", 4, 4, largest=MOST_LOOPS)
_MOVE_LOOPS = Field("loops", 4, 4, largest=MOST_MOVE_LOOPS)
_FROM, _TO = Field("first row of a range", 0), Field("end of a range of rows", _BITS)
_ROW, _RUN = Field("row", 0), Field("rows of a run", _BITS, least=1)
_ADDRESS = Field("DRAM address", 0, ADDRESS_BITS)
_STRIDE = _signed("rows from one of a run to the next", 2 * _BITS)
_INPUT, _WEIGHT, _OUTPUT = Field("input row", 0), Field("weight row", _BITS), Field("output row", 2 * _BITS)
_Y, _X = _signed("y", 0), _signed("x", _BITS)
_HEIGHT, _WIDTH = (Field(name, at, largest=LIMIT - 1) for name, at in (("height", 0), ("width", _BITS)))
_MASKS = tuple(
    Field(name, place * MOST_LOOPS, MOST_LOOPS)
    for place, name in enumerate(("resting loops", "reducing loops", "loops of a block"))
)
_CHANNELS = Field("channels of a step", 3 * MOST_LOOPS, 12, least=1)
_PIXELS = Field("pixels of a block", 4 * MOST_LOOPS, 12, least=1)
_REPEATS = Field("iterations after the first", 0, least=1)
_ROW_JUMP = _signed("row jump", _BITS, 32)
# Addresses are counted modulo their bits, so that a jump reaches any address from any other.
_ADDRESS_JUMP = Field("DRAM jump", 0, ADDRESS_BITS, least=1 - (1 << ADDRESS_BITS))
_JUMPS = (
    (("weight", _signed("weight jump", _BITS)), ("input", _signed("input jump", 2 * _BITS))),
    (("output", _signed("output jump", 0)), ("y", _signed("y jump", _BITS)), ("x", _signed("x jump", 2 * _BITS))),
)
"""What an execute command's loop adds to each address, by word."""


@dataclass(frozen=True)
class NestLoop:
    """One loop of a nest.

    Attributes:
        count: iterations.
        deltas: how far each address moves when the loop advances, by address name.
    """

    count: int
    deltas: Mapping[str, int]


def merged(loops: Sequence[NestLoop]) -> list[NestLoop]:
    """Return loops, the innermost first, without those that turn once, and with neighbours joined that can be."""
    found: list[NestLoop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        inner = found[-1] if found else None
        if inner and all(delta == inner.count * inner.deltas[name] for name, delta in loop.deltas.items()):
            found[-1] = NestLoop(inner.count * loop.count, inner.deltas)
        else:
            found.append(loop)
    return found


def jumps(loops: Sequence[NestLoop], name: str) -> list[int]:
    """Return what to add to an address when each loop advances and those inside it begin anew."""
    found, inside = [], 0
    for loop in loops:
        found.append(loop.deltas[name] - inside)
        inside += loop.deltas[name] * (loop.count - 1)
    return found


@dataclass(frozen=True)
class Window:
    """Rows of the accumulator that become one row on their way out.

    Attributes:
        loops: mask of the store's loops that go over them, the innermost ones; bit 0 is loop 0.
        totals: the total of their sums, not the largest.
    """

    loops: int = 0
    totals: bool = False


def _matrix(n: int, opcode: int, loops: Words, count: int, ranges: Sequence[tuple[Integers, Integers]]) -> Words:
    words = np.zeros((n, HEADER + 2 * count), dtype=np.uint64)
    words[:, 0] = _OPCODE.packed(opcode) | loops
    for number, (first, end) in enumerate(ranges):
        words[:, 1 + number] = _FROM.packed(first) | _TO.packed(end)
    return words


@dataclass(frozen=True)
class Scaled:
    """How bytes become sums: byte * scale * 2^shift, with a scale of 1 to 255 and a shift of 0 to 15."""

    scale: int = 1
    shift: int = 0


@dataclass(frozen=True)
class Moves:
    """Rows that move between DRAM and a memory on chip, by n commands of one loop nest.

    Attributes:
        loops: over runs, the innermost first, with the deltas `row` and `address`.
        run: rows that lie together in DRAM.
        rows: first row in the scratchpad or accumulator, shape [n].
        addresses: in DRAM, bytes, shape [n].
        ranges: rows that hazards watch: scratchpad a and b, accumulator; from and to, each [n].
        stride: on chip, from a row of a run to the next.
    """

    loops: Sequence[NestLoop]
    run: int
    rows: Integers
    addresses: Integers
    ranges: Sequence[tuple[Integers, Integers]]
    stride: int = 1

    def loads(
        self,
        *,
        to_accumulator: bool = False,
        scaled: Scaled | None = None,
        adds: bool = False,
        repeats: bool = False,
        transposes: bool = False,
    ) -> Words:
        """Return load commands, shape [n, words].

        Args:
            to_accumulator: and not into the scratchpad.
            scaled: rows of bytes become sums by this; else rows for the accumulator are of 32 bits.
            adds: to the sums that are there.
            repeats: the first row of each run fills all of it.
            transposes: each step of the loops is a row, `run` of them are a block, and a block becomes `stride` rows,
                its bytes across, one behind the other.

        Raises:
            FieldError: if a value does not fit its field.
        """
        flags = (to_accumulator, scaled is not None, adds, repeats, transposes)
        words = self._words(LOAD)
        for held, flag in zip(_FLAGS, flags, strict=True):
            words[:, 0] |= held.packed(flag)
        if scaled is not None:
            words[:, 0] |= _LOAD_SCALE.packed(scaled.scale) | _LOAD_SHIFT.packed(scaled.shift)
        return words

    def stores(self, conversion: Conversion | None, window: Window | None = None, *, looks_up: bool = False) -> Words:
        """Return store commands, shape [n, words].

        Args:
            conversion: of sums to bytes; None to store them as they are.
            window: of rows that become one, if there are any.
            looks_up: the bytes in the tables; then scratchpad a must be `tables_of`.

        Raises:
            FieldError: if a value does not fit its field.
        """
        words, over = self._words(STORE), window or Window()
        words[:, 6] = _WINDOW.packed(over.loops)
        flags = (conversion is None, conversion is not None and conversion.floating, over.totals, looks_up)
        for held, flag in zip(_FLAGS, flags, strict=False):
            words[:, 0] |= held.packed(flag)
        if conversion is not None:
            words[:, 0] |= SHIFT.packed(conversion.shift) | _SCALE_BITS.packed(conversion.scale_bits)
            words[:, 6] |= _LOW.packed(conversion.low & 0xFF) | _HIGH.packed(conversion.high & 0xFF)
        return words

    def _words(self, opcode: int) -> Words:
        loops = self.loops
        words = _matrix(len(self.rows), opcode, _MOVE_LOOPS.packed(len(loops)), len(loops), self.ranges)
        words[:, 4] = _ROW.packed(self.rows) | _RUN.packed(self.run) | _STRIDE.packed(self.stride)
        words[:, 5] = _ADDRESS.packed(self.addresses)
        by_loop = zip(loops, jumps(loops, "row"), jumps(loops, "address"), strict=True)
        for number, (loop, row, address) in enumerate(by_loop):
            words[:, HEADER + 2 * number] = _REPEATS.packed(loop.count - 1) | _ROW_JUMP.packed(row)
            words[:, HEADER + 2 * number + 1] = _ADDRESS_JUMP.packed(address)
        return words


@dataclass(frozen=True)
class Executes:
    """What varies between execute commands of one loop nest, each of shape [n]."""

    inputs: Integers
    weights: Integers
    outputs: Integers
    y: Integers
    x: Integers
    height: Integers
    width: Integers
    fresh: Integers


def executes(
    loops: Sequence[NestLoop],
    masks: Sequence[int],
    channels: int,
    these: Executes,
    ranges: Sequence[tuple[Integers, Integers]],
    *,
    holds_sums: bool = False,
) -> Words:
    """Return execute commands, shape [n, words].

    Args:
        loops: the innermost first, with the deltas `weight`, `input`, `output`, `y` and `x`.
        masks: loops that do not index the stationary tensor, loops that reduce, and loops of a block; bit 0 is loop 0.
        channels: of a step of the output-stationary array.
        these: what varies.
        ranges: rows that hazards watch: inputs, weights, accumulator; from and to, each [n].
        holds_sums: whether the array holds sums while they run, not weights.

    Raises:
        FieldError: if a value does not fit its field.
    """
    words = _matrix(len(these.inputs), EXECUTE, _EXECUTE_LOOPS.packed(len(loops)), len(loops), ranges)
    words[:, 0] |= _FLAGS[0].packed(these.fresh) | _FLAGS[1].packed(holds_sums)
    words[:, 4] = _INPUT.packed(these.inputs) | _WEIGHT.packed(these.weights) | _OUTPUT.packed(these.outputs)
    words[:, 5] = _Y.packed(these.y) | _X.packed(these.x)
    words[:, 6] = _HEIGHT.packed(these.height) | _WIDTH.packed(these.width)
    pixels = prod(loop.count for place, loop in enumerate(loops) if masks[2] >> place & 1)
    words[:, 7] = _CHANNELS.packed(channels) | _PIXELS.packed(pixels)
    for held, mask in zip(_MASKS, masks, strict=True):
        words[:, 7] |= held.packed(mask)
    for number, loop in enumerate(loops):
        words[:, HEADER + 2 * number] = _REPEATS.packed(loop.count - 1)
    for place, fields in enumerate(_JUMPS):
        for name, held in fields:
            for number, jump in enumerate(jumps(loops, name)):
                words[:, HEADER + 2 * number + place] |= held.packed(jump)
    return words


def table_load(address: int, scratchpad_rows: int, accumulator_rows: int) -> Words:
    """Return the command that loads the tables of the store unit, shape [words].

    Hazards count the tables as the row behind the scratchpad: what looks bytes up waits for this. This waits for all
    that stores or adds to sums before.

    Args:
        address: in DRAM, of `ENTRIES` rows of the array, one behind the other; each has an entry of every lane's table.
        scratchpad_rows: of the accelerator.
        accumulator_rows: likewise.

    Raises:
        FieldError: if a value does not fit its field.
    """
    zero = np.zeros(1, dtype=np.int64)
    ranges = [tables_of(scratchpad_rows, zero), (zero, zero), (zero, zero + accumulator_rows)]
    words = Moves((), ENTRIES, zero, zero + address, ranges)._words(LOAD)
    words[:, 0] |= _FLAGS[1].packed(1)
    return words.reshape(-1)


def tables_of(scratchpad_rows: int, which: Integers) -> tuple[Integers, Integers]:
    """Return the row that stands for the tables, from and to, once for each of some commands."""
    first = np.full(len(which), scratchpad_rows, dtype=np.int64)
    return first, first + 1


def barrier() -> Words:
    """Return the command that waits until all before it is done, shape [1]."""
    return np.array([BARRIER], dtype=np.uint64)


def end() -> Words:
    """Return the last command, shape [1]."""
    return np.array([END], dtype=np.uint64)
