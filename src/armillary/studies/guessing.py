"""A first problem file, guessed from a user's log: what each column is, and why that was thought."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from armillary.log.sheet import Sheet, numbers_of
from armillary.metrics import OURS
from armillary.problems.problem_file import RESERVED
from armillary.types import ArmillaryError

Role = Literal["parameter", "metric", "status", "workload", "ignored"]
_MOST_VALUES = 64
_ENUMERATED = 0.2  # of all combinations: more than anybody samples
_WORKLOAD_WORDS = ("net", "network", "workload", "model", "app", "application", "benchmark", "task")
_STATUS_WORDS = (
    "status",
    "state",
    "result",
    "feasible",
    "valid",
    "ok",
    "success",
    "outcome",
    "error",
    "fail",
    "reason",
)
_GOOD = ("ok", "okay", "success", "succeeded", "pass", "passed", "valid", "feasible", "complete", "completed", "done",
         "correct", "true", "yes", "1")  # fmt: skip
_TRUTHS = {"true", "false", "yes", "no", "0", "1"}
_OUTCOMES = {"latency", "runtime", "delay", "cycles", "edp", "energy", "throughput", "gflops", "fps", "accuracy"}
"""What is measured and never chosen."""
_LESS = ("latency", "runtime", "time", "delay", "cycles", "edp", "energy", "cost", "power", "loss", "error", "area")
_MORE = ("throughput", "gflops", "gflop", "fps", "accuracy", "yield", "speedup", "score", "efficiency", "utilization")
_UNITS = {
    "s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "ns": "ns", "cycles": "cycles", "j": "J", "mj": "mJ",
    "uj": "uJ", "nj": "nJ", "pj": "pJ", "w": "W", "mw": "mW", "uw": "uW", "mm2": "mm2", "um2": "um2", "pct": "%",
    "percent": "%", "bytes": "bytes", "kib": "KiB", "mib": "MiB", "gops": "Gop/s", "tops": "Top/s", "gflops": "GFLOP/s",
    "fps": "1/s", "ghz": "GHz", "mhz": "MHz",
}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """What a column was taken for, and why.

    Attributes:
        column: as the file names it.
        name: as the problem file does.
        role: what it is.
        why: in words.
        form: what the problem file says of it; empty for a column that is no parameter and no metric.
    """

    column: str
    name: str
    role: Role
    why: str
    form: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Column:
    """What can be seen of a column."""

    name: str
    cells: list[str]
    numbers: NDArray[np.float64]
    counts: NDArray[np.int64]
    rows: int

    @property
    def filled(self) -> list[str]:
        return [cell for cell in self.cells if cell]

    @property
    def is_number(self) -> bool:
        return bool(self.filled) and all(
            not cell or math.isfinite(number) for cell, number in zip(self.cells, self.numbers, strict=True)
        )

    @property
    def has_gaps(self) -> bool:
        return "" in self.cells

    @property
    def words(self) -> list[str]:
        return _words(self.name)

    @property
    def distinct(self) -> int:
        return len(self.filled)


def guess(sheet: Sheet) -> tuple[Guess, ...]:
    """Return what the columns of a log seem to be.

    Raises:
        ArmillaryError: if nothing looks like a parameter, or nothing like a metric; names the file.
    """
    columns = [_seen(sheet, name) for name in sheet.names]
    found: dict[str, Guess] = {}
    for role, find in (("status", _status), ("workload", _workload)):
        for column in columns:
            if column.name not in found and (why := find(column)) is not None and role not in _roles(found):
                found[column.name] = Guess(column.name, column.name, role, why)  # type: ignore[arg-type]
    names = Names()
    for column in columns:
        if column.name not in found:
            found[column.name] = _parameter_or_metric(column, names)
    guesses = tuple(found[name] for name in sheet.names)
    for role in ("parameter", "metric"):
        if role not in _roles(found):
            raise ArmillaryError(
                f"{sheet.faults.source}: no column looks like a {role}; write the problem file by hand, see "
                "`armillary problem schema`"
            )
    return _with_goal(guesses)


def problem_text(name: str, guesses: Sequence[Guess], source: str, sheet: Sheet) -> str:
    """Return the problem file that guesses make, with their reasons as comments."""
    parts = [f"# Guessed from {source}; check it, above all the goal and the bounds.", _dumped({"name": name})]
    for role, title in (("parameter", "parameters"), ("metric", "metrics")):
        parts.append(f"{title}:")
        parts += [f"  {g.name}: {_inline(g.form)}  # {g.why}" for g in guesses if g.role == role]
    parts.append(
        '# constraints: ["a * b <= 1024"]  # rules that every design keeps to; without any, all may be proposed'
    )
    if (share := _share_there(guesses, sheet)) > _ENUMERATED:
        parts.append(f"# candidates: {source}  # if its rows are all designs that exist: they are {share:.0%} of all")
    workload = next((g for g in guesses if g.role == "workload"), None)
    if workload is not None:
        column = sheet.column(workload.column)
        assert column is not None
        named = sorted({cell.strip() for cell in column.cells.to_pylist()} - {""})
        parts.append(f"workloads: {_inline(dict.fromkeys(named))}  # give an ONNX file or numbers for each, if you can")
    if log := _log_of(guesses, sheet):
        parts.append(_dumped({"log": log}))
    return "\n".join(part.rstrip() for part in parts) + "\n"


def _share_there(guesses: Sequence[Guess], sheet: Sheet) -> float:
    """Return which share of all combinations of the parameters' values the file holds."""
    seen = [_seen(sheet, g.column).distinct for g in guesses if g.role == "parameter"]
    return sheet.rows / math.prod(seen)


