from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
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


def rows(workload: Workload) -> dict[str, tuple[int, int]]:
    return {row.op_type: (row.count, row.bytes_moved) for row in workload.not_mapped}


# MACs from the notes beside the files; parameters as the models' authors count them, batch
# normalisation included (torchvision; BVLC's AlexNet).
@pytest.mark.parametrize(
    ("file", "macs", "parameters"),
    [
        ("resnet18.onnx", 1_814_073_344, 11_689_512),
        ("mobilenetv2.onnx", 300_774_272, 3_504_872),
        ("alexnet.onnx", 654_560_384, 60_965_224),
    ],
)
def test_files_of_others_have_the_known_macs_and_parameters(
    file: str, macs: int, parameters: int, shared_onnx: Path
) -> None:
    workload = import_onnx(shared_onnx / file)
    assert workload.name == Path(file).stem
    assert workload.macs == macs
    assert workload.parameters == pytest.approx(parameters, rel=0.01)
    nodes = onnx.load(str(shared_onnx / file), load_external_data=False).graph.node
    mapped = sum(workload.count(kind) for kind in ("conv", "depthwise", "gemm"))
    assert mapped + sum(row.count for row in workload.not_mapped) == len(nodes)


def test_a_training_step_multiplies_by_weights_that_are_inputs(shared_onnx: Path) -> None:
    workload = import_onnx(shared_onnx / "backprop8_16_4.onnx")
    assert workload.macs == 8 * 16 + 16 * 4 + 4 * 16
    assert workload.parameters == 0
    assert rows(workload)["Sigmoid"] == (2, 4 * (16 + 16 + 4 + 4))


def test_a_file_without_any_product_of_matrices_is_refused(imported: Import) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["h"]), helper.make_node("Erf", ["h"], ["y"])]
    with pytest.raises(
        ArmillaryError,
        match=r"no operator that can be mapped; it has 1 x Mul, 1 x Erf; mapped are .*Conv,.*; "
        "nor is it a small machine-learning algorithm: Erf node 'y' is none of .*; "
        "nor a dataflow graph of scalars: Erf node 'y' is none of",
    ):
        imported(nodes, {"x": [1, 4]})


def test_equal_layers_are_merged_with_a_count(imported: Import) -> None:
    names = ["x", "a", "b", "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(3)]
    workload = imported(nodes, {"x": [5, 8]}, {f"w{i}": floats(8, 8) for i in range(3)})
    assert [(use.count, use.weight_sets) for use in workload.layers] == [(3, 3)]
    assert workload.parameters == 192


def test_other_operators_are_listed_with_what_they_move(imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Cast", ["h"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Relu", ["half"], ["r"]),
        helper.make_node("Greater", ["r", "zero"], ["bits"]),
        helper.make_node("Strange", ["r"], ["s"], domain="ours"),
        helper.make_node("Identity", ["bits"], ["y"]),
    ]
    workload = imported(nodes, {"x": [4, 8]}, {"w": floats(8, 16), "zero": np.float16(0)}, outputs=["y", "s"])
    assert rows(workload) == {
        "Cast": (1, 64 * (4 + 2)),
        "Relu": (1, 64 * (2 + 2)),
        "Greater": (1, 64 * (2 + 1) + 2),
        "ours.Strange": (1, 64 * 2),
        "Identity": (1, 64 * 2),
    }
    assert {row.op_type: row.unsized for row in workload.not_mapped}["ours.Strange"] == 1


def test_four_bit_values_move_half_a_byte(imported: Import) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Cast", ["h"], ["q"], to=TensorProto.INT4),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.FLOAT),
    ]
    workload = imported(nodes, {"x": [3, 8]}, {"w": floats(8, 3)})
    assert rows(workload)["Cast"] == (2, 2 * (4 * 9 + 5))


