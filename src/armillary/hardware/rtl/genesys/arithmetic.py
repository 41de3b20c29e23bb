"""What the vector unit computes, bit for bit, by NumPy: the reference of `blocks/lane.sv`, and its tables.

The functions take and give numbers with 12 bits after the point. Each is a line between neighbouring entries of a table
of 32 and one; what happens beyond the table and to negative arguments follows from the function's symmetry. Errors
against real functions are stated in `docs/genesys.md` and kept by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from math import erfc, exp, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

Integers = NDArray[np.int64]
FRACTION = 12
"""Bits after the point of what functions take and give."""
ONE = 1 << FRACTION
SHIFTS = 48
FACTORS = 1 << 15
"""A factor, which is the second operand of a multiplication, lies between minus this and this."""
ENTRIES = 32
_STEPS = 10
"""Bits of the way from an entry to the next."""
_LEAST, _MOST = -(1 << 31), (1 << 31) - 1


class Op(IntEnum):
    """An operation of a lane on operands a and b."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    """a times the low 16 bits of b, shifted."""
    MAXIMUM = 3
    MINIMUM = 4
    LEAKY = 5
    """a where it is not negative, else as `MULTIPLY`."""
    SIGMOID = 6
    TANH = 7
    GELU = 8
    EXP2 = 9
    """2^a, divided by 2^shift."""
    LOG2 = 10
    """Of a if positive, else of the least positive number."""


class Reduce(IntEnum):
    """What becomes of the values of a reduced loop."""

    NONE = 0
    SUM = 1
    MAXIMUM = 2


@dataclass(frozen=True)
class Table:
    """A function between 0 and `end`, as 33 entries with 12 bits after the point."""

    function: Callable[[float], float]
    end: float

    @property
    def entries(self) -> list[int]:
        """The entries, the one at the end among them."""
        return [round(ONE * self.function(self.end * place / ENTRIES)) for place in range(ENTRIES + 1)]


TABLES = (
    Table(lambda x: 1 / (1 + exp(-x)), 8.0),
    Table(lambda x: x * erfc(x / sqrt(2)) / 2, 4.0),
    Table(lambda x: 2.0**x, 1.0),
    Table(lambda x: log2(1 + x), 1.0),
)
"""Sigmoid; x times the normal distribution's tail beyond x; power of two; logarithm of one and more."""
_SIGMOID, _TAIL, _POWER, _LOGARITHM = range(4)


def lookup_source() -> str:
    """Return the module of the tables."""
    lines = [
        "// The tables of the vector unit: an entry and what is to be added up to the next.",
        "module lookup (",
        "    input  logic        [ 1:0] which,",
        "    input  logic        [ 4:0] place,",
        "    output logic        [13:0] entry,",
        "    output logic signed [10:0] change",
        ");",
        "  always_comb",
        "    case ({which, place})",
    ]
    for which, table in enumerate(TABLES):
        entries = table.entries
        for place, (entry, following) in enumerate(pairwise(entries)):
            change = f"{'-' if following < entry else ''}11'sd{abs(following - entry)}"
            chosen = f"7'd{which * ENTRIES + place}"
            lines.append(f"      {chosen}: {{entry, change}} = {{14'd{entry}, {change}}};")
    return "\n".join([*lines, "    endcase", "endmodule", ""])


def computed(op: Op, a: Integers, b: Integers | int = 0, *, shift: int = 0, relu: bool = False) -> Integers:
    """Return an operation's values, 32 bits each.

    Args:
        op: the operation.
        a: first operands, 32 bits.
        b: second operands likewise, of the same shape or one for all.
        shift: bits to shift right by, rounding half up, 0 to 47.
        relu: negative values become zero.

    Raises:
        ArmillaryError: if the shift is not allowed.
    """
    if not 0 <= shift < SHIFTS:
        raise ArmillaryError(f"shift={shift!r} is not allowed; choose 0 to {SHIFTS - 1}")
    a, b = np.broadcast_arrays(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64))
    values = saturated(_unlimited(op, a, b, shift))
    return np.maximum(values, 0) if relu else values


def _unlimited(op: Op, a: Integers, b: Integers, shift: int) -> Integers:
    negative, factor = a < 0, _factor(b)
    match op:
        case Op.ADD:
            return a + b
        case Op.SUBTRACT:
            return a - b
        case Op.MULTIPLY:
            return shifted(a * factor, shift)
        case Op.MAXIMUM:
            return np.maximum(a, b)
        case Op.MINIMUM:
            return np.minimum(a, b)
        case Op.LEAKY:
            return np.where(negative, shifted(a * factor, shift), a)
        case Op.SIGMOID:
            value = _between(_SIGMOID, *_placed(np.abs(a), 15))
            return shifted(np.where(negative, (ONE << _STEPS) - value, value), _STEPS)
        case Op.TANH:  # 2 sigmoid(2 x) - 1
            value = 2 * _between(_SIGMOID, *_placed(np.abs(a), 14)) - (ONE << _STEPS)
            return shifted(np.where(negative, -value, value), _STEPS)
        case Op.GELU:  # relu(x) - |x| tail(|x|)
            place, rest = _placed(np.abs(a), 14)
            tail = np.where(np.abs(a) >= 1 << 14, 0, _between(_TAIL, place, rest))
            return shifted((np.maximum(a, 0) << _STEPS) - tail, _STEPS)
        case Op.EXP2:
            value = _between(_POWER, (a >> 7) & 31, (a & 127) << 3)
            return shifted(value, np.clip(_STEPS + shift - (a >> FRACTION), 0, SHIFTS - 1))
        case Op.LOG2:
            return shifted(_logarithm(np.maximum(a, 1)), _STEPS)
    raise AssertionError(op)


def _logarithm(positive: Integers) -> Integers:
    leading = np.frexp(positive.astype(np.float64))[1].astype(np.int64) - 1
    mantissa = positive << (31 - leading)
    value = _between(_LOGARITHM, (mantissa >> 26) & 31, (mantissa >> 16) & 1023)
    return value + ((leading - FRACTION) << FRACTION + _STEPS)


def _placed(magnitude: Integers, bits: int) -> tuple[Integers, Integers]:
    """Return the entry before an argument and the way to the next; the last place for arguments of more bits."""
    inside = magnitude < 1 << bits
    way = bits - 5
    place = np.where(inside, magnitude >> way, ENTRIES - 1)
    rest = np.where(inside, (magnitude & ((1 << way) - 1)) << (_STEPS - way), (1 << _STEPS) - 1)
    return place, rest


def _between(which: int, place: Integers, rest: Integers) -> Integers:
    """Return a table's value times 2^10."""
    entries = np.array(TABLES[which].entries, dtype=np.int64)
    return (entries[place] << _STEPS) + (entries[place + 1] - entries[place]) * rest


def _factor(b: Integers) -> Integers:
    return ((b + FACTORS) & (2 * FACTORS - 1)) - FACTORS


def shifted(values: Integers, shift: Integers | int) -> Integers:
    """Return values shifted right, rounded half up."""
    shift = np.asarray(shift, dtype=np.int64)
    return (values + ((np.int64(1) << shift) >> 1)) >> shift


def saturated(values: Integers, bits: int = 32) -> Integers:
    """Return values limited to so many bits."""
    return np.clip(values, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def reduced(how: Reduce, values: Integers) -> Integers:
    """Return values reduced over their last axis; sums saturate after every addition."""
    if how is Reduce.MAXIMUM:
        return np.asarray(values.max(axis=-1), dtype=np.int64)
    total = values[..., 0]
    for place in range(1, values.shape[-1]):
        total = saturated(total + values[..., place])
    return total
