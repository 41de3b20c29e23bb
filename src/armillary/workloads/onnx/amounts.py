"""What one node that has no layer computes and moves, from its operator's definition and the shapes around it.

Functions that are written out (GELU by Erf, SiLU by Sigmoid and Mul) have the amounts of the operators that exporters
write for them, so that both ways count alike. Values are counted, not bytes: how wide they are is the hardware's.

Sources: the operators' definitions in ONNX and ONNX Runtime; softmax with its maximum taken first as in Milakov and
    Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from onnx import NodeProto

from armillary.workloads.onnx.facts import Shape
from armillary.workloads.onnx.inference.finding import ELEMENTWISE
from armillary.workloads.onnx.nodes import operator, option
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork, WorkKind

POINTWISE: tuple[WorkKind, ...] = ("clamp", "scale", "function")
"""Work on one value at a time, in the order of what it asks of hardware."""
VIEWS = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators whose output is their input under another shape."""
STRIDED = frozenset({"Expand", "Slice", "Split", "Transpose"})
"""Operators whose output is their input read in other steps."""
_FREE = frozenset({"Constant", "ConstantOfShape", "EyeLike", "If", "Loop", "Range", "Scan", "Shape", "Size"})
"""Operators that compute nothing of tensors' values; the bodies of control flow are steps of their own."""
_LINEAR, _CUBIC = 2, 4
_NONE: list[int] = []


class Per(NamedTuple):
    """Operations per value."""

    adds: int = 0
    multiplies: int = 0
    functions: int = 0


