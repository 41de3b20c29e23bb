"""Even mappings onto hierarchies whose memories have two parts."""

from __future__ import annotations

from dataclasses import replace

from armillary.hardware.hierarchy import TENSORS, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Mapping
from armillary.mapping.judge import Found

_FIRST = "IOW"
"""Which tensor the outer part holds where there is a choice: inputs, as neighbours may hand these to each other."""


def in_parts(hierarchy: Hierarchy, mapping: Mapping) -> Mapping:
    """Return a mapping onto `hierarchy.even()` as one onto the hierarchy, with the same tiles.

    All loops are those of the inner part, so that a tensor has the same tile at either place.
    """
    even = iter(mapping.levels)
    found: list[LevelMapping] = []
    for number, level in enumerate(hierarchy.levels):
        if level.part_of is None:
            found.append(next(even))
        else:
            found[-1:] = _split(hierarchy.levels[number - 1], level, found[-1])
    return Mapping(tuple(found))


def _split(outer: Level, inner: Level, mapped: LevelMapping) -> tuple[LevelMapping, LevelMapping]:
    """Return what the two parts of a memory do: the outer one holds what only it can, or else a single tensor."""
    able = [t for t in _FIRST if t in mapped.keeps and t in outer.keeps]
    own = [t for t in able if t not in inner.keeps] or able[:1]
    keeps = "".join(t for t in TENSORS if t in own)
    rest = "".join(t for t in mapped.keeps if t not in own)
    return LevelMapping(keeps), replace(mapped, keeps=rest)


def after_even(found: Found, even: Found) -> Found:
    """Return what a search found together with the search of even mappings that it began with."""
    better = [(even.evaluated + count, value) for count, value in found.curve if value < even.value]
    return replace(
        found,
        evaluated=found.evaluated + even.evaluated,
        legal=found.legal + even.legal,
        curve=(*even.curve, *better),
    )
