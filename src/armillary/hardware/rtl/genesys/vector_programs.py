"""Programs of the vector unit alone: softmax, layer normalisation, pooling, elementwise addition and multiplication.

Softmax and layer normalisation reduce over the elements of a row. A row lies in a lane, its elements one behind the
other, so that nothing passes between lanes; as many rows as there are lanes make a block. Each program has its
reference beside it, which takes the same steps by NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from armillary.hardware.rtl.genesys.arithmetic import (
    FACTORS,
    FRACTION,
    ONE,
    Integers,
    Op,
    Reduce,
    computed,
    reduced,
    saturated,
)
from armillary.hardware.rtl.genesys.compiler import Tensor
from armillary.hardware.rtl.genesys.instructions import (
    INSTRUCTION_BYTES,
    Builder,
    Load,
    Program,
    Result,
    Second,
    Source,
    Target,
    Vector,
    Walk,
)
from armillary.hardware.templates.genesys import SUM_BITS, Accelerator
from armillary.types import ArmillaryError

_CENTRED = 7
"""Bits after the point of an element less its row's mean: as many as leave it 16 bits."""
_INVERSE = 14
"""Likewise of one over the standard deviation."""


@dataclass(frozen=True)
class VectorProgram:
    """A program and its tensors, words of activations or, of the last inputs of layer normalisation, of 32-bit numbers.

    Attributes:
        program: the instructions.
        inputs: what it reads.
        output: what it writes.
        program_address: of the instructions, the last thing in DRAM.
    """

    program: Program
    inputs: tuple[Tensor, ...]
    output: Tensor
    program_address: int

    @property
    def dram_bytes(self) -> int:
        """What the program needs of DRAM."""
        return self.program_address + len(self.program.words) * INSTRUCTION_BYTES


@dataclass(frozen=True)
class Scale:
    """A number as a factor of 16 bits and a shift.

    Attributes:
        factor: less than 2^15.
        shift: 0 to 47.
    """

    factor: int
    shift: int

    @staticmethod
    def of(number: float) -> Scale:
        """Return the nearest to a positive number.

        Raises:
            ArmillaryError: if it is too large or too small.
        """
        shift = 14 - math.floor(math.log2(number)) if number > 0 else -1
        if not 0 <= shift <= 47:
            raise ArmillaryError(f"scale={number!r} is not allowed; it must be between 2^-33 and 2^15")
        return Scale(min(round(number * 2.0**shift), FACTORS - 1), shift)

    def times(self, values: Integers) -> Integers:
        """Return values times the number."""
        return computed(Op.MULTIPLY, values, self.factor, shift=self.shift)


