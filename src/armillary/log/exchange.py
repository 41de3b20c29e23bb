"""Evaluations in and out of other people's files: CSV both ways, the PRIME dataset in.

A CSV file has the columns of `armillary.log.schema`, by name and in any order, under one header row. Spreadsheets take
text that begins with `=`, `+`, `-` or `@` for a formula and carry it out; so it is written behind a `'`, which is taken
off again when the file is read.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from armillary.atomic_file import replaced
from armillary.log.columns import same_text
from armillary.log.faults import Faults
from armillary.log.fragments import Fragments
from armillary.log.prime_dataset import import_prime_tfrecords
from armillary.log.schema import CONTEXT_PREFIX, SPACE_COLUMN, to_table
from armillary.log.sheet import Sheet, guarded, read_header, read_sheet
from armillary.log.store import Log
from armillary.metrics import METRICS
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Evaluations, Fidelity, options_text

__all__ = ["export_csv", "import_csv", "import_prime_tfrecords"]

_FAILURE_KINDS = ("infeasible", "error", "timeout")
TRUTH = {
    "true": True,
    "True": True,
    "TRUE": True,
    "1": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "0": False,
}
_NUMBER = "write a number, or nothing if it is unknown"
_EVERY_NUMBER = "without a column 'feasible', every row states every metric as a number"


def export_csv(log: Log, path: str | os.PathLike[str], space: str | None = None, *, layer_runs: bool = False) -> int:
    """Write the evaluations of a space, or its layer runs, to a local CSV file, without loss; return their number.

    Args:
        log: the log to read.
        path: the file to create or replace.
        space: name of the space; may be left out where the log holds only one.
        layer_runs: write these instead.

    Raises:
        ArmillaryError: if the log holds nothing of the space, or several spaces and none is named; if the file cannot
            be written, and then the one before is intact.
    """
    table: Fragments[Any] = log.of_layer_runs if layer_runs else log.of_evaluations
    fragments = table.required(space or table.only_space())
    metrics = list(dict.fromkeys(name for fragment in fragments for name in fragment.header.metrics))
    context = list(dict.fromkeys(name for fragment in fragments for name in fragment.header.context))
    parts = (_widened(rows, metrics, context) for rows in table.pieces(fragments))
    stored = (to_table(rows, table.table) for rows in parts)
    first = next(stored, None)
    if first is None:
        raise ArmillaryError(table.nothing())
    batches = (batch for part in chain((first,), stored) for batch in part.select(first.column_names).to_batches())
    return write_csv(batches, first.schema, Path(path))


def _widened(rows: Any, metrics: Sequence[str], context: Sequence[str]) -> Any:
    """Return rows with these metrics and features in this order, unknown where they have none."""
    unknown = np.full(len(rows), np.nan)
    wider = {"metrics": {name: rows.metrics.get(name, unknown) for name in metrics}}
    if hasattr(rows, "context"):  # layer runs have none
        wider["context"] = {name: rows.context.get(name, unknown) for name in context}
    return replace(rows, **wider)


def write_csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    """Write batches to a CSV file, one in memory at a time; return how many rows.

    Raises:
        ArmillaryError: if it cannot be written; the file before is intact.
    """
    names = [guarded(pa.array([name]))[0].as_py() for name in schema.names]
    plain = pa.schema([(name, _written_as(field.type)) for name, field in zip(names, schema, strict=True)])
    rows = 0
    with (
        replaced(path) as unfinished,
        unfinished.open("wb") as file,
        pyarrow.csv.CSVWriter(file, plain) as writer,
    ):
        for batch in batches:
            columns = [_guarded_column(pa.chunked_array([column])) for column in batch.columns]
            writer.write_table(pa.table(columns, names=names).cast(plain))
            rows += batch.num_rows
    return rows


def _written_as(held: pa.DataType) -> pa.DataType:
    return held.value_type if pa.types.is_dictionary(held) else held


def _guarded_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        chunks = [pa.DictionaryArray.from_arrays(each.indices, guarded(each.dictionary)) for each in column.chunks]
        return pa.chunked_array(chunks, column.type).cast(pa.string())
    return guarded(column) if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else column


def import_csv(
    path: str | os.PathLike[str],
    space: Space,
    *,
    workload: str | None = None,
    evaluator: str = "csv",
    extra_metrics: Sequence[str] = (),
) -> Evaluations:
    """Return the rows of a CSV file as evaluations of a space.

    The file must have every parameter of the space and at least one metric; everything else may be
    left out. Without `feasible` and `failure_kind`, all rows are feasible and state every metric;
    without `failure_kind`, infeasible rows get kind `infeasible` and detail `unstated`. Without
    their columns, `fidelity` is `external`, `version` and `options` are empty, `seconds` and `seed` are 0,
    and `time` is that of the import (UTC).

    Args:
        path: a local file, in UTF-8.
        space: which parameters to expect, and their allowed values.
        workload: the workload of all rows, for a file without a column `workload`.
        evaluator: who evaluated, for a file without a column `evaluator`.
        extra_metrics: names of columns to take as metrics beside those of `armillary.metrics.METRICS`.

    Raises:
        ArmillaryError: if the file cannot be read; or lists every unknown or missing column (with near
            matches), or every cell whose value is not allowed, by row (the header is row 1) and column.
    """
    faults = Faults(os.fspath(path))
    metrics = [*METRICS, *(name for name in extra_metrics if name not in METRICS)]
    header = read_header(Path(path))
    _check_header(header, space, metrics, faults)
    if "workload" not in header and workload is None:
        faults.add("column 'workload' is missing and no workload was named for the file")
    faults.check()
    sheet = read_sheet(Path(path), header, faults)
    faults.check()  # a row left out would shift the numbers of those below it
    evaluations = _evaluations(sheet, space, metrics, workload or "", evaluator)
    faults.check()
    return evaluations


def _check_header(header: Sequence[str], space: Space, metrics: Sequence[str], faults: Faults) -> None:
    known = [*space.names, *metrics, SPACE_COLUMN, *Evaluations.PLAIN_COLUMNS]
    for name, times in Counter(header).items():
        if times > 1:
            faults.add(f"column {name!r} appears {times} times")
        if name not in known and not (name.startswith(CONTEXT_PREFIX) and name != CONTEXT_PREFIX):
            near = get_close_matches(name, known)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known columns are {known}"
            faults.add(f"column {name!r} is unknown; {hint}")
    for name in space.names:
        if name not in header:
            faults.add(f"column {name!r}, a parameter of {space.name}, is missing")
    if not set(header) & set(metrics):
        faults.add(f"no column is a metric; known metrics are {list(metrics)}")


def _evaluations(sheet: Sheet, space: Space, metrics: Sequence[str], workload: str, evaluator: str) -> Evaluations:
    if column := sheet.column(SPACE_COLUMN):
        column.choose({space.name: space.name})
    feasible, kind, detail = _outcome(sheet)
    design = {p.name: column.parameter(p) for p in space.parameters if (column := sheet.column(p.name))}
    found = _metrics(sheet, metrics)
    _check_possible(sheet, found, feasible)
    return Evaluations(
        space=space.name,
        design=design,
        workload=_text(sheet, "workload", workload),
        context=_context(sheet),
        evaluator=_text(sheet, "evaluator", evaluator),
        version=_text(sheet, "version", ""),
        fidelity=_fidelity(sheet),
        metrics=found,
        feasible=feasible,
        failure_kind=kind,
        failure_resource=_text(sheet, "failure_resource", ""),
        failure_layer=_text(sheet, "failure_layer", ""),
        failure_needed=_number(sheet, "failure_needed", np.nan),
        failure_available=_number(sheet, "failure_available", np.nan),
        failure_detail=detail,
        seconds=_number(sheet, "seconds", 0.0),
        seed=_seed(sheet),
        time=_time(sheet),
        options=_options(sheet),
    )


def _outcome(sheet: Sheet) -> tuple[NDArray[np.bool_], NDArray[np.object_], NDArray[np.object_]]:
    """Return which rows are feasible, and kind and detail of the failure of the others."""
    flags, kinds = sheet.column("feasible"), sheet.column("failure_kind")
    feasible = np.ones(sheet.rows, dtype=bool)
    if flags:
        feasible = flags.choose(TRUTH).astype(bool)
    elif kinds:
        feasible = kinds.text() == ""
    if kinds is None:
        unstated = np.where(feasible, "", "unstated").astype(object)
        return feasible, np.where(feasible, "", "infeasible").astype(object), unstated
    kind = kinds.text()
    kinds.reject(feasible & (kind != ""), "a feasible row has no failure")
    kinds.reject(~feasible & ~np.isin(kind, _FAILURE_KINDS), f"choose one of {list(_FAILURE_KINDS)}")
    return feasible, kind, _text(sheet, "failure_detail", "")


def _context(sheet: Sheet) -> Mapping[str, NDArray[np.float64]]:
    names = [name for name in sheet.names if name.startswith(CONTEXT_PREFIX)]
    return {name.removeprefix(CONTEXT_PREFIX): _number(sheet, name, np.nan) for name in names}


def _metrics(sheet: Sheet, metrics: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
    optional = bool({"feasible", "failure_kind"} & set(sheet.names))
    allowed = _NUMBER if optional else _EVERY_NUMBER
    return {
        name: column.numbers(pa.float64(), allowed, optional)
        for name in sheet.names
        if name in metrics and (column := sheet.column(name))
    }


def _check_possible(sheet: Sheet, metrics: Mapping[str, NDArray[np.float64]], feasible: NDArray[np.bool_]) -> None:
    """Report feasible rows whose metric cannot be: infinite, negative, not a number, or zero where nothing has none."""
    for name, values in metrics.items():
        column = sheet.column(name)
        assert column is not None
        not_a_number = np.array([cell.strip().lower() == "nan" for cell in column.cells.to_pylist()], dtype=bool)[
            column.codes
        ]
        positive = name in METRICS and METRICS[name].positive
        impossible = values <= 0 if positive else (values < 0) & (name in METRICS)
        wrong = not_a_number | np.isinf(values) | impossible
        allowed = f"a feasible row states a {'positive' if positive else 'finite'} number"
        column.reject(feasible & wrong, f"{allowed}, or nothing if it is unknown")


def _text(sheet: Sheet, name: str, default: str) -> NDArray[np.object_]:
    column = sheet.column(name)
    return column.text() if column else same_text(default, sheet.rows)


def _fidelity(sheet: Sheet) -> NDArray[np.object_]:
    column = sheet.column("fidelity")
    if column is None:
        return same_text(str(Fidelity.EXTERNAL), sheet.rows)
    return column.choose({str(fidelity): str(fidelity) for fidelity in Fidelity})


def _number(sheet: Sheet, name: str, default: float) -> NDArray[np.float64]:
    column = sheet.column(name)
    return column.numbers(pa.float64(), _NUMBER) if column else np.full(sheet.rows, default)


def _seed(sheet: Sheet) -> NDArray[np.int64]:
    column = sheet.column("seed")
    if column is None:
        return np.zeros(sheet.rows, dtype=np.int64)
    return column.numbers(pa.int64(), "write an integer", optional=False)


def _time(sheet: Sheet) -> NDArray[np.datetime64]:
    column = sheet.column("time")
    if column is None:
        return np.full(sheet.rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us"))
    return column.numbers(pa.timestamp("us"), "write it in UTC as 2026-01-31 13:05:00")


def _options(sheet: Sheet) -> NDArray[np.object_]:
    column = sheet.column("options")
    if column is None:
        return same_text("", sheet.rows)
    return column.translate(_options_as_logged, 'write the evaluator\'s options like {"name": 1}, or nothing')


def _options_as_logged(cell: str) -> str | None:
    """Return options as the log writes them, so that equal ones are equal; None if the cell holds none."""
    try:
        options = json.loads(cell or "{}")
    except ValueError:
        return None
    if not isinstance(options, dict) or not all(isinstance(value, int | float | str) for value in options.values()):
        return None
    return options_text(options)
