"""The Arrow form of a log's tables: flat, and described by their own metadata.

A log has two tables, evaluations and layer runs. Columns: `space`; the plain columns of `Evaluations` or `LayerRuns`;
parameters and metrics under their own names; context features as `context_<name>`. The metadata entry `armillary_log`
holds a `Header` as JSON and tells which table it is and which columns are parameters, context and metrics.

A change that an older reader would misread raises `SCHEMA_VERSION`:

1. evaluations
2. evaluations with `options`, as a reader that knows none would mix rows of different options; layer runs
3. layer runs with `network`
4. compacted fragments, which name those that they replace; a reader that does not heed it would count rows twice
5. layer runs with `bits`, as a reader that knows none would mix runs of different widths
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import armillary
from armillary.log.columns import constant_text, objects, to_arrow, to_numpy
from armillary.log.layer_runs import LAYER_FIELDS, LayerRuns
from armillary.types import ArmillaryError, Evaluations

SCHEMA_VERSION = 5
COMPACTED_VERSION = 4
"""The least of fragments that replace others."""
_MOST_FAULTS = 5  # that are told of one header
METADATA_KEY = b"armillary_log"
CONTEXT_PREFIX = "context_"
SPACE_COLUMN = "space"
FAILURE_COLUMN = "failure"  # derived in queries, so no stored column may take the name

Rows = TypeVar("Rows", Evaluations, LayerRuns)


Kind = Literal["text", "number", "integer", "truth", "time"]


class ForeignFileError(ArmillaryError):
    """A file in the folder of a log is no fragment of it."""


class NewerSchemaError(ArmillaryError):
    """A fragment was written by a later Armillary, in a form that this one cannot read."""


@dataclass(frozen=True)
class Table(Generic[Rows]):
    """One of the tables of a log.

    Attributes:
        name: in headers.
        rows: what its rows are as columns.
        noun: what its rows are called in messages.
        since: text columns that fragments of earlier schema versions lack, with the version that brought them; their
            rows read as "".
        kinds: what the plain columns hold that do not hold text.
    """

    name: str
    rows: type[Rows]
    noun: str
    since: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    def plain_columns(self, version: int = SCHEMA_VERSION) -> list[str]:
        """Return the plain columns that a fragment of a schema version has."""
        return [name for name in self.rows.PLAIN_COLUMNS if self.since.get(name, 1) <= version]


_OF_BOTH: Mapping[str, Kind] = {
    "feasible": "truth", "failure_needed": "number", "failure_available": "number", "seed": "integer", "time": "time",
}  # fmt: skip
_TEXT_OF_LAYERS = ("kind",)
EVALUATIONS = Table("evaluations", Evaluations, "evaluations", {"options": 2}, {**_OF_BOTH, "seconds": "number"})
LAYER_RUNS = Table(
    "layer_runs",
    LayerRuns,
    "layer runs",
    {"network": 3, "bits": 5},
    {
        **_OF_BOTH,
        **dict.fromkeys((name for name in LAYER_FIELDS if name not in _TEXT_OF_LAYERS), "integer"),
        "position": "integer", "runs": "integer", "bias": "truth", "dynamic": "truth",
    },
)  # fmt: skip


class _Version(BaseModel):
    """The part of a header that every version has."""

    model_config = ConfigDict(strict=True)

    schema_version: Annotated[int, Field(ge=1)]


_Names = tuple[Annotated[str, Field(min_length=1)], ...]


class _Fields(_Version):
    """A header of a version that we know; version 1 named no table."""

    model_config = ConfigDict(extra="forbid")

    space: str
    parameters: Annotated[_Names, Field(strict=False)]
    context: Annotated[_Names, Field(strict=False)]
    metrics: Annotated[_Names, Field(strict=False)]
    table: str = ""
    armillary_version: str
    replaces: Annotated[_Names, Field(strict=False)] = ()


@dataclass(frozen=True)
class Header:
    """What a fragment says about itself. Names are those of its rows' columns, without the context prefix.

    `replaces` names the fragments whose rows a compacted fragment holds: they do not count beside it.
    """

    space: str
    parameters: tuple[str, ...]
    context: tuple[str, ...]
    metrics: tuple[str, ...]
    table: str = EVALUATIONS.name
    armillary_version: str = armillary.__version__
    schema_version: int = SCHEMA_VERSION
    replaces: tuple[str, ...] = ()

    @staticmethod
    def of(rows: Rows, table: Table[Rows]) -> Header:
        """Return the header of a fragment that holds these rows.

        Raises:
            ArmillaryError: if two columns of the fragment would have the same name.
        """
        context: Mapping[str, Any] = getattr(rows, "context", {})  # layer runs have none
        header: Header = Header(rows.space, tuple(rows.design), tuple(context), tuple(rows.metrics), table.name)
        taken = [SPACE_COLUMN, FAILURE_COLUMN, *header.column_names(table)]
        twice = sorted(name for name, times in Counter(taken).items() if times > 1)
        if twice:
            raise ArmillaryError(f"space {rows.space!r} cannot be logged: column names {twice} are used twice")
        return header

    @staticmethod
    def read(metadata: Mapping[bytes, bytes] | None, table: Table[Any]) -> Header:
        """Return the header in the metadata of a Parquet file.

        Raises:
            ForeignFileError: if there is none, it is garbled, or it is that of another table.
            NewerSchemaError: if its schema version is later than ours.
        """
        if not metadata or METADATA_KEY not in metadata:
            raise ForeignFileError("not written by Armillary: its metadata has no log header")
        return Header.of_json(metadata[METADATA_KEY], table)

    @staticmethod
    def of_json(text: str | bytes, table: Table[Any]) -> Header:
        """Return the header that JSON tells.

        Raises:
            ForeignFileError: if it is garbled, or that of another table.
            NewerSchemaError: if its schema version is later than ours.
        """
        try:
            fields = json.loads(text)
            version = _Version.model_validate(fields).schema_version
        except (ValueError, RecursionError):
            raise ForeignFileError("not written by Armillary: its metadata has no log header") from None
        if version > SCHEMA_VERSION:
            raise NewerSchemaError(
                f"its schema version is {version}, written by Armillary {fields.get('armillary_version', 'unknown')}; "
                f"this Armillary {armillary.__version__} reads versions up to {SCHEMA_VERSION}: upgrade it"
            )
        try:
            told = _Fields.model_validate(fields).model_dump()
        except ValidationError as fault:
            why = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors()[:_MOST_FAULTS])
            raise ForeignFileError(f"its log header is garbled: {why}") from None
        if not told["table"] and version > 1:
            raise ForeignFileError("its log header is garbled: it names no table")
        header = Header(**{**told, "table": told["table"] or EVALUATIONS.name})
        names = list(header.column_names(table)) if header.table == table.name else []
        if len(set(names)) < len(names):
            raise ForeignFileError("its log header is garbled: it names a column twice")
        if header.table != table.name:
            raise ForeignFileError(f"it holds {header.table}, which do not belong here among {table.name}")
        return header

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the header as Arrow schema metadata."""
        return {METADATA_KEY: json.dumps(asdict(self)).encode()}

    def column_names(self, table: Table[Any]) -> Iterator[str]:
        """Yield the name of every stored column except `space`, in the order of the rows' columns."""
        yield from table.plain_columns(self.schema_version)
        for group in table.rows.NAMED_COLUMNS:
            yield from (_PREFIXES[group] + name for name in self.names(group))

    def names(self, group: str) -> tuple[str, ...]:
        """Return the names of the design's, the context's or the metrics' columns, without prefix."""
        return {"design": self.parameters, "context": self.context, "metrics": self.metrics}[group]


