"""What a mapping does, level by level and loop by loop."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from armillary.cost_model.cost import Costs, evaluate
from armillary.hardware.bits import ROLES
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy
from armillary.hardware.mapping import Loop, Mapping, rounds, tile_words
from armillary.types import Failure
from armillary.workloads.layer import Layer


@dataclass(frozen=True)
class ExplainedLoop:
    """A loop, how often its body runs in all, and the words of W, I and O that one run of it touches."""

    loop: Loop
    runs: int
    tile_words: tuple[int, int, int]


@dataclass(frozen=True)
class ExplainedLevel:
    """One level with its loops, the outermost first.

    Attributes:
        name: of the level.
        part_of: name of the level whose memory it is part of; None if it is one by itself.
        keeps: the tensors held.
        loops: temporal loops, then spatial ones.
        word_bits: bits per word.
        widths: bits of an element of each of W, I, P and O.
        tile_elements: held of each of W, I and O per instance; 0 if bypassed.
        tile_words: the words that they take.
        tile_limit: words that may be held, by both parts of a memory together; infinite if unlimited.
        reads: elements of each tensor, of all used instances; likewise `fills` and `updates`.
        fills: elements that arrive from outside.
        updates: elements written from inside.
        words_moved: reads, fills and updates in words, each of W, I and O.
        instances: used.
        energy_pj: of each tensor's accesses.
        bandwidth_cycles: what the level's bandwidth allows; of a memory in two parts the outer counts both.
    """

    name: str
    part_of: str | None
    keeps: str
    loops: tuple[ExplainedLoop, ...]
    word_bits: int
    widths: tuple[int, ...]
    tile_elements: tuple[float, float, float]
    tile_words: tuple[float, float, float]
    tile_limit: float
    reads: tuple[float, float, float]
    fills: tuple[float, float, float]
    updates: tuple[float, float, float]
    words_moved: tuple[tuple[float, float, float], ...]
    instances: int
    energy_pj: tuple[float, float, float]
    bandwidth_cycles: float

    @property
    def bits_moved(self) -> tuple[float, float, float]:
        """Bits of each tensor that are read, filled and updated in all."""
        return _three([sum(words) * self.word_bits for words in zip(*self.words_moved, strict=True)])


@dataclass(frozen=True)
class ExplainedMapping:
    """A mapping taken apart; levels outermost first."""

    layer: Layer
    mapping: Mapping
    levels: tuple[ExplainedLevel, ...]
    delay_cycles: float
    compute_cycles: float
    energy_pj: float
    mac_energy_pj: float
    utilization: float
    failure: Failure | None

    @property
    def bound(self) -> str:
        """What sets the delay: `compute` or the level whose bandwidth does."""
        slowest = max(self.levels, key=lambda level: level.bandwidth_cycles)
        return slowest.name if slowest.bandwidth_cycles > self.compute_cycles else "compute"


def explain(hierarchy: Hierarchy, layer: Layer, mapping: Mapping) -> ExplainedMapping:
    """Take a mapping of a layer apart.

    Raises:
        ArmillaryError: if the mapping has another number of levels than the hierarchy.
    """
    costs = evaluate(hierarchy, layer, mapping)
    return ExplainedMapping(
        layer=layer,
        mapping=mapping,
        levels=tuple(_levels(hierarchy, layer, mapping, costs)),
        delay_cycles=float(costs.delay_cycles),
        compute_cycles=float(costs.compute_cycles),
        energy_pj=float(costs.energy_pj),
        mac_energy_pj=float(costs.mac_energy_pj),
        utilization=float(costs.utilization),
        failure=costs.failure(0, hierarchy),
    )


def _levels(hierarchy: Hierarchy, layer: Layer, mapping: Mapping, costs: Costs) -> list[ExplainedLevel]:
    found = []
    extent = mapping.extents()
    outside: dict[str, list[Loop]] = {d: [] for d in DIMENSIONS}
    for place, (level, mapped) in enumerate(zip(hierarchy.levels, mapping.levels, strict=True)):
        loops = []
        for loop in mapped.loops:
            outside[loop.dimension].append(loop)
            runs = prod(map(rounds, outside.values()))
            extent[loop.dimension] = _inside(mapping, loop.dimension, len(outside[loop.dimension]))
            loops.append(ExplainedLoop(loop, runs, tile_words(layer, extent)))
        number = len(hierarchy.levels) - 1 - place
        instances = int(costs.instances[number])
        totals, words = (moved[number, :, :, 0] * instances for moved in (costs.accesses, costs.words_moved))
        found.append(
            ExplainedLevel(
                name=level.name,
                part_of=level.part_of,
                keeps=mapped.keeps,
                loops=tuple(loops),
                word_bits=level.word_bits,
                widths=hierarchy.widths(level, layer.bits),
                tile_elements=_three(costs.tile_elements[number, :, 0].tolist()),
                tile_words=_three(costs.tile_words[number, :, 0].tolist()),
                tile_limit=level.tile_words,
                reads=_three(totals[:, 0].tolist()),
                fills=_three(totals[:, 1].tolist()),
                updates=_three(totals[:, 2].tolist()),
                words_moved=tuple(map(_three, words.T.tolist())),
                instances=instances,
                energy_pj=_three(costs.access_energy_pj[number, :, 0].tolist()),
                bandwidth_cycles=float(costs.bandwidth_cycles[number]),
            )
        )
    return found


def _inside(mapping: Mapping, dimension: str, depth: int) -> int:
    """Return the largest extent under the outermost loops over a dimension."""
    loops = mapping.over(dimension)
    if any(loop.factor > 1 for loop in loops[:depth]):
        return prod(loop.factor for loop in loops[depth:])
    return rounds(loops[depth:])


def _three(values: list[float]) -> tuple[float, float, float]:
    weights, inputs, outputs = values
    return weights, inputs, outputs


def loop_range(loop: Loop) -> str:
    """Return what a loop runs over, as text."""
    return f"0..{loop.factor - 1}" + (f" (last 0..{loop.residual - 1})" if loop.residual else "")


def as_text(explained: ExplainedMapping) -> str:
    """Return the loop nest as indented text, with tile sizes beside each loop and accesses beside each level."""
    lines = [f"{'':44}{'runs':>14}{'tile W':>12}{'tile I':>12}{'tile O':>12}"]
    depth = 0
    for level in explained.levels:
        inner = next((other for other in explained.levels if other.part_of == level.name), None)
        lines.append(f"{level.name} [{level.keeps}] x {level.instances:,}, {_room(level, inner)}{_widths(level)}")
        for t, tensor in enumerate(TENSORS):
            if tensor in level.keeps:
                lines.append(
                    f"    {tensor}: tile {level.tile_elements[t]:,.0f}, {level.reads[t]:,.0f} read, "
                    f"{level.fills[t]:,.0f} filled, {level.updates[t]:,.0f} updated, {level.bits_moved[t]:,.0f} bits, "
                    f"{level.energy_pj[t] / 1e6:,.4g} uJ"
                )
        for inside in level.loops:
            depth += 1
            loop = inside.loop
            text = f"{'  ' * depth}{'spread' if loop.axis else 'for'} {loop.dimension} in {loop_range(loop)}"
            text += f" over {loop.axis}" if loop.axis else ""
            weights, inputs, outputs = inside.tile_words
            lines.append(f"{text:44}{inside.runs:>14,}{weights:>12,}{inputs:>12,}{outputs:>12,}")
    lines.append(f"{'  ' * (depth + 1)}multiply-accumulate")
    return "\n".join(lines)


def _room(level: ExplainedLevel, inner: ExplainedLevel | None) -> str:
    """Return the words that a level holds as text, and of what; `inner` is the inner part of its memory, if any."""
    held = sum(level.tile_words)
    limit = "" if level.tile_limit == float("inf") else f" of {level.tile_limit:,.0f}"
    if level.part_of is not None:
        return f"holds {held:,.12g} words in {level.part_of}"
    if inner is None:
        return f"holds {held:,.12g}{limit} words"
    return f"holds {held:,.12g} words and {inner.name} {sum(inner.tile_words):,.12g}{limit}"


def _widths(level: ExplainedLevel) -> str:
    """Return the widths of a level as text, nothing if each is that of its words."""
    if set(level.widths) == {level.word_bits}:
        return ""
    named = ", ".join(f"{role} {width}" for role, width in zip(ROLES, level.widths, strict=True))
    return f" of {level.word_bits} bits; elements have {named} bits"
