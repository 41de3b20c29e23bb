"""Timeloop mappings: a list of directives per target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, Hierarchy
from armillary.hardware.mapping import Axis, LevelMapping, Loop, loop_bounds
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.hardware.timeloop.document import Document, Version, dump
from armillary.hardware.timeloop.problem import Problem
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_NAMES = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
_TYPES = ("temporal", "spatial", "bypass", "datatype", "dataspace")
_KEYS = ("target", "type", "factors", "permutation", "split", "keep", "bypass")
_REST = 0
_FACTOR = r"([A-Za-z_]\w*?)\s*=?\s*(\d+)(?:\s*,\s*([1-9]\d*))?"
_Factors = dict[str, tuple[int, int]]
"""Factor and remainder (0 for none) of each of our dimensions."""


@dataclass
class _Level:
    """What the directives say of one target."""

    keeps: str
    temporal: _Factors = field(default_factory=dict)
    spatial: _Factors = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    mesh: list[str] = field(default_factory=list)
    split: int | None = None


def load_mapping(path: Path, hierarchy: Hierarchy, problem: Problem | Layer) -> LoopMapping:
    """Read `mapping` of a file. A factor of 0 is what remains of the dimension.

    Raises:
        ArmillaryError: names file, place and value of everything that is wrong or not modelled, and
            what does not fit hierarchy or layer.
    """
    document = Document(path, "mapping")
    mapping = mapping_from(document, hierarchy, problem)
    document.finish()
    assert mapping is not None
    layer = problem.layer if isinstance(problem, Problem) else problem
    faults = list(mapping.faults(hierarchy, layer))
    if faults:
        raise ArmillaryError(f"{path}: " + "; ".join(faults))
    return mapping


def mapping_from(document: Document, hierarchy: Hierarchy, problem: Problem | Layer) -> LoopMapping | None:
    """Return the mapping of a document, None if it has faults, which the document then holds."""
    if isinstance(problem, Layer):
        problem = Problem(problem, {d: d for d in DIMENSIONS}, {name: t for t, name in _NAMES.items()})
    levels = {level.name: _Level(level.keeps) for level in hierarchy.levels}
    directives = document.content
    if isinstance(directives, Mapping):
        directives = directives.get("nodes", [])
    for i, directive in enumerate(directives if isinstance(directives, list) else []):
        _read(document, f"mapping[{i}]", directive, levels, problem)
    if not directives:
        document.fault("mapping", "is empty; it needs a directive per target")
    if document.faults:
        return None
    _fill_rest(document, levels, loop_bounds(problem.layer))
    if document.faults:
        return None
    try:
        return LoopMapping(tuple(map(_level_mapping, levels.values())))
    except ArmillaryError as fault:
        document.fault("mapping", str(fault))
        return None


def _read(document: Document, place: str, directive: Any, levels: dict[str, _Level], problem: Problem) -> None:
    table = document.known(place, directive, (*_KEYS, "!"))
    target, kind = table.get("target"), table.get("type")
    if not isinstance(target, str) or target not in levels:
        document.fault(f"{place}.target", f"{target!r} is unknown; the hierarchy has {list(levels)}")
        return
    if kind not in _TYPES:
        document.fault(f"{place}.type", f"{kind!r} is not modelled; choose one of {list(_TYPES)}")
        return
    level = levels[target]
    if kind in ("temporal", "spatial"):
        factors = _factors(document, f"{place}.factors", table.get("factors", ""), problem)
        order = _order(document, f"{place}.permutation", table.get("permutation", ""), factors, problem)
        if kind == "temporal":
            level.temporal, level.order = factors, order
        else:
            level.spatial, level.mesh = factors, order
            if "split" in table:
                level.split = document.count(f"{place}.split", table["split"], least=0)
        return
    gone = _tensors(document, f"{place}.bypass", table.get("bypass"), problem)
    kept = _tensors(document, f"{place}.keep", table.get("keep"), problem)
    level.keeps = "".join(t for t in level.keeps if t not in gone or t in kept)


def _factors(document: Document, place: str, given: Any, problem: Problem) -> _Factors:
    items = map(str, given) if isinstance(given, list) else _items(str(given))
    found: _Factors = {}
    for item in items:
        match = re.fullmatch(_FACTOR, item.strip())
        factor, rest = (int(match[2]), int(match[3] or 0)) if match else (1, 0)
        if match is None or match[1] not in problem.names or rest > factor:
            document.fault(
                place,
                f"{item!r} is not modelled; write a dimension of {list(problem.names)}, a whole factor and if need be "
                "a remainder below it, e.g. K=4 or K=4,3",
            )
            continue
        found[problem.names[match[1]]] = (factor, 0 if rest == factor else rest)
    return found


def _items(text: str) -> list[str]:
    """Return the factors that a text lists, and whatever stands between them."""
    items, end = [], 0
    for match in re.finditer(_FACTOR + r"(?=\s|$)", text):
        items += [text[end : match.start()], match[0]]
        end = match.end()
    return [item for item in (*items, text[end:]) if item.strip()]


def _order(document: Document, place: str, given: Any, factors: _Factors, problem: Problem) -> list[str]:
    """Return our dimensions, innermost first: those of the permutation, then the others that have a factor."""
    names = [str(n) for n in given] if isinstance(given, list) else re.split(r"[\s,]+", str(given).strip())
    if len(names) == 1 and names[0] not in problem.names:
        names = list(names[0])
    order = []
    for name in names:
        if name and name not in problem.names:
            document.fault(place, f"{name!r} is no dimension of the problem; it has {list(problem.names)}")
        elif name:
            order.append(problem.names[name])
    if len(set(order)) < len(order):
        document.fault(place, f"{given!r} names a dimension twice")
    return [*order, *(d for d in factors if d not in order)]


def _tensors(document: Document, place: str, given: Any, problem: Problem) -> str:
    return "".join(problem.tensors[name] for name in document.names(place, given, problem.tensors))


def _fill_rest(document: Document, levels: dict[str, _Level], bounds: Mapping[str, int]) -> None:
    """Replace factors of 0 by what remains of their dimension."""
    for d, bound in bounds.items():
        tables = [table for level in levels.values() for table in (level.temporal, level.spatial) if d in table]
        rest = [table for table in tables if table[d][0] == _REST]
        known = prod(table[d][0] for table in tables if table[d][0] != _REST)
        if len(rest) > 1 or (rest and (bound % known or any(table[d][1] for table in tables))):
            document.fault("mapping", f"what remains of {d}={bound} is not one whole factor")
        elif rest:
            rest[0][d] = (bound // known, 0)


def _level_mapping(level: _Level) -> LevelMapping:
    def loop(dimension: str, factors: _Factors, axis: Axis = "") -> Loop:
        factor, residual = factors[dimension]
        return Loop(dimension, factor, axis, residual)

    def turns(dimension: str, factors: _Factors) -> bool:
        return factors.get(dimension, (1, 0))[0] > 1

    temporal = tuple(loop(d, level.temporal) for d in reversed(level.order) if turns(d, level.temporal))
    split = len(level.mesh) if level.split is None else level.split
    axes: list[tuple[str, Axis]] = [(d, "X" if i < split else "Y") for i, d in enumerate(level.mesh)]
    spatial = tuple(loop(d, level.spatial, axis) for d, axis in axes if turns(d, level.spatial))
    return LevelMapping(level.keeps, temporal, spatial)


def mapping_yaml(mapping: LoopMapping, hierarchy: Hierarchy, version: Version = "0.4") -> str:
    """Return the mapping file for `problem_yaml` and `architecture_yaml` of the same version."""
    return dump({"mapping": list(_directives(mapping, hierarchy, version))})


def _directives(mapping: LoopMapping, hierarchy: Hierarchy, version: Version) -> Iterator[dict[str, Any]]:
    kind = "bypass" if version == "0.3" else "dataspace"
    dimensions = DIMENSIONS.replace("G", "")
    for mapped, level in zip(mapping.levels, hierarchy.levels, strict=True):
        yield {
            "target": level.name,
            "type": kind,
            "keep": [_NAMES[t] for t in TENSORS if t in mapped.keeps],
            "bypass": [_NAMES[t] for t in TENSORS if t not in mapped.keeps],
        }
        if level.fanout != (1, 1) or mapped.spatial:
            across = [loop.dimension for loop in mapped.spatial]
            on_x = [loop.dimension for loop in mapped.spatial if loop.axis == "X"]
            others = [d for d in dimensions if d not in across]
            yield {
                "target": level.name,
                "type": "spatial",
                **_loops(mapped.spatial, [*across, *others]),
                "split": len(on_x),
            }
        inner_first = [loop.dimension for loop in reversed(mapped.temporal)]
        yield {
            "target": level.name,
            "type": "temporal",
            **_loops(mapped.temporal, [*inner_first, *(d for d in dimensions if d not in inner_first)]),
        }


def _loops(loops: tuple[Loop, ...], order: list[str]) -> dict[str, str]:
    factors = {loop.dimension: f"{loop.factor},{loop.residual}" if loop.residual else loop.factor for loop in loops}
    return {"factors": " ".join(f"{d}={factors.get(d, 1)}" for d in order), "permutation": "".join(order)}
