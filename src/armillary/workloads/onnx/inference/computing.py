"""Operators that multiply, filter, pool and resize, and those that hold sequences of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto

from armillary.workloads.onnx.equations import output_shape
from armillary.workloads.onnx.facts import UNKNOWN, Call, ClashError, Fact, Partial, axis_of, united
from armillary.workloads.onnx.inference.elementwise import FLOAT, INT32, INT64, UINT8, Rule
from armillary.workloads.onnx.inference.moving import joined
from armillary.workloads.onnx.nodes import per_axis


def matrix_product(call: Call, left: int = 0, right: int = 1) -> Partial | None:
    """Return the shape of a matrix product of two inputs, batches broadcast.

    Raises:
        ClashError: if they do not fit each other.
    """
    a, b = call.shape(left), call.shape(right)
    if a is None or b is None:
        return None
    if not a or not b:
        raise ValueError(f"{list(a)} by {list(b)}")
    inner_a, inner_b = len(a) - 1, max(len(b) - 2, 0)
    if a[inner_a] is not None and b[inner_b] is not None and a[inner_a] != b[inner_b]:
        raise ClashError(left, right, (inner_a, inner_b), (a[inner_a] or 0, b[inner_b] or 0))
    batch = batches(a[:-2], b[:-2], left, right)
    return (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def batches(a: Partial, b: Partial, left: int, right: int) -> Partial:
    """Return the leading axes of two inputs broadcast.

    Raises:
        ClashError: if they do not fit each other.
    """
    rank = max(len(a), len(b))
    result: list[int | None] = []
    for axis in range(-rank, 0):
        m = a[axis] if len(a) >= -axis else 1
        n = b[axis] if len(b) >= -axis else 1
        if m is not None and n is not None and m != n and 1 not in (m, n):
            raise ClashError(left, right, (len(a) + axis, len(b) + axis), (m, n))
        result.append(n if m == 1 else m if n == 1 else m if m is not None else n)
    return tuple(result)


def _matmul(call: Call) -> list[Fact]:
    return [Fact(call.fact(0).elem_type, matrix_product(call))]


def _matmul_integer(call: Call) -> list[Fact]:
    return [Fact(INT32, matrix_product(call))]


def _qlinear_matmul(call: Call) -> list[Fact]:
    return [Fact(call.fact(7).elem_type or UINT8, matrix_product(call, 0, 3))]


def gemm(call: Call, left: int = 0, right: int = 1) -> Partial | None:
    """Return the shape of a Gemm of two inputs.

    Raises:
        ClashError: if they do not fit each other.
    """
    a, b = call.shape(left), call.shape(right)
    rows, inner_a = (1, 0) if call.integer("transA", 0) else (0, 1)
    inner_b, columns = (1, 0) if call.integer("transB", 0) else (0, 1)
    for shape in (a, b):
        if shape is not None and len(shape) != 2:
            raise ValueError(f"an operand of {len(shape)} axes; it has to be a matrix")
    if a is not None and b is not None and a[inner_a] is not None and b[inner_b] not in (None, a[inner_a]):
        raise ClashError(left, right, (inner_a, inner_b), (a[inner_a] or 0, b[inner_b] or 0))
    return (None if a is None else a[rows], None if b is None else b[columns])


def _gemm(call: Call) -> list[Fact]:
    return [Fact(call.fact(0).elem_type, gemm(call))]


def _kernel(call: Call, weights: Partial | None, axes: int) -> list[int | None]:
    given = call.integers("kernel_shape")
    if given and len(given) != axes:
        raise ValueError(f"kernel_shape={given} has {len(given)} values for {axes} axes")
    if given and weights is not None and any(w not in (None, k) for k, w in zip(given, weights[2:], strict=True)):
        raise ValueError(f"kernel_shape={given} and a filter of {list(weights[2:])}")
    return list(given) if given else [None] * axes if weights is None else list(weights[2:])


def convolved(call: Call, data: int = 0, weights: int = 1) -> Partial | None:
    """Return the shape of a convolution of two inputs.

    Raises:
        ClashError: if the input has not the channels that the filters have.
        ValueError: if attributes have not one value per axis, or the ranks differ.
    """
    shape, filters = call.shape(data), call.shape(weights)
    if shape is None:
        return None if filters is None else (None, filters[0], *[None] * (len(filters) - 2))
    if len(shape) < 3 or (filters is not None and len(filters) != len(shape)):
        raise ValueError(f"input {list(shape)}, filter {list(filters or ())}")
    axes = len(shape) - 2
    if filters is not None and shape[1] is not None and filters[1] is not None:
        channels = filters[1] * call.integer("group", 1)
        if channels != shape[1]:
            raise ClashError(data, weights, (1, 1), (shape[1], channels))
    sizes = window(call, shape[2:], _kernel(call, filters, axes))
    return (shape[0], None if filters is None else filters[0], *sizes)


def window(call: Call, sizes: Partial, kernel: Sequence[int | None]) -> Partial:
    """Return the sizes of what a window makes of some axes, with the strides, dilations and padding of the node."""
    axes, node = len(sizes), call.node
    strides, dilations = per_axis(node, "strides", axes, 1), per_axis(node, "dilations", axes, 1)
    pads = per_axis(node, "pads", 2 * axes, 0)
    mode, ceils = call.text("auto_pad", "NOTSET"), bool(call.integer("ceil_mode", 0))
    result: list[int | None] = []
    for axis, (size, width) in enumerate(zip(sizes, kernel, strict=True)):
        stride = strides[axis]
        if stride < 1:
            raise ValueError(f"strides={strides} have to be positive")
        if size is None or width is None:
            result.append(None)
        elif mode.startswith("SAME"):
            result.append(-(-size // stride))
        else:
            padded = size if mode == "VALID" else size + pads[axis] + pads[axis + axes]
            result.append(_steps(padded - (width - 1) * dilations[axis] - 1, stride, ceils, size + pads[axis]))
    return tuple(result)


def _steps(room: int, stride: int, ceils: bool, reach: int) -> int:
    """Return how often a window fits; rounded up, the last one has to begin within the input or its first padding."""
    if room < 0:
        return 1 if ceils and -room < stride else 0
    steps = (-(-room // stride) if ceils else room // stride) + 1
    return steps - 1 if ceils and (steps - 1) * stride >= reach else steps


def _conv(call: Call) -> list[Fact]:
    return [Fact(call.fact(0).elem_type, convolved(call))]


def _conv_integer(call: Call) -> list[Fact]:
    return [Fact(INT32, convolved(call))]


def _qlinear_conv(call: Call) -> list[Fact]:
    return [Fact(call.fact(7).elem_type or UINT8, convolved(call, 0, 3))]


def _conv_transpose(call: Call) -> list[Fact]:
    shape, filters = call.shape(0), call.shape(1)
    if shape is None or filters is None:
        return [Fact(call.fact(0).elem_type)]
    if len(shape) != len(filters) or len(shape) < 3:
        raise ValueError(f"input {list(shape)} and filter {list(filters)}")
    if shape[1] is not None and filters[0] is not None and shape[1] != filters[0]:
        raise ClashError(0, 1, (1, 0), (shape[1], filters[0]))
    axes, node = len(shape) - 2, call.node
    strides, dilations = per_axis(node, "strides", axes, 1), per_axis(node, "dilations", axes, 1)
    pads, more = per_axis(node, "pads", 2 * axes, 0), per_axis(node, "output_padding", axes, 0)
    wanted, kernel = call.integers("output_shape"), _kernel(call, filters, axes)
    mode = call.text("auto_pad", "NOTSET")
    sizes: list[int | None] = []
    for axis, size in enumerate(shape[2:]):
        width = kernel[axis]
        if wanted:
            sizes.append(wanted[-axes:][axis])
        elif size is None or width is None:
            sizes.append(None)
        elif mode.startswith("SAME"):
            sizes.append(size * strides[axis])
        else:
            whole = strides[axis] * (size - 1) + more[axis] + (width - 1) * dilations[axis] + 1
            sizes.append(max(whole - (0 if mode == "VALID" else pads[axis] + pads[axis + axes]), 0))
    channels = None if filters[1] is None else filters[1] * call.integer("group", 1)
    return [Fact(call.fact(0).elem_type, (shape[0], channels, *sizes))]


def _pool(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return [Fact(call.fact(0).elem_type), Fact(INT64)]
    kernel = call.integers("kernel_shape")
    if len(kernel) != len(shape) - 2:
        raise ValueError(f"kernel_shape={kernel} has {len(kernel)} values for {len(shape) - 2} axes")
    pooled = (*shape[:2], *window(call, shape[2:], kernel))
    return [Fact(call.fact(0).elem_type, pooled), Fact(INT64, pooled)]


def _global_pool(call: Call) -> list[Fact]:
    shape = call.shape(0)
    return [Fact(call.fact(0).elem_type, None if shape is None else (*shape[:2], *[1] * (len(shape) - 2)))]


def _resize(call: Call) -> list[Fact]:
    shape, kind = call.shape(0), call.fact(0).elem_type
    if shape is None:
        return [Fact(kind)]
    axes = [axis_of(axis, len(shape)) for axis in call.integers("axes")] or list(range(len(shape)))
    result: list[int | None] = list(shape)
    old = call.version < 11
    scales, sizes = call.fact(1 if old else 2), call.fact(3) if not old else UNKNOWN
    if call.has(3) and not old:
        wanted = None if sizes.value is None else sizes.value.reshape(-1).tolist()
        for number, axis in enumerate(axes):
            result[axis] = None if wanted is None or wanted[number] is None else int(wanted[number])
        _keep_ratio(call, shape, result, axes)
        return [Fact(kind, tuple(result))]
    factors = scales.whole
    if factors is not None and factors.size == 0:
        return [Fact(kind, shape)]
    if factors is not None and factors.size != len(axes):
        raise ValueError(f"{factors.size} scales for {len(axes)} axes")
    for number, axis in enumerate(axes):
        size = shape[axis]
        result[axis] = None if factors is None or size is None else _scaled(size, float(factors.reshape(-1)[number]))
    return [Fact(kind, tuple(result))]


def _scaled(size: int, factor: float) -> int:
    """Return floor(size x factor); the factor is a 32-bit number."""
    if not 0 <= factor < 2**31:
        raise ValueError(f"a scale of {factor}")
    return math.floor(np.float32(size) * np.float32(factor)) if size < 2**24 else math.floor(size * factor)


def _keep_ratio(call: Call, shape: Partial, result: list[int | None], axes: Sequence[int]) -> None:
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    pairs = [(result[axis], shape[axis]) for axis in axes]
    if policy == "stretch" or any(new is None or not old for new, old in pairs):
        return
    ratios = [new / old for new, old in pairs if new is not None and old]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    for axis in axes:
        result[axis] = math.floor(scale * (shape[axis] or 0) + 0.5)


def _upsample(call: Call) -> list[Fact]:
    shape, kind = call.shape(0), call.fact(0).elem_type
    if shape is None:
        return [Fact(kind)]
    factors = call.fact(1).whole if call.has(1) else _factors(call.node)
    if factors is None or None in shape:
        return [Fact(kind, (None,) * len(shape))]
    if factors.size != len(shape):
        raise ValueError(f"{factors.size} scales for {len(shape)} axes")
    return [Fact(kind, tuple(_scaled(size or 0, float(f)) for size, f in zip(shape, factors.reshape(-1), strict=True)))]


def _factors(node: NodeProto) -> np.ndarray | None:
    """Return the scales of an Upsample before operator set 9, which are attributes."""
    found = {a.name: list(a.floats) or [a.f] for a in node.attribute}
    if "scales" in found:
        return np.array(found["scales"], np.float32)
    if "height_scale" in found and "width_scale" in found:
        return np.array([1, 1, found["height_scale"][0], found["width_scale"][0]], np.float32)
    return None


def recurrent(call: Call, hidden: int | None) -> list[Fact]:
    """Return the outputs of a recurrent layer: all states, the last one, and an LSTM's last cell."""
    shape, kind = call.shape(0), call.fact(0).elem_type
    weights = call.shape(1)
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    if weights is not None and weights[0] not in (None, directions):
        raise ValueError(f"weights of {weights[0]} directions for direction={call.text('direction', 'forward')!r}")
    if shape is not None and len(shape) != 3:
        raise ValueError(f"input {list(shape)} has not 3 axes")
    first, second = (None, None) if shape is None else (shape[0], shape[1])
    if call.integer("layout", 0):
        last: Partial = (first, directions, hidden)
        whole: Partial = (first, second, directions, hidden)
    else:
        last, whole = (directions, second, hidden), (first, directions, second, hidden)
    return [Fact(kind, whole), Fact(kind, last), Fact(kind, last)]


