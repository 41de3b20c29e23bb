"""Taking wrong rows out of a log, and back: what is removed stays in the log's folder `removed` until it is restored.

A fragment that loses rows is replaced whole. Its removed rows are on the disk before that, so that a removal that is
ended half-way loses nothing; a restore brings back only what the log does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from armillary.log.fragments import write_parquet
from armillary.log.index import Fragment
from armillary.log.own_rows import held_in
from armillary.log.query import LOG_VIEW, View, open_views, schema_of
from armillary.log.schema import EVALUATIONS, FAILURE_COLUMN, from_table
from armillary.log.store import REMOVED_FOLDER, Log
from armillary.types import ArmillaryError, Evaluations

_ROW = "row_of_fragment"


@dataclass(frozen=True)
class Removal:
    """What a removal did: rows taken out, rows left, and in how many fragments they lie in the folder `removed`."""

    removed: int
    left: int
    fragments: int


def remove(log: Log, where: str) -> Removal:
    """Take the evaluations out of a log that a condition holds for.

    Args:
        log: the log.
        where: an SQL condition on the columns of the view `log`, e.g. `workload = 'asr' AND runtime_s < 0`.

    Raises:
        ArmillaryError: if the log holds nothing, the condition is none, or a file cannot be written.
    """
    with log.of_evaluations.folder.rewriting():
        for name in log.of_evaluations.replaced():  # else they would be back where rows of their compaction are gone
            log.of_evaluations.folder.remove(name)
        return _removed(log, where)


def _removed(log: Log, where: str) -> Removal:
    fragments = log.of_evaluations.required()
    schema = schema_of(log.of_evaluations, fragments)
    # all conditions before the first removal, which a faulty one must not begin; masks alone are kept
    chosen = [(fragment, _matching(_table(log, fragment), where, schema)) for fragment in fragments]
    removed = left = touched = 0
    for fragment, rows in chosen:
        removed, left = removed + int(rows.sum()), left + int((~rows).sum())
        if rows.any():
            touched += 1
            _take_out(log, fragment, _table(log, fragment), rows)
    return Removal(removed, left, touched)


def restore(log: Log) -> int:
    """Bring back all that was removed from a log; return how many rows.

    Raises:
        ArmillaryError: if nothing was removed, or a file cannot be written.
    """
    folder = log.of_evaluations.folder.inside(REMOVED_FOLDER)
    names = folder.names()
    if not names:
        raise ArmillaryError(f"log {log.path}: nothing was removed from it")
    back = 0
    for name in names:
        with pq.ParquetFile(folder.full_path(name), filesystem=folder.arrow) as file:
            rows = _missing(log, from_table(file.read(), EVALUATIONS))
        if len(rows):
            log.append(rows)
        folder.remove(name)
        back += len(rows)
    return back


def _missing(log: Log, rows: Evaluations) -> Evaluations:
    """Return the rows that the log does not hold."""
    if rows.space not in log.spaces():
        return rows
    return rows.select(~held_in(log, rows))


def _table(log: Log, fragment: Fragment) -> pa.Table:
    folder = log.of_evaluations.folder
    with pq.ParquetFile(folder.full_path(fragment.name), filesystem=folder.arrow) as file:
        return file.read()


def _matching(table: pa.Table, where: str, schema: pa.Schema) -> NDArray[np.bool_]:
    """Return which rows a condition holds for, shape [rows]; what the fragment lacks is as in a query."""
    plain = table.replace_schema_metadata(None)
    for column in schema:
        if column.name not in plain.column_names:
            plain = plain.append_column(column.name, pa.nulls(len(plain), column.type))
    plain = plain.append_column(_ROW, pa.array(np.arange(len(plain))))
    with duckdb.connect(":memory:") as connection:
        open_views(connection, [View(LOG_VIEW, plain, EVALUATIONS.since)])
        try:
            # the line break ends a comment in the condition
            found = connection.execute(f"SELECT {_ROW} FROM {LOG_VIEW} WHERE ({where}\n)").fetchnumpy()[_ROW]
        except duckdb.Error as fault:
            columns = ", ".join([*schema.names, FAILURE_COLUMN])
            raise ArmillaryError(f"--where {where!r}: {fault}\nThe columns are: {columns}") from fault
    rows = np.zeros(len(plain), dtype=bool)
    rows[np.asarray(found, dtype=np.int64)] = True
    return rows


def _take_out(log: Log, fragment: Fragment, table: pa.Table, rows: NDArray[np.bool_]) -> None:
    folder = log.of_evaluations.folder
    taken, kept = table.filter(pa.array(rows)), table.filter(pa.array(~rows))
    aside = folder.inside(REMOVED_FOLDER)
    number = sum(name.startswith(fragment.name.split(".")[0]) for name in aside.names())
    name = f"{fragment.name.removesuffix('.parquet')}-{number}.parquet"
    aside.write(name, lambda file: write_parquet(taken, file))
    if len(kept):
        folder.write(fragment.name, lambda file: write_parquet(kept, file))
    else:
        folder.remove(fragment.name)
