"""What a fragment must be, beside being a Parquet file with a header: columns of the right types, possible values.

A fragment that is not is left out whole and named, because nobody can tell which of its rows are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from armillary.log.layer_runs import LayerRuns
from armillary.log.schema import CONTEXT_PREFIX, SPACE_COLUMN, ForeignFileError, Header, Kind, Table
from armillary.metrics import OURS
from armillary.types import Evaluations

_TEXT = pa.dictionary(pa.int32(), pa.string())
_WORDS: dict[Kind, str] = {
    "text": "text", "number": "numbers", "integer": "whole numbers", "truth": "true and false", "time": "times",
}  # fmt: skip
_MOST_TOLD = 5
MOST_ROWS_IN_GROUP = 1 << 20  # ours have an eighth of it
Checked = TypeVar("Checked", Evaluations, LayerRuns)


def check_types(schema: pa.Schema, header: Header, table: Table[Any]) -> pa.Schema:
    """Return the columns that a fragment's header names, and their types.

    Raises:
        ForeignFileError: if one is missing, or holds something else than such a column does.
    """
    wrong = [told for name, kinds in _expected(header, table) if (told := _fault_of(schema, name, kinds))]
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise ForeignFileError("; ".join(wrong[:_MOST_TOLD]) + more)
    return pa.schema([schema.field(name) for name, _ in _expected(header, table)], schema.metadata)


def kind_of(column: pa.DataType) -> Kind | None:
    """Return what a column holds, None if no column of a log does."""
    if column == _TEXT:
        return "text"
    if pa.types.is_floating(column):
        return "number"
    if pa.types.is_boolean(column):
        return "truth"
    if pa.types.is_timestamp(column) and column.tz is None:
        return "time"
    return "integer" if pa.types.is_signed_integer(column) else None


def conflict(one: Header, first: pa.Schema, other: pa.Schema) -> str:
    """Return which parameter holds something else in another fragment of a space, empty if none does."""
    for name in one.parameters:
        if name in first.names and name in other.names:
            kinds = [kind_of(schema.field(name).type) for schema in (first, other)]
            ours, theirs = ("number" if kind == "integer" else kind for kind in kinds)
            if ours != theirs and ours is not None and theirs is not None:
                return f"its parameter {name!r} holds {_WORDS[theirs]}, where earlier fragments hold {_WORDS[ours]}"
    return ""


def check_values(file: pq.ParquetFile, header: Header, table: Table[Any]) -> None:
    """Refuse a fragment with values that cannot be; its statistics mostly tell without reading it.

    Raises:
        ForeignFileError: if a value is missing where none may be, or a feasible row has an impossible metric.
    """
    columns = {file.schema_arrow.names[i]: i for i in range(len(file.schema_arrow.names))}
    whole = [name for name, kinds in _expected(header, table) if kinds not in (("number",), ("time",))]
    for group in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(group)
        if about.num_rows > MOST_ROWS_IN_GROUP:
            raise ForeignFileError(
                f"its row group {group} has {about.num_rows:,} rows, which are read at once; "
                f"{MOST_ROWS_IN_GROUP:,} are allowed"
            )
        _check_metadata(file, group)
        for name in whole:
            told = about.column(columns[name]).statistics
            if told is None or not told.has_null_count:
                raise ForeignFileError(f"its column {name!r} has no statistics")
            if told.null_count:
                raise ForeignFileError(f"its column {name!r} lacks {told.null_count:,} values")
        told = about.column(columns[SPACE_COLUMN]).statistics
        if about.num_rows and (not told.has_min_max or {told.min, told.max} != {header.space}):
            raise ForeignFileError(f"its rows are of another space than its header's, {header.space!r}")
        for name in header.metrics:
            told = about.column(columns[name]).statistics
            if told is not None and told.has_min_max and _is_possible(name, float(told.min), float(told.max)):
                continue
            if told is None or told.has_min_max:
                _check_metric(file, group, name)


def _check_metadata(file: pq.ParquetFile, group: int) -> None:
    """Refuse a row group whose columns' metadata are damaged: asked for statistics, pyarrow would end the process.

    Raises:
        ForeignFileError: if a column's type is not that of the file.
        ArrowException, OSError: if the group cannot be read.
    """
    next(file.iter_batches(1, row_groups=[group], use_threads=False), None)
    about = file.metadata.row_group(group)
    for place in range(file.metadata.num_columns):
        column = file.schema.column(place)
        if about.column(place).physical_type != column.physical_type:
            raise ForeignFileError(f"its column {column.name!r} is of another type in row group {group}")


def only_values(file: pq.ParquetFile, names: Sequence[str]) -> dict[str, str]:
    """Return the value of those of the text columns that hold the same in every row, as statistics tell."""
    columns = {name: place for place, name in enumerate(file.schema_arrow.names)}
    found: dict[str, set[str]] = {name: set() for name in names if name in columns}
    for group in range(file.metadata.num_row_groups):
        for name, values in found.items():
            told = file.metadata.row_group(group).column(columns[name]).statistics
            values |= {told.min, told.max} if told.has_min_max else {"", "?"}  # two: nothing is known
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def impossible(name: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values no metric of a feasible row can have: infinite ones, and of our own metrics negative ones."""
    wrong = np.isinf(values)
    return np.asarray(wrong | (values < 0) if name in OURS else wrong)


def with_possible_metrics(rows: Checked) -> Checked:
    """Return rows in which those that state an impossible metric count as failed evaluations, and say so."""
    feasible, kind, detail = rows.feasible, rows.failure_kind, rows.failure_detail
    for name, column in rows.metrics.items():
        wrong = feasible & impossible(name, np.asarray(column, dtype=np.float64))
        if wrong.any():
            feasible, kind, detail = feasible & ~wrong, kind.copy(), detail.copy()
            kind[wrong] = "error"
            detail[wrong] = [f"metric {name}={value!r} cannot be" for value in column[wrong].tolist()]
    return (
        rows
        if feasible is rows.feasible
        else replace(rows, feasible=feasible, failure_kind=kind, failure_detail=detail)
    )


def _expected(header: Header, table: Table[Any]) -> Iterator[tuple[str, tuple[Kind, ...]]]:
    """Yield every column that a header names, and what it may hold."""
    yield SPACE_COLUMN, ("text",)
    for name in table.plain_columns(header.schema_version):
        yield name, (table.kinds.get(name, "text"),)
    for name in header.parameters:
        yield name, ("text", "number", "integer", "truth")
    for name in header.context:
        yield CONTEXT_PREFIX + name, ("number",)
    for name in header.metrics:
        yield name, ("number",)


def _fault_of(schema: pa.Schema, name: str, kinds: tuple[Kind, ...]) -> str:
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        return f"its column {name!r} {'stands twice' if places else 'is missing'}"
    held = schema.field(places[0]).type
    if kind_of(held) in kinds:
        return ""
    return f"its column {name!r} is {held}, and should hold {' or '.join(_WORDS[kind] for kind in kinds)}"


def _is_possible(name: str, least: float, most: float) -> bool:
    return not impossible(name, np.array([least, most])).any()


def _check_metric(file: pq.ParquetFile, group: int, name: str) -> None:
    held = file.read_row_group(group, columns=[name, "feasible"])
    values = np.asarray(held[name].to_numpy(), dtype=np.float64)
    wrong = np.flatnonzero(impossible(name, values) & held["feasible"].to_numpy().astype(bool))
    if wrong.size:
        value = float(values[wrong[0]])
        raise ForeignFileError(f"{wrong.size:,} of its feasible rows have impossible metrics, e.g. {name}={value!r}")
