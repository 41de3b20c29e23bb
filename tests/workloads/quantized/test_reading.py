import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.quantized.reading import read_network
from armillary.workloads.quantized.step import Window
from workloads.quantized.small_networks import Builder, inverted_residual, residual_block


@pytest.fixture
def read(tmp_path):
    return lambda builder, **more: read_network(builder.save(tmp_path / "net.onnx"), **more)


def kinds(network):
    return [(o.kind, o.residual is not None, o.low, o.high) for o in network.operations]


def test_activations_and_additions_become_part_of_the_convolution_before(read):
    relu, plain = (0.0, math.inf), (-math.inf, math.inf)
    assert kinds(read(residual_block())) == [
        ("conv", False, *relu),
        ("max_pool", False, *plain),
        ("conv", True, *relu),
        ("conv", False, *relu),
        ("conv", False, *plain),
        ("conv", True, *relu),
        ("average_pool", False, *plain),
        ("conv", False, *plain),
    ]
    assert [high for _, _, _, high in kinds(read(inverted_residual()))] == [
        math.inf, 6.0, 6.0, math.inf, 20.0, math.inf, math.inf,
    ]  # fmt: skip


def test_a_residual_is_there_before_it_is_added(read):
    network = read(residual_block())
    there = {network.inputs}
    for operation in network.operations:
        assert {operation.inputs, operation.residual or network.inputs} <= there
        there.add(operation.output)
    assert network.operations[2].residual == "maxpool_3"


def test_an_addition_of_what_others_read_too_stands_alone(read):
    net = Builder()
    first = net.conv(4)
    second = net.node("Relu")
    third = net.node("Add", [second, second])
    net.node("Add", [second, third])
    network = read(net)
    assert [o.kind for o in network.operations] == ["conv", "add", "add"]
    assert (network.operations[1].inputs, network.operations[1].residual) == (second, second)
    assert first not in network.shapes


def test_a_convolution_that_is_also_an_output_is_not_fused(read, tmp_path):
    net = Builder()
    name = net.conv(4)
    net.node("Relu")
    model = net.model()
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ArmillaryError, match=r"Relu node 'node_relu_1': supported behind .* nothing else reads"):
        read_network(tmp_path / "net.onnx")


def test_a_matrix_product_covers_the_whole_image(read):
    net = Builder((2, 3, 4, 5))
    net.pool("MaxPool", (2, 2))
    net.gemm(7, trans=0)
    gemm = read(net).operations[-1]
    assert (gemm.kind, gemm.inputs, gemm.window) == ("conv", "maxpool_0", Window((3, 4)))
    assert gemm.weights.shape == (7, 3, 3, 4)
    held = numpy_helper.to_array(net.constants[0])  # [36, 7]
    np.testing.assert_array_equal(gemm.weights[5, 2, 1, 3], held[2 * 12 + 1 * 4 + 3, 5])


def test_a_constant_behind_a_matrix_product_is_its_bias(read):
    net = Builder((2, 6))
    net.node("MatMul", [net.last, net.constant(np.ones((6, 4), np.float32))], (2, 4))
    net.node("Add", [net.constant(np.arange(4, dtype=np.float32)), net.last], (2, 4))
    (gemm,) = read(net).operations
    np.testing.assert_array_equal(gemm.bias, [0, 1, 2, 3])


def test_a_constant_image_is_no_bias(read):
    net = Builder((1, 3, 4, 4))
    net.conv(4, (1, 1))
    net.node("Add", [net.last, net.constant(np.ones((1, 1, 4, 4), np.float32))])
    with pytest.raises(ArmillaryError, match=r"shape \[1, 1, 4, 4\]; supported is one per channel"):
        read(net)


@pytest.mark.parametrize(("mode", "pads"), [("SAME_UPPER", (1, 1, 1, 2)), ("SAME_LOWER", (1, 2, 1, 1))])
def test_automatic_padding_is_made_explicit(read, mode, pads):
    net = Builder((1, 3, 9, 8))
    weights = np.ones((2, 3, 3, 4), np.float32)
    net.node("Conv", [net.last, net.constant(weights)], (1, 2, 9, 8), auto_pad=mode)
    assert read(net).operations[0].window.pads == pads


