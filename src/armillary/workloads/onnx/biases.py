"""Adds of a constant per channel that are the bias of the layer before them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from onnx import NodeProto

from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.lowering.matrices import with_bias
from armillary.workloads.onnx.lowering.parts import Operation, Remainder
from armillary.workloads.onnx.nodes import has_input, operator, option, subgraphs
from armillary.workloads.onnx.schedule import Step
from armillary.workloads.onnx.shapes import Tensors

# Whose output a bias can be added to; the others have one of their own or several outputs per channel.
_BIASED = frozenset(
    {
        "Conv", "ConvInteger", "ConvTranspose", "DynamicQuantizeMatMul", "FusedMatMul", "Gemm", "MatMul", "MatMulBnb4",
        "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "QLinearMatMul",
    }
)  # fmt: skip
# What may stand between a layer and its bias: each keeps the channels of the one on an axis of their own.
_BETWEEN = frozenset({"Reshape", "Squeeze", "Transpose", "Unsqueeze"})
# What changes each element alone: types and scales of integers.
_SCALES = frozenset({"Cast", "DequantizeLinear", "Div", "Identity", "Mul", "QuantizeLinear"})
_ADDED: Mapping[str, tuple[int, int]] = {"Add": (0, 1), "com.microsoft.QLinearAdd": (0, 3)}
"""Operators that add two tensors, and which inputs those are."""
_NONE: list[int] = []

Parts = list[Operation | Remainder] | None


def absorb_biases(steps: Sequence[Step], parts: list[Parts], outputs: Set[str], tensors: Tensors) -> set[int]:
    """Make an Add of a constant per channel the bias of the node before it, in `parts`.

    Args:
        steps: what runs.
        parts: the layers of each, changed in place.
        outputs: tensors that the graph or a body puts out.
        tensors: what is known.

    Returns:
        The positions of the steps that have become a bias.
    """
    readers = readers_of(steps)
    absorbed = set()
    for position, (step, lowered) in enumerate(zip(steps, parts, strict=True)):
        if not lowered or step.node.op_type not in _BIASED or not isinstance(lowered[0], Operation):
            continue
        shape = tensors.known_shape(step.node.output[0])
        if shape is None:
            continue
        at, axis = position, len(shape) + lowered[0].channel_axis
        while (following := _only_reader(steps, at, readers, outputs)) is not None:
            node = steps[following].node
            if operator(node) in _ADDED:
                biased = _with_bias(steps[at].node, lowered, node, axis, tensors)
                if biased is not None:
                    parts[position] = biased
                    absorbed.add(following)
                break
            moved = _moved(node, axis, tensors)
            if moved is None:
                break
            at, axis = following, moved
    return absorbed


def _only_reader(steps: Sequence[Step], at: int, readers: dict[str, list[int]], outputs: Set[str]) -> int | None:
    """Return the one step that reads a step's output, None if none, several, or one that runs more often does."""
    name = steps[at].node.output[0]
    reading = readers.get(name, [])
    if len(reading) != 1 or name in outputs:
        return None
    return reading[0] if (steps[reading[0]].body, steps[reading[0]].runs) == (steps[at].body, steps[at].runs) else None


def readers_of(steps: Sequence[Step]) -> dict[str, list[int]]:
    """Return the positions of the steps that read each tensor, be it in a body of theirs that is not a step."""
    readers: dict[str, list[int]] = {}
    for position, step in enumerate(steps):
        for name in step.node.input:
            readers.setdefault(name, []).append(position)
        if not step.opened:
            for name in _inner(step.node):
                readers.setdefault(name, []).append(position)
    return readers


def _inner(node: NodeProto) -> list[str]:
    return [name for graph in subgraphs(node) for inner in graph.node for name in (*inner.input, *_inner(inner))]


def _moved(node: NodeProto, axis: int, tensors: Tensors) -> int | None:
    """Return where an axis is behind a node that moves elements, None if it is no axis of its own there."""
    scaled = _is_scaled(node, tensors)
    if (operator(node) not in _BETWEEN and not scaled) or not node.output[0]:
        return None
    before, after = tensors.known_shape(node.input[0]), tensors.known_shape(node.output[0])
    if before is None or after is None:
        return None
    if scaled:
        return axis if before == after else None
    if node.op_type == "Transpose":
        return (option(node, "perm", _NONE) or list(range(len(before)))[::-1]).index(axis)
    return _reshaped(before, after, axis)


def _is_scaled(node: NodeProto, tensors: Tensors) -> bool:
    """Return whether a node changes the type of its first input, or scales it by one number."""
    if operator(node) not in _SCALES:
        return False
    if node.op_type not in ("Mul", "Div"):
        return True
    factor = tensors.known_shape(node.input[1]) if has_input(node, 1) else None
    return factor is not None and math.prod(factor) == 1


def _reshaped(before: Shape, after: Shape, axis: int) -> int | None:
    """Return the axis of the same size with as many elements behind it."""
    behind = math.prod(before[axis + 1 :])
    for number, size in enumerate(after):
        if size == before[axis] and math.prod(after[number + 1 :]) == behind:
            return number
    return None


def _with_bias(
    node: NodeProto, parts: list[Operation | Remainder], add: NodeProto, axis: int, tensors: Tensors
) -> list[Operation | Remainder] | None:
    """Return the parts with the constant that `add` adds as bias, None if it adds no bias of theirs."""
    positions = _ADDED[operator(add)]
    if not has_input(add, positions[1]):
        return None
    others = [add.input[position] for position in positions if add.input[position] != node.output[0]]
    if len(others) != 1 or others[0] not in tensors.constants:
        return None
    shape, output = tensors.known_shape(others[0]), tensors.known_shape(node.output[0])
    operation = parts[0]
    if shape is None or output is None or not isinstance(operation, Operation):
        return None
    biased = with_bias(operation, shape, tensors.origin(others[0]), axis, len(output))
    return None if biased is None else [biased, *parts[1:]]
