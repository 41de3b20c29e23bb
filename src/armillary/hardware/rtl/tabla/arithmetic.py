"""What the hardware computes, bit for bit, by NumPy: the reference of `blocks`.

All numbers are integers that stand for fixed-point numbers, half of whose bits are after the point. Sums and products
saturate; products are rounded half up. No product is beyond 63 bits for any accelerator that there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.fixed_point import Integers, fixed, requantized, saturated, sigmoid
from armillary.hardware.rtl.tabla.mapping import Mapped
from armillary.hardware.templates.tabla import Accelerator
from armillary.workloads.dataflow import Kind, Tensor

_Rule = Callable[[Integers, Integers], Integers]


class Reference:
    """A mapped graph in the arithmetic of an accelerator, steps one after another.

    Args:
        mapped: the graph.
        accelerator: whose numbers these are.
    """

    def __init__(self, mapped: Mapped, accelerator: Accelerator) -> None:
        self._mapped, self._accelerator = mapped, accelerator
        self._rules = _rules(accelerator)
        self._batches = _batches(mapped)
        self.constants = fixed(np.array(mapped.dataflow.constants), accelerator.fraction)

    def step(self, data: Integers, parameters: Integers) -> tuple[Integers, Integers]:
        """Return what leaves in a step, shape [emitted], and the parameters after it, shape [parameters].

        Args:
            data: elements of all inputs that come anew, in the order of their numbers, with their own fraction.
            parameters: elements of all parameters, likewise, with that of weights.
        """
        flow, accelerator = self._mapped.dataflow, self._accelerator
        values = np.zeros(self._mapped.first_result + len(self._mapped.operations), dtype=np.int64)
        shift = accelerator.fraction - accelerator.input_fraction
        values[numbers(flow.streamed, flow.elements)] = data << shift
        own = numbers(flow.parameters, flow.elements)
        values[own] = parameters
        values[flow.first_constant : flow.first_result] = self.constants
        for kind, results, first, second in self._batches:
            values[results] = self._rules[kind](values[first], values[second])
        following = [self._mapped.next_values[int(number)] for number in own]
        return values[list(self._mapped.emitted)], values[following]


def operate(kind: Kind, a: int, b: int, accelerator: Accelerator) -> int:
    """Return an operation on two numbers of an accelerator; the second does not count where there is one operand."""
    return int(_rules(accelerator)[kind](np.int64(a), np.int64(b)))  # type: ignore[arg-type]


def numbers(tensors: list[Tensor], elements: Mapping[str, range]) -> Integers:
    """Return the numbers of the elements of inputs, in order."""
    return np.array([number for tensor in tensors for number in elements[tensor.name]], dtype=np.int64)


def _rules(accelerator: Accelerator) -> dict[Kind, _Rule]:
    bits, fraction = accelerator.internal_bit_width, accelerator.fraction
    one = np.int64(1 << fraction)
    return {
        "add": lambda a, b: saturated(a + b, bits),
        "sub": lambda a, b: saturated(a - b, bits),
        "mul": lambda a, b: requantized(a * b, fraction, bits),
        "max": np.maximum,
        "min": np.minimum,
        "greater": lambda a, b: np.where(a > b, one, 0),
        "equal": lambda a, b: np.where(a == b, one, 0),
        "select": lambda a, b: np.where(a != 0, b, 0),
        "reject": lambda a, b: np.where(a != 0, 0, b),
        "sigmoid": lambda a, _: sigmoid(a, fraction),
        "pass": lambda a, _: a,
    }


def _batches(mapped: Mapped) -> list[tuple[Kind, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]:
    """Return the operations in groups of a kind that do not need each other: results and their two operands."""
    level: dict[int, int] = {}
    groups: dict[tuple[int, Kind], list[tuple[int, int, int]]] = defaultdict(list)
    for number, operation in mapped.numbered():
        level[number] = 1 + max(level.get(operand, 0) for operand in operation.operands)
        groups[level[number], operation.kind].append((number, operation.operands[0], operation.operands[-1]))
    batches = []
    for (_, kind), rows in sorted(groups.items()):
        results, first, second = np.array(rows, dtype=np.intp).T
        batches.append((kind, results, first, second))
    return batches
