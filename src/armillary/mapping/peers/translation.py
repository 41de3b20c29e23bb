"""Peers' mappings as mappings of ours.

Peers cut one order of temporal loops for every tensor by itself: a memory may hold weights of the four innermost loops
and inputs of the five innermost. A level of ours is cut once for all that it keeps, and never inside the level below.
Where a loop does not index a tensor, its cut may move across without a change. Where that does not make the cuts meet,
levels are cut wherever the peer cuts for some tensor. Loops over one dimension that stand apart at a level are joined
at either place. Of all that, the best legal mapping by our model stands for the peer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, islice, pairwise, product
from math import prod

import torch

from armillary.cost_model.cost import evaluate
from armillary.hardware.hierarchy import TENSORS, Hierarchy
from armillary.hardware.mapping import RELEVANT, LevelMapping, Loop, loop_bounds
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.mapping.goals import Goal
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_MOST = 4_096
Temporal = tuple[str, int]


@dataclass(frozen=True)
class Nest:
    """A peer's mapping.

    Attributes:
        temporal: dimension and iterations of all temporal loops, the innermost first.
        held: by level, 0 the innermost, and tensor: how many of the innermost temporal loops the tile that is held runs
            through. What the outermost level holds is the whole layer; a tensor that is missing passes a level by.
        spatial: by level, the loops over the instances below.
    """

    temporal: tuple[Temporal, ...]
    held: Mapping[tuple[int, str], int]
    spatial: Mapping[int, tuple[Loop, ...]]


@dataclass(frozen=True)
class Translation:
    """A peer's mapping as one of ours.

    Attributes:
        mapping: the best of ours that stands for it.
        value: of the goal by our model.
        lost: what of the peer's does not hold in our model, so that `mapping` holds less at some level than the peer's
            does; empty if it holds the same.
    """

    mapping: LoopMapping
    value: float
    lost: str = ""


def translated(hierarchy: Hierarchy, layer: Layer, nest: Nest, goal: Goal) -> Translation:
    """Return the mapping of ours that is the best of those nearest to a peer's.

    Raises:
        ArmillaryError: if the loops do not cover the layer, or no mapping of this order is legal; says why.
    """
    _check_covers(layer, nest)
    cuts = _meeting_cuts(hierarchy, nest)
    same = _best(hierarchy, layer, _candidates(hierarchy, layer, nest, cuts), goal)
    if isinstance(same, Translation):
        return same
    nearest = _best(hierarchy, layer, _candidates(hierarchy, layer, nest, _any_cuts(hierarchy, nest)), goal)
    if isinstance(nearest, str):
        raise ArmillaryError(f"is illegal in our model: {nearest}")
    return replace(nearest, lost=same)


def _best(hierarchy: Hierarchy, layer: Layer, candidates: Iterator[LoopMapping], goal: Goal) -> Translation | str:
    """Return the best legal mapping, or why there is none."""
    some = list(islice(candidates, _MOST))
    if not some:
        return "a level inside another one holds its tensors for longer"
    costs = evaluate(hierarchy, layer, some)
    worth = {
        "edp": costs.energy_pj * costs.delay_cycles,
        "delay": costs.delay_cycles,
        "energy": costs.energy_pj,
    }[goal]
    best = int(torch.where(costs.feasible, worth, torch.inf).argmin())
    failure = costs.failure(best, hierarchy)
    return Translation(some[best], float(worth[best])) if failure is None else f"{failure}"


def _check_covers(layer: Layer, nest: Nest) -> None:
    for dimension, bound in loop_bounds(layer).items():
        spatial = [loop.factor for loops in nest.spatial.values() for loop in loops if loop.dimension == dimension]
        turns = prod([*spatial, *(factor for d, factor in nest.temporal if d == dimension)])
        if turns < bound:
            raise ArmillaryError(f"has loops over {dimension} that turn {turns} times; layer {layer.name} has {bound}")


def _meeting_cuts(hierarchy: Hierarchy, nest: Nest) -> Iterator[tuple[int, ...]]:
    """Yield how many of the innermost loops stand at each level or inside it, the outermost left out."""
    places = [_places(nest, level) for level in range(len(hierarchy.levels) - 1)]
    return (cut for cut in product(*places) if list(cut) == sorted(cut))


def _any_cuts(hierarchy: Hierarchy, nest: Nest) -> Iterator[tuple[int, ...]]:
    """Yield the same with every level cut anywhere that a peer cuts for some tensor."""
    places = {0, *(place for (_, tensor), cut in nest.held.items() for place in _still(nest, tensor, cut))}
    return combinations_with_replacement(sorted(places), len(hierarchy.levels) - 1)


def _candidates(
    hierarchy: Hierarchy, layer: Layer, nest: Nest, cuts: Iterator[tuple[int, ...]]
) -> Iterator[LoopMapping]:
    outermost = len(hierarchy.levels) - 1
    for cut in cuts:
        parts = [nest.temporal[below:above] for below, above in pairwise((0, *cut, len(nest.temporal)))]
        for orders in product(*(_joined(part) for part in parts)):
            levels = [_level(nest, level, order, outermost) for level, order in enumerate(orders)]
            yield LoopMapping(tuple(_exact(levels[::-1], layer)))


def _places(nest: Nest, level: int) -> list[int]:
    """Return where a level may be cut: where all cuts of its tensors can meet, or else at any of them."""
    ranges = [_still(nest, tensor, cut) for (at, tensor), cut in nest.held.items() if at == level]
    if not ranges:  # nothing is held here: loops may stand at this level or at the next ones
        return sorted({place for tensor_cut in nest.held.values() for place in (0, tensor_cut)})
    first, last = max(low for low, _ in ranges), min(high for _, high in ranges)
    if first <= last:
        return sorted({first, last, *(cut for (at, _), cut in nest.held.items() if at != level and first < cut < last)})
    return sorted({place for both in ranges for place in both})


def _still(nest: Nest, tensor: str, cut: int) -> tuple[int, int]:
    """Return the first and the last cut between which no loop indexes a tensor."""
    low = high = cut
    while low > 0 and nest.temporal[low - 1][0] not in RELEVANT[tensor]:
        low -= 1
    while high < len(nest.temporal) and nest.temporal[high][0] not in RELEVANT[tensor]:
        high += 1
    return low, high


def _joined(loops: Sequence[Temporal]) -> Iterator[tuple[Temporal, ...]]:
    """Yield a level's loops, the innermost first, with those over one dimension joined: where any of them stands."""
    dimensions = list(dict.fromkeys(d for d, _ in loops))
    factors = {d: prod(factor for other, factor in loops if other == d) for d in dimensions}
    where = [[place for place, (other, _) in enumerate(loops) if other == d] for d in dimensions]
    seen = set()
    for places in product(*where):
        order = tuple((d, factors[d]) for _, d in sorted(zip(places, dimensions, strict=True)))
        if order not in seen:
            seen.add(order)
            yield order


