"""The fragments of one table of a log: a folder of Parquet files that many processes may write at once.

Every append is one file, a fragment, which appears under its name only when it is whole. So writers need no locks, and
a writer killed at any moment leaves every earlier fragment intact.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from armillary.log.columns import to_numpy
from armillary.log.folder import Folder, Stamp
from armillary.log.index import INDEX_NAME, LOOKED_UP, Fragment, Index, Known
from armillary.log.schema import ForeignFileError, Header, NewerSchemaError, Rows, Table, from_table, to_table
from armillary.log.validation import check_types, check_values, conflict, impossible, only_values, with_possible_metrics
from armillary.types import ArmillaryError

SUFFIX = ".parquet"
Result = TypeVar("Result")
_ATTEMPTS = 5
QUARANTINE_FOLDER = "quarantine"
"""Where `armillary log check --quarantine` puts files that are no fragments."""
ROWS_PER_GROUP = 131_072  # small enough that the two cores of a laptop share the scan of a million rows
ROWS_AT_ONCE = 8 * ROWS_PER_GROUP  # that are read together; longer fragments are read group by group

# What Arrow raises on damaged files, and what comes of their content; a name in a damaged footer may not even be text.
_UNREADABLE = (ForeignFileError, pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError)
_logger = logging.getLogger("armillary.log")


@dataclass(frozen=True)
class Skipped:
    """A file in the folder of a log that was left out, and why."""

    path: str
    reason: str

    @property
    def name(self) -> str:
        """Its name in the folder."""
        return self.path.rsplit("/", 1)[-1]


class GoneError(ArmillaryError):
    """A fragment was removed after it was listed: read again."""


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
        self._beside = {*beside, INDEX_NAME, QUARANTINE_FOLDER}
        self._index = Index(folder, table)
        self._replaced: set[str] = set()
        self._reported: set[Skipped] = set()

    def append(self, rows: Rows, name: str | None = None) -> str:
        """Add the rows as one new fragment and return its file name.

        Args:
            rows: of one space.
            name: of the fragment, from `fragment_name`; one of now, if not given. Whoever may append the same rows
                twice does so under one name: they count once.

        Raises:
            FileExistsError: if there is a fragment of the name already; it is as before.
            LogWriteError: if the file system refuses, e.g. because the disk is full.
            ArmillaryError: if two columns share a name or a text column holds something else than text.
        """
        stored = to_table(with_possible_metrics(rows), self.table)
        chosen = name or fragment_name()
        self.folder.write(chosen, lambda file: write_parquet(stored, file), new=name is not None)
        return chosen

    def all(self) -> list[Fragment]:
        """Return the readable fragments, oldest first, and set `skipped`.

        Raises:
            ArmillaryError: if the folder cannot be listed.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.again(self._all)

    def _all(self) -> list[Fragment]:
        self.skipped = []
        there = {name: stamp for name, stamp in self.folder.listing().items() if name not in self._beside}
        found = self._honest(list(self._scan(there)))
        self._index.keep(there)
        self._replaced = {name for fragment in found for name in fragment.header.replaces} & set(there)
        return self._agreeing([fragment for fragment in found if fragment.name not in self._replaced])

    def _honest(self, fragments: Sequence[Fragment]) -> list[Fragment]:
        """Return the fragments but for those that would replace what they cannot hold; skip these."""
        by_name = {fragment.name: fragment for fragment in fragments}
        honest = []
        for fragment in fragments:
            replaced = [by_name[name] for name in fragment.header.replaces if name in by_name]
            if any(other.header.space != fragment.header.space for other in replaced) or (
                sum(other.rows for other in replaced) > fragment.rows
            ):
                self._skip(fragment.name, "it replaces fragments with more rows than it has, or of another space")
            else:
                honest.append(fragment)
        return honest

    def replaced(self) -> list[str]:
        """Return the names of fragments that a compaction has replaced and not removed.

        Raises:
            ArmillaryError: if the folder cannot be listed.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        self.all()
        return sorted(self._replaced)

    def named(self, name: str) -> Rows | None:
        """Return the rows of one fragment; None if there is none of the name, or it is damaged."""
        fragment = self._opened(name) if self.folder.has(name) else ""
        return None if isinstance(fragment, str) else self.rows_of([fragment])

    def examined(self) -> tuple[list[Fragment], list[Skipped]]:
        """Return the readable fragments and what was skipped, each file read whole, whatever is known of it.

        Raises:
            ArmillaryError: if the folder cannot be listed.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        self._index = Index(self.folder, self.table, forgetful=True)
        found = [fragment for fragment in self.all() if self._whole(fragment)]
        return found, list(self.skipped)

    def _whole(self, fragment: Fragment) -> bool:
        """Return whether all of a fragment can be read; else it is skipped."""
        before = len(self.skipped)
        for _ in self.pieces([fragment]):
            pass
        return len(self.skipped) == before

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
        rows = self.again(lambda: self.rows_of(self.required(space)))
        if rows is None:
            raise ArmillaryError(self.nothing())
        return rows

    def matching(self, space: str, where: Mapping[str, str]) -> Rows | None:
        """Return the rows of a space that hold these texts, in the order in which they were appended; None if none do.

        Args:
            space: of the rows.
            where: text by column, of `LOOKED_UP`; fragments that hold none of it are not opened.

        Raises:
            ArmillaryError: if there are none of the space, or its fragments disagree about its parameters.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        return self.again(lambda: self.rows_of(self.that_may_hold(space, where), where))

    def that_may_hold(self, space: str, where: Mapping[str, str]) -> list[Fragment]:
        """Return the fragments of a space but for those that are known to hold none of these texts.

        Raises:
            ArmillaryError: if there are no fragments of the space.
            NewerSchemaError: if a fragment was written by a later Armillary.
        """
        fragments = self.required(space)
        return [f for f in fragments if all(f.only.get(name, text) == text for name, text in where.items())]

    def rows_of(self, fragments: Sequence[Fragment], where: Mapping[str, str] | None = None) -> Rows | None:
        """Return the rows of fragments of one space, those that hold these texts; damaged fragments are skipped.

        Returns:
            The rows; None if there are none.

        Raises:
            ArmillaryError: if they disagree about the parameters of the space.
            GoneError: if a fragment was removed since it was listed, as by a compaction.
        """
        return self.joined(list(self.pieces(fragments, where)))

    def joined(self, parts: Sequence[Rows]) -> Rows | None:
        """Return the rows of several parts; None if there is none.

        Raises:
            ArmillaryError: if they disagree about the parameters of the space.
        """
        if not parts:
            return None
        try:
            return parts[0] if len(parts) == 1 else self.table.rows.concat(parts)
        except ValueError as fault:
            raise ArmillaryError(f"log {self.log} mixes two versions of a space: {fault}") from fault

    def pieces(self, fragments: Sequence[Fragment], where: Mapping[str, str] | None = None) -> Iterator[Rows]:
        """Yield the rows of fragments that hold these texts, a row group at a time, so that few lie in memory.

        Damaged fragments are skipped, each as a whole.

        Raises:
            GoneError: if a fragment was removed since it was listed, as by a compaction.
        """
        for fragment in fragments:
            if fragment.rows <= ROWS_AT_ONCE:
                yield from self._of_small(fragment, where or {})
            else:
                for number in range(self._sound_groups(fragment)):
                    if (rows := self.group(fragment, number, where)) is not None:
                        yield rows

    def _of_small(self, fragment: Fragment, where: Mapping[str, str]) -> list[Rows]:
        stored = self.stored(fragment)
        if stored is None:
            return []
        try:
            starts = range(0, max(1, stored.num_rows), ROWS_PER_GROUP)
            parts = [self._rows(fragment, stored.slice(start, ROWS_PER_GROUP), where) for start in starts]
            return [part for part in parts if part is not None]
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))
            return []

    def _sound_groups(self, fragment: Fragment) -> int:
        """Return how many row groups a fragment has; 0, and it is skipped, if not all of it can be read."""
        try:
            with self._file(fragment) as file:
                for _ in file.iter_batches(ROWS_PER_GROUP):
                    pass
                return int(file.num_row_groups)
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))
            return 0

    def group(self, fragment: Fragment, number: int, where: Mapping[str, str] | None = None) -> Rows | None:
        """Return the rows of one of the row groups of a fragment that hold these texts.

        Returns:
            The rows; None if none do, or the fragment is damaged there and skipped.

        Raises:
            GoneError: if the fragment was removed since it was listed.
        """
        try:
            with self._file(fragment) as file:
                stored = file.read_row_group(number)
            return self._rows(fragment, stored, where or {})
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))
            return None

    def _rows(self, fragment: Fragment, stored: pa.Table, where: Mapping[str, str]) -> Rows | None:
        """Return stored rows that hold these texts, None if none do."""
        chosen = self._holding(fragment, stored, where)
        if where and not chosen.num_rows:
            return None
        rows: Rows = from_table(chosen, self.table)
        self._check(rows)
        return rows

    def designs(self, fragment: Fragment, where: Mapping[str, str]) -> Iterator[tuple[int, Mapping[str, NDArray[Any]]]]:
        """Yield the number of each row group with the designs of its rows that hold these texts, in columns.

        Raises:
            GoneError: if the fragment was removed since it was listed.
        """
        wanted = [*fragment.header.parameters, *(name for name in where if fragment.only.get(name) != where[name])]
        columns = [name for name in dict.fromkeys(wanted) if name in fragment.schema.names]
        try:
            with self._file(fragment) as file:
                for number in range(file.num_row_groups):
                    stored = self._holding(fragment, file.read_row_group(number, columns=columns), where)
                    if stored.num_rows:
                        yield number, {name: to_numpy(stored[name]) for name in fragment.header.parameters}
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))

    @contextmanager
    def _file(self, fragment: Fragment) -> Iterator[pq.ParquetFile]:
        """Provide a fragment's file, whose checksums are verified as it is read."""
        path = self.folder.full_path(fragment.name)
        try:
            file = pq.ParquetFile(path, filesystem=self._arrow, page_checksum_verification=True)
        except FileNotFoundError as fault:
            raise GoneError(f"log {self.log}: fragment {fragment.name} was removed while the log was read") from fault
        with file:
            yield file

    def _holding(self, fragment: Fragment, stored: pa.Table, where: Mapping[str, str]) -> pa.Table:
        """Return the stored rows that hold these texts; a column that they lack is one of before it was, and empty."""
        for name, text in where.items():
            if name not in fragment.schema.names:
                stored = stored if not text else stored.slice(0, 0)
            elif fragment.only.get(name) != text:
                stored = stored.filter(pc.equal(stored[name].cast(pa.string()), text))
        return stored

    def again(self, reading: Callable[[], Result], looking: Callable[[], None] = lambda: None) -> Result:
        """Read, and once more if fragments were removed meanwhile, which others have replaced.

        Args:
            reading: what is read; it raises `GoneError` then.
            looking: is done before it is read again.
        """
        for _ in range(_ATTEMPTS - 1):
            with suppress(GoneError):
                return reading()
            looking()
        return reading()

    def nothing(self) -> str:
        """Return the message for a log that holds no rows of this table."""
        skipped = "".join(f"; skipped {file.path}: {file.reason}" for file in self.skipped)
        return f"log {self.log} holds no {self.table.noun}{skipped}"

    def _scan(self, there: Mapping[str, Stamp]) -> Iterator[Fragment]:
        for name, stamp in there.items():
            known = self._index.of(name, stamp)
            if known is None:
                known = self._opened(name)
                self._index.add(name, stamp, known)
            if isinstance(known, str):
                self._skip(name, known)
            else:
                yield known

    def _agreeing(self, fragments: Sequence[Fragment]) -> list[Fragment]:
        """Return the fragments whose parameters hold what those of the first of their space hold; skip the others."""
        first: dict[str, Fragment] = {}
        agreeing = []
        for fragment in fragments:
            wrong = conflict(fragment.header, first.setdefault(fragment.header.space, fragment).schema, fragment.schema)
            if wrong:
                self._skip(fragment.name, wrong)
            else:
                agreeing.append(fragment)
        return agreeing

    def _opened(self, name: str) -> Known:
        try:
            return self._open(name)
        except NewerSchemaError as fault:
            raise NewerSchemaError(f"log {self.log} cannot be read: fragment {name}: {fault}") from None
        except FileNotFoundError as fault:
            raise GoneError(f"log {self.log}: fragment {name} was removed while the log was read") from fault
        except _UNREADABLE as fault:
            return str(fault).strip()

    def _open(self, name: str) -> Fragment:
        if not name.endswith(SUFFIX):
            raise ForeignFileError(f"not a fragment: its name does not end in {SUFFIX}")
        with pq.ParquetFile(self.folder.full_path(name), filesystem=self._arrow) as file:
            header = Header.read(file.metadata.metadata, self.table)
            schema = check_types(file.schema_arrow, header, self.table)
            check_values(file, header, self.table)
            return Fragment(name, header, schema, file.metadata.num_rows, only_values(file, LOOKED_UP))

    def stored(self, fragment: Fragment) -> pa.Table | None:
        """Return a fragment as it is stored, checksums verified; None, and it is skipped, if it is damaged."""
        try:
            with self._file(fragment) as file:
                return file.read()
        except _UNREADABLE as fault:
            self._skip(fragment.name, str(fault))
            return None

    def _check(self, rows: Rows) -> None:
        """Refuse what statistics did not tell, as those of a file that was made to deceive."""
        for name, column in rows.metrics.items():
            if (rows.feasible & impossible(name, column)).any():
                raise ForeignFileError(f"a feasible row has an impossible metric {name}")

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


def fragment_name() -> str:
    """Return a name for a fragment that is written, or whose rows are asked for, now; no other has it.

    Sorting by name sorts by time; process and random part keep writers apart.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{now}-{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"


def write_parquet(table: pa.Table, file: Any) -> None:
    """Write a table as fragments are written, its metadata with it."""
    # Metrics are nearly all different, so that a dictionary for them would only cost time.
    repeating = [field.name for field in table.schema if not pa.types.is_float64(field.type)]
    repeating += [name for name in table.column_names if name.startswith("context_")]
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, use_dictionary=repeating, write_page_checksum=True)
