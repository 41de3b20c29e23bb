"""One walk over a graph, from its inputs: what is known of every tensor, and which nodes run how often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto

from armillary.types import ArmillaryError
from armillary.workloads.onnx import control
from armillary.workloads.onnx.dimensions import Sizes
from armillary.workloads.onnx.facts import MOST_HELD, UNKNOWN, Call, ClashError, Fact, fact_of
from armillary.workloads.onnx.inference.finding import by_schema, rule_of, schema
from armillary.workloads.onnx.inference.vendors import BLOCKED
from armillary.workloads.onnx.nodes import describe, free_inputs
from armillary.workloads.onnx.origins import Origins
from armillary.workloads.onnx.schedule import Entry, Step
from armillary.workloads.onnx.values import UNCOMPUTABLE, computed

MOST_VISITS = 3_000_000
"""Nodes visited, those of a body each time: the bound on the work of one file."""
_NAMED_WARNINGS = 5


class UnreadableError(ArmillaryError):
    """A node that does not fit its operator: another size of an input may mend it."""


class ClashingError(UnreadableError):
    """Sizes that have to be equal and are not."""


@dataclass
class Walk:
    """What a walk has found so far.

    Attributes:
        model: whose nodes are in order, functions inlined.
        source: the file, for messages.
        sizes: what a user gave beyond the inputs' sizes.
        stands_for: what operators of others are, by a user.
        facts: what is known, by tensor name.
        origins: which tensors are known before the graph runs, and of which each is a rearrangement.
        makers: the node that computes a tensor.
        warnings: what the user should know.
        strange: outputs of operators that nobody has described.
        visits: nodes that have been visited, each as often as it was.
        followed: those of loops that are followed run by run.
        path: of the body that is being walked, the same each time.
    """

    model: ModelProto
    source: str
    sizes: Sizes = field(default_factory=Sizes)
    stands_for: Mapping[str, str] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    makers: dict[str, NodeProto] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    strange: set[str] = field(default_factory=set)
    visits: int = 0
    followed: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        self._versions = {
            opset.domain if opset.domain != "ai.onnx" else "": opset.version for opset in self.model.opset_import
        }
        self._newest = onnx.defs.onnx_opset_version()
        self._recorded: dict[str, Fact] = {}
        self._contradicted: dict[str, str] = {}
        self._filled: list[str] = []
        self._bodies = 0

    def run(self) -> list[Entry]:
        """Walk over the graph; return what runs.

        Raises:
            ArmillaryError: if a node cannot be read, sizes clash, or the walk takes too long.
        """
        graph = self.model.graph
        for value in graph.input:
            fact = fact_of(value.type)
            if value.name in self.sizes.values and fact.fixed is not None:
                kind = onnx.helper.tensor_dtype_to_np_dtype(fact.elem_type)
                fact = Fact(fact.elem_type, fact.shape, np.full(fact.fixed, self.sizes.values[value.name], kind))
            self.facts[value.name] = fact
        self.hold(graph)
        self.record(graph, {})
        for value in free_inputs(graph):
            self._recorded.pop(value.name, None)
        found = self.block(graph.node, "")
        self._warn()
        return found

    def block(self, nodes: Iterable[NodeProto], within: str) -> list[Entry]:
        """Walk over the nodes of a graph or of a body."""
        found: list[Entry] = []
        for node in nodes:
            self.visits += 1
            if self.visits > MOST_VISITS:
                raise ArmillaryError(f"{self.source}: takes more than {MOST_VISITS:,} steps; it holds loops in loops")
            if node.op_type in control.RULES and node.domain in ("", "ai.onnx"):
                found += self._controlled(node, within)
            else:
                self._infer(node)
                found.append(Step(node, within))
        return found

    def hold(self, graph: GraphProto, renamed: Mapping[str, str] | None = None) -> None:
        """Note the initial values of a graph."""
        for tensor in graph.initializer:
            name = tensor.name if renamed is None else renamed.get(tensor.name, tensor.name)
            value = None
            small = math.prod(tensor.dims) <= MOST_HELD and tensor.data_type != onnx.TensorProto.STRING
            if small and tensor.data_location != onnx.TensorProto.EXTERNAL:
                try:
                    value = onnx.numpy_helper.to_array(tensor)
                except UNCOMPUTABLE:
                    value = None
            if any(size < 0 for size in tensor.dims):
                raise ArmillaryError(
                    f"{self.source}: no valid ONNX model: tensor {name!r} has the shape {list(tensor.dims)}"
                )
            self.facts[name] = Fact(tensor.data_type, tuple(tensor.dims), value)
            self.origins.hold(name, f"{self.path}/{tensor.name}" if self.path else name)
        for sparse in graph.sparse_initializer:
            self.facts[sparse.values.name] = Fact(sparse.values.data_type, tuple(sparse.dims))
            self.origins.constants.add(sparse.values.name)

    def record(self, graph: GraphProto, renamed: Mapping[str, str]) -> None:
        """Note the shapes that the file records of computed tensors; they count where inference gives none."""
        for value in (*graph.value_info, *graph.output):
            fact = fact_of(value.type)
            if fact.shape is not None and self.sizes.named:
                dims = value.type.tensor_type.shape.dim
                shape = tuple(
                    self.sizes.named.get(d.dim_param) if size is None and d.dim_param else size
                    for d, size in zip(dims, fact.shape, strict=True)
                )
                fact = replace_shape(fact, shape)
            self._recorded[renamed.get(value.name, value.name)] = fact

    def version(self, domain: str) -> int:
        """Return the operator set of a domain."""
        return self._versions.get("" if domain == "ai.onnx" else domain, self._newest if not domain else 1)

    def fact(self, name: str) -> Fact:
        """Return what is known of a tensor."""
        return self.facts.get(name, UNKNOWN)

    def note(self, node: NodeProto, outputs: Sequence[Fact]) -> None:
        """Note what is known of a node's outputs."""
        for number, name in enumerate(node.output):
            if name:
                fact = outputs[number] if number < len(outputs) else UNKNOWN
                self.facts[name] = self._completed(name, fact)
                self.makers[name] = node

    def next_body(self) -> int:
        """Return a number for a body that is walked now, another one each time."""
        self._bodies += 1
        return self._bodies

    def unreadable(self, node: NodeProto, fault: Exception) -> UnreadableError:
        """Return what to say of a node that does not fit its operator."""
        return UnreadableError(f"{self.source}: {describe(node)} cannot be read: {fault}; export the model again")

    def _controlled(self, node: NodeProto, within: str) -> list[Entry]:
        try:
            return control.RULES[node.op_type](self, node, within)
        except (ValueError, IndexError) as fault:
            raise self.unreadable(node, fault) from fault

    def _infer(self, node: NodeProto) -> None:
        facts = self.facts
        inputs = [facts.get(name, UNKNOWN) if name else None for name in node.input]
        call = Call(node, inputs, self.version(node.domain))
        rule = rule_of(node, self.stands_for)
        try:
            outputs = by_schema(call, self._versions) if rule is None else rule(call)
        except ClashError as fault:
            raise self._clash(node, fault) from fault
        except ValueError as fault:
            raise self.unreadable(node, fault) from fault
        except (IndexError, TypeError, KeyError, AttributeError, ArithmeticError):
            outputs = []  # attributes and ranks of a damaged file; who needs the shape says so
        if rule is None and schema(node.op_type, call.version, node.domain) is None:
            self.strange.update(out for out in node.output if out)
        self.note(node, outputs)
        self._tell_rows(node)
        known = [self.facts.get(name, UNKNOWN) for name in node.output]
        if any(fact is not None and fact.value is not None for fact in inputs):
            values = computed(call, known)
            for name, fact, value in zip(node.output, known, values or (), strict=False):
                if name:
                    self.facts[name] = Fact(fact.elem_type, value.shape, value)
        self.origins.note(node, call, known)

    def _tell_rows(self, node: NodeProto) -> None:
        """Take sizes that a user or the file tells of a product's rows for those of its first operand, too."""
        if (
            node.op_type not in ("Gemm", "MatMul")
            or not node.input
            or any(a.name == "transA" and a.i for a in node.attribute)
        ):
            return
        left, result = self.fact(node.input[0]), self.fact(node.output[0])
        if (
            left.shape is None
            or result.shape is None
            or None not in left.shape[:-1]
            or len(left.shape) != len(result.shape)
        ):
            return
        rows = tuple(b if a is None else a for a, b in zip(left.shape[:-1], result.shape[:-1], strict=True))
        self.facts[node.input[0]] = replace_shape(left, (*rows, left.shape[-1]))

    def _completed(self, name: str, fact: Fact) -> Fact:
        """Return what is known of a tensor with what the user says of it, and else what the file records."""
        axes = self.sizes.axes.get(name)
        if axes is not None:
            fact = self._set_axes(name, fact, axes)
        recorded = self._recorded.get(name)
        if recorded is None or fact.item is not None:
            return fact
        if not fact.elem_type:
            fact = Fact(recorded.elem_type, fact.shape, fact.value, fact.items, recorded.item)
        if recorded.shape is None or fact.shape == recorded.shape:
            return fact
        if fact.shape is None:
            self._filled.append(name)
            return replace_shape(fact, recorded.shape)
        pairs = list(zip(fact.shape, recorded.shape, strict=False))
        if len(fact.shape) != len(recorded.shape) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
            self._contradicted.setdefault(
                name.partition("@")[0], f"{name!r} {list(recorded.shape)}, which is {list(fact.shape)}"
            )
            return fact
        if any(own is None and other is not None for own, other in pairs):
            self._filled.append(name)
            return replace_shape(fact, tuple(other if own is None else own for own, other in pairs))
        return fact

    def _set_axes(self, name: str, fact: Fact, axes: Mapping[int, int]) -> Fact:
        shape = fact.shape
        if shape is None:
            shape = (None,) * (max(axes) + 1)
        if max(axes) >= len(shape):
            raise ArmillaryError(
                f"{self.source}: tensor {name!r} has {len(shape)} axes; there is no {name}[{max(axes)}]"
            )
        fixed = [f"{name}[{axis}]={size}" for axis, size in axes.items() if shape[axis] not in (None, size)]
        if fixed:
            raise ArmillaryError(
                f"{self.source}: dimension {fixed[0]} is not allowed; tensor {name!r} has the shape {list(shape)}, "
                "which follows from the inputs"
            )
        return replace_shape(fact, tuple(axes.get(axis, size) for axis, size in enumerate(shape)))

    def _clash(self, node: NodeProto, fault: ClashError) -> ClashingError:
        def shown(position: int) -> str:
            name = node.input[position] if position < len(node.input) else ""
            shape = self.fact(name).shape
            return f"{name!r} {list(shape) if shape is not None else ''}".rstrip()

        (a, b), (m, n) = fault.axes, fault.sizes
        return ClashingError(
            f"{self.source}: {describe(node)}: tensors {shown(fault.first)} and {shown(fault.second)} do not fit: axis "
            f"{a} of the one asks for {m}, axis {b} of the other for {n}"
        )

    def _warn(self) -> None:
        """Say which recorded shapes contradict the inputs, and what else the numbers differ by."""
        if any(node.domain == BLOCKED and node.op_type == "Conv" for node in self.model.graph.node):
            self.warnings.append(
                "the file is laid out for one processor: channels are padded to whole blocks, which count; save it "
                "with a lower optimization level"
            )
        if self._contradicted:
            shown = "; ".join(list(self._contradicted.values())[:_NAMED_WARNINGS])
            more = len(self._contradicted) - _NAMED_WARNINGS
            self.warnings.append(
                f"{len(self._contradicted)} recorded shapes contradict the inputs and are not used: {shown}"
                + (f"; and {more} more" if more > 0 else "")
            )
            if self._filled:
                self.warnings.append(
                    f"the shapes of {len(self._filled)} tensors are taken as recorded, as nothing else tells them, "
                    f"e.g. {self._filled[0]!r}; they may contradict the inputs, too"
                )


def replace_shape(fact: Fact, shape: tuple[int | None, ...]) -> Fact:
    """Return a fact with another shape, without its value."""
    return Fact(fact.elem_type, shape, None, fact.items, fact.item)
