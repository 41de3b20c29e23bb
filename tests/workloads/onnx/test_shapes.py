from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload
from armillary.workloads.onnx.nodes import element_bits

Import = Callable[..., Workload]
Model = Callable[..., onnx.ModelProto]


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def product() -> list[onnx.NodeProto]:
    return [helper.make_node("MatMul", ["x", "w"], ["y"])]


def test_symbolic_dimensions_take_the_values_given(imported: Import) -> None:
    workload = imported(product(), {"x": ["batch", "tokens", 8]}, {"w": floats(8, 4)}, dims={"batch": 2, "tokens": 5})
    assert workload.macs == 2 * 5 * 8 * 4


def test_a_dimension_without_a_name_goes_by_input_and_axis(imported: Import) -> None:
    workload = imported(product(), {"x": [None, 8]}, {"w": floats(8, 4)}, dims={"x[0]": 3})
    assert workload.macs == 3 * 8 * 4


@pytest.mark.parametrize(
    ("shape", "dims", "message"),
    [
        (["batch", 8], {}, r"dimension 'batch' of input 'x' is open; set it, e\.g\. --dim batch=1"),
        ([None, 8], {}, r"dimension 'x\[0\]' of input 'x' is open; set it, e\.g\. --dim x\[0\]=1"),
        ([-1, 8], {}, r"dimension 'x\[0\]' of input 'x' is open"),
        (["batch", 8], {"bacth": 1}, r"no open dimension 'bacth'; did you mean 'batch'\?; dimension 'batch' of input"),
        ([2, 8], {"batch": 1}, r"no open dimension 'batch'; all are fixed"),
        (["n", 8], {"n": 1, "other": 1}, r"no open dimension 'other'; open are \['n'\]"),
        (["batch", 8], {"batch": -1}, r"dimension batch=-1 is not allowed; it must be a whole number from 0 to"),
        (["batch", 8], {"batch": "one"}, r"dimension batch='one' is not allowed"),
        (["batch", 8], {"batch": True}, r"dimension batch=True is not allowed"),
        (None, {}, r"input 'x' has no shape; give it one"),
    ],
)
def test_open_and_unknown_dimensions_are_refused(
    shape: list[int | str | None] | None, dims: dict[str, int], message: str, imported: Import
) -> None:
    with pytest.raises(ArmillaryError, match=message):
        imported(product(), {"x": shape}, {"w": floats(8, 4)}, dims=dims)


def conv() -> list[onnx.NodeProto]:
    return [helper.make_node("Conv", ["x", "w"], ["y"])]


@pytest.mark.parametrize("symbol", ["?", "None", "unk__3", "-1", "N"])
def test_axes_that_share_a_name_are_set_one_by_one(symbol: str, imported: Import) -> None:
    inputs = {"x": [1, 3, symbol, symbol]}
    workload = imported(conv(), inputs, {"w": floats(4, 3, 1, 1)}, dims={"x[2]": 48, "x[3]": 192})
    assert workload.macs == 48 * 192 * 12
    if symbol != "N":
        with pytest.raises(ArmillaryError, match=r"--dim '?x\[2\]=224'?; .*--dim '?x\[3\]=224"):
            imported(conv(), inputs, {"w": floats(4, 3, 1, 1)})


def test_one_axis_may_differ_from_its_name_sakes(imported: Import) -> None:
    nodes = [helper.make_node("MatMul", ["x", "z"], ["y"])]
    workload = imported(nodes, {"x": ["n", 8], "z": [8, "n"]}, dims={"n": 3, "z[1]": 5})
    assert workload.macs == 3 * 8 * 5


def test_a_dimension_with_a_value_can_be_changed(imported: Import, model: Model) -> None:
    made = model([*product(), helper.make_node("Relu", ["y"], ["z"])], {"x": [1, 8]}, {"w": floats(8, 4)})
    made.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4]))
    workload = imported(made, dims={"x[0]": 7})
    assert workload.macs == 7 * 8 * 4
    assert workload.warnings == (
        "1 recorded shapes contradict the inputs and are not used: 'y' [1, 4], which is [7, 4]",
    )


