"""Small float networks as ONNX files, drawn at random or by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Adds nodes one behind another; remembers the shape of every tensor."""

    def __init__(self, shape=(1, 3, 9, 8), seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.shapes = [], [], {"image": tuple(shape)}
        self.last = "image"

    def constant(self, values):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, inputs=None, shape=None, **attributes):
        inputs = [self.last] if inputs is None else inputs
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        self.shapes[output] = tuple(shape or self.shapes[inputs[0]])
        self.last = output
        return output

    def windowed(self, kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
        _, _, height, width = self.shapes[self.last]
        sizes = height + pads[0] + pads[2], width + pads[1] + pads[3]
        return tuple((sizes[i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1))

    def conv(self, outputs, kernel=(3, 3), groups=1, bias=True, **window):
        n, c = self.shapes[self.last][:2]
        p, q = self.windowed(kernel, **window)
        floats = self.rng.normal(size=(outputs, c // groups, *kernel)).astype(np.float32)
        inputs = [self.last, self.constant(floats)]
        inputs += [self.constant(self.rng.normal(size=outputs).astype(np.float32))] if bias else []
        return self.node("Conv", inputs, (n, outputs, p, q), group=groups, kernel_shape=kernel, **window)

    def normalization(self):
        channels = self.shapes[self.last][1]
        gain, shift, mean = (self.rng.normal(size=channels).astype(np.float32) for _ in range(3))
        variance = self.rng.uniform(0.5, 2, channels).astype(np.float32)
        return self.node("BatchNormalization", [self.last, *map(self.constant, (gain, shift, mean, variance))])

    def clip(self, low=0.0, high=6.0):
        return self.node("Clip", [self.last, *(self.constant(np.float32(bound)) for bound in (low, high))])

    def pool(self, kind, kernel=(3, 3), **window):
        n, c = self.shapes[self.last][:2]
        pads = {"count_include_pad": 1} if kind == "AveragePool" else {}
        return self.node(kind, None, (n, c, *self.windowed(kernel, **window)), kernel_shape=kernel, **window, **pads)

    def global_pool(self):
        return self.node("GlobalAveragePool", None, (*self.shapes[self.last][:2], 1, 1))

    def gemm(self, outputs, trans=1):
        n, *rest = self.shapes[self.last]
        length = int(np.prod(rest))
        self.node("Flatten", None, (n, length), axis=1)
        weights = self.rng.normal(size=(outputs, length)).astype(np.float32)
        held = self.constant(weights if trans else np.ascontiguousarray(weights.T))
        bias = self.constant(self.rng.normal(size=outputs).astype(np.float32))
        return self.node("Gemm", [self.last, held, bias], (n, outputs), transB=trans)

    def model(self, opset=17):
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shapes["image"])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def save(self, path: Path) -> Path:
        onnx.save(self.model(), str(path))
        return path


def transposed_products(seed=0):
    """Products of matrices that are read transposed: by transA, by a Transpose, and by both, which is not at all."""
    net = Builder((20, 14), seed)

    def weights(*shape):
        return net.constant(net.rng.normal(size=shape).astype(np.float32))

    net.node("Gemm", ["image", weights(9, 20), weights(9)], (14, 9), transA=1, transB=1)
    net.node("Transpose", None, (9, 14), perm=[1, 0])
    net.node("MatMul", [net.last, weights(14, 6)], (9, 6))
    net.node("Relu")
    net.node("Transpose", None, (6, 9))
    net.node("Gemm", [net.last, weights(6, 5)], (9, 5), transA=1)
    return net


def residual_block(seed=0):
    """Two convolutions beside a third, as where ResNet-18 halves its image; then a pool and a classifier."""
    net = Builder((1, 3, 12, 10), seed)
    net.conv(8, (5, 5), strides=(2, 2), pads=(2, 2, 2, 2), bias=False)
    net.normalization()
    net.node("Relu")
    start = net.pool("MaxPool", (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
    net.conv(8, (3, 3), pads=(1, 1, 1, 1))
    net.node("Add", [net.last, start])
    start = net.node("Relu")
    net.conv(12, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    net.node("Relu")
    main = net.conv(12, (3, 3), pads=(1, 1, 1, 1))
    net.last = start
    net.conv(12, (1, 1), strides=(2, 2))
    net.node("Add", [main, net.last])
    net.node("Relu")
    net.global_pool()
    net.gemm(10)
    return net


def inverted_residual(seed=0):
    """Expand, filter by depth with ReLU6, project, add the input: MobileNetV2's block; then a pool and a classifier."""
    net = Builder((1, 4, 8, 8), seed)
    start = net.conv(6, (1, 1))
    net.conv(24, (1, 1))
    net.clip()
    net.conv(24, (3, 3), groups=24, pads=(1, 1, 1, 1))
    net.normalization()
    net.clip()
    net.conv(6, (1, 1))
    net.node("Add", [start, net.last])
    net.conv(24, (3, 3), groups=1 + seed % 3, strides=(2, 2), pads=(0, 1, 1, 0))
    net.clip(high=20.0)
    net.global_pool()
    net.gemm(5, trans=0)
    return net


def erf_gelu(net):
    """GELU as exporters write it."""
    start, number = net.last, lambda value: net.constant(np.float32(value))
    net.node("Div", [start, number(math.sqrt(2))])
    net.node("Erf")
    net.node("Add", [net.last, number(1)])
    net.node("Mul", [start, net.last])
    return net.node("Mul", [net.last, number(0.5)])


def silu(net):
    start = net.last
    return net.node("Mul", [start, net.node("Sigmoid")])


def hard_swish(net):
    """Hard-swish as exporters write it."""
    start, number = net.last, lambda value: net.constant(np.float32(value))
    net.node("Add", [start, number(3)])
    net.node("Mul", [start, net.clip()])
    return net.node("Div", [net.last, number(6)])


ACTIVATIONS = {
    "sigmoid": lambda net: net.node("Sigmoid"),
    "tanh": lambda net: net.node("Tanh"),
    "hard sigmoid": lambda net: net.node("HardSigmoid", alpha=1 / 6),
    "hard swish": lambda net: net.node("HardSwish"),
    "leaky": lambda net: net.node("LeakyRelu", alpha=0.1),
    "gelu of erf": erf_gelu,
    "silu": silu,
    "hard swish of clip": hard_swish,
}
"""What adds an activation to a network."""


def activated_network(seed):
    """Activations behind a convolution, an addition, an average, and a maximum, which needs a step for it."""
    kinds = list(ACTIVATIONS.values())
    net = Builder((1, 3, 9, 8), seed)
    net.conv(8)
    start = kinds[seed](net)
    net.conv(8, pads=(1, 1, 1, 1))
    net.node("Add", [net.last, start])
    kinds[seed + 1](net)
    net.pool("MaxPool", (2, 2), strides=(2, 2))
    kinds[seed + 2](net)
    net.global_pool()
    kinds[seed + 4](net)
    net.gemm(5)
    return net


def random_network(seed):
    """A chain of random steps with additions of earlier tensors."""
    rng = np.random.default_rng(seed)
    net = Builder((int(rng.integers(1, 3)), int(rng.integers(1, 7)), *map(int, rng.integers(6, 13, 2))), seed)
    earlier = []
    for _ in range(rng.integers(3, 9)):
        _, c, height, width = net.shapes[net.last]
        kernel = tuple(int(rng.integers(1, 1 + min(4, size))) for size in (height, width))
        window = {"strides": tuple(map(int, rng.integers(1, 3, 2)))}
        window["pads"] = tuple(int(rng.integers(0, k)) for k in (*kernel, *kernel))
        choice = rng.integers(6)
        if choice < 2:
            net.conv(int(rng.integers(1, 17)), kernel, **window)
        elif choice == 2:
            net.conv(c * int(rng.integers(1, 3)), kernel, groups=c, **window)
        elif choice == 3:
            net.pool("MaxPool", kernel, **window)
            earlier.append(net.last)
            continue
        elif choice == 4:
            net.pool("AveragePool", kernel, **window)
        else:
            net.conv(c, (3, 3), pads=(1, 1, 1, 1), bias=bool(rng.integers(2)))
        if net.nodes[-1].op_type == "Conv" and rng.integers(2):
            net.normalization()
        alike = [name for name in earlier if net.shapes[name] == net.shapes[net.last]]
        if alike and rng.integers(3):
            net.node("Add", [net.last, alike[int(rng.integers(len(alike)))]][:: int(rng.choice((1, -1)))])
        if rng.integers(3):
            net.node("Relu") if rng.integers(2) else net.clip(high=float(rng.uniform(0.5, 8)))
        earlier.append(net.last)
    if rng.integers(2):
        net.global_pool()
    net.gemm(int(rng.integers(1, 20)), trans=int(rng.integers(2)))
    return net
