"""Operators outside ONNX's own set: their work, and the shapes that go on behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload
from armillary.workloads.onnx.importer import import_onnx

Import = Callable[..., Workload]
Model = Callable[..., onnx.ModelProto]


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def bytes_(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.uint8)


def run(
    imported: Import, model: Model, nodes: list[onnx.NodeProto], inputs: dict[str, Any], constants: dict[str, Any],
    domain: str = "com.microsoft", **more: Any,
) -> Workload:  # fmt: skip
    """Import nodes of a domain; those of ONNX's own are given without one."""
    made = model(nodes, inputs, constants)
    made.opset_import.append(helper.make_opsetid(domain, 1))
    return imported(made, **more)


def node(
    op_type: str, inputs: list[str], outputs: list[str], domain: str = "com.microsoft", **more: Any
) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, outputs, domain=domain, **more)


def behind(name: str) -> onnx.NodeProto:
    """A product that needs the shape of a tensor of 8 features."""
    return helper.make_node("MatMul", [name, "last"], ["y"])


SCALES = {"s": np.float32(1), "z": np.uint8(0), "last": floats(8, 3)}
SAME = [
    node("Gelu", ["x"], ["h"]),
    node("BiasGelu", ["x", "b"], ["h"]),
    node("FastGelu", ["x"], ["h"]),
    node("QuickGelu", ["x"], ["h"]),
    node("SkipLayerNormalization", ["x", "x", "b", "b"], ["h"]),
    node("SkipSimplifiedLayerNormalization", ["x", "x", "b"], ["", "", "", "h"]),
    node("SimplifiedLayerNormalization", ["x", "b"], ["h"], domain=""),
    node("RotaryEmbedding", ["x", "p", "c", "c"], ["h"]),
    node("QLinearAdd", ["x", "s", "z", "x", "s", "z", "s", "z"], ["h"]),
    node("QLinearMul", ["x", "s", "z", "b", "s", "z", "s", "z"], ["h"]),
    node("QLinearSigmoid", ["x", "s", "z", "s", "z"], ["h"]),
    node("Quant", ["x", "s", "z", "s"], ["h"], domain="qonnx.custom_op.general", signed=1),
    node("BipolarQuant", ["x", "s"], ["h"], domain="qonnx.custom_op.general"),
    node("Quant", ["x", "s", "z", "s"], ["h"], domain="onnx.brevitas"),
    node("FakeQuantize", ["x", "s", "s", "s", "s"], ["h"], domain="org.openvinotoolkit", levels=256),
    node("TRT_FP8QuantizeLinear", ["x", "s"], ["h"], domain="trt"),
    node("VitisQuantizeLinear", ["x", "s", "z"], ["h"], domain="com.vai.quantize"),
]


@pytest.mark.parametrize("given", SAME, ids=lambda given: f"{given.domain}.{given.op_type}")
def test_operators_that_keep_a_shape_pass_it_on(given: onnx.NodeProto, imported: Import, model: Model) -> None:
    constants = SCALES | {"b": floats(8), "p": np.array([[0, 1]]), "c": floats(4, 4)}
    workload = run(imported, model, [given, behind("h")], {"x": [2, 5, 8]}, constants, given.domain)
    assert workload.macs == 2 * 5 * 8 * 3
    assert workload.unknown_work == ()


