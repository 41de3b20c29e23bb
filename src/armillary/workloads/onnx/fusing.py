"""Which operators beside the array run together: a function of each value alone needs no pass of its own.

A stage is a layer, or an operator that has none, with every operator behind it that computes each of its values from
one value of the stage: a scale, a ReLU, or what exporters write for GELU. Only what leaves a stage goes through memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from armillary.workloads.onnx.amounts import POINTWISE, STRIDED, VIEWS, work_of
from armillary.workloads.onnx.biases import Parts, readers_of
from armillary.workloads.onnx.lowering.parts import Operation
from armillary.workloads.onnx.nodes import operator, option, subgraphs
from armillary.workloads.onnx.schedule import Step
from armillary.workloads.onnx.shapes import Tensors
from armillary.workloads.vector_work import VectorUse, VectorWork, WorkKind


@dataclass
class _Stage:
    """What runs together.

    Attributes:
        position: of the step that begins it.
        values: that it puts out, and that each operator behind takes one by one.
        first: its own work; None for a layer.
        behind: the work of what follows, value by value.
        members: positions of its steps.
        tensors: that hold its values, by the name of the first of those that hold the same ones.
    """

    position: int
    values: int
    first: VectorWork | None
    behind: list[VectorWork] = field(default_factory=list)
    members: set[int] = field(default_factory=set)
    tensors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Follower:
    """A layer that alone reads what another puts out, with nothing between that needs more than a row of it.

    Attributes:
        producer: position of the one's step.
        consumer: position of the other's.
        between: work beside the array on the way.
    """

    producer: int
    consumer: int
    between: tuple[VectorWork, ...]


class Fusing:
    """The stages of a graph.

    Args:
        steps: what runs, in order.
        parts: the layers of each.
        absorbed: positions of steps that are a bias of a layer.
        outputs: tensors that the graph or a body puts out.
        tensors: what is known.
    """

    def __init__(
        self, steps: Sequence[Step], parts: Sequence[Parts], absorbed: Set[int], outputs: Set[str], tensors: Tensors
    ) -> None:
        self._steps, self._outputs, self._tensors = steps, outputs, tensors
        self._readers: Mapping[str, Sequence[int]] = readers_of(steps)
        self._stages: list[_Stage] = []
        self._of: dict[str, _Stage] = {}
        self._layers = {position for position, lowered in enumerate(parts) if lowered is not None}
        self._loaded = self._read_by_layers(parts, absorbed)
        for position, (step, lowered) in enumerate(zip(steps, parts, strict=True)):
            if lowered is not None:
                self._begin(position, None, last=isinstance(lowered[-1], Operation) if lowered else False)
            elif position in absorbed:
                self._follow(position, None)
            else:
                self._add(position, step)

    def uses(self) -> Iterator[VectorUse]:
        """Yield the work beside the array, as often as it is done."""
        for stage in self._stages:
            work = self._of_layer(stage) if stage.first is None else self._alone(stage, stage.first)
            if work is not None:
                yield VectorUse(work, self._steps[stage.position].runs)

    def readers(self) -> Iterator[Follower]:
        """Yield the layers whose outputs one other layer alone reads, value by value or row by row."""
        for stage in self._stages:
            if stage.first is None and stage.tensors:
                found = self._follower(stage)
                if found is not None:
                    yield found

    def _follower(self, layer: _Stage) -> Follower | None:
        begun = {stage.position: stage for stage in self._stages}
        stage, between = layer, [self._of_layer(layer)]
        while (reader := self._one_reader(stage)) is not None:
            position, name = reader
            if position in self._layers:
                first = self._steps[position].node.input[0] == name
                works = tuple(work for work in between if work is not None)
                return Follower(layer.position, position, works) if first else None
            following = begun.get(position)
            if following is None or not self._keeps_places(following, layer.values):
                return None
            stage = following
            assert stage.first is not None
            between.append(self._alone(stage, stage.first))
        return None

    def _one_reader(self, stage: _Stage) -> tuple[int, str] | None:
        """Return the only step that reads what leaves a stage, as often as the stage runs, and the tensor's name."""
        leaving = self._leaving(stage)
        readers = {
            (reader, name)
            for name, held in stage.tensors.items()
            if held in leaving
            for reader in self._readers.get(name, ())
            if reader not in stage.members
        }
        if len(leaving) != 1 or len(readers) != 1 or any(name in self._outputs for name in stage.tensors):
            return None
        ((position, name),) = readers
        own, other = self._steps[stage.position], self._steps[position]
        return (position, name) if (own.body, own.runs) == (other.body, other.runs) else None

    def _keeps_places(self, stage: _Stage, values: int) -> bool:
        """Return whether a stage puts out as many values, each from its own place, or from its row by a softmax."""
        if stage.first is None or stage.values != values or not stage.tensors:
            return False
        if stage.first.kind != "softmax":
            return stage.first.kind in (*POINTWISE, "sum", "combine")
        node = self._steps[stage.position].node
        shape = self._tensors.known_shape(node.output[0]) or ()
        return option(node, "axis", -1) in (-1, len(shape) - 1)

    def _read_by_layers(self, parts: Sequence[Parts], absorbed: Set[int]) -> set[str]:
        """Return the tensors that layers alone read, be it in other steps or under another shape."""
        found: set[str] = set()
        for position in reversed(range(len(self._steps))):
            for name in self._steps[position].node.output:
                reading = self._readers.get(name, ())
                if (
                    reading
                    and name not in self._outputs
                    and all(self._loads(n, parts, absorbed, found) for n in reading)
                ):
                    found.add(name)
        return found

    def _loads(self, position: int, parts: Sequence[Parts], absorbed: Set[int], found: Set[str]) -> bool:
        node = self._steps[position].node
        passes_on = node.op_type in STRIDED | VIEWS or position in absorbed
        return parts[position] is not None or (passes_on and all(name in found for name in node.output if name))

    def _add(self, position: int, step: Step) -> None:
        node = step.node
        work = work_of(node, self._tensors)
        if work is None and (node.op_type not in VIEWS or not self._follow(position, None)):
            if not step.opened and any(subgraphs(node)):
                work = VectorWork(operator(node), "unknown")
            else:
                return
        if work is not None and not (self._is_pointwise(step, work) and self._follow(position, work)):
            self._begin(position, work)

    def _is_pointwise(self, step: Step, work: VectorWork) -> bool:
        return work.kind in POINTWISE or (work.kind == "combine" and len(self._computed(step)) > 1)

    def _computed(self, step: Step) -> list[str]:
        return [name for name in step.node.input if name and name not in self._tensors.constants]

    def _begin(self, position: int, work: VectorWork | None, *, last: bool = True) -> None:
        """Begin a stage; one whose first output is not all that it puts out is followed by nothing."""
        output = [name for name in self._steps[position].node.output if name]
        size = self._size(output[0]) if output else None
        stage = _Stage(position, size or 0, work, members={position})
        self._stages.append(stage)
        followed = last and (work is None or work.kind != "unknown")
        if size is not None and followed and len([name for name in output if name in self._readers]) <= 1:
            stage.tensors[output[0]] = output[0]
            self._of[output[0]] = stage

    def _follow(self, position: int, work: VectorWork | None) -> bool:
        """Make a step part of the stage whose values it takes, if it takes no others; return whether it did."""
        step = self._steps[position]
        names = self._computed(step)
        stage = self._of.get(names[0]) if names else None
        output = step.node.output[0] if step.node.output else ""
        if stage is None or any(self._of.get(name) is not stage for name in names):
            return False
        begun = self._steps[stage.position]
        if self._size(output) != stage.values or (step.body, step.runs) != (begun.body, begun.runs):
            return False
        stage.members.add(position)
        if work is not None:
            stage.behind.append(replace(work, kind="function") if work.kind == "combine" else work)
        stage.tensors[output] = stage.tensors[names[0]] if step.node.op_type in VIEWS else output
        self._of[output] = stage
        return True

    def _size(self, name: str) -> int | None:
        shape = self._tensors.known_shape(name)
        return None if shape is None else math.prod(shape)

    def _leaving(self, stage: _Stage) -> set[str]:
        """Return the tensors of a stage that somebody else reads, one name for each."""
        return {
            held
            for name, held in stage.tensors.items()
            if name in self._outputs or any(reader not in stage.members for reader in self._readers.get(name, ()))
        }

    def _of_layer(self, stage: _Stage) -> VectorWork | None:
        """Return the work behind a layer; it needs no memory in between if one tensor alone leaves."""
        if not stage.behind:
            return None
        own = self._steps[stage.position].node.output[0]
        leaving = self._leaving(stage)
        passed = stage.values if len(leaving) == 1 and own not in leaving else 0
        writes = stage.values * len(leaving - {own})
        first = VectorWork("", "clamp", reads=stage.values, writes=writes, passed=passed)
        return _together(first, stage.behind, _kind_of(stage.behind))

    def _alone(self, stage: _Stage, first: VectorWork) -> VectorWork:
        if first.kind == "unknown":
            return first
        node = self._steps[stage.position].node
        if node.op_type in STRIDED and not stage.behind and all(name in self._loaded for name in node.output if name):
            return replace(first, kind="stride", passed=first.reads)
        behind = _kind_of(stage.behind) if stage.behind else "clamp"
        kind: WorkKind = first.kind
        if kind in POINTWISE:
            kind = max(kind, behind, key=POINTWISE.index)
        elif kind == "sum" and behind == "function":
            kind = "combine"
        writes = stage.values * max(len(self._leaving(stage)), 1) if stage.behind else first.writes
        passed = min(self._passed(stage), first.reads)
        return _together(replace(first, writes=writes, passed=passed), stage.behind, kind)

    def _passed(self, stage: _Stage) -> int:
        """Return how many values an operator takes of the layer before, if it alone reads them, scaled at most."""
        before = [self._of.get(name) for name in self._computed(self._steps[stage.position])]
        layers = [one for one in before if one is not None and one.first is None and self._reads_alone(stage, one)]
        return max(layers, key=lambda one: one.position).values if layers else 0

    def _reads_alone(self, stage: _Stage, layer: _Stage) -> bool:
        begun, own = self._steps[layer.position], self._steps[stage.position]
        leaving = self._leaving(layer)
        readers = {
            reader
            for name, held in layer.tensors.items()
            if held in leaving
            for reader in self._readers.get(name, ())
            if reader not in layer.members
        }
        return (
            readers == {stage.position}
            and len(leaving) == 1
            and not any(name in self._outputs for name in layer.tensors)
            and all(work.kind == "scale" for work in layer.behind)
            and (begun.body, begun.runs) == (own.body, own.runs)
        )


def _kind_of(works: Sequence[VectorWork]) -> WorkKind:
    return max((work.kind for work in works), key=POINTWISE.index)


def _together(first: VectorWork, behind: Sequence[VectorWork], kind: WorkKind) -> VectorWork:
    """Return work with the operations of what follows."""
    names = [name for name in (first.name, *(work.name for work in behind)) if name]
    return replace(
        first,
        name=" ".join(dict.fromkeys(names)),
        kind=kind,
        adds=first.adds + sum(work.adds for work in behind),
        multiplies=first.multiplies + sum(work.multiplies for work in behind),
        functions=first.functions + sum(work.functions for work in behind),
    )
