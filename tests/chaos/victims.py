"""The commands that are killed, and what must come of each whatever happened on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from armillary.log.checking import check
from armillary.log.store import Log

EXAMPLES = Path(__file__).parents[2] / "examples"
_BY_CHANCE = ["time", "seconds"]  # columns of a row that no two runs agree in


@dataclass(frozen=True)
class Victim:
    """A command.

    Attributes:
        name: of it.
        share: of the kills that it gets.
        arguments: of `armillary`, from the folder in which it works.
        log: the folder of its log in there; empty if it has none.
        results: what it must have made in the end, from that folder; equal for equal results.
        operations: kinds of kills that make sense, beside those of renames and files.
    """

    name: str
    share: float
    arguments: Callable[[Path], Sequence[str]]
    log: str
    results: Callable[[Path], Any]
    operations: tuple[str, ...] = ()


def rows(log: Path) -> Counter[tuple[str, ...]]:
    """Return how often each row stands in a log, without what depends on the machine's speed."""
    found: Counter[tuple[str, ...]] = Counter()
    held = Log(log)
    for space in held.spaces():
        frame = held.to_dataframe(space).drop(columns=_BY_CHANCE)
        found.update(frame.astype(str).itertuples(index=False, name=None))
    return found


def faults_of(log: Path) -> list[str]:
    """Return which files of a log are odd, all of each read."""
    return [str(skipped) for checked in check(Log(log)) for skipped in checked.skipped]


def fragments(log: Path) -> Mapping[str, int]:
    """Return the rows of each fragment of a log."""
    return {fragment.name: fragment.rows for fragment in Log(log).fragments()} if log.exists() else {}


def _of_study(folder: Path) -> Any:
    winner = yaml.safe_load((folder / "study" / "design.yaml").read_text(encoding="utf-8"))
    del winner["command"]  # it names the folder
    return winner, rows(folder / "study" / "log")


def _of_layout(folder: Path) -> Any:
    layout = folder / "layout"
    return [json.loads((layout / name).read_text()) for name in ("analysed.json", "placed.json")]


VICTIMS = (
    Victim(
        "collect",
        0.3,
        lambda folder: ("collect", "--workload", "mobilenet_v2", "--samples", "10000", "--log", str(folder / "log")),
        "log",
        lambda folder: rows(folder / "log"),
    ),
    Victim(
        "search",
        0.2,
        lambda folder: (
            "search", "--template", "edge_tpu", "--workload", "mobilenet_v2", "--optimizer", "firefly",
            "--budget", "300", "--area", "29", "--study", str(folder / "study"),
        ),
        "study/log",
        _of_study,
    ),
    Victim(
        "design",
        0.2,
        lambda folder: (
            "design", "mobilenet_v2", "--template", "edge_tpu", "--area", "29", "--samples", "4000", "--top", "16",
            "--surrogate", "hurdle", "--out", str(folder / "study"),
        ),
        "study/log",
        _of_study,
    ),
    Victim(
        "rtl",
        0.15,
        lambda folder: (
            "collect", "--template", "axiline", "--workload", str(folder.parent / "svm.onnx"), "--fidelity", "rtl",
            "--samples", "2", "--log", str(folder / "log"),
        ),
        "log",
        lambda folder: rows(folder / "log"),
        ("worker",),
    ),
    Victim(
        "physical",
        0.15,
        lambda folder: (
            "physical", "run", str(EXAMPLES / "mac.sv"), "--top", "mac", "--clock", "0.8",
            "--out", str(folder / "layout"),
        ),
        "",
        _of_layout,
        ("worker",),
    ),
)  # fmt: skip
