"""Which layers of an ONNX file alone read what others put out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from armillary.benchmarks.language_models import GPT2, LLAMA3_8B, write
from armillary.studies.running import Running
from armillary.workloads import zoo
from armillary.workloads.onnx.importer import import_onnx
from armillary.workloads.phases import Phase

ROWS, INNER = 6, 16


def imported(tmp_path, nodes, outputs=("y",), **constants):
    """Return the workload of nodes between two matrix products of [6, 8] by [8, 16] by [16, 8]."""
    first = helper.make_node("MatMul", ["x", "a"], ["t"], name="first")
    second = helper.make_node("MatMul", ["u", "b"], ["y"], name="second")
    weights = {"a": np.zeros((8, INNER)), "b": np.zeros((INNER, 8)), **constants}
    graph = helper.make_graph(
        [first, *nodes, second],
        "pair",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, 8]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [ROWS, INNER]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in weights.items()],
    )
    path = Path(tmp_path) / "pair.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    return import_onnx(path)


def node(kind, inputs, output, **options):
    return helper.make_node(kind, inputs, [output], **options)


GELU = [
    node("Div", ["t", "root"], "d"),
    node("Erf", ["d"], "e"),
    node("Add", ["e", "one"], "s"),
    node("Mul", ["t", "s"], "m"),
    node("Mul", ["m", "half"], "u"),
]


@pytest.mark.parametrize(
    ("nodes", "kinds"),
    [
        ([node("Relu", ["t"], "u")], ["clamp"]),
        ([node("Softmax", ["t"], "u")], ["softmax"]),
        ([node("Add", ["t", "z"], "s"), node("Softmax", ["s"], "u", axis=1)], ["sum", "softmax"]),
        (GELU, ["function"]),
    ],
    ids=["relu", "softmax", "mask_and_softmax", "written_out_gelu"],
)
def test_a_row_at_a_time_lies_between(tmp_path, nodes, kinds):
    workload = imported(tmp_path, nodes, root=np.sqrt(2), one=1.0, half=0.5)
    (pair,) = workload.pairs
    assert [workload.layers[place].layer.name for place in (pair.producer, pair.consumer)] == ["first", "second"]
    assert [use.work.kind for use in pair.between] == kinds
    assert {use.work for use in pair.between} <= {use.work for use in workload.beside}


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Softmax", ["t"], "u", axis=0)], ("y",)),
        ([node("Relu", ["t"], "u")], ("y", "u")),
        ([node("Relu", ["t"], "u"), node("Sigmoid", ["t"], "v"), node("Neg", ["v"], "w")], ("y", "w")),
        ([node("ReduceMax", ["t"], "r", keepdims=1), node("Sub", ["t", "r"], "u")], ("y",)),
    ],
    ids=["softmax_over_rows", "an_output_itself", "somebody_else_reads", "a_maximum_first"],
)
def test_what_needs_more_than_a_row_or_is_read_elsewhere_makes_no_pair(tmp_path, nodes, outputs):
    assert not imported(tmp_path, nodes, outputs).pairs


@pytest.mark.parametrize(
    ("decoder", "phase"), [(GPT2, Phase("prefill", 64, 0, 2)), (LLAMA3_8B, Phase("decode", 1, 64, 1))]
)
def test_exported_decoders_have_the_layers_and_pairs_of_the_zoo(tmp_path, decoder, phase):
    exported = Running(phase=phase).load(str(write(decoder, tmp_path)))
    drawn = Running(phase=phase).load(decoder.name)
    assert decoder.name in zoo.names()
    assert (exported.macs, exported.parameters) == (drawn.macs, drawn.parameters)

    def shapes(workload):
        return {(workload.layers[p.producer].layer, workload.layers[p.consumer].layer, p.count) for p in workload.pairs}

    assert shapes(drawn) <= shapes(exported)
    attention = exported.pairs[0]
    assert [use.work.kind for use in attention.between] == ["softmax"]
    assert attention.count == decoder.blocks