def test_a_size_of_zero_is_no_work(imported: Import) -> None:
    nodes = [
        helper.make_node("Concat", ["past", "k"], ["all"], axis=1),
        helper.make_node("Transpose", ["all"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["k", "t"], ["s"]),
        helper.make_node("Transpose", ["past"], ["pt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["k", "pt"], ["none"]),
    ]
    workload = imported(nodes, {"past": [2, "p", 8], "k": [2, 5, 8]}, dims={"p": 0}, outputs=["s", "none"])
    assert workload.macs == 2 * 5 * 5 * 8


def head(first: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Rows that are chosen by data, and a product before and behind them."""
    return [
        *product(),
        *first,
        helper.make_node("Gather", ["y", "which"], ["rows"], name="pick"),
        helper.make_node("MatMul", ["rows", "v"], ["z"]),
    ]


NON_ZERO = [
    helper.make_node("ReduceMax", ["y"], ["m"], axes=[1], keepdims=0),
    helper.make_node("NonZero", ["m"], ["nz"], name="found"),
    helper.make_node("Squeeze", ["nz"], ["which"], axes=[0]),
]


@pytest.mark.parametrize("key", ["nz[1]", "found:nz[1]", "found:output[1]", "which[0]", "rows[0]", "z[0]"])
def test_a_size_that_depends_on_the_data_can_be_set(key: str, imported: Import) -> None:
    constants = {"w": floats(8, 4), "v": floats(4, 5)}
    open_ = imported(head(NON_ZERO), {"x": [6, 8]}, constants, opset=11)
    assert (open_.macs, open_.parameters, len(open_.unknown_work)) == (6 * 32, 52, 1)
    known = imported(head(NON_ZERO), {"x": [6, 8]}, constants, opset=11, dims={key: 3})
    assert (known.macs, known.parameters, known.unknown_work) == (6 * 32 + 3 * 20, 52, ())


def test_a_name_that_the_file_records_of_a_result_can_be_set(imported: Import, model: Model) -> None:
    made = model(head(NON_ZERO), {"x": [6, 8]}, {"w": floats(8, 4), "v": floats(4, 5)}, opset=11)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["found", 5]))
    assert imported(made, dims={"found": 3}).macs == 6 * 32 + 3 * 20


def test_a_size_that_follows_from_the_inputs_cannot_be_set(imported: Import) -> None:
    with pytest.raises(ArmillaryError, match=r"dimension y\[1\]=5 is not allowed; tensor 'y' has the shape \[2, 4\]"):
        imported(product(), {"x": [2, 8]}, {"w": floats(8, 4)}, dims={"y[1]": 5})


@pytest.mark.parametrize(
    ("nodes", "inputs", "message"),
    [
        (
            [helper.make_node("Add", ["a", "b"], ["y"], name="sum")],
            {"a": [2, 3, 4], "b": [5, 4]},
            r"Add node 'sum': tensors 'a' \[2, 3, 4\] and 'b' \[5, 4\] do not fit: axis 1 of the one asks for 3",
        ),
        (
            [helper.make_node("MatMul", ["a", "b"], ["y"])],
            {"a": [2, 3, 4], "b": [2, 5, 4]},
            r"MatMul node 'y': tensors 'a' \[2, 3, 4\] and 'b' \[2, 5, 4\] do not fit: axis 2 of the one"
            ".*no size is open, so that the model is invalid",
        ),
        (
            [helper.make_node("Conv", ["a", "b"], ["y"])],
            {"a": [1, 3, 8, 8], "b": [4, 2, 3, 3]},
            r"Conv node 'y': tensors 'a' .* and 'b' .* do not fit: axis 1 .* for 3, axis 1 of the other for 2",
        ),
    ],
)
def test_sizes_that_clash_are_said_as_such(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], message: str, imported: Import
) -> None:
    with pytest.raises(ArmillaryError, match=message):
        imported(nodes, inputs)


def test_a_reshape_that_does_not_fit_blames_a_size(imported: Import) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "to"], ["r"], name="view"),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {"to": np.array([-1, 64]), "w": floats(64, 4)}
    message = (
        r"Reshape node 'view' cannot be read: 60 elements of \[1, 4, 15\] to the shape \[-1, 64\]; export the model "
        "again; the sizes come from --dim n=15; it would fit with --dim n=16"
    )
    with pytest.raises(ArmillaryError, match=message):
        imported(nodes, {"x": [1, 4, "n"]}, constants, dims={"n": 15})


@pytest.mark.parametrize("op_type", ["Round", "Exp", "Log", "Sign", "Clip", "Sqrt", "Ceil", "Abs", "Neg"])
def test_shapes_are_computed_through_any_arithmetic(op_type: str, imported: Import) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node(op_type, ["f"], ["g"]),
        helper.make_node("Mul", ["g", "zero"], ["h"]),
        helper.make_node("Add", ["h", "f"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["i"], to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["i"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    workload = imported(nodes, {"x": ["n", 8]}, {"zero": np.float32(0), "w": floats(8, 4)}, dims={"n": 3}, opset=13)
    assert workload.macs == 3 * 32


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13])
def test_a_flattened_size_is_multiplied_in_every_operator_set(opset: int, imported: Import) -> None:
    axes = {} if opset >= 13 else {"axes": [0]}
    more = ["zeros"] if opset >= 13 else []
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        *[helper.make_node("Gather", ["s", f"i{at}"], [f"g{at}"]) for at in range(3)],
        helper.make_node("Mul", ["g1", "g2"], ["m"]),
        helper.make_node("Div", ["m", "i2"], ["d"]),
        *[helper.make_node("Unsqueeze", [name, *more], [f"{name}u"], **axes) for name in ("g0", "d", "i2")],
        helper.make_node("Concat", ["g0u", "i2u", "du"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {"i0": np.array(0), "i1": np.array(1), "i2": np.array(2), "zeros": np.array([0]), "w": floats(12, 5)}
    assert imported(nodes, {"x": ["b", 6, 4]}, constants, dims={"b": 3}, opset=opset).macs == 3 * 2 * 12 * 5


def test_sequences_carry_shapes(imported: Import) -> None:
    nodes = [
        helper.make_node("SequenceEmpty", [], ["none"]),
        helper.make_node("SequenceInsert", ["none", "x"], ["one"]),
        helper.make_node("SequenceInsert", ["one", "z"], ["two"]),
        helper.make_node("SequenceLength", ["two"], ["count"]),
        helper.make_node("ConcatFromSequence", ["two"], ["c"], axis=1),
        helper.make_node("SplitToSequence", ["c", "five"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "count"], ["last"]),
        helper.make_node("MatMul", ["last", "w"], ["y"]),
    ]
    workload = imported(nodes, {"x": [4, 8], "z": [4, 5]}, {"five": np.array(5), "w": floats(3, 6)})
    assert workload.macs == 4 * 3 * 6


def test_an_initialised_input_is_no_open_input(imported: Import, model: Model) -> None:
    made = model(product(), {"x": [2, 8], "w": ["in", "out"]}, {"w": floats(8, 4)}, ir_version=3)
    assert imported(made).parameters == 32


def external(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> TensorProto:
    """A tensor whose data is in a file that is not there."""
    tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="missing.bin")
    return tensor


def test_weights_in_files_that_are_missing_are_not_needed(imported: Import) -> None:
    workload = imported(product(), {"x": [2, 8]}, {"w": external("w", 8, 4)})
    assert (workload.macs, workload.parameters) == (64, 32)


def test_a_shape_in_a_file_that_is_missing_is_refused_by_name(imported: Import) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "to"], ["r"], name="view"),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {"to": external("to", 2, kind=TensorProto.INT64), "w": floats(8, 4)}
    with pytest.raises(
        ArmillaryError, match=r"tensor 'r' at MatMul node 'y'.*lost at Reshape node 'view'\); set --dim"
    ):
        imported(nodes, {"x": [2, 2, 4]}, constants)


def test_shapes_computed_by_division_and_comparison_are_followed(imported: Import) -> None:
    """What exporters write for x.view(n, -1, c // heads) and expand; ONNX's own inference stops there."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=2),
        helper.make_node("Div", ["s", "heads"], ["width"]),
        helper.make_node("Concat", ["four", "minus", "width"], ["to"], axis=0),
        helper.make_node("Equal", ["to", "minus"], ["open"]),
        helper.make_node("Where", ["open", "rows", "to"], ["closed"]),
        helper.make_node("Reshape", ["x", "closed"], ["split"]),
        helper.make_node("MatMul", ["split", "w"], ["y"]),
    ]
    constants = {
        "heads": np.array([2]), "four": np.array([4]), "minus": np.array([-1]), "rows": np.array([6]),
        "w": floats(8, 3),
    }  # fmt: skip
    workload = imported(nodes, {"x": ["batch", 4, 16]}, constants, dims={"batch": 3})
    assert workload.macs == 4 * 6 * 8 * 3


def test_an_output_that_depends_on_the_data_is_counted_as_unsized(imported: Import) -> None:
    nodes = [*product(), helper.make_node("NonZero", ["y"], ["where"])]
    workload = imported(nodes, {"x": [2, 8]}, {"w": floats(8, 4)}, outputs=["y", "where"])
    (row,) = workload.not_mapped
    assert (row.op_type, row.bytes_moved, row.unsized) == ("NonZero", 32, 1)


def test_recorded_shapes_of_an_export_with_open_dimensions_do_not_get_in_the_way(
    imported: Import, model: Model
) -> None:
    made = model([*product(), helper.make_node("Relu", ["y"], ["z"])], {"x": ["n", 8]}, {"w": floats(8, 4)})
    made.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["something", 4]))
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["another", 4]))
    assert imported(made, dims={"n": 7}).macs == 7 * 8 * 4


