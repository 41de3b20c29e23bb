"""Commands on logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armillary.cli.choices import Choosing
from armillary.cli.shared import (
    Json,
    LogPath,
    Seed,
    TemplateName,
    log_app,
    template_of,
)
from armillary.console import print_result, print_table, progress_bars


@log_app.command("query")
def log_query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views `log` and `layer_runs`.")],
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Query a log with SQL, e.g. "SELECT * FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"."""
    from armillary.log.query import query

    rows = query(log, sql).to_pylist()
    print_result(rows, as_json, lambda: print_table(rows))


@log_app.command("export")
def log_export(
    csv: Annotated[Path, typer.Option("--csv", help="The CSV file to write.")],
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the evaluations of a log as CSV."""
    from armillary.log.exchange import export_csv
    from armillary.log.store import Log

    rows = export_csv(Log(log), csv)
    print_result({"rows": rows, "file": str(csv)}, as_json, lambda: print(f"{rows:,} rows in {csv}"))


@log_app.command("import", cls=Choosing)
def log_import(
    files: Annotated[list[Path], typer.Argument(help="CSV files, or TFRecord files of PRIME's public dataset.")],
    log: LogPath,
    template: TemplateName = "edge_tpu",
    workload: Annotated[str | None, typer.Option(help="Workload of rows that do not name theirs.")] = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Append the rows of CSV or TFRecord files to a log."""
    from armillary.studies.imports import import_files

    chosen = template_of(template, [workload] if workload else ())
    with progress_bars() as on_progress:
        rows = import_files(files, log, chosen, workload, on_progress=on_progress)
    print_result({"rows": rows, "log": log}, as_json, lambda: print(f"{rows:,} rows appended to {log}"))
