"""Files of every form, and graphs that cannot be walked."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.layer import Workload
from armillary.workloads.onnx import reading
from armillary.workloads.onnx.importer import import_onnx

Import = Callable[..., Workload]
Model = Callable[..., onnx.ModelProto]


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def product(model: Model) -> onnx.ModelProto:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [2, 8]}, {"w": floats(8, 4)})


@pytest.mark.parametrize("form", ["binary", "text", "gzip", "text in gzip"])
def test_files_of_every_form_are_read(form: str, model: Model, tmp_path: Path) -> None:
    made, path = product(model), tmp_path / "model.onnx"
    content = text_format.MessageToString(made).encode() if "text" in form else made.SerializeToString()
    path.write_bytes(gzip.compress(content) if "gzip" in form else content)
    assert import_onnx(path).macs == 64


def test_a_broken_gzip_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(gzip.compress(product(model).SerializeToString())[:-30])
    with pytest.raises(ArmillaryError, match=r"model\.onnx: is compressed by gzip, but cannot be decompressed"):
        import_onnx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "the pointer of a file in Git's large file"),
        (b"PK\x03\x04" + bytes(40), "is a zip archive"),
        (b"<!DOCTYPE html><html>", "is a page of the web"),
    ],
)
def test_what_stands_in_the_place_of_a_model_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArmillaryError, match=message):
        import_onnx(path)


def test_a_broken_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("ir_version: 8\ngraph { node { op_type: }\n")
    with pytest.raises(ArmillaryError, match=r"no ONNX model.*read as a text protobuf: 2:25"):
        import_onnx(path)


def test_what_is_larger_than_a_protobuf_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(product(model), str(path))
    monkeypatch.setattr(reading, "MOST_BYTES", 100)
    with pytest.raises(
        ArmillaryError, match=r"has [\d,]+ bytes; a protobuf has at most 100 \(2 GiB\): save the model with"
    ):
        import_onnx(path)
    path.write_bytes(gzip.compress(bytes(10_000)))
    with pytest.raises(ArmillaryError, match="decompressed, has more than 100 bytes"):
        import_onnx(path)


def test_a_shape_in_a_file_that_is_there_is_read_and_no_other(model: Model, tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    made = model(nodes, {"x": [2, 2, 4]}, {"to": np.array([4, 4]), "w": floats(4, 3)})
    path = tmp_path / "model.onnx"
    onnx.save(made, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert import_onnx(path).macs == 4 * 4 * 3
    stored = onnx.load(str(path), load_external_data=False)
    next(e for e in stored.graph.initializer[0].external_data if e.key == "location").value = "../weights.bin"
    inner = tmp_path / "inner"
    inner.mkdir()
    onnx.save(stored, str(inner / "model.onnx"))
    with pytest.raises(ArmillaryError, match="tensor 'r' at MatMul node 'y' cannot be resolved"):
        import_onnx(inner / "model.onnx")


def test_nodes_in_any_order_are_sorted(imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["x", "w"], ["a"]),
    ]
    assert imported(nodes, {"x": [2, 8]}, {"w": floats(8, 8)}, outputs=["c"]).macs == 2 * 2 * 64


def test_a_cycle_through_a_body_is_refused(imported: Import) -> None:
    inner = [helper.make_node("Relu", ["b"], ["t"])]
    then = helper.make_graph(inner, "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])
    nodes = [
        helper.make_node("If", ["c"], ["a"], name="if", then_branch=then, else_branch=then),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="p"),
    ]
    with pytest.raises(ArmillaryError, match="its nodes form a cycle: MatMul node 'p', If node 'if'"):
        imported(nodes, {"x": [2, 8]}, {"w": floats(8, 8), "c": np.array(True)})


def functions(depth: int) -> list[onnx.FunctionProto]:
    """Each calls the one before it twice."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ours", 1)]
    found = [helper.make_function("ours", "f0", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opsets)]
    for number in range(1, depth + 1):
        inner = f"f{number - 1}"
        nodes = [
            helper.make_node(inner, ["x"], ["a"], domain="ours"),
            helper.make_node(inner, ["a"], ["y"], domain="ours"),
        ]
        found.append(helper.make_function("ours", f"f{number}", ["x"], ["y"], nodes, opsets))
    return found


