"""The Arrow form of evaluations: one flat table, described by its own metadata.

Columns: `space`; the plain columns of `Evaluations`; parameters and metrics under their own names;
context features as `context_<name>`. Text is dictionary-encoded, NaN is null, so that SQL averages
skip what no evaluator knew. The metadata entry `armillary_log` holds a `Header` as JSON and tells
which columns are parameters, context and metrics.

A change that an older reader would misread raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import armillary
from armillary.types import ArmillaryError, Evaluations

SCHEMA_VERSION = 1
METADATA_KEY = b"armillary_log"
CONTEXT_PREFIX = "context_"
SPACE_COLUMN = "space"
FAILURE_COLUMN = "failure"  # derived in queries, so no stored column may take the name


class ForeignFileError(ArmillaryError):
    """A file in the folder of a log is no fragment of it."""


class NewerSchemaError(ArmillaryError):
    """A fragment was written by a later Armillary, in a form that this one cannot read."""


@dataclass(frozen=True)
class Header:
    """What a fragment says about itself. Names are those of `Evaluations`, without the context prefix."""

    space: str
    parameters: tuple[str, ...]
    context: tuple[str, ...]
    metrics: tuple[str, ...]
    armillary_version: str = armillary.__version__
    schema_version: int = SCHEMA_VERSION

    @staticmethod
    def of(evaluations: Evaluations) -> Header:
        """Return the header of a fragment that holds these evaluations.

        Raises:
            ArmillaryError: if two columns of the fragment would have the same name.
        """
        header = Header(
            evaluations.space, tuple(evaluations.design), tuple(evaluations.context), tuple(evaluations.metrics)
        )
        taken = [SPACE_COLUMN, FAILURE_COLUMN, *header.column_names()]
        twice = sorted(name for name, times in Counter(taken).items() if times > 1)
        if twice:
            raise ArmillaryError(f"space {evaluations.space!r} cannot be logged: column names {twice} are used twice")
        return header

    @staticmethod
    def read(metadata: Mapping[bytes, bytes] | None) -> Header:
        """Return the header in the metadata of a Parquet file.

        Raises:
            ForeignFileError: if there is none, or it is garbled.
            NewerSchemaError: if its schema version is later than ours.
        """
        try:
            fields = json.loads((metadata or {})[METADATA_KEY])
            version = int(fields["schema_version"])
        except (KeyError, ValueError, TypeError):
            raise ForeignFileError("not written by Armillary: its metadata has no log header") from None
        if version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"its schema version is {version}, written by Armillary {fields.get('armillary_version', 'unknown')}; "
                f"this Armillary {armillary.__version__} reads versions up to {SCHEMA_VERSION}: upgrade it"
            )
        try:
            return _header(fields)
        except (KeyError, TypeError):
            raise ForeignFileError(f"its log header is garbled: {fields}") from None

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the header as Arrow schema metadata."""
        return {METADATA_KEY: json.dumps(asdict(self)).encode()}

    def column_names(self) -> Iterator[str]:
        """Yield the name of every stored column except `space`, in the order of `Evaluations.columns`."""
        yield from Evaluations.PLAIN_COLUMNS
        yield from self.parameters
        yield from (CONTEXT_PREFIX + name for name in self.context)
        yield from self.metrics


def to_table(evaluations: Evaluations) -> pa.Table:
    """Return the evaluations as an Arrow table that describes itself.

    Raises:
        ArmillaryError: if two columns share a name, or a text column holds something else than text.
    """
    header = Header.of(evaluations)
    columns = {SPACE_COLUMN: _constant_text(evaluations.space, len(evaluations))}
    for stored, (name, column) in zip(header.column_names(), evaluations.columns(), strict=True):
        if name.startswith(("context.", "metrics.")):
            column = np.asarray(column, dtype=np.float64)
        columns[stored] = _to_arrow(stored, column)
    return pa.table(columns).replace_schema_metadata(header.to_metadata())


def from_table(table: pa.Table) -> Evaluations:
    """Return the evaluations of a table made by `to_table`.

    Raises:
        ForeignFileError: if the table lacks a header or a column that its header names.
        NewerSchemaError: if its schema version is later than ours.
    """
    header = Header.read(table.schema.metadata)
    present = set(table.column_names)
    missing = [name for name in header.column_names() if name not in present]
    if missing:
        raise ForeignFileError(f"its columns {missing} are missing")
    return Evaluations(
        space=header.space,
        design={name: _to_numpy(table[name]) for name in header.parameters},
        context={name: _to_numpy(table[CONTEXT_PREFIX + name]) for name in header.context},
        metrics={name: _to_numpy(table[name]) for name in header.metrics},
        **{name: _to_numpy(table[name]) for name in Evaluations.PLAIN_COLUMNS},
    )


def _header(fields: Mapping[str, Any]) -> Header:
    return Header(
        space=str(fields["space"]),
        parameters=tuple(fields["parameters"]),
        context=tuple(fields["context"]),
        metrics=tuple(fields["metrics"]),
        armillary_version=str(fields["armillary_version"]),
    )


def _constant_text(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([text]))


def _to_arrow(name: str, column: NDArray[Any]) -> pa.Array | pa.ChunkedArray:
    if column.dtype.kind not in "OU":
        return pa.array(column, from_pandas=True)  # NaN and NaT become null
    try:
        text = pa.array(column, type=pa.string())
    except (pa.ArrowException, UnicodeError, TypeError) as fault:
        raise ArmillaryError(f"column {name} cannot be logged: it must hold text; {fault}") from fault
    if text.null_count:
        raise ArmillaryError(f'column {name} cannot be logged: a value is None; write "" for no text')
    return text.dictionary_encode()


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        parts = [_decode(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, dtype=object)
    return np.asarray(column.to_numpy())


def _decode(chunk: pa.DictionaryArray) -> NDArray[np.object_]:
    words = np.empty(len(chunk.dictionary), dtype=object)
    words[:] = chunk.dictionary.to_pylist()
    decoded: NDArray[np.object_] = words[chunk.indices.to_numpy(zero_copy_only=False)]
    return decoded