def _log_of(guesses: Sequence[Guess], sheet: Sheet) -> dict[str, Any]:
    log: dict[str, Any] = {}
    columns = {g.column: g.name for g in guesses if g.column != g.name and g.role in ("parameter", "metric")}
    if columns:
        log["columns"] = columns
    status = next((g for g in guesses if g.role == "status"), None)
    if status is not None:
        column = _seen(sheet, status.column)
        good = _good_cell(column)
        if good is not None and re.fullmatch(r"[A-Za-z_]\w*", status.column) and not keyword.iskeyword(status.column):
            log["feasible"] = (
                f"{status.column} == {float(good):g}" if column.is_number else f"{status.column} == {good!r}"
            )
        log["reason"] = status.column
    if (workload := next((g for g in guesses if g.role == "workload"), None)) is not None:
        log["workload"] = workload.column
    if ignored := [g.column for g in guesses if g.role == "ignored"]:
        log["ignore"] = ignored
    return log


def _seen(sheet: Sheet, name: str) -> _Column:
    column = sheet.column(name)
    assert column is not None
    cells = [cell.strip() for cell in column.cells.to_pylist()]
    empty = np.array([not cell or cell.lower() in ("nan", "none", "null") for cell in cells], dtype=bool)
    counts = np.bincount(column.codes, minlength=len(cells))
    cells = ["" if gone else cell for cell, gone in zip(cells, empty, strict=True)]
    return _Column(name, cells, numbers_of(column.cells, empty), counts, sheet.rows)


def _roles(found: Mapping[str, Guess]) -> set[str]:
    return {g.role for g in found.values()}


