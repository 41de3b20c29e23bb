"""Which tensors are known before a graph runs, and of which learned one each is a part or a rearrangement."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onnx import NodeProto

from armillary.workloads.onnx.facts import Call, Fact, size_of
from armillary.workloads.onnx.inference.vendors import QUANTIZERS
from armillary.workloads.onnx.nodes import subgraphs

# Operators that only rename or rearrange a weight: two of them on one tensor use the same weight.
_RENAMES = frozenset(
    {
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
_PARTS = frozenset({"Gather", "Slice", "Split"})
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


EACH = "*"
"""Ends the name of a part that is another one in each run of a body."""


class Origin(NamedTuple):
    """Where a constant comes from: a tensor, and which part of it; empty for the whole."""

    name: str
    part: str = ""


@dataclass
class Origins:
    """What is known of constants.

    Attributes:
        constants: tensors that do not depend on the graph's inputs, given fixed shapes.
        varying: those that differ from one run of a body to the next, as the number of the run does.
    """

    constants: set[str] = field(default_factory=set)
    varying: set[str] = field(default_factory=set)
    _origins: dict[str, Origin] = field(default_factory=dict)

    def of(self, name: str) -> Origin:
        """Return where a constant comes from, itself if it is no part of another."""
        return self._origins.get(name, Origin(name))

    def note(self, node: NodeProto, call: Call, outputs: Sequence[Fact]) -> None:
        """Note whether a node's outputs are known before the graph runs."""
        of_shapes = node.op_type in ("Shape", "Size")
        given = node.op_type not in _RANDOM and all(name in self.constants for name in node.input if name)
        if not of_shapes and (not given or any(True for _ in subgraphs(node))):
            return
        self.constants.update(node.output)
        varying = not self.varying.isdisjoint(node.input)
        if varying:
            self.varying.update(node.output)
        if not node.input or not node.input[0] or of_shapes:
            return
        if node.op_type in _RENAMES or (node.domain in QUANTIZERS and _as_large(call, outputs)):
            self._origins[node.output[0]] = self.of(node.input[0])
        elif node.op_type in _PARTS and not node.domain:
            whole = self.of(node.input[0])
            for number, name in enumerate(node.output):
                each = EACH if varying and not whole.part.endswith(EACH) else ""
                self._origins[name] = Origin(whole.name, whole.part + _part(node, call, number) + each)

    def hold(self, name: str, origin: str) -> None:
        """Note the initial value of a body, which has the same origin whenever that is walked."""
        self.constants.add(name)
        if origin != name:
            self._origins[name] = Origin(origin)

    def vary(self, name: str, of: str = "") -> None:
        """Note an input of a body that is known before each run: the number of the run, or a slice of a constant."""
        self.constants.add(name)
        self.varying.add(name)
        if of:
            whole = self.of(of)
            self._origins[name] = Origin(whole.name, f"{whole.part}{EACH}")

    def alias(self, name: str, of: str) -> None:
        """Note that a tensor is another one under a new name."""
        if of in self.constants:
            self.constants.add(name)
            self._origins[name] = self.of(of)


def _as_large(call: Call, outputs: Sequence[Fact]) -> bool:
    before, after = call.shape(0), outputs[0].shape
    return before is not None and after is not None and size_of(before) == size_of(after)


def _part(node: NodeProto, call: Call, number: int) -> str:
    """Return a text that is the same for the same part of a tensor."""
    content = [node.op_type.encode(), str(number).encode()]
    content += [attribute.SerializeToString(deterministic=True) for attribute in node.attribute]
    for name, fact in zip(node.input[1:], call.inputs[1:], strict=True):
        content.append(name.encode() if fact is None or fact.whole is None else fact.whole.tobytes())
    return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]
