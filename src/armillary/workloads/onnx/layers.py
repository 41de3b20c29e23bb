"""What each ONNX operator with multiply-accumulates is in layers. One function per operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import NodeProto

from armillary.workloads.layer import Layer
from armillary.workloads.onnx.shapes import Shape, Tensors, option


@dataclass(frozen=True)
class Operation:
    """A layer as one node needs it.

    Attributes:
        layer: the layer.
        weights: the constant that it multiplies with, None if that is computed at run time.
        count: how often the node runs it, on the same weights.
    """

    layer: Layer
    weights: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Remainder:
    """What is left of a node beside its layers: a name for it and the elements it moves."""

    part: str
    elements: int


Lowered = Iterator[Operation | Remainder]


def lower(node: NodeProto, tensors: Tensors) -> list[Operation | Remainder] | None:
    """Return the layers of a node and what is left beside them, None if it has no layer.

    Raises:
        ArmillaryError: if a shape that decides the layer is unknown.
        ValueError: if the shapes or attributes do not fit the operator.
    """
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    return list(rule(node, tensors)) or None if rule else None


def with_bias(operation: Operation, shape: Shape, channel_axis: int, rank: int) -> Operation | None:
    """Return the operation with a constant of this shape added to its output, None if that is no bias.

    `channel_axis` is the axis of the output channels in the node's output of so many dimensions.
    """
    layer = operation.layer
    aligned = (1,) * (rank - len(shape)) + tuple(shape)
    per_channel = all(size == 1 for axis, size in enumerate(aligned) if axis != channel_axis)
    channels = layer.K // layer.outputs_per_bias
    if layer.bias or layer.dynamic or len(aligned) != rank or not per_channel or aligned[channel_axis] != channels:
        return None
    return replace(operation, layer=replace(layer, bias=True))


def _conv(node: NodeProto, tensors: Tensors, weights: int = 1, bias: int = 2) -> Lowered:
    """Lower a convolution over one, two or three axes.

    Of one axis the length is P. A depth axis is folded: each output depth is a run (N) whose input
    channels are those of all filter depths.
    """
    filters = tensors.shape(node.input[weights], node)
    output = tensors.shape(node.output[0], node)
    inputs = tensors.shape(node.input[0], node)
    axes = len(filters) - 2
    if not 1 <= axes <= 3 or len(output) != len(filters) or len(inputs) != len(filters):
        raise ValueError(f"input {inputs}, filter {filters}, output {output}")
    depth, out_depth = (filters[2], output[2]) if axes == 3 else (1, 1)
    p, q = _plane(output[2:])
    r, s = _plane(filters[2:])
    stride_h, stride_w = _plane(option(node, "strides", [1] * axes))
    dilation_h, dilation_w = _plane(option(node, "dilations", [1] * axes))
    groups = option(node, "group", 1)
    if inputs[1] != filters[1] * groups:
        raise ValueError(f"input {inputs} and filter {filters} in {groups} groups")
    layer = Layer(
        _name(node), "depthwise" if 1 < groups == inputs[1] * depth else "conv",
        N=inputs[0] * out_depth, K=filters[0], C=inputs[1] * depth, P=p, Q=q, R=r, S=s,
        stride_h=stride_h, stride_w=stride_w, dilation_h=dilation_h, dilation_w=dilation_w, groups=groups,
        bias=_has(node, bias), dynamic=node.input[weights] not in tensors.constants,
    )  # fmt: skip
    yield Operation(layer, _weights(node, tensors, weights))


def _plane(values: Sequence[int]) -> tuple[int, int]:
    """Return the values of the last two of several axes; one axis is a height."""
    return (values[0], 1) if len(values) == 1 else (values[-2], values[-1])


def _conv_transpose(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower a transposed convolution: a GEMM with one output per channel and filter tap, then col2im.

    Every input value meets every tap of its filters once, so multiply-accumulates and parameters
    are exact; those whose result padding crops are done as well. col2im, which adds the taps that
    fall on one output, runs beside the array.
    """
    inputs = tensors.shape(node.input[0], node)
    filters = tensors.shape(node.input[1], node)
    groups = option(node, "group", 1)
    if len(inputs) != len(filters) or inputs[1] != filters[0]:
        raise ValueError(f"input {inputs} and filter {filters}")
    taps = math.prod(filters[2:])
    p, q = _plane(inputs[2:])
    layer = Layer(
        _name(node), "depthwise" if 1 < groups == inputs[1] else "conv",
        N=inputs[0] * math.prod(inputs[2:-2]), K=filters[1] * groups * taps, C=inputs[1], P=p, Q=q, groups=groups,
        bias=_has(node, 2), outputs_per_bias=taps, dynamic=node.input[1] not in tensors.constants,
    )  # fmt: skip
    yield Operation(layer, _weights(node, tensors, 1))
    yield Remainder("col2im", layer.outputs + math.prod(tensors.shape(node.output[0], node)))


