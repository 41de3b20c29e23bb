"""Which operators need no pass of their own."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

N = 24  # values of a layer's output, [4, 6]
WEIGHTS = {name: np.ones((6, 6), np.float32) for name in ("w", "v")}
CONSTANTS = {
    **WEIGHTS,
    "half": np.float32(0.5),
    "one": np.float32(1),
    "root2": np.float32(2**0.5),
    "flat": np.array([2, 12], np.int64),
    "low": np.float32(0),
    "high": np.float32(6),
}


def node(op_type, *names, **options):
    *inputs, output = names
    return helper.make_node(op_type, inputs, output.split(), **options)


LAYER = node("MatMul", "x", "w", "h")


def works(imported, *nodes, outputs=("y",), inputs=None):
    used = {name for one in nodes for name in one.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    made = imported(list(nodes), {"x": [4, 6], **(inputs or {})}, constants, list(outputs))
    return [(use.work, use.count) for use in made.beside]


def told(imported, *nodes, **more):
    return [(w.name, w.kind, w.reads, w.writes, w.passed) for w, _ in works(imported, *nodes, **more)]


def test_an_activation_behind_a_layer_needs_no_memory_between(imported):
    assert told(imported, LAYER, node("Relu", "h", "y")) == [("Relu", "clamp", N, N, N)]


def test_what_else_reads_the_layer_needs_it_in_memory(imported):
    assert told(imported, LAYER, node("Relu", "h", "y"), outputs=("y", "h")) == [("Relu", "clamp", N, N, 0)]
    two = (LAYER, node("Relu", "h", "r"), node("MatMul", "h", "v", "z"), node("MatMul", "r", "v", "y"))
    assert told(imported, *two, outputs=("y", "z")) == [("Relu", "clamp", N, N, 0)]


def test_what_follows_no_layer_is_a_pass_of_its_own(imported):
    assert told(imported, node("Relu", "x", "r"), node("MatMul", "r", "w", "y")) == [("Relu", "clamp", N, N, 0)]


def gelu(source, output):
    return [
        node("Div", source, "root2", "d"),
        node("Erf", "d", "e"),
        node("Add", "e", "one", "a"),
        node("Mul", source, "a", "m"),
        node("Mul", "m", "half", output),
    ]


def test_gelu_counts_alike_however_an_exporter_writes_it(imported):
    ((whole, _),) = works(imported, LAYER, node("Gelu", "h", "y"))
    ((parts, _),) = works(imported, LAYER, *gelu("h", "y"))
    assert whole == parts
    assert (parts.kind, parts.functions, parts.reads, parts.writes, parts.passed) == ("function", N, N, N, N)


def test_silu_counts_alike_and_a_gate_of_two_layers_reads_both(imported):
    """SwiGLU: the function is done behind its layer, the product reads that and passes on the layer made last."""
    nodes = (
        LAYER,
        node("Sigmoid", "h", "s"),
        node("Mul", "h", "s", "g"),
        node("MatMul", "x", "v", "u"),
        node("Mul", "g", "u", "y"),
    )
    assert told(imported, *nodes) == [
        ("Sigmoid Mul", "function", N, N, N),
        ("Mul", "combine", 2 * N, N, N),
    ]


def test_a_residual_with_its_activation_is_one_sum(imported):
    """As in ResNet: a layer, the input of the block added, ReLU."""
    assert told(imported, LAYER, node("Add", "h", "x", "s"), node("Relu", "s", "y")) == [
        ("Add Relu", "sum", 2 * N, N, N)
    ]


def test_a_residual_behind_an_activation_is_not_part_of_the_layer(imported):
    """The hardware that adds on the way out of a layer bounds afterwards, not before."""
    found = told(imported, LAYER, node("Relu", "h", "r"), node("Add", "r", "x", "y"))
    assert found == [("Relu", "clamp", N, N, N), ("Add", "sum", 2 * N, N, 0)]


def test_a_function_behind_a_sum_makes_it_more_than_a_sum(imported):
    found = told(imported, LAYER, node("Add", "h", "x", "s"), node("Tanh", "s", "y"))
    assert found == [("Add Tanh", "combine", 2 * N, N, N)]


def test_scales_between_are_passed_over_and_a_reshape_is_none(imported):
    nodes = (LAYER, node("Div", "h", "root2", "d"), node("Reshape", "d", "flat", "f"), node("Softmax", "f", "y"))
    assert told(imported, *nodes) == [("Div", "scale", N, N, N), ("Softmax", "softmax", N, N, N)]


def test_what_layers_alone_read_in_other_steps_is_no_move(imported):
    attention = (
        node("Split", "x", "a b", axis=1, num_outputs=2),
        node("Transpose", "b", "t", perm=[1, 0]),
        node("MatMul", "a", "t", "y"),
    )
    assert told(imported, *attention) == [
        ("Split", "stride", N, N, N),
        ("Transpose", "stride", N // 2, N // 2, N // 2),
    ]
    read_else = told(imported, *attention, outputs=("y", "t"))
    assert [kind for _, kind, *_ in read_else] == ["move", "move"]


def test_a_slice_of_a_layer_passes_no_more_than_it_reads(imported):
    ((work, _),) = works(imported, LAYER, node("Split", "h", "a y", axis=1, num_outputs=2), outputs=("a", "y"))
    assert (work.kind, work.reads, work.passed) == ("move", N, N)


def test_quantisers_around_layers_are_their_scales(imported):
    nodes = (
        LAYER,
        node("QuantizeLinear", "h", "half", "q"),
        node("DequantizeLinear", "q", "half", "d"),
        node("MatMul", "d", "v", "y"),
    )
    assert told(imported, *nodes) == [("QuantizeLinear DequantizeLinear", "scale", N, N, N)]


def test_two_results_of_one_pass_are_both_written(imported):
    found = told(imported, LAYER, node("Softmax", "x", "s"), node("Neg", "s", "y"), outputs=("h", "s", "y"))
    assert found == [("Softmax Neg", "softmax", N, 2 * N, 0)]


def test_the_softmax_of_an_attention_operator_is_that_of_its_parts(imported):
    """An operator and the same attention written out have the same work beside the array."""
    heads, rows, width = 2, 5, 4
    shape = [1, heads, rows, width]
    whole = imported([node("Attention", "q", "k", "v", "y")], dict.fromkeys("qkv", shape), opset=23)
    parts = imported(
        [
            node("Transpose", "k", "t", perm=[0, 1, 3, 2]),
            node("MatMul", "q", "t", "s"),
            node("Softmax", "s", "p", axis=-1),
            node("MatMul", "p", "v", "y"),
        ],
        dict.fromkeys("qkv", shape),
    )
    soft = [[use for use in made.beside if use.work.kind == "softmax"] for made in (whole, parts)]
    assert soft[0] == soft[1]
    assert soft[0][0].work.reads == heads * rows * rows


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
def test_a_cell_counts_its_gates_by_steps(imported, op_type):
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type]
    functions = {"LSTM": 5, "GRU": 3, "RNN": 1}[op_type]
    steps, batch, features, hidden = 7, 2, 3, 5
    made = imported(
        [helper.make_node(op_type, ["x", "w", "r"], ["", "y"], hidden_size=hidden)],
        {"x": [steps, batch, features]},
        {
            "w": np.ones((1, gates * hidden, features), np.float32),
            "r": np.ones((1, gates * hidden, hidden), np.float32),
        },
    )
    (use,) = made.beside
    assert (use.count, use.work.functions) == (steps, functions * batch * hidden)


def test_the_work_of_resnet18_is_that_of_its_definition(shared_onnx):
    """17 ReLUs, eight of which follow a sum; a maximum of 3 x 3 over 56 x 56 x 64; the mean over 7 x 7 x 512."""
    from armillary.workloads import load

    beside = load(str(shared_onnx / "resnet18.onnx")).beside
    by_kind = {
        kind: sum(use.count for use in beside if use.work.kind == kind) for kind in ("clamp", "sum", "pool", "unknown")
    }
    assert by_kind == {"clamp": 9, "sum": 8, "pool": 2, "unknown": 0}
    assert all(use.work.passed for use in beside if use.work.kind in ("clamp", "sum"))
    pools = [use.work for use in beside if use.work.kind == "pool"]
    assert [(work.adds, work.multiplies) for work in pools] == [(9 * 56 * 56 * 64, 0), (49 * 512, 512)]
