"""From an ONNX file to a workload. Shapes suffice: weights kept in other files may be missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from onnx import ModelProto

from armillary.types import ArmillaryError
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Layer, LayerUse, Workload, merge
from armillary.workloads.onnx.algorithms import recognized
from armillary.workloads.onnx.beside import Beside
from armillary.workloads.onnx.biases import Parts, absorb_biases
from armillary.workloads.onnx.dataflow import dataflow_of
from armillary.workloads.onnx.dimensions import set_dimensions
from armillary.workloads.onnx.fitting import shown, what_would_fit
from armillary.workloads.onnx.fusing import Fusing
from armillary.workloads.onnx.inference.finding import ELEMENTWISE, names
from armillary.workloads.onnx.layers import RULES, lower, rule_of
from armillary.workloads.onnx.learned import Learned
from armillary.workloads.onnx.lowering.parts import Operation, Remainder
from armillary.workloads.onnx.nodes import describe, operator, subgraphs
from armillary.workloads.onnx.reading import read
from armillary.workloads.onnx.schedule import Choice, Entry, Step, Unbounded, steps_of
from armillary.workloads.onnx.shapes import Tensors, UnknownShapeError, tensors_of
from armillary.workloads.onnx.walk import ClashingError, UnreadableError, Walk
from armillary.workloads.pairs import LayerPair, merged_pairs
from armillary.workloads.vector_work import VectorUse, VectorWork, merge_work

_MOST_SMALL = 5000
"""Nodes of a graph that may be a small machine-learning algorithm or a dataflow graph of scalars."""


def import_onnx(
    path: str | Path, dims: Mapping[str, int] | None = None, operators: Mapping[str, str] | None = None
) -> Workload:
    """Return the workload of an ONNX file, named after it.

    Layers are made of convolutions, matrix products, Einsum, recurrent layers and attention, of ONNX's own operators
    and of ONNX Runtime's. An Add of one constant per channel after one of them is its bias. Every other operator is
    listed as not mapped with the bytes it reads and writes; what is left of a mapped one (an LSTM's gates, ...) as
    `LSTM:gates`, and what the body of an If, Loop or Scan holds as `Loop/Relu`. Bodies count as often as they run; of
    an If whose condition is unknown, the branch with more multiply-accumulates.

    Operators on nothing but constants, shapes included, are done before inference: they are listed
    with no bytes. A graph that is a small machine-learning algorithm as a whole comes with that; one of small tensors
    and simple operators comes with its scalar operations.

    Args:
        path: the file: a protobuf, a text protobuf, or one of them compressed by gzip.
        dims: values of symbolic dimensions by name; any dimension goes by `tensor[axis]`, of an input or of a computed
            tensor whose size depends on the data, and `node:runs` says how often a Loop runs.
        operators: what operators of others are, e.g. `{"com.acme.Foo": "elementwise"}`, or an operator of ONNX's own
            that it is like.

    Raises:
        ArmillaryError: if the file is missing, truncated or no ONNX model, a dimension is left
            open, sizes clash, or no operator can be mapped and it is neither a small machine-learning algorithm nor a
            dataflow graph of scalars.
    """
    path = Path(path)
    model = read(path)
    sizes = set_dimensions(model, dims or {}, str(path))
    walk = Walk(model, str(path), sizes, _checked(operators or {}))
    try:
        entries = walk.run()
    except UnreadableError as fault:
        hint = what_would_fit(path, dims or {}, operators or {})
        if hint is None and not isinstance(fault, ClashingError):
            raise
        if not dims:
            raise ArmillaryError(f"{fault}; no size is open, so that the model is invalid; export it again") from fault
        hint = hint or "no multiple of a power of two near them fits"
        raise ArmillaryError(f"{fault}; the sizes come from {shown(dims)}; {hint}") from fault
    tensors = tensors_of(walk)
    return _Import(path, model, tensors, walk.strange, walk.warnings).workload(entries)


def _checked(operators: Mapping[str, str]) -> Mapping[str, str]:
    """Return what operators stand for.

    Raises:
        ArmillaryError: if one stands for what there is not.
    """
    allowed = {ELEMENTWISE, *names()}
    for name, kind in operators.items():
        if kind not in allowed:
            raise ArmillaryError(
                f"operator {name}={kind!r} is not allowed; write elementwise, or an operator of ONNX that it is like: "
                f"{', '.join(sorted(allowed))}"
            )
    return operators


class _Import:
    """The workload of a graph that has been walked."""

    def __init__(
        self, path: Path, model: ModelProto, tensors: Tensors, strange: Set[str], warnings: Sequence[str]
    ) -> None:
        self._path, self._graph, self._tensors, self._strange = path, model.graph, tensors, strange
        self._warnings = list(warnings)
        self._learned = Learned(tensors)
        self._beside = Beside(tensors)
        self._work: list[VectorUse] = []
        self._uses: list[LayerUse] = []
        self._pairs: list[LayerPair] = []
        self._unknown: list[str] = []
        self._first_fault: UnknownShapeError | None = None
        self._idle: list[Step] = []

    def workload(self, entries: Sequence[Entry]) -> Workload:
        """Return the workload of what runs."""
        self._add(self._chosen(entries))
        idle = sum(map(self._learned_by, self._idle))
        graph, tensors = self._graph, self._tensors
        small = len(graph.node) <= _MOST_SMALL and not self._unknown
        too_large = f"it has more than {_MOST_SMALL:,} nodes, or work that nobody knows"
        algorithm = recognized(graph, tensors) if small else too_large
        dataflow = dataflow_of(graph, tensors) if small else too_large
        uses = self._uses
        if isinstance(algorithm, str):
            if not uses and isinstance(dataflow, str):
                self._refuse(algorithm, dataflow)
        else:
            uses = uses or _dot_product(algorithm)
        layers = merge(uses)
        return Workload(
            self._path.stem,
            layers,
            self._beside.listed(),
            merge_work(self._work),
            algorithm=None if isinstance(algorithm, str) else algorithm,
            no_algorithm=algorithm if isinstance(algorithm, str) else "",
            dataflow=None if isinstance(dataflow, str) else dataflow,
            no_dataflow=dataflow if isinstance(dataflow, str) else "",
            unknown_work=tuple(self._unknown),
            warnings=tuple(self._warnings),
            idle_parameters=idle,
            pairs=merged_pairs(uses, self._pairs, layers),
        )

    def _chosen(self, entries: Sequence[Entry]) -> list[Step]:
        """Return the steps that count: of branches of which nobody knows which runs, those of the dearest."""
        found: list[Step] = []
        for entry in entries:
            if isinstance(entry, Step):
                found.append(entry)
            elif isinstance(entry, Choice):
                found += self._dearest(entry)
            else:
                self._leave(entry)
        return found

    def _dearest(self, choice: Choice) -> list[Step]:
        branches = [self._chosen(branch) for branch in choice.branches]
        macs = [sum(map(self._macs, branch)) for branch in branches]
        dearest = max(range(len(macs)), key=macs.__getitem__)
        if any(macs):
            self._warnings.append(
                f"{describe(choice.node)}: its condition is unknown; the {('then', 'else')[dearest]} branch counts, "
                f"of {macs[dearest]:,} MACs; the other has {min(macs):,}"
            )
        for branch in branches[:dearest] + branches[dearest + 1 :]:
            self._idle += branch
        return branches[dearest]

    def _leave(self, loop: Unbounded) -> None:
        """Note a loop of which nobody knows how often it runs: its operators are listed once."""
        steps = list(steps_of(loop.entries))
        for step in steps:
            self._beside.add(replace(step, opened=True))
            self._work.append(VectorUse(VectorWork(operator(step.node), "unknown")))
        multiplying = [step for step in steps if self._macs(step)]
        if multiplying:
            self._unknown.append(
                f"{describe(loop.node)} runs {len(multiplying)} multiplying nodes nobody knows how often; set it with "
                f"--dim {loop.node.name or 'NODE'}:runs=NUMBER"
            )
        self._idle += multiplying

    def _macs(self, step: Step) -> int:
        try:
            parts = self._lowered(step) or []
        except UnknownShapeError:
            return 0
        return step.runs * sum(part.count * part.layer.macs for part in parts if isinstance(part, Operation))

    def _lowered(self, step: Step) -> Parts:
        """Return the layers of a node; None for one without, and for one that is done before inference."""
        node = step.node
        if all(out in self._tensors.constants for out in node.output if out):
            return None
        try:
            return lower(node, self._tensors)
        except (ValueError, IndexError) as fault:
            raise ArmillaryError(
                f"{self._tensors.source}: {describe(node)} cannot be read: {fault}; export the model again"
            ) from fault

    def _lowered_or_unknown(self, step: Step) -> Parts:
        """Return the layers of a node, none where its work is unknown, which is noted."""
        try:
            parts = self._lowered(step)
        except UnknownShapeError as fault:
            self._first_fault = self._first_fault or fault
            self._unknown.append(str(fault).removeprefix(f"{self._tensors.source}: "))
            self._idle.append(step)
            return None
        if parts is None and any(out in self._strange for out in step.node.output):
            name = operator(step.node)
            self._unknown.append(
                f"{describe(step.node)} is no operator that is known; say what it is with --op {name}=elementwise, or "
                "an operator of ONNX that it is like"
            )
        return parts

    def _add(self, steps: Sequence[Step]) -> None:
        """Note the layers of steps, and what runs beside."""
        outputs = {output.name for output in self._graph.output}
        for step in steps:
            if step.opened:
                outputs.update(output.name for body in subgraphs(step.node) for output in body.output)
        parts = [self._lowered_or_unknown(step) for step in steps]
        absorbed = absorb_biases(steps, parts, outputs, self._tensors)
        stages = Fusing(steps, parts, absorbed, outputs, self._tensors)
        self._work += stages.uses()
        places: dict[int, list[int]] = {}
        for position, (step, lowered) in enumerate(zip(steps, parts, strict=True)):
            if lowered is None and position not in absorbed:
                self._beside.add(step)
            for part in lowered or ():
                if isinstance(part, Operation):
                    places.setdefault(position, []).append(len(self._uses))
                    self._uses.append(self._learned.use(part, step.runs))
                else:
                    self._beside.add_remainder(step, part)
                    self._work.append(VectorUse(part.work, step.runs * part.count))

        self._pairs += self._within(steps, parts, places)
        for one in stages.readers():
            if one.producer in places and one.consumer in places:
                self._pair(places[one.producer][-1], places[one.consumer][0], one.between)

    def _within(
        self, steps: Sequence[Step], parts: Sequence[Parts], places: Mapping[int, list[int]]
    ) -> list[LayerPair]:
        """Return the pairs of attention that is one node: queries by keys, and scores by values."""
        found = []
        for position, own in places.items():
            operations = [part for part in parts[position] or () if isinstance(part, Operation)]
            rests = [part for part in parts[position] or () if isinstance(part, Remainder) and part.part == "softmax"]
            names = [part.layer.name.rpartition(".")[2] for part in operations]
            if len(rests) == 1 and names[-2:] == ["scores", "values"]:
                count, (first, second) = steps[position].runs * operations[-1].count, own[-2:]
                found.append(LayerPair(first, second, count, (VectorUse(rests[0].work),)))
        return found

    def _pair(self, producer: int, consumer: int, between: Sequence[VectorWork]) -> None:
        """Note a pair whose two layers run equally often."""
        count = self._uses[producer].count
        if count == self._uses[consumer].count:
            self._pairs.append(LayerPair(producer, consumer, count, merge_work([VectorUse(work) for work in between])))

    def _learned_by(self, step: Step) -> int:
        """Return the values that a step whose work does not count learns."""
        try:
            parts = self._lowered(step) or []
        except UnknownShapeError:
            parts = []
        operations = [part for part in parts if isinstance(part, Operation)]
        if operations:
            return sum(self._learned.use(part).parameters for part in operations)
        if rule_of(step.node, self._tensors) is None:
            return 0
        tensors, found = self._tensors, 0
        for name in step.node.input:
            shape = tensors.known_shape(name) if name in tensors.constants else None
            if shape:
                found += self._learned.meet(tensors.origin(name), math.prod(shape))
        return found

    def _refuse(self, no_algorithm: str, no_dataflow: str) -> NoReturn:
        """Say that nothing can be mapped, what there is instead, and why that is no algorithm."""
        if self._first_fault is not None:
            raise self._first_fault
        found = Counter(operator(node) for node in self._graph.node)
        listed = ", ".join(f"{count} x {name}" for name, count in found.most_common()) or "none at all"
        unknown = f"; {self._unknown[0]}" if self._unknown else ""
        raise ArmillaryError(
            f"{self._path}: no operator that can be mapped; it has {listed}; mapped are {', '.join(sorted(RULES))}; "
            f"nor is it a small machine-learning algorithm: {no_algorithm}; nor a dataflow graph of scalars: "
            f"{no_dataflow}{unknown}"
        )


def _dot_product(algorithm: Algorithm) -> list[LayerUse]:
    """Return the layer of an algorithm that is written without an operator for it, none of a decision tree."""
    if algorithm.tree is not None:
        return []
    return [LayerUse(Layer("dot_product", "gemm", C=algorithm.dimension, dynamic=algorithm.weights is None))]