def _gemm(node: NodeProto, tensors: Tensors) -> Lowered:
    left = tensors.shape(node.input[0], node)
    right = tensors.shape(node.input[1], node)
    left = left[::-1] if option(node, "transA", 0) else left
    right = right[::-1] if option(node, "transB", 0) else right
    operation = _product(node, tensors, left, right, 0, 1)
    if not _has(node, 2):
        yield operation
        return
    added = tensors.shape(node.input[2], node)
    constant = node.input[2] in tensors.constants
    biased = with_bias(operation, added, channel_axis=1, rank=2) if constant else None
    yield biased or operation
    if biased is None:
        yield Remainder("add", math.prod(added) + 2 * operation.layer.outputs)


def _matmul(node: NodeProto, tensors: Tensors, left: int = 0, right: int = 1) -> Lowered:
    shapes = tensors.shape(node.input[left], node), tensors.shape(node.input[right], node)
    yield _product(node, tensors, *shapes, left, right)


def _product(node: NodeProto, tensors: Tensors, left: Shape, right: Shape, i: int, j: int) -> Operation:
    """Lower a matrix product; inputs `i` and `j` of the node have these shapes.

    A constant left operand is the weights: the product is taken transposed. Axes that only the
    left operand has are more rows, those that only the right one has more outputs, common ones
    are groups.
    """
    a = (1, *left) if len(left) == 1 else left
    b = (*right, 1) if len(right) == 1 else right
    if node.input[i] in tensors.constants and node.input[j] not in tensors.constants:
        a, b, i, j = _transposed(b), _transposed(a), j, i
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
    layer = Layer(
        _name(node), "gemm", K=groups * outputs, C=groups * a[-1], P=rows, groups=groups,
        dynamic=node.input[j] not in tensors.constants,
    )  # fmt: skip
    return Operation(layer, _weights(node, tensors, j))


def _transposed(shape: Shape) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2])


def _padded(batch: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(batch)) + batch


