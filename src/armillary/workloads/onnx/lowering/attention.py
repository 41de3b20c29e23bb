"""Attention: products of what is computed at run time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from onnx import NodeProto

from armillary.workloads.onnx.amounts import softmax_work
from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.lowering.parts import Lowered, Remainder, Rule, held, is_dynamic, name_of, operation
from armillary.workloads.onnx.nodes import has_input, option
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork

_NONE: list[int] = []


def attended(node: NodeProto, query: Shape, key: Shape, value: Shape, length: int) -> Lowered:
    """Lower scaled dot-product attention: queries by keys, then scores by values.

    Query heads that share a key and value head are rows of one group.

    Args:
        node: whose layers these are.
        query: batch, heads, rows, width.
        key: batch, heads, new rows, width.
        value: batch, heads, new rows, width.
        length: rows of keys and values, those of earlier steps included.
    """
    batch, heads, rows, width = query
    if not key[1] or heads % key[1] or key[3] != width or value[1] != key[1]:
        raise ValueError(f"query {query}, key {key}, value {value}")
    groups = batch * key[1]
    rows *= heads // key[1]
    name = name_of(node)
    for scores in operation(
        f"{name}.scores", "gemm", K=groups * length, C=groups * width, P=rows, groups=groups, dynamic=True
    ):
        yield scores
        values = scores.layer.outputs
        yield Remainder("softmax", 2 * values, softmax_work(values, values // length))
    yield from operation(
        f"{name}.values", "gemm", K=groups * value[3], C=groups * length, P=rows, groups=groups, dynamic=True
    )


def _standard(node: NodeProto, tensors: Tensors) -> Lowered:
    shared = option(node, "kv_num_heads", 0)
    query = _heads(tensors.shape(node.input[0], node), option(node, "q_num_heads", 0))
    key = _heads(tensors.shape(node.input[1], node), shared)
    value = _heads(tensors.shape(node.input[2], node), shared)
    past = tensors.shape(node.input[4], node)[2] if has_input(node, 4) else 0
    if value[:3] != key[:3]:
        raise ValueError(f"query {query}, key {key}, value {value}")
    yield from attended(node, query, key, value, past + key[2])


def _heads(shape: Shape, heads: int) -> tuple[int, int, int, int]:
    """Return [batch, heads, length, width] of a tensor that has its heads apart or side by side."""
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    if len(shape) != 3 or heads < 1 or shape[2] % heads:
        raise ValueError(f"{shape} in {heads} heads")
    return shape[0], heads, shape[1], shape[2] // heads


def _linear(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower LinearAttention, a state of keys by values per head: an outer product updates it, a product reads it.

    The rules with `delta` read the state once more, for the value that it holds at a key.
    """
    query = _heads(tensors.shape(node.input[0], node), option(node, "q_num_heads", 0))
    key = _heads(tensors.shape(node.input[1], node), option(node, "kv_num_heads", 0))
    value = _heads(tensors.shape(node.input[2], node), option(node, "kv_num_heads", 0))
    batch, heads, steps, width = query
    if not key[1] or heads % key[1]:
        raise ValueError(f"query {query}, key {key}")
    name, groups = name_of(node), batch * key[1]
    sizes: dict[str, Any] = {"K": groups * value[3], "groups": groups, "count": steps, "dynamic": True}
    yield from operation(f"{name}.update", "gemm", C=groups, P=width, **sizes)
    if "delta" in option(node, "update_rule", "gated_delta"):
        yield from operation(f"{name}.recall", "gemm", C=groups * width, P=1, **sizes)
    yield from operation(f"{name}.read", "gemm", C=groups * width, P=heads // key[1], **sizes)
    state = groups * width * value[3]
    decayed = VectorWork("decay", "combine", multiplies=state, reads=state, writes=state)
    yield Remainder("decay", 2 * steps * state, decayed, steps)


def _projected(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower Attention and QAttention of ONNX Runtime: one product for queries, keys and values, then attention."""
    batch, rows, features = tensors.shape(node.input[0], node)
    weights = tensors.shape(node.input[1], node)
    if weights[0] != features:
        raise ValueError(f"input {(batch, rows, features)} and weights {weights}")
    yield from operation(
        f"{name_of(node)}.projection", "gemm", K=weights[1], C=features, P=batch * rows, bias=has_input(node, 2),
        dynamic=is_dynamic(node, tensors, 1), weights=held(node, tensors, 1), bias_of=held(node, tensors, 2),
    )  # fmt: skip
    heads = option(node, "num_heads", 0)
    q, k, v = option(node, "qkv_hidden_sizes", _NONE) or [weights[1] // 3] * 3
    past = 8 if node.op_type == "QAttention" else 4
    length = rows + (tensors.shape(node.input[past], node)[3] if has_input(node, past) else 0)
    shapes = [_heads((batch, rows, width), heads) for width in (q, k, v)]
    yield from attended(node, shapes[0], shapes[1], shapes[2], length)


def _multi_head(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower MultiHeadAttention; queries, keys and values may be packed in one input, keys and values in one."""
    heads = option(node, "num_heads", 0)
    query: Shape = tensors.shape(node.input[0], node)
    key: Shape
    value: Shape
    past = 6 if node.op_type == "MultiHeadAttention" else 5
    earlier = tensors.shape(node.input[past], node)[2] if has_input(node, past) else 0
    if len(query) == 5:  # batch, rows, heads, 3, width
        query = key = value = (query[0], query[2], query[1], query[4])
    else:
        query = _heads(query, heads)
        key = tensors.shape(node.input[1], node)
        if len(key) == 5:  # batch, rows, heads, 2, width
            key = value = (key[0], key[2], key[1], key[4])
        else:
            key = _heads(key, heads)
            value = _heads(tensors.shape(node.input[2], node), heads)
    yield from attended(node, query, key, value, earlier + key[2])
    if has_input(node, 3) and node.op_type == "MultiHeadAttention":
        sizes = [math.prod(shape) for shape in (query, key, value)]
        total = sum(sizes)
        work = VectorWork("bias", "scale", adds=total, reads=total, writes=total)
        yield Remainder("bias", 2 * total + math.prod(tensors.shape(node.input[3], node)), work)


def _grouped_query(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower GroupQueryAttention; queries, keys and values may be packed in one input."""
    heads, shared = option(node, "num_heads", 0), option(node, "kv_num_heads", 0)
    batch, rows, features = tensors.shape(node.input[0], node)
    if heads < 1 or shared < 1:
        raise ValueError(f"num_heads={heads}, kv_num_heads={shared}")
    width = features // heads if has_input(node, 1) else features // (heads + 2 * shared)
    past = tensors.shape(node.input[3], node)[2] if has_input(node, 3) else 0
    keys = (batch, shared, rows, width)
    yield from attended(node, (batch, heads, rows, width), keys, keys, past + rows)
    if option(node, "do_rotary", 0):
        turned = batch * rows * width * (heads + shared)
        work = VectorWork("rotary", "combine", adds=turned, multiplies=2 * turned, reads=turned, writes=turned)
        yield Remainder("rotary", 2 * turned, work)


def _mixture(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower MoE and QMoE: the products of as many experts per row as are chosen."""
    shape = tensors.shape(node.input[0], node)
    rows, chosen = math.prod(shape[:-1]), option(node, "k", 1)
    quantized = node.op_type == "QMoE"
    packed = 8 // option(node, "expert_weight_bits", 4) if quantized else 1
    for part, position in enumerate((2, 5, 8) if quantized else (2, 4, 6), 1):
        if has_input(node, position):
            experts, first, second = tensors.shape(node.input[position], node)
            inner = shape[-1] if shape[-1] in (first, second * packed) else second * packed
            outputs = first * second * packed // inner if inner else 0
            yield from operation(
                f"{name_of(node)}.fc{part}", "gemm", K=outputs, C=inner, P=rows, count=chosen,
                dynamic=is_dynamic(node, tensors, position), weights=held(node, tensors, position),
                learned=experts * outputs * inner,
            )  # fmt: skip


RULES: Mapping[str, Rule] = {"Attention": _standard, "FlexAttention": _standard, "LinearAttention": _linear}
MICROSOFT: Mapping[str, Rule] = {
    "Attention": _projected,
    "DecoderMaskedMultiHeadAttention": _multi_head,
    "DecoderMaskedSelfAttention": _projected,
    "GroupQueryAttention": _grouped_query,
    "LinearAttention": _linear,
    "MoE": _mixture,
    "MultiHeadAttention": _multi_head,
    "QAttention": _projected,
    "QMoE": _mixture,
}
