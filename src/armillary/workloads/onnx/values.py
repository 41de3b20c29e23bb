"""The values of small tensors: what exporters compute shapes, conditions and trip counts with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from armillary.workloads.onnx.facts import MOST_HELD, Call, Fact, axis_of, size_of
from armillary.workloads.onnx.nodes import option

Array = NDArray[Any]
Compute = Callable[[Call, list[Any]], list[Array]]

UNCOMPUTABLE = (
    ValueError, TypeError, IndexError, KeyError, ArithmeticError, MemoryError, NotImplementedError, AttributeError,
    RuntimeError,
)  # fmt: skip
"""What values of a damaged file, or unknown elements, bring about: the value then stays unknown."""


def computed(call: Call, outputs: Sequence[Fact]) -> list[Array] | None:
    """Return the values of a node's outputs, None if they do not follow from what is known or are no shapes."""
    compute = _RULES.get(call.node.op_type)
    if compute is None or any(fact is not None and fact.value is None for fact in call.inputs):
        return None
    for fact in () if call.node.op_type == "NonZero" else outputs:  # no more than its input has
        size = None if fact.shape is None else size_of(fact.shape)
        if size is None or size > MOST_HELD:
            return None
    values = [None if fact is None else fact.value for fact in call.inputs]
    if call.node.op_type not in _MOVING and any(value is not None and value.dtype == object for value in values):
        return None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [np.asarray(value) for value in compute(call, values)]
    except UNCOMPUTABLE:
        return None


def _cast(call: Call, values: list[Any]) -> list[Array]:
    value = values[0]
    kind = helper.tensor_dtype_to_np_dtype(call.integer("to", 1))
    if value.dtype == object:
        if kind.kind not in "iu":
            raise TypeError("unknown elements")
        return [value]
    return [value.astype(kind)]


def _cast_like(_call: Call, values: list[Any]) -> list[Array]:
    return [values[0].astype(values[1].dtype)]


def _axes(call: Call, position: int = 1) -> tuple[int, ...] | None:
    axes = call.values_of(position, "axes")
    return tuple(axes) if axes else None


def _expanded(_call: Call, values: list[Any]) -> list[Array]:
    wanted = tuple(int(size) for size in values[1])
    return [np.broadcast_to(values[0], np.broadcast_shapes(values[0].shape, wanted))]


def _clip(call: Call, values: list[Any]) -> list[Array]:
    value = values[0]
    given = {a.name: a.f for a in call.node.attribute if a.name in ("min", "max")}
    low = values[1] if len(values) > 1 and values[1] is not None else given.get("min")
    high = values[2] if len(values) > 2 and values[2] is not None else given.get("max")
    value = value if low is None else np.maximum(value, np.asarray(low).astype(value.dtype))
    return [value if high is None else np.minimum(value, np.asarray(high).astype(value.dtype))]


def _div(_call: Call, values: list[Any]) -> list[Array]:
    a, b = values
    if a.dtype.kind in "iu":
        quotient = np.abs(a) // np.abs(b) if np.all(b != 0) else None
        if quotient is None:
            raise ZeroDivisionError
        return [(np.sign(a) * np.sign(b) * quotient).astype(a.dtype)]
    return [a / b]


def _mod(call: Call, values: list[Any]) -> list[Array]:
    if values[0].dtype.kind in "iu" and not np.all(values[1] != 0):
        raise ZeroDivisionError
    return [np.fmod(*values) if call.integer("fmod", 0) else np.mod(*values)]


def _power(_call: Call, values: list[Any]) -> list[Array]:
    return [np.power(values[0].astype(np.float64), values[1]).astype(values[0].dtype)]


def _slice(call: Call, values: list[Any]) -> list[Array]:
    data = values[0]
    starts, ends = call.values_of(1, "starts") or [], call.values_of(2, "ends") or []
    axes = (call.values_of(3, "axes") or []) if call.given(3, "axes") else list(range(len(starts)))
    steps = (call.values_of(4, "steps") or []) if call.given(4, "steps") else [1] * len(starts)
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at = axis_of(axis, data.ndim)
        where[at] = slice(start, None if step < 0 and end < -data.shape[at] else end, step)
    return [data[tuple(where)]]


def _gather(call: Call, values: list[Any]) -> list[Array]:
    return [np.take(values[0], values[1], axis=call.integer("axis", 0))]


