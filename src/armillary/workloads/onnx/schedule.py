"""What a graph runs: its nodes in order, those of bodies as often as they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnx import NodeProto


@dataclass(frozen=True, slots=True)
class Step:
    """A node that runs so many times.

    Attributes:
        node: the node.
        within: the operators whose bodies it is in, e.g. `Loop/If/`.
        runs: how often it runs.
        body: which body it is in, a number for each that is walked; 0 for the graph itself.
        opened: whether its bodies follow as entries of their own.
    """

    node: NodeProto
    within: str = ""
    runs: int = 1
    body: int = 0
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Branches of which one runs, and nobody knows which."""

    node: NodeProto
    branches: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True, slots=True)
class Unbounded:
    """What runs nobody knows how often."""

    node: NodeProto
    entries: tuple[Entry, ...]


Entry = Step | Choice | Unbounded


def repeated(entries: Sequence[Entry], runs: int) -> list[Entry]:
    """Return entries that run so many times as often."""
    found: list[Entry] = []
    for entry in entries:
        if isinstance(entry, Step):
            found.append(replace(entry, runs=entry.runs * runs))
        elif isinstance(entry, Choice):
            found.append(replace(entry, branches=tuple(tuple(repeated(branch, runs)) for branch in entry.branches)))
        else:
            found.append(entry)
    return found


def steps_of(entries: Sequence[Entry]) -> Iterator[Step]:
    """Yield every step, those of all branches and of unbounded loops, too."""
    for entry in entries:
        if isinstance(entry, Step):
            yield entry
        elif isinstance(entry, Choice):
            for branch in entry.branches:
                yield from steps_of(branch)
        else:
            yield from steps_of(entry.entries)