def _einsum(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower a product of two tensors over common indices; other sums have no layer."""
    terms, _, out = option(node, "equation", "").replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != 2 or "." in terms or any(len(set(term)) != len(term) for term in (*names, out)) or not out:
        return
    i, j = 0, 1
    if node.input[0] in tensors.constants and node.input[1] not in tensors.constants:
        i, j = 1, 0
    size = {
        index: extent
        for term, tensor in zip(names, node.input, strict=True)
        for index, extent in zip(term, tensors.shape(tensor, node), strict=True)
    }
    left, right = set(names[i]), set(names[j])
    contracted = (left & right) - set(out)
    if not contracted or (left ^ right) - set(out):
        return
    groups = math.prod(size[index] for index in left & right & set(out))
    layer = Layer(
        _name(node), "gemm", P=math.prod(size[index] for index in left - right), groups=groups,
        K=groups * math.prod(size[index] for index in right - left),
        C=groups * math.prod(size[index] for index in contracted),
        dynamic=node.input[j] not in tensors.constants,
    )  # fmt: skip
    yield Operation(layer, _weights(node, tensors, j))


def _recurrent(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower LSTM, GRU or RNN: per direction one GEMM over all time steps, and one per step.

    The first multiplies the inputs of all steps, the second the state; each has its half of the
    bias. Gates, state updates and an LSTM's peepholes run beside the array.
    """
    inputs = tensors.shape(node.input[0], node)
    directions, gates, features = tensors.shape(node.input[1], node)
    hidden = tensors.shape(node.input[2], node)[2]
    batch, steps = (inputs[0], inputs[1]) if option(node, "layout", 0) else (inputs[1], inputs[0])
    if inputs[2] != features or len(inputs) != 3:
        raise ValueError(f"input {inputs} and weights of {features} features")
    bias = _has(node, 3)
    for direction in range(directions):
        for part, position, rows, width, count in (
            ("input", 1, steps * batch, features, 1), ("state", 2, batch, hidden, steps),
        ):  # fmt: skip
            layer = Layer(
                f"{_name(node)}.{part}", "gemm", K=gates, C=width, P=rows, bias=bias,
                dynamic=node.input[position] not in tensors.constants,
            )  # fmt: skip
            weights = _weights(node, tensors, position)
            yield Operation(layer, weights and f"{weights}[{direction}]", count)
    per_step = 2 * gates + (4 if node.op_type == "LSTM" else 2) * hidden
    yield Remainder("gates", directions * steps * batch * per_step)


def _attention(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower scaled dot-product attention: queries by keys, then scores by values.

    Query heads that share a key and value head are rows of one group.
    """
    shared = option(node, "kv_num_heads", 0)
    query = _heads(tensors.shape(node.input[0], node), option(node, "q_num_heads", 0))
    key = _heads(tensors.shape(node.input[1], node), shared)
    value = _heads(tensors.shape(node.input[2], node), shared)
    past = tensors.shape(node.input[4], node)[2] if _has(node, 4) else 0
    batch, heads, rows, width = query
    groups, length = batch * key[1], past + key[2]
    if heads % key[1] or key[3] != width or value[:3] != key[:3]:
        raise ValueError(f"query {query}, key {key}, value {value}")
    rows *= heads // key[1]
    scores = Layer(
        f"{_name(node)}.scores", "gemm", K=groups * length, C=groups * width, P=rows, groups=groups, dynamic=True
    )
    mixed = Layer(
        f"{_name(node)}.values", "gemm", K=groups * value[3], C=groups * length, P=rows, groups=groups, dynamic=True
    )
    yield Operation(scores)
    yield Remainder("softmax", 2 * scores.outputs)
    yield Operation(mixed)


def _heads(shape: Shape, heads: int) -> tuple[int, int, int, int]:
    """Return [batch, heads, length, width] of a tensor that has its heads apart or side by side."""
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    if len(shape) != 3 or not heads or shape[2] % heads:
        raise ValueError(f"{shape} in {heads} heads")
    return shape[0], heads, shape[1], shape[2] // heads


def _has(node: NodeProto, position: int) -> bool:
    return len(node.input) > position and bool(node.input[position])


def _weights(node: NodeProto, tensors: Tensors, position: int) -> str | None:
    name = node.input[position]
    return tensors.root(name) if name in tensors.constants else None


def _name(node: NodeProto) -> str:
    return node.name or str(node.output[0])


RULES: Mapping[str, Callable[[NodeProto, Tensors], Lowered]] = {
    "Attention": _attention,
    "Conv": _conv,
    "ConvInteger": lambda node, tensors: _conv(node, tensors, bias=4),
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearConv": lambda node, tensors: _conv(node, tensors, weights=3, bias=8),
    "QLinearMatMul": lambda node, tensors: _matmul(node, tensors, right=3),
    "RNN": _recurrent,
}
