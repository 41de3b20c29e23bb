"""Functions of one value, as nodes of an ONNX graph write them: sigmoid, GELU, x * sigmoid(x), and any other.

An integer network turns them into a table of 256 bytes, so that it does not matter what they are made of. What they
are worth is computed by ONNX Runtime, from the file's own nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from armillary.types import ArmillaryError
from armillary.workloads.quantized.runtime import run_model
from armillary.workloads.quantized.step import HIGHEST, LOWEST

WITHOUT_TABLE = {"Add", "Clip", "Identity", "Relu"}
"""Operators that a step carries out without a table, if only such ones follow each other."""
OPERATORS = WITHOUT_TABLE | {
    "Abs", "Celu", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min",
    "Mish", "Mul", "Neg", "Pow", "Reciprocal", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh",
    "ThresholdedRelu",
}  # fmt: skip
"""Operators whose output has, at each place, a function of what their inputs have there."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function of one value.

    Attributes:
        inputs: name of the tensor that it is applied to.
        output: name of the tensor that it makes.
        nodes: outputs of the nodes that it is made of.
        model: that computes it, for a vector of 256 values.
    """

    inputs: str
    output: str
    nodes: frozenset[str]
    model: ModelProto

    def table(self, scale: float, made_scale: float) -> NDArray[np.int8]:
        """Return what each byte becomes, int8, shape [256]; entry 255 is that of -1.

        Args:
            scale: what one step of a byte that goes in is worth.
            made_scale: likewise of one that comes out.

        Raises:
            ArmillaryError: if the function of some value is not finite.
        """
        values = np.arange(LOWEST, HIGHEST + 1) * np.float32(scale)
        made = run_model(self.model, {self.inputs: values.astype(np.float32)}, [self.output])[self.output]
        if not np.isfinite(made).all():
            value = values[np.flatnonzero(~np.isfinite(made))[0]]
            raise ArmillaryError(f"the function of {self.inputs!r} is not finite at {value:.4g}")
        bytes_ = np.rint(made.astype(np.float64) / made_scale).clip(LOWEST, HIGHEST).astype(np.int8)
        return np.roll(bytes_, -LOWEST)


def function_of(
    name: str, nodes: Sequence[NodeProto], values: Mapping[str, NDArray[Any]], readers: Counter[str], model: ModelProto
) -> Function | None:
    """Return the function of a tensor that reaches furthest, if it needs a table.

    Nothing but the function may read what is computed on the way to its output.

    Args:
        name: of the tensor.
        nodes: of the graph, those that may belong to the function, in order.
        values: constants by name.
        readers: how often each tensor is read, as an output of the graph once more.
        model: whose operator sets count.
    """
    region: dict[str, NodeProto] = {}
    for node in nodes:
        given = [each for each in node.input if each]
        inner = [each for each in given if each == name or each in region]
        constant = all(values[each].size == 1 for each in given if each in values)
        known = len(inner) + sum(each in values for each in given) == len(given)
        if node.op_type in OPERATORS and len(node.output) == 1 and inner and known and constant:
            region[node.output[0]] = node
    for output in reversed(region):
        needed = _leading_to(output, region)
        reads = Counter(each for node in needed.values() for each in node.input)
        closed = all(readers[each] == reads[each] for each in needed if each != output)
        if closed and not {node.op_type for node in needed.values()} <= WITHOUT_TABLE:
            return Function(name, output, frozenset(needed), _model(name, output, needed.values(), values, model))
    return None


def _leading_to(output: str, region: Mapping[str, NodeProto]) -> dict[str, NodeProto]:
    """Return the nodes of a region that an output is computed by, in their order."""
    found, todo = set(), [output]
    while todo:
        each = todo.pop()
        if each in region and each not in found:
            found.add(each)
            todo += region[each].input
    return {each: node for each, node in region.items() if each in found}


def _model(
    name: str, output: str, nodes: Iterable[NodeProto], values: Mapping[str, NDArray[Any]], model: ModelProto
) -> ModelProto:
    nodes = list(nodes)
    constants = sorted({each for node in nodes for each in node.input if each in values})
    shape = [HIGHEST - LOWEST + 1]
    graph = helper.make_graph(
        nodes,
        output,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values[each].reshape(()), each) for each in constants],
    )
    made = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    assert isinstance(made, ModelProto)
    return made