def test_shape_arithmetic_is_listed_and_moves_nothing(imported: Import) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "minus"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"zero": np.array([0]), "minus": np.array([-1]), "w": floats(12, 5)}
    workload = imported(nodes, {"x": [2, 3, 4]}, constants)
    assert rows(workload) == {"Shape": (1, 0), "Gather": (1, 0), "Concat": (1, 0), "Reshape": (1, 2 * 96 + 16)}


def test_a_product_of_constants_is_done_before_inference(imported: Import) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    workload = imported(nodes, {"x": [2, 8]}, {"a": floats(8, 4), "b": floats(4, 8)})
    assert workload.macs == 2 * 8 * 8
    assert workload.parameters == 64
    assert rows(workload) == {"MatMul": (1, 0)}


def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes), name, [], [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    )


@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_that_a_constant_takes_is_counted(taken: bool, imported: Import) -> None:
    condition = onnx.helper.make_tensor("c", TensorProto.BOOL, [], [taken])
    then = branch("then", helper.make_node("MatMul", ["h", "w"], ["t"]))
    other = branch("else", helper.make_node("Relu", ["h"], ["e1"]), helper.make_node("Relu", ["e1"], ["e2"]))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    workload = imported(nodes, {"x": [2, 8]}, {"w": floats(8, 8), "c": condition})
    listed = rows(workload)
    if taken:
        assert workload.macs == 2 * 2 * 8 * 8
        assert workload.parameters == 64
        assert {name: count for name, (count, _) in listed.items()} == {"If": 1}
    else:
        assert workload.macs == 2 * 8 * 8
        assert {name: count for name, (count, _) in listed.items()} == {"If": 1, "If/Relu": 2}
        assert listed["If/Relu"][1] == 4 * 64
    assert all(row.unsized == 0 for row in workload.not_mapped)


def test_local_functions_are_inlined(imported: Import, model: Model) -> None:
    dense = helper.make_function(
        "ours", "Dense", ["x", "w"], ["y"],
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])],
        [helper.make_opsetid("", 21)],
    )  # fmt: skip
    nodes = [helper.make_node("Dense", ["x", "w"], ["y"], domain="ours")]
    workload = imported(model(nodes, {"x": [2, 8]}, {"w": floats(8, 4)}, functions=[dense]))
    assert (workload.macs, workload.parameters) == (64, 32)
    assert rows(workload) == {"Relu": (1, 2 * 32)}


