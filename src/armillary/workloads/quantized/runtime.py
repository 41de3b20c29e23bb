"""ONNX Runtime: models, and integer networks as models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.quantized.step import IntegerNetwork, Step, Window

OPERATOR_SET, IR_VERSION = 17, 8
_THREADS = 1  # others may use the machine, and sums of floats do not depend on the number


def run_model(model: ModelProto, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return tensors of a model, inner ones as well, as ONNX Runtime computes them.

    Raises:
        ArmillaryError: if ONNX Runtime is missing, or refuses the model.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise ArmillaryError("ONNX Runtime is missing: pip install 'armillary[rtl]'") from None
    asked = ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = ort.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.log_severity_level = 4  # its errors are ours to say
    try:
        session = ort.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(list(outputs), dict(inputs))
    except Exception as fault:  # its exceptions have no common ancestor
        raise ArmillaryError(f"ONNX Runtime refuses the model: {fault}") from fault
    return dict(zip(outputs, found, strict=True))


def reference(network: IntegerNetwork, inputs: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """Return every tensor of an integer network by name, the input as well, as ONNX Runtime computes them.

    Raises:
        ArmillaryError: if ONNX Runtime is missing.
    """
    names = [step.output.name for step in network.steps]
    return {network.inputs.name: inputs, **run_model(integer_graph(network), {network.inputs.name: inputs}, names)}


def integer_graph(network: IntegerNetwork) -> ModelProto:
    """Return an integer network as an ONNX model that computes the same integers; every tensor is an output."""
    made = [_Part(step) for step in network.steps]
    graph = helper.make_graph(
        [node for part in made for node in part.nodes],
        network.name,
        [helper.make_tensor_value_info(network.inputs.name, TensorProto.INT8, network.inputs.shape)],
        [helper.make_tensor_value_info(s.output.name, TensorProto.INT8, s.output.shape) for s in network.steps],
        [tensor for part in made for tensor in part.constants],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPERATOR_SET)], ir_version=IR_VERSION, producer_name="armillary"
    )
    assert isinstance(model, ModelProto)
    return model


class _Part:
    """The nodes of one step."""

    def __init__(self, step: Step) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._step = step
        if step.kind == "max_pool":
            self._node("MaxPool", [step.inputs.name], step.output.name, **_attributes(step.window))
        else:
            self._convert(self._with_residual(self._core()))

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and return its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _inner(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self._node(kind, inputs, f"{self._step.output.name}/{len(self.nodes)}:{kind}", **attributes)

    def _constant(self, what: str, values: NDArray[Any]) -> str:
        name = f"{self._step.output.name}/{what}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _core(self) -> str:
        """Return the name of the int32 sums of the inputs."""
        step = self._step
        if step.kind in ("add", "lookup"):
            return self._times(step.inputs.name, step.multiplier.value, "multiplier")
        weights, groups = step.weights, step.groups
        if step.kind == "average_pool":  # a sum is a convolution with ones
            groups = step.inputs.shape[1]
            weights = np.ones((groups, 1, *step.window.kernel), dtype=np.int8)
        assert weights is not None
        if step.inputs.shape[2:] == step.window.kernel and groups == 1 and not any(step.window.pads):
            sums = self._matrix_product(weights)
        else:
            held = self._constant("weights", weights)
            sums = self._inner("ConvInteger", [step.inputs.name, held], group=groups, **_attributes(step.window))
        if step.bias is None:
            return sums
        return self._inner("Add", [sums, self._constant("bias", step.bias.reshape(1, -1, 1, 1))])

    def _matrix_product(self, weights: NDArray[np.int8]) -> str:
        step, length = self._step, math.prod(weights.shape[1:])
        sizes = [length, step.inputs.shape[1]] if step.transposed else [step.inputs.shape[0], length]
        rows = self._inner("Reshape", [step.inputs.name, self._constant("rows", np.array(sizes))])
        if step.transposed:
            rows = self._inner("Transpose", [rows], perm=[1, 0])
        matrix = np.ascontiguousarray(weights.reshape(len(weights), length).T)
        product = self._inner("MatMulInteger", [rows, self._constant("weights", matrix)])
        shape = np.array(self._step.sums_shape)
        return self._inner("Reshape", [product, self._constant("shape", shape)])

    def _times(self, name: str, factor: int, what: str) -> str:
        wide = self._inner("Cast", [name], to=TensorProto.INT32)
        return self._inner("Mul", [wide, self._constant(what, np.array(factor, dtype=np.int32))])

    def _with_residual(self, sums: str) -> str:
        residual = self._step.residual
        if residual is None:
            return sums
        return self._inner("Add", [sums, self._times(residual.name, self._step.residual_multiplier.value, "residual")])

    def _convert(self, sums: str) -> None:
        """Turn sums into int8."""
        step = self._step
        number = self._inner("Cast", [sums], to=TensorProto.FLOAT)
        scaled = self._inner("Mul", [number, self._constant("scale", np.array(step.scale, dtype=np.float32))])
        whole = self._inner("Round", [scaled])
        bounds = [self._constant(w, np.array(v, np.float32)) for w, v in (("low", step.low), ("high", step.high))]
        name = self._inner("Clip", [whole, *bounds])
        # A negative index counts from the end of the table.
        after: list[tuple[str, list[str], dict[str, Any]]]
        after = [("Cast", [], {"to": TensorProto.INT8 if step.table is None else TensorProto.INT32})]
        if step.table is not None:
            after.append(("Gather", [self._constant("table", step.table)], {}))
        if step.pool is not None:
            after.append(("MaxPool", [], _attributes(step.pool)))
        *inner, (kind, given, attributes) = after
        for inner_kind, inner_given, inner_attributes in inner:
            name = self._inner(inner_kind, [*inner_given, name], **inner_attributes)
        self._node(kind, [*given, name], step.output.name, **attributes)


def _attributes(window: Window) -> dict[str, Sequence[int]]:
    return {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "pads": window.pads,
        "dilations": window.dilations,
    }
