"""Operators outside ONNX's own set: ONNX Runtime's (`com.microsoft`), and the quantisers of other tools."""

from __future__ import annotations

from collections.abc import Mapping

from armillary.workloads.onnx.facts import UNKNOWN, Call, Fact, Partial, broadcast
from armillary.workloads.onnx.inference import computing, elementwise, moving
from armillary.workloads.onnx.inference.elementwise import FLOAT, INT32, Rule, same

BLOCKED = "com.microsoft.nchwc"
"""The domain of operators whose channels come in whole blocks, as a processor wants them."""
MICROSOFT = ("com.microsoft", BLOCKED, "com.ms.internal.nhwc")
QUANTIZERS = (
    "qonnx.custom_op.general",
    "onnx.brevitas",
    "finn.custom_op.general",
    "org.openvinotoolkit",
    "trt",
    "com.vai.quantize",
    "com.amd.quark",
)
"""Domains whose operators quantise, most of them: QONNX, Brevitas, FINN, OpenVINO, TensorRT, and AMD's two."""

_SAME = (
    "BiasAdd", "BiasGelu", "BiasSoftmax", "DequantizeWithOrder", "FastGelu", "Gelu", "GroupNorm", "Inverse",
    "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QuantizeWithOrder", "QuickGelu",
    "RestorePadding", "RotaryEmbedding", "SkipGroupNorm", "Trilu",
)  # fmt: skip


def _skip_normalized(call: Call) -> list[Fact]:
    first = same(call)[0]
    statistics = Fact(FLOAT)
    return [first, statistics, statistics, first]


def _embedded(call: Call) -> list[Fact]:
    tokens, words = call.shape(0), call.shape(2)
    kind = call.fact(2).elem_type
    shape = None if tokens is None or words is None else (*tokens, words[-1])
    return [Fact(kind, shape), Fact(INT32, None if tokens is None else tokens[:1]), Fact(kind, shape)]


def _dropout(call: Call) -> list[Fact]:
    first = same(call)[0]
    return [first, Fact(elementwise.BOOL, first.shape)]


