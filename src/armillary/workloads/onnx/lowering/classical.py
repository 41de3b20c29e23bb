"""Linear models and support vector machines, whose weights are attributes."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto

from armillary.workloads.onnx.lowering.parts import Lowered, Remainder, Rule, name_of, operation
from armillary.workloads.onnx.origins import Origin
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork


def _numbers(node: NodeProto, name: str) -> int:
    return next((len(attribute.floats) for attribute in node.attribute if attribute.name == name), 0)


def _rows(node: NodeProto, tensors: Tensors) -> tuple[int, int]:
    shape = tensors.shape(node.input[0], node)
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _linear(node: NodeProto, tensors: Tensors) -> Lowered:
    rows, features = _rows(node, tensors)
    coefficients = _numbers(node, "coefficients")
    if not features or coefficients % features:
        raise ValueError(f"{coefficients} coefficients for {features} features")
    yield from operation(
        name_of(node), "gemm", K=coefficients // features, C=features, P=rows, bias=_numbers(node, "intercepts") > 0,
        weights=Origin(f"{node.output[0]}.coefficients"), bias_of=Origin(f"{node.output[0]}.intercepts"),
    )  # fmt: skip


def _support_vectors(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower a support vector machine: inputs by support vectors, the kernel beside, kernel values by coefficients."""
    rows, features = _rows(node, tensors)
    values, coefficients = _numbers(node, "support_vectors"), _numbers(node, "coefficients")
    vectors = values // features if features else 0
    if not vectors:
        raise ValueError(f"{values} values of support vectors for {features} features")
    yield from operation(
        f"{name_of(node)}.kernel", "gemm", K=vectors, C=features, P=rows, weights=Origin(f"{node.output[0]}.vectors")
    )
    values = rows * vectors
    work = VectorWork("kernel", "function", functions=values, reads=values, writes=values, passed=values)
    yield Remainder("kernel", 2 * values, work)
    yield from operation(
        f"{name_of(node)}.sum", "gemm", K=max(coefficients // vectors, 1), C=vectors, P=rows,
        weights=Origin(f"{node.output[0]}.coefficients"),
    )  # fmt: skip


RULES: Mapping[str, Rule] = {
    "LinearClassifier": _linear,
    "LinearRegressor": _linear,
    "SVMClassifier": _support_vectors,
    "SVMRegressor": _support_vectors,
}
