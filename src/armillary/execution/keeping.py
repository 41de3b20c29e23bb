"""Workers that write what they found to the log themselves, where they see the log's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.types import Evaluation, Evaluations


@dataclass(frozen=True)
class Shared:
    """A log that workers may see.

    Attributes:
        path: of the log.
        mark: a file in its folder while the work goes on: who finds it sees the same folder.
    """

    path: str
    mark: str

    def log(self) -> Log | None:
        """Return the log if this machine sees it."""
        log = Log(self.path)
        return log if log.of_evaluations.folder.has(self.mark) else None


@contextmanager
def shared(log: Log) -> Iterator[Shared]:
    """Mark the folder of a log, so that workers can tell whether they see it.

    Raises:
        LogWriteError: if the folder cannot be written.
    """
    with log.of_evaluations.folder.marked() as mark:
        yield Shared(log.of_evaluations.folder.whole_path, mark)


@dataclass(frozen=True)
class KeepEvaluation:
    """Writes one evaluation, with the runs of its layers."""

    place: Shared

    def __call__(self, name: str, found: Evaluation) -> bool:
        """Write it as a fragment of this name, unless there is one; return whether this machine sees the log."""
        log = self.place.log()
        if log is not None:
            append([found], log, name)
        return log is not None

    def known(self, name: str) -> Evaluation | None:
        """Return what a fragment of this name holds."""
        log = self.place.log()
        rows = None if log is None else log.of_evaluations.named(name)
        if log is None or rows is None:
            return None
        (evaluation,) = log.whole(rows)
        return evaluation


def append(held: Sequence[Evaluation], log: Log, name: str | None = None) -> None:
    """Append evaluations to a log, and first the runs of their layers, so that no row stands there without them.

    Args:
        held: of one space.
        log: is written.
        name: of the fragments; what is there under it already stays.
    """
    told = [evaluation for evaluation in held if evaluation.layers]
    with suppress(FileExistsError):
        if told:
            log.append_layers(LayerRuns.of_evaluations(told), name)
    with suppress(FileExistsError):
        log.append(Evaluations.from_list(held), name)