_FUNCTION = Per(functions=1)
_UNARY: Mapping[str, tuple[WorkKind, Per]] = {
    "Relu": ("clamp", Per(1)),
    "Clip": ("clamp", Per(2)),
    "Cast": ("scale", Per()),
    "CastLike": ("scale", Per()),
    "Neg": ("scale", Per(1)),
    "QuantizeLinear": ("scale", Per(3, 1)),  # times the scale, plus the zero point, between two bounds
    "DequantizeLinear": ("scale", Per(1, 1)),
    "Quant": ("scale", Per(4, 2)),  # there and back again
    "FakeQuantize": ("scale", Per(4, 2)),
    "BatchNormalization": ("scale", Per(1, 1)),
    "BiasAdd": ("scale", Per(1)),
    **dict.fromkeys(("Abs", "Ceil", "Floor", "IsInf", "IsNaN", "Not", "Round", "Sign"), ("function", Per(1))),
    **dict.fromkeys(
        (
            "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Erf", "Exp", "Log", "QLinearSigmoid",
            "Reciprocal", "Sigmoid", "Sin", "Sinh", "Softplus", "Sqrt", "Tan", "Tanh",
        ),
        ("function", _FUNCTION),
    ),
    "Softsign": ("function", Per(2, 1, 1)),
    "LeakyRelu": ("function", Per(1, 1)),
    "QLinearLeakyRelu": ("function", Per(1, 1)),
    "PRelu": ("function", Per(1, 1)),
    "ThresholdedRelu": ("function", Per(1)),
    "Shrink": ("function", Per(2)),
    "HardSigmoid": ("function", Per(3, 1)),
    "HardSwish": ("function", Per(3, 2)),
    "Elu": ("function", Per(2, 1, 1)),
    "Celu": ("function", Per(2, 2, 1)),
    "Selu": ("function", Per(2, 2, 1)),
    "Mish": ("function", Per(0, 1, 2)),
    "Swish": ("function", Per(0, 1, 1)),
    "QuickGelu": ("function", Per(0, 2, 1)),
    "Gelu": ("function", Per(1, 3, 1)),
    "BiasGelu": ("function", Per(2, 3, 1)),
    "FastGelu": ("function", Per(2, 6, 1)),
}  # fmt: skip
_BINARY: Mapping[str, Per] = {
    **dict.fromkeys(
        (
            "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "Equal", "Greater", "GreaterOrEqual",
            "Less", "LessOrEqual", "Max", "Min", "Or", "Sub", "Sum", "Where", "Xor",
        ),
        Per(1),
    ),
    "Mean": Per(1, 1),
    "Mul": Per(0, 1),
    "Div": Per(0, 1, 1),  # times one over it
    "Mod": Per(1, 2, 1),
    "QLinearAdd": Per(1, 2),
    "QLinearMul": Per(0, 2),
    "QLinearWhere": Per(1, 2),
    "SwiGLU": Per(0, 2, 1),
}  # fmt: skip
_SUMS = frozenset({"Add", "QLinearAdd", "Sum"})
_BOUNDS = frozenset({"Max", "Min"})
_AFFINE = frozenset({"Add", "Div", "Mul", "QLinearAdd", "QLinearMul", "Sub", "Sum"})
_MOVES = frozenset(
    {
        "Concat", "DepthToSpace", "Expand", "Gather", "GatherElements", "GatherND", "OneHot", "Pad", "QLinearConcat",
        "ReorderInput", "ReorderOutput", "ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "Slice",
        "SpaceToDepth", "Split", "TensorScatter", "Tile", "Transpose", "Trilu",
    }
)  # fmt: skip
_REDUCED: Mapping[str, tuple[Per, Per]] = {
    **dict.fromkeys(("ArgMax", "ArgMin", "Hardmax", "ReduceMax", "ReduceMin", "ReduceSum", "CumSum"), (Per(1), Per())),
    "ReduceMean": (Per(1), Per(0, 1)),
    "ReduceProd": (Per(0, 1), Per()),
    "CumProd": (Per(0, 1), Per()),
    "ReduceL1": (Per(2), Per()),
    "ReduceL2": (Per(1, 1), _FUNCTION),
    "ReduceSumSquare": (Per(1, 1), Per()),
    "ReduceLogSum": (Per(1), _FUNCTION),
    "ReduceLogSumExp": (Per(3, 0, 1), Per(1, 0, 1)),
    "GlobalMaxPool": (Per(1), Per()),
    "GlobalAveragePool": (Per(1), Per(0, 1)),
    "QLinearGlobalAveragePool": (Per(1), Per(0, 1)),
    "DynamicQuantizeLinear": (Per(5, 1), Per()),  # the least, the greatest, then as QuantizeLinear
}
"""Per value that is read, and per value that is left."""
_CENTRED = Per(3, 2)  # added up, less the mean, squares added up; squared, over the deviation
_ROOT_MEAN_SQUARE = Per(1, 2)
_NORMALIZED: Mapping[str, tuple[Per, int]] = {
    "LayerNormalization": (_CENTRED, 0),
    "SkipLayerNormalization": (_CENTRED, 1),
    "EmbedLayerNormalization": (_CENTRED, 2),
    "InstanceNormalization": (_CENTRED, 0),
    "GroupNormalization": (_CENTRED, 0),
    "GroupNorm": (_CENTRED, 0),
    "SkipGroupNorm": (_CENTRED, 1),
    "MeanVarianceNormalization": (_CENTRED, 0),
    "RMSNormalization": (_ROOT_MEAN_SQUARE, 0),
    "SimplifiedLayerNormalization": (_ROOT_MEAN_SQUARE, 0),
    "SkipSimplifiedLayerNormalization": (_ROOT_MEAN_SQUARE, 1),
    "LpNormalization": (_ROOT_MEAN_SQUARE, 0),
}
"""Per value, and how many tensors are added before; factors and offsets are counted by the inputs that hold them."""
_SOFTMAX = Per(3, 1, 1)  # the maximum, less it, the total; times one over the total; exp
_SOFTMAXES = frozenset({"BiasSoftmax", "LogSoftmax", "QLinearSoftmax", "Softmax"})


class _UnsizedError(Exception):
    """A size that is not known."""


