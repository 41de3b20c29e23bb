"""Scalar graphs compute what ONNX's own reference evaluator says that the file does."""

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from armillary.types import ArmillaryError
from armillary.workloads.dataflow import Dataflow, Operation, Output, Tensor
from armillary.workloads.describe import as_json
from armillary.workloads.onnx.importer import import_onnx
from workloads.onnx import algorithm_models as models

HEAD = '<ir_version: 8, opset_import: ["" : 15]>\nmodel '


def evaluated(graph, feeds):
    """Return the outputs of a graph by name, in real numbers."""
    values = [float(v) for tensor in graph.inputs for v in np.ravel(feeds[tensor.name])] + list(graph.constants)
    rules = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "max": max, "min": min,
        "greater": lambda a, b: float(a > b), "equal": lambda a, b: float(a == b),
        "select": lambda a, b: b if a else 0.0, "reject": lambda a, b: 0.0 if a else b,
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "pass": lambda a: a, "sum": lambda *terms: sum(terms),
    }  # fmt: skip
    for operation in graph.operations:
        values.append(rules[operation.kind](*(values[operand] for operand in operation.operands)))
    return {o.name: np.array([values[v] for v in o.values]).reshape(o.shape) for o in graph.outputs}


def random_feeds(graph, rng):
    return {tensor.name: rng.uniform(-2, 2, size=tensor.shape).astype(np.float32) for tensor in graph.inputs}


def check(model, imported, seed=0):
    """Compare a model's scalar graph with ONNX's evaluator on random inputs; return the graph."""
    workload = imported(model)
    assert workload.dataflow is not None, workload.no_dataflow
    rng, runs = np.random.default_rng(seed), ReferenceEvaluator(model)
    for _ in range(3):
        feeds = random_feeds(workload.dataflow, rng)
        expected = runs.run(None, feeds)
        found = evaluated(workload.dataflow, feeds)
        for name, value in zip([output.name for output in model.graph.output], expected, strict=True):
            assert found[name].shape == np.shape(value)
            np.testing.assert_allclose(found[name], np.asarray(value, dtype=float), rtol=1e-4, atol=1e-5)
    return workload.dataflow


@pytest.fixture
def imported(tmp_path):
    def load(model):
        onnx.save(model, str(tmp_path / "model.onnx"))
        return import_onnx(tmp_path / "model.onnx")

    return load


def model_of(text, shape="2,3", constants="float[3] c = {0.5, -1.0, 2.0}, float zero = {0.0}, float half = {0.5}"):
    text = f"({f'float[{shape}] x, float[{shape}] z'}) => (float[M,N] y) <{constants}> {{ {text} }}"
    return onnx.parser.parse_model(HEAD + text)


ELEMENTWISE = {
    "arithmetic": "a = Add(x, c) b = Sub(a, z) d = Mul(b, x) e = Div(d, c) y = Neg(e)",
    "maximum": "a = Max(x, z, c) b = Min(a, half) y = Abs(b)",
    "activations": "a = Relu(x) b = LeakyRelu<alpha=0.25>(z) d = Sigmoid(a) e = Tanh(b) y = Add(d, e)",
    "sign": "a = Sign(x) b = Clip(z, zero, half) y = Mul(a, b)",
    "greater": "a = Greater(x, z) b = GreaterOrEqual(x, c) d = Or(a, b) e = Cast<to=1>(d) y = Mul(e, x)",
    "less": "a = Less(x, z) b = LessOrEqual(x, c) d = And(a, b) e = Not(d) y = Where(e, x, z)",
    "equal": "a = Sign(x) b = Sign(z) d = Equal(a, b) y = Where(d, c, x)",
    "several": "a = Sum(x, z, c) y = Identity(a)",
}
SHAPES = {
    "transpose": "t = Transpose(x) p = MatMul(z, t) y = Transpose<perm=[1, 0]>(p)",
    "reduce": "a = ReduceSum<keepdims=1>(x, one) b = ReduceMean<axes=[0], keepdims=1>(z) y = Mul(a, b)",
    "reduce_all": "a = ReduceSum<keepdims=1>(x) y = Mul(a, z)",
    "reshape": "a = Reshape(x, six) b = Unsqueeze(a, one) d = Flatten(b) y = Identity(d)",
    "concat": "a = Concat<axis=1>(x, z) b = Squeeze(a) y = Relu(b)",
    "expand": "a = ReduceSum<keepdims=1>(x, one) b = Expand(a, wide) y = Add(b, z)",
    "gemm": "t = Transpose(z) y = Gemm<alpha=0.5, beta=2.0, transA=1, transB=1>(x, t, c)",
}
_INTEGERS = "float[3] c = {0.5, -1.0, 2.0}, int64[1] one = {1}, int64[1] six = {6}, int64[2] wide = {2, 3}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_operators_on_elements(name, imported):
    check(model_of(ELEMENTWISE[name]), imported)


@pytest.mark.parametrize("name", SHAPES)
def test_operators_that_move_and_reduce(name, imported):
    model = model_of(SHAPES[name], constants=_INTEGERS)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    check(model, imported)


