"""The index of a table of a log: what is known of each fragment without opening it.

It lies beside the fragments as one file, and is nothing but a memory: a fragment whose size or time of change differs
is opened anew, and an index that cannot be read is as if there were none. `armillary log check` does not heed it.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from armillary.log.folder import Folder, LogWriteError, Stamp
from armillary.log.schema import Header, Table
from armillary.types import ArmillaryError

INDEX_NAME = ".index.json"
_VERSION = 1
_WORTH = 64  # fragments that are not in the index, from which on it is written
_SETTLED_S = 2.0  # a file changed later than this may change again within the resolution of its time


@dataclass(frozen=True)
class Fragment:
    """A readable file of a log.

    Attributes:
        name: in the folder.
        header: what it says about itself.
        schema: its columns.
        rows: how many.
        only: of the columns in `LOOKED_UP` that hold one value in all its rows, that value.
    """

    name: str
    header: Header
    schema: pa.Schema
    rows: int
    only: Mapping[str, str] = field(default_factory=dict)


_UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArmillaryError, pa.ArrowException
)  # fmt: skip
LOOKED_UP = ("workload", "evaluator", "version", "options")
"""Columns by which rows are looked up."""

Known = Fragment | str
"""A fragment, or why a file is none."""


class Index:
    """What is known of the files of a folder, in this process and by the file beside them.

    Args:
        folder: of the files.
        table: which of a log's they are of.
        forgetful: begin with nothing.
    """

    def __init__(self, folder: Folder, table: Table[Any], *, forgetful: bool = False) -> None:
        self._folder, self._table = folder, table
        self._known: dict[str, tuple[Stamp, Known]] = {}
        self._read = forgetful
        self._fresh = 0

    def of(self, name: str, stamp: Stamp) -> Known | None:
        """Return what is known of a file as it is now; None if nothing is."""
        if not self._read:
            self._read = True
            with suppress(*_UNREADABLE):
                self._known = self._parsed(json.loads(self._folder.read(INDEX_NAME)))
        found = self._known.get(name)
        return found[1] if found is not None and found[0] == stamp else None

    def add(self, name: str, stamp: Stamp, known: Known) -> None:
        """Remember what a file is, if it is not just being written."""
        if 0 < stamp[1] < time.time() - _SETTLED_S:
            self._known[name] = stamp, known
            self._fresh += 1

    def keep(self, there: Mapping[str, Stamp]) -> None:
        """Write the index if that is worth it, and the folder lets us."""
        gone = [name for name in self._known if name not in there]
        for name in gone:
            del self._known[name]
        if self._fresh + len(gone) < _WORTH:
            return
        content = json.dumps(self._content()).encode()
        with suppress(LogWriteError):  # somebody else's log, or a full disk: then it takes longer next time, too
            self._folder.write(INDEX_NAME, lambda file: file.write(content))
        self._fresh = 0

    def _content(self) -> dict[str, Any]:
        headers: dict[str, int] = {}
        schemas: dict[str, int] = {}
        onlys: dict[str, int] = {}
        entries = {}
        for name, (stamp, known) in self._known.items():
            if isinstance(known, str):
                entries[name] = [*stamp, known]
                continue
            header = json.dumps(asdict(known.header))
            schema = base64.b64encode(known.schema.remove_metadata().serialize().to_pybytes()).decode("ascii")
            places = headers.setdefault(header, len(headers)), schemas.setdefault(schema, len(schemas))
            only = onlys.setdefault(json.dumps(dict(known.only), sort_keys=True), len(onlys))
            entries[name] = [*stamp, known.rows, *places, only]
        return {
            "version": _VERSION, "table": self._table.name, "headers": list(map(json.loads, headers)),
            "schemas": list(schemas), "only": list(map(json.loads, onlys)), "fragments": entries,
        }  # fmt: skip

    def _parsed(self, content: Any) -> dict[str, tuple[Stamp, Known]]:
        if content["version"] != _VERSION or content["table"] != self._table.name:
            return {}
        headers = [Header.of_json(json.dumps(each), self._table) for each in content["headers"]]
        schemas = [pa.ipc.read_schema(pa.py_buffer(base64.b64decode(each))) for each in content["schemas"]]
        onlys = [{str(name): str(value) for name, value in each.items()} for each in content["only"]]
        found: dict[str, tuple[Stamp, Known]] = {}
        for name, (size, changed, *rest) in content["fragments"].items():
            stamp = int(size), float(changed)
            if len(rest) == 1:
                found[name] = stamp, str(rest[0])
            else:
                rows, header, schema, only = map(int, rest)
                found[name] = stamp, Fragment(name, headers[header], schemas[schema], rows, onlys[only])
        return found
