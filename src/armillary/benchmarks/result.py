"""What a benchmark returns: rows to print and checks to hold."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Check:
    """One claim: the measured value, the goal in words, and whether it holds."""

    name: str
    value: float | str
    goal: str
    ok: bool


@dataclass(frozen=True)
class BenchResult:
    """The rows of a benchmark (each a mapping of column to value), its checks, and remarks."""

    rows: Sequence[Mapping[str, Any]]
    checks: Sequence[Check]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class BenchOptions:
    """What every benchmark may be told.

    `data` is the folder of reference rows, `out` where long benchmarks keep finished parts,
    `on_progress` receives (what, done, total).
    """

    data: Path | None
    quick: bool
    seed: int
    out: Path
    on_progress: Callable[[str, int, int], None]


class Bench(Protocol):
    """A benchmark: a function of its options."""

    def __call__(self, options: BenchOptions) -> BenchResult:
        """Measure."""
        ...


def saved_part(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a part of a long benchmark, measured once and then read from its file."""
    if path.exists():
        part: dict[str, Any] = json.loads(path.read_text())
        return part
    part = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(part))
    unfinished.replace(path)
    return part


def machine() -> str:
    """Describe this machine in a line."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
