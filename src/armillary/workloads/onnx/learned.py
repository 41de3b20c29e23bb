"""Learned values, each counted once: where it is met first, however often and in whatever parts it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from armillary.workloads.layer import LayerUse
from armillary.workloads.onnx.facts import UNKNOWN
from armillary.workloads.onnx.lowering.parts import Operation
from armillary.workloads.onnx.origins import EACH, Origin
from armillary.workloads.onnx.shapes import Tensors


@dataclass
class _Tensor:
    """What has been used of a learned tensor."""

    parts: set[str] = field(default_factory=set)
    values: int = 0


class Learned:
    """The learned tensors that have been met, and how much of each."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._met: dict[str, _Tensor] = {}

    def use(self, operation: Operation, runs: int = 1) -> LayerUse:
        """Return the use of an operation, which learns what it uses first."""
        layer = operation.layer
        if operation.weights is None and layer.dynamic and not layer.bias:
            return LayerUse(layer, operation.count * runs)
        new = self._learn(operation, runs)
        if new == layer.parameters:
            return LayerUse(layer, operation.count * runs)
        if new > layer.parameters:
            return LayerUse(layer, operation.count * runs, extra_parameters=new - layer.parameters)
        return LayerUse(layer, operation.count * runs, shared_sets=1, extra_parameters=new)

    def _learn(self, operation: Operation, runs: int) -> int:
        layer = operation.layer
        bias = layer.K // layer.outputs_per_bias if layer.bias else 0
        weights = 0 if layer.dynamic else layer.weights if operation.learned is None else operation.learned
        new = weights if operation.weights is None else self.meet(operation.weights, weights, runs)
        return new + (bias if operation.bias is None else self.meet(operation.bias, bias, runs))

    def meet(self, origin: Origin, values: int, runs: int = 1) -> int:
        """Note the use of so many values of a tensor or of a part of it; return how many of them are new.

        A part that is another one in each run counts as often as it runs.
        """
        values *= runs if origin.part.endswith(EACH) else 1
        tensor = self._met.setdefault(origin.name, _Tensor())
        if "" in tensor.parts or origin.part in tensor.parts:
            return 0
        size = self._size(origin.name)
        new = max(0, values - tensor.values) if not origin.part else values
        if size is not None and origin.part:
            new = min(new, max(0, size - tensor.values))
        tensor.parts.add(origin.part)
        tensor.values += new
        return new

    def _size(self, name: str) -> int | None:
        shape = self._tensors.facts.get(name, UNKNOWN).fixed
        return None if shape is None else math.prod(shape)
