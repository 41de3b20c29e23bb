"""The cost of two layers whose intermediate tensor stays on the chip.

Both layers turn the same loops at the outermost level, which cut the intermediate into tiles: the producer computes a
tile, the consumer reads it, then comes the next. Each layer is costed by itself, as one whole layer under its own
mapping, on a hierarchy whose outermost level never sees the intermediate: the outermost level on the chip that can
keep both outputs and inputs is its home. What the two layers do to each other is a matter of room:

- A tile of any other tensor may stay where it is from one turn of the shared loops to the next, as the cost of a whole
  layer assumes. Then it has to have room beside all tiles of the other layer.
- The intermediate has room at its home while either layer runs.

Where the consumer's windows overlap, rows of the intermediate are kept from one tile to the next; that needs the loop
over the rows to be the innermost shared one that turns. Otherwise the producer computes them again: its mapping then
runs over the windows' rows one after the other, which are more than the layer has, and all of them are counted.

The two take turns on the compute units, so that their delays add up. What lies between them (a softmax, an activation)
is not counted here. A softmax of blocks of a row is finished block by block, with its maximum and total kept for each
row (Milakov and Gimelshein 2018), so that its rows may be cut.

Source: Gilbert et al., LoopTree (ISPASS 2023), for tiles that are kept or computed again; Dao et al., FlashAttention
    (2022), for attention. Ours counts what is inside a tile by the rules of `cost`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from armillary.cost_model.cost import Costs, evaluate
from armillary.hardware.hierarchy import TENSORS, Hierarchy
from armillary.hardware.mapping import RELEVANT, Loop, Mapping
from armillary.types import Failure
from armillary.workloads.layer import Layer
from armillary.workloads.pairs import SharedLoop, shared_loops

_ROWS = {"P": ("stride_h", "R", "dilation_h"), "Q": ("stride_w", "S", "dilation_w")}


def home_of(hierarchy: Hierarchy) -> int | None:
    """Return the number of the level, 0 the innermost, that keeps an intermediate; None if none can.

    The outermost level but the first of all that can keep both outputs and inputs.
    """
    inner = list(enumerate(hierarchy.inner_first))[:-1]
    return next((number for number, level in reversed(inner) if {"I", "O"} <= set(level.keeps)), None)


def without_outside(hierarchy: Hierarchy, tensor: str, home: int) -> Hierarchy:
    """Return the hierarchy as one tile of a fused layer sees it: its intermediate is at home and nowhere outside.

    No level outside may turn a loop over it, as that would cut the tile.
    """
    at = len(hierarchy.levels) - 1 - home
    levels = list(hierarchy.levels)
    for place, level in enumerate(levels[:at]):
        temporal = "".join(d for d in level.rules.temporal if d not in RELEVANT[tensor])
        rules = level.rules.model_copy(update={"temporal": temporal})
        levels[place] = level.model_copy(update={"keeps": level.keeps.replace(tensor, ""), "rules": rules})
    rules = levels[at].rules
    stays = rules.model_copy(update={"may_bypass": rules.may_bypass.replace(tensor, "")})
    levels[at] = levels[at].model_copy(update={"rules": stays})
    return hierarchy.model_copy(update={"levels": tuple(levels)})


def as_mapped(hierarchy: Hierarchy, mapping: Mapping) -> Hierarchy:
    """Return the hierarchy as a mapping sees it: fused, if its outermost level leaves inputs or outputs to a home."""
    home = home_of(hierarchy)
    for tensor in set("IO") - set(mapping.levels[0].keeps):
        if home is not None:
            hierarchy = without_outside(hierarchy, tensor, home)
    return hierarchy


@dataclass(frozen=True)
class Tiling:
    """How the shared loops cut an intermediate.

    Attributes:
        loops: with their numbers of tiles, the outermost first; each turns.
        again: whether the producer computes what windows of neighbouring tiles share once per tile.
    """

    loops: tuple[tuple[SharedLoop, int], ...] = ()
    again: bool = False

    @property
    def tiles(self) -> int:
        """How often both layers take turns."""
        return prod(count for _, count in self.loops)

    def counts(self, consumer: bool) -> dict[str, int]:
        """Return the tiles along each dimension of a layer."""
        return {loop.consumer if consumer else loop.producer: count for loop, count in self.loops}

    def producer_tile(self, producer: Layer, consumer: Layer) -> Layer:
        """Return the part of the producer that one tile takes."""
        counts = self.counts(consumer=False)
        tile = _cut(producer, counts)
        if not self.again:
            return tile
        part = self.consumer_tile(consumer)
        rows = part.input_height if "P" in counts else tile.P
        return replace(tile, P=rows, Q=part.input_width if "Q" in counts else tile.Q)

    def consumer_tile(self, consumer: Layer) -> Layer:
        """Return the part of the consumer that one tile takes."""
        return _cut(consumer, self.counts(consumer=True))

    def producer_run(self, producer: Layer, consumer: Layer) -> Layer:
        """Return what the producer computes in all: itself, with rows that are computed again."""
        if not self.again:
            return producer
        counts, tile = self.counts(consumer=False), self.producer_tile(producer, consumer)
        return replace(producer, **{axis: getattr(tile, axis) * counts[axis] for axis in _ROWS if axis in counts})

    def added_to(self, mapping: Mapping, *, consumer: bool) -> Mapping:
        """Return the mapping of a whole layer: that of its tile, inside the shared loops."""
        own = mapping.levels[0]
        shared = tuple(Loop(dimension, count) for dimension, count in self.counts(consumer).items())
        return Mapping((replace(own, temporal=(*shared, *own.temporal)), *mapping.levels[1:]))

    def __str__(self) -> str:
        loops = " ".join(f"{loop.producer}{count}" for loop, count in self.loops)
        return (loops or "whole") + (" again" if self.again else "")


def _cut(layer: Layer, counts: dict[str, int]) -> Layer:
    """Return the part of a layer that is left in one of so many tiles along its dimensions; K and C are per group."""
    groups = layer.groups // counts.get("G", 1)
    return replace(
        layer,
        N=layer.N // counts.get("N", 1),
        K=layer.K // layer.groups // counts.get("K", 1) * groups,
        C=layer.C // layer.groups // counts.get("C", 1) * groups,
        P=layer.P // counts.get("P", 1),
        Q=layer.Q // counts.get("Q", 1),
        groups=groups,
        outputs_per_bias=1,
    )


@dataclass(frozen=True)
class FusedMapping:
    """Mappings of the whole producer and the whole consumer that turn the shared loops of a tiling outermost."""

    tiling: Tiling
    producer: Mapping
    consumer: Mapping

    @staticmethod
    def of_tiles(tiling: Tiling, producer: Mapping, consumer: Mapping) -> FusedMapping:
        """Return the mapping of two layers from those of their parts in one tile."""
        return FusedMapping(tiling, tiling.added_to(producer, consumer=False), tiling.added_to(consumer, consumer=True))


@dataclass(frozen=True)
class FusedCosts:
    """What a pair costs.

    Attributes:
        producer: costs of all that the producer computes; nothing of the intermediate is outside its home.
        consumer: likewise of the consumer.
        failure: why the pair cannot run so; None if it can.
    """

    producer: Costs
    consumer: Costs
    failure: Failure | None

    @property
    def delay_cycles(self) -> float:
        """Delay of both, one after the other tile by tile."""
        return float(self.producer.delay_cycles) + float(self.consumer.delay_cycles)

    @property
    def energy_pj(self) -> float:
        """Energy of both."""
        return float(self.producer.energy_pj) + float(self.consumer.energy_pj)

    @property
    def outermost_words(self) -> float:
        """Words read and written at the outermost level."""
        return sum(float(costs.words_moved[-1].sum()) for costs in (self.producer, self.consumer))


def evaluate_pair(hierarchy: Hierarchy, producer: Layer, consumer: Layer, mapping: FusedMapping) -> FusedCosts:
    """Return what two layers cost whose intermediate stays on the chip.

    Args:
        hierarchy: whose innermost levels both layers use in turn.
        producer: whose outputs are the intermediate.
        consumer: whose inputs are the intermediate.
        mapping: of both.

    Raises:
        UnfusableError: if the second does not read what the first puts out.
        ArmillaryError: if a mapping has other levels than the hierarchy.
        ValueError: if no level on the chip can keep the intermediate.
    """
    home = home_of(hierarchy)
    if home is None:
        raise ValueError(f"{hierarchy.name}: no level on the chip keeps both inputs and outputs")
    loops, tiling = shared_loops(producer, consumer), mapping.tiling
    run = tiling.producer_run(producer, consumer)
    first = _Side(without_outside(hierarchy, "O", home), run, mapping.producer, tiling.counts(consumer=False), "O")
    second = _Side(without_outside(hierarchy, "I", home), consumer, mapping.consumer, tiling.counts(consumer=True), "I")
    failure = next(_faults(hierarchy, home, loops, tiling, first, second), None)
    return FusedCosts(first.costs, second.costs, failure)


@dataclass(frozen=True)
class _Side:
    """One layer of a pair.

    Attributes:
        hierarchy: as it sees it.
        layer: all that it computes.
        mapping: of it.
        counts: tiles along its dimensions, the outermost shared loop first.
        intermediate: its outputs or its inputs.
    """

    hierarchy: Hierarchy
    layer: Layer
    mapping: Mapping
    counts: dict[str, int]
    intermediate: str

    @cached_property
    def costs(self) -> Costs:
        return evaluate(self.hierarchy, self.layer, self.mapping)

    def words(self, level: int) -> dict[str, float]:
        """Return the words of its tiles at a level, by tensor."""
        return dict(zip(TENSORS, self.costs.tile_words[level, :, 0].tolist(), strict=True))

    def staying(self, level: int) -> set[str]:
        """Return the tensors of which a tile stays at a level from one turn of the shared loops to the next."""
        if not self.counts:
            return set()
        inside = [loop for mapped in self.mapping.inner_first[level + 1 :] for loop in mapped.temporal]
        own = inside[: len(inside) - len(self.mapping.levels[0].temporal)]
        own += self.mapping.levels[0].temporal[len(self.counts) :]
        turning = {loop.dimension for loop in own if loop.factor > 1}
        innermost = list(self.counts)[-1]
        return stays(self.layer, innermost) - {t for t in TENSORS if turning & set(RELEVANT[t])}


def stays(layer: Layer, innermost: str) -> set[str]:
    """Return the tensors of a layer that the innermost shared loop leaves in place, or moves by less than a window."""
    found = {t for t in TENSORS if innermost not in RELEVANT[t]}
    if innermost in _ROWS:
        stride, taps, dilation = (getattr(layer, name) for name in _ROWS[innermost])
        if (taps - 1) * dilation + 1 > stride:
            found.add("I")
    return found


def _faults(
    hierarchy: Hierarchy, home: int, loops: Sequence[SharedLoop], tiling: Tiling, first: _Side, second: _Side
) -> Iterator[Failure]:
    """Yield why a pair cannot run as it is mapped."""
    foreign = [loop for loop, _ in tiling.loops if loop not in loops]
    if foreign:
        yield Failure("infeasible", detail=f"the layers do not share the loop over {foreign[0].producer}")
    overlapping = [n for n, (loop, _) in enumerate(tiling.loops) if loop.overlap]
    if overlapping and not tiling.again and overlapping != [len(tiling.loops) - 1]:
        yield Failure(
            "infeasible", detail="rows that windows share stay only while the innermost shared loop turns over them"
        )
    for side in (first, second):
        outermost = side.mapping.levels[0].temporal[: len(side.counts)]
        if [(loop.dimension, loop.factor) for loop in outermost] != list(side.counts.items()):
            yield Failure("infeasible", detail=f"the outermost loops of {side.layer.name} are not the shared ones")
        if side.intermediate not in side.mapping.inner_first[home].keeps:
            yield Failure("infeasible", detail=f"{side.layer.name} does not keep the intermediate at its home")
        outside = [loop for mapped in side.mapping.inner_first[home + 1 :][::-1] for loop in mapped.temporal]
        own = {loop.dimension for loop in outside[len(side.counts) :]}
        if own & set(RELEVANT[side.intermediate]):
            yield Failure("infeasible", detail=f"{side.layer.name} cuts the intermediate outside its tile")
        failure = side.costs.failure(0, side.hierarchy)
        if failure is not None:
            yield failure
    yield from _crowded(hierarchy, home, first, second)


def _crowded(hierarchy: Hierarchy, home: int, first: _Side, second: _Side) -> Iterator[Failure]:
    """Yield the levels at which what stays has no room beside what runs."""
    for number, level in enumerate(hierarchy.inner_first[:-1]):
        own, staying = [], []
        for side in (first, second):
            words, remain = side.words(number), side.staying(number)
            if number >= home:
                words.pop(side.intermediate)
            own.append(sum(words.values()))
            staying.append(sum(count for tensor, count in words.items() if tensor in remain))
        shared = 0.0
        if number >= home:
            shared = max(first.words(number)["O"], second.words(number)["I"])
        needed = shared + max(own[0] + staying[1], own[1] + staying[0])
        if needed > level.tile_words:
            yield Failure(
                "infeasible",
                f"{level.name}.capacity_words",
                needed=needed,
                available=level.tile_words,
                detail="tiles of two fused layers",
            )
