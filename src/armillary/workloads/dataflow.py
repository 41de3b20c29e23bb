"""Scalar dataflow graphs: what a small model computes, operation by operation, such as the update rule of a learner."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal[
    "add", "sub", "mul", "max", "min", "greater", "equal", "select", "reject", "sigmoid", "pass", "sum",
]  # fmt: skip
"""`greater` and `equal` are 1 where they hold, else 0; `select` is its second operand where its first is not 0, else 0;
`reject` where it is 0; `pass` is its operand; `sum` adds up any number of operands, all others have two or one."""
OPERANDS: dict[Kind, int] = {"sigmoid": 1, "pass": 1}
"""Of kinds that have not two."""


@dataclass(frozen=True)
class Tensor:
    """An input: its elements are numbered in C order."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operation:
    """A scalar operation on values, by their numbers."""

    kind: Kind
    operands: tuple[int, ...]

    def __post_init__(self) -> None:
        wanted = None if self.kind == "sum" else OPERANDS.get(self.kind, 2)
        if len(self.operands) != (wanted or max(len(self.operands), 2)):
            raise ValueError(f"{self.kind} of {len(self.operands)} operands is not allowed; it has {wanted or 'some'}")


@dataclass(frozen=True)
class Output:
    """An output.

    Attributes:
        name: in the file.
        shape: of it.
        values: the number of each element, in C order.
        updates: the input whose elements these replace in the next step; empty if none.
    """

    name: str
    shape: tuple[int, ...]
    values: tuple[int, ...]
    updates: str = ""


@dataclass(frozen=True)
class Dataflow:
    """A graph of scalar operations.

    Values are numbered: first the elements of all inputs, then constants, then the results of the operations, each of
    values before it. An input that an output replaces is a parameter, which stays from step to step; the others come
    anew with every step.

    Attributes:
        inputs: in the order of their elements' numbers.
        constants: their values.
        operations: in an order in which they can be computed.
        outputs: at least one.
    """

    inputs: tuple[Tensor, ...]
    constants: tuple[float, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        for number, operation in enumerate(self.operations, self.first_result):
            if not all(0 <= operand < number for operand in operation.operands):
                raise ValueError(f"value {number} is not computed from values before it: {operation}")
        sizes = {tensor.name: tensor.size for tensor in self.inputs}
        for output in self.outputs:
            if output.updates and sizes.get(output.updates) != len(output.values):
                raise ValueError(f"output {output.name!r} cannot replace the input {output.updates!r}")

    @property
    def first_constant(self) -> int:
        """The number of the first constant: elements of all inputs."""
        return sum(tensor.size for tensor in self.inputs)

    @property
    def first_result(self) -> int:
        """The number of the first operation's result."""
        return self.first_constant + len(self.constants)

    @cached_property
    def elements(self) -> dict[str, range]:
        """The numbers of the elements of each input, by its name."""
        found, first = {}, 0
        for tensor in self.inputs:
            found[tensor.name] = range(first, first + tensor.size)
            first += tensor.size
        return found

    @cached_property
    def next_values(self) -> dict[int, int]:
        """The number of what replaces each element of a parameter, by the element's."""
        return {
            old: new
            for output in self.outputs
            if output.updates
            for old, new in zip(self.elements[output.updates], output.values, strict=True)
        }

    @property
    def parameters(self) -> list[Tensor]:
        """The inputs that stay."""
        updated = {output.updates for output in self.outputs}
        return [tensor for tensor in self.inputs if tensor.name in updated]

    @property
    def streamed(self) -> list[Tensor]:
        """The inputs that come anew with every step."""
        updated = {output.updates for output in self.outputs}
        return [tensor for tensor in self.inputs if tensor.name not in updated]

    @property
    def emitted(self) -> list[Output]:
        """The outputs that leave in every step: those that replace no input."""
        return [output for output in self.outputs if not output.updates]

    @property
    def scalar_operations(self) -> int:
        """Operations, a sum of n counted as n - 1."""
        return sum(len(o.operands) - 1 if o.kind == "sum" else 1 for o in self.operations)

    def numbered(self) -> Iterator[tuple[int, Operation]]:
        """Yield every operation with its result's number."""
        yield from enumerate(self.operations, self.first_result)
