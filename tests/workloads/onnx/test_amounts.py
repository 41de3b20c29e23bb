"""What operators beside the array compute and move, counted by hand from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from armillary.workloads.vector_work import VectorWork

X = [2, 6, 8]
VALUES = 96
GEMM = helper.make_node("MatMul", ["in", "w"], ["x"])


def beside(imported, nodes, inputs=None, constants=None, **more):
    """The work of nodes on a graph's input x of 2 x 6 x 8 values, behind a layer that reads it elsewhere."""
    layer = helper.make_node("MatMul", ["in", "w"], ["away"])
    made = imported(
        [layer, *nodes],
        {"in": [1, 4], "x": X, **(inputs or {})},
        {"w": np.ones((4, 4), np.float32), **(constants or {})},
        ["away", *nodes[-1].output],
        **more,
    )
    return [(use.work, use.count) for use in made.beside]


def only(imported, *args, **more):
    (found,) = beside(imported, *args, **more)
    assert found[1] == 1
    return found[0]


def amounts(work: VectorWork):
    return work.kind, work.adds, work.multiplies, work.functions, work.reads, work.writes


@pytest.mark.parametrize(
    ("op_type", "options", "expected"),
    [
        ("Relu", {}, ("clamp", 96, 0, 0, 96, 96)),
        ("Neg", {}, ("scale", 96, 0, 0, 96, 96)),
        ("Sigmoid", {}, ("function", 0, 0, 96, 96, 96)),
        ("Gelu", {}, ("function", 96, 3 * 96, 96, 96, 96)),
        ("HardSwish", {}, ("function", 3 * 96, 2 * 96, 0, 96, 96)),
        # the maximum, less it, the total; the share; exp, and one over each of the 12 totals
        ("Softmax", {"axis": -1}, ("softmax", 3 * 96, 96, 96 + 12, 96, 96)),
        ("Softmax", {"axis": 1}, ("softmax", 3 * 96, 96, 96 + 16, 96, 96)),
        ("Transpose", {"perm": [2, 0, 1]}, ("move", 0, 0, 0, 96, 96)),
        ("ReduceMean", {"keepdims": 0, "noop_with_empty_axes": 0}, ("reduce", 96, 1, 0, 96, 1)),
        ("GlobalAveragePool", {}, ("pool", 96, 12, 0, 96, 12)),
        ("MaxPool", {"kernel_shape": [3], "strides": [2]}, ("pool", 3 * 36, 0, 0, 96, 36)),
        ("AveragePool", {"kernel_shape": [2], "strides": [2]}, ("pool", 2 * 48, 48, 0, 96, 48)),
    ],
)
def test_operators_on_one_tensor(imported, op_type, options, expected):
    assert amounts(only(imported, [helper.make_node(op_type, ["x"], ["y"], **options)])) == expected


@pytest.mark.parametrize(
    ("op_type", "other", "expected"),
    [
        ("Add", "z", ("sum", 96, 0, 0, 192, 96)),
        ("Mul", "z", ("combine", 0, 96, 0, 192, 96)),
        ("Div", "z", ("combine", 0, 96, 96, 192, 96)),
        ("Add", "row", ("combine", 96, 0, 0, 96 + 8, 96)),
        ("Add", "one", ("scale", 96, 0, 0, 96, 96)),
        ("Div", "one", ("scale", 0, 96, 0, 96, 96)),
        ("Max", "one", ("clamp", 96, 0, 0, 96, 96)),
        ("Pow", "one", ("function", 0, 0, 96, 96, 96)),
        ("Pow", "two", ("function", 0, 96, 0, 96, 96)),
        ("Mul", "x", ("function", 0, 96, 0, 96, 96)),
        ("Add", "table", ("scale", 96, 0, 0, 192, 96)),  # a constant as large as the tensor comes from memory, too
    ],
)
def test_operators_on_two_tensors(imported, op_type, other, expected):
    inputs = {name: shape for name, shape in {"z": X, "row": [8]}.items() if name == other}
    every = {"one": np.float32(3), "two": np.float32(2), "table": np.ones(X, np.float32)}
    constants = {name: value for name, value in every.items() if name == other}
    work = only(imported, [helper.make_node(op_type, ["x", other], ["y"])], inputs, constants)
    assert amounts(work) == expected


def test_a_constant_over_a_tensor_is_a_function(imported):
    work = only(imported, [helper.make_node("Div", ["one", "x"], ["y"])], constants={"one": np.float32(1)})
    assert amounts(work) == ("function", 0, 96, 96, 96, 96)