def test_a_pool_that_rounds_up_has_more_padding(read):
    net = Builder((1, 3, 8, 8))
    net.node("MaxPool", None, (1, 3, 4, 4), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    network = read(net)
    assert network.operations[0].window.pads == (0, 0, 1, 1)
    assert network.shapes[net.last] == (1, 3, 4, 4)


@pytest.mark.parametrize("opset", [13, 18])
def test_a_mean_over_the_image_is_an_average_pool(tmp_path, opset):
    net = Builder((1, 3, 4, 5))
    given = {"axes": [-1, 2]} if opset < 18 else {}
    axes = [] if given else [net.constant(np.array([2, 3]))]
    net.node("ReduceMean", ["image", *axes], (1, 3), keepdims=0, **given)
    onnx.save(net.model(opset), str(tmp_path / "net.onnx"))
    (pool,) = read_network(tmp_path / "net.onnx").operations
    assert (pool.kind, pool.window) == ("average_pool", Window((4, 5)))


def softmax(net):
    net.conv(4)
    net.node("Softmax")


def far_clip(net):
    net.conv(4)
    net.clip(-1.0, 1.0)


def twice(net):
    net.conv(4)
    net.node("Relu")
    net.clip()


def bare_normalization(net):
    net.normalization()


def uncounted_padding(net):
    net.node("AveragePool", None, (1, 3, 9, 8), kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def dynamic(net):
    net.node("Conv", ["image", "image"], (1, 1, 1, 1))


def transposed(net):
    net.node("Transpose", None, (1, 8, 9, 3), perm=[0, 3, 2, 1])


def transposed_output(net):
    net.gemm(4)
    net.node("Transpose", None, (4, 1))


def transposed_sum(net):
    net.gemm(4)
    net.node("Transpose", None, (4, 1))
    net.node("Add", [net.last, net.last])


def flat(net):
    net.node("Reshape", ["image", net.constant(np.array([1, 3, 72]))], (1, 3, 72))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (softmax, "Softmax node 'node_softmax_1' is not supported; supported are Add, AveragePool, Batch.*, Squeeze"),
        (far_clip, r"Clip node 'node_clip_1': clips to -1\.\.1; supported is a lower bound of 0"),
        (twice, "Clip node 'node_clip_2': supported behind .* one activation each"),
        (bare_normalization, "BatchNormalization node .* supported behind a Conv or Gemm"),
        (uncounted_padding, r"pads \[1, 1, 1, 1\] that do not count; supported is count_include_pad=1"),
        (dynamic, "its weights 'image' must be an initializer or a Constant"),
        (transposed, "Transpose node .* is not supported"),
        (
            transposed_output,
            "tensor 'transpose_2' is a transposed one; supported as the first operand of a Gemm or Mat",
        ),
        (
            transposed_sum,
            "tensor 'transpose_2' is a transposed one; supported as the first operand of a Gemm or MatMul",
        ),
        (flat, r"turns \[1, 3, 9, 8\] into \[1, 3, 72\]; supported is one vector per image"),
    ],
)
def test_what_has_no_step_is_refused_by_node(read, build, message):
    net = Builder()
    build(net)
    with pytest.raises(ArmillaryError, match=message):
        read(net)


def test_a_network_of_two_inputs_is_refused(tmp_path):
    net = Builder()
    net.node("Add", ["image", "other"])
    model = net.model()
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", TensorProto.FLOAT, (1, 3, 9, 8)))
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ArmillaryError, match=r"has 2 inputs, \['image', 'other'\]; supported is one"):
        read_network(tmp_path / "net.onnx")


def outside(path):
    """Save a network whose weights are in another file."""
    model = residual_block().model()
    onnx.save_model(model, str(path), save_as_external_data=True, location="weights", size_threshold=0)
    return path


def test_weights_of_another_file_are_read(tmp_path):
    path = outside(tmp_path / "net.onnx")
    network = read_network(path)
    assert network.random == ()
    expected = numpy_helper.to_array(residual_block().constants[-2]).reshape(10, 12, 1, 1)
    np.testing.assert_array_equal(network.operations[-1].weights, expected)


def test_a_truncated_file_of_weights_is_refused(tmp_path):
    path = outside(tmp_path / "net.onnx")
    weights = tmp_path / "weights"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ArmillaryError, match=r"net\.onnx: tensor 'constant_\d+' cannot be read from weights"):
        read_network(path)


def test_missing_weights_are_drawn_by_the_seed_and_named(tmp_path):
    path = outside(tmp_path / "net.onnx")
    (tmp_path / "weights").unlink()
    first, again, other = (read_network(path, seed=seed) for seed in (1, 1, 2))
    assert "constant_0" in first.random
    weights = [network.operations[0].weights for network in (first, again, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_networks_without_weights_are_read_whole(name, shared_onnx):
    network = read_network(shared_onnx / f"{name}.onnx")
    kinds = [o.kind for o in network.operations]
    assert len(kinds) == {"resnet18": 23, "mobilenetv2": 54}[name]
    assert kinds.count("add") == 0
    assert sum(o.residual is not None for o in network.operations) == {"resnet18": 8, "mobilenetv2": 10}[name]
    assert network.random
