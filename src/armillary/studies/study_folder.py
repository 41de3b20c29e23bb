"""The files of a study: what it was asked, what each finished stage left, and the final results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armillary.atomic_file import created, replaced
from armillary.types import ArmillaryError

SCHEMA_VERSION = 2


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

        Of several that claim a folder at once, one takes it.

        Raises:
            ArmillaryError: if the folder holds another request's study; names what differs.
        """
        wanted = {"schema_version": SCHEMA_VERSION, **request}
        try:
            created(self.path / "study.json", _as_text(wanted))
        except FileExistsError:
            self._check_held(wanted)

    def _check_held(self, wanted: Mapping[str, Any]) -> None:
        held = self.read("study.json")
        differing = [name for name in sorted({*held, *wanted}) if held.get(name) != wanted.get(name)]
        if differing:
            name = differing[0]
            raise ArmillaryError(
                f"{self.path}: holds a study with {name}={held.get(name)!r}, not {wanted.get(name)!r}; "
                "choose another folder, or delete this one"
            )

    def request(self) -> dict[str, Any]:
        """Return what the folder's study was asked.

        Raises:
            ArmillaryError: if the folder is no study, or one of another version of Armillary.
        """
        request = self.read("study.json")
        if request.get("schema_version") != SCHEMA_VERSION:
            raise ArmillaryError(
                f"{self.path / 'study.json'}: has schema_version={request.get('schema_version')!r}, "
                f"this Armillary reads {SCHEMA_VERSION}"
            )
        return request

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
        self.write_text(name, _as_text(content))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file.

        Raises:
            ArmillaryError: if it cannot be written; what was there before is intact.
        """
        with replaced(self.path / name) as unfinished:
            unfinished.write_text(text)


def _as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1)
