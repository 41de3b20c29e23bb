"""Peers' best mappings, kept between runs and costed by our model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from armillary.benchmarks.parts import Part
from armillary.cost_model.cost import evaluate
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.mapping.goals import Goal, value_of
from armillary.mapping.peers import accelforge, zigzag
from armillary.mapping.peers.answer import PeerAnswer
from armillary.mapping.peers.interpreter import interpreter, version_in
from armillary.types import AccidentError, ArmillaryError
from armillary.workloads.layer import Layer

TIME_LIMIT_S = 300.0
_Ask = Callable[..., PeerAnswer]


@dataclass(frozen=True)
class Peer:
    """Another program that looks for mappings.

    Attributes:
        name: of the program.
        module: import path of what asks it.
        python: the interpreter that it is installed for.
        version: None if it is not there.
        install: how to get it.
        best_mapping: asks it: hierarchy, layer, `goal`, `python`, `time_limit_s`.
        told_as: the hierarchies that it is told one by one in place of one.
    """

    name: str
    module: str
    python: str
    version: str | None
    install: str
    best_mapping: _Ask
    told_as: Callable[[Hierarchy], Iterator[Hierarchy]]

    @property
    def note(self) -> str:
        """Which version is compared with, or how to get it."""
        if self.version is None:
            return f"{self.name} is not installed: {self.install}."
        return f"{self.name} {self.version}: its best mapping by our model; seconds of all its runs for the layer."


@dataclass(frozen=True)
class Judged:
    """A peer's best mapping.

    Attributes:
        value: of the goal by our model, infinite if there is no mapping that we can cost.
        seconds: that the program took in all.
        remark: why there is none, or what of the peer's mapping our model does not allow.
    """

    value: float
    seconds: float
    remark: str = ""


def peers() -> list[Peer]:
    """Return the peers, installed or not."""
    return [_peer("ZigZag", zigzag), _peer("AccelForge", accelforge)]


def judged(peer: Peer, hierarchy: Hierarchy, layer: Layer, goal: Goal, folder: Path) -> Judged:
    """Return a peer's best mapping by our model, out of one run for every hierarchy that it is told."""
    best, seconds = Judged(inf, 0.0, "cannot be told this hierarchy"), 0.0
    for number, told in enumerate(peer.told_as(hierarchy)):
        answer = _kept(peer, told, layer, goal, folder, number)
        seconds += answer.seconds
        one = _costed(answer, hierarchy, layer, goal)
        if number == 0 or one.value < best.value:
            best = one
    return Judged(best.value, seconds, best.remark)


def _kept(peer: Peer, told: Hierarchy, layer: Layer, goal: Goal, folder: Path, number: int) -> PeerAnswer:
    inputs = {
        "peer": peer.name,
        "version": peer.version,
        "hierarchy": told.model_dump(mode="json"),
        "layer": asdict(layer),
        "goal": goal,
        "time_limit_s": TIME_LIMIT_S,
    }
    label = f"{peer.name.lower()}-{told.name}-{layer.name}-{goal}-{number}"
    part = Part(folder, label, inputs, (peer.module,))
    try:
        return _answer(part.measured(partial(_ask, peer, told, layer, goal)))
    except AccidentError as fault:  # not kept: with more memory it might end otherwise
        return PeerAnswer.failed(peer.name, str(fault), 0.0)


def _ask(peer: Peer, told: Hierarchy, layer: Layer, goal: Goal) -> dict[str, Any]:
    """Return a peer's answer as JSON holds it; what cannot be told to it is an answer, too."""
    try:
        answer = peer.best_mapping(told, layer, goal=goal, python=peer.python, time_limit_s=TIME_LIMIT_S)
    except ArmillaryError as fault:
        answer = PeerAnswer.failed(peer.name, str(fault), 0.0)
    return {**vars(answer), "mapping": None if answer.mapping is None else str(answer.mapping)}


def _answer(content: Mapping[str, Any]) -> PeerAnswer:
    text = content["mapping"]
    return PeerAnswer(**{**content, "mapping": None if text is None else LoopMapping.parse(text)})


def _costed(answer: PeerAnswer, hierarchy: Hierarchy, layer: Layer, goal: Goal) -> Judged:
    if answer.mapping is None:
        return Judged(inf, answer.seconds, answer.failure or "found no mapping")
    faults = list(answer.mapping.faults(hierarchy, layer))
    if faults:
        return Judged(inf, answer.seconds, f"no mapping of ours: {faults[0]}")
    costs = evaluate(hierarchy, layer, answer.mapping)
    failure = costs.failure(0, hierarchy)
    if failure is not None:
        return Judged(inf, answer.seconds, f"illegal in our model: {failure}")
    delay, energy = float(costs.delay_cycles), float(costs.energy_pj)
    return Judged(value_of(goal, delay, energy), answer.seconds, answer.lost)


def _peer(name: str, module: Any) -> Peer:
    python = interpreter(module.PYTHON_VARIABLE)
    return Peer(
        name=name,
        module=module.__name__,
        python=python,
        version=version_in(python, module.DISTRIBUTION),
        install=module.INSTALL,
        best_mapping=module.best_mapping,
        told_as=module.told_as,
    )
