"""SQL over a log: DuckDB sees its fragments as the view `log`, and nothing else of the machine."""

from __future__ import annotations

import os

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from armillary.log.schema import FAILURE_COLUMN
from armillary.log.store import Fragment, Log
from armillary.types import ArmillaryError

VIEW = "log"

# The text of `Failure.__str__`, so that a query and a message call a failure the same.
_FAILURE_TEXT = """
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
    """Return the rows of one SELECT over the view `log`.

    The view has one row per evaluation and the columns of `armillary.log.schema`; a column that a
    fragment lacks is NULL there. `failure` says in words why a row is infeasible. Truncated and
    foreign files are left out. The statement cannot read or write anything else.

    Raises:
        ArmillaryError: if the log holds no evaluations, or the statement is not one valid SELECT; then
            with the message of DuckDB and the columns of the view.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    log = Log(log_path)
    dataset = _dataset(log, log.required_fragments())
    with duckdb.connect(":memory:") as connection:
        columns = [*dataset.schema.names, FAILURE_COLUMN]
        try:
            _check_select(connection, sql)
            _open_view(connection, dataset)
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as fault:
            raise ArmillaryError(f"{fault}\nThe columns of {VIEW} are: {', '.join(columns)}") from fault


def _dataset(log: Log, fragments: list[Fragment]) -> ds.Dataset:
    try:
        schema = pa.unify_schemas([f.schema.remove_metadata() for f in fragments], promote_options="permissive")
    except pa.ArrowException as fault:
        raise ArmillaryError(f"log {log.path}: a column has different types in different spaces: {fault}") from fault
    paths = [log.folder.full_path(fragment.name) for fragment in fragments]
    checked = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    return ds.dataset(paths, schema=schema, format=checked, filesystem=log.folder.arrow)


def _check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = [statement.type.name for statement in statements]
        raise ArmillaryError(f"a log is queried with one SELECT, got {kinds or 'nothing'}: {sql!r}")


def _open_view(connection: duckdb.DuckDBPyConnection, dataset: ds.Dataset) -> None:
    connection.execute("SET python_enable_replacements = false")  # variables of ours are no tables
    connection.register("stored", dataset)
    connection.execute(f'CREATE VIEW {VIEW} AS SELECT *, {_FAILURE_TEXT} AS "{FAILURE_COLUMN}" FROM stored')
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
