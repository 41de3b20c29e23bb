"""Commands on logs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from armillary.cli.choices import Choosing
from armillary.cli.shared import (
    DEFAULT_TEMPLATE,
    Bounds,
    Json,
    LogPath,
    Maximize,
    Minimize,
    ProblemPath,
    Seed,
    StudyName,
    TemplateOrProblem,
    bounds_of,
    log_app,
    networks_of,
    objectives_of,
    subject_of,
    template_of,
)
from armillary.console import print_result, print_rows, print_table, progress_bars, tell
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.studies.imports import Imported

_REASONS = 10


@log_app.command("query")
def log_query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views `log` and `layer_runs`.")],
    log: LogPath,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this CSV file instead.")] = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Query a log with SQL, e.g. "SELECT * FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"."""
    from armillary.log.query import reading

    with reading(log, sql) as answer:
        if csv is None:
            print_rows((row for batch in answer for row in batch.to_pylist()), as_json)
            return
        from armillary.log.exchange import write_csv

        rows = write_csv(answer, answer.schema, csv)
    print_result({"rows": rows, "file": str(csv)}, as_json, lambda: tell(f"{rows:,} rows in {csv}"))


@log_app.command("export", cls=Choosing)
def log_export(
    log: LogPath,
    csv: Annotated[Path | None, typer.Option("--csv", help="The CSV file to write.")] = None,
    layer_runs: Annotated[
        bool, typer.Option("--layer-runs", help="With --csv: write the layer runs instead of the evaluations.")
    ] = False,
    optuna: Annotated[
        str | None,
        typer.Option("--optuna", help="The address of an Optuna storage to add the rows to that it lacks."),
    ] = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    bound: Bounds = None,
    study_name: StudyName = None,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Write the evaluations of a log as CSV, or as trials of an Optuna storage, which optuna-dashboard shows."""
    if (csv is None) == (optuna is None):
        raise ArmillaryError("give either --csv FILE or --optuna URL")
    if optuna is not None:
        if layer_runs:
            raise ArmillaryError("--layer-runs goes with --csv; trials are whole designs")
        _export_to_optuna(optuna, log, template, problem, minimize, maximize, bound, study_name, as_json)
        return
    asked = {"--template": template, "--problem": problem, "--minimize": minimize, "--maximize": maximize,
             "--bound": bound, "--study-name": study_name}  # fmt: skip
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise ArmillaryError(f"{given[0]} goes with --optuna; a CSV file holds all rows as they are")
    from armillary.log.exchange import export_csv
    from armillary.log.store import Log

    assert csv is not None
    rows = export_csv(Log(log), csv, layer_runs=layer_runs)
    print_result({"rows": rows, "file": str(csv)}, as_json, lambda: tell(f"{rows:,} rows in {csv}"))


def _export_to_optuna(
    address: str,
    log: str,
    template: str | None,
    problem: Path | None,
    minimize: list[str] | None,
    maximize: list[str] | None,
    bound: list[str] | None,
    study_name: str | None,
    as_json: bool,
) -> None:
    from armillary.integrations.optuna.exports import export
    from armillary.integrations.optuna.storage import without_password
    from armillary.log.store import Log
    from armillary.studies.asking import asked_bounds, asked_objectives

    subject = subject_of(template, problem)
    rows = Log(log).evaluations(subject.name)
    names = list(dict.fromkeys(rows.workload.tolist()))
    chosen = subject.template(networks_of(subject, names))
    objectives = asked_objectives(chosen, objectives_of(minimize, maximize))
    asked = chosen.asked(objectives, asked_bounds(chosen, bounds_of(bound)), ())
    with progress_bars() as on_progress:
        done = export(rows, asked, address, study_name=study_name, on_progress=on_progress)
    place = without_password(address)

    def show() -> None:
        for study in done:
            tell(f"{study.new:,} trials added to study {study.study!r} of {place}, which has {study.trials:,}")

    print_result({"storage": place, "studies": [asdict(study) for study in done]}, as_json, show)


@log_app.command("import", cls=Choosing)
def log_import(
    log: LogPath,
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV or Parquet files, or TFRecord files of PRIME's public dataset.")
    ] = None,
    optuna: Annotated[
        str | None, typer.Option("--optuna", help="The address of an Optuna storage instead, with --problem.")
    ] = None,
    study_name: StudyName = None,
    template: TemplateOrProblem = None,
    problem: ProblemPath = None,
    workload: Annotated[str | None, typer.Option(help="Workload of rows that do not name theirs.")] = None,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Leave faulty rows out, instead of importing nothing.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Append the rows of files to a log, each once: of your own files with --problem, else of a template's."""
    from armillary.studies.imports import import_files, import_own_files
    from armillary.studies.own import OwnProblem

    if (not files) == (optuna is None):
        raise ArmillaryError("give either files or --optuna URL")
    if optuna is None and study_name is not None:
        raise ArmillaryError(f"--study-name {study_name!r} goes with --optuna")
    if problem is None:
        if optuna is not None:
            raise ArmillaryError(
                f"--optuna {optuna!r} goes with --problem; `armillary problem init` writes a first one"
            )
        if skip_faulty:
            raise ArmillaryError("--skip-faulty goes with --problem; a template's file is all right or refused")
        chosen = template_of(template or DEFAULT_TEMPLATE, [workload] if workload else ())
        with progress_bars() as on_progress:
            rows = import_files(files or [], log, chosen, workload, on_progress=on_progress)
        print_result({"rows": rows, "log": log}, as_json, lambda: tell(f"{rows:,} rows appended to {log}"))
        return
    if template is not None:
        raise ArmillaryError(f"--template {template!r} and --problem {str(problem)!r} exclude each other; give one")
    own = OwnProblem.read(problem)
    if optuna is not None:
        from armillary.integrations.optuna.imports import import_study, read_study

        table = read_study(optuna, study_name)
        found = import_study(table, log, own, workload=workload, skip_faulty=skip_faulty)
    else:
        with progress_bars() as on_progress:
            found = import_own_files(
                files or [], log, own, workload=workload, skip_faulty=skip_faulty, on_progress=on_progress
            )
    print_result({**asdict(found), "log": log}, as_json, lambda: _show_import(found, log))


def _show_import(found: Imported, log: str) -> None:
    tell(f"{found.rows:,} rows appended to {log}, {found.feasible:,} of them feasible")
    if found.known:
        tell(f"{found.known:,} rows were there already, or repeat an earlier row of the file: left out")
    if found.faulty:
        tell(f"{found.faulty:,} rows have faults: left out")
    for line in (*found.faults, *found.notes):
        tell(f"  {line}")
    if found.reasons:
        tell("\nwhy rows failed")
        print_table([{"reason": reason, "rows": rows} for reason, rows in list(found.reasons.items())[:_REASONS]])


@log_app.command("check")
def log_check(
    log: LogPath,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Move files that are no whole fragments into the folder `quarantine`.")
    ] = False,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Read every fragment of a log whole and list what is damaged, odd or foreign; status 1 if anything is."""
    from armillary.log.checking import check
    from armillary.log.store import Log

    found = check(Log(log), quarantine=quarantine)

    def show() -> None:
        for table in found:
            tell(f"{table.table}: {table.rows:,} rows in {table.fragments:,} fragments")
        odd = [{"file": file.path, "reason": file.reason} for table in found for file in table.skipped]
        if odd:
            tell(f"\n{len(odd):,} files are no fragments{' and lie in `quarantine` now' if quarantine else ''}")
            print_table(odd)

    print_result({"log": log, "tables": [asdict(table) for table in found]}, as_json, show)
    if any(table.skipped for table in found) and not quarantine:
        raise typer.Exit(1)


@log_app.command("compact")
def log_compact(
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Join the many small fragments of a log into few large ones; nothing is lost, however it ends."""
    from armillary.log.compaction import compact
    from armillary.log.store import Log

    found = compact(Log(log))

    def show() -> None:
        for table in found:
            tell(f"{table.table}: {table.before:,} fragments are {table.after:,} now, with {table.rows:,} rows")

    print_result({"log": log, "tables": [asdict(table) for table in found]}, as_json, show)


@log_app.command("remove")
def log_remove(
    log: LogPath,
    where: Annotated[str, typer.Option(help="An SQL condition on the view `log`, e.g. \"workload = 'asr'\".")],
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Take wrong rows out of a log; `armillary log restore` brings them back."""
    from armillary.log.removal import remove
    from armillary.log.store import Log

    found = remove(Log(log), where)
    print_result(
        {**asdict(found), "log": log},
        as_json,
        lambda: tell(f"{found.removed:,} rows removed, {found.left:,} left; `armillary log restore` brings them back"),
    )


@log_app.command("restore")
def log_restore(
    log: LogPath,
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """Bring back the rows that were removed from a log."""
    from armillary.log.removal import restore
    from armillary.log.store import Log

    rows = restore(Log(log))
    print_result({"rows": rows, "log": log}, as_json, lambda: tell(f"{rows:,} rows are back in {log}"))


@log_app.command("shipped")
def log_shipped(
    as_json: Json = False,
    seed: Seed = 0,  # noqa: ARG001
) -> None:
    """List the logs that come with Armillary, of our own layouts; `--log shipped://NAME` reads one."""
    from armillary.log import shipped

    rows = [shipped.read(name).as_dict() for name in shipped.names()]

    def show() -> None:
        brief = ("log", "space", "rows", "feasible", "cpu_s", "workload")
        print_table([{name: row[name] for name in brief} for row in rows])
        for row in rows:
            made = f"{row['part']} of" if row["part"] else "made by"
            tell(f"\n{row['log']}, {made}\n  {row['command']}")

    print_result(rows, as_json, show)