@dataclass(frozen=True)
class _Node:
    """A node with the sizes around it."""

    node: NodeProto
    tensors: Tensors

    @property
    def op_type(self) -> str:
        """The operator, or that of ONNX which a user says that it stands for."""
        return self.tensors.stands_for.get(operator(self.node), self.node.op_type)

    @property
    def computed(self) -> list[str]:
        """The inputs that are not known before the graph runs."""
        return [name for name in self.node.input if name and name not in self.tensors.constants]

    def shape(self, name: str) -> Shape:
        """Return a shape.

        Raises:
            _UnsizedError: if it is not known.
        """
        shape = self.tensors.known_shape(name)
        if shape is None:
            raise _UnsizedError
        return shape

    def size(self, name: str) -> int:
        """Return how many values a tensor has."""
        return math.prod(self.shape(name))

    @property
    def output(self) -> str:
        """The first output."""
        return next(name for name in self.node.output if name)

    @property
    def written(self) -> int:
        """Values of the first output."""
        return self.size(self.output)

    @property
    def read(self) -> int:
        """Values of the inputs, of constants those that are as large as the output; smaller ones stay on the chip."""
        names = dict.fromkeys(name for name in self.node.input if name)
        held = {name for name in names if name in self.tensors.constants}
        least = max(self.written, 2)
        return sum(size for name in names if (size := self.size(name)) and (name not in held or size >= least))

    def work(self, kind: WorkKind, per: Per, values: int, *, reads: int | None = None, **more: int) -> VectorWork:
        """Return work of so many values, with `more` operations on top."""
        return VectorWork(
            name=operator(self.node),
            kind=kind,
            adds=per.adds * values + more.get("adds", 0),
            multiplies=per.multiplies * values + more.get("multiplies", 0),
            functions=per.functions * values + more.get("functions", 0),
            reads=self.read if reads is None else reads,
            writes=self.written,
        )


def work_of(node: NodeProto, tensors: Tensors) -> VectorWork | None:
    """Return the work of one run of a node without layers, on its own.

    Returns:
        The work, of kind `unknown` where a size or the operator is not known; None for a node that has nothing to do,
        or that is done before inference.
    """
    if node.op_type in VIEWS | _FREE or all(name in tensors.constants for name in node.output if name):
        return None
    seen = _Node(node, tensors)
    if not any(node.output):
        return None
    try:
        found = _found(seen)
    except (_UnsizedError, ValueError, IndexError):  # of a damaged node, as of one whose shapes nobody knows
        found = None
    return VectorWork(operator(node), "unknown") if found is None else found


def _found(node: _Node) -> VectorWork | None:
    """Return the work of a node, None if nobody has described its operator."""
    name = node.op_type
    if name in _UNARY and len(node.computed) <= 1:
        kind, per = _UNARY[name]
        return node.work(kind, per, node.written)
    if name in _BINARY or name == ELEMENTWISE:
        return _pointwise(node)
    if name in _MOVES:
        return _moved(node)
    rule = _RULES.get(name)
    return None if rule is None else rule(node)


def _pointwise(node: _Node) -> VectorWork:
    """Return an operation on several tensors, value by value, of which constants make a simpler one."""
    name, operands, values = node.op_type, node.computed, node.written
    per = _BINARY.get(name, _FUNCTION)
    every = sum(1 for x in node.node.input if x)
    repeated = max(every - 1, 1) if name in ("Max", "Mean", "Min", "Sum") else 1
    if len(set(operands)) > 1:
        equal = len(operands) == 2 and {node.size(x) for x in operands} == {values}
        return node.work("sum" if name in _SUMS and equal else "combine", per, repeated * values)
    if name == "Div" and node.node.input[1] in node.tensors.constants:
        per = Per(0, 1)
    return node.work(_one_operand(name, node), per, repeated * values)


def _power(node: _Node) -> VectorWork:
    exponent = node.tensors.facts[node.node.input[1]].whole if node.node.input[1] in node.tensors.facts else None
    squared = exponent is not None and bool((exponent == 2).all())
    kind: WorkKind = "function" if len(node.computed) == 1 else "combine"
    return node.work(kind, Per(0, 1) if squared else _FUNCTION, node.written)


def _one_operand(name: str, node: _Node) -> WorkKind:
    """Return what an operation on one tensor, constants and itself is."""
    twice = len(node.computed) > 1
    over = name == "Div" and node.node.input[0] in node.tensors.constants
    if twice or over or name not in _AFFINE | _BOUNDS:
        return "function"
    return "clamp" if name in _BOUNDS else "scale"


def _moved(node: _Node) -> VectorWork:
    """Return a move of what is written, or of what is read where that is less.

    Rows behind an input of the graph, as new keys behind those of a cache, are put where the cache lies.
    """
    sizes = [node.size(name) for name in node.computed]
    writes = sum(node.size(name) for name in node.node.output if name)
    if node.op_type in ("Concat", "QLinearConcat"):
        kept = [size for name, size in zip(node.computed, sizes, strict=True) if name not in node.tensors.makers]
        writes -= max(kept, default=0)
    reads = min(writes, sum(sizes)) if node.op_type in ("Expand", "OneHot", "Tile") else writes
    return VectorWork(operator(node.node), "move", reads=reads, writes=writes)