def transformer_layers(layers: int) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Ten nodes per layer."""
    nodes = []
    for i in range(layers):
        x = f"x{i}"
        for name in "qkv":
            nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"{name}{i}"]))
        nodes += [
            helper.make_node("Transpose", [f"k{i}"], [f"t{i}"], perm=[0, 2, 1]),
            helper.make_node("MatMul", [f"q{i}", f"t{i}"], [f"s{i}"]),
            helper.make_node("Softmax", [f"s{i}"], [f"p{i}"]),
            helper.make_node("MatMul", [f"p{i}", f"v{i}"], [f"a{i}"]),
            helper.make_node("Shape", [f"a{i}"], [f"n{i}"]),
            helper.make_node("Reshape", [f"a{i}", f"n{i}"], [f"r{i}"]),
            helper.make_node("Add", [f"r{i}", x], [f"x{i + 1}"]),
        ]
    return nodes, {f"w{i}": floats(16, 16) for i in range(layers)}


def test_five_thousand_nodes_import_in_seconds(model: Model, tmp_path: Path) -> None:
    nodes, weights = transformer_layers(500)
    assert len(nodes) == 5000
    path = tmp_path / "deep.onnx"
    onnx.save(model(nodes, {"x0": ["batch", 12, 16]}, weights), str(path))
    start = time.process_time()  # of this process alone, whatever else the machine does
    workload = import_onnx(path, {"batch": 1})
    assert time.process_time() - start < 2
    assert workload.macs == 500 * (3 * 12 * 16 * 16 + 2 * 12 * 12 * 16)


def test_work_grows_in_proportion_to_the_nodes(model: Model, tmp_path: Path) -> None:
    calls = {}
    for layers in (20, 80):
        nodes, weights = transformer_layers(layers)
        path = tmp_path / f"deep_{layers}.onnx"
        onnx.save(model(nodes, {"x0": [1, 12, 16]}, weights), str(path))
        calls[layers] = _count_calls(path)
    assert calls[80] < 4.2 * calls[20]


def _count_calls(path: Path) -> int:
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        import_onnx(path)
    finally:
        sys.setprofile(None)
    return count


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArmillaryError, match=r"none\.onnx: cannot be read: No such file"):
        import_onnx(tmp_path / "none.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArmillaryError, match="cannot be read: Is a directory"):
        import_onnx(tmp_path)


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.1])
def test_a_truncated_file_is_refused(keep: float, shared_onnx: Path, tmp_path: Path) -> None:
    content = (shared_onnx / "resnet18.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ArmillaryError, match=r"cut\.onnx: no ONNX model, or a truncated one \([\d,]+ bytes\)"):
        import_onnx(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(64), b"name: resnet\nlayers: 18\n", bytes(range(256))]
)
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ArmillaryError, match=r"other\.onnx: no ONNX model.*export or download it again"):
        import_onnx(path)


def test_a_model_without_operators_is_refused(imported: Import, model: Model) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]})
    del made.graph.node[:]
    made.graph.output[0].name = "x"
    with pytest.raises(
        ArmillaryError, match="no operator that can be mapped; it has none at all; mapped are Attention"
    ):
        imported(made)


def test_a_shape_lost_at_a_strange_operator_is_refused(imported: Import) -> None:
    nodes = [
        helper.make_node("Strange", ["x"], ["s"], name="odd", domain="ours"),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["y"], name="first"),
    ]
    message = r"shape of tensor '\w' at Conv node 'first' cannot be resolved \(it is lost at ours\.Strange node 'odd'\)"
    with pytest.raises(ArmillaryError, match=message):
        imported(nodes, {"x": [1, 3, 8, 8]}, {"w": floats(4, 3, 3, 3)})


def test_filters_of_unknown_shape_are_refused(imported: Import) -> None:
    nodes = [
        helper.make_node("Strange", ["z"], ["w"], name="odd", domain="ours"),
        helper.make_node("Conv", ["x", "w"], ["y"], name="first"),
    ]
    with pytest.raises(ArmillaryError, match=r"shape of tensor 'w' at Conv node 'first'.*ours\.Strange node 'odd'"):
        imported(nodes, {"x": [1, 3, 8, 8], "z": [4]})


def test_a_damaged_file_is_read_or_refused_but_breaks_nothing(shared_onnx: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / "damaged.onnx"
    for file in ("alexnet.onnx", "backprop8_16_4.onnx"):
        content = np.frombuffer((shared_onnx / file).read_bytes(), dtype=np.uint8)
        refused = 0
        for _ in range(60):
            damaged = content.copy()
            damaged[generator.integers(len(content), size=3)] = generator.integers(256, size=3)
            path.write_bytes(damaged.tobytes())
            try:
                import_onnx(path)
            except ArmillaryError as fault:
                refused += 1
                assert str(fault).startswith(str(path))  # noqa: PT017
        assert refused > 0


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([helper.make_node("Relu", ["x"], ["y"])] * 2, r"tensor 'y' is computed twice"),
        ([helper.make_node("Relu", ["x"], ["w"])], r"tensor 'w' is both given and computed"),
        ([helper.make_node("Relu", ["x"], []), helper.make_node("Relu", ["x"], ["y"])], r"Relu node 0 has no output"),
        (
            [helper.make_node("Conv", ["x", "w"], ["y"], group="two")],
            r"Conv node 'y' cannot be read: attribute group='two' is not of type int",
        ),
    ],
)
def test_an_invalid_graph_is_refused(nodes: list[onnx.NodeProto], message: str, imported: Import) -> None:
    with pytest.raises(ArmillaryError, match=message):
        imported(nodes, {"x": [1, 4, 8, 8]}, {"w": floats(4, 2, 3, 3)})
