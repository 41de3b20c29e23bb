"""A CSV file as columns of text cells that know how to be read as numbers, choices and parameters.

A column is worked on by its distinct cells, which are few beside its rows: a million rows of
parameters are parsed as fast as their value lists.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from armillary.log.columns import objects
from armillary.log.faults import FIRST_ROW, Faults
from armillary.spaces.space import Parameter
from armillary.types import ArmillaryError

_CELL = pa.large_string()  # a column may have more than the 2 GiB of text that `string` holds


_FORMULA = r"^('*[=+\-@\t\r])"  # what a spreadsheet carries out, and what was guarded before
_GUARDED = r"^'('*[=+\-@\t\r])"


def guarded(cells: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return text such that no spreadsheet takes it for a formula; `unguarded` gives it back."""
    return pc.replace_substring_regex(cells, _FORMULA, r"'\1")


def unguarded(cells: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return text as it was before it was guarded."""
    if not pc.any(pc.starts_with(cells, "'")).as_py():  # quickly found, and so it is mostly
        return cells
    return pc.replace_substring_regex(cells, _GUARDED, r"\1")


@dataclass(frozen=True)
class Column:
    """One column of text cells: the distinct cells, and for each row the index of its cell among them."""

    name: str
    cells: pa.Array
    codes: NDArray[np.int64]
    faults: Faults

    def reject(self, wrong: NDArray[np.bool_], allowed: str) -> None:
        """Report every marked row, shape [rows]."""
        for row in np.flatnonzero(wrong):
            value = self.cells[int(self.codes[row])].as_py()
            self.faults.add(f"row {row + FIRST_ROW}: {self.name}={value!r} is not allowed; {allowed}")

    def text(self) -> NDArray[np.object_]:
        """Return the cells as they stand, shape [rows]."""
        return objects(self.cells.to_pylist())[self.codes]

    def choose(self, choices: Mapping[str, Any]) -> NDArray[np.object_]:
        """Return what the cells stand for, shape [rows]; report those not among the choices, None in the result."""
        cells = [cell.strip() for cell in self.cells.to_pylist()]
        unknown = np.array([cell not in choices for cell in cells], dtype=bool)
        self.reject(unknown[self.codes], f"choose one of {list(choices)}")
        return objects([choices.get(cell) for cell in cells])[self.codes]

    def translate(self, read: Callable[[str], str | None], allowed: str) -> NDArray[np.object_]:
        """Return what the cells say, shape [rows]; report those that `read` makes nothing of, None in the result."""
        words = [read(cell.strip()) for cell in self.cells.to_pylist()]
        self.reject(np.array([word is None for word in words], dtype=bool)[self.codes], allowed)
        return objects(words)[self.codes]

    def numbers(self, kind: pa.DataType, allowed: str, optional: bool = True) -> NDArray[Any]:
        """Return the cells as numbers or times, shape [rows]; report what is neither.

        Args:
            kind: Arrow type of the result.
            allowed: what to tell the writer of a wrong cell.
            optional: whether a cell may be empty, which reads as NaN or NaT.
        """
        cells = pc.utf8_trim_whitespace(self.cells)
        parsed = _parsed(pc.if_else(pc.equal(cells, ""), None, cells), kind)
        wrong = pc.is_null(parsed)
        if optional:
            wrong = pc.and_(wrong, pc.not_equal(cells, ""))
        self.reject(_numpy(wrong)[self.codes], allowed)
        return _numpy(parsed.fill_null(0) if pa.types.is_integer(kind) else parsed)[self.codes]

    def parameter(self, parameter: Parameter) -> NDArray[Any]:
        """Return the cells as values of a parameter, shape [rows]; report those that it does not allow."""
        kind = type(parameter.values[0])
        if kind is str:
            return self.choose({str(value): value for value in parameter.values})
        if kind is bool:
            return self.choose({str(value).lower(): value for value in parameter.values}).astype(bool)
        cells = _parsed(pc.utf8_trim_whitespace(self.cells), pa.float64()).to_pylist()
        known = np.array([cell in parameter.values for cell in cells], dtype=bool)
        self.reject(~known[self.codes], f"choose one of {list(parameter.values)}")
        values = [kind(cell) if ok else kind() for cell, ok in zip(cells, known, strict=True)]
        return np.array(values, dtype=kind)[self.codes]


@dataclass(frozen=True)
class Sheet:
    """The cells of a CSV file."""

    table: pa.Table
    faults: Faults

    @property
    def rows(self) -> int:
        """Number of rows below the header."""
        return int(self.table.num_rows)

    @property
    def names(self) -> list[str]:
        """The names in the header."""
        return list(self.table.column_names)

    def column(self, name: str) -> Column | None:
        """Return a column, None if the file has no such column."""
        if name not in self.names:
            return None
        cells = self.table[name].combine_chunks().dictionary_encode()
        codes = np.asarray(cells.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
        return Column(name, cells.dictionary, codes, self.faults)


def read_header(path: Path) -> list[str]:
    """Return the column names in the first row of a CSV file.

    Raises:
        ArmillaryError: if the file cannot be read as text.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            names = [name.strip() for name in next(csv.reader(file), [])]
        return list(unguarded(pa.array(names, pa.string())).to_pylist())
    except (OSError, UnicodeError, csv.Error) as fault:
        raise ArmillaryError(f"cannot read {path} as CSV: {fault}") from fault


def read_sheet(path: Path, header: Sequence[str], faults: Faults) -> Sheet:
    """Return the cells below the header; a row with too many or too few is reported and left out.

    Raises:
        ArmillaryError: if the file is no UTF-8 text in the form of CSV.
    """

    def ragged(row: Any) -> str:
        faults.add(f"row {row.number} has {row.actual_columns} cells, expected {row.expected_columns}: {row.text!r}")
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=list(header), skip_rows=1, use_threads=False),  # for row numbers
            pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=ragged),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, _CELL), strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError) as fault:
        raise ArmillaryError(f"cannot read {path} as CSV: {fault}") from fault
    return Sheet(pa.table([unguarded(column) for column in table.columns], names=table.column_names), faults)