def test_random_values_are_no_constants(imported: Import) -> None:
    nodes = [helper.make_node("RandomNormal", [], ["w"], shape=[8, 4]), *product()]
    workload = imported(nodes, {"x": [2, 8]})
    assert workload.parameters == 0


def test_large_weights_inside_the_file_do_not_change_the_result(imported: Import) -> None:
    constants = {"w": floats(256, 256)}
    assert imported(product(), {"x": [2, 256]}, constants).parameters == 256 * 256
    constants = {"w": numpy_helper.from_array(floats(256, 256), "w")}
    constants["w"].ClearField("raw_data")
    constants["w"].float_data.extend([0.0] * 256 * 256)
    assert imported(product(), {"x": [2, 256]}, constants).parameters == 256 * 256


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("FLOAT", 32), ("DOUBLE", 64), ("FLOAT16", 16), ("BFLOAT16", 16), ("FLOAT8E4M3FN", 8), ("FLOAT4E2M1", 4),
        ("INT8", 8), ("UINT8", 8), ("INT64", 64), ("UINT4", 4), ("INT4", 4), ("BOOL", 8), ("COMPLEX64", 64),
        ("STRING", None), ("UNDEFINED", None),
    ],
)  # fmt: skip
def test_element_types_have_their_sizes(kind: str, bits: int | None) -> None:
    assert element_bits(TensorProto.DataType.Value(kind)) == bits
