"""What the pages show of recorded benchmarks: the page of all results, and the numbers that other pages cite.

A record is a file of `docs/results/`, which `armillary bench NAME --record docs/results` writes. A page cites one
between two comments, and what stands between them is written from the record. A number is cited so:

    <!-- value RECORD COLUMN KEY=VALUE ... format=.2f -->1.03<!-- end -->
    <!-- value RECORD check=PREFIX format=.2f -->1.03<!-- end -->
    <!-- value RECORD about=seconds -->12 s<!-- end -->

The first is of the row whose KEY columns have these values, or with `mean=geometric` the mean over all such rows; the
second of the check whose name begins so; the last is the record's `command`, `seconds` or `cpu_seconds`. A table:

    <!-- checks RECORD --><!-- end -->
    <!-- rows RECORD KEY=VALUE ... columns=COLUMN,COLUMN format=.3g --><!-- end -->
    <!-- rows RECORD ... columns=COLUMN,COLUMN heads=HEAD,HEAD format=.4f,.0% missing=none --><!-- end -->
    <!-- rows RECORD KEY=VALUE ... columns=COLUMN across=COLUMN of=COLUMN mean=geometric --><!-- end -->

The second has other words than the columns' names, a format for each column (the last one counts for the rest), and a
word for numbers that are not finite. The third has a row for each value of the first column, a column for each value of
the second, and the third in its cells. Words are split as a shell splits them.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from armillary import evaluators
from armillary.benchmarks import BENCHES
from armillary.benchmarks.record import Record
from armillary.benchmarks.result import Check, geometric_mean
from armillary.types import Fidelity

PAGES = Path(__file__).resolve().parent
RESULTS = PAGES / "results"
CITATION = re.compile(r"<!-- (value|checks|rows) ([^>]*?) -->(.*?)<!-- end -->", re.DOTALL)
_OPTIONS = ("format", "mean", "check", "about", "columns", "heads", "missing", "across", "of")
NOT_FINITE = "not finite"


def page() -> str:
    """Return the page of all results."""
    every = records()
    failed = [(one, check) for one in every.values() for check in one.checks if not check.ok]
    stale = [f"- `{one.name}`: {words}." for one in every.values() if (words := _outdated(one))]
    checks = sum(len(one.checks) for one in every.values())
    return "\n\n".join(
        [
            "# Results",
            f"There are {len(every)} records of {len({one.bench for one in every.values()})} benchmarks, with {checks} "
            f"checks; {checks - len(failed)} hold and {len(failed)} do not. A record is one run of one command. It is "
            "kept as a file, with its rows, its remarks, and the versions of the evaluators that it used. All figures "
            "are of our own evaluators unless a row says otherwise. *Time* is the CPU time of all processes, on the "
            "machine that the file names; it is not recorded if the run used finished parts of an earlier one. Checks "
            "of speed depend on that machine, and on what else it does.",
            "To measure one again, run its command with `--record docs/results`, then `python docs/generate.py`.",
            "## Checks that fail",
            "\n".join(_failure(one, check) for one, check in failed) or "None.",
            "## All checks",
            table(("command, and its checks", "goal", "value", "holds", "time"), _every_check(every.values())),
            "## Files",
            table(("file", "seed", "evaluators and their versions", "machine"), map(_file_row, every.values())),
            "## Records of earlier evaluators",
            "\n".join(stale) or "None: every record was made with the evaluators of this release.",
            "## Without a record",
            "These benchmarks were not recorded yet. What the pages say of them was measured by hand, with the command "
            "that stands beside it.",
            ", ".join(f"`{name}`" for name in _missing(every)) + ".",
        ]
    )


@cache
def records() -> dict[str, Record]:
    """Return every record by the name of its file.

    Raises:
        ArmillaryError: if a file is none.
    """
    found = [Record.read(path) for path in sorted(RESULTS.glob("*.json"))]
    return {one.name: one for one in found}


def cited(text: str) -> str:
    """Return a page with what it cites as the records have it.

    Raises:
        ValueError: if a citation names no record, or not exactly one value of it.
    """
    return CITATION.sub(lambda found: _written(found[1], found[2]), text)


def citing() -> Iterator[Path]:
    """Yield the pages that may cite: the README and all that are not generated as a whole."""
    yield PAGES.parent / "README.md"
    yield from (path for path in sorted(PAGES.rglob("*.md")) if "_build" not in path.parts)


def _written(kind: str, words: str) -> str:
    name, *rest = shlex.split(words)
    if name not in records():
        raise ValueError(f"{name!r} is no record; there are {list(records())}")
    record = records()[name]
    keys = dict(word.split("=", 1) for word in rest if "=" in word)
    options = {key: keys.pop(key) for key in _OPTIONS if key in keys}
    if kind == "checks":
        body = table(("check", "goal", "value", "holds"), _check_rows(record))
    elif kind == "rows":
        body = _rows(record, keys, options)
    else:
        bare = [word for word in rest if "=" not in word]
        return f"<!-- {kind} {words} -->{_value(record, bare, keys, options)}<!-- end -->"
    return f"<!-- {kind} {words} -->\n\n{body}\n\n<!-- end -->"


def _value(record: Record, columns: Sequence[str], keys: Mapping[str, str], options: Mapping[str, str]) -> str:
    spelt = options.get("format", ".3g")
    if "about" in options:
        return about(record, options["about"])
    if "check" in options:
        checks = [check for check in record.checks if check.name.startswith(options["check"])]
        values: list[Any] = [check.value for check in checks]
    else:
        (column,) = columns
        values = [row[column] for row in _chosen(record, keys)]
    if options.get("mean") == "geometric" and values:
        values = [geometric_mean(values)]
    if len(values) != 1:
        raise ValueError(f"{record.name}: {dict(keys) or options} names {len(values)} values, not one")
    return _cell(values[0], spelt)


def about(record: Record, what: str) -> str:
    """Return one of a record's own facts: `command`, `seconds` or `cpu_seconds`."""
    if what == "command":
        return f"`{record.command}`"
    return duration(getattr(record, what))


