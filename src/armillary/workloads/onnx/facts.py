"""What is known of one tensor before the graph runs, and how shapes of which only a part is known combine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TypeProto

from armillary.workloads.onnx.nodes import option

Shape = tuple[int, ...]
Partial = tuple[int | None, ...]
"""A shape of known rank; None is a size that nobody knows."""

MOST_HELD = 4096
"""Elements of a tensor whose values are computed: larger ones are data, not shapes."""


class Fact(NamedTuple):
    """What is known of a tensor or of a sequence of tensors.

    Attributes:
        elem_type: of TensorProto's; 0 for unknown.
        shape: None if not even the rank is known.
        value: the elements of a small tensor that follow from shapes and constants; in an array of Python objects,
            None stands for an element that nobody knows.
        items: of a sequence whose tensors are known one by one.
        item: what all tensors of a sequence have in common; None for a tensor.
    """

    elem_type: int = 0
    shape: Partial | None = None
    value: NDArray[Any] | None = None
    items: tuple[Fact, ...] | None = None
    item: Fact | None = None

    @property
    def fixed(self) -> Shape | None:
        """The shape if every size is known."""
        shape = self.shape
        return None if shape is None or None in shape else shape  # type: ignore[return-value]

    @property
    def whole(self) -> NDArray[Any] | None:
        """The value if every element is known."""
        return None if self.value is None or self.value.dtype == object else self.value


UNKNOWN = Fact()


class ClashError(Exception):
    """Sizes that have to be equal and are not.

    Attributes:
        first, second: positions of the node's inputs.
        axes: the axis of each.
        sizes: the size of each.
    """

    def __init__(self, first: int, second: int, axes: tuple[int, int], sizes: tuple[int, int]) -> None:
        super().__init__(f"inputs {first} and {second} differ: {sizes}")
        self.first, self.second, self.axes, self.sizes = first, second, axes, sizes


class Call:
    """A node with what is known of its inputs: what a rule of inference works on."""

    __slots__ = ("inputs", "node", "version")

    def __init__(self, node: NodeProto, inputs: Sequence[Fact | None], version: int) -> None:
        self.node, self.inputs, self.version = node, inputs, version

    def has(self, position: int) -> bool:
        """Return whether an input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def fact(self, position: int) -> Fact:
        """Return what is known of an input, nothing if it is left out."""
        return (self.inputs[position] or UNKNOWN) if position < len(self.inputs) else UNKNOWN

    def shape(self, position: int) -> Partial | None:
        """Return the shape of an input."""
        return self.fact(position).shape

    def values_of(self, position: int, name: str = "") -> list[int] | None:
        """Return whole numbers from an input, or from the attribute that it was in earlier operator sets.

        None if it is there and unknown; raises ValueError if it holds something else.
        """
        if self.has(position):
            value = self.fact(position).whole
            return None if value is None else [int(x) for x in value.reshape(-1)]
        return self.integers(name) if name else []

    def given(self, position: int, name: str) -> bool:
        """Return whether an input is there or the attribute that it was in earlier operator sets."""
        return self.has(position) or any(a.name == name for a in self.node.attribute)

    def integer(self, name: str, default: int) -> int:
        """Return an attribute."""
        return option(self.node, name, default)

    def text(self, name: str, default: str) -> str:
        """Return an attribute."""
        return option(self.node, name, default)

    def integers(self, name: str) -> list[int]:
        """Return an attribute, empty if it is left out."""
        return option(self.node, name, _NONE)


_NONE: list[int] = []


def fact_of(kind: TypeProto) -> Fact:
    """Return what a type of the file says; symbolic and negative sizes are unknown."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        tensor = kind.tensor_type
        return Fact(tensor.elem_type, _dims(tensor.shape) if tensor.HasField("shape") else None)
    if which == "sequence_type":
        return Fact(item=fact_of(kind.sequence_type.elem_type))
    if which == "optional_type":
        return fact_of(kind.optional_type.elem_type)
    if which == "sparse_tensor_type":
        sparse = kind.sparse_tensor_type
        return Fact(sparse.elem_type, _dims(sparse.shape) if sparse.HasField("shape") else None)
    return UNKNOWN


def _dims(shape: Any) -> Partial:
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in shape.dim)


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the first.

    Raises:
        ValueError: if there is no such axis.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank} axes")
    return axis % rank if rank else 0


def size_of(shape: Partial) -> int | None:
    """Return the number of elements; 0 if one axis is empty, whatever the others are."""
    if 0 in shape:
        return 0
    return None if None in shape else math.prod(shape)  # type: ignore[arg-type]


def broadcast(call: Call, positions: Sequence[int]) -> Partial | None:
    """Return the shape of inputs that are combined element by element.

    Raises:
        ClashError: if they do not fit each other.
    """
    shapes = [call.shape(position) for position in positions]
    if any(shape is None for shape in shapes):
        return None
    if all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    rank = max(len(shape) for shape in shapes if shape is not None)
    result: list[int | None] = []
    for axis in range(-rank, 0):
        result.append(_joined(call, positions, axis))
    return tuple(result)


def _joined(call: Call, positions: Sequence[int], axis: int) -> int | None:
    """Return the size along an axis, counted from the last."""
    found: tuple[int, int] | None = None
    unknown = False
    for position in positions:
        shape = call.shape(position) or ()
        size = shape[axis] if len(shape) >= -axis else 1
        if size is None:
            unknown = True
        elif size != 1:
            if found is not None and found[1] != size:
                other = len(call.shape(found[0]) or ())
                raise ClashError(found[0], position, (other + axis, len(shape) + axis), (found[1], size))
            found = (position, size)
    return found[1] if found is not None else None if unknown else 1


def united(facts: Sequence[Fact]) -> Fact:
    """Return what several facts have in common."""
    first = facts[0]
    elem_type = first.elem_type if all(other.elem_type == first.elem_type for other in facts) else 0
    shapes = [fact.shape for fact in facts]
    if any(shape is None or len(shape) != len(shapes[0] or ()) for shape in shapes):
        return Fact(elem_type)
    columns: Iterator[tuple[int | None, ...]] = zip(*shapes, strict=True)
    return Fact(elem_type, tuple(column[0] if len(set(column)) == 1 else None for column in columns))


def numbers(values: Sequence[int | None]) -> NDArray[Any]:
    """Return whole numbers as an array, some of them perhaps unknown."""
    if None in values:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array(values, dtype=np.int64)
