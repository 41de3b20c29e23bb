"""From an ONNX file to a workload. Shapes suffice: weights kept in other files may be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from onnx import GraphProto, NodeProto

from armillary.types import ArmillaryError
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Layer, LayerUse, NotMapped, Workload, merge
from armillary.workloads.onnx.algorithms import recognized
from armillary.workloads.onnx.dataflow import dataflow_of
from armillary.workloads.onnx.layers import RULES, Operation, Remainder, lower, with_bias
from armillary.workloads.onnx.shapes import (
    Tensors,
    describe,
    element_bits,
    operator,
    read,
    resolve,
    set_dimensions,
    subgraphs,
)

# Whose output a bias can be added to; the others have one of their own or several outputs per channel.
_BIASED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def import_onnx(path: str | Path, dims: Mapping[str, int] | None = None) -> Workload:
    """Return the workload of an ONNX file, named after it.

    Layers are made of Conv, ConvTranspose, Gemm, MatMul, Einsum of two tensors, LSTM, GRU, RNN,
    Attention and the integer forms of these. An Add of one constant per channel after one of them is
    its bias. Every other operator is listed as not mapped with the bytes it reads and writes; what
    is left of a mapped one (an LSTM's gates, ...) as `LSTM:gates`, and what the body of an If, Loop
    or Scan holds as `Loop/MatMul`, once per body, because how often it runs is known only then.
    Operators on nothing but constants, shapes included, are done before inference: they are listed
    with no bytes. A graph that is a small machine-learning algorithm as a whole comes with that; one of small tensors
    and simple operators comes with its scalar operations.

    Args:
        path: the file.
        dims: values of symbolic dimensions; one without a name is called `input[axis]`.

    Raises:
        ArmillaryError: if the file is missing, truncated or no ONNX model, a dimension is left
            open, a shape cannot be inferred, or no operator can be mapped and it
            is neither a small machine-learning algorithm nor a dataflow graph of scalars.
    """
    path = Path(path)
    model = read(path)
    set_dimensions(model, dims or {}, str(path))
    tensors = resolve(model, str(path))
    nodes = list(model.graph.node)
    parts = [_lowered(node, tensors) for node in nodes]
    absorbed = _absorb_biases(nodes, parts, {output.name for output in model.graph.output}, tensors)
    uses: list[LayerUse] = []
    beside = _Beside(tensors)
    held: set[str] = set()
    for position, (node, lowered) in enumerate(zip(nodes, parts, strict=True)):
        if lowered is None and position not in absorbed:
            beside.add(node)
        for part in lowered or ():
            if isinstance(part, Operation):
                uses.append(_use(part, held))
            else:
                beside.add_remainder(node, part)
    algorithm, dataflow = recognized(model.graph, tensors), dataflow_of(model.graph, tensors)
    if isinstance(algorithm, str):
        if not uses and isinstance(dataflow, str):
            _refuse(model.graph, str(path), algorithm, dataflow)
    else:
        uses = uses or _dot_product(algorithm)
    return Workload(
        path.stem,
        merge(uses),
        beside.listed(),
        algorithm=None if isinstance(algorithm, str) else algorithm,
        no_algorithm=algorithm if isinstance(algorithm, str) else "",
        dataflow=None if isinstance(dataflow, str) else dataflow,
        no_dataflow=dataflow if isinstance(dataflow, str) else "",
    )


def _dot_product(algorithm: Algorithm) -> list[LayerUse]:
    """Return the layer of an algorithm that is written without an operator for it, none of a decision tree."""
    if algorithm.tree is not None:
        return []
    return [LayerUse(Layer("dot_product", "gemm", C=algorithm.dimension, dynamic=algorithm.weights is None))]


def _lowered(node: NodeProto, tensors: Tensors) -> list[Operation | Remainder] | None:
    """Return the layers of a node; None for one without, and for one that is done before inference."""
    if all(out in tensors.constants for out in node.output if out):
        return None
    try:
        return lower(node, tensors)
    except (ValueError, IndexError) as fault:
        raise ArmillaryError(
            f"{tensors.source}: {describe(node)} cannot be read: {fault}; export the model again"
        ) from fault


def _absorb_biases(
    nodes: Sequence[NodeProto],
    parts: list[list[Operation | Remainder] | None],
    outputs: Set[str],
    tensors: Tensors,
) -> set[int]:
    """Make an Add of a constant per channel the bias of the node before it, in `parts`.

    Returns:
        The positions of the nodes that have become a bias.
    """
    readers = _readers(nodes)
    absorbed = set()
    for position, (node, lowered) in enumerate(zip(nodes, parts, strict=True)):
        reading = readers.get(node.output[0], [])
        if not lowered or len(reading) != 1 or node.output[0] in outputs or node.op_type not in _BIASED:
            continue
        biased = _with_bias(node, lowered, nodes[reading[0]], tensors)
        if biased is not None:
            parts[position] = biased
            absorbed.add(reading[0])
    return absorbed


def _readers(nodes: Iterable[NodeProto]) -> dict[str, list[int]]:
    """Return the positions of the nodes that read each tensor, be it in a body of theirs."""
    readers: dict[str, list[int]] = {}
    for position, node in enumerate(nodes):
        inner = [name for body in subgraphs(node) for name in _readers(body.node)]
        for name in (*node.input, *inner):
            readers.setdefault(name, []).append(position)
    return readers


def _with_bias(
    node: NodeProto, parts: Sequence[Operation | Remainder], add: NodeProto, tensors: Tensors
) -> list[Operation | Remainder] | None:
    """Return the parts with the constant that `add` adds as bias, None if it adds no bias of theirs."""
    others = [name for name in add.input if name != node.output[0]]
    if operator(add) != "Add" or len(others) != 1 or others[0] not in tensors.constants:
        return None
    shape = tensors.known_shape(others[0])
    rank = len(tensors.shape(node.output[0], node))
    operation = parts[0]
    if shape is None or not isinstance(operation, Operation):
        return None
    biased = with_bias(operation, shape, 1 if "Conv" in node.op_type else rank - 1, rank)
    return None if biased is None else [biased, *parts[1:]]


def _use(operation: Operation, held: set[str]) -> LayerUse:
    """Return the use of an operation; notes its weights as held, so that they are learned only once."""
    shared = operation.weights is not None and operation.weights in held
    if operation.weights is not None:
        held.add(operation.weights)
    return LayerUse(operation.layer, operation.count, shared_sets=int(shared))


class _Beside:
    """Counts the operators that are not mapped and what they move."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._rows: dict[str, NotMapped] = {}

    def add(self, node: NodeProto, within: str = "") -> None:
        """Count a node, and the nodes of its bodies."""
        folded = all(out in self._tensors.constants for out in node.output if out)
        sizes = [] if folded else [self._tensors.bytes(name) for name in (*node.input, *node.output) if name]
        known = [size for size in sizes if size is not None]
        name = within + operator(node)
        self._note(NotMapped(name, 1, sum(known), unsized=len(sizes) - len(known)))
        for body in subgraphs(node):
            for inner in body.node:
                self.add(inner, within=f"{name}/")

    def add_remainder(self, node: NodeProto, part: Remainder) -> None:
        """Count what is left of a mapped node, in elements of its output's type."""
        bits = element_bits(self._tensors.types[node.output[0]].tensor_type.elem_type) or 8
        self._note(NotMapped(f"{operator(node)}:{part.part}", 1, part.elements * bits // 8))

    def listed(self) -> tuple[NotMapped, ...]:
        """Return one row per operator, in order of first appearance."""
        return tuple(self._rows.values())

    def _note(self, row: NotMapped) -> None:
        known = self._rows.get(row.op_type)
        self._rows[row.op_type] = (
            row
            if known is None
            else replace(
                known,
                count=known.count + row.count,
                bytes_moved=known.bytes_moved + row.bytes_moved,
                unsized=known.unsized + row.unsized,
            )
        )


def _refuse(graph: GraphProto, source: str, no_algorithm: str, no_dataflow: str) -> None:
    """Say that nothing can be mapped, what there is instead, and why that is no algorithm."""
    found = Counter(operator(node) for node in graph.node)
    listed = ", ".join(f"{count} x {name}" for name, count in found.most_common()) or "none at all"
    raise ArmillaryError(
        f"{source}: no operator that can be mapped; it has {listed}; mapped are {', '.join(sorted(RULES))}; "
        f"nor is it a small machine-learning algorithm: {no_algorithm}; nor a dataflow graph of scalars: {no_dataflow}"
    )
