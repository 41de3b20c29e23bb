"""A folder of models beside what they are known to need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.types import ArmillaryError
from armillary.workloads import load

EXPECTED = "expected.json"
_SUFFIXES = (".onnx", ".onnx.gz", ".textproto", ".pbtxt", ".onnxtxt", "")
_FIELDS = frozenset({"macs", "parameters", "dims", "operators", "why"})


@dataclass(frozen=True)
class Case:
    """One model of a folder.

    Attributes:
        name: of its file, without the ending.
        path: the file.
        macs: what it is known to need; None if it is to be refused.
        parameters: what it is known to hold; None if that does not matter.
        dims: values of symbolic dimensions.
        operators: what operators of others stand for.
    """

    name: str
    path: Path
    macs: int | None
    parameters: int | None
    dims: Mapping[str, int]
    operators: Mapping[str, str]


@dataclass(frozen=True)
class Checked:
    """What came of a case; `note` is why it was refused, or what is to be known of it."""

    case: Case
    macs: int | None
    parameters: int | None
    note: str

    @property
    def ok(self) -> bool:
        """Whether it is as expected."""
        if self.case.macs is None:
            return self.macs is None
        return self.macs == self.case.macs and self.case.parameters in (None, self.parameters)


def cases_of(folder: Path) -> list[Case]:
    """Return the cases of a folder, which its `expected.json` lists by name.

    Raises:
        ArmillaryError: if there is none, or it lists what is no case; collects every fault.
    """
    path = folder / EXPECTED
    try:
        content = json.loads(path.read_text())
    except OSError as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault.strerror}; it says what each model needs") from fault
    except (UnicodeDecodeError, ValueError) as fault:
        raise ArmillaryError(f"{path}: is no JSON: {fault}") from fault
    if not isinstance(content, dict):
        raise ArmillaryError(f'{path}: has to be an object, one entry a model: {{"NAME": {{"macs": 1, "dims": {{}}}}}}')
    faults = [f"{name}: {wrong}" for name, row in content.items() if (wrong := _fault(name, row, folder))]
    if faults:
        raise ArmillaryError(f"{path}: {'; '.join(faults[:10])}")
    return [
        Case(
            name, _file(folder, name) or folder / name, row["macs"], row.get("parameters"), row.get("dims", {}),
            row.get("operators", {}),
        )
        for name, row in content.items()
    ]  # fmt: skip


def check(case: Case) -> Checked:
    """Import the model of a case."""
    try:
        workload = load(str(case.path), case.dims, case.operators)
    except ArmillaryError as fault:
        return Checked(case, None, None, str(fault))
    return Checked(case, workload.macs, workload.parameters, "; ".join((*workload.unknown_work, *workload.warnings)))


def rows_of(results: Sequence[Checked]) -> list[dict[str, Any]]:
    """Return the results as rows of a table."""
    return [
        {
            "name": result.case.name,
            "ok": result.ok,
            "macs": result.macs,
            "expected_macs": result.case.macs,
            "parameters": result.parameters,
            "expected_parameters": result.case.parameters,
            "note": result.note,
        }
        for result in results
    ]


def _file(folder: Path, name: str) -> Path | None:
    return next((path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def _fault(name: str, row: object, folder: Path) -> str:
    if not isinstance(row, dict) or "macs" not in row:
        return "has to be an object with macs, a number or null"
    if unknown := sorted(set(row) - _FIELDS):
        return f"unknown fields {unknown}; allowed are {sorted(_FIELDS)}"
    for field in ("macs", "parameters"):
        value = row.get(field)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            return f"{field}={value!r} is not allowed; it must be a whole number, or null"
    for field, kind in (("dims", int), ("operators", str)):
        value = row.get(field, {})
        if not isinstance(value, dict) or not all(isinstance(each, kind) for each in value.values()):
            return f"{field}={value!r} is not allowed; it must be an object of {kind.__name__}"
    return "" if _file(folder, name) else f"there is no file {name}.onnx"
