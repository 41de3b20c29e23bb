"""Operators whose output has the shape of an input, or of its inputs broadcast."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import TensorProto

from armillary.workloads.onnx.facts import Call, Fact, broadcast

Rule = Callable[[Call], list[Fact]]

BOOL, FLOAT, INT64, INT32 = TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8

SAME = (
    "Abs", "Acos", "Acosh", "Affine", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Clip", "Cos",
    "Cosh", "CumProd", "CumSum", "Elu", "Erf", "Exp", "Floor", "Gelu", "GroupNormalization", "HardSigmoid",
    "HardSwish", "Hardmax", "Identity", "ImageScaler", "InstanceNormalization", "LRN", "LeakyRelu", "Log",
    "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "Neg", "PRelu", "ParametricSoftplus",
    "RMSNormalization", "Reciprocal", "Relu", "ReverseSequence", "RotaryEmbedding", "Round", "Scale", "ScaledTanh",
    "Scatter", "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "TensorScatter", "ThresholdedRelu", "Trilu",
)  # fmt: skip
BROADCAST = (
    "Add", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Max", "Mean", "Min", "Mod", "Mul", "Pow",
    "StringConcat", "Sub", "Sum",
)  # fmt: skip
COMPARED = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor")
TESTED = ("IsInf", "IsNaN", "Not")


def same(call: Call) -> list[Fact]:
    """Return the type and shape of the first input."""
    first = call.fact(0)
    return [Fact(first.elem_type, first.shape, item=first.item, items=first.items)]


def broadcasting(call: Call) -> list[Fact]:
    """Return the shape of the inputs broadcast; before operator set 7 that was the first one's."""
    return [Fact(call.fact(0).elem_type, _together(call))]


def compared(call: Call) -> list[Fact]:
    """Return truth values of the inputs' shape broadcast."""
    return [Fact(BOOL, _together(call))]


def _together(call: Call) -> tuple[int | None, ...] | None:
    if call.version < 7 and call.node.op_type not in ("Max", "Mean", "Min", "Sum"):
        return call.shape(0)
    return broadcast(call, range(len(call.inputs)))


def _cast(call: Call) -> list[Fact]:
    if call.node.op_type != "CastLike":
        return [Fact(call.integer("to", FLOAT) if call.version >= 6 else FLOAT, call.shape(0))]
    return [Fact(call.fact(1).elem_type, call.shape(0))]


def _dropout(call: Call) -> list[Fact]:
    first = same(call)[0]
    return [first, Fact(BOOL if call.version >= 10 else first.elem_type, first.shape)]


def _where(call: Call) -> list[Fact]:
    return [Fact(call.fact(1).elem_type, broadcast(call, range(3)))]


def _bitcast(call: Call) -> list[Fact]:
    """A BitCast keeps its shape where the sizes of both types agree, which it demands."""
    return [Fact(call.integer("to", 0), call.shape(0))]


def _quantize(call: Call) -> list[Fact]:
    kind = call.fact(2).elem_type if call.has(2) else call.integer("output_dtype", 0) or UINT8
    return [Fact(kind, call.shape(0))]


def _dequantize(call: Call) -> list[Fact]:
    return [Fact(call.integer("output_dtype", 0) or call.fact(1).elem_type or FLOAT, call.shape(0))]


def _dynamic_quantize(call: Call) -> list[Fact]:
    return [Fact(UINT8, call.shape(0)), Fact(FLOAT, ()), Fact(UINT8, ())]


def _normalized(call: Call) -> list[Fact]:
    """Batch normalisation may put out statistics, too: one number per channel, or none that matters here."""
    first = same(call)[0]
    channels = call.shape(1)
    return [first, *[Fact(call.fact(1).elem_type, channels)] * 4]


def _layer_normalized(call: Call) -> list[Fact]:
    first = same(call)[0]
    shape = first.shape
    if shape is None:
        return [first]
    axis = call.integer("axis", -1)
    kept = shape[:axis] if axis < 0 else shape[: min(axis, len(shape))]
    statistics = Fact(call.integer("stash_type", FLOAT), (*kept, *[1] * (len(shape) - len(kept))))
    return [first, statistics, statistics]


def _random_like(call: Call) -> list[Fact]:
    return [Fact(call.integer("dtype", 0) or call.fact(0).elem_type, call.shape(0))]


def _random(call: Call) -> list[Fact]:
    return [Fact(call.integer("dtype", FLOAT), tuple(call.integers("shape")))]


def _swiglu(call: Call) -> list[Fact]:
    """The gate and the value are the halves of one axis, or come apart."""
    shape = call.shape(0)
    if call.has(1) or shape is None or not shape or shape[-1] is None:
        return same(call) if call.has(1) else [Fact(call.fact(0).elem_type)]
    return [Fact(call.fact(0).elem_type, (*shape[:-1], shape[-1] // 2))]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(SAME, same),
    **dict.fromkeys(BROADCAST, broadcasting),
    **dict.fromkeys(COMPARED, compared),
    **dict.fromkeys(TESTED, lambda call: [Fact(BOOL, call.shape(0))]),
    "BatchNormalization": _normalized,
    "Bernoulli": _random_like,
    "BitCast": _bitcast,
    "Cast": _cast,
    "CastLike": _cast,
    "DequantizeLinear": _dequantize,
    "Dropout": _dropout,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "LayerNormalization": _layer_normalized,
    "QuantizeLinear": _quantize,
    "RandomNormal": _random,
    "RandomNormalLike": _random_like,
    "RandomUniform": _random,
    "RandomUniformLike": _random_like,
    "SimplifiedLayerNormalization": _layer_normalized,
    "SwiGLU": _swiglu,
    "Where": _where,
}