_PREFIXES = {"design": "", "context": CONTEXT_PREFIX, "metrics": ""}


def to_table(rows: Rows, table: Table[Rows]) -> pa.Table:
    """Return the rows as an Arrow table that describes itself.

    Raises:
        ArmillaryError: if two columns share a name, or a text column holds something else than text.
    """
    header = Header.of(rows, table)
    columns = {SPACE_COLUMN: constant_text(rows.space, len(rows))}
    for stored, (name, column) in zip(header.column_names(table), rows.columns(), strict=True):
        if name.startswith(("context.", "metrics.")):
            column = np.asarray(column, dtype=np.float64)
        columns[stored] = to_arrow(stored, column)
    return pa.table(columns).replace_schema_metadata(header.to_metadata())


def from_table(stored: pa.Table, table: Table[Rows]) -> Rows:
    """Return the rows of a table made by `to_table`.

    Raises:
        ForeignFileError: if the table lacks a header or a column that its header names.
        NewerSchemaError: if its schema version is later than ours.
    """
    header = Header.read(stored.schema.metadata, table)
    present = set(stored.column_names)
    missing = [name for name in header.column_names(table) if name not in present]
    if missing:
        raise ForeignFileError(f"its columns {missing} are missing")
    columns: dict[str, Any] = {name: objects([""] * stored.num_rows) for name in table.since}
    columns |= {name: to_numpy(stored[name]) for name in table.plain_columns(header.schema_version)}
    for group in table.rows.NAMED_COLUMNS:
        columns[group] = {name: to_numpy(stored[_PREFIXES[group] + name]) for name in header.names(group)}
    return table.rows(space=header.space, **columns)