def read_table(path: Path) -> Sheet:
    """Return the cells of a CSV or Parquet file as text.

    Raises:
        ArmillaryError: if there is no such file, it is of another kind, or it cannot be read.
    """
    if not path.is_file():
        raise ArmillaryError(f"{path}: no such file")
    faults = Faults(str(path))
    if path.suffix == ".parquet":
        try:
            table = pq.read_table(path)
            names = table.column_names
        except (pa.ArrowException, OSError, UnicodeError) as fault:  # the last of a column's name
            raise ArmillaryError(f"{path}: cannot be read as Parquet: {fault}") from fault
        columns = {name: _as_text(table[name], name, path) for name in names}
        sheet = Sheet(pa.table(columns), faults)
    elif path.suffix == ".csv":
        header = read_header(path)
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ArmillaryError(f"{path}: line 1: column {twice[0]!r} appears {header.count(twice[0])} times")
        sheet = read_sheet(path, header, faults)
        faults.check()  # a row that is left out would shift the lines of those below it
    else:
        raise ArmillaryError(f"{path}: is neither .csv nor .parquet")
    if not sheet.rows:
        raise ArmillaryError(f"{path}: has no row below its header")
    return sheet


def _as_text(column: pa.ChunkedArray, name: str, path: Path) -> pa.ChunkedArray:
    try:
        return pc.cast(column, pa.large_string()).fill_null("")
    except pa.ArrowException as fault:
        raise ArmillaryError(f"{path}: column {name!r} holds {column.type}, not numbers or texts: {fault}") from fault


def numbers_of(cells: pa.Array, empty: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return texts as numbers, NaN for what is none."""
    plain = pc.if_else(pa.array(empty), None, cells)
    try:
        return np.asarray(plain.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=float)
    except pa.ArrowInvalid:
        return np.array([_number(cell) for cell in plain.to_pylist()], dtype=float)


def _number(cell: str | None) -> float:
    try:
        return float("nan") if cell is None else float(cell)
    except ValueError:
        return float("nan")


def _numpy(column: pa.Array) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _parsed(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return cells.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([_parsed_cell(cell, kind) for cell in cells], type=kind)


def _parsed_cell(cell: pa.Scalar, kind: pa.DataType) -> Any:
    try:
        return cell.cast(kind).as_py()
    except pa.ArrowInvalid:
        return None
