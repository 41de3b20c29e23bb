"""What the vector unit does with the sums of a layer: requantisation and an activation, pass after pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from armillary.hardware.rtl.genesys.arithmetic import FRACTION, ONE, Integers, Op, computed, saturated
from armillary.hardware.templates.genesys import Accelerator
from armillary.workloads.layer import Layer

Activation = Literal["none", "relu", "leaky_relu", "sigmoid", "tanh", "gelu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
_FUNCTIONS = {"sigmoid": Op.SIGMOID, "tanh": Op.TANH, "gelu": Op.GELU}
_FACTOR_BITS = 14
_LEAK = 0.1
_SPREAD = 2.0
"""Standard deviation of the arguments of a function."""


@dataclass(frozen=True)
class Pass:
    """An operation on every value, with a number as its second operand."""

    op: Op
    immediate: int = 0
    shift: int = 0
    relu: bool = False


def passes(activation: Activation, layer: Layer, accelerator: Accelerator) -> tuple[Pass, ...]:
    """Return what becomes of a layer's sums.

    They are scaled as for inputs and weights that use the whole range of their bits: to a third of the range of
    activations, or, for a function, to arguments of standard deviation 2. Slopes below zero of `leaky_relu` are 0.1.
    """
    taps = layer.channels_per_group * layer.R * layer.S
    spread = math.sqrt(taps) * (1 << accelerator.data_width) * (1 << accelerator.weight_width) / 12
    greatest = (1 << (accelerator.data_width - 1)) - 1
    if activation not in _FUNCTIONS:
        first = _scaling((greatest + 1) / 3 / spread, relu=activation == "relu")
        leak = _scaling(_LEAK)
        return (first, Pass(Op.LEAKY, leak.immediate, leak.shift)) if activation == "leaky_relu" else (first,)
    # A GELU's values go up to four, the others' to one.
    last = Pass(Op.MULTIPLY, greatest, FRACTION) if activation != "gelu" else _scaling((greatest + 1) / 4 / ONE)
    return _scaling(_SPREAD * ONE / spread), Pass(_FUNCTIONS[activation]), last


def _scaling(scale: float, *, relu: bool = False) -> Pass:
    """Return the multiplication by a number, 15 bits of it."""
    shift = _FACTOR_BITS - math.floor(math.log2(scale))
    return Pass(Op.MULTIPLY, min(round(scale * 2.0**shift), (2 << _FACTOR_BITS) - 1), shift, relu)


def passed(every: Sequence[Pass], sums: Integers, bits: int) -> Integers:
    """Return what passes make of sums, as activations of so many bits; of the shape of `sums`."""
    values = np.asarray(sums, dtype=np.int64)
    for one in every:
        values = computed(one.op, values, one.immediate, shift=one.shift, relu=one.relu)
    return saturated(values, bits)
