"""Compaction: many small fragments become few large ones, which are read as one.

A log that is appended to compacts itself as it goes: every now and then an append joins the fragments that no
compaction has made. What these become is not joined again until somebody asks, so that a row is written twice at most.

A compacted fragment names those that it replaces, and from the moment that it appears they do not count. So a
compaction that is ended at any time loses no row and doubles none; what it left to remove, the next one removes.
Appends go on meanwhile. Rows keep their order.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from armillary.log.fragments import ROWS_AT_ONCE, SUFFIX, Fragments, write_parquet
from armillary.log.index import Fragment
from armillary.log.schema import COMPACTED_VERSION
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.log.store import Log

FRESH = 256
"""Appends between two looks at a table's fragments, and how many of them have to be fresh for these to be joined."""
MOST_ROWS = ROWS_AT_ONCE  # of a compacted fragment


@dataclass(frozen=True)
class Compacted:
    """How many fragments a table had and has; what lay there already replaced was removed, too."""

    table: str
    before: int
    after: int
    rows: int


def compact(log: Log) -> list[Compacted]:
    """Compact both tables of a log.

    Raises:
        ArmillaryError: if another process rewrites the log now, a cluster's workers write to it, or a file cannot be
            written.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    folder = log.of_evaluations.folder
    if marks := folder.marks():
        raise ArmillaryError(
            f"log {log.path}: workers of a cluster write to it; wait until they have ended, or, if their run was "
            f"killed, remove {folder.full_path(marks[0])}"
        )
    return [_compacted(table) for table in (log.of_evaluations, log.of_layer_runs) if table.folder.names()]


def _compacted(table: Fragments[Any]) -> Compacted:
    with table.folder.rewriting():
        for name in table.replaced():
            table.folder.remove(name)
        fragments = table.all()
        for run in list(_runs(fragments, _any)):
            _join(table, run)
        after = table.all()
    return Compacted(table.table.name, len(fragments), len(after), sum(fragment.rows for fragment in after))


def tidy(log: Log, table: Fragments[Any]) -> None:
    """Join the fragments of a table of a local log that no compaction has made, if they are many and nobody is at it.

    Whoever appends calls this, so it raises nothing: what it could not do, a later append or `compact` does.
    """
    if not table.folder.is_local or log.of_evaluations.folder.marks():
        return
    with suppress(ArmillaryError), table.folder.rewriting():
        fragments = table.all()
        if sum(_is_fresh(fragment) for fragment in fragments) >= FRESH:
            for run in list(_runs(fragments, _is_fresh)):
                _join(table, run)


def _is_fresh(fragment: Fragment) -> bool:
    return not fragment.header.replaces


def _any(_: Fragment) -> bool:
    return True


def _runs(fragments: Sequence[Fragment], joined: Callable[[Fragment], bool]) -> Iterator[list[Fragment]]:
    """Yield neighbours of a space that have the same columns and few enough rows to be joined, two or more."""
    open_: dict[str, list[Fragment]] = {}
    for fragment in fragments:
        run = open_.setdefault(fragment.header.space, [])
        goes_on = run and joined(fragment) and _alike(run[-1], fragment)
        if not goes_on or sum(f.rows for f in run) + fragment.rows > MOST_ROWS:
            if len(run) > 1:
                yield list(run)
            run.clear()
        if joined(fragment):
            run.append(fragment)
    yield from (run for run in open_.values() if len(run) > 1)


def _alike(one: Fragment, other: Fragment) -> bool:
    ours, theirs = one.header, other.header
    same = (ours.parameters, ours.context, ours.metrics) == (theirs.parameters, theirs.context, theirs.metrics)
    return same and one.schema.equals(other.schema)


def _join(table: Fragments[Any], run: Sequence[Fragment]) -> None:
    """Write one fragment with the rows of several, then remove these; a damaged one stays as it is."""
    tables = [(fragment, stored) for fragment in run if (stored := table.stored(fragment)) is not None]
    if len(tables) < 2:
        return
    names = tuple(fragment.name for fragment, _ in tables)
    version = max(COMPACTED_VERSION, run[0].header.schema_version)
    header = replace(run[0].header, schema_version=version, replaces=names)
    whole = pa.concat_tables([stored.replace_schema_metadata(None) for _, stored in tables])
    whole = whole.unify_dictionaries().combine_chunks().replace_schema_metadata(header.to_metadata())
    # Sorted by name it stands where the first stood.
    name = f"{names[0].removesuffix(SUFFIX)}-{secrets.token_hex(4)}{SUFFIX}"
    table.folder.write(name, lambda file: write_parquet(whole, file))
    for replaced in names:
        table.folder.remove(replaced)
