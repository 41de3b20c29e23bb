"""A log of many rows, and what commands on it take: seconds, and memory at most.

The first rows are collected as users do. The others are the same in another order, their metrics varied, a million a
fragment, so that no page compresses better than those of real logs; one fragment in fifty is another study's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from armillary.log.columns import constant_text
from armillary.log.fragments import ROWS_AT_ONCE, fragment_name, write_parquet
from armillary.log.schema import EVALUATIONS, to_table
from armillary.log.store import Log
from armillary.tools import process
from armillary.tools.command import Command
from armillary.types import ArmillaryError, Evaluations

WORKLOAD, STUDY = "mobilenet_v2", "another"
_STUDY_EVERY = 50
_TELLING = """
import atexit, sys
from pathlib import Path

def tell(place):
    lines = Path("/proc/self/status").read_text().splitlines()
    Path(place).write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

atexit.register(tell, sys.argv.pop(1))
from armillary.cli import main
main()
"""
_METRICS_VARY = 0.01
_TOP = "SELECT pes_x, pes_y, runtime_s, area_mm2 FROM log WHERE feasible ORDER BY runtime_s LIMIT 10"
_ONE_STUDY = f"SELECT pes_x, runtime_s FROM log WHERE workload = '{STUDY}' AND feasible"


@dataclass(frozen=True)
class Took:
    """What a command took: seconds, and bytes of memory at most; 0 bytes where it ran in this process."""

    what: str
    seconds: float
    most_bytes: int


def commands(folder: Path, rows: int, collected: int, seed: int, on_row: Callable[[int], None]) -> list[Took]:
    """Make a log in a folder and return what commands on it took.

    Args:
        folder: empty.
        rows: of the log.
        collected: how many of them are evaluated.
        seed: of the designs.
        on_row: is told how many rows there are.
    """
    log, csv = folder / "log", folder / "rows.csv"
    collect = ["collect", "--workload", WORKLOAD, "--samples", str(collected), "--log", str(log), "--seed", str(seed)]
    of_log = ["--log", str(log)]
    found = [_command(f"collect {collected:,} designs", collect)]
    found.append(_command("compact what that left", ["log", "compact", *of_log]))
    found.append(_command(f"collect {collected:,} designs that are known", collect))
    on_row(collected)
    _grow(Log(log), rows - collected, seed, on_row)
    found.append(_appended(Log(log)))
    told = f" of {rows:,}"
    found += [
        _command(f"count all{told}", ["log", "query", "SELECT count(*) FROM log", *of_log]),
        _command(f"feasible top 10{told}", ["log", "query", _TOP, *of_log]),
        _command(f"one study's rows{told}, as CSV", ["log", "query", _ONE_STUDY, "--csv", str(csv), *of_log]),
        _command(f"compact{told}", ["log", "compact", *of_log]),
        _command(f"collect {collected:,} known designs{told}", collect),
    ]
    return found


def _grow(log: Log, rows: int, seed: int, on_row: Callable[[int], None]) -> None:
    """Append fragments of a million rows until so many are there."""
    rng = np.random.default_rng(seed)
    pieces = log.of_evaluations.pieces(log.fragments())
    first = next(pieces)
    stored = to_table(first, EVALUATIONS)
    had = len(log)
    for number in range(-(-rows // ROWS_AT_ONCE)):
        count = min(ROWS_AT_ONCE, rows - number * ROWS_AT_ONCE)
        table = _varied(stored, first, count, rng, STUDY if number % _STUDY_EVERY == _STUDY_EVERY - 1 else WORKLOAD)
        log.of_evaluations.folder.write(fragment_name(), partial(write_parquet, table))
        on_row(had + number * ROWS_AT_ONCE + count)


def _varied(stored: pa.Table, rows: Evaluations, count: int, rng: np.random.Generator, workload: str) -> pa.Table:
    """Return so many rows: parameters each shuffled by itself, metrics of a row varied together."""
    order = rng.integers(0, len(rows), count)
    columns = {}
    for name in stored.column_names:
        place = rng.integers(0, len(rows), count) if name in rows.design else order
        columns[name] = stored[name].combine_chunks().take(pa.array(place))
        if name in rows.metrics:
            columns[name] = pa.array(rows.metrics[name][order] * rng.normal(1, _METRICS_VARY, count), from_pandas=True)
    columns["workload"] = constant_text(workload, count)
    return pa.table(columns).replace_schema_metadata(stored.schema.metadata)


def _appended(log: Log) -> Took:
    rows = next(log.of_evaluations.pieces(log.fragments()[:1]))
    start = time.perf_counter()
    log.append(rows)
    return Took(f"append {len(rows):,} rows", time.perf_counter() - start, 0)


def _command(what: str, arguments: Sequence[str]) -> Took:
    start = time.perf_counter()
    return Took(what, most_bytes=most_bytes(arguments), seconds=time.perf_counter() - start)


def most_bytes(arguments: Sequence[str]) -> int:
    """Run a command of ours in a process of its own and return the bytes of memory that it had at most.

    The process tells itself, when it ends: what the system tells its parent begins with the parent's own.

    Raises:
        ArmillaryError: if it fails.
    """
    with tempfile.NamedTemporaryFile("r") as told:
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # our modules, wherever they were found
        ended = process.run(Command((sys.executable, "-c", _TELLING, told.name, *arguments), environment=paths))
        if not ended.ok:
            raise ArmillaryError(f"armillary {' '.join(arguments)}: {ended.failure}")
        return int(told.read()) * 1024
