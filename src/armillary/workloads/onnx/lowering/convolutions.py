"""Convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from onnx import NodeProto

from armillary.workloads.onnx.inference.vendors import BLOCKED
from armillary.workloads.onnx.lowering.parts import (
    Lowered,
    Operation,
    Remainder,
    Rule,
    held,
    is_dynamic,
    name_of,
    operation,
)
from armillary.workloads.onnx.nodes import has_input, option, per_axis
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorWork


def conv(node: NodeProto, tensors: Tensors, weights: int = 1, bias: int = 2, *, last: bool = False) -> Lowered:
    """Lower a convolution over any number of axes.

    Of one axis the length is P. Axes before the last two are folded: each output along them is a run (N) whose input
    channels are those of all filter values along them. `last` says that channels are the last axis of the data.
    """
    filters = tensors.shape(node.input[weights], node)
    output = tensors.shape(node.output[0], node)
    inputs = tensors.shape(node.input[0], node)
    if last or option(node, "channels_last", 0):
        inputs, output = ((shape[0], shape[-1], *shape[1:-1]) for shape in (inputs, output))
    axes = len(filters) - 2
    if axes < 1 or len(output) != len(filters) or len(inputs) != len(filters):
        raise ValueError(f"input {inputs}, filter {filters}, output {output}")
    folded = math.prod(filters[2:-2])
    p, q = plane(output[2:])
    r, s = plane(filters[2:])
    stride_h, stride_w = plane(per_axis(node, "strides", axes, 1))
    dilation_h, dilation_w = plane(per_axis(node, "dilations", axes, 1))
    groups = option(node, "group", 1)
    if node.domain == BLOCKED:  # whose channels come in whole blocks
        inputs = (inputs[0], filters[1] * groups, *inputs[2:])
    if inputs[1] != filters[1] * groups:
        raise ValueError(f"input {inputs} and filter {filters} in {groups} groups")
    yield from operation(
        name_of(node), "depthwise" if 1 < groups == inputs[1] * folded else "conv",
        N=inputs[0] * math.prod(output[2:-2]), K=filters[0], C=inputs[1] * folded, P=p, Q=q, R=r, S=s,
        stride_h=stride_h, stride_w=stride_w, dilation_h=dilation_h, dilation_w=dilation_w, groups=groups,
        bias=has_input(node, bias), dynamic=is_dynamic(node, tensors, weights), weights=held(node, tensors, weights),
        bias_of=held(node, tensors, bias), channel_axis=-1 - axes,
    )  # fmt: skip


def plane(values: Sequence[int]) -> tuple[int, int]:
    """Return the values of the last two of several axes; one axis is a height."""
    return (values[0], 1) if len(values) == 1 else (values[-2], values[-1])


def deformable(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower a deformable convolution: a convolution of inputs that are gathered between the pixels beside the array."""
    for part in conv(node, tensors, bias=3):
        yield part
        if isinstance(part, Operation):
            layer = part.layer
            yield _gathered(layer.N * layer.C * layer.P * layer.Q * layer.R * layer.S)


def _gathered(values: int) -> Remainder:
    """Return inputs between four pixels each, as bilinear interpolation takes them."""
    work = VectorWork("gather", "move", adds=3 * values, multiplies=4 * values, reads=4 * values, writes=values)
    return Remainder("gather", 2 * values, work)


def conv_transpose(node: NodeProto, tensors: Tensors) -> Lowered:
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
    p, q = plane(inputs[2:])
    for part in operation(
        name_of(node), "depthwise" if 1 < groups == inputs[1] else "conv",
        N=inputs[0] * math.prod(inputs[2:-2]), K=filters[1] * groups * taps, C=inputs[1], P=p, Q=q, groups=groups,
        bias=has_input(node, 2), outputs_per_bias=taps, dynamic=is_dynamic(node, tensors, 1),
        weights=held(node, tensors, 1), bias_of=held(node, tensors, 2), channel_axis=1 - len(filters),
    ):  # fmt: skip
        yield part
        taken, written = part.layer.outputs, math.prod(tensors.shape(node.output[0], node))
        work = VectorWork("col2im", "reduce", adds=taken, reads=taken, writes=written, passed=taken)
        yield Remainder("col2im", taken + written, work)


def causal_conv(node: NodeProto, tensors: Tensors) -> Lowered:
    """Lower CausalConvWithState: one filter per channel along the last axis, as many outputs as inputs."""
    batch, channels, length = tensors.shape(node.input[0], node)
    filters = tensors.shape(node.input[1], node)
    if filters[0] != channels:
        raise ValueError(f"input {(batch, channels, length)} and filter {filters}")
    yield from operation(
        name_of(node), "depthwise" if channels > 1 else "conv",
        N=batch, K=channels, C=channels, P=length, R=filters[-1], groups=channels, bias=has_input(node, 2),
        dynamic=is_dynamic(node, tensors, 1), weights=held(node, tensors, 1), bias_of=held(node, tensors, 2),
        channel_axis=-2,
    )  # fmt: skip


RULES: Mapping[str, Rule] = {
    "CausalConvWithState": causal_conv,
    "Conv": conv,
    "ConvInteger": lambda node, tensors: conv(node, tensors, bias=4),
    "ConvTranspose": conv_transpose,
    "DeformConv": deformable,
    "QLinearConv": lambda node, tensors: conv(node, tensors, weights=3, bias=8),
}
_NHWC = partial(conv, last=True)
MICROSOFT: Mapping[str, Rule] = {
    "CausalConvWithState": causal_conv,
    "Conv": conv,
    "FusedConv": conv,
    "NhwcConv": _NHWC,
    "NhwcFusedConv": _NHWC,
    "QLinearConv": lambda node, tensors: conv(node, tensors, weights=3, bias=8),
}