def duration(seconds: float | None) -> str:
    """Return a time as people say it."""
    if seconds is None:
        return "not recorded"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _chosen(record: Record, keys: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return the rows that have the given values, compared as text."""
    unknown = [key for key in keys if not any(key in row for row in record.rows)]
    if unknown:
        raise ValueError(f"{record.name} has no columns {unknown}; it has {list(record.rows[0])}")
    return [row for row in record.rows if all(str(row.get(key)) == value for key, value in keys.items())]


def _rows(record: Record, keys: Mapping[str, str], options: Mapping[str, str]) -> str:
    """Return a table of rows: some columns of them, or one column spread `across` the values of another one."""
    spelt, rows = options.get("format", ".3g"), _chosen(record, keys)
    first, *others = options["columns"].split(",")
    if "across" not in options:
        return _columns(record, rows, [first, *others], options)
    heads = list(dict.fromkeys(row[options["across"]] for row in rows))
    body = []
    for label in dict.fromkeys(row[first] for row in rows):
        own = {row[options["across"]]: row[options["of"]] for row in rows if row[first] == label}
        mean = [geometric_mean(list(own.values()))] if options.get("mean") == "geometric" else []
        body.append([label, *(_cell(value, spelt) for value in [*(own[head] for head in heads), *mean])])
    return table([first, *heads, *(["geometric mean"] if "mean" in options else [])], body)


def _columns(
    record: Record, rows: Iterable[Mapping[str, Any]], names: Sequence[str], options: Mapping[str, str]
) -> str:
    """Return a table of some columns of rows, each with a head and a format of its own."""
    heads = options["heads"].split(",") if "heads" in options else list(names)
    if len(heads) != len(names):
        raise ValueError(f"{record.name}: {len(names)} columns {list(names)} have {len(heads)} heads {heads}")
    formats = options.get("format", ".3g").split(",")
    formats += formats[-1:] * (len(names) - len(formats))
    missing = options.get("missing", NOT_FINITE)
    return table(heads, ([_cell(row[n], f, missing) for n, f in zip(names, formats, strict=True)] for row in rows))


def _check_rows(record: Record) -> list[Sequence[str]]:
    """Return the checks of a record: name, goal, value and whether it holds."""
    return [(c.name, c.goal, _cell(c.value, ".4g"), "yes" if c.ok else "**no**") for c in record.checks]


def _every_check(every: Iterable[Record]) -> Iterator[Sequence[str]]:
    """Yield a row for each record, with its command and time, and below it one for each of its checks."""
    for record in every:
        held = sum(check.ok for check in record.checks)
        yield f"`{record.command}`", "", "", f"{held} of {len(record.checks)}", duration(record.cpu_seconds)
        yield from ((*cells, "") for cells in _check_rows(record))


def _file_row(record: Record) -> Sequence[str]:
    versions = ", ".join(f"`{name}` {version}" for name, version in record.evaluators.items())
    file = f"[{record.name}.json](results/{record.name}.json)"
    return file, str(record.seed), versions or "none of the registry", record.machine


def _failure(record: Record, check: Check) -> str:
    return f"- `{record.command}`: {check.name} is {_cell(check.value, '.4g')}; the goal is {check.goal}."


def _outdated(record: Record) -> str:
    """Say which evaluators have another version today."""
    said = []
    for name, version in record.evaluators.items():
        template, _, fidelity = name.partition(".")
        now = evaluators.kind_of(template, Fidelity(fidelity)).version
        if now != version:
            said.append(f"`{name}` was of version {version} and is of version {now}")
    return ", ".join(said)


def _missing(every: Mapping[str, Record]) -> list[str]:
    there = {one.bench for one in every.values()}
    return [name for name in BENCHES.names() if name not in there]


def _cell(value: Any, spelt: str, missing: str = NOT_FINITE) -> str:
    """Return a value as a table shows it: large numbers whole, with commas."""
    if value is None:
        return missing
    if isinstance(value, bool | str):
        return str(value)
    whole = isinstance(value, int) and "%" not in spelt
    return f"{value:,.0f}" if whole or (spelt.endswith("g") and 1e3 <= abs(value) < 1e9) else format(value, spelt)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