class _Writer:
    """Writes the operations of a program over blocks of words, each of which begins when that before it is done."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._narrow, self._wide = accelerator.input_bits // 8, accelerator.array * SUM_BITS // 8
        narrow, wide = (Target.VMEM1, Target.VMEM2), (Target.WIDE_VMEM1, Target.WIDE_VMEM2)
        self._builder = Builder(dict.fromkeys(narrow, self._narrow) | dict.fromkeys(wide, self._wide))
        self._words = accelerator.vmem_words
        self._end = 0
        self._last: int | None = None

    def tensor(self, *shape: int, wide: bool = False) -> Tensor:
        """Return words of DRAM that nothing else uses."""
        found = Tensor(self._end, shape, self._wide if wide else self._narrow)
        self._end += -(-found.bytes // 64) * 64
        return found

    def load(self, target: Target, to: int, dram: int, words: int) -> None:
        """Add a load.

        Raises:
            ArmillaryError: if the memory is too small.
        """
        if to + words > self._words:
            raise ArmillaryError(f"VMEM words needs {to + words:,}, has {self._words:,}")
        self._last = self._builder.add(Load(target, to, dram, (words, 1, 1)), after=(self._last,))

    def vector(self, operation: Vector) -> None:
        """Add an operation of the vector unit."""
        self._last = self._builder.add(operation, after=(self._last,))

    def finished(self, inputs: Sequence[Tensor], output: Tensor) -> VectorProgram:
        """Return the program."""
        return VectorProgram(self._builder.program(), tuple(inputs), output, self._end)


def _loops(*counts: int) -> tuple[int, int, int, int, int]:
    first, second, third, fourth, fifth = (*counts, 1, 1, 1, 1, 1)[:5]
    return first, second, third, fourth, fifth


_EACH, _SAME = (1,), ()
_ONE, _TWO = Source.VMEM1, Source.VMEM2


def softmax(accelerator: Accelerator, blocks: int, elements: int, scale: float) -> VectorProgram:
    """Return a softmax over the elements of rows.

    Args:
        accelerator: that runs it.
        blocks: of as many rows as there are lanes.
        elements: of a row.
        scale: of the inputs; an output of one is 2^(data_width - 1), saturated.

    Raises:
        ArmillaryError: if the memory is too small or the scale is not allowed.
    """
    to_power = Scale.of(scale * math.log2(math.e) * ONE)
    writer = _Writer(accelerator)
    inputs, output = writer.tensor(blocks, elements), writer.tensor(blocks, elements)
    every, once, walk = _loops(elements), _loops(), Walk(0, _EACH)
    row = Walk(0, _SAME)
    back = 1 + FRACTION - accelerator.data_width
    for block in range(blocks):
        writer.load(Target.VMEM1, 0, inputs.at(block), elements)
        write = writer.vector
        write(Vector(Op.ADD, every, walk, row, _ONE, Result.VMEM2, reduce=Reduce.MAXIMUM, reduced=1))
        write(Vector(Op.SUBTRACT, every, walk, walk, _ONE, Result.VMEM1, row, Second.VMEM2))
        write(Vector(Op.MULTIPLY, every, walk, walk, _ONE, Result.VMEM1,
                     immediate=to_power.factor, shift=to_power.shift))  # fmt: skip
        write(Vector(Op.EXP2, every, walk, row, _ONE, Result.VMEM2, reduce=Reduce.SUM, reduced=1))
        write(Vector(Op.LOG2, once, row, row, _TWO, Result.VMEM2))
        write(Vector(Op.SUBTRACT, every, walk, walk, _ONE, Result.VMEM1, row, Second.VMEM2))
        out = Walk(output.at(block), (output.word_bytes,))
        write(Vector(Op.EXP2, every, walk, out, _ONE, Result.DRAM, shift=back))
    return writer.finished((inputs,), output)


def softmax_of(values: Integers, scale: float, data_width: int) -> Integers:
    """Return what `softmax` computes over the last axis."""
    to_power = Scale.of(scale * math.log2(math.e) * ONE)
    powers = to_power.times(values - reduced(Reduce.MAXIMUM, values)[..., None])
    total = computed(Op.LOG2, reduced(Reduce.SUM, computed(Op.EXP2, powers)))
    shares = computed(Op.EXP2, computed(Op.SUBTRACT, powers, total[..., None]), shift=1 + FRACTION - data_width)
    return saturated(shares, data_width)


@dataclass(frozen=True)
class Norm:
    """The fixed-point numbers of a layer normalisation.

    Attributes:
        elements: of a row.
        scale: of the outputs: an output of so much is one.
        epsilon: that is added to the variance, in squares of an input's last bit.
    """

    elements: int
    scale: float
    epsilon: float = 1 / ONE

    @property
    def square_fraction(self) -> int:
        """Bits after the point of squares: as many as their sum has room for."""
        return min(FRACTION, 16 - math.ceil(math.log2(self.elements)))

    @property
    def mean(self) -> Scale:
        """From a sum of inputs to a mean."""
        return Scale.of(2.0**_CENTRED / self.elements)

    @property
    def variance(self) -> Scale:
        """From a sum of squares to a variance with 12 bits after the point."""
        return Scale.of(2.0 ** (FRACTION - self.square_fraction) / self.elements)

    @property
    def last(self) -> Scale:
        """From a value with 12 bits after the point to an output."""
        return Scale.of(self.scale / ONE)

    @property
    def added(self) -> int:
        """What is added to a variance, at least its last bit."""
        return max(1, round(self.epsilon * ONE))


def layer_norm(accelerator: Accelerator, blocks: int, norm: Norm) -> VectorProgram:
    """Return a layer normalisation over the elements of rows, with factors and offsets for each element.

    Inputs: rows; factors and offsets with 12 bits after the point, the same number in every lane, between -8 and 8.

    Raises:
        ArmillaryError: if the memory is too small.
    """
    writer, n = _Writer(accelerator), norm.elements
    inputs, output = writer.tensor(blocks, n), writer.tensor(blocks, n)
    factors, offsets = writer.tensor(n, wide=True), writer.tensor(n, wide=True)
    every, once, walk, row = _loops(n), _loops(), Walk(0, _EACH), Walk(0, _SAME)
    writer.load(Target.WIDE_VMEM2, 1, factors.address, n)
    writer.load(Target.WIDE_VMEM2, 1 + n, offsets.address, n)
    write = writer.vector

    def of_row(op: Op, immediate: int = 0, shift: int = 0) -> None:
        write(Vector(op, once, row, row, _TWO, Result.VMEM2, immediate=immediate, shift=shift))

    for block in range(blocks):
        writer.load(Target.VMEM1, 0, inputs.at(block), n)
        write(Vector(Op.ADD, every, walk, row, _ONE, Result.VMEM2, reduce=Reduce.SUM, reduced=1))
        of_row(Op.MULTIPLY, norm.mean.factor, norm.mean.shift)
        write(Vector(Op.MULTIPLY, every, walk, walk, _ONE, Result.VMEM1, immediate=1 << _CENTRED))
        write(Vector(Op.SUBTRACT, every, walk, walk, _ONE, Result.VMEM1, row, Second.VMEM2))
        write(Vector(Op.MULTIPLY, every, walk, row, _ONE, Result.VMEM2, second_source=Second.FIRST,
                     shift=2 * _CENTRED - norm.square_fraction, reduce=Reduce.SUM, reduced=1))  # fmt: skip
        of_row(Op.MULTIPLY, norm.variance.factor, norm.variance.shift)
        of_row(Op.ADD, norm.added)
        of_row(Op.LOG2)
        of_row(Op.MULTIPLY, -1 << 14, 15)
        of_row(Op.ADD, (_INVERSE - FRACTION) << FRACTION)
        of_row(Op.EXP2)
        of_row(Op.MINIMUM, FACTORS - 1)
        write(Vector(Op.MULTIPLY, every, walk, walk, _ONE, Result.VMEM1, row, Second.VMEM2,
                     shift=_CENTRED + _INVERSE - FRACTION))  # fmt: skip
        write(Vector(Op.MULTIPLY, every, walk, walk, _ONE, Result.VMEM1, Walk(1, _EACH), Second.VMEM2,
                     shift=FRACTION))  # fmt: skip
        write(Vector(Op.ADD, every, walk, walk, _ONE, Result.VMEM1, Walk(1 + n, _EACH), Second.VMEM2))
        out = Walk(output.at(block), (output.word_bytes,))
        write(Vector(Op.MULTIPLY, every, walk, out, _ONE, Result.DRAM,
                     immediate=norm.last.factor, shift=norm.last.shift))  # fmt: skip
    return writer.finished((inputs, factors, offsets), output)


def layer_norm_of(values: Integers, factors: Integers, offsets: Integers, norm: Norm, data_width: int) -> Integers:
    """Return what `layer_norm` computes over the last axis."""
    mean = norm.mean.times(reduced(Reduce.SUM, values))
    centred = (values << _CENTRED) - mean[..., None]
    squares = computed(Op.MULTIPLY, centred, centred, shift=2 * _CENTRED - norm.square_fraction)
    variance = norm.variance.times(reduced(Reduce.SUM, squares)) + norm.added
    power = computed(Op.MULTIPLY, computed(Op.LOG2, variance), -1 << 14, shift=15)
    inverse = computed(Op.EXP2, power + ((_INVERSE - FRACTION) << FRACTION))
    inverse = np.minimum(inverse, FACTORS - 1)[..., None]
    normal = computed(Op.MULTIPLY, centred, inverse, shift=_CENTRED + _INVERSE - FRACTION)
    scaled = computed(Op.ADD, computed(Op.MULTIPLY, normal, factors, shift=FRACTION), offsets)
    return saturated(norm.last.times(scaled), data_width)


PoolKind = Literal["max", "average"]


@dataclass(frozen=True)
class Pool:
    """A pooling without padding.

    Attributes:
        kind: of it.
        height: of an input.
        width: likewise.
        window: rows and columns.
        stride: rows and columns from a window to the next.
    """

    kind: PoolKind
    height: int
    width: int
    window: int
    stride: int

    @property
    def rows(self) -> int:
        """Of an output."""
        return (self.height - self.window) // self.stride + 1

    @property
    def columns(self) -> int:
        """Of an output."""
        return (self.width - self.window) // self.stride + 1

    @property
    def mean(self) -> Scale:
        """From a sum to a mean."""
        return Scale.of(1 / self.window**2)


def pool(accelerator: Accelerator, blocks: int, how: Pool) -> VectorProgram:
    """Return a pooling of images, a channel per lane and as many blocks of channels.

    Raises:
        ArmillaryError: if the memory is too small.
    """
    writer = _Writer(accelerator)
    inputs, output = writer.tensor(blocks, how.height, how.width), writer.tensor(blocks, how.rows, how.columns)
    counts = _loops(how.window, how.window, how.columns, how.rows)
    seen = Walk(0, (1, how.width, how.stride, how.stride * how.width))
    for block in range(blocks):
        writer.load(Target.VMEM1, 0, inputs.at(block), how.height * how.width)
        out = Walk(output.at(block), (0, 0, output.word_bytes, how.columns * output.word_bytes))
        if how.kind == "max":
            writer.vector(Vector(Op.ADD, counts, seen, out, _ONE, Result.DRAM, reduce=Reduce.MAXIMUM, reduced=2))
            continue
        sums = Walk(0, (0, 0, 1, how.columns))
        writer.vector(Vector(Op.ADD, counts, seen, sums, _ONE, Result.VMEM2, reduce=Reduce.SUM, reduced=2))
        writer.vector(Vector(Op.MULTIPLY, _loops(how.rows * how.columns), Walk(0, _EACH),
                             Walk(output.at(block), (output.word_bytes,)), _TWO, Result.DRAM,
                             immediate=how.mean.factor, shift=how.mean.shift))  # fmt: skip
    return writer.finished((inputs,), output)


def pooled(values: Integers, how: Pool) -> Integers:
    """Return what `pool` computes of images, shape [..., height, width]."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (how.window, how.window), axis=(-2, -1))
    seen = windows[..., :: how.stride, :: how.stride, :, :]
    flat = seen.reshape(*seen.shape[:-2], -1)
    return reduced(Reduce.MAXIMUM, flat) if how.kind == "max" else how.mean.times(reduced(Reduce.SUM, flat))


def elementwise(accelerator: Accelerator, words: int, op: Op, scale: float) -> VectorProgram:
    """Return an operation on two tensors, scaled to activations; a product loses nothing before it is scaled.

    Raises:
        ArmillaryError: if the memory is too small or the scale is not allowed.
    """
    writer, last = _Writer(accelerator), Scale.of(scale)
    first, second, output = (writer.tensor(words) for _ in range(3))
    every, walk = _loops(words), Walk(0, _EACH)
    writer.load(Target.VMEM1, 0, first.address, words)
    writer.load(Target.VMEM2, 0, second.address, words)
    writer.vector(Vector(op, every, walk, walk, _ONE, Result.VMEM1, walk, Second.VMEM2))
    writer.vector(Vector(Op.MULTIPLY, every, walk, Walk(output.address, (output.word_bytes,)), _ONE, Result.DRAM,
                         immediate=last.factor, shift=last.shift))  # fmt: skip
    return writer.finished((first, second), output)


def elementwise_of(first: Integers, second: Integers, op: Op, scale: float, data_width: int) -> Integers:
    """Return what `elementwise` computes."""
    return saturated(Scale.of(scale).times(computed(op, first, second)), data_width)
