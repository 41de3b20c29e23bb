"""The fragments of one table of a log: a folder of Parquet files that many processes may write at once.

Every append is one file, a fragment, which appears under its name only when it is whole. So writers need no locks, and
a writer killed at any moment leaves every earlier fragment intact.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic

import pyarrow as pa
import pyarrow.parquet as pq

from armillary.log.folder import Folder
from armillary.log.schema import ForeignFileError, Header, NewerSchemaError, Rows, Table, from_table, to_table
from armillary.types import ArmillaryError

SUFFIX = ".parquet"
ROWS_PER_GROUP = 131_072  # small enough that the two cores of a laptop share the scan of a million rows

# What Arrow raises on damaged files; a name in a damaged footer may not even be text.
_UNREADABLE = (ForeignFileError, pa.ArrowException, OSError, UnicodeError)
_logger = logging.getLogger("armillary.log")


@dataclass(frozen=True)
class Fragment:
    """A readable file of a log: its name in the folder, what it holds, and how many rows."""

    name: str
    header: Header
    schema: pa.Schema
    rows: int


@dataclass(frozen=True)
class Skipped:
    """A file in the folder of a log that was left out, and why."""

    path: str
    reason: str


class Fragments(Generic[Rows]):
    """One table of a log.

    `skipped` lists the truncated and foreign files that the last read found and left out; each is also reported once
    as a warning of the logger `armillary.log`.

    Args:
        log: path of the log, for messages.
        folder: where the fragments lie.
        table: which of the log's tables they are.
        beside: names of the log's own in the folder that are no fragments.
    """

    def __init__(self, log: str, folder: Folder, table: Table[Rows], beside: tuple[str, ...] = ()) -> None:
        self.log = log
        self.folder = folder
        self.table: Table[Rows] = table
        self.skipped: list[Skipped] = []
        self._beside = beside
        self._reported: set[Skipped] = set()

    def append(self, rows: Rows) -> str:
        """Add the rows as one new fragment and return its file name.

        Raises:
            LogWriteError: if the file system refuses, e.g. because the disk is full.
            ArmillaryError: if two columns share a name or a text column holds something else than text.
        """
        stored = to_table(rows, self.table)
        name = _fragment_name()
        self.folder.write(name, lambda file: write_parquet(stored, file))
        return name

    def all(self) -> list[Fragment]:
        """Return the readable fragments, oldest first, and set `skipped`.

        Raises:
            ArmillaryError: if the folder cannot be listed.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        self.skipped = []
        return list(self._scan())

    def required(self, space: str | None = None) -> list[Fragment]:
        """Return the readable fragments (of one space).

        Raises:
            ArmillaryError: if there are none.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        fragments = self.all()
        if not fragments:
            raise ArmillaryError(self.nothing())
        if space is None:
            return fragments
        ours = [fragment for fragment in fragments if fragment.header.space == space]
        if not ours:
            held = sorted({fragment.header.space for fragment in fragments})
            raise ArmillaryError(other_space(f"log {self.log}", held, space, self.table.noun))
        return ours

    def only_space(self) -> str:
        """Return the one space that there are rows of.

        Raises:
            ArmillaryError: if there are none, or of several spaces.
        """
        spaces = sorted({fragment.header.space for fragment in self.required()})
        if len(spaces) > 1:
            raise ArmillaryError(f"log {self.log} holds {self.table.noun} of several spaces; name one of {spaces}")
        return spaces[0]

    def read(self, space: str) -> Rows:
        """Return all rows of a space, in the order in which they were appended.

        Raises:
            ArmillaryError: if there are none, or fragments of the space disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.rows_of(self.required(space))

    def rows_of(self, fragments: Sequence[Fragment]) -> Rows:
        """Return the rows of fragments of one space; damaged ones are skipped.

        Raises:
            ArmillaryError: if none can be read, or they disagree about the parameters of the space.
        """
        parts = [part for fragment in fragments if (part := self._read(fragment)) is not None]
        if not parts:
            raise ArmillaryError(self.nothing())
        try:
            return parts[0] if len(parts) == 1 else self.table.rows.concat(parts)
        except ValueError as fault:
            raise ArmillaryError(f"log {self.log} mixes two versions of a space: {fault}") from fault

    def nothing(self) -> str:
        """Return the message for a log that holds no rows of this table."""
        skipped = "".join(f"; skipped {file.path}: {file.reason}" for file in self.skipped)
        return f"log {self.log} holds no {self.table.noun}{skipped}"

    def _scan(self) -> Iterator[Fragment]:
        for name in self.folder.names():
            if name in self._beside:
                continue
            try:
                yield self._open(name)
            except NewerSchemaError as fault:
                raise NewerSchemaError(f"log {self.log} cannot be read: fragment {name}: {fault}") from None
            except _UNREADABLE as fault:
                self._skip(name, str(fault))

    def _open(self, name: str) -> Fragment:
        if not name.endswith(SUFFIX):
            raise ForeignFileError(f"not a fragment: its name does not end in {SUFFIX}")
        with pq.ParquetFile(self.folder.full_path(name), filesystem=self._arrow) as file:
            header = Header.read(file.metadata.metadata, self.table)
            return Fragment(name, header, file.schema_arrow, file.metadata.num_rows)

    def _read(self, fragment: Fragment) -> Rows | None:
        path = self.folder.full_path(fragment.name)
        try:
            with pq.ParquetFile(path, filesystem=self._arrow, page_checksum_verification=True) as file:
                rows: Rows = from_table(file.read(), self.table)
                return rows
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))
            return None

    @cached_property
    def _arrow(self) -> Any:
        return self.folder.arrow

    def _skip(self, name: str, reason: str) -> None:
        skipped = Skipped(self.folder.full_path(name), reason.strip())
        self.skipped.append(skipped)
        if skipped not in self._reported:
            self._reported.add(skipped)
            _logger.warning("skipped %s: %s", skipped.path, skipped.reason)


def other_space(log: str, held: list[str], wanted: str, noun: str) -> str:
    """Return the message for a log that lacks the wanted space."""
    plural = "s" if len(held) > 1 else ""
    return f"{log} holds {noun} of space{plural} {', '.join(map(repr, held))}, not of {wanted!r}"


def _fragment_name() -> str:
    # Sorting by name sorts by time; process and random part keep writers apart.
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{now}-{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"


def write_parquet(table: pa.Table, file: Any) -> None:
    """Write a table as fragments are written, its metadata with it."""
    # Metrics are nearly all different, so that a dictionary for them would only cost time.
    repeating = [field.name for field in table.schema if not pa.types.is_float64(field.type)]
    repeating += [name for name in table.column_names if name.startswith("context_")]
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, use_dictionary=repeating, write_page_checksum=True)
