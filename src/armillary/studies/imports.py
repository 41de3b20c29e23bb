"""Import: rows of other tools' files into a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from armillary.hardware.template import Template
from armillary.log.exchange import import_csv, import_prime_tfrecords
from armillary.log.store import Log
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
