"""If, Loop and Scan: which of their bodies run, how often, and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto, TensorProto

from armillary.workloads.onnx.facts import UNKNOWN, Fact, Partial, axis_of, united
from armillary.workloads.onnx.nodes import body, describe, has_input, option, subgraphs
from armillary.workloads.onnx.schedule import Choice, Entry, Step, Unbounded, repeated

if TYPE_CHECKING:
    from armillary.workloads.onnx.walk import Walk

_ENDLESS = 2**31
"""Trip counts from here on are what exporters write for no limit."""
_MOST_FOLLOWED = 10_000
"""Nodes visited, in all, of loops whose end is found by following what they compute of shapes."""
_NONE: list[int] = []
_NOTHING: Mapping[int, str] = {}


@dataclass(frozen=True)
class _Body:
    """A body that has been walked: what runs, and what is known of its outputs, by the names they go by."""

    entries: tuple[Entry, ...]
    names: tuple[str, ...]
    outputs: tuple[Fact, ...]


def _walked(
    walk: Walk, node: NodeProto, name: str, inputs: Sequence[Fact], within: str, varying: Mapping[int, str] = _NOTHING
) -> _Body:
    """Walk over a body of a node whose inputs are known so far.

    Args:
        walk: what is known.
        node: whose body it is.
        name: of the body among the node's attributes.
        inputs: what is known of the body's inputs.
        within: the operators whose bodies it is in.
        varying: inputs, by position, that are known before each run: slices of a constant, or, without a name, numbers.
    """
    graph, number = body(node, name), walk.next_body()
    defined = [value.name for value in graph.input]
    defined += [tensor.name for tensor in graph.initializer]
    defined += [out for inner in graph.node for out in inner.output if out]
    renamed = {tensor: f"{tensor}@{number}" for tensor in defined if tensor in walk.facts}
    nodes = [_renamed(inner, renamed) for inner in graph.node] if renamed else list(graph.node)
    outer = walk.path
    walk.path = f"{outer}/{next((out for out in node.output if out), '').partition('@')[0]}.{name}"
    walk.hold(graph, renamed)
    walk.record(graph, renamed)
    for position, (value, fact) in enumerate(zip(graph.input, inputs, strict=True)):
        tensor = renamed.get(value.name, value.name)
        walk.facts[tensor] = fact
        if position in varying:
            walk.origins.vary(tensor, varying[position])
    entries = tuple(_placed(entry, number) for entry in walk.block(nodes, within))
    walk.path = outer
    names = tuple(renamed.get(value.name, value.name) for value in graph.output)
    return _Body(entries, names, tuple(walk.fact(tensor) for tensor in names))


def _placed(entry: Entry, number: int) -> Entry:
    if isinstance(entry, Step) and not entry.body:
        return Step(entry.node, entry.within, entry.runs, number, entry.opened)
    return entry


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """Return a copy of a node with other tensor names, in its bodies, too, where those are not defined anew."""
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names)
    return copy


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    for listed in (node.input, node.output):
        for position, name in enumerate(listed):
            if name in names:
                listed[position] = names[name]
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own.update(out for inner in graph.node for out in inner.output)
        outer = {name: new for name, new in names.items() if name not in own}
        for inner in graph.node:
            _rename(inner, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def _if(walk: Walk, node: NodeProto, within: str) -> list[Entry]:
    condition = walk.fact(node.input[0]).whole
    opened = Step(node, within, opened=True)
    inner = f"{within}If/"
    if condition is not None and condition.size == 1:
        taken = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        found = _walked(walk, node, taken, (), inner)
        walk.note(node, found.outputs)
        for name, of in zip(node.output, found.names, strict=False):
            if name:
                walk.origins.alias(name, of)
        return [opened, *found.entries]
    branches = [_walked(walk, node, name, (), inner) for name in ("then_branch", "else_branch")]
    both = zip(*(branch.outputs for branch in branches), strict=False)
    walk.note(node, [_same_or_united(pair) for pair in both])
    return [opened, Choice(node, tuple(branch.entries for branch in branches))]


def _same_or_united(pair: Sequence[Fact]) -> Fact:
    return Fact(item=pair[0].item) if pair[0].item is not None else united(pair)


def _forgotten(fact: Fact) -> Fact:
    """Return a fact without what may change from one run of a body to the next."""
    if fact.item is not None:
        return Fact(item=fact.item)
    return Fact(fact.elem_type, fact.shape)


def _stable(before: Sequence[Fact], after: Sequence[Fact]) -> bool:
    """Return whether states stay as they are; a sequence may grow, and is followed."""
    return all(a.shape == b.shape and a.item is b.item is None for a, b in zip(before, after, strict=False))


def _loop(walk: Walk, node: NodeProto, within: str) -> list[Entry]:
    graph, inner = body(node, "body"), f"{within}Loop/"
    trips = _number(walk, node, 0)
    goes_on = walk.fact(node.input[1]).whole if has_input(node, 1) else np.array(True)
    states = [walk.fact(name) for name in node.input[2:]]
    if len(graph.input) != 2 + len(states) or len(graph.output) < 1 + len(states):
        raise ValueError(f"its body has {len(graph.input)} inputs for {len(states)} states")
    opened = Step(node, within, opened=True)
    if trips == 0 or (goes_on is not None and not goes_on.reshape(-1)[0]):
        walk.note(node, [*states, *[Fact(0, None)] * (len(graph.output) - 1 - len(states))])
        return [opened]
    go = Fact(TensorProto.BOOL, (), np.array(True))
    once = _walked(walk, node, "body", [Fact(TensorProto.INT64, ()), go, *map(_forgotten, states)], inner, {0: ""})
    after = once.outputs[1 : 1 + len(states)]
    given = walk.sizes.runs.get(node.name)
    ends = once.outputs[0].whole
    always = ends is not None and bool(ends.reshape(-1)[0])
    ending = goes_on is not None and (trips is not None or not always)
    if given is None and ending and not (_stable(states, after) and always):
        steps = _followed(walk, node, inner, trips, states)
        if steps is not None:
            return [opened, *steps]
    runs = trips if given is None else given
    united_states = [_same_or_united(pair) for pair in zip(map(_forgotten, states), after, strict=True)]
    if not _stable(states, after):
        once = _walked(walk, node, "body", [Fact(TensorProto.INT64, ()), go, *united_states], inner, {0: ""})
    scans = [_stacked(fact, runs, 0) for fact in once.outputs[1 + len(states) :]]
    walk.note(node, [*united_states, *scans])
    if runs is None:
        return [opened, Unbounded(node, once.entries)]
    if given is None and not (always and goes_on is not None):
        walk.warnings.append(
            f"{describe(node)} may end before its {runs:,} runs, which are counted; --dim {node.name}:runs=NUMBER sets "
            "them"
        )
    return [opened, *repeated(once.entries, runs)]


def _number(walk: Walk, node: NodeProto, position: int) -> int | None:
    """Return the trip count, None for none or an unknown one."""
    if not has_input(node, position):
        return None
    value = walk.fact(node.input[position]).whole
    if value is None or value.size != 1:
        return None
    number = int(value.reshape(-1)[0])
    return None if number >= _ENDLESS else max(number, 0)


def _followed(walk: Walk, node: NodeProto, inner: str, trips: int | None, states: Sequence[Fact]) -> list[Entry] | None:
    """Walk over the body of a loop run by run, with the values it computes; None if they do not tell its end."""
    graph, entries = body(node, "body"), list[Entry]()
    scanned: list[list[Fact]] = []
    run = 0
    while trips is None or run < trips:
        walk.followed += len(graph.node)
        if walk.followed > _MOST_FOLLOWED:
            return None
        number = Fact(TensorProto.INT64, (), np.array(run, dtype=np.int64))
        go = Fact(TensorProto.BOOL, (), np.array(True))
        found = _walked(walk, node, "body", [number, go, *states], inner, {0: ""})
        entries += found.entries
        states = found.outputs[1 : 1 + len(states)]
        scanned.append(list(found.outputs[1 + len(states) :]))
        run += 1
        goes_on = found.outputs[0].whole
        if goes_on is None or goes_on.size != 1:
            return None
        if not bool(goes_on.reshape(-1)[0]):
            break
    scans = [_stacked(united(facts), run, 0) for facts in zip(*scanned, strict=True)]
    walk.note(node, [*states, *scans])
    return entries


def _stacked(fact: Fact, runs: int | None, axis: int) -> Fact:
    if fact.shape is None:
        return Fact(fact.elem_type)
    at = axis_of(axis, len(fact.shape) + 1)
    return Fact(fact.elem_type, (*fact.shape[:at], runs, *fact.shape[at:]))


def _scan(walk: Walk, node: NodeProto, within: str) -> list[Entry]:
    graph, inner = body(node, "body"), f"{within}Scan/"
    batched = walk.version("") < 9
    names = list(node.input[1:] if batched else node.input)
    scanned = option(node, "num_scan_inputs", 0)
    if not 0 < scanned <= len(names) or len(graph.input) != len(names):
        raise ValueError(f"num_scan_inputs={scanned} of {len(names)} inputs, {len(graph.input)} of the body")
    states = [_unbatched(walk.fact(name), batched) for name in names[: len(names) - scanned]]
    axes = [0] * scanned if batched else option(node, "scan_input_axes", _NONE) or [0] * scanned
    lengths, slices = [], []
    for name, axis in zip(names[len(states) :], axes, strict=True):
        length, part = _sliced(_unbatched(walk.fact(name), batched), axis)
        lengths.append(length)
        slices.append(part)
    runs = next((length for length in lengths if length is not None), None)
    if any(length not in (None, runs) for length in lengths):
        raise ValueError(f"its scanned inputs have lengths {lengths}")
    known = {n: name for n, name in enumerate(names) if n >= len(states) and name in walk.origins.constants}
    found = _walked(walk, node, "body", [*map(_forgotten, states), *slices], inner, known)
    batch = _batch(walk, names, batched)
    out_axes = option(node, "scan_output_axes", _NONE)
    outputs = list(found.outputs[: len(states)])
    for number, fact in enumerate(found.outputs[len(states) :]):
        outputs.append(_stacked(fact, runs, out_axes[number] if number < len(out_axes) else 0))
    walk.note(node, [_stacked(fact, batch, 0) for fact in outputs] if batched else outputs)
    opened = Step(node, within, opened=True)
    if runs is None or (batched and batch is None):
        return [opened, Unbounded(node, found.entries)]
    return [opened, *repeated(found.entries, runs * (batch or 1 if batched else 1))] if runs else [opened]


def _unbatched(fact: Fact, batched: bool) -> Fact:
    """Return a fact without its first axis, which Scan had for batches before operator set 9."""
    return Fact(fact.elem_type, fact.shape[1:]) if batched and fact.shape else fact


def _batch(walk: Walk, names: Sequence[str], batched: bool) -> int | None:
    shape: Partial | None = walk.fact(names[0]).shape if batched and names else None
    return shape[0] if shape else None


def _sliced(fact: Fact, axis: int) -> tuple[int | None, Fact]:
    if fact.shape is None:
        return None, Fact(fact.elem_type)
    at = axis_of(axis, len(fact.shape))
    return fact.shape[at], Fact(fact.elem_type, (*fact.shape[:at], *fact.shape[at + 1 :]))


def _sequence_map(walk: Walk, node: NodeProto, within: str) -> list[Entry]:
    """A body runs once for each tensor of a sequence."""
    inner = f"{within}SequenceMap/"
    sequence = walk.fact(node.input[0])
    others = [walk.fact(name) for name in node.input[1:]]
    first = sequence.item or UNKNOWN
    found = _walked(walk, node, "body", [first, *[fact.item or fact for fact in others]], inner)
    walk.note(node, [Fact(item=fact) for fact in found.outputs])
    opened = Step(node, within, opened=True)
    if sequence.items is None:
        return [opened, Unbounded(node, found.entries)]
    return [opened, *repeated(found.entries, len(sequence.items))] if sequence.items else [opened]


RULES: Mapping[str, Callable[[Walk, NodeProto, str], list[Entry]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
