"""Accelergy's reference tables of energy (ERT) and area (ART) on a hierarchy, versions 0.3 and 0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from armillary.hardware.hierarchy import AccessEnergy, Hierarchy, Level
from armillary.types import ArmillaryError
from armillary.yaml_file import read_yaml

_ACTIONS = {"read_pj": ("read",), "fill_pj": ("write", "fill"), "update_pj": ("update", "write")}
_COMPUTE_ACTIONS = ("compute", "mac_random", "mac", "multiply")
_UM2_PER_MM2 = 1e6


def with_reference(hierarchy: Hierarchy, *, ert: Path | None = None, art: Path | None = None) -> Hierarchy:
    """Return the hierarchy with the energies and areas of Accelergy's tables in place of its own.

    A component is that of a level, or of the compute units, with the same last name: `chip.PE[0..15].Buf`
    is level Buf. Of an action with several rows the largest energy counts, which Timeloop takes for
    random accesses. Energies are in pJ per access to a block, areas in um2.

    Raises:
        ArmillaryError: if a file cannot be read or is no such table, or lacks a level or action.
    """
    changes: dict[str, dict[str, Any]] = {level.name: {} for level in hierarchy.levels}
    compute: dict[str, Any] = {}
    if ert is not None:
        energies = {name: _energies(ert, name, rows) for name, rows in _tables(ert, "ERT")}
        for level in hierarchy.levels:
            changes[level.name]["energy"] = _access(ert, level, energies)
        compute["energy_pj"] = _compute(ert, hierarchy, energies)
    if art is not None:
        areas = {name: _area(art, name, row) for name, row in _tables(art, "ART")}
        for level in hierarchy.levels:
            changes[level.name]["area_mm2"] = _known(art, areas, level.memory)
        compute["area_mm2"] = _known(art, areas, hierarchy.compute.name)
    return hierarchy.model_copy(
        update={
            "levels": tuple(level.model_copy(update=changes[level.name]) for level in hierarchy.levels),
            "compute": hierarchy.compute.model_copy(update=compute),
        }
    )


def _tables(path: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the last name and the content of each component's table."""
    content = read_yaml(path)
    part = content.get(kind) if isinstance(content, Mapping) else None
    tables = part.get("tables") if isinstance(part, Mapping) else None
    if not isinstance(tables, list):
        raise ArmillaryError(f"{path}: is no {kind}; it needs {kind}.tables, a list")
    for i, table in enumerate(tables):
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            raise ArmillaryError(f"{path}: {kind}.tables[{i}] has no name")
        yield _last(table["name"]), table


def _last(name: str) -> str:
    """Return the last name of a path whose parts may carry ranges, e.g. `chip.PE[0..15].Buf[0..3]`."""
    kept, depth = "", 0
    for letter in name:
        depth += (letter == "[") - (letter == "]")
        kept += letter if depth == 0 and letter != "]" else ""
    return kept.split(".")[-1]


def _energies(path: Path, name: str, table: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    actions = table.get("actions") or []
    if not isinstance(actions, list):
        raise ArmillaryError(f"{path}: component {name}: actions={actions!r} is no list")
    for action in actions:
        if not isinstance(action, Mapping) or "name" not in action or "energy" not in action:
            raise ArmillaryError(f"{path}: component {name}: {action!r} is no action with a name and an energy")
        energy = _number(path, f"component {name}, action {action['name']}: energy", action["energy"])
        found[str(action["name"])] = max(found.get(str(action["name"]), 0.0), energy)
    return found


def _number(path: Path, place: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ArmillaryError(f"{path}: {place}={value!r} is not allowed; it must be a number of at least 0")
    return float(value)


def _access(path: Path, level: Level, energies: Mapping[str, Mapping[str, float]]) -> AccessEnergy:
    actions = energies.get(level.memory)
    if actions is None:
        raise ArmillaryError(f"{path}: has no component {level.memory!r}; it has {sorted(energies)}")
    values = {}
    for ours, theirs in _ACTIONS.items():
        value = next((actions[name] for name in theirs if name in actions), None)
        if value is None:
            raise ArmillaryError(
                f"{path}: component {level.memory} has no action {' or '.join(theirs)}; it has {sorted(actions)}"
            )
        values[ours] = value
    return AccessEnergy(**values)


def _compute(path: Path, hierarchy: Hierarchy, energies: Mapping[str, Mapping[str, float]]) -> float:
    actions = energies.get(hierarchy.compute.name)
    if actions is None:
        raise ArmillaryError(f"{path}: has no component {hierarchy.compute.name!r}; it has {sorted(energies)}")
    value = next((actions[name] for name in _COMPUTE_ACTIONS if name in actions), None)
    if value is None:
        raise ArmillaryError(
            f"{path}: component {hierarchy.compute.name} has none of the actions {list(_COMPUTE_ACTIONS)}; "
            f"it has {sorted(actions)}"
        )
    return value


def _area(path: Path, name: str, table: Mapping[str, Any]) -> float:
    return _number(path, f"component {name}: area", table.get("area")) / _UM2_PER_MM2


def _known(path: Path, areas: Mapping[str, float], name: str) -> float:
    if name not in areas:
        raise ArmillaryError(f"{path}: has no component {name!r}; it has {sorted(areas)}")
    return areas[name]
