"""The files of a study: what it was asked, what each finished stage left, and the final results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from armillary.atomic_file import created, replaced
from armillary.types import ArmillaryError

SCHEMA_VERSION = 4


REQUEST = "study.json"
_EARLIER = (2, 3)


def _upgraded(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request of an earlier version as this one would write it."""
    if request["schema_version"] == 2:
        request = _with_kind(request)
    rest = {name: value for name, value in request.items() if name not in ("metric", "bounds")}
    return {
        **rest,
        "schema_version": SCHEMA_VERSION,
        "objectives": [{"metric": request["metric"], "direction": "minimize"}],
        "bounds": [{"metric": name, "at_most": most, "at_least": None} for name, most in request["bounds"].items()],
        "problem": None,
        **({"prefer": {}} if request["kind"] == "search" else {}),
    }


def _with_kind(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request of version 2 as version 3 would write it."""
    bounds = {name: request[name] for name in ("area_mm2", "power_mw") if request.get(name) is not None}
    rest = {name: value for name, value in request.items() if name not in ("area_mm2", "power_mw")}
    added = {"fidelity": "analytical", "options": {}}
    kind = "search" if "optimizer" in request else "design"
    if kind == "design":
        added["verify"] = []
    return {**added, **rest, "kind": kind, "bounds": bounds}


def _written(request: Mapping[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **request}))
    return written


class StudyFolder:
    """A folder whose files appear whole or not at all.

    `study.json` is the request; a folder serves one request only, so that a stage that is finished
    is finished for this request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """Where the study logs, unless it was given a log."""
        return self.path / "log"

    @property
    def model(self) -> Path:
        """The fitted surrogate."""
        return self.path / "model.pt"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def design(self) -> Path:
        """The winner."""
        return self.path / "design.yaml"

    def claim(self, request: Mapping[str, Any]) -> None:
        """Take the folder for a request, or find that it is already the request's.

        Of several processes that claim a folder at once, one creates `study.json`; the others find it there.

        Raises:
            ArmillaryError: if the folder holds another request's study; names what differs.
        """
        try:
            created(self.path / REQUEST, json.dumps(_written(request), indent=1))
        except FileExistsError:
            self.check(request)

    def check(self, request: Mapping[str, Any]) -> None:
        """Check that the folder is free, or already the request's.

        Raises:
            ArmillaryError: if the folder holds another request's study; names what differs.
        """
        if not self.has(REQUEST):
            return
        held, wanted = self._held(), _written(request)
        differing = [name for name in sorted({*held, *wanted}) if held.get(name) != wanted.get(name)]
        if differing:
            name = differing[0]
            raise ArmillaryError(
                f"{self.path}: holds a study with {name}={held.get(name)!r}, not {wanted.get(name)!r}; "
                "choose another folder, or delete this one"
            )

    def request(self, kind: str | None = None) -> dict[str, Any]:
        """Return what the folder's study was asked.

        Args:
            kind: `design` or `search`; any, if not given.

        Raises:
            ArmillaryError: if the folder is no study, one of another kind, or of another version of Armillary.
        """
        request = self._held()
        if request.get("schema_version") != SCHEMA_VERSION:
            raise ArmillaryError(
                f"{self.path / REQUEST}: has schema_version={request.get('schema_version')!r}, "
                f"this Armillary reads {SCHEMA_VERSION}"
            )
        if kind is not None and request["kind"] != kind:
            raise ArmillaryError(f"{self.path}: holds a {request['kind']} study, not a {kind} study")
        return request

    def _held(self) -> dict[str, Any]:
        held = self.read(REQUEST)
        return _upgraded(held) if held.get("schema_version") in _EARLIER else held

    def has(self, name: str) -> bool:
        """Return whether a file is there."""
        return (self.path / name).exists()

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON file.

        Raises:
            ArmillaryError: if the folder is no study, or the file is damaged.
        """
        path = self.path / name
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise ArmillaryError(
                f"{self.path}: has no {name}, so it is no finished study; run the study's command again to finish it"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as fault:
            raise ArmillaryError(
                f"{path}: is damaged ({fault}); delete it and run the study's command again"
            ) from fault
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        self.write_text(name, json.dumps(content, indent=1))

    def replaced(self, name: str) -> AbstractContextManager[Path]:
        """Return a context in which a file is written whole; see `atomic_file.replaced`."""
        return replaced(self.path / name)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file whole.

        Raises:
            ArmillaryError: if it cannot be written; what was there before is intact.
        """
        with replaced(self.path / name) as unfinished:
            unfinished.write_text(text)
