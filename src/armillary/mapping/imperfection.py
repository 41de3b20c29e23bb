"""Better than any perfect mapping: spread a dimension over more instances, with a shorter last round.

Source of the idea: Ruby (Horeni et al., ISPASS 2022), which samples imperfect factors at random. Here
they are derived: of a good perfect mapping, the two outermost loops over a dimension, one of them
spatial, are cut anew so that the spatial one fills the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.cost import Costs, batch_costs
from armillary.hardware.hierarchy import DIMENSIONS, Hierarchy
from armillary.hardware.mapping import LevelMapping, Loop, Mapping
from armillary.workloads.layer import Layer

Worth = Callable[[Costs], Tensor]
_ROUNDS = 6
_Place = tuple[int, Loop]


def with_remainders(hierarchy: Hierarchy, layer: Layer, mapping: Mapping, worth: Worth) -> Mapping:
    """Return a mapping at least as good, some of whose loops may have remainders.

    Args:
        hierarchy: dimensions that a level's `max_tile` or `factors` bound keep their perfect factors.
        layer: of what.
        mapping: a legal perfect one to start from.
        worth: what to minimise, costs to shape [n].
    """
    chip, work = HierarchyBatch.of([hierarchy]), LayerBatch.of([layer])

    def judged(candidates: list[Mapping]) -> Tensor:
        costs = batch_costs(chip, work, MappingBatch.of(candidates))
        return torch.where(costs.feasible, worth(costs), torch.inf)

    best, value = mapping, float(judged([mapping])[0])
    for _ in range(_ROUNDS):
        candidates = list(_recut(hierarchy, best))
        if not candidates:
            break
        found = judged(candidates)
        least = int(found.argmin())
        if float(found[least]) >= value:
            break
        best, value = candidates[least], float(found[least])
    return best


def _recut(hierarchy: Hierarchy, mapping: Mapping) -> Iterator[Mapping]:
    """Yield mappings that differ in the two outermost loops over one dimension."""
    bounded = {d for level in hierarchy.levels for d in (*level.rules.max_tile, *level.rules.factors)}
    for dimension in DIMENSIONS:
        chain = [
            (number, loop)
            for number, level in enumerate(mapping.levels)
            for loop in level.loops
            if loop.dimension == dimension and loop.factor > 1
        ]
        if len(chain) < 2 or dimension in bounded:
            continue
        outer, inner = chain[:2]
        if bool(outer[1].axis) == bool(inner[1].axis) or any(loop.residual for _, loop in chain):
            continue
        yield from _cuts(hierarchy, mapping, outer, inner)


def _cuts(hierarchy: Hierarchy, mapping: Mapping, outer: _Place, inner: _Place) -> Iterator[Mapping]:
    number, spatial = outer if outer[1].axis else inner
    room = hierarchy.levels[number].fanout["XY".index(spatial.axis)]
    room //= mapping.levels[number].unrolled(spatial.axis) // spatial.factor
    extent = outer[1].factor * inner[1].factor
    met = set()
    for spread in range(spatial.factor + 1, min(room, extent) + 1):
        below = -(-extent // spread) if outer[1].axis else spread
        above = -(-extent // below)
        if (above, below) in met or 1 in (above, below):
            continue
        met.add((above, below))
        last = extent - (above - 1) * below
        residual = 0 if last == below else last
        yield _exchanged(
            mapping,
            {outer: replace(outer[1], factor=above), inner: replace(inner[1], factor=below, residual=residual)},
        )


def _exchanged(mapping: Mapping, new: dict[_Place, Loop]) -> Mapping:
    def level(number: int, old: LevelMapping) -> LevelMapping:
        temporal, spatial = (
            tuple(new.get((number, loop), loop) for loop in loops) for loops in (old.temporal, old.spatial)
        )
        return replace(old, temporal=temporal, spatial=spatial)

    return Mapping(tuple(level(number, old) for number, old in enumerate(mapping.levels)))
