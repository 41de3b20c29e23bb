"""SQL over a log: DuckDB sees its fragments as the views `log` and `layer_runs`, and nothing else of the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from armillary.log.fragments import ROWS_PER_GROUP, Fragments
from armillary.log.index import Fragment
from armillary.log.schema import FAILURE_COLUMN
from armillary.log.store import Log
from armillary.temporary import temporary_folder
from armillary.types import ArmillaryError

MEMORY = "1GB"
"""What a statement may take."""

_BATCH_ROWS = 16_384
LOG_VIEW = "log"
LAYER_RUNS_VIEW = "layer_runs"

# The text of `Failure.__str__`, so that a query and a message call a failure the same.
FAILURE_TEXT = """
CASE
  WHEN feasible THEN NULL
  WHEN failure_kind <> 'infeasible' THEN failure_kind || ': ' || failure_detail
  ELSE CASE WHEN failure_layer <> '' THEN 'layer ' || failure_layer || ': ' ELSE '' END ||
    CASE
      WHEN failure_needed IS NULL THEN
        CASE WHEN failure_resource <> '' THEN failure_resource ELSE 'infeasible' END ||
        CASE WHEN failure_detail <> '' THEN ': ' || failure_detail ELSE '' END
      ELSE failure_resource || ' needs ' || format('{:,.6g}', failure_needed) ||
        ', has ' || coalesce(format('{:,.6g}', failure_available), 'nan')
    END
END
"""


def query(log_path: str | os.PathLike[str], sql: str) -> pa.Table:
    """Return the rows of one SELECT over the views `log` and `layer_runs`; see `reading`, which holds few at a time.

    Raises:
        ArmillaryError: see `reading`.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    with reading(log_path, sql) as answer:
        return pa.Table.from_batches(list(answer), answer.schema)


class Answer:
    """The rows of a statement as they come: record batches.

    Attributes:
        schema: their columns.
    """

    def __init__(self, reader: pa.RecordBatchReader, explain: Callable[[Exception], ArmillaryError]) -> None:
        self._reader, self._explain = reader, explain
        self.schema = reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._reader
        except (duckdb.Error, OSError) as fault:
            raise self._explain(fault) from fault


@contextmanager
def reading(log_path: str | os.PathLike[str], sql: str) -> Iterator[Answer]:
    """Provide the rows of one SELECT over the views `log` and `layer_runs`, batch by batch.

    `log` has one row per evaluation and `layer_runs` one per run of a layer, with the columns of
    `armillary.log.schema`; a column that a fragment lacks is NULL there. `failure` says in words why a row is
    infeasible. Truncated and foreign files are left out. Only files of the views that the statement names are opened,
    and it cannot read or write anything else. It takes `MEMORY` at most; what a sort needs beyond lies in a temporary
    folder meanwhile.

    Raises:
        ArmillaryError: if the log holds nothing of a view that the statement reads, or the statement is not one valid
            SELECT; then with the message of DuckDB and the columns of the views.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    with temporary_folder("query") as spilled, duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET temp_directory = $folder", {"folder": str(spilled)})
        views, absent = _views(Log(log_path), sql)

        def explained(fault: Exception) -> ArmillaryError:
            columns = [f"The columns of {view.name} are: {', '.join(view.columns)}" for view in views]
            return ArmillaryError("\n".join([*absent, str(fault), *columns]))

        try:
            _check_select(connection, sql)
            open_views(connection, views)
            answer = Answer(connection.sql(sql).to_arrow_reader(_BATCH_ROWS), explained)
        except duckdb.Error as fault:
            raise explained(fault) from fault
        yield answer


@dataclass(frozen=True)
class View:
    """A name in statements, what lies behind it, and the text columns that are "" where a fragment lacks them."""

    name: str
    stored: ds.Dataset | pa.Table
    since: Collection[str]

    @property
    def columns(self) -> list[str]:
        """The columns that a statement may name."""
        return [*self.stored.schema.names, FAILURE_COLUMN]

    @property
    def selection(self) -> str:
        """What is selected from the stored rows, as SQL."""
        filled = ", ".join(f"coalesce({name}, '') AS {name}" for name in self.since)
        return f'* {f"REPLACE ({filled})" if filled else ""}, {FAILURE_TEXT} AS "{FAILURE_COLUMN}"'


def _views(log: Log, sql: str) -> tuple[list[View], list[str]]:
    """Return the views that a statement names, and what to say of those that the log has nothing of.

    A view counts as named if its name is anywhere in the text. It may stand there for something else, so a view
    without rows is no fault yet.

    Raises:
        ArmillaryError: if the log has nothing of any of them.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    tables: dict[str, Fragments[Any]] = {LOG_VIEW: log.of_evaluations, LAYER_RUNS_VIEW: log.of_layer_runs}
    named = [name for name in tables if re.search(rf"\b{name}\b", sql, re.IGNORECASE)] or [LOG_VIEW]
    found = {name: tables[name].all() for name in named}
    absent = [tables[name].nothing() for name, fragments in found.items() if not fragments]
    if len(absent) == len(named):
        raise ArmillaryError("\n".join(absent))
    views = [
        View(name, _dataset(tables[name], fragments), tables[name].table.since)
        for name, fragments in found.items()
        if fragments
    ]
    return views, absent


def schema_of(fragments_of: Fragments[Any], fragments: Sequence[Fragment]) -> pa.Schema:
    """Return the columns of all fragments together.

    Raises:
        ArmillaryError: if a column has different types in different spaces.
    """
    schemas = [fragment.schema.remove_metadata() for fragment in fragments]
    schemas.append(pa.schema([(name, pa.dictionary(pa.int32(), pa.string())) for name in fragments_of.table.since]))
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as fault:
        raise ArmillaryError(
            f"log {fragments_of.log}: a column has different types in different spaces: {fault}"
        ) from fault


def _dataset(fragments_of: Fragments[Any], fragments: Sequence[Fragment]) -> ds.Dataset:
    """Return fragments as a dataset whose pieces are row groups.

    Arrow reads several pieces of a dataset ahead, and within a piece two million rows: of row groups that is little.
    """
    checked = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    schema, files = schema_of(fragments_of, fragments), fragments_of.folder.arrow
    pieces = list[ds.Fragment]()
    for fragment in fragments:
        whole = checked.make_fragment(fragments_of.folder.full_path(fragment.name), filesystem=files)
        pieces += whole.split_by_row_group(schema=schema) if fragment.rows > ROWS_PER_GROUP else [whole]
    return ds.FileSystemDataset(pieces, schema, checked, files)


def _check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = [statement.type.name for statement in statements]
        raise ArmillaryError(f"a log is queried with one SELECT, got {kinds or 'nothing'}: {sql!r}")


def open_views(connection: duckdb.DuckDBPyConnection, views: Sequence[View]) -> None:
    """Let statements see these views, and nothing else of the machine."""
    connection.execute("SET python_enable_replacements = false")  # variables of ours are no tables
    for view in views:
        connection.register(f"stored_{view.name}", view.stored)
        connection.execute(f"CREATE VIEW {view.name} AS SELECT {view.selection} FROM stored_{view.name}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