def _status(column: _Column) -> str | None:
    good = _good_cell(column)
    if good is None or column.distinct < 2 or column.distinct > max(_MOST_VALUES, column.rows // 10):
        return None
    named = any(word in _STATUS_WORDS or word.startswith(("fail", "infeasible")) for word in column.words)
    if not named and (column.is_number or {cell.lower() for cell in column.filled} <= _TRUTHS):
        return None
    return f"{good!r} seems to mean success; the other {column.distinct - 1} values tell why a run failed"


def _good_cell(column: _Column) -> str | None:
    """Return the cell that seems to mean success."""
    good = [cell for cell in column.filled if cell.lower() in _GOOD]
    return good[0] if len(good) == 1 else None


def _workload(column: _Column) -> str | None:
    if column.is_number or column.distinct > _MOST_VALUES or not any(word in _WORKLOAD_WORDS for word in column.words):
        return None
    return f"its name; {column.distinct} workloads"


class Names:
    """Gives columns names that a problem file allows, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, column: str) -> str:
        """Return the name of a column."""
        name = re.sub(r"\W+", "_", column).strip("_") or "column"
        if name[0].isdigit():
            name = f"p_{name}"
        if name in RESERVED or keyword.iskeyword(name) or name.startswith("context_"):
            name = f"own_{name}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _parameter_or_metric(column: _Column, names: Names) -> Guess:
    name = names.of(column.name)
    if not column.filled:
        return Guess(column.name, name, "ignored", "it is empty")
    if column.is_number:
        return _of_numbers(column, name)
    if column.has_gaps or column.distinct > max(2, min(_MOST_VALUES, column.rows // 5)):
        return Guess(column.name, name, "ignored", f"texts of {column.distinct} kinds, which no model can learn from")
    if {cell.lower() for cell in column.filled} == {"true", "false"}:
        return Guess(column.name, name, "parameter", "true or false", {"values": [False, True]})
    return Guess(column.name, name, "parameter", "names without an order", {"choices": sorted(column.filled)})


def _of_numbers(column: _Column, name: str) -> Guess:
    values = np.unique(column.numbers[np.isfinite(column.numbers)])
    few = len(values) <= min(_MOST_VALUES, max(8, column.rows // 5))
    unit = unit_of(column.name)
    sounds = any(word in (*_LESS, *_MORE) for word in column.words)
    if len(values) == column.rows and (np.diff(values) == 1).all() and not sounds:
        return Guess(column.name, name, "ignored", "it numbers the rows")
    measured = not _OUTCOMES.isdisjoint(column.words) or (sounds and len(values) > 8)
    if len(values) > 1 and (column.has_gaps or not few or measured):
        why = "it is missing where runs failed" if column.has_gaps else f"{len(values):,} different numbers"
        return Guess(column.name, name, "metric", why, {"unit": unit_of(name) if name in OURS else unit})
    form, why = _spread(values.tolist())
    return Guess(column.name, name, "parameter", why, form | ({} if unit == "1" else {"unit": unit}))


def _spread(numbers: Sequence[float]) -> tuple[dict[str, Any], str]:
    """Return how a problem file writes values, and what was seen of them."""
    values = [int(number) if number == int(number) else number for number in numbers]
    if len(values) == 1:
        return {"values": values}, "the same in every row"
    steps, ratios = np.diff(numbers), [b / a for a, b in pairwise(numbers) if a > 0]
    even = bool(np.allclose(steps, steps[0], rtol=1e-6))
    geometric = len(ratios) == len(steps) > 1 and bool(np.allclose(ratios, ratios[0], rtol=1e-6))
    wide = numbers[0] > 0 and numbers[-1] / numbers[0] >= 8
    if geometric:
        return {"values": values}, f"each {ratios[0]:g} times the one before"
    if even and len(values) > 6:
        step = int(steps[0]) if steps[0] == int(steps[0]) else float(f"{steps[0]:.12g}")
        return {"range": [values[0], values[-1]], "step": step}, f"in steps of {step:g}"
    if even and len(values) > 2:
        return {"values": values, "scale": "linear"}, f"in steps of {steps[0]:g}"
    if wide:
        return {"values": values}, f"{len(values)} amounts; the largest is {numbers[-1] / numbers[0]:g} times the least"
    return {"values": values, "scale": "linear"} if len(values) > 2 else {"values": values}, f"{len(values)} numbers"


def unit_of(name: str) -> str:
    """Return the unit of a metric of ours, else the one that a column's name ends in or holds; 1 if none does."""
    if name in OURS:
        return OURS[name].unit
    return next((_UNITS[word] for word in reversed(_words(name)) if word in _UNITS), "1")


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()) if word]


def _with_goal(guesses: Sequence[Guess]) -> tuple[Guess, ...]:
    """Return the guesses with one metric as the goal: the first whose name tells whether less or more is better."""
    metrics = [g for g in guesses if g.role == "metric"]
    for words, goal in ((_LESS[:5], "minimize"), (_MORE, "maximize"), (_LESS, "minimize")):
        for metric in metrics:
            if any(word in re.split(r"[^a-z0-9]+", metric.column.lower()) for word in words):
                return tuple(_aimed(g, goal, "its name") if g is metric else g for g in guesses)
    return tuple(_aimed(g, "minimize", "the first metric: nothing tells which is the goal") if g is metrics[0] else g
                 for g in guesses)  # fmt: skip


def _aimed(metric: Guess, goal: str, why: str) -> Guess:
    form = {**metric.form, "goal": goal}
    return Guess(metric.column, metric.name, metric.role, f"{metric.why}; the goal by {why}", form)


def _inline(content: Any) -> str:
    return yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=10**6).strip().removesuffix("\n...")


def _dumped(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=1000)


def told(guesses: Sequence[Guess]) -> Iterator[dict[str, str]]:
    """Yield one row per column: what it was taken for, and why."""
    for g in guesses:
        yield {"column": g.column, "taken for": g.role, "values": _inline(dict(g.form)) if g.form else "", "why": g.why}
