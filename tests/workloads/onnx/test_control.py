"""Bodies of If, Loop and Scan count as often as they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload

Import = Callable[..., Workload]
Model = Callable[..., onnx.ModelProto]
STEP = 4 * 16 * 16


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def value(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[int] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def loop_body(condition: Sequence[onnx.NodeProto], state: str = "h") -> onnx.GraphProto:
    """h = h @ u, with nodes that compute `go_on` from `i`, `go` and what the graph holds."""
    nodes = [helper.make_node("MatMul", [state, "u"], ["h_out"]), *condition]
    inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value(state)]
    return helper.make_graph(nodes, "body", inputs, [value("go_on", TensorProto.BOOL, []), value("h_out")])


SAME = [helper.make_node("Identity", ["go"], ["go_on"])]
COUNTED = [
    helper.make_node("Add", ["i", "one"], ["next"]),
    helper.make_node("Less", ["next", "most"], ["go_on"]),
]
BY_DATA = [
    helper.make_node("ReduceMax", ["h_out"], ["top"], keepdims=0),
    helper.make_node("Less", ["top", "limit"], ["go_on"]),
]


def loop(trips: str, condition: Sequence[onnx.NodeProto], go: str = "", **more: Any) -> list[onnx.NodeProto]:
    return [helper.make_node("Loop", [trips, go, "x"], ["y"], name="loop", body=loop_body(condition), **more)]


CONSTANTS = {
    "u": floats(16, 16), "one": np.array(1), "most": np.array(7), "limit": np.float32(3), "trips": np.array(20),
    "endless": np.array(2**63 - 1), "go0": np.array(True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("trips", "condition", "runs"),
    [("trips", SAME, 20), ("trips", COUNTED, 7), ("", COUNTED, 7), ("endless", COUNTED, 7)],
)
def test_a_loop_whose_end_follows_counts_its_runs(
    trips: str, condition: Sequence[onnx.NodeProto], runs: int, imported: Import
) -> None:
    workload = imported(loop(trips, condition, "go0"), {"x": [4, 16]}, CONSTANTS)
    assert (workload.macs, workload.parameters) == (runs * STEP, 256)
    assert workload.warnings == workload.unknown_work == ()


def test_a_loop_that_may_end_early_counts_all_runs_and_says_so(imported: Import) -> None:
    workload = imported(loop("trips", BY_DATA), {"x": [4, 16]}, CONSTANTS)
    assert workload.macs == 20 * STEP
    (warning,) = workload.warnings
    assert warning == "Loop node 'loop' may end before its 20 runs, which are counted; --dim loop:runs=NUMBER sets them"
    assert imported(loop("trips", BY_DATA), {"x": [4, 16]}, CONSTANTS, dims={"loop:runs": 3}).macs == 3 * STEP


def test_a_loop_without_a_known_end_is_unknown_work(imported: Import) -> None:
    nodes = [helper.make_node("MatMul", ["z", "u"], ["w"]), *loop("", BY_DATA)]
    workload = imported(nodes, {"x": [4, 16], "z": [1, 16]}, CONSTANTS, outputs=["w", "y"])
    assert (workload.macs, workload.parameters) == (256, 256)
    (unknown,) = workload.unknown_work
    assert unknown.startswith("Loop node 'loop' runs 1 multiplying nodes nobody knows how often")
    assert {row.op_type for row in workload.not_mapped} == {"Loop", "Loop/MatMul", "Loop/ReduceMax", "Loop/Less"}


def test_a_state_that_grows_is_followed_run_by_run(imported: Import) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Concat", ["h", "x"], ["h_out"], axis=0),
            helper.make_node("MatMul", ["h_out", "u"], ["o"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("h")],
        [value("go_on", TensorProto.BOOL, []), value("h_out")],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body),
        helper.make_node("MatMul", ["y", "u"], ["z"]),
    ]
    workload = imported(nodes, {"x": [2, 16]}, {"u": floats(16, 16), "trips": np.array(3)})
    assert workload.macs == (4 + 6 + 8 + 8) * 256
    assert workload.parameters == 256


def test_a_list_that_a_loop_fills_is_followed(imported: Import) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "u"], ["p"]),
            helper.make_node("SequenceInsert", ["list", "p"], ["longer"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None),
        ],
        [
            value("go_on", TensorProto.BOOL, []),
            helper.make_tensor_sequence_value_info("longer", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["empty"]),
        helper.make_node("Loop", ["trips", "", "empty"], ["filled"], body=body),
        helper.make_node("ConcatFromSequence", ["filled"], ["c"], axis=0),
        helper.make_node("MatMul", ["c", "u"], ["y"]),
    ]
    workload = imported(nodes, {"x": [4, 16]}, {"u": floats(16, 16), "trips": np.array(3)})
    assert (workload.macs, workload.parameters) == (6 * STEP, 256)


def test_loops_in_loops_multiply(imported: Import) -> None:
    inner = loop_body([helper.make_node("Identity", ["go"], ["go_on"])])
    outer = helper.make_graph(
        [
            helper.make_node("Loop", ["trips", "", "a"], ["b"], body=inner),
            helper.make_node("Identity", ["on"], ["on_out"]),
        ],
        "outer",
        [value("j", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("a")],
        [value("on_out", TensorProto.BOOL, []), value("b")],
    )
    nodes = [helper.make_node("Loop", ["few", "", "x"], ["y"], body=outer)]
    workload = imported(nodes, {"x": [4, 16]}, {"u": floats(16, 16), "trips": np.array(5), "few": np.array(3)})
    assert workload.macs == 15 * STEP
    assert {row.op_type: row.count for row in workload.not_mapped}["Loop/Loop"] == 3


def test_a_loop_that_never_runs_has_no_work(imported: Import) -> None:
    nodes = [*loop("none", SAME), helper.make_node("MatMul", ["y", "u"], ["z"])]
    assert imported(nodes, {"x": [4, 16]}, CONSTANTS | {"none": np.array(0)}).macs == STEP


def test_weights_that_a_scan_takes_layer_by_layer_are_learned_whole(imported: Import) -> None:
    body = helper.make_graph(
        [helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["h_out"])],
        "body", [value("h"), value("w"), value("b")], [value("h_out")],
    )  # fmt: skip
    nodes = [helper.make_node("Scan", ["x", "ws", "bs"], ["y"], body=body, num_scan_inputs=2)]
    workload = imported(nodes, {"x": [4, 16]}, {"ws": floats(6, 16, 16), "bs": floats(6, 16)})
    assert (workload.macs, workload.parameters) == (6 * STEP, 6 * 256 + 6 * 16)


@pytest.mark.parametrize("followed", [False, True])
def test_weights_that_a_loop_takes_by_its_number_are_learned_whole(followed: bool, imported: Import) -> None:
    pick = helper.make_node("Gather", ["ws", "i"], ["u"], axis=0)
    body = loop_body([pick, *(COUNTED if followed else SAME)])
    body.node.insert(0, body.node[1])
    del body.node[2]
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)]
    constants = CONSTANTS | {"ws": floats(9, 16, 16), "trips": np.array(7)}
    del constants["u"]
    workload = imported(nodes, {"x": [4, 16]}, constants)
    assert (workload.macs, workload.parameters) == (7 * STEP, 7 * 256)


def test_weights_inside_a_body_are_learned_once_however_often_it_is_walked(imported: Import) -> None:
    body = loop_body(COUNTED)
    body.initializer.append(onnx.numpy_helper.from_array(floats(16, 16), "u"))
    constants = {name: array for name, array in CONSTANTS.items() if name != "u"}
    workload = imported([helper.make_node("Loop", ["", "", "x"], ["y"], body=body)], {"x": [4, 16]}, constants)
    assert (workload.macs, workload.parameters) == (7 * STEP, 256)


def test_weights_of_one_name_in_two_branches_are_two(imported: Import, model: Model) -> None:
    branches = {}
    for name in ("then_branch", "else_branch"):
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["t"])], name, [], [value("t")])
        graph.initializer.append(onnx.numpy_helper.from_array(floats(16, 16), "w"))
        branches[name] = graph
    made = model([helper.make_node("If", ["c"], ["y"], **branches)], {"x": [4, 16], "c": []})
    made.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    assert imported(made).parameters == 512


def test_slices_of_a_scan_stack_up_to_its_output(imported: Import) -> None:
    body = helper.make_graph(
        [helper.make_node("MatMul", ["h", "u"], ["p"]), helper.make_node("Add", ["p", "t"], ["h_out"]),
         helper.make_node("Identity", ["h_out"], ["o"])],
        "body", [value("h"), value("t")], [value("h_out"), value("o")],
    )  # fmt: skip
    nodes = [
        helper.make_node("Scan", ["h0", "x"], ["hn", "all"], body=body, num_scan_inputs=1, scan_input_axes=[1]),
        helper.make_node("MatMul", ["all", "u"], ["y"]),
    ]
    workload = imported(nodes, {"h0": [4, 16], "x": [4, 9, 16]}, {"u": floats(16, 16)})
    assert workload.macs == 9 * STEP + 9 * STEP
    assert workload.parameters == 256


def choice(condition: str) -> list[onnx.NodeProto]:
    then = helper.make_graph([helper.make_node("MatMul", ["x", "u"], ["t"])], "then", [], [value("t")])
    two = [helper.make_node("MatMul", ["x", "v"], ["e1"]), helper.make_node("MatMul", ["e1", "v"], ["e2"])]
    other = helper.make_graph(two, "else", [], [value("e2")])
    return [helper.make_node("If", [condition], ["y"], name="if", then_branch=then, else_branch=other)]


def test_of_an_unknown_condition_the_dearer_branch_counts(imported: Import, model: Model) -> None:
    made = model(choice("c"), {"x": [4, 16], "c": []}, {"u": floats(16, 16), "v": floats(16, 16)})
    made.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    workload = imported(made)
    assert (workload.macs, workload.parameters) == (2 * STEP, 512)
    (warning,) = workload.warnings
    assert (
        warning == "If node 'if': its condition is unknown; the else branch counts, of 2,048 MACs; the other has 1,024"
    )
    assert imported(made, dims={"c": 1}).macs == STEP
    assert imported(made, dims={"c": 0}).macs == 2 * STEP


def test_names_of_two_bodies_may_be_the_same(imported: Import) -> None:
    """Exporters number the tensors of each branch anew."""
    nodes = []
    for at, (before, after) in enumerate((("x", "a"), ("a", "b"))):
        then = helper.make_graph([helper.make_node("MatMul", [before, "u"], ["t"])], "then", [], [value("t")])
        other = helper.make_graph([helper.make_node("Identity", [before], ["t"])], "else", [], [value("t")])
        nodes.append(helper.make_node("If", [f"c{at}"], [after], then_branch=then, else_branch=other))
    constants = {"u": floats(16, 16), "c0": np.array(True), "c1": np.array(True)}
    assert imported(nodes, {"x": [4, 16]}, constants).macs == 2 * STEP


def test_a_body_that_does_not_fit_is_refused(imported: Import) -> None:
    nodes = [helper.make_node("Loop", ["trips", "", "x", "x"], ["y", "z"], name="loop", body=loop_body(SAME))]
    with pytest.raises(ArmillaryError, match=r"Loop node 'loop' cannot be read: its body has 3 inputs for 2 states"):
        imported(nodes, {"x": [4, 16]}, CONSTANTS)