def _gather_elements(call: Call, values: list[Any]) -> list[Array]:
    return [np.take_along_axis(values[0], values[1], axis=call.integer("axis", 0))]


def _gather_nd(call: Call, values: list[Any]) -> list[Array]:
    data, indices = values
    _needs_default(call, "batch_dims", 0)
    return [data[tuple(np.moveaxis(indices, -1, 0))]]


def _scatter_nd(call: Call, values: list[Any]) -> list[Array]:
    _needs_default(call, "reduction", "none")
    data, indices, updates = values
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return [result]


def _scatter_elements(call: Call, values: list[Any]) -> list[Array]:
    _needs_default(call, "reduction", "none")
    data, indices, updates = values
    result = data.copy()
    np.put_along_axis(result, indices, updates, axis=call.integer("axis", 0))
    return [result]


def _split(call: Call, values: list[Any], outputs: int) -> list[Array]:
    data = values[0]
    axis = axis_of(call.integer("axis", 0), data.ndim)
    lengths = call.values_of(1, "split") if call.given(1, "split") else None
    if lengths:
        return np.split(data, np.cumsum(lengths)[:-1], axis)
    each = -(-data.shape[axis] // outputs)
    return np.split(data, [each * number for number in range(1, outputs)], axis)


def _unsqueeze(call: Call, values: list[Any]) -> list[Array]:
    return [np.expand_dims(values[0], _axes(call) or ())]


def _squeeze(call: Call, values: list[Any]) -> list[Array]:
    return [np.squeeze(values[0], _axes(call))]


def _reshape(call: Call, values: list[Any]) -> list[Array]:
    wanted = list(call.integers("shape")) if call.version < 5 else [int(x) for x in values[1].reshape(-1)]
    if not call.integer("allowzero", 0):
        wanted = [values[0].shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return [values[0].reshape(wanted)]


def _flatten(call: Call, values: list[Any]) -> list[Array]:
    axis = call.integer("axis", 1)
    rows = int(np.prod(values[0].shape[:axis])) if axis else 1
    return [values[0].reshape(rows, -1)]


def _reduced(function: Callable[..., Any]) -> Compute:
    def compute(call: Call, values: list[Any]) -> list[Array]:
        axes = _axes(call)
        if axes is None and call.integer("noop_with_empty_axes", 0):
            return [values[0]]
        return [
            np.asarray(function(values[0], axis=axes, keepdims=bool(call.integer("keepdims", 1)))).astype(
                values[0].dtype
            )
        ]

    return compute


def _arg(function: Callable[..., Any]) -> Compute:
    def compute(call: Call, values: list[Any]) -> list[Array]:
        _needs_default(call, "select_last_index", 0)
        axis, kept = call.integer("axis", 0), bool(call.integer("keepdims", 1))
        return [np.asarray(function(values[0], axis=axis, keepdims=kept)).astype(np.int64)]

    return compute


def _top_k(call: Call, values: list[Any]) -> list[Array]:
    axis, count = call.integer("axis", -1), int(values[1].reshape(-1)[0]) if len(values) > 1 else call.integer("k", 1)
    if values[0].dtype.kind == "u":
        raise NotImplementedError
    order = np.argsort(-values[0] if call.integer("largest", 1) else values[0], axis=axis, kind="stable")
    chosen = np.take(order, range(count), axis=axis)
    return [np.take_along_axis(values[0], chosen, axis), chosen.astype(np.int64)]


def _is_infinite(call: Call, values: list[Any]) -> list[Array]:
    _needs_default(call, "detect_negative", 1)
    _needs_default(call, "detect_positive", 1)
    return [np.isinf(values[0])]


def _needs_default(call: Call, name: str, default: int | str) -> None:
    """Leave a value unknown whose node has a rare attribute."""
    if option(call.node, name, default) != default:
        raise NotImplementedError(name)


def _cumulated(call: Call, values: list[Any]) -> list[Array]:
    _needs_default(call, "exclusive", 0)
    _needs_default(call, "reverse", 0)
    return [np.cumsum(values[0], axis=int(values[1].reshape(-1)[0])).astype(values[0].dtype)]


def _folded(function: Callable[[Any, Any], Any]) -> Compute:
    def compute(_call: Call, values: list[Any]) -> list[Array]:
        result = values[0]
        for value in values[1:]:
            result = function(result, value)
        return [np.asarray(result)]

    return compute


def _each(function: Callable[..., Any]) -> Compute:
    return lambda _call, values: [np.asarray(function(*values))]


def _float(function: Callable[[Any], Any]) -> Compute:
    return lambda _call, values: [np.asarray(function(values[0])).astype(values[0].dtype)]


def _range(_call: Call, values: list[Any]) -> list[Array]:
    start, limit, delta = (value.item() for value in values)
    return [np.arange(start, limit, delta).astype(values[0].dtype)]


def _padded(call: Call, values: list[Any]) -> list[Array]:
    _needs_default(call, "mode", "constant")
    if len(values) > 3 and values[3] is not None:
        raise NotImplementedError
    pads = call.values_of(1, "pads") or []
    fill = values[2].item() if len(values) > 2 and values[2] is not None else 0
    half = len(pads) // 2
    return [np.pad(values[0], list(zip(pads[:half], pads[half:], strict=True)), constant_values=fill)]


def _trilu(call: Call, values: list[Any]) -> list[Array]:
    k = int(values[1].reshape(-1)[0]) if len(values) > 1 and values[1] is not None else 0
    return [np.triu(values[0], k) if call.integer("upper", 1) else np.tril(values[0], k)]


def _shifted(call: Call, values: list[Any]) -> list[Array]:
    return [(np.left_shift if call.text("direction", "LEFT") == "LEFT" else np.right_shift)(*values)]


_MOVING = frozenset(
    {
        "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that look at no element, so that unknown ones may be among them."""

_RULES: Mapping[str, Compute] = {
    "Abs": _each(np.abs),
    "Add": _each(np.add),
    "And": _each(np.logical_and),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "BitShift": _shifted,
    "BitwiseAnd": _each(np.bitwise_and),
    "BitwiseNot": _each(np.invert),
    "BitwiseOr": _each(np.bitwise_or),
    "BitwiseXor": _each(np.bitwise_xor),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Ceil": _each(np.ceil),
    "Clip": _clip,
    "Concat": lambda call, values: [np.concatenate(values, call.integer("axis", 0))],
    "Cos": _float(np.cos),
    "CumSum": _cumulated,
    "Div": _div,
    "Equal": _each(np.equal),
    "Exp": _float(np.exp),
    "Expand": _expanded,
    "Flatten": _flatten,
    "Floor": _each(np.floor),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Greater": _each(np.greater),
    "GreaterOrEqual": _each(np.greater_equal),
    "Identity": lambda _call, values: [values[0]],
    "IsInf": _is_infinite,
    "IsNaN": _each(np.isnan),
    "Less": _each(np.less),
    "LessOrEqual": _each(np.less_equal),
    "Log": _float(np.log),
    "Max": _folded(np.maximum),
    "Mean": lambda _call, values: [np.asarray(sum(values) / len(values)).astype(values[0].dtype)],
    "Min": _folded(np.minimum),
    "Mod": _mod,
    "Mul": _each(np.multiply),
    "Neg": _each(np.negative),
    "NonZero": lambda _call, values: [np.array(np.nonzero(np.atleast_1d(values[0])), dtype=np.int64)],
    "Not": _each(np.logical_not),
    "Or": _each(np.logical_or),
    "Pad": _padded,
    "Pow": _power,
    "Range": _range,
    "Reciprocal": _float(np.reciprocal),
    "ReduceL1": _reduced(lambda x, **more: np.sum(np.abs(x), **more)),
    "ReduceMax": _reduced(np.max),
    "ReduceMean": _reduced(np.mean),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceSumSquare": _reduced(lambda x, **more: np.sum(np.square(x), **more)),
    "Relu": lambda _call, values: [np.maximum(values[0], np.zeros((), values[0].dtype))],
    "Reshape": _reshape,
    "Round": _each(np.round),
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Sigmoid": _float(lambda x: 1 / (1 + np.exp(-x))),
    "Sign": _each(np.sign),
    "Sin": _float(np.sin),
    "Slice": _slice,
    "Split": lambda call, values: _split(call, values, len(call.node.output)),
    "Sqrt": _float(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _each(np.subtract),
    "Sum": _folded(np.add),
    "Tan": _float(np.tan),
    "Tanh": _float(np.tanh),
    "Tile": lambda _call, values: [np.tile(values[0], [int(x) for x in values[1]])],
    "TopK": _top_k,
    "Transpose": lambda call, values: [np.transpose(values[0], call.integers("perm") or None)],
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Where": _each(np.where),
    "Xor": _each(np.logical_xor),
}
