"""Compaction: many small fragments become few large ones, which are read as one.

A compacted fragment names those that it replaces, and from the moment that it appears they do not count. So a
compaction that is ended at any time loses no row and doubles none; what it left to remove, the next one removes.
Appends go on meanwhile. Rows keep their order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from armillary.log.fragments import ROWS_AT_ONCE, SUFFIX, Fragments, write_parquet
from armillary.log.index import Fragment
from armillary.log.schema import SCHEMA_VERSION
from armillary.log.store import Log

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
        ArmillaryError: if another process rewrites the log now, or a file cannot be written.
        NewerSchemaError: if a fragment was written by a later Armillary.
    """
    return [_compacted(table) for table in (log.of_evaluations, log.of_layer_runs) if table.folder.names()]


def _compacted(table: Fragments[Any]) -> Compacted:
    with table.folder.rewriting():
        for name in table.replaced():
            table.folder.remove(name)
        fragments = table.all()
        for run in list(_runs(fragments)):
            _join(table, run)
        after = table.all()
    return Compacted(table.table.name, len(fragments), len(after), sum(fragment.rows for fragment in after))


def _runs(fragments: Sequence[Fragment]) -> Iterator[list[Fragment]]:
    """Yield neighbours of a space that have the same columns and few enough rows to be joined, two or more."""
    open_: dict[str, list[Fragment]] = {}
    for fragment in fragments:
        run = open_.setdefault(fragment.header.space, [])
        if run and not (_alike(run[-1], fragment) and sum(f.rows for f in run) + fragment.rows <= MOST_ROWS):
            if len(run) > 1:
                yield list(run)
            run.clear()
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
    header = replace(run[0].header, schema_version=SCHEMA_VERSION, replaces=names)
    whole = pa.concat_tables([stored.replace_schema_metadata(None) for _, stored in tables])
    whole = whole.unify_dictionaries().combine_chunks().replace_schema_metadata(header.to_metadata())
    # Sorted by name it stands where the first stood.
    name = f"{names[0].removesuffix(SUFFIX)}-{secrets.token_hex(4)}{SUFFIX}"
    table.folder.write(name, lambda file: write_parquet(whole, file))
    for replaced in names:
        table.folder.remove(replaced)
