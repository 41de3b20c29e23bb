"""Import: rows of other tools' files into a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armillary.hardware.template import Template
from armillary.log.exchange import import_csv, import_prime_tfrecords
from armillary.log.own_rows import OwnRows, fingerprints, held_in, read_own_rows
from armillary.log.store import Log
from armillary.studies.own import OwnProblem
from armillary.studies.progress import OnProgress, silent
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of


def import_files(
    files: Sequence[Path], log: str, template: Template, workload: str | None, *, on_progress: OnProgress = silent
) -> int:
    """Append the rows of CSV files, or of TFRecord files of PRIME's dataset, to a log; return their number.

    Nothing is appended unless every file could be read.

    Raises:
        ArmillaryError: if a file is missing, of another kind, or has a fault; names where.
    """
    batches = []
    for done, path in enumerate(files):
        on_progress("reading files", done, len(files))
        batches.append(_read(path, template, workload))
    on_progress("reading files", len(files), len(files))
    for batch in batches:
        Log(log).append(batch)
    return sum(len(batch) for batch in batches)


def _read(path: Path, template: Template, workload: str | None) -> Evaluations:
    if not path.is_file():
        raise ArmillaryError(f"{path}: no such file")
    if path.suffix == ".csv":
        return import_csv(path, template.space, workload=workload)
    if ".tfrecord" in path.name:
        if workload is None:
            raise ArmillaryError(f"{path}: TFRecord files do not name their workload; give it with --workload")
        context = context_of(zoo.build(workload)).as_dict() if workload in zoo.names() else None
        return import_prime_tfrecords([path], workload, template.space, context=context)
    raise ArmillaryError(f"{path}: is neither .csv nor .tfrecord")


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        rows: appended to the log.
        feasible: of them.
        known: rows of the files that the log held already.
        faulty: rows that were left out for their faults.
        faults: of the files, one line a kind.
        notes: what else a reader of the files should know.
        reasons: why rows failed, each with how many, the commonest first.
    """

    rows: int
    feasible: int
    known: int
    faulty: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    reasons: Mapping[str, int]


def import_own_files(
    files: Sequence[Path],
    log: str,
    own: OwnProblem,
    *,
    workload: str | None = None,
    skip_faulty: bool = False,
    on_progress: OnProgress = silent,
) -> Imported:
    """Append the rows of a user's files to a log, each row once, however often its file is imported.

    Nothing is appended unless every row of every file is right, or faulty rows are to be left out.

    Args:
        files: CSV or Parquet files.
        log: the log.
        own: the problem that the rows are of.
        workload: of all rows, for files that do not name it.
        skip_faulty: leave rows with faults out.
        on_progress: called with files done and in total.

    Raises:
        ArmillaryError: if a file cannot be read, lacks columns, or has faulty rows that are not to be left out; tells
            every kind of fault with the lines of its rows.
    """
    read = []
    contexts = own.contexts()
    for done, path in enumerate(files):
        on_progress("reading files", done, len(files))
        found = read_own_rows(path, own.file, workload=workload, candidates=own.candidates, contexts=contexts)
        if not skip_faulty:
            _check_faultless(str(path), found)
        read.append((str(path), found))
    on_progress("reading files", len(files), len(files))
    return import_own_rows(read, log, skip_faulty=skip_faulty)


def import_own_rows(read: Sequence[tuple[str, OwnRows]], log: str, *, skip_faulty: bool = False) -> Imported:
    """Append rows that were read from sources, each named, to a log, each row once; see `import_own_files`.

    Raises:
        ArmillaryError: if a source has faulty rows that are not to be left out; tells every kind of fault.
    """
    for source, found in read if not skip_faulty else ():
        _check_faultless(source, found)
    every = Evaluations.concat([found.evaluations for _, found in read])
    fresh = _unlogged(every, Log(log))
    if len(fresh):
        Log(log).append(fresh)
    several = len(read) > 1
    return Imported(
        rows=len(fresh),
        feasible=int(fresh.feasible.sum()),
        known=len(every) - len(fresh),
        faulty=sum(found.faulty for _, found in read),
        faults=tuple(_of_source(source, line, several) for source, found in read for line in found.faults),
        notes=tuple(_of_source(source, line, several) for source, found in read for line in found.notes),
        reasons=dict(Counter(fresh.failure_detail[~fresh.feasible].tolist()).most_common()),
    )


def _unlogged(rows: Evaluations, log: Log) -> Evaluations:
    """Return the rows that a log does not hold, and of equal ones the first."""
    first = np.unique(fingerprints(rows), return_index=True)[1]
    once = rows.select(np.sort(first))
    return once.select(~held_in(log, once))


def _check_faultless(source: str, found: OwnRows) -> None:
    if found.faulty:
        told = "\n  ".join(found.faults)
        raise ArmillaryError(
            f"{source}: {found.faulty:,} of {found.faulty + len(found.evaluations):,} rows have faults; nothing was "
            f"imported (--skip-faulty leaves them out)\n  {told}"
        )


def _of_source(source: str, line: str, several: bool) -> str:
    return f"{source}: {line}" if several else line
