"""What a node comes apart into: layers on the array, and what is left of it beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from onnx import NodeProto

from armillary.workloads.layer import Layer, LayerKind
from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.nodes import has_input
from armillary.workloads.onnx.origins import Origin
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork


@dataclass(frozen=True)
class Operation:
    """A layer as one node needs it.

    Attributes:
        layer: the layer.
        weights: the constant that it multiplies with, None if that is computed at run time.
        count: how often the node runs it, on the same weights.
        bias: the constant that it adds, None for none and for one that is computed.
        learned: values of the weights where the layer has not all of them: several experts of which a few run.
        channel_axis: the axis of the output channels in the node's output, counted from the last.
    """

    layer: Layer
    weights: Origin | None = None
    count: int = 1
    bias: Origin | None = None
    learned: int | None = None
    channel_axis: int = -1


@dataclass(frozen=True)
class Remainder:
    """What is left of a node beside its layers.

    Attributes:
        part: a name for it.
        elements: that it moves.
        work: of one run.
        count: how often the node runs it.
    """

    part: str
    elements: int
    work: VectorWork
    count: int = 1


Lowered = Iterator[Operation | Remainder]
Rule = Callable[[NodeProto, Tensors], Lowered]


def name_of(node: NodeProto) -> str:
    """Return what the layers of a node are called after."""
    return node.name or next((str(out) for out in node.output if out), node.op_type)


def operation(
    name: str,
    kind: LayerKind,
    *,
    weights: Origin | None = None,
    count: int = 1,
    bias_of: Origin | None = None,
    learned: int | None = None,
    channel_axis: int = -1,
    **dimensions: Any,
) -> Iterator[Operation]:
    """Yield an operation; none if one of its dimensions, or its count, is 0: there is nothing to do."""
    if count == 0 or any(size == 0 for key, size in dimensions.items() if key not in ("bias", "dynamic")):
        return
    layer = Layer(name, kind, **dimensions)
    yield Operation(layer, weights, count, bias_of, learned, channel_axis)


def held(node: NodeProto, tensors: Tensors, position: int) -> Origin | None:
    """Return where a constant input comes from, None if it is computed at run time or left out."""
    if not has_input(node, position):
        return None
    name = node.input[position]
    return tensors.origin(name) if name in tensors.constants else None


def is_dynamic(node: NodeProto, tensors: Tensors, position: int) -> bool:
    """Return whether an input is computed at run time."""
    return node.input[position] not in tensors.constants


def transposed(shape: Shape) -> Shape:
    """Return a shape with its last two axes exchanged."""
    return (*shape[:-2], shape[-1], shape[-2])
