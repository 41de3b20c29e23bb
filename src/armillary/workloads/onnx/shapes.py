"""The tensors of an ONNX graph: their shapes, element sizes and which are known before it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from onnx import ModelProto, NodeProto

from armillary.types import ArmillaryError
from armillary.workloads.onnx.facts import UNKNOWN, Fact, Shape
from armillary.workloads.onnx.nodes import describe, element_bits
from armillary.workloads.onnx.origins import Origin, Origins
from armillary.workloads.onnx.walk import Walk


class UnknownShapeError(ArmillaryError):
    """A shape that decides a layer and that nobody knows."""


@dataclass(frozen=True)
class Tensors:
    """What is known of every tensor of a graph.

    Attributes:
        source: the file, for messages.
        facts: element type and (perhaps partial) shape by tensor name.
        origins: which tensors are known before the graph runs, and of which each is a part or a rearrangement.
        makers: the node that computes a tensor.
        stands_for: what operators of others are, by a user.
    """

    source: str
    facts: Mapping[str, Fact]
    origins: Origins
    makers: Mapping[str, NodeProto]
    stands_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def constants(self) -> Set[str]:
        """Tensors that do not depend on the graph's inputs, given fixed shapes."""
        return self.origins.constants

    def known_shape(self, name: str) -> Shape | None:
        """Return the shape of a tensor, None if it is not fully known."""
        return self.facts.get(name, UNKNOWN).fixed

    def elem_type(self, name: str) -> int:
        """Return the element type of a tensor, 0 if it is unknown."""
        return self.facts.get(name, UNKNOWN).elem_type

    def shape(self, name: str, node: NodeProto) -> Shape:
        """Return the shape of a tensor that `node` reads or writes.

        Raises:
            UnknownShapeError: if it is unknown; names the tensor, the node, where knowledge ends and what to do.
        """
        shape = self.known_shape(name)
        if shape is None:
            raise UnknownShapeError(
                f"{self.source}: the shape of tensor {name!r} at {describe(node)} cannot be resolved"
                f"{self._culprit(name)}; or fix the model's input shapes when exporting it"
            )
        return shape

    def bytes(self, name: str) -> int | None:
        """Return the size of a tensor in bytes, None if its shape or element size is unknown."""
        fact = self.facts.get(name, UNKNOWN)
        shape = fact.fixed
        bits = element_bits(fact.elem_type)
        return None if bits is None or shape is None else -(-math.prod(shape) * bits // 8)

    def origin(self, name: str) -> Origin:
        """Return the constant that a constant is a part or a rearrangement of, itself if of none."""
        return self.origins.of(name)

    def _culprit(self, name: str) -> str:
        """Walk up to the first operator whose inputs are known and whose output is not; say how its size can be set."""
        node, seen = self.makers.get(name), {name}
        while node is not None:
            unknown = [x for x in node.input if x and self.known_shape(x) is None and x not in seen]
            if not unknown or unknown[0] not in self.makers:
                return f" (it is lost at {describe(node)}); set {self._open_axes(name)}"
            name = unknown[0]
            seen.add(name)
            node = self.makers[name]
        return f"; set {self._open_axes(name)}"

    def _open_axes(self, name: str) -> str:
        shape = self.facts.get(name, UNKNOWN).shape
        if shape is None:
            return f"every axis of it, --dim '{name}[0]=NUMBER' and so on"
        return " ".join(f"--dim '{name}[{axis}]=NUMBER'" for axis, size in enumerate(shape) if size is None)


def tensors_of(walk: Walk) -> Tensors:
    """Return what a finished walk knows."""
    return Tensors(walk.source, walk.facts, walk.origins, walk.makers, walk.stands_for)


def resolve(model: ModelProto, source: str) -> Tensors:
    """Infer the shape of every tensor from those of the inputs.

    Raises:
        ArmillaryError: if the model is invalid, so that no inference is possible.
    """
    walk = Walk(model, source)
    walk.run()
    return tensors_of(walk)
