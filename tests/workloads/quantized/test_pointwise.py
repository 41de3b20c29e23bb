"""Functions of one value: which nodes make one up, and the table of it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from armillary.types import ArmillaryError
from armillary.workloads.quantized.quantizing import calibrated, quantized
from armillary.workloads.quantized.reading import read_network
from workloads.quantized.small_networks import ACTIVATIONS, Builder, silu


@pytest.fixture
def read(tmp_path):
    return lambda builder: read_network(builder.save(tmp_path / "net.onnx"))


def number(net, value):
    return net.constant(np.float32(value))


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("hard swish of clip", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("leaky", lambda x: np.where(x < 0, 0.1 * x, x)),
    ],
)
def test_a_table_has_the_function_of_every_byte(read, kind, function):
    net = Builder()
    start = net.conv(4)
    ACTIVATIONS[kind](net)
    (operation,) = read(net).operations
    assert operation.function.inputs == start
    table = operation.function.table(0.05, 0.03)
    bytes_ = np.arange(-128, 128)
    expected = np.clip(function(bytes_ * 0.05) / 0.03, -128, 127)
    assert np.abs(table[bytes_ & 255] - expected).max() <= 0.51
    assert (table.dtype, table.shape) == (np.int8, (256,))


def test_gelu_is_an_operator_too(read, tmp_path):
    net = Builder()
    net.conv(4)
    net.node("Gelu", approximate="tanh")
    onnx.save(onnx.helper.make_model(net.model().graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9),
              str(tmp_path / "gelu.onnx"))  # fmt: skip
    (operation,) = read_network(tmp_path / "gelu.onnx").operations
    x = 0.02 * 50
    expected = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    assert operation.function.table(0.02, 0.01)[50] == round(expected / 0.01)


def test_a_function_reaches_as_far_as_it_can(read):
    net = Builder()
    net.conv(4)
    net.node("Relu")
    silu(net)
    net.node("Mul", [net.last, number(net, 2)])
    last = net.node("Add", [number(net, -1), net.last], net.shapes[net.last])
    net.conv(4)
    first, _ = read(net).operations
    assert (first.output, len(first.function.nodes)) == (last, 5)


def test_what_else_is_read_bounds_a_function(read):
    net = Builder()
    net.conv(4)
    middle = net.node("Sigmoid")
    net.node("Tanh")
    net.conv(4, pads=(1, 1, 1, 1))
    net.node("Add", [middle, net.last])
    kinds = [(o.kind, o.function is not None) for o in read(net).operations]
    assert kinds == [("conv", True), ("lookup", True), ("conv", False)]


def test_a_tensor_that_others_read_is_looked_up_by_a_step_of_its_own(read):
    net = Builder()
    start = net.conv(4)
    net.node("Sigmoid")
    net.node("Add", [start, net.last])  # is a function of `start` alone
    net.node("Add", [start, net.conv(4, pads=(1, 1, 1, 1))])
    kinds = [(o.kind, o.inputs, o.function is not None) for o in read(net).operations]
    assert kinds == [("conv", "image", False), ("lookup", start, True), ("conv", "add_2", False)]


def test_bias_and_bounds_need_no_table(read):
    net = Builder()
    net.conv(4, bias=False)
    net.node("Add", [net.last, number(net, 0.5)])
    net.node("Relu")
    (operation,) = read(net).operations
    assert operation.function is None
    assert (operation.low, set(operation.bias)) == (0.0, {0.5})


def test_two_tensors_are_no_function(read):
    net = Builder()
    start = net.conv(4)
    net.node("Mul", [start, net.conv(4, pads=(1, 1, 1, 1))])
    with pytest.raises(ArmillaryError, match=r"Mul node 'node_mul_2': has two tensors as inputs; supported are"):
        read(net)


def test_a_tensor_that_the_graph_puts_out_is_not_hidden(read, tmp_path):
    net = Builder()
    start = net.conv(4)
    net.node("Sigmoid")
    model = net.model()
    model.graph.output.append(onnx.helper.make_tensor_value_info(start, TensorProto.FLOAT, None))
    onnx.save(model, str(tmp_path / "net.onnx"))
    floats = read_network(tmp_path / "net.onnx")
    assert [operation.output for operation in floats.operations] == [start, net.last]
    assert set(floats.outputs) == {start, net.last}


def test_a_function_that_is_not_finite_is_refused(read):
    net = Builder()
    net.conv(4)
    net.node("Relu")
    net.node("Log")
    floats = read(net)
    scales = dict.fromkeys([floats.inputs, *(o.output for o in floats.operations), "conv_0"], 0.1)
    with pytest.raises(ArmillaryError, match=r"node_conv_0: the function of 'conv_0' is not finite at -12\.8"):
        quantized(floats, scales)


def test_what_a_table_looks_up_has_a_scale_of_its_own(read):
    net = Builder()
    start = net.conv(4)
    net.node("Sigmoid")
    floats = read(net)
    assert set(calibrated(floats)) == {"image", start, net.last}
