"""Every mapped operator beside its definition: shapes from ONNX's reference implementation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer, LayerUse, Workload

Import = Callable[..., Workload]
Model = Callable[..., onnx.ModelProto]
few = settings(max_examples=60, deadline=None)


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def only(workload: Workload) -> LayerUse:
    assert len(workload.layers) == 1
    return workload.layers[0]


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.integers(1, 3))
    per_axis = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    kernel, strides, dilations = draw(per_axis), draw(per_axis), draw(per_axis)
    groups, inner, outer = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = [draw(st.integers((k - 1) * d + 1, 9)) for k, d in zip(kernel, dilations, strict=True)]
    options: dict[str, Any] = {"group": groups, "strides": strides, "dilations": dilations, "kernel_shape": kernel}
    padding = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER", "NOTSET"]))
    if padding == "pads":
        options["pads"] = draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes))
    else:
        options["auto_pad"] = padding
    batch = draw(st.integers(1, 2))
    return {
        "x": [batch, groups * inner, *size],
        "w": [groups * outer, inner, *kernel],
        "bias": draw(st.booleans()),
        "options": options,
    }


@few
@given(case=convolutions())
def test_conv_has_one_mac_per_output_and_filter_value(case: dict[str, Any], imported: Import, model: Model) -> None:
    weights = {"w": floats(*case["w"])} | ({"b": floats(case["w"][0])} if case["bias"] else {})
    made = model([helper.make_node("Conv", ["x", *weights], ["y"], **case["options"])], {"x": case["x"]}, weights)
    inferred = onnx.shape_inference.infer_shapes(made).graph.output[0].type.tensor_type.shape
    output = [d.dim_value for d in inferred.dim]
    workload = imported(made)
    layer = only(workload).layer
    assert workload.macs == math.prod(output) * math.prod(case["w"][1:])
    assert workload.parameters == sum(w.size for w in weights.values())
    assert layer.outputs == math.prod(output)
    assert (layer.kind == "depthwise") == (layer.groups == layer.C > 1)
    assert ((output[2], 1) if len(output) == 3 else tuple(output[-2:])) == (layer.P, layer.Q)


def test_conv_keeps_stride_dilation_and_groups(imported: Import) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 1], dilations=[1, 2], group=2, pads=[1, 2, 1, 2])
    layer = only(imported([node], {"x": [1, 4, 16, 16]}, {"w": floats(6, 2, 3, 3)})).layer
    expected = Layer(
        "y", "conv", K=6, C=4, P=8, Q=16, R=3, S=3, stride_h=2, dilation_w=2, groups=2,
    )  # fmt: skip
    assert layer == expected
    assert layer.name == "y"


@pytest.mark.parametrize(("channels", "outputs", "kind"), [(4, 4, "depthwise"), (4, 8, "depthwise"), (1, 4, "conv")])
def test_depthwise_is_one_group_per_channel_of_several(
    channels: int, outputs: int, kind: str, imported: Import
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=channels)
    assert only(imported([node], {"x": [1, channels, 5, 5]}, {"w": floats(outputs, 1, 3, 3)})).layer.kind == kind


def test_conv_with_computed_filters_has_no_parameters(imported: Import) -> None:
    workload = imported([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 3, 8, 8], "w": [4, 3, 3, 3]})
    assert workload.parameters == 0
    assert only(workload).layer.dynamic


@few
@given(
    axes=st.integers(1, 2),
    groups=st.integers(1, 3),
    inner=st.integers(1, 3),
    outer=st.integers(1, 3),
    stride=st.integers(1, 3),
    kernel=st.integers(1, 3),
    bias=st.booleans(),
    data=st.data(),
)
def test_conv_transpose_meets_every_input_with_every_tap(
    axes: int, groups: int, inner: int, outer: int, stride: int, kernel: int, bias: bool, data: st.DataObject,
    imported: Import,
) -> None:  # fmt: skip
    pads = data.draw(st.integers(0, kernel - 1))
    x = [2, groups * inner, *[data.draw(st.integers(3, 6)) for _ in range(axes)]]
    weights = {"w": floats(groups * inner, outer, *[kernel] * axes)} | ({"b": floats(groups * outer)} if bias else {})
    options = {"strides": [stride] * axes, "pads": [pads] * 2 * axes, "group": groups}
    workload = imported([helper.make_node("ConvTranspose", ["x", *weights], ["y"], **options)], {"x": x}, weights)
    assert workload.macs == math.prod(x) * outer * kernel**axes
    assert workload.parameters == sum(w.size for w in weights.values())
    output = [(size - 1) * stride + kernel - 2 * pads for size in x[2:]]
    columns = only(workload).layer.outputs
    assert columns == x[0] * groups * outer * math.prod(x[2:]) * kernel**axes
    assert [(row.op_type, row.bytes_moved) for row in workload.not_mapped] == [
        ("ConvTranspose:col2im", 4 * (columns + x[0] * groups * outer * math.prod(output)))
    ]


@st.composite
def products(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    m, k, n = (draw(st.integers(1, 4)) for _ in range(3))
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    left = [draw(st.sampled_from([1, size])) for size in batch]
    right = [draw(st.sampled_from([1, size])) for size in batch]
    left, right = left[draw(st.integers(0, len(left))) :], right[draw(st.integers(0, len(right))) :]
    a = [k] if not left and draw(st.booleans()) else [*left, m, k]
    b = [k] if not right and draw(st.booleans()) else [*right, k, n]
    return a, b


@few
@given(shapes=products(), constant=st.sampled_from(["", "a", "b"]))
def test_matmul_broadcasts_like_numpy(shapes: tuple[list[int], list[int]], constant: str, imported: Import) -> None:
    given = dict(zip("ab", shapes, strict=True))
    result = np.matmul(floats(*given["a"]), floats(*given["b"]))
    constants = {constant: floats(*given.pop(constant))} if constant else {}
    workload = imported([helper.make_node("MatMul", ["a", "b"], ["y"])], given, constants)
    layer = only(workload).layer
    assert workload.macs == result.size * shapes[0][-1]
    assert layer.outputs == result.size
    assert layer.inputs + layer.weights == math.prod(shapes[0]) + math.prod(shapes[1])
    assert workload.parameters == sum(value.size for value in constants.values())
    assert layer.dynamic == (not constant)


def test_matmul_of_a_batch_with_one_weight_is_one_tall_gemm(imported: Import) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    layer = only(imported([node], {"x": [4, 12, 32]}, {"w": floats(32, 64)})).layer
    assert layer == Layer("y", "gemm", K=64, C=32, P=48)


def test_attention_scores_are_one_group_per_head(imported: Import) -> None:
    layer = only(imported([helper.make_node("MatMul", ["q", "k"], ["y"])], {"q": [2, 8, 10, 16], "k": [2, 8, 16, 10]}))
    assert layer.layer == Layer("y", "gemm", K=160, C=256, P=10, groups=16, dynamic=True)


@few
@given(
    m=st.integers(1, 4), k=st.integers(1, 4), n=st.integers(2, 4), flip=st.tuples(st.booleans(), st.booleans()),
    added=st.sampled_from([None, "n", "1n", "scalar", "mn"]),
)  # fmt: skip
def test_gemm_counts_its_product_and_bias(
    m: int, k: int, n: int, flip: tuple[bool, bool], added: str | None, imported: Import
) -> None:
    assume(added != "mn" or m > 1)
    shape = {"n": (n,), "1n": (1, n), "scalar": (), "mn": (m, n)}
    weights = {"b": floats(*((n, k) if flip[1] else (k, n)))} | ({"c": floats(*shape[added])} if added else {})
    node = helper.make_node("Gemm", ["a", *weights], ["y"], transA=int(flip[0]), transB=int(flip[1]))
    workload = imported([node], {"a": [k, m] if flip[0] else [m, k]}, weights)
    assert workload.macs == m * k * n
    biased = added in ("n", "1n")
    assert only(workload).layer == Layer("y", "gemm", K=n, C=k, P=m, bias=biased)
    assert [row.op_type for row in workload.not_mapped] == ([] if biased or added is None else ["Gemm:add"])


def test_a_constant_added_per_channel_is_a_bias(imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["b", "p"], ["h"]),
        helper.make_node("Reshape", ["h", "shape"], ["image"]),
        helper.make_node("Conv", ["image", "f"], ["c"]),
        helper.make_node("Add", ["c", "e"], ["y"]),
    ]
    constants = {
        "w": floats(6, 16), "b": floats(16), "shape": np.array([1, 4, 4, 4]), "f": floats(5, 4, 3, 3),
        "e": floats(5, 1, 1),
    }  # fmt: skip
    workload = imported(nodes, {"x": [4, 6]}, constants)
    assert workload.parameters == sum(constants[name].size for name in "wbfe")
    assert [row.op_type for row in workload.not_mapped] == ["Reshape"]


@pytest.mark.parametrize("case", ["residual", "read twice", "per row", "an output"])
def test_an_add_that_is_no_bias_stays_beside(case: str, imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "z" if case == "residual" else "b"], ["y"]),
    ]
    if case == "read twice":
        nodes.append(helper.make_node("Mul", ["p", "y"], ["u"]))
    constants = {"w": floats(6, 6), "b": floats(4, 1) if case == "per row" else floats(6)}
    outputs = ["p", "y"] if case == "an output" else ()
    workload = imported(nodes, {"x": [4, 6], "z": [4, 6]}, constants, outputs=outputs)
    assert workload.parameters == 36
    assert workload.not_mapped[0].op_type == "Add"


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", [0, 1])
def test_recurrent_layers_have_exact_parameters_and_macs(
    op_type: str, gates: int, direction: str, bias: bool, layout: int, imported: Import
) -> None:
    directions, steps, batch, features, hidden = (2 if direction == "bidirectional" else 1), 7, 3, 5, 4
    weights = {"w": floats(directions, gates * hidden, features), "r": floats(directions, gates * hidden, hidden)}
    if bias:
        weights["b"] = floats(directions, 2 * gates * hidden)
    node = helper.make_node(op_type, ["x", *weights], ["y"], hidden_size=hidden, direction=direction, layout=layout)
    x = [batch, steps, features] if layout else [steps, batch, features]
    workload = imported([node], {"x": x}, weights)
    assert workload.parameters == sum(w.size for w in weights.values())
    assert workload.macs == steps * batch * (weights["w"].size + weights["r"].size)
    assert workload.count("gemm") == 2 * directions
    whole, step = workload.layers
    assert (whole.layer.P, whole.count, whole.weight_sets) == (steps * batch, directions, directions)
    assert (step.layer.P, step.count, step.weight_sets) == (batch, steps * directions, directions)
    assert [row.op_type for row in workload.not_mapped] == [f"{op_type}:gates"]


@pytest.mark.parametrize(("heads", "shared", "apart"), [(8, 8, True), (8, 2, True), (8, 2, False), (4, 1, False)])
def test_attention_is_two_gemms_per_head(heads: int, shared: int, apart: bool, imported: Import) -> None:
    batch, rows, length, past, width, values = 2, 5, 6, 3, 16, 8

    def shape(h: int, n: int, w: int) -> list[int]:
        return [batch, h, n, w] if apart else [batch, n, h * w]

    inputs = {
        "q": shape(heads, rows, width), "k": shape(shared, length, width), "v": shape(shared, length, values),
        "pk": [batch, shared, past, width], "pv": [batch, shared, past, values],
    }  # fmt: skip
    options = {} if apart else {"q_num_heads": heads, "kv_num_heads": shared}
    node = helper.make_node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"], **options)
    workload = imported([node], inputs, opset=23, outputs=["y", "nk", "nv"])
    total = past + length
    assert workload.macs == batch * heads * rows * total * (width + values)
    assert workload.parameters == 0
    keys, mixed = (use.layer for use in workload.layers)
    assert (keys.weights, mixed.weights) == (batch * shared * total * width, batch * shared * total * values)
    assert [row.op_type for row in workload.not_mapped] == ["Attention:softmax"]


@pytest.mark.parametrize(
    ("equation", "left", "right", "expected"),
    [
        ("bhqd,bhkd->bhqk", [2, 3, 5, 4], [2, 3, 6, 4], Layer("y", "gemm", K=36, C=24, P=5, groups=6, dynamic=True)),
        ("ij, jk -> ik", [3, 4], [4, 5], Layer("y", "gemm", K=5, C=4, P=3, dynamic=True)),
        ("abc,cd->abd", [2, 3, 4], [4, 5], Layer("y", "gemm", K=5, C=4, P=6, dynamic=True)),
    ],
)
def test_einsum_over_common_indices_is_a_gemm(
    equation: str, left: list[int], right: list[int], expected: Layer, imported: Import
) -> None:
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)
    assert only(imported([node], {"a": left, "b": right})).layer == expected


@pytest.mark.parametrize("equation", ["ij,ij->ij", "ii,ij->ij", "i...,...->i..."])
def test_other_einsums_stay_beside(equation: str, imported: Import) -> None:
    nodes = [
        helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation),
        helper.make_node("MatMul", ["a", "b"], ["z"]),
    ]
    workload = imported(nodes, {"a": [3, 3], "b": [3, 3]}, outputs=["y", "z"])
    assert [row.op_type for row in workload.not_mapped] == ["Einsum"]
    assert workload.macs == 27


def test_a_constant_left_operand_is_the_weights_of_an_einsum(imported: Import) -> None:
    node = helper.make_node("Einsum", ["w", "x"], ["y"], equation="ok,nk->no")
    layer = only(imported([node], {"x": [5, 4]}, {"w": floats(3, 4)})).layer
    assert layer == Layer("y", "gemm", K=3, C=4, P=5)


def test_integer_convolutions_and_products_are_mapped(imported: Import) -> None:
    scale, zero = np.float32(1.0), np.uint8(0)
    constants = {
        "s": scale, "z": zero, "wz": np.int8(0), "w": np.ones((4, 3, 3, 3), np.int8), "b": np.ones(4, np.int32),
        "m": np.ones((6, 5), np.int8), "w2": np.ones((2, 4, 1, 1), np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("QLinearConv", ["xq", "s", "z", "w", "s", "wz", "s", "z", "b"], ["c"]),
        helper.make_node("ConvInteger", ["c", "w2"], ["d"]),
        helper.make_node("QLinearMatMul", ["c", "s", "z", "m", "s", "wz", "s", "z"], ["e"]),
        helper.make_node("MatMulInteger", ["e", "n"], ["y"]),
    ]
    constants["n"] = np.ones((5, 7), np.int8)
    workload = imported(nodes, {"x": [1, 3, 8, 8]}, constants, outputs=["d", "y"])
    macs = 4 * 36 * 27 + 2 * 36 * 4 + 4 * 36 * 5 + 4 * 6 * 5 * 7
    assert workload.macs == macs
    assert workload.parameters == sum(constants[name].size for name in ("w", "b", "w2", "m", "n"))
    # x as float, its scale and zero point, and the result as bytes
    assert [(row.op_type, row.bytes_moved) for row in workload.not_mapped] == [
        ("QuantizeLinear", 4 * 192 + 4 + 1 + 192)
    ]


def test_weights_that_are_rearranged_or_dequantised_are_parameters(imported: Import) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["wq", "s"], ["w"]),
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "wt"], ["y"]),
    ]
    workload = imported(nodes, {"x": [2, 4]}, {"wq": np.ones((8, 4), np.int8), "s": np.float32(1)})
    assert workload.parameters == 32
    assert [(r.op_type, r.count, r.bytes_moved) for r in workload.not_mapped] == [
        ("DequantizeLinear", 1, 0),
        ("Transpose", 1, 0),
    ]


def test_weights_that_two_layers_share_are_learned_once(imported: Import) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    workload = imported(nodes, {"x": [1, 4, 8, 8]}, {"w": floats(4, 4, 3, 3)})
    assert workload.parameters == 144
    assert workload.count("conv") == 2


def test_a_weight_with_two_biases_is_learned_once(imported: Import) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "a"], ["h"]), helper.make_node("Gemm", ["h", "w", "b"], ["y"])]
    workload = imported(nodes, {"x": [1, 16]}, {"w": floats(16, 16), "a": floats(16), "b": floats(16)})
    assert (workload.macs, workload.parameters) == (512, 256 + 32)


@pytest.mark.parametrize("order", ["whole first", "parts first"])
def test_a_weight_and_its_slices_are_learned_once(order: str, imported: Import) -> None:
    parts = [
        helper.make_node("Slice", ["w", f"s{i}", f"e{i}", "axis"], [f"w{i}"]) for i in range(2)
    ] + [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(2)]  # fmt: skip
    whole = [helper.make_node("MatMul", ["x", "w"], ["z"])]
    constants = {
        "w": floats(8, 12), "s0": np.array([0]), "e0": np.array([4]), "s1": np.array([2]), "e1": np.array([12]),
        "axis": np.array([1]),
    }  # fmt: skip
    nodes = [*whole, *parts] if order == "whole first" else [*parts, *whole]
    workload = imported(nodes, {"x": [3, 8]}, constants, outputs=["y0", "y1", "z"])
    assert workload.macs == 3 * 8 * (4 + 10 + 12)
    assert workload.parameters == 96


def test_equal_slices_by_different_nodes_are_one(imported: Import) -> None:
    nodes = [helper.make_node("Gather", ["w", f"i{i}"], [f"w{i}"], axis=0) for i in range(3)]
    nodes += [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(3)]
    constants = {"w": floats(5, 8, 4), "i0": np.array(1), "i1": np.array(1), "i2": np.array(3)}
    assert imported(nodes, {"x": [3, 8]}, constants, outputs=["y0", "y1", "y2"]).parameters == 2 * 32


def test_weights_on_the_left_have_their_bias_on_the_rows(imported: Import) -> None:
    nodes = [helper.make_node("MatMul", ["w", "x"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])]
    workload = imported(nodes, {"x": [32, 20]}, {"w": floats(16, 32), "b": floats(16, 1)})
    assert (workload.macs, workload.parameters, workload.not_mapped) == (16 * 32 * 20, 16 * 32 + 16, ())
    along = imported(nodes, {"x": [32, 16]}, {"w": floats(16, 32), "b": floats(16)})
    assert (along.parameters, [row.op_type for row in along.not_mapped]) == (16 * 32, ["Add"])


@pytest.mark.parametrize("axis", ["kept", "moved", "split"])
def test_a_bias_behind_a_reshape_is_that_of_the_layer(axis: str, imported: Import) -> None:
    shape = {"kept": [2, 2, 16], "moved": [2, 2, 16], "split": [4, 2, 8]}[axis]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "to"], ["r"]),
        *([helper.make_node("Transpose", ["r"], ["t"], perm=[2, 0, 1])] if axis == "moved" else []),
        helper.make_node("Add", ["t" if axis == "moved" else "r", "b"], ["y"]),
    ]
    bias = {"kept": floats(16), "moved": floats(16, 1, 1), "split": floats(8)}[axis]
    workload = imported(nodes, {"x": [4, 16]}, {"w": floats(16, 16), "to": np.array(shape), "b": bias})
    assert workload.parameters == 256 + (16 if axis != "split" else 0)
    assert ("Add" in [row.op_type for row in workload.not_mapped]) == (axis == "split")


@pytest.mark.parametrize("form", ["dynamic", "qdq", "qop"])
def test_a_bias_behind_the_scale_of_integers_is_that_of_the_layer(form: str, imported: Import, model: Model) -> None:
    quantised = {"s": np.float32(1), "z": np.uint8(0), "w": np.ones((16, 8), np.uint8), "b": floats(8)}
    nodes = {
        "dynamic": [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
            helper.make_node("MatMulInteger", ["q", "w", "qz", "z"], ["p"]),
            helper.make_node("Cast", ["p"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["qs", "s"], ["scale"]),
            helper.make_node("Mul", ["f", "scale"], ["g"]),
            helper.make_node("Add", ["b", "g"], ["y"]),
        ],
        "qdq": [
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"]),
            helper.make_node("MatMul", ["x", "wf"], ["p"]),
            helper.make_node("QuantizeLinear", ["p", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["g"]),
            helper.make_node("Add", ["g", "b"], ["y"]),
        ],
        "qop": [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("QuantizeLinear", ["b", "s", "z"], ["bq"]),
            helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"]),
            helper.make_node("QLinearAdd", ["p", "s", "z", "bq", "s", "z", "s", "z"], ["y"], domain="com.microsoft"),
        ],
    }[form]
    made = model(nodes, {"x": [4, 16]}, quantised)
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    workload = imported(made)
    assert (workload.macs, workload.parameters) == (4 * 16 * 8, 16 * 8 + 8)


def test_a_product_without_operands_is_refused(imported: Import) -> None:
    with pytest.raises(ArmillaryError, match="MatMul node 'y' cannot be read"):
        imported([helper.make_node("MatMul", [], ["y"])], {"x": [4, 16]})


def test_a_gate_is_no_scale(imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Mul", ["m", "gate"], ["g"]),
        helper.make_node("Add", ["g", "b"], ["y"]),
    ]
    workload = imported(nodes, {"x": [4, 16], "gate": [4, 8]}, {"w": floats(16, 8), "b": floats(8)})
    assert workload.parameters == 128


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("outputs", [["y"], ["", "h"], ["y", "h"]])
def test_recurrent_layers_may_leave_outputs_out(op_type: str, outputs: list[str], imported: Import) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type] * 8
    weights = {"w": floats(1, gates, 6), "r": floats(1, gates, 8)}
    node = helper.make_node(op_type, ["x", "w", "r"], outputs, hidden_size=8)
    workload = imported([node], {"x": [10, 1, 6]}, weights, outputs=[name for name in outputs if name])
    assert (workload.macs, workload.parameters) == (10 * gates * 14, gates * 14)


def test_convolutions_over_four_axes_are_folded(imported: Import) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    workload = imported([node], {"x": [1, 2, 4, 4, 4, 4]}, {"w": floats(3, 2, 2, 2, 2, 2)})
    assert (workload.macs, workload.parameters) == (81 * 96, 96)
    layer = only(workload).layer
    assert (layer.N, layer.C, layer.P, layer.Q) == (9, 8, 3, 3)


@pytest.mark.parametrize(
    ("op_type", "options", "macs", "parameters"),
    [
        ("LinearRegressor", {"coefficients": [1.0] * 12, "intercepts": [0.0] * 3, "targets": 3}, 5 * 12, 15),
        (
            "SVMRegressor",
            {"support_vectors": [1.0] * 8, "coefficients": [1.0] * 2, "kernel_type": "RBF", "n_supports": 2},
            5 * (8 + 2),
            10,
        ),
    ],
)
def test_classical_models_are_products(
    op_type: str, options: dict[str, Any], macs: int, parameters: int, imported: Import, model: Model
) -> None:
    node = helper.make_node(op_type, ["x"], ["y"], domain="ai.onnx.ml", **options)
    made = model([node, helper.make_node("Erf", ["y"], ["z"])], {"x": [5, 4]})
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    workload = imported(made)
    assert (workload.macs, workload.parameters) == (macs, parameters)


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (
            helper.make_node("Conv", ["x", "w"], ["y"], name="c1"),
            {"x": [1, 3, 8, 8], "w": [4, 2, 3, 3]},
            "Conv node 'c1'",
        ),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": [2, 3], "w": [4, 5]}, "MatMul node 'y'"),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[5, 5]),
            {"x": [1, 3, 8, 8], "w": [4, 3, 3, 3]},
            r"Conv node 'y' cannot be read: kernel_shape=\[5, 5\] and a filter of \[3, 3\]",
        ),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1]),
            {"x": [1, 3, 8, 8], "w": [4, 3, 3, 3]},
            r"pads=\[1, 1\] has 2 values for 4 axes",
        ),
        (
            helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8),
            {"x": [5, 2, 6], "w": [2**40, 32, 6], "r": [2**40, 32, 8]},
            "weights of 1099511627776 directions for direction='forward'",
        ),
        (
            helper.make_node("Split", ["x"], ["y"], num_outputs=2**40),
            {"x": [5, 2]},
            "num_outputs=1099511627776 and 1 outputs",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    node: onnx.NodeProto, inputs: dict[str, list[int]], message: str, imported: Import
) -> None:
    with pytest.raises(ArmillaryError, match=message):
        imported([node], inputs)


def test_the_reference_implementation_agrees_on_a_grouped_strided_conv(imported: Import, model: Model) -> None:
    """Count MACs by running: ones convolved with ones give the taps that padding leaves."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 2])
    made = model([node], {"x": [1, 4, 9, 9]}, {"w": floats(6, 2, 3, 3)})
    (result,) = ReferenceEvaluator(made).run(None, {"x": floats(1, 4, 9, 9)})
    assert imported(made).macs == int(result.sum())


def test_element_types_of_conv_do_not_change_its_layer(imported: Import, model: Model) -> None:
    made = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 3, 8, 8]}, {"w": floats(4, 3, 3, 3)})
    half = onnx.ModelProto()
    half.CopyFrom(made)
    for value in (half.graph.input[0], half.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    half.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float16), "w"))
    assert imported(half).layers == imported(made).layers
