"""ONNX Runtime and NumPy compute the same integers, and those mean what the float model computes."""

import builtins

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.types import ArmillaryError
from armillary.workloads.quantized.executing import differing, execute
from armillary.workloads.quantized.quantizing import calibrated, integers, quantized
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.runtime import integer_graph, reference, run_model
from armillary.workloads.quantized.step import IntegerNetwork, Multiplier, Step, TensorInfo, Window
from workloads.quantized.small_networks import (
    ACTIVATIONS,
    Builder,
    activated_network,
    inverted_residual,
    random_network,
    residual_block,
    transposed_products,
)

BUILDERS = {"residual": residual_block, "inverted": inverted_residual}


def both(network, seed=0):
    values = np.random.default_rng(seed).integers(-128, 128, network.inputs.shape).astype(np.int8)
    return execute(network, values), reference(network, values)


def network_of(path, seed=0):
    found = read_network(path, seed=seed)
    return quantized(found, calibrated(found, seed=seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", BUILDERS)
def test_numpy_computes_what_onnx_runtime_computes(kind, seed, tmp_path):
    found, expected = both(network_of(BUILDERS[kind](seed).save(tmp_path / "net.onnx")), seed)
    assert not differing(found, expected)
    assert all(len(np.unique(values)) > 2 for values in expected.values())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_numpy_computes_what_onnx_runtime_computes_on_random_networks(tmp_path_factory, seed):
    path = random_network(seed).save(tmp_path_factory.mktemp("random") / "net.onnx")
    found, expected = both(network_of(path, seed % 1000), seed)
    assert not differing(found, expected)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_both_agree_on_whole_networks(name, shared_onnx):
    found, expected = both(network_of(shared_onnx / f"{name}.onnx"))
    assert not differing(found, expected)
    assert len(expected) == {"resnet18": 24, "mobilenetv2": 55}[name]
    assert all(values.std() > 5 for values in expected.values())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [*BUILDERS, "random"])
def test_the_integers_mean_what_the_float_model_computes(kind, seed, tmp_path):
    builder = BUILDERS.get(kind, random_network)(seed)
    floats = read_network(builder.save(tmp_path / "net.onnx"))
    network = quantized(floats, calibrated(floats))
    image = np.random.default_rng(seed).normal(size=network.inputs.shape).astype(np.float32)
    expected = run_model(floats.model, {"image": image}, [builder.last])[builder.last]
    found = execute(network, integers(image, network.inputs))[builder.last] * network.steps[-1].output.scale
    error = np.abs(found.reshape(expected.shape) - expected).max()
    assert error < 0.15 * max(np.abs(expected).max(), 127 * network.steps[-1].output.scale)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_are_tables_that_mean_what_the_float_model_computes(kind, tmp_path):
    net = Builder((1, 3, 9, 8), 1)
    net.conv(8)
    last = ACTIVATIONS[kind](net)
    floats = read_network(net.save(tmp_path / "net.onnx"))
    network = quantized(floats, calibrated(floats))
    (step,) = network.steps
    assert (step.kind, step.output.name) == ("conv", last)
    image = np.random.default_rng(1).normal(size=network.inputs.shape).astype(np.float32)
    before, exact = run_model(floats.model, {"image": image}, [net.nodes[0].output[0], last]).values()
    values = integers(image, network.inputs)
    found, expected = execute(network, values), reference(network, values)
    assert not differing(found, expected)
    steepest = 1.2  # of all these functions, and the bytes before are off by up to three steps of their scale
    allowed = 3 * steepest * np.abs(before).max() / 127 + step.output.scale
    assert np.abs(found[last] * step.output.scale - exact).max() < allowed
    assert len(np.unique(found[last])) > 10


@pytest.mark.parametrize("seed", range(4))
def test_both_agree_on_activations_and_pools(seed, tmp_path):
    network = network_of(activated_network(seed).save(tmp_path / "net.onnx"))
    found, expected = both(network, seed)
    assert not differing(found, expected)
    for conv, pool in network.poolable():
        together, expected = both(network.pooled(conv, pool), seed)
        assert not differing(together, expected)
        assert conv.output.name not in together
        np.testing.assert_array_equal(together[pool.output.name], found[pool.output.name])


@pytest.mark.parametrize("seed", [0, 1])  # images that saturate no tensor
def test_products_of_transposed_matrices_are_what_the_float_model_computes(seed, tmp_path):
    builder = transposed_products(seed)
    floats = read_network(builder.save(tmp_path / "net.onnx"))
    network = quantized(floats, calibrated(floats))
    image = np.random.default_rng(seed).normal(size=network.inputs.shape).astype(np.float32)
    matrix = image.reshape(builder.shapes["image"])
    expected = run_model(floats.model, {"image": matrix}, [builder.last])[builder.last]
    held = integers(image, network.inputs)
    found = execute(network, held)
    assert not differing(found, reference(network, held))
    error = np.abs(found[builder.last].reshape(expected.shape) * network.steps[-1].output.scale - expected).max()
    assert error < 0.06 * np.abs(expected).max()


EXTREMES = [np.full((1, 64, 5, 5), value, dtype=np.int8) for value in (-128, 127)]


@pytest.mark.parametrize("inputs", EXTREMES)
@pytest.mark.parametrize("weight", [-128, 127])
def test_sums_do_not_saturate_on_the_way(inputs, weight):
    image, output = TensorInfo("image", (1, 64, 5, 5), 1.0), TensorInfo("y", (1, 2, 5, 5), 1.0)
    weights = np.full((2, 64, 3, 3), weight, dtype=np.int8)
    step = Step(
        "conv", "conv", image, output, Window((3, 3), pads=(1, 1, 1, 1)),
        weights=weights, bias=np.array([0, -9_000_000], dtype=np.int32), scale=float(np.float32(1e-5)),
    )  # fmt: skip
    network = IntegerNetwork("one", image, (step,))
    found, expected = execute(network, inputs), reference(network, inputs)
    np.testing.assert_array_equal(found["y"], expected["y"])
    middle = round(float(np.float32(64 * 9 * weight * int(inputs[0, 0, 0, 0])) * np.float32(1e-5)))
    assert found["y"][0, 0, 2, 2] == np.clip(middle, -128, 127)


@pytest.mark.parametrize(("total", "rounded"), [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2)])
def test_halves_go_to_the_even_number(total, rounded):
    one, two = TensorInfo("a", (1, 1, 1, 1), 1.0), TensorInfo("y", (1, 1, 1, 1), 1.0)
    step = Step("add", "add", one, two, residual=one, residual_multiplier=Multiplier(1, 1), scale=1 / 6)
    network = IntegerNetwork("one", one, (step,))
    values = np.full((1, 1, 1, 1), total, dtype=np.int8)  # a + 2 a = 3 a, over 6
    for found in (execute(network, values), reference(network, values)):
        assert found["y"].item() == rounded


def test_the_integer_graph_is_a_model_that_stands_alone(tmp_path):
    network = network_of(residual_block().save(tmp_path / "net.onnx"))
    graph = integer_graph(network)
    onnx.checker.check_model(graph, full_check=True)
    assert [output.name for output in graph.graph.output] == [step.output.name for step in network.steps]
    assert {"ConvInteger", "MatMulInteger", "MaxPool"} <= {node.op_type for node in graph.graph.node}


def test_a_missing_runtime_is_named_with_its_package(monkeypatch):
    real = builtins.__import__

    def refusing(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ArmillaryError, match=r"pip install 'armillary\[rtl\]'"):
        run_model(residual_block().model(), {}, [])


def test_a_tensor_that_differs_is_named():
    values = {"a": np.zeros((1, 2), np.int8), "b": np.zeros((1, 2), np.int8)}
    other = {"a": np.array([[0, 1]], np.int8), "b": values["b"]}
    assert differing(other, values) == ["a"]
    assert differing({"a": values["a"]}, values) == ["b"]
    assert differing({**values, "b": np.zeros((2, 1), np.int8)}, values) == ["b"]
