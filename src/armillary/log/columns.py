"""Columns between NumPy and Arrow, and rows that are equal in several of them.

Text is dictionary-encoded; NaN and NaT are null, so that SQL averages skip what no evaluator knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from armillary.types import ArmillaryError

_MOST_CODES = 2**62  # of one int64 that stands for a whole row


def objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """Return the values as a column of Python objects, shape [values]."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def same_text(text: str, rows: int) -> NDArray[np.object_]:
    """Return a column of Python objects that holds the same text in every row, shape [rows]."""
    return np.full(rows, text, dtype=object)


def constant_text(text: str, rows: int) -> pa.DictionaryArray:
    """Return a column that holds the same text in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([text]))


def to_arrow(name: str, column: NDArray[Any]) -> pa.Array | pa.ChunkedArray:
    """Return a column as Arrow holds it.

    Raises:
        ArmillaryError: if a text column holds something else than text; says which column by its name.
    """
    if column.dtype.kind not in "OU":
        return pa.array(column, from_pandas=True)
    try:
        text = pa.array(column, type=pa.string())
    except (pa.ArrowException, UnicodeError, TypeError) as fault:
        raise ArmillaryError(f"column {name} cannot be logged: it must hold text; {fault}") from fault
    if text.null_count:
        raise ArmillaryError(f'column {name} cannot be logged: a value is None; write "" for no text')
    return text.dictionary_encode()


def to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return the column that `to_arrow` was given."""
    if pa.types.is_dictionary(column.type):
        parts = [_decode(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, dtype=object)
    return np.asarray(column.to_numpy())


def _decode(chunk: pa.DictionaryArray) -> NDArray[np.object_]:
    decoded: NDArray[np.object_] = objects(chunk.dictionary.to_pylist())[chunk.indices.to_numpy(zero_copy_only=False)]
    return decoded


def numbered(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Return a number per row, shape [rows], equal where the rows are equal in every column; from 0, none left out.

    Args:
        columns: at least one, each of shape [rows].
    """
    rows = np.zeros(len(columns[0]), dtype=np.int64)
    several = 1  # more than any of the numbers so far
    for column in columns:
        codes, kinds = _coded(column)
        if several * kinds > _MOST_CODES:
            rows, several = _coded(rows)
        rows, several = rows * kinds + codes, several * kinds
    return _coded(rows)[0]


def _coded(column: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Return the number of each value among the different ones, and how many there are; 1 for an empty column."""
    values = pa.array(column, type=pa.large_string()) if column.dtype.kind in "OU" else pa.array(column)
    encoded = values.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), max(1, len(encoded.dictionary))
