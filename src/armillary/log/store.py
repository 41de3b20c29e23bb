"""The log: an append-only dataset of evaluations, and of the runs of layers that they were added up from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from armillary.log.compaction import FRESH, tidy
from armillary.log.dataframe import to_dataframe
from armillary.log.folder import Folder
from armillary.log.fragments import Fragments, Skipped, other_space
from armillary.log.index import Fragment
from armillary.log.layer_runs import LayerRuns, runs_of_each
from armillary.log.schema import EVALUATIONS, LAYER_RUNS, Rows
from armillary.notebook import html_table
from armillary.types import ArmillaryError, Evaluation, Evaluations, LayerRun

if TYPE_CHECKING:
    import pandas as pd

LAYERS_FOLDER = LAYER_RUNS.name
REMOVED_FOLDER = "removed"


class Log:
    """A folder of fragments, on a local disk or any file system that fsspec knows.

    Fragments of evaluations lie in the folder, those of layer runs in a folder `layer_runs` within; each folder is
    made by the first append. Reading one table opens no file of the other.

    Args:
        path: a local path or an fsspec URL, e.g. `memory://log` or `s3://bucket/log`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        folder = Folder(path)
        self.path = folder.path
        self.of_evaluations = Fragments(self.path, folder, EVALUATIONS, beside=(LAYERS_FOLDER, REMOVED_FOLDER))
        self.of_layer_runs = Fragments(self.path, folder.inside(LAYERS_FOLDER), LAYER_RUNS)
        self._appends = Counter[str]()

    @property
    def skipped(self) -> list[Skipped]:
        """The truncated and foreign files that the last read of each table found and left out."""
        return [*self.of_evaluations.skipped, *self.of_layer_runs.skipped]

    def append(self, evaluations: Evaluations, name: str | None = None) -> str:
        """Add the evaluations as one new fragment and return its file name.

        When the call returns, the rows are on the disk. No rows make an empty fragment.

        Args:
            evaluations: of one space.
            name: of the fragment; see `Fragments.append`.

        Raises:
            FileExistsError: if there is a fragment of the name already; it is as before.
            LogWriteError: if the file system refuses, e.g. because the disk is full.
            ArmillaryError: if two columns share a name or a text column holds something else than text.
        """
        return self._appended(self.of_evaluations, evaluations, name)

    def append_layers(self, layer_runs: LayerRuns, name: str | None = None) -> str:
        """Add the layer runs as one new fragment and return its file name.

        Append the runs of an evaluation before the evaluation itself: a writer that is killed in between then leaves
        runs that are written again, not an evaluation that lacks them.

        Args:
            layer_runs: of one space.
            name: of the fragment; see `Fragments.append`.

        Raises:
            FileExistsError: if there is a fragment of the name already; it is as before.
            LogWriteError: if the file system refuses, e.g. because the disk is full.
            ArmillaryError: if two columns share a name or a text column holds something else than text.
        """
        return self._appended(self.of_layer_runs, layer_runs, name)

    def _appended(self, table: Fragments[Rows], rows: Rows, name: str | None) -> str:
        """Append, and every now and then make few fragments of many."""
        chosen = table.append(rows, name)
        if self._appends[table.table.name] % FRESH == 0:
            tidy(self, table)
        self._appends[table.table.name] += 1
        return chosen

    def fragments(self) -> list[Fragment]:
        """Return the readable fragments of evaluations, oldest first.

        Raises:
            ArmillaryError: if the folder cannot be listed.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.of_evaluations.all()

    def spaces(self) -> list[str]:
        """Return the names of the spaces that the log holds evaluations of, in order of appearance."""
        return list(dict.fromkeys(fragment.header.space for fragment in self.fragments()))

    def __len__(self) -> int:
        return sum(fragment.rows for fragment in self.fragments())

    def evaluations(self, space: str) -> Evaluations:
        """Return all evaluations of a space, in the order in which they were appended.

        Raises:
            ArmillaryError: if there are none, or fragments of the space disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.of_evaluations.read(space)

    def evaluations_of(self, space: str, where: Mapping[str, str]) -> Evaluations | None:
        """Return the evaluations of a space that hold these texts, in the order of their appending; None if none do.

        Args:
            space: its name.
            where: text by column: workload, evaluator, version and options. Fragments without it are not opened.

        Raises:
            ArmillaryError: if there are none of the space, or its fragments disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.of_evaluations.matching(space, where)

    def to_dataframe(self, space: str | None = None) -> pd.DataFrame:
        """Return all evaluations of a space as a pandas data frame, a row each, in the order of their appending.

        Parameters come first, then metrics, `feasible`, `failure` (why not, in words; None if feasible), and the rest.

        Args:
            space: its name; not needed where the log holds one space.

        Raises:
            ArmillaryError: if there are none, or no space is named and there are several.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        if space is None:
            known = self.spaces()
            if len(known) != 1:
                told = f"the spaces {known}; name one" if known else "no evaluations"
                raise ArmillaryError(f"log {self.path} holds {told}")
            space = known[0]
        return to_dataframe(self.evaluations(space))

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{len(held):,}", f"{int(held.feasible.sum()):,}", ", ".join(dict.fromkeys(held.workload)))
            for name in self.spaces()
            for held in [self.evaluations(name)]
        ]
        return html_table(f"Log {self.path}", ("space", "evaluations", "feasible", "workloads"), rows)

    def layer_runs(self, space: str) -> LayerRuns:
        """Return all layer runs of a space, in the order in which they were appended.

        Raises:
            ArmillaryError: if there are none, or fragments of the space disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.of_layer_runs.read(space)

    def only_space_of_layers(self) -> str:
        """Return the space of the layer runs.

        Raises:
            ArmillaryError: if there are none, or of several spaces.
        """
        return self.of_layer_runs.only_space()

    def whole(self, evaluations: Evaluations) -> list[Evaluation]:
        """Return evaluations of the log, each with the runs of its layers; see `layers_of`."""
        runs = self.layers_of(evaluations)
        return [replace(found, layers=of) for found, of in zip(evaluations.to_list(), runs, strict=True)]

    def layers_of(self, evaluations: Evaluations) -> list[tuple[LayerRun, ...]]:
        """Return, for each of the evaluations, the layer runs that it was added up from, in the order of its workload.

        They are those of the same design, workload, evaluator, version, options and seed; () if the log holds none.
        Where a use of a layer was written more than once, as after a crash between two appends, the last row counts.

        Raises:
            ArmillaryError: if fragments of the space disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        fragments = [f for f in self.of_layer_runs.all() if f.header.space == evaluations.space]
        if not fragments:
            return [()] * len(evaluations)
        runs = self.of_layer_runs.rows_of(fragments)
        if runs is None:
            raise ArmillaryError(self.of_layer_runs.nothing())
        try:
            return runs_of_each(evaluations, runs)
        except ValueError as fault:
            raise ArmillaryError(f"log {self.path} mixes two versions of a space: {fault}") from fault


@dataclass(frozen=True)
class InMemoryLog:
    """A log of evaluations that are already at hand, for code that takes any log."""

    held: Evaluations

    def evaluations(self, space: str) -> Evaluations:
        """Return the evaluations.

        Raises:
            ArmillaryError: if they are of another space.
        """
        if self.held.space != space:
            raise ArmillaryError(other_space("the log", [self.held.space], space, EVALUATIONS.noun))
        return self.held
