"""Einsum: products of two operands at a time over common indices."""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import NodeProto

from armillary.workloads.onnx.equations import Product, products, read_equation
from armillary.workloads.onnx.lowering.parts import Lowered, Remainder, Rule, held, name_of, operation
from armillary.workloads.onnx.nodes import option
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork


def _einsum(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower an Einsum: each product that sums over an index is a layer, others are done beside the array."""
    equation = read_equation(option(node, "equation", ""), [tensors.shape(name, node) for name in node.input])
    sizes = {index: size or 0 for index, size in equation.sizes.items()}
    operands: list[int | None] = list(range(len(node.input)))  # the inputs, then None for every result
    planned = products(equation, {n for n, name in enumerate(node.input) if name in tensors.constants})
    layers = 0
    for number, product in enumerate(planned):
        left, right = operands[product.left], operands[product.right]
        if product.left_indices & product.right_indices <= product.result:
            values = math.prod(sizes[index] for index in product.result)
            work = VectorWork("product", "combine", multiplies=values, reads=2 * values, writes=values)
            yield Remainder("product", 3 * values, work)
        else:
            name = name_of(node) + (f".{number}" if len(planned) > 1 else "")
            yield from _product(node, tensors, name, product, left, right, sizes)
            layers += 1
        operands.append(None)


def _product(
    node: NodeProto, tensors: Tensors, name: str, product: Product, left: int | None, right: int | None,
    sizes: Mapping[str, int],
) -> Lowered:  # fmt: skip
    """Lower one product; a constant operand is the weights, the right one of two."""
    a, b = product.left_indices, product.right_indices
    constants = [position is not None and node.input[position] in tensors.constants for position in (left, right)]
    if constants[0] and not constants[1]:
        a, b, left, right = b, a, right, left
    groups = math.prod(sizes[index] for index in a & b & product.result)
    yield from operation(
        name, "gemm", P=math.prod(sizes[index] for index in a - b), groups=groups,
        K=groups * math.prod(sizes[index] for index in b - a),
        C=groups * math.prod(sizes[index] for index in (a & b) - product.result),
        dynamic=not any(constants), weights=None if right is None else held(node, tensors, right),
    )  # fmt: skip


def lower(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower an Einsum with a layer; one without is done beside the array as a whole."""
    parts = list(_einsum(node, tensors))
    if any(not isinstance(part, Remainder) for part in parts):
        yield from parts


RULES: Mapping[str, Rule] = {"Einsum": lower}