@pytest.mark.parametrize(
    ("given", "inputs", "macs", "parameters"),
    [
        (node("FusedMatMul", ["a", "w"], ["h"], transA=1), {"a": [2, 6, 5]}, 2 * 5 * 6 * 8, 48),
        (node("FusedMatMul", ["a", "c"], ["h"], transB=1), {"a": [2, 5, 6], "c": [2, 8, 6]}, 2 * 5 * 6 * 8, 0),
        (node("FusedGemm", ["a", "w", "b8"], ["h"], activation="Relu"), {"a": [5, 6]}, 5 * 6 * 8, 48 + 8),
        (node("MatMulNBits", ["a", "q", "s8"], ["h"], K=6, N=8, bits=4, block_size=16), {"a": [2, 5, 6]}, 480, 48),
        (node("DynamicQuantizeMatMul", ["a", "w8", "s", "z", "b8"], ["h"]), {"a": [5, 6]}, 5 * 48, 48 + 8),
        (node("QGemm", ["a", "s", "z", "w8", "s", "z", "b8"], ["h"]), {"a": [5, 6]}, 5 * 48, 48 + 8),
        (node("MatMulIntegerToFloat", ["a", "w8", "s", "s"], ["h"]), {"a": [5, 6]}, 5 * 48, 48),
    ],
    ids=lambda given: given.op_type if isinstance(given, onnx.NodeProto) else None,
)  # fmt: skip
def test_products_of_onnx_runtime_are_layers(
    given: onnx.NodeProto, inputs: dict[str, Any], macs: int, parameters: int, imported: Import, model: Model
) -> None:
    constants = SCALES | {
        "w": floats(6, 8), "w8": bytes_(6, 8), "b8": floats(8), "q": bytes_(8, 1, 8), "s8": floats(8),
    }  # fmt: skip
    workload = run(imported, model, [given, behind("h")], inputs, constants)
    rows = macs // 48
    assert workload.macs == macs + rows * 24
    assert workload.parameters == parameters + 24


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("past", [0, 7])
def test_attention_with_its_projections_is_three_products(
    quantized: bool, past: int, imported: Import, model: Model
) -> None:
    batch, rows, width, heads = 2, 5, 8, 2
    inputs: dict[str, Any] = {"x": [batch, rows, width]}
    if past:
        inputs["p"] = [2, batch, heads, past, width // heads]
    names = ["x", "w", "b", "s", "s", "", "z", "z"] if quantized else ["x", "w", "b", ""]
    given = node(
        "QAttention" if quantized else "Attention", [*names, "p"][: 9 if past else len(names)], ["h"], num_heads=heads
    )
    workload = run(imported, model, [given, behind("h")], inputs, SCALES | {"w": floats(8, 24), "b": floats(24)})
    attention = 2 * batch * rows * (past + rows) * width
    assert workload.macs == batch * rows * 8 * 24 + attention + batch * rows * 24
    assert workload.parameters == 8 * 24 + 24 + 24


@pytest.mark.parametrize("packing", ["apart", "qkv", "kv", "past"])
def test_multi_head_attention_in_every_packing(packing: str, imported: Import, model: Model) -> None:
    batch, rows, length, heads = 2, 5, 6, 2
    inputs = {
        "apart": {"q": [batch, rows, 8], "k": [batch, length, 8], "v": [batch, length, 8]},
        "qkv": {"q": [batch, rows, heads, 3, 4]},
        "kv": {"q": [batch, rows, 8], "k": [batch, length, heads, 2, 4]},
        "past": {"q": [batch, rows, 8], "k": [batch, rows, 8], "v": [batch, rows, 8], "pk": [batch, heads, 7, 4],
                 "pv": [batch, heads, 7, 4]},
    }[packing]  # fmt: skip
    names = {"past": ["q", "k", "v", "", "", "", "pk", "pv"], "qkv": ["q"], "kv": ["q", "k"]}.get(
        packing, ["q", "k", "v"]
    )
    nodes = [node("MultiHeadAttention", names, ["h"], num_heads=heads), behind("h")]
    total = {"qkv": rows, "past": rows + 7}.get(packing, length)
    workload = run(imported, model, nodes, inputs, SCALES)
    assert workload.macs == 2 * batch * rows * total * 8 + batch * rows * 24


@pytest.mark.parametrize("packed", [False, True])
def test_grouped_query_attention_shares_keys(packed: bool, imported: Import, model: Model) -> None:
    batch, rows, past, heads, shared, width = 2, 3, 7, 4, 2, 2
    inputs: dict[str, Any] = {"pk": [batch, shared, past, width], "pv": [batch, shared, past, width]}
    inputs |= {"q": [batch, rows, (heads + 2 * shared) * width]} if packed else {
        "q": [batch, rows, heads * width], "k": [batch, rows, shared * width], "v": [batch, rows, shared * width],
    }  # fmt: skip
    names = ["q", "", "", "pk", "pv"] if packed else ["q", "k", "v", "pk", "pv"]
    nodes = [node("GroupQueryAttention", names, ["h", "nk", "nv"], num_heads=heads, kv_num_heads=shared), behind("h")]
    workload = run(imported, model, nodes, inputs, SCALES)
    assert workload.macs == 2 * batch * heads * rows * (past + rows) * width + batch * rows * 24
    assert [use.layer.groups for use in workload.layers[:2]] == [batch * shared] * 2


def test_quantized_recurrent_weights_lie_the_other_way_round(imported: Import, model: Model) -> None:
    constants = SCALES | {"w": bytes_(1, 6, 32), "r": bytes_(1, 8, 32), "b": floats(1, 64)}
    names = ["x", "w", "r", "b", "", "", "", "", "s", "z", "s", "z"]
    nodes = [node("DynamicQuantizeLSTM", names, ["", "h"], hidden_size=8), behind("h")]
    workload = run(imported, model, nodes, {"x": [5, 2, 6]}, constants)
    assert workload.macs == 5 * 2 * 32 * (6 + 8) + 2 * 24
    assert workload.parameters == 32 * 14 + 64 + 24


def test_experts_learn_all_and_run_as_chosen(imported: Import, model: Model) -> None:
    constants = SCALES | {"u": floats(4, 8, 16), "d": floats(4, 16, 8)}
    nodes = [node("MoE", ["x", "r", "u", "", "d"], ["h"], k=2), behind("h")]
    workload = run(imported, model, nodes, {"x": [10, 8], "r": [10, 4]}, constants)
    assert workload.macs == 10 * 2 * 2 * 8 * 16 + 10 * 24
    assert workload.parameters == 2 * 4 * 8 * 16 + 24


def test_convolutions_of_onnx_runtime(imported: Import, model: Model) -> None:
    constants = SCALES | {"w": floats(8, 3, 3, 3), "b": floats(8), "w8": bytes_(8, 8, 1, 1)}
    nodes = [
        node("FusedConv", ["x", "w", "b"], ["c"], activation="Relu", strides=[2, 2]),
        helper.make_node("Transpose", ["c"], ["n"], perm=[0, 2, 3, 1]),
        node("QLinearConv", ["n", "s", "z", "w8", "s", "z", "s", "z"], ["h"], channels_last=1),
        behind("h"),
    ]
    workload = run(imported, model, nodes, {"x": [1, 3, 9, 9]}, constants)
    assert workload.macs == 16 * 8 * 27 + 16 * 64 + 16 * 24


def test_channels_in_blocks_are_cut_where_they_end(imported: Import, model: Model) -> None:
    """What ONNX Runtime saves for a processor: 5 channels are 8, and 3 are read as they are."""
    blocked = "com.microsoft.nchwc"
    constants = SCALES | {"w": floats(8, 3, 3, 3), "v": floats(16, 8, 1, 1), "k": floats(6, 8)}
    nodes = [
        node("Conv", ["x", "w"], ["a"], domain=blocked, pads=[1, 1, 1, 1]),
        node("Upsample", ["a"], ["u"], domain=blocked, scales=[1, 1, 2, 2]),
        node("Conv", ["u", "v"], ["b"], domain=blocked),
        node("ReorderOutput", ["b"], ["c"], domain=blocked, channels=6, channels_last=1),
        helper.make_node("MatMul", ["c", "k"], ["h"]),
        behind("h"),
    ]
    workload = run(imported, model, nodes, {"x": [1, 3, 4, 4]}, constants, blocked)
    assert workload.macs == 16 * 8 * 27 + 64 * 16 * 8 + 64 * 6 * 8 + 64 * 24
    assert "channels are padded to whole blocks" in workload.warnings[0]


def test_official_operators_of_newer_sets(imported: Import) -> None:
    nodes = [
        helper.make_node("CausalConvWithState", ["x", "f", "b"], ["c", "state"]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        helper.make_node(
            "LinearAttention", ["t", "t", "t"], ["a", "kept"], q_num_heads=2, kv_num_heads=2, update_rule="linear"
        ),
        behind("a"),
    ]  # fmt: skip
    workload = imported(nodes, {"x": [2, 8, 5]}, {"f": floats(8, 1, 4), "b": floats(8), **SCALES}, opset=27)
    assert workload.macs == 2 * 8 * 5 * 4 + 2 * (2 * 5 * 2 * 4 * 4) + 2 * 5 * 24
    assert workload.parameters == 32 + 8 + 24


def test_flex_attention_is_two_products(imported: Import, model: Model) -> None:
    nodes = [
        node("FlexAttention", ["q", "k", "k"], ["a"], domain="ai.onnx.preview"),
        behind("a"),
    ]
    inputs = {"q": [2, 4, 5, 8], "k": [2, 2, 6, 8]}
    workload = run(imported, model, nodes, inputs, SCALES, "ai.onnx.preview")
    assert workload.macs == 2 * (2 * 4 * 5 * 6 * 8) + 2 * 4 * 5 * 24


def test_an_unknown_operator_is_said_and_can_be_told(imported: Import, model: Model) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        node("Mystery", ["a"], ["b"], domain="com.acme", name="odd"),
        node("Project", ["b", "w"], ["c"], domain="com.acme", name="p"),
    ]
    made = model(nodes, {"x": [5, 8]}, {"w": floats(8, 8)})
    made.opset_import.append(helper.make_opsetid("com.acme", 1))
    workload = imported(made)
    assert workload.macs == 5 * 64
    assert len(workload.unknown_work) == 2
    assert (
        "com.acme.Mystery node 'odd' is no operator that is known; say what it is with --op com.acme.Mystery=el"
        in (workload.unknown_work[0])
    )


def test_operators_of_others_stand_for_what_a_user_says(model: Model, tmp_path: Any) -> None:
    nodes = [node("Mystery", ["x"], ["a"], domain="com.acme"), node("Project", ["a", "w"], ["b"], domain="com.acme")]
    path = tmp_path / "acme.onnx"
    onnx.save(model(nodes, {"x": [5, 8]}, {"w": floats(8, 8)}), str(path))
    operators = {"com.acme.Mystery": "elementwise", "com.acme.Project": "MatMul"}
    workload = import_onnx(path, {}, operators)
    assert (workload.macs, workload.parameters, workload.unknown_work) == (5 * 64, 64, ())
    with pytest.raises(
        ArmillaryError, match=r"operator com\.acme\.Project='Matmul' is not allowed; write elementwise, or"
    ):
        import_onnx(path, {}, operators | {"com.acme.Project": "Matmul"})


def test_half_precision_moves_half_the_bytes_behind_an_operator_of_others(imported: Import, model: Model) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        node("Gelu", ["half"], ["h"]),
        helper.make_node("Cast", ["h"], ["f"], to=TensorProto.FLOAT),
        behind("f"),
    ]
    workload = run(imported, model, nodes, {"x": [2, 8]}, SCALES)
    assert {row.op_type: row.bytes_moved for row in workload.not_mapped}["com.microsoft.Gelu"] == 2 * 2 * 16
