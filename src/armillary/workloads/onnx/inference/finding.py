"""Which rule infers a node, and what is known of the outputs of one without a rule of ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import onnx
from onnx import NodeProto, TypeProto

from armillary.workloads.onnx.facts import UNKNOWN, Call, ClashError, Fact, broadcast, fact_of
from armillary.workloads.onnx.inference import computing, elementwise, moving, vendors
from armillary.workloads.onnx.inference.elementwise import Rule
from armillary.workloads.onnx.nodes import operator

ELEMENTWISE = "elementwise"
"""What a user says of an operator whose output has the shape of its inputs, and which multiplies no matrices."""
_OWN: Mapping[str, Rule] = {**elementwise.RULES, **moving.RULES, **computing.RULES}
_MICROSOFT = vendors.RULES["com.microsoft"]


def rule_of(node: NodeProto, stands_for: Mapping[str, str]) -> Rule | None:
    """Return the rule of a node; an operator of others goes by what a user says that it stands for."""
    if node.domain in ("", "ai.onnx", "ai.onnx.preview"):
        return _OWN.get(node.op_type) or _MICROSOFT.get(node.op_type)
    if node.domain in vendors.RULES and node.op_type in vendors.RULES[node.domain]:
        return vendors.RULES[node.domain][node.op_type]
    known = stands_for.get(operator(node))
    return None if known is None else _elementwise if known == ELEMENTWISE else _OWN[known]


def names() -> list[str]:
    """Return the operators that have a rule and that another one may stand for."""
    return sorted(_OWN)


def _elementwise(call: Call) -> list[Fact]:
    try:
        shape = broadcast(call, range(len(call.inputs)))
    except ClashError:
        shape = call.shape(0)
    return [Fact(call.fact(0).elem_type, shape)] * len(call.node.output)


@cache
def schema(op_type: str, version: int, domain: str) -> onnx.defs.OpSchema | None:
    """Return ONNX's own description of an operator, None if it has none."""
    try:
        return onnx.defs.get_schema(op_type, version, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return None


def by_schema(call: Call, imports: Mapping[str, int]) -> list[Fact]:
    """Return what ONNX's own inference knows of the outputs of a node, nothing where it has none."""
    node = call.node
    described = schema(node.op_type, call.version, node.domain)
    unknown = [UNKNOWN] * len(node.output)
    if described is None:
        return unknown
    names = [name for name in node.input if name]
    facts = {name: fact for name, fact in zip(node.input, call.inputs, strict=True) if name and fact is not None}
    types = {name: _type_of(fact) for name, fact in facts.items()}
    data = {
        name: onnx.numpy_helper.from_array(fact.whole, name) for name, fact in facts.items() if fact.whole is not None
    }
    if set(names) != set(types):
        return unknown
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in imports.items()]
    try:
        inferred = onnx.shape_inference.infer_node_outputs(described, node, types, data, opset_imports=opsets)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, TypeError):
        return unknown
    return [fact_of(inferred[name]) if name in inferred else UNKNOWN for name in node.output]


def _type_of(fact: Fact) -> TypeProto:
    kind = TypeProto()
    if fact.item is not None:
        kind.sequence_type.elem_type.CopyFrom(_type_of(fact.item))
        return kind
    kind.tensor_type.elem_type = fact.elem_type
    if fact.shape is not None:
        shape = kind.tensor_type.shape
        for size in fact.shape:
            dimension = shape.dim.add()
            if size is not None:
                dimension.dim_value = size
    return kind