@pytest.mark.parametrize("text", [*models.STEPS.values(), *models.OTHER_STEPS.values()])
def test_steps_of_training_keep_their_parameters(text, imported):
    graph = check(models.training(text), imported)
    assert [tensor.name for tensor in graph.parameters] == ["W"]
    assert [tensor.name for tensor in graph.streamed] == ["x", "y"]
    assert not graph.emitted


@pytest.mark.parametrize("text", models.PREDICTIONS.values())
def test_predictions_leave(text, imported):
    graph = check(models.inference(text), imported)
    assert not graph.parameters
    assert [output.name for output in graph.emitted] == ["out"]


def test_a_recommender_keeps_both_its_factors(imported):
    graph = check(models.whole(models.RECOMMENDER), imported)
    assert {output.name: output.updates for output in graph.outputs} == {"u1": "u", "v1": "v"}


@pytest.mark.parametrize("name", ["svm54", "linear54", "logistic54", "backprop8_16_4"])
def test_public_files(name, shared_data):
    """Their outputs have no shape, and a number of theirs is an input that has a value."""
    path = shared_data / "onnx" / f"{name}.onnx"
    graph, runs = import_onnx(path).dataflow, ReferenceEvaluator(str(path))
    feeds = random_feeds(graph, np.random.default_rng(1))
    found = evaluated(graph, feeds)
    for output, expected in zip(graph.outputs, runs.run([o.name for o in graph.outputs], feeds), strict=True):
        np.testing.assert_allclose(found[output.name], expected, rtol=1e-4, atol=1e-4)
        assert output.updates.startswith("W")


def test_a_graph_is_described(imported):
    described = as_json(imported(models.training(models.STEPS["linear_regression"])))["dataflow"]
    assert described == {
        "streamed": 6, "kept": 5, "emitted": 0, "constants": 1, "scalar_operations": 5 + 4 + 1 + 5 + 5 + 5,
        "mul": 15, "sub": 6, "sum": 1,
    }  # fmt: skip


def test_what_comes_to_nothing_is_left_out(imported):
    """0 and 1 vanish, constants are folded, what is computed twice is computed once, and unused results are not."""
    graph = imported(model_of("a = Mul(x, half) b = Mul(half, x) d = Add(a, zero) e = Sub(b, d) u = Sigmoid(z) "
                              "f = Add(half, half) g = Mul(x, f) y = Add(g, e)")).dataflow  # fmt: skip
    kinds = [operation.kind for operation in graph.operations]
    assert sorted(kinds) == sorted(["mul", "sub", "add"] * 6)
    assert graph.constants == (0.5,)


def test_an_only_input_is_no_parameter(imported):
    text = HEAD + "(float[3] x) => (float[3] y) <float h = {0.5}> { a = Sigmoid(x) y = Add(x, a) }"
    assert not imported(onnx.parser.parse_model(text)).dataflow.parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y = Erf(x)", "Erf node 'y' is none of Abs, Add,"),
        ("y = Div(x, z)", "Div node 'y' needs a constant as its input 1"),
        ("a = Mul(c, zero) y = Div(x, a)", "Div node 'y' divides by zero"),
        ("a = Cast<to=7>(x) b = Cast<to=1>(a) y = Add(b, z)", "Cast node 'a' makes something else than numbers"),
        ("y = LeakyRelu<alpha=1.5>(x)", "LeakyRelu node 'y' has a slope of 1.5; it has to be 0 to 1"),
    ],
)
def test_what_is_no_graph_of_scalars_names_a_node(text, message, imported):
    text = text.replace("y = ", "h = ") + " p = MatMul(h, z)"  # so that there is a layer
    model = model_of(text, shape="3,3")
    model.graph.output[0].name = "p"
    workload = imported(model)
    assert workload.dataflow is None
    assert message.replace("'y'", "'h'") in workload.no_dataflow


def test_large_ones_are_told_before_they_are_unrolled(imported):
    text = HEAD + "(float[64,64] x, float[64,64] z) => (float[64,64] y) { y = MatMul(x, z) }"
    workload = imported(onnx.parser.parse_model(text))
    assert workload.no_dataflow == "MatMul node 'y' makes it more than 16,384 scalar operations"


def test_large_tensors_are_not_unrolled(imported):
    text = HEAD + "(float[300,1] x, float[1,300] z) => (float[300,300] y) { y = Add(x, z) }"
    with pytest.raises(ArmillaryError, match="one of its tensors would have 90,000 elements; at most 65,536"):
        imported(onnx.parser.parse_model(text))


@pytest.mark.parametrize(
    ("operations", "outputs", "message"),
    [
        ([Operation("add", (0, 3))], [Output("y", (1,), (2,))], "value 3 is not computed from values before it"),
        ([], [Output("y", (1,), (0,), updates="x")], "output 'y' cannot replace the input 'x'"),
    ],
)
def test_illegal_graphs_are_refused(operations, outputs, message):
    with pytest.raises(ValueError, match=message):
        Dataflow((Tensor("x", (2,)),), (1.0,), tuple(operations), tuple(outputs))


def test_operations_have_their_operands():
    with pytest.raises(ValueError, match="mul of 3 operands is not allowed; it has 2"):
        Operation("mul", (0, 1, 2))
    with pytest.raises(ValueError, match="sum of 1 operands is not allowed"):
        Operation("sum", (0,))
