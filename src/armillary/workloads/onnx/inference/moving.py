"""Operators that cut, join, reorder, select or repeat elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import AttributeProto

from armillary.workloads.onnx.facts import (
    MOST_HELD,
    Call,
    ClashError,
    Fact,
    Partial,
    axis_of,
    numbers,
    size_of,
)
from armillary.workloads.onnx.inference.elementwise import FLOAT, INT64, Rule


def _like(call: Call, shape: Partial | None) -> list[Fact]:
    return [Fact(call.fact(0).elem_type, shape)]


def _target(call: Call, position: int) -> list[int | None] | None:
    """Return the whole numbers that an input holds, each perhaps unknown; None if not even their number is known."""
    fact = call.fact(position)
    if fact.value is not None:
        return [None if x is None else int(x) for x in fact.value.reshape(-1).tolist()]
    length = fact.fixed
    return [None] * length[0] if length is not None and len(length) == 1 and length[0] <= MOST_HELD else None


def _shape(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return [Fact(INT64, (None,))]
    start, end = call.integer("start", 0), call.integer("end", len(shape))
    part = shape[start:end]
    return [Fact(INT64, (len(part),), numbers(part))]


def _size(call: Call) -> list[Fact]:
    shape = call.shape(0)
    size = None if shape is None else size_of(shape)
    return [Fact(INT64, (), None if size is None or size >= 2**63 else np.array(size, dtype=np.int64))]


def _constant(call: Call) -> list[Fact]:
    for attribute in call.node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            tensor = attribute.t
            held = math.prod(tensor.dims) <= MOST_HELD and tensor.data_type != onnx.TensorProto.STRING
            value = onnx.numpy_helper.to_array(tensor) if held else None
            return [Fact(tensor.data_type, tuple(tensor.dims), value)]
        if attribute.type == AttributeProto.SPARSE_TENSOR:
            sparse = attribute.sparse_tensor
            return [Fact(sparse.values.data_type, tuple(sparse.dims))]
        if attribute.name in ("value_int", "value_ints"):
            array = np.array(onnx.helper.get_attribute_value(attribute), dtype=np.int64)
            return [Fact(INT64, array.shape, array)]
        if attribute.name in ("value_float", "value_floats"):
            array = np.array(onnx.helper.get_attribute_value(attribute), dtype=np.float32)
            return [Fact(FLOAT, array.shape, array)]
        if attribute.name == "value_string":
            return [Fact(onnx.TensorProto.STRING, ())]
        if attribute.name == "value_strings":
            return [Fact(onnx.TensorProto.STRING, (len(attribute.strings),))]
    raise ValueError("it holds no value")


def _constant_of_shape(call: Call) -> list[Fact]:
    wanted = _target(call, 0)
    tensor = next((a.t for a in call.node.attribute if a.name == "value"), None)
    kind = FLOAT if tensor is None else tensor.data_type
    if wanted is None:
        return [Fact(kind)]
    shape = _sizes(wanted)
    size, fixed = size_of(shape), Fact(kind, shape).fixed
    if fixed is None or size is None or size > MOST_HELD:
        return [Fact(kind, shape)]
    fill = np.zeros(1, np.float32) if tensor is None else onnx.numpy_helper.to_array(tensor)
    return [Fact(kind, shape, np.full(fixed, fill.reshape(-1)[0]))]


def _sizes(wanted: Sequence[int | None]) -> Partial:
    if any(size is not None and size < 0 for size in wanted):
        raise ValueError(f"a shape of {list(wanted)}")
    return tuple(wanted)


def _reshape(call: Call) -> list[Fact]:
    wanted = _target(call, 1) if call.version >= 5 else list(call.integers("shape"))
    if wanted is None:
        return _like(call, None)
    shape = call.shape(0)
    total = None if shape is None else size_of(shape)
    result: list[int | None] = list(wanted)
    for axis, size in enumerate(wanted):
        if size == 0 and not call.integer("allowzero", 0):
            result[axis] = None if shape is None else shape[axis]
        elif size is not None and size < -1:
            raise ValueError(f"a shape of {wanted}")
    open_ = [axis for axis, size in enumerate(result) if size is None or size == -1]
    result = [None if size == -1 else size for size in result]
    rest = size_of([size for axis, size in enumerate(result) if axis not in open_])  # type: ignore[arg-type]
    if len(open_) == 1 and total is not None and rest:
        if total % rest:
            raise ValueError(f"{total} elements of {list(shape or ())} to the shape {wanted}")
        result[open_[0]] = total // rest
    elif len(open_) == 1 and shape is not None and rest is not None:
        result[open_[0]] = _matched(shape, result)
    elif not open_ and total is not None and rest is not None and total != rest:
        raise ValueError(f"{total} elements of {list(shape or ())} to the shape {wanted}")
    return _like(call, tuple(result))


def _matched(shape: Partial, result: Sequence[int | None]) -> int | None:
    """Return the open size of a reshape whose input has unknown sizes, too, if the other known ones are the same."""
    left = [size for size in shape if size is not None]
    for size in result:
        if size is not None and size in left:
            left.remove(size)
    unknown_in, unknown_out = shape.count(None), result.count(None) - 1
    return left[0] if unknown_in == unknown_out > 0 and len(left) == 1 else None


def _flatten(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return _like(call, (None, None))
    axis = call.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise ValueError(f"axis {axis} of {len(shape)} axes")
    return _like(call, (size_of(shape[:axis]), size_of(shape[axis:])) if axis else (1, size_of(shape)))


def _squeeze(call: Call) -> list[Fact]:
    shape, axes = call.shape(0), call.values_of(1, "axes")
    if shape is None or axes is None:
        return _like(call, None)
    if not call.given(1, "axes"):
        return _like(call, None if None in shape else tuple(size for size in shape if size != 1))
    gone = {axis_of(axis, len(shape)) for axis in axes}
    if any(shape[axis] not in (1, None) for axis in gone):
        raise ValueError(f"axes {sorted(gone)} of {list(shape)} have to be 1")
    return _like(call, tuple(size for axis, size in enumerate(shape) if axis not in gone))


def _unsqueeze(call: Call) -> list[Fact]:
    shape, axes = call.shape(0), call.values_of(1, "axes")
    if shape is None or axes is None:
        return _like(call, None)
    rank = len(shape) + len(axes)
    new = {axis_of(axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise ValueError(f"axes {axes} hold one twice")
    rest = iter(shape)
    return _like(call, tuple(1 if axis in new else next(rest) for axis in range(rank)))


def _transpose(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return _like(call, None)
    order = call.integers("perm") or list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"perm={order} of {len(shape)} axes")
    return _like(call, tuple(shape[axis] for axis in order))


def _concat(call: Call) -> list[Fact]:
    shapes = [fact.shape for fact in call.inputs if fact is not None]
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return _like(call, None)
    rank = len(known[0])
    axis = axis_of(call.integer("axis", 1 if call.version < 4 else 0), rank)
    return _like(call, joined(call, rank, axis))


def joined(call: Call, rank: int, axis: int) -> Partial:
    """Return the shape of tensors laid one behind the other along an axis.

    Raises:
        ClashError: if they differ along another one.
        ValueError: if they differ in rank.
    """
    result: list[int | None] = []
    for at in range(rank):
        sizes: list[tuple[int, int]] = []
        unknown = False
        for position in range(len(call.inputs)):
            shape = call.shape(position)
            if shape is not None and len(shape) != rank:
                raise ValueError(f"inputs of {rank} and of {len(shape)} axes")
            if shape is None or shape[at] is None:
                unknown = True
            else:
                sizes.append((position, shape[at]))  # type: ignore[arg-type]
        if at == axis:
            result.append(None if unknown else sum(size for _, size in sizes))
            continue
        for position, size in sizes[1:]:
            if size != sizes[0][1]:
                raise ClashError(sizes[0][0], position, (at, at), (sizes[0][1], size))
        result.append(sizes[0][1] if sizes else None)
    return tuple(result)


def _split(call: Call) -> list[Fact]:
    shape = call.shape(0)
    parts = len(call.node.output)
    if shape is None:
        return _like(call, None) * parts
    axis = axis_of(call.integer("axis", 0), len(shape))
    size = shape[axis]
    lengths: list[int | None] | None = None
    if call.given(1, "split"):
        given = call.values_of(1, "split")
        lengths = [None] * parts if given is None else list(given)
    elif size is None:
        lengths = [None] * parts
    else:
        if call.integer("num_outputs", parts) != parts:
            raise ValueError(f"num_outputs={call.integer('num_outputs', parts)} and {parts} outputs")
        each = -(-size // max(parts, 1))
        lengths = [max(0, min(each, size - each * number)) for number in range(parts)]
    return [Fact(call.fact(0).elem_type, (*shape[:axis], length, *shape[axis + 1 :])) for length in lengths]


def _slice(call: Call) -> list[Fact]:
    shape = call.shape(0)
    starts, ends = call.values_of(1, "starts"), call.values_of(2, "ends")
    axes, steps = call.values_of(3, "axes"), call.values_of(4, "steps")
    if shape is None:
        return _like(call, None)
    result: list[int | None] = list(shape)
    if not call.given(3, "axes"):
        length = call.fact(1).fixed if call.has(1) else None
        axes = list(range(len(starts) if starts is not None else length[0] if length else len(shape)))
    if axes is None:
        return _like(call, (None,) * len(shape))
    for number, axis in enumerate(axes):
        at = axis_of(axis, len(shape))
        size = shape[at]
        step = 1 if not call.given(4, "steps") else None if steps is None else steps[number]
        if starts is None or ends is None or step is None:
            result[at] = None
        elif size is None:
            result[at] = _sliced_open(starts[number], ends[number], step)
        elif step == 0:
            raise ValueError("a step of 0")
        else:
            result[at] = len(range(*slice(starts[number], _end(ends[number], step, size), step).indices(size)))
    return _like(call, tuple(result))


def _end(end: int, step: int, size: int) -> int | None:
    """Return an end as Python has it: one before the first element, going down, is None."""
    return None if step < 0 and end < -size else end


def _sliced_open(start: int, end: int, step: int) -> int | None:
    """Return the length of a slice of an unknown axis: known where it is the last so many."""
    return -(-(end - start) // step) if step > 0 and start < 0 and end <= 0 and (end < 0) == (start < 0) else None


def _gather(call: Call) -> list[Fact]:
    shape, indices = call.shape(0), call.shape(1)
    if shape is None or indices is None:
        return _like(call, None)
    axis = axis_of(call.integer("axis", 0), len(shape))
    return _like(call, (*shape[:axis], *indices, *shape[axis + 1 :]))


def _gather_nd(call: Call) -> list[Fact]:
    shape, indices = call.shape(0), call.shape(1)
    if shape is None or not indices or indices[-1] is None:
        return _like(call, None)
    return _like(call, (*indices[:-1], *shape[call.integer("batch_dims", 0) + indices[-1] :]))


def _expand(call: Call) -> list[Fact]:
    shape, wanted = call.shape(0), _target(call, 1)
    if shape is None or wanted is None:
        return _like(call, None)
    rank = max(len(shape), len(wanted))
    left = (*[1] * (rank - len(shape)), *shape)
    right = (*[1] * (rank - len(wanted)), *wanted)
    result: list[int | None] = []
    for a, b in zip(left, right, strict=True):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            raise ValueError(f"{list(shape)} to {wanted}")
        result.append(b if a == 1 else a if b == 1 else a if a is not None else b)
    return _like(call, tuple(result))


def _tile(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return _like(call, None)
    if call.version < 6:
        return _like(call, (None,) * len(shape))
    times = _target(call, 1) or [None] * len(shape)
    return _like(call, tuple(None if a is None or b is None else a * b for a, b in zip(shape, times, strict=True)))


def _pad(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return _like(call, None)
    pads = call.values_of(1, "pads" if call.version >= 2 else "paddings")
    axes = call.values_of(3) if call.has(3) else list(range(len(shape)))
    if pads is None or axes is None:
        return _like(call, (None,) * len(shape))
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} pads for {len(axes)} axes")
    result = list(shape)
    for number, axis in enumerate(axes):
        at = axis_of(axis, len(shape))
        size = result[at]
        result[at] = None if size is None else size + pads[number] + pads[number + len(axes)]
    return _like(call, _sizes(result))


def _depth_to_space(call: Call) -> list[Fact]:
    shape, block = call.shape(0), call.integer("blocksize", 0)
    if shape is None:
        return _like(call, None)
    n, c, h, w = shape
    if block < 1 or (c or 0) % block**2:
        raise ValueError(f"blocks of {block} of {list(shape)}")
    grown = [None if size is None else size * block for size in (h, w)]
    return _like(call, (n, None if c is None else c // block**2, *grown))


def _space_to_depth(call: Call) -> list[Fact]:
    shape, block = call.shape(0), call.integer("blocksize", 0)
    if shape is None:
        return _like(call, None)
    n, c, h, w = shape
    if block < 1 or (h or 0) % block or (w or 0) % block:
        raise ValueError(f"blocks of {block} of {list(shape)}")
    shrunk = [None if size is None else size // block for size in (h, w)]
    return _like(call, (n, None if c is None else c * block**2, *shrunk))


def _non_zero(call: Call) -> list[Fact]:
    shape = call.shape(0)
    return [Fact(INT64, (None if shape is None else max(len(shape), 1), None))]


def _suppressed(_call: Call) -> list[Fact]:
    return [Fact(INT64, (None, 3))]


def _compress(call: Call) -> list[Fact]:
    shape = call.shape(0)
    axis = next((a.i for a in call.node.attribute if a.name == "axis"), None)
    if axis is None or shape is None:
        return _like(call, (None,) if axis is None else None)
    at = axis_of(axis, len(shape))
    return _like(call, (*shape[:at], None, *shape[at + 1 :]))


def _unique(call: Call) -> list[Fact]:
    return [*_compress(call), *[Fact(INT64, (None,))] * 3]


def _one_hot(call: Call) -> list[Fact]:
    indices, depth = call.shape(0), call.values_of(1)
    if indices is None:
        return [Fact(call.fact(2).elem_type)]
    axis = axis_of(call.integer("axis", -1), len(indices) + 1)
    size = depth[0] if depth else None
    return [Fact(call.fact(2).elem_type, (*indices[:axis], size, *indices[axis:]))]


def _range(call: Call) -> list[Fact]:
    start, limit, delta = (call.fact(position).whole for position in range(3))
    if start is None or limit is None or delta is None or delta.item() == 0:
        return _like(call, (None,))
    length = math.ceil((limit.item() - start.item()) / delta.item())
    return _like(call, (max(length, 0),))


def _eye(call: Call) -> list[Fact]:
    return [Fact(call.integer("dtype", 0) or call.fact(0).elem_type, call.shape(0))]


def _top_k(call: Call) -> list[Fact]:
    shape = call.shape(0)
    count = call.values_of(1) if call.version >= 10 else [call.integer("k", 0)]
    if shape is None:
        return [*_like(call, None), Fact(INT64)]
    axis = axis_of(call.integer("axis", -1), len(shape))
    cut = (*shape[:axis], count[0] if count else None, *shape[axis + 1 :])
    return [*_like(call, cut), Fact(INT64, cut)]


def _reduce(call: Call) -> list[Fact]:
    shape, axes = call.shape(0), call.values_of(1, "axes")
    kept = bool(call.integer("keepdims", 1))
    if shape is None or axes is None:
        return _like(call, None if shape is None or not kept else (None,) * len(shape))
    if not axes and call.integer("noop_with_empty_axes", 0):
        return _like(call, shape)
    gone = {axis_of(axis, len(shape)) for axis in axes} or set(range(len(shape)))
    if kept:
        return _like(call, tuple(1 if axis in gone else size for axis, size in enumerate(shape)))
    return _like(call, tuple(size for axis, size in enumerate(shape) if axis not in gone))


def _arg(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if shape is None:
        return [Fact(INT64)]
    axis = axis_of(call.integer("axis", 0), len(shape))
    return [Fact(INT64, (*shape[:axis], *[1] * bool(call.integer("keepdims", 1)), *shape[axis + 1 :]))]


REDUCED = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(REDUCED, _reduce),
    "ArgMax": _arg,
    "ArgMin": _arg,
    "Compress": _compress,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "EyeLike": _eye,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": lambda call: _like(call, call.shape(1)),
    "GatherND": _gather_nd,
    "NonMaxSuppression": _suppressed,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unique": _unique,
    "Unsqueeze": _unsqueeze,
}