def _halved(call: Call) -> list[Fact]:
    shape = call.shape(0)
    if not shape or shape[-1] is None:
        return [Fact(call.fact(0).elem_type)]
    return [Fact(call.fact(0).elem_type, (*shape[:-1], shape[-1] // 2))]


def _quantized_pair(call: Call) -> list[Fact]:
    """Return the shape of an operator on two tensors, each with scale and zero point behind it."""
    return [Fact(call.fact(0).elem_type, broadcast(call, (0, 3)))]


def _quantized_where(call: Call) -> list[Fact]:
    return [Fact(call.fact(1).elem_type, broadcast(call, (0, 1, 4)))]


def _quantized_concat(call: Call) -> list[Fact]:
    tensors = Call(call.node, [call.fact(position) for position in range(2, len(call.inputs), 3)], call.version)
    return moving.RULES["Concat"](tensors)


def _last(call: Call) -> bool:
    """Return whether channels are the last axis."""
    return bool(call.integer("channels_last", 0))


def _turned(shape: Partial | None, last: bool) -> Partial | None:
    """Return a shape with channels behind the batch."""
    return (shape[0], shape[-1], *shape[1:-1]) if last and shape is not None and len(shape) > 2 else shape


def _returned(shape: Partial | None, last: bool) -> Partial | None:
    return (shape[0], *shape[2:], shape[1]) if last and shape is not None and len(shape) > 2 else shape


def _quantized_pool(call: Call) -> list[Fact]:
    shape = _turned(call.shape(0), _last(call))
    if shape is None:
        return [Fact(call.fact(0).elem_type)]
    kernel = call.integers("kernel_shape")
    if call.node.op_type == "QLinearGlobalAveragePool":
        pooled: Partial = (*shape[:2], *[1] * (len(shape) - 2))
    else:
        pooled = (*shape[:2], *computing.window(call, shape[2:], kernel))
    return [Fact(call.fact(0).elem_type, _returned(pooled, _last(call)))]


def _blocked_conv(call: Call) -> list[Fact]:
    """Return the shape of a convolution whose channels are padded to whole blocks, which its input may not say."""
    shape, filters = call.shape(0), call.shape(1)
    if shape is not None and filters is not None and len(shape) == len(filters) > 1 and filters[1] is not None:
        shape = (shape[0], filters[1] * call.integer("group", 1), *shape[2:])
    padded = Call(call.node, [Fact(call.fact(0).elem_type, shape), *call.inputs[1:]], call.version)
    return [Fact(call.fact(0).elem_type, computing.convolved(padded))]


def _unblocked(call: Call) -> list[Fact]:
    shape, channels = call.shape(0), call.integer("channels", 0)
    if shape is None or len(shape) < 2:
        return same(call)
    cut = (shape[0], channels or shape[1], *shape[2:])
    return [Fact(call.fact(0).elem_type, _returned(cut, _last(call)))]


def _blocks(call: Call) -> list[Fact]:
    """Return the shape of a tensor whose channels, perhaps its last axis, come in blocks now."""
    return [Fact(call.fact(0).elem_type, _turned(call.shape(0), _last(call)))]


def _blocked_upsample(call: Call) -> list[Fact]:
    shape, scales = call.shape(0), call.integers("scales")
    if shape is None or len(scales) != len(shape):
        return [Fact(call.fact(0).elem_type)]
    grown = tuple(None if size is None else size * scale for size, scale in zip(shape, scales, strict=True))
    return [Fact(call.fact(0).elem_type, grown)]


def _nhwc_conv(call: Call) -> list[Fact]:
    data = Fact(call.fact(0).elem_type, _turned(call.shape(0), last=True))
    turned = Call(call.node, [data, *call.inputs[1:]], call.version)
    return [Fact(call.fact(0).elem_type, _returned(computing.convolved(turned), last=True))]


def _nhwc_pool(call: Call) -> list[Fact]:
    shape = _turned(call.shape(0), last=True)
    if shape is None:
        return [Fact(call.fact(0).elem_type)]
    pooled = (*shape[:2], *computing.window(call, shape[2:], call.integers("kernel_shape")))
    return [Fact(call.fact(0).elem_type, _returned(pooled, last=True))]


def _quantized_conv(call: Call) -> list[Fact]:
    last = _last(call)
    data = Fact(call.fact(0).elem_type, _turned(call.shape(0), last))
    turned = Call(call.node, [data, *call.inputs[1:]], call.version)
    return [Fact(call.fact(7).elem_type or elementwise.UINT8, _returned(computing.convolved(turned, 0, 3), last))]


def _fused_matmul(call: Call) -> list[Fact]:
    inputs = []
    for position, letter in ((0, "A"), (1, "B")):
        shape = flipped(call.shape(position), call.integer(f"trans{letter}", 0), call.integer(f"transBatch{letter}", 0))
        inputs.append(Fact(call.fact(position).elem_type, shape))
    return [Fact(call.fact(0).elem_type, computing.matrix_product(Call(call.node, inputs, call.version)))]


def flipped(shape: Partial | None, last: int, batch: int) -> Partial | None:
    """Return the shape of an operand of FusedMatMul as a MatMul would read it.

    `batch` says that the leading axes stand between the rows and the columns.
    """
    if shape is None or len(shape) < 2:
        return shape
    if batch:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if last else shape


def _quantized_weights(call: Call) -> list[Fact]:
    """Return the shape of a product with weights that are packed: K and N are attributes."""
    shape = call.shape(0)
    inner, outputs = call.integer("K", 0), call.integer("N", 0)
    if shape is not None and shape and shape[-1] not in (None, inner):
        raise ValueError(f"input {list(shape)} and K={inner}")
    return [Fact(call.fact(0).elem_type, None if shape is None else (*shape[:-1], outputs))]


def _product_of(right: int, kind: int = 0) -> Rule:
    def rule(call: Call) -> list[Fact]:
        return [Fact(kind or call.fact(0).elem_type, computing.matrix_product(call, 0, right))]

    return rule


def _qgemm(call: Call) -> list[Fact]:
    kind = call.fact(8).elem_type if call.has(8) else FLOAT
    return [Fact(kind, computing.gemm(call, 0, 3))]


def _fast_gelu_gemm(call: Call) -> list[Fact]:
    return [Fact(call.fact(0).elem_type, computing.matrix_product(call))]


def _attention(call: Call) -> list[Fact]:
    """Return the outputs of an attention with its projections: the result, and keys and values of all steps."""
    shape, weights = call.shape(0), call.shape(1)
    kind = FLOAT if call.node.op_type == "QAttention" else call.fact(0).elem_type
    if shape is None or weights is None or len(shape) != 3:
        return [Fact(kind), Fact(kind)]
    sizes = call.integers("qkv_hidden_sizes")
    width = sizes[2] if sizes else None if weights[1] is None else weights[1] // 3
    heads = call.integer("num_heads", 0)
    if heads < 1:
        raise ValueError(f"num_heads={heads}")
    past = call.shape(8 if call.node.op_type == "QAttention" else 4)
    length = shape[1] if past is None else None if past[3] is None or shape[1] is None else past[3] + shape[1]
    present = (2, shape[0], heads, length, None if width is None else width // heads)
    return [Fact(kind, (shape[0], shape[1], width)), Fact(kind, present)]


def _multi_head(call: Call) -> list[Fact]:
    query, key, value = (call.shape(position) for position in range(3))
    kind, heads = call.fact(0).elem_type, call.integer("num_heads", 0)
    if query is None or heads < 1:
        return [Fact(kind)] * 3
    past = call.shape(6 if call.node.op_type == "MultiHeadAttention" else 5)
    batch, rows = query[0], query[1]
    head = query[-1] if len(query) == 5 else None if query[2] is None else query[2] // heads
    width = None if head is None else head * heads
    length: int | None = rows
    if key is not None:
        length = key[2] if len(key) == 4 else key[1]
    if value is not None and len(value) == 3:
        width = value[2]
    elif value is not None and len(value) == 4:
        width = None if value[3] is None else value[3] * heads
    if past is not None:
        length = None if past[2] is None or length is None else past[2] + length
    depth = None if width is None else width // heads
    return [
        Fact(kind, (batch, rows, width)), Fact(kind, (batch, heads, length, head)),
        Fact(kind, (batch, heads, length, depth)),
    ]  # fmt: skip


def _grouped_query(call: Call) -> list[Fact]:
    query, past = call.shape(0), call.shape(3)
    kind, heads, shared = call.fact(0).elem_type, call.integer("num_heads", 0), call.integer("kv_num_heads", 0)
    if query is None or heads < 1 or shared < 1:
        return [Fact(kind)] * 3
    batch, rows, features = query
    packed = not call.has(1)
    width = None if features is None else features * heads // (heads + 2 * shared) if packed else features
    length = rows if past is None else None if past[2] is None or rows is None else past[2] + rows
    present: Partial = (batch, shared, length, None if width is None else width // heads)
    kept = call.fact(3).elem_type or kind
    return [Fact(kind, (batch, rows, width)), Fact(kept, present), Fact(kept, present)]


def _quantized_lstm(call: Call) -> list[Fact]:
    return computing.recurrent(call, call.integer("hidden_size", 0) or None)


def _mixture(call: Call) -> list[Fact]:
    return [same(call)[0]]


def _gathered_blocks(call: Call) -> list[Fact]:
    shape, indices = call.shape(0), call.shape(1)
    kind = call.fact(2).elem_type
    if shape is None or indices is None:
        return [Fact(kind)]
    packed = 8 // call.integer("bits", 4) if call.fact(0).elem_type == elementwise.UINT8 else 1
    axis = call.integer("gather_axis", 0)
    row: Partial = (*shape[:axis], *shape[axis + 1 :])
    row = (*row[:-1], None if row[-1] is None else row[-1] * packed) if row else row
    return [Fact(kind, (*indices, *row))]


def _im2col(call: Call) -> list[Fact]:
    """Return the shape of QONNX's Im2Col, whose image has its channels last."""
    shape = _turned(call.shape(0), last=True)
    kernel = call.integers("kernel_size")
    if shape is None:
        return [UNKNOWN]
    channels = shape[1]
    stride, pads = call.integers("stride"), call.integers("pad_amount")
    sizes = [
        None if size is None else (size + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1
        for axis, size in enumerate(shape[2:])
    ]
    return [
        Fact(call.fact(0).elem_type, (shape[0], *sizes, None if channels is None else channels * kernel[0] * kernel[1]))
    ]


def _plain(name: str) -> Rule:
    """Return the rule of ONNX's own operator of this name."""
    return next(rules[name] for rules in (elementwise.RULES, moving.RULES, computing.RULES) if name in rules)


_AS_ONNX = (
    "AveragePool", "CausalConvWithState", "Conv", "DequantizeLinear", "Dropout", "GlobalAveragePool", "GlobalMaxPool",
    "GridSample", "LayerNormalization", "LinearAttention", "MaxPool", "Pad", "QuantizeLinear", "Range", "Upsample",
)  # fmt: skip

_MICROSOFT: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME, same),
    **{name: _plain(name) for name in _AS_ONNX},
    "Attention": _attention,
    "BiasDropout": _dropout,
    "BiasSplitGelu": _halved,
    "BitmaskBiasDropout": _dropout,
    "BitmaskDropout": _dropout,
    "DecoderMaskedMultiHeadAttention": _multi_head,
    "DecoderMaskedSelfAttention": _attention,
    "DynamicQuantizeLSTM": _quantized_lstm,
    "DynamicQuantizeMatMul": _product_of(1),
    "EmbedLayerNormalization": _embedded,
    "FusedConv": _plain("Conv"),
    "FusedGemm": _plain("Gemm"),
    "FusedMatMul": _fused_matmul,
    "FusedMatMulActivation": _fused_matmul,
    "GatherBlockQuantized": _gathered_blocks,
    "GemmFastGelu": _fast_gelu_gemm,
    "GemmFloat8": _plain("Gemm"),
    "GroupQueryAttention": _grouped_query,
    "MatMulBnb4": _quantized_weights,
    "MatMulInteger16": _product_of(1, INT32),
    "MatMulIntegerToFloat": _product_of(1, FLOAT),
    "MatMulNBits": _quantized_weights,
    "MoE": _mixture,
    "MultiHeadAttention": _multi_head,
    "NhwcConv": _nhwc_conv,
    "NhwcFusedConv": _nhwc_conv,
    "NhwcMaxPool": _nhwc_pool,
    "QAttention": _attention,
    "QGemm": _qgemm,
    "QLinearAdd": _quantized_pair,
    "QLinearAveragePool": _quantized_pool,
    "QLinearConcat": _quantized_concat,
    "QLinearConv": _quantized_conv,
    "QLinearGlobalAveragePool": _quantized_pool,
    "QLinearMul": _quantized_pair,
    "QLinearReduceMean": moving.RULES["ReduceMean"],
    "QLinearWhere": _quantized_where,
    "QMoE": _mixture,
    "SimplifiedLayerNormalization": _plain("LayerNormalization"),
    "SkipLayerNormalization": _skip_normalized,
    "SkipSimplifiedLayerNormalization": _skip_normalized,
    "TransposeMatMul": _fused_matmul,
}
_QUANTIZING = (
    "BFPQuantizeDequantize", "BipolarQuant", "ExtendedDequantizeLinear", "ExtendedQuantizeLinear", "FakeQuantize",
    "FixNeuron", "FloatQuant", "IntQuant", "MXQuantizeDequantize", "MultiThreshold", "Quant", "TRT_FP8DequantizeLinear",
    "TRT_FP8QuantizeLinear", "TRT_INT4DequantizeLinear", "TRT_INT4QuantizeLinear", "TRT_MXFP8DequantizeLinear",
    "TRT_MXFP8DynamicQuantize", "Trunc", "VitisDequantizeLinear", "VitisQuantizeLinear",
)  # fmt: skip
_QUANTIZERS: Mapping[str, Rule] = {
    **dict.fromkeys(_QUANTIZING, same),
    "Im2Col": _im2col,
    "XnorPopcountMatMul": _product_of(1, FLOAT),
}

_BLOCKED: Mapping[str, Rule] = {
    **_MICROSOFT,
    "Conv": _blocked_conv,
    "ReorderInput": _blocks,
    "ReorderOutput": _unblocked,
    "Upsample": _blocked_upsample,
}

RULES: Mapping[str, Mapping[str, Rule]] = {
    **dict.fromkeys(MICROSOFT, _MICROSOFT),
    BLOCKED: _BLOCKED,
    **dict.fromkeys(QUANTIZERS, _QUANTIZERS),
}
"""By domain and operator."""