def _level(nest: Nest, level: int, order: Sequence[Temporal], outermost: int) -> LevelMapping:
    keeps = TENSORS if level == outermost else "".join(t for t in TENSORS if (level, t) in nest.held)
    temporal = tuple(Loop(d, factor) for d, factor in reversed(order) if factor > 1)
    return LevelMapping(keeps, temporal, nest.spatial.get(level, ()))


def _exact(levels: Sequence[LevelMapping], layer: Layer) -> Iterator[LevelMapping]:
    """Yield levels, the outermost first, whose loops end where the layer does: the last rounds are cut short.

    What is left to do after the loops' full rounds is a number in a mixed radix, whose digits are the last rounds.
    """
    left = {d: bound - 1 for d, bound in loop_bounds(layer).items()}
    inner = {d: prod(loop.factor for level in levels for loop in level.loops if loop.dimension == d) for d in left}
    turning: set[str] = set()

    def cut(loop: Loop) -> Loop:
        d = loop.dimension
        inner[d] //= loop.factor
        last, left[d] = left[d] // inner[d] + 1, left[d] % inner[d]
        if d in turning:
            return replace(loop, residual=last if last < loop.factor else 0)
        if last > 1:
            turning.add(d)
        return replace(loop, factor=last)

    for level in levels:
        temporal = [cut(loop) for loop in level.temporal]
        spatial = [cut(loop) for loop in level.spatial]
        yield replace(
            level,
            temporal=tuple(loop for loop in temporal if loop.factor > 1),
            spatial=tuple(loop for loop in spatial if loop.factor > 1),
        )
