"""Logs that come with Armillary: layouts of our own, to learn from before the first of one's own is made.

Each is a folder under `FOLDER`, with a JSON file of its name beside it that says how its rows were made, and the
workload that they are of. `shipped://NAME` is its address wherever a log is named; nothing can be appended there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from armillary.types import ArmillaryError

FOLDER = Path(__file__).parent.parent / "data" / "layouts"
PREFIX = "shipped://"


@dataclass(frozen=True)
class Shipped:
    """A log that comes with Armillary.

    Attributes:
        name: of the log.
        space: of its rows.
        rows: how many there are.
        feasible: of them.
        workload: the file of the workload that they are of.
        command: that made them.
        versions: of Armillary and the tools that they were made with.
        cpu_s: seconds of CPU that they took.
        part: which of the command's designs they are; empty: all.
    """

    name: str
    space: str
    rows: int
    feasible: int
    workload: str
    command: str
    cpu_s: float
    versions: dict[str, str] = field(default_factory=dict)
    part: str = ""

    @property
    def address(self) -> str:
        """Where the log is read, as `--log` takes it."""
        return f"{PREFIX}{self.name}"

    @property
    def folder(self) -> Path:
        """The folder of its rows."""
        return FOLDER / self.name

    @property
    def workload_file(self) -> Path:
        """The ONNX file of its workload."""
        return FOLDER / self.workload

    def as_dict(self) -> dict[str, Any]:
        """Return what there is to tell of it."""
        return {
            "log": self.address, "space": self.space, "rows": self.rows, "feasible": self.feasible,
            "cpu_s": self.cpu_s, "workload": str(self.workload_file), "folder": str(self.folder),
            "command": self.command, "part": self.part, "versions": dict(self.versions),
        }  # fmt: skip


def names() -> list[str]:
    """Return the names of all logs that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Shipped:
    """Return what is known of a shipped log.

    Raises:
        ArmillaryError: if there is none of this name.
    """
    if name not in names():
        raise ArmillaryError(f"log {PREFIX}{name} is unknown; choose one of {[PREFIX + known for known in names()]}")
    return Shipped(name=name, **json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
