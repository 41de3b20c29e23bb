"""Which nodes have layers, and the layers of each."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto

from armillary.workloads.onnx.inference.vendors import MICROSOFT, QUANTIZERS
from armillary.workloads.onnx.lowering import attention, classical, convolutions, einsum, matrices, recurrent
from armillary.workloads.onnx.lowering.parts import Operation, Remainder, Rule
from armillary.workloads.onnx.nodes import operator
from armillary.workloads.onnx.shapes import Tensors

RULES: Mapping[str, Rule] = {
    **attention.RULES,
    **convolutions.RULES,
    **einsum.RULES,
    **matrices.RULES,
    **recurrent.RULES,
}
_MICROSOFT: Mapping[str, Rule] = {
    **attention.MICROSOFT,
    **convolutions.MICROSOFT,
    **matrices.MICROSOFT,
    **recurrent.MICROSOFT,
}
_DOMAINS: Mapping[str, Mapping[str, Rule]] = {
    "": RULES,
    "ai.onnx": RULES,
    "ai.onnx.ml": classical.RULES,
    "ai.onnx.preview": RULES,
    **dict.fromkeys((*MICROSOFT, *QUANTIZERS), _MICROSOFT),
}


def rule_of(node: NodeProto, tensors: Tensors) -> Rule | None:
    """Return the rule of a node, None if it has no layer."""
    rule = _DOMAINS.get(node.domain, {}).get(node.op_type)
    if rule is None and node.domain == "":
        return _MICROSOFT.get(node.op_type)
    return rule or RULES.get(tensors.stands_for.get(operator(node), ""))


def lower(node: NodeProto, tensors: Tensors) -> list[Operation | Remainder] | None:
    """Return the layers of a node and what is left beside them, None if it has no layer.

    Raises:
        UnknownShapeError: if a shape that decides the layer is unknown.
        ValueError: if the shapes or attributes do not fit the operator.
    """
    rule = rule_of(node, tensors)
    if rule is None:
        return None
    parts = list(rule(node, tensors))
    return parts if parts or node.op_type != "Einsum" else None