def _pooled(node: _Node) -> VectorWork:
    window = math.prod(option(node.node, "kernel_shape", _NONE))
    average = "Average" in node.op_type
    return node.work("pool", Per(window, int(average)), node.written)


def _reduced(node: _Node) -> VectorWork:
    read, left = _REDUCED[node.op_type]
    values, results = node.size(node.node.input[0]), node.written
    kind: WorkKind = "pool" if "Pool" in node.op_type else "reduce"
    return node.work(
        kind, read, values, reads=values, adds=left.adds * results, multiplies=left.multiplies * results,
        functions=left.functions * results,
    )  # fmt: skip


def _normalized(node: _Node) -> VectorWork:
    per, added = _NORMALIZED[node.op_type]
    values = node.written
    held = [x for x in node.node.input if x and x in node.tensors.constants and 1 < node.size(x) < values]
    factors, offsets = int(len(held) > 0), int(len(held) > 1)
    rows = max(values // _row(node), 1)
    return node.work(
        "normalization",
        Per(per.adds + offsets + added, per.multiplies + factors),
        values,
        multiplies=(2 if per is _CENTRED else 1) * rows,
        functions=rows,
    )


def _row(node: _Node) -> int:
    """Return how many values are normalised together."""
    shape = node.shape(node.output)
    if node.op_type in ("InstanceNormalization", "MeanVarianceNormalization"):
        return math.prod(shape[2:]) or 1
    if "Group" in node.op_type:
        groups = option(node.node, "num_groups", 0) or option(node.node, "groups", 1)
        return math.prod(shape[1:]) // max(groups, 1) or 1
    if node.op_type == "LpNormalization":
        return shape[option(node.node, "axis", -1)] or 1
    return math.prod(shape[option(node.node, "axis", -1) :]) or 1


def _local_response(node: _Node) -> VectorWork:
    size = option(node.node, "size", 1)
    return node.work("normalization", Per(size, size + 1, 1), node.written)


def _softmax(node: _Node) -> VectorWork:
    shape, values = node.shape(node.output), node.written
    row = shape[option(node.node, "axis", -1)] if shape else 1
    added = len(node.computed) > 1  # a bias before
    return node.work("softmax", Per(_SOFTMAX.adds + added, *_SOFTMAX[1:]), values, functions=values // max(row, 1))


def _resized(node: _Node) -> VectorWork:
    mode = option(node.node, "mode", "nearest")
    if mode == "nearest":
        return node.work("move", Per(), 0, reads=node.size(node.node.input[0]))
    before, after = node.shape(node.node.input[0]), node.shape(node.output)
    axes = sum(a != b for a, b in zip(before, after, strict=True))
    taps = (_CUBIC if mode == "cubic" else _LINEAR) ** axes
    return node.work("move", Per(taps - 1, taps), node.written, reads=node.size(node.node.input[0]))


def _rotary(node: _Node) -> VectorWork:
    return node.work("combine", Per(1, 2), node.written)


_RULES: Mapping[str, Callable[[_Node], VectorWork]] = {
    **dict.fromkeys(("AveragePool", "MaxPool", "QLinearAveragePool"), _pooled),
    **dict.fromkeys(_REDUCED, _reduced),
    **dict.fromkeys(_NORMALIZED, _normalized),
    **dict.fromkeys(_SOFTMAXES, _softmax),
    "LRN": _local_response,
    "Pow": _power,
    "Resize": _resized,
    "RotaryEmbedding": _rotary,
    "Upsample": _resized,
}


def softmax_work(values: int, rows: int) -> VectorWork:
    """Return the softmax of scores that a layer puts out, as many values in so many rows."""
    return VectorWork(
        "softmax", "softmax", _SOFTMAX.adds * values, _SOFTMAX.multiplies * values, _SOFTMAX.functions * values + rows,
        reads=values, writes=values, passed=values,
    )  # fmt: skip