@pytest.mark.parametrize(
    ("op_type", "held", "expected"),
    [
        # added up, less the mean, squares added up, the offset; squared, over the deviation, the factor; 12 rows
        ("LayerNormalization", ("g", "b"), (4 * 96, 3 * 96 + 2 * 12, 12)),
        ("LayerNormalization", ("g",), (3 * 96, 3 * 96 + 2 * 12, 12)),
        ("RMSNormalization", ("g",), (96, 3 * 96 + 12, 12)),
    ],
)
def test_normalisations(imported, op_type, held, expected):
    constants = {name: np.ones(8, np.float32) for name in held}
    work = only(imported, [helper.make_node(op_type, ["x", *held], ["y"])], constants=constants, opset=23)
    assert (work.kind, work.adds, work.multiplies, work.functions) == ("normalization", *expected)


def test_a_cache_grows_where_it_lies(imported):
    """Of a Concat behind an input of the graph the new rows move alone; of two computed tensors all of both do."""
    new = helper.make_node("Neg", ["x"], ["n"])
    grown = [new, helper.make_node("Concat", ["past", "n"], ["y"], axis=1)]
    moved = [work for work, _ in beside(imported, grown, {"past": [2, 50, 8]}) if work.kind == "move"]
    assert [(work.reads, work.writes) for work in moved] == [(VALUES, VALUES)]
    computed = [new, helper.make_node("Abs", ["x"], ["m"]), helper.make_node("Concat", ["m", "n"], ["y"], axis=1)]
    moved = [work for work, _ in beside(imported, computed) if work.kind == "move"]
    assert [(work.reads, work.writes) for work in moved] == [(2 * VALUES, 2 * VALUES)]


def test_rows_of_a_table_are_read_alone(imported):
    indices = np.array([1, 0, 1], np.int64)
    work = only(imported, [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)], constants={"i": indices})
    assert (work.kind, work.reads, work.writes) == ("move", 2 * 3 * 8, 2 * 3 * 8)


def test_views_and_constants_have_no_work(imported):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Flatten", ["x"], ["y"]),
    ]
    assert beside(imported, nodes, constants={"zero": np.int64(0)}) == []


def test_what_nobody_knows_is_said(imported):
    nodes = [helper.make_node("TopK", ["x", "k"], ["y", "i"])]
    work = only(imported, nodes, constants={"k": np.array([3], np.int64)})
    assert amounts(work) == ("unknown", 0, 0, 0, 0, 0)
    strange = [helper.make_node("Strange", ["x"], ["y"], domain="ours")]
    assert only(imported, strange).kind == "unknown"


def test_a_loop_of_unknown_length_is_unknown_and_one_of_three_runs_counts_three_times(imported):
    def loop(trips):
        body = helper.make_graph(
            [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Sigmoid", ["v"], ["v2"])],
            "body",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
                helper.make_tensor_value_info("v", TensorProto.FLOAT, X),
            ],
            [
                helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
                helper.make_tensor_value_info("v2", TensorProto.FLOAT, X),
            ],
        )
        return [helper.make_node("Loop", [trips, "", "x"], ["y"], body=body)]

    known = beside(imported, loop("three"), constants={"three": np.int64(3)})
    assert [(work.kind, work.functions, count) for work, count in known] == [("function", VALUES, 3)]
    unknown = beside(imported, loop("n"), {"n": []})
    assert {work.kind for work, _ in unknown} == {"unknown"}


@settings(max_examples=25, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=3, max_size=3), factor=st.integers(2, 4))
def test_twice_the_values_are_twice_the_operations(imported, shape, factor):
    """Over rows of one length, whatever the operator."""
    for op_type in ("Softmax", "Gelu", "Relu", "ReduceSum", "GlobalAveragePool"):

        def amounts_of(rows, op_type=op_type):
            options = {"axis": -1} if op_type == "Softmax" else {}
            inputs = ["x", "axes"] if op_type == "ReduceSum" else ["x"]
            layer = helper.make_node("MatMul", ["in", "w"], ["away"])
            made = imported(
                [layer, helper.make_node(op_type, inputs, ["y"], **options)],
                {"in": [1, 4], "x": rows},
                {"w": np.ones((4, 4), np.float32), "axes": np.array([2], np.int64)},
                ["away", "y"],
            )
            work = made.beside[0].work
            return np.array([work.adds, work.multiplies, work.functions, work.reads, work.writes])

        once = amounts_of(shape)
        assert (amounts_of([shape[0] * factor, *shape[1:]]) == factor * once).all()
