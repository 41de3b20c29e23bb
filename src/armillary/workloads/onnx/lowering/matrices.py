"""Products of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnx import NodeProto

from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.inference.vendors import flipped
from armillary.workloads.onnx.lowering.parts import (
    Lowered,
    Operation,
    Remainder,
    Rule,
    held,
    is_dynamic,
    name_of,
    operation,
    transposed,
)
from armillary.workloads.onnx.nodes import has_input, option
from armillary.workloads.onnx.origins import Origin
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork, WorkKind


def with_bias(operation: Operation, shape: Shape, bias: Origin, channel_axis: int, rank: int) -> Operation | None:
    """Return the operation with a constant of this shape added to its output, None if that is no bias.

    `channel_axis` is the axis of the output channels in what the constant is added to, of so many dimensions.
    """
    layer = operation.layer
    aligned = (1,) * (rank - len(shape)) + tuple(shape)
    per_channel = all(size == 1 for axis, size in enumerate(aligned) if axis != channel_axis)
    channels = layer.K // layer.outputs_per_bias
    if layer.bias or layer.dynamic or len(aligned) != rank or not per_channel or aligned[channel_axis] != channels:
        return None
    return replace(operation, layer=replace(layer, bias=True), bias=bias)


def gemm(node: NodeProto, tensors: Tensors, i: int = 0, j: int = 1, added: int = 2) -> Lowered:
    """Lower a Gemm; inputs `i` and `j` are multiplied, `added` is added."""
    left, right = tensors.shape(node.input[i], node), tensors.shape(node.input[j], node)
    left = left[::-1] if option(node, "transA", 0) else left
    right = right[::-1] if option(node, "transB", 0) else right
    for found in product(node, tensors, left, right, i, j):
        yield from _plus(node, tensors, found, added)


def _plus(node: NodeProto, tensors: Tensors, found: Operation, added: int) -> Lowered:
    """Yield a product with what a Gemm adds to it: a bias, or a sum beside the array."""
    if not has_input(node, added):
        yield found
        return
    shape, origin = tensors.shape(node.input[added], node), held(node, tensors, added)
    biased = None if origin is None else with_bias(found, shape, origin, 2 + found.channel_axis, 2)
    yield biased or found
    if biased is None:
        values, added = found.layer.outputs, math.prod(shape)
        kind: WorkKind = "sum" if added == values else "combine"
        work = VectorWork("add", kind, adds=values, reads=values + added, writes=values, passed=values)
        yield Remainder("add", added + 2 * values, work)


def matmul(node: NodeProto, tensors: Tensors, i: int = 0, j: int = 1) -> Lowered:
    """Lower a MatMul of inputs `i` and `j`."""
    yield from product(node, tensors, tensors.shape(node.input[i], node), tensors.shape(node.input[j], node), i, j)


def fused_matmul(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower FusedMatMul, whose operands may be transposed."""
    shapes = []
    for position, letter in ((0, "A"), (1, "B")):
        shape = tensors.shape(node.input[position], node)
        turned = flipped(shape, option(node, f"trans{letter}", 0), option(node, f"transBatch{letter}", 0))
        shapes.append(tuple(size or 0 for size in turned or ()))
    yield from product(node, tensors, shapes[0], shapes[1], 0, 1)


def product(node: NodeProto, tensors: Tensors, left: Shape, right: Shape, i: int, j: int) -> Iterator[Operation]:
    """Lower a matrix product; inputs `i` and `j` of the node have these shapes.

    A constant left operand is the weights: the product is taken transposed. Axes that only the
    left operand has are more rows, those that only the right one has more outputs, common ones
    are groups.
    """
    a = (1, *left) if len(left) == 1 else left
    b = (*right, 1) if len(right) == 1 else right
    axis = -1
    if not is_dynamic(node, tensors, i) and is_dynamic(node, tensors, j):
        a, b, i, j, axis = transposed(b), transposed(a), j, i, -1 if len(right) == 1 else -2
    if a[-1] != b[-2]:
        raise ValueError(f"{left} by {right}")
    rows, outputs, groups = a[-2], b[-1], 1
    rank = max(len(a), len(b)) - 2
    for m, n in zip(_padded(a[:-2], rank), _padded(b[:-2], rank), strict=True):
        if 1 not in (m, n) and m != n:
            raise ValueError(f"{left} by {right}")
        groups *= m if m == n else 1
        rows *= m if n == 1 else 1
        outputs *= n if m == 1 else 1
    yield from operation(
        name_of(node), "gemm", K=groups * outputs, C=groups * a[-1], P=rows, groups=groups,
        dynamic=is_dynamic(node, tensors, j), weights=held(node, tensors, j), channel_axis=axis,
    )  # fmt: skip


def _padded(batch: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(batch)) + batch


def dense(node: NodeProto, tensors: Tensors, inner: int, outputs: int, bias: int = -1) -> Lowered:
    """Lower a product with weights that are packed, of `inner` by `outputs` values, in input 1."""
    rows = math.prod(tensors.shape(node.input[0], node)[:-1])
    yield from operation(
        name_of(node), "gemm", K=outputs, C=inner, P=rows, bias=bias > 0 and has_input(node, bias),
        dynamic=is_dynamic(node, tensors, 1), weights=held(node, tensors, 1),
        bias_of=held(node, tensors, bias) if bias > 0 else None,
    )  # fmt: skip


def _packed(node: NodeProto, tensors: Tensors) -> Lowered:
    yield from dense(
        node, tensors, option(node, "K", 0), option(node, "N", 0), 5 if node.op_type == "MatMulNBits" else -1
    )


def _biased_matmul(bias: int) -> Rule:
    def rule(node: NodeProto, tensors: Tensors) -> Lowered:
        left, right = (tensors.shape(node.input[position], node) for position in (0, 1))
        for found in product(node, tensors, left, right, 0, 1):
            origin = held(node, tensors, bias)
            shape = tensors.shape(node.input[bias], node) if origin is not None else ()
            rank = len(tensors.shape(node.output[0], node))
            yield (None if origin is None else with_bias(found, shape, origin, rank - 1, rank)) or found

    return rule


RULES: Mapping[str, Rule] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul,
    "QLinearMatMul": lambda node, tensors: matmul(node, tensors, j=3),
}
MICROSOFT: Mapping[str, Rule] = {
    "DynamicQuantizeMatMul": _biased_matmul(4),
    "FusedGemm": gemm,
    "FusedMatMul": fused_matmul,
    "FusedMatMulActivation": fused_matmul,
    "GemmFastGelu": _biased_matmul(2),
    "GemmFloat8": gemm,
    "MatMulBnb4": _packed,
    "MatMulInteger16": matmul,
    "MatMulIntegerToFloat": _biased_matmul(6),
    "MatMulNBits": _packed,
    "QGemm": lambda node, tensors: gemm(node, tensors, 0, 3, 6),
    "TransposeMatMul": fused_matmul,
    "XnorPopcountMatMul": matmul,
}
