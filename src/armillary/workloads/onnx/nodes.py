"""What every reader of an ONNX node needs: its operator, its attributes, its bodies and how messages name it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TypeVar

import onnx
from onnx import GraphProto, NodeProto, ValueInfoProto


def describe(node: NodeProto) -> str:
    """Return how messages name a node."""
    return f"{operator(node)} node {node.name or next((out for out in node.output if out), '')!r}"


def operator(node: NodeProto) -> str:
    """Return the operator of a node, with its domain unless that is ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


T = TypeVar("T", int, float, str, list[int], int | str)


def option(node: NodeProto, name: str, default: T) -> T:
    """Return an attribute of a node, `default` if it has none of that name.

    Raises:
        ValueError: if the attribute is of another type than the default.
    """
    for attribute in node.attribute:
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            value = value.decode() if isinstance(value, bytes) else value
            if not isinstance(value, type(default)):
                raise ValueError(f"attribute {name}={value!r} is not of type {type(default).__name__}")
            return value
    return default


def per_axis(node: NodeProto, name: str, axes: int, default: int) -> list[int]:
    """Return an attribute of one value per axis.

    Raises:
        ValueError: if it has another number of values.
    """
    values = option(node, name, [default] * axes)
    if len(values) != axes:
        raise ValueError(f"{name}={values} has {len(values)} values for {axes} axes")
    return values


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the bodies of a control-flow operator."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def body(node: NodeProto, name: str) -> GraphProto:
    """Return the body of a control-flow operator that is its attribute of this name.

    Raises:
        ValueError: if there is none.
    """
    for attribute in node.attribute:
        if attribute.name == name and attribute.type == onnx.AttributeProto.GRAPH:
            return attribute.g
    raise ValueError(f"it has no body {name}")


def has_input(node: NodeProto, position: int) -> bool:
    """Return whether an input that may be left out is there."""
    return len(node.input) > position and bool(node.input[position])


def free_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Return the inputs that somebody has to supply: those without an initial value."""
    given = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in given]


@cache
def element_bits(elem_type: int) -> int | None:
    """Return the bits of one element of a TensorProto type, None for text and unknown types."""
    if elem_type not in onnx.TensorProto.DataType.values():
        return None
    name = onnx.TensorProto.DataType.Name(elem_type)
    plain = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}.get(name)
    numbered = re.fullmatch(r"(?:U?INT|B?FLOAT|COMPLEX)(\d+)(?:E\w+)?", name)
    return plain if plain is not None else int(numbered.group(1)) if numbered else None