def test_functions_that_call_each_other_are_bounded(imported: Import, model: Model) -> None:
    for depth, refused in ((5, False), (40, True)):
        nodes = [
            helper.make_node(f"f{depth}", ["x"], ["a"], domain="ours"),
            helper.make_node("MatMul", ["a", "w"], ["y"]),
        ]
        made = model(nodes, {"x": [2, 8]}, {"w": floats(8, 4)}, functions=functions(depth))
        if refused:
            with pytest.raises(ArmillaryError, match=r"its functions, inlined, are 1\.1e\+12 nodes; at most 1,000,000"):
                imported(made)
        else:
            workload = imported(made)
            assert workload.macs == 64
            assert [(row.op_type, row.count) for row in workload.not_mapped] == [("Relu", 32)]


def test_a_function_that_calls_itself_is_refused(imported: Import, model: Model) -> None:
    made = model([helper.make_node("f1", ["x"], ["y"], domain="ours")], {"x": [2, 8]}, functions=functions(1))
    made.functions[0].node[0].op_type, made.functions[0].node[0].domain = "f0", "ours"
    with pytest.raises(ArmillaryError, match=r"function 'ours\.f0' calls itself"):
        imported(made)


@pytest.mark.parametrize("op_type", ["Concat", "Add", "Mul", "Sigmoid"])
@pytest.mark.parametrize("constant", [False, True])
def test_forty_doublings_end(op_type: str, constant: bool, imported: Import) -> None:
    """Of the size of a tensor, of what a sum holds, of how deep functions nest."""
    more = {"axis": 0} if op_type == "Concat" else {}
    names = ["c" if constant else "x", *(f"t{i}" for i in range(40))]
    nodes = []
    for before, after in itertools.pairwise(names):
        if op_type == "Sigmoid":
            nodes += [
                helper.make_node("Sigmoid", [before], [f"{after}s"]),
                helper.make_node("Mul", [f"{after}s"] * 2, [after]),
            ]
        else:
            nodes.append(helper.make_node(op_type, [before, before], [after], **more))
    nodes.append(helper.make_node("MatMul", ["z", "w"], ["y"]))
    size = 4 * 2**40 if op_type == "Concat" else 4
    workload = imported(
        [*nodes, helper.make_node("Relu", [names[-1]], ["o"])], {"x": [4], "z": [2, 8]},
        {"c": floats(4), "w": floats(8, 4)}, outputs=["y", "o"],
    )  # fmt: skip
    assert workload.macs == 64
    assert {row.op_type: row.bytes_moved for row in workload.not_mapped}["Relu"] == (0 if constant else 8 * size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: graph.initializer.append(graph.initializer[0]), "tensor 'w' is given twice"),
        (lambda graph: graph.input.append(graph.input[0]), "tensor 'x' is an input twice"),
        (lambda graph: graph.node[0].output.__setitem__(0, "x"), "tensor 'x' is both an input and computed"),
    ],
)
def test_a_name_of_two_tensors_is_refused(
    change: Callable[[onnx.GraphProto], None], message: str, imported: Import, model: Model
) -> None:
    made = product(model)
    change(made.graph)
    with pytest.raises(ArmillaryError, match=message):
        imported(made)


def test_a_large_constant_is_no_shape(imported: Import) -> None:
    weights = numpy_helper.from_array(floats(100, 100), "w")
    assert math.prod(weights.dims) > 4096
    assert (
        imported([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [2, 100]}, {"w": weights}).parameters == 10_000
    )