def _recurrent(call: Call) -> list[Fact]:
    state = call.shape(2)
    hidden = call.integer("hidden_size", 0) or (None if state is None else state[2])
    return recurrent(call, hidden)


def _attention(call: Call) -> list[Fact]:
    query, key, value = (call.shape(position) for position in range(3))
    kind = call.fact(0).elem_type
    if query is None or key is None or value is None:
        return [Fact(kind)] * 4
    heads, shared = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    q, k, v = apart(query, heads), apart(key, shared), apart(value, shared)
    past = call.shape(4)
    length = k[2] if past is None else None if k[2] is None or past[2] is None else k[2] + past[2]
    rows, width = q[2], v[3]
    mixed: Partial = (q[0], q[1], rows, width)
    if len(query) == 3:
        mixed = (q[0], rows, None if width is None or q[1] is None else q[1] * width)
    return [
        Fact(kind, mixed), Fact(call.fact(1).elem_type, (k[0], k[1], length, k[3])),
        Fact(call.fact(2).elem_type, (v[0], v[1], length, width)), Fact(kind, (q[0], q[1], rows, length)),
    ]  # fmt: skip


def apart(shape: Partial, heads: int) -> Partial:
    """Return [batch, heads, length, width] of a tensor that has its heads apart or side by side."""
    if len(shape) == 4:
        return shape
    if len(shape) != 3 or heads < 1:
        raise ValueError(f"{list(shape)} in {heads} heads")
    batch, length, features = shape
    if features is not None and features % heads:
        raise ValueError(f"{list(shape)} in {heads} heads")
    return (batch, heads, length, None if features is None else features // heads)


def _flex_attention(call: Call) -> list[Fact]:
    query, value = call.shape(0), call.shape(2)
    kind = call.fact(0).elem_type
    return [Fact(kind, None if query is None or value is None else (*query[:3], value[3]))]


def _linear_attention(call: Call) -> list[Fact]:
    query, key, value = (call.shape(position) for position in range(3))
    kind = call.fact(0).elem_type
    if query is None or key is None or value is None:
        return [Fact(kind)] * 2
    heads, shared = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    q, k, v = apart(query, heads), apart(key, shared), apart(value, shared)
    width = None if v[3] is None else v[3] * heads
    return [Fact(kind, (q[0], q[2], width)), Fact(kind, (k[0], k[1], k[3], v[3]))]


def _causal_conv(call: Call) -> list[Fact]:
    shape, weights = call.shape(0), call.shape(1)
    kind = call.fact(0).elem_type
    carried = None if shape is None or weights is None or weights[-1] is None else (*shape[:2], weights[-1] - 1)
    return [Fact(kind, shape), Fact(kind, carried)]


def _einsum(call: Call) -> list[Fact]:
    shapes = [fact.shape for fact in call.inputs if fact is not None]
    return [Fact(call.fact(0).elem_type, output_shape(call.text("equation", ""), shapes))]


def _roi_align(call: Call) -> list[Fact]:
    shape, regions = call.shape(0), call.shape(1)
    channels = None if shape is None else shape[1]
    rows, columns = call.integer("output_height", 1), call.integer("output_width", 1)
    return [Fact(call.fact(0).elem_type, (None if regions is None else regions[0], channels, rows, columns))]


def _max_roi_pool(call: Call) -> list[Fact]:
    shape, regions = call.shape(0), call.shape(1)
    channels = None if shape is None else shape[1]
    return [
        Fact(
            call.fact(0).elem_type, (None if regions is None else regions[0], channels, *call.integers("pooled_shape"))
        )
    ]


def _grid_sample(call: Call) -> list[Fact]:
    shape, grid = call.shape(0), call.shape(1)
    return [Fact(call.fact(0).elem_type, None if shape is None or grid is None else (*shape[:2], *grid[1:-1]))]


def _sequence(items: Sequence[Fact]) -> Fact:
    return Fact(items=tuple(items), item=united(items) if items else UNKNOWN)


def _construct(call: Call) -> list[Fact]:
    return [_sequence([call.fact(position) for position in range(len(call.inputs))])]


def _insert(call: Call) -> list[Fact]:
    sequence, new = call.fact(0), call.fact(1)
    at = call.values_of(2)
    if sequence.items is None or at is None:
        known = sequence.item is not None and sequence.item.shape is not None
        return [Fact(item=united([sequence.item, new] if known and sequence.item is not None else [new]))]
    items = list(sequence.items)
    items.insert(at[0] if at else len(items), new)
    return [_sequence(items)]


def _erase(call: Call) -> list[Fact]:
    sequence, at = call.fact(0), call.values_of(1)
    if sequence.items is None or at is None:
        return [Fact(item=sequence.item)]
    items = list(sequence.items)
    del items[at[0] if at else -1]
    return [_sequence(items)]


def _at(call: Call) -> list[Fact]:
    sequence, at = call.fact(0), call.values_of(1)
    if sequence.items is None or not at:
        return [sequence.item or UNKNOWN]
    return [sequence.items[at[0]]]


def _length(call: Call) -> list[Fact]:
    items = call.fact(0).items
    return [Fact(INT64, (), None if items is None else np.array(len(items), dtype=np.int64))]


def _concat_from_sequence(call: Call) -> list[Fact]:
    sequence = call.fact(0)
    if sequence.items is None or any(item.shape is None for item in sequence.items) or not sequence.items:
        return [Fact((sequence.item or UNKNOWN).elem_type)]
    inner = Call(call.node, sequence.items, call.version)
    rank = len(inner.shape(0) or ())
    if call.integer("new_axis", 0):
        axis = axis_of(call.integer("axis", 0), rank + 1)
        shape = united(sequence.items).shape or ()
        return [Fact(inner.fact(0).elem_type, (*shape[:axis], len(sequence.items), *shape[axis:]))]
    return [Fact(inner.fact(0).elem_type, joined(inner, rank, axis_of(call.integer("axis", 0), rank)))]


def _split_to_sequence(call: Call) -> list[Fact]:
    shape, kind = call.shape(0), call.fact(0).elem_type
    if shape is None:
        return [Fact(item=Fact(kind))]
    axis = axis_of(call.integer("axis", 0), len(shape))
    size, lengths = shape[axis], call.values_of(1)
    kept = call.integer("keepdims", 1) or call.has(1)
    if lengths is not None and call.fact(1).shape == () and size is not None:
        each = lengths[0]
        if each < 1:
            raise ValueError(f"parts of {each}")
        lengths = [min(each, size - at) for at in range(0, size, each)] if size <= 4096 * each else None
    elif not call.has(1):
        lengths = None if size is None or size > 4096 else [1] * size
    cut = [(*shape[:axis], *([length] if kept else []), *shape[axis + 1 :]) for length in lengths or ()]
    if lengths is None:
        return [Fact(item=Fact(kind, (*shape[:axis], *([None] if kept else []), *shape[axis + 1 :])))]
    return [_sequence([Fact(kind, part) for part in cut])]


def _empty(call: Call) -> list[Fact]:
    return [Fact(items=(), item=Fact(call.integer("dtype", FLOAT)))]


RULES: Mapping[str, Rule] = {
    "Attention": _attention,
    "AveragePool": _pool,
    "CausalConvWithState": _causal_conv,
    "ConcatFromSequence": _concat_from_sequence,
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _conv,
    "Einsum": _einsum,
    "FlexAttention": _flex_attention,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GridSample": _grid_sample,
    "LSTM": _recurrent,
    "LinearAttention": _linear_attention,
    "LpPool": _pool,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "MaxPool": _pool,
    "MaxRoiPool": _max_roi_pool,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "RNN": _recurrent,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split_to_sequence,
    "Upsample": _upsample,
}
