"""Rows of a user's own file as evaluations of the user's own problem.

The problem file says which column holds what. What is wrong is gathered by kind, not by cell: a kind is told once, with
how many rows it concerns, their lines in the file and an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from armillary.log.columns import numbered, objects, same_text
from armillary.log.faults import FIRST_ROW, KindsOfFaults, near_to
from armillary.log.schema import CONTEXT_PREFIX
from armillary.log.sheet import Column, Sheet, numbers_of, read_table
from armillary.problems.expressions import Kind, names_in, parse
from armillary.problems.problem_file import ProblemFile
from armillary.spaces.space import Parameter
from armillary.types import ArmillaryError, Evaluations, Fidelity

if TYPE_CHECKING:
    from armillary.log.store import Log

FEASIBLE = "feasible"
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")
_LAW_TOLERANCE = 0.01
_NO_REASON = "unstated"


@dataclass(frozen=True)
class OwnRows:
    """What a file holds.

    Attributes:
        evaluations: its rows without the faulty ones.
        lines: of each row its line in the file, shape [rows].
        faults: what is wrong with other rows, one line a kind.
        faulty: how many rows are left out for that.
        notes: what else a reader of the file should know.
    """

    evaluations: Evaluations
    lines: NDArray[np.int64]
    faults: tuple[str, ...]
    faulty: int
    notes: tuple[str, ...]


def read_own_rows(
    path: Path,
    problem: ProblemFile,
    *,
    workload: str | None = None,
    candidates: NDArray[np.int64] | None = None,
    contexts: Mapping[str, Mapping[str, float]] | None = None,
) -> OwnRows:
    """Return the rows of a CSV or Parquet file as evaluations of a problem.

    A row is feasible where the problem's `log.feasible` says so; without that, where the file's column `feasible` says
    so; without that, where every goal and every bounded metric has a value.

    Args:
        path: of the file.
        problem: which columns to expect, and what they hold.
        workload: of all rows, for a file without a column of workloads.
        candidates: the only designs that exist, coded, shape [designs, parameters].
        contexts: by workload, the numbers that describe it.

    Raises:
        ArmillaryError: if the file cannot be read, or lacks a column; names every column that is missing.
    """
    return rows_of(str(path), read_table(path), problem, workload=workload, candidates=candidates, contexts=contexts)


def rows_of(
    source: str,
    sheet: Sheet,
    problem: ProblemFile,
    *,
    workload: str | None = None,
    candidates: NDArray[np.int64] | None = None,
    contexts: Mapping[str, Mapping[str, float]] | None = None,
) -> OwnRows:
    """Return the rows of cells that were read from a source, as messages call it; see `read_own_rows`.

    Raises:
        ArmillaryError: if a column is missing; names every one.
    """
    return _Reader(source, sheet, problem).rows(workload, candidates, contexts or {})


def read_candidates(path: Path, problem: ProblemFile) -> NDArray[np.int64]:
    """Return the designs that a CSV or Parquet file lists, each once, coded, shape [designs, parameters].

    Raises:
        ArmillaryError: if the file cannot be read, lacks a parameter, or lists a value that the problem does not allow.
    """
    sheet = read_table(path)
    reader = _Reader(str(path), sheet, problem)
    reader.check_columns(metrics=False)
    design = reader.design()
    if reader.kinds.found:
        raise ArmillaryError(f"{path}: " + "; ".join(reader.kinds.found))
    codes = problem.space.encode_columns(design)
    return codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]


class _Reader:
    """Reads the columns of one file, or of what else has columns."""

    def __init__(self, path: str, sheet: Sheet, problem: ProblemFile) -> None:
        self._path, self._sheet, self._problem = path, sheet, problem
        self._log = problem.form.log
        self._held = {name: self._log.columns.get(name, name) for name in sheet.names}
        self._column_of = {held: name for name, held in self._held.items()}
        self.kinds = KindsOfFaults(sheet.rows)
        self._notes: list[str] = []

    def rows(
        self,
        workload: str | None,
        candidates: NDArray[np.int64] | None,
        contexts: Mapping[str, Mapping[str, float]],
    ) -> OwnRows:
        self.check_columns(metrics=True)
        design, metrics = self.design(), self._metrics()
        feasible = self._feasible(metrics)
        names = self._workloads(workload)
        for name, column in metrics.items():
            self._check_metric(name, column, feasible)
        if not self.kinds.faulty.all():
            self._check_designs(design, metrics, feasible, candidates)
        kept = np.flatnonzero(~self.kinds.faulty)
        evaluations = self._evaluations(design, names, metrics, feasible, contexts).select(kept)
        lines = kept + FIRST_ROW
        self._note_repeats(evaluations, lines)
        self._note_constants(evaluations)
        faulty = int(self.kinds.faulty.sum())
        return OwnRows(evaluations, lines, tuple(self.kinds.found), faulty, tuple(self._notes))

    def check_columns(self, *, metrics: bool) -> None:
        """Raise if parameters have no column, or no metric has one; note the columns that are not used."""
        problem, there = self._problem, [*self._sheet.names]
        faults = []
        for parameter in problem.space.parameters:
            if parameter.name not in self._column_of:
                faults.append(f"parameter {parameter.name!r} has no column{near_to(parameter.name, there)}")
        if metrics and not set(problem.own_metrics) & set(self._column_of):
            faults.append(f"no metric has a column; the problem's are {list(problem.own_metrics)}")
        for asked, name in (("log.reason", self._log.reason), ("log.workload", self._log.workload)):
            if metrics and name is not None and name not in there:
                faults.append(f"{asked} names column {name!r}, which is missing{near_to(name, there)}")
        if faults:
            told = "; ".join(faults)
            raise ArmillaryError(
                f"{self._path}: {told}; the file has {there}; map names in log.columns of {problem.path}"
            )
        if metrics:
            unused = [name for name in there if not self._used(name)]
            if unused:
                self._notes.append(f"columns that are not used: {', '.join(unused)}")

    def _used(self, name: str) -> bool:
        log = self._log
        named = names_in(log.feasible) if log.feasible is not None else ()
        known = {*self._problem.space.names, *self._problem.own_metrics, FEASIBLE}
        return (
            self._held[name] in known
            or name in (log.reason, log.workload, *log.ignore, *named)
            or name.startswith(CONTEXT_PREFIX)
        )

    def design(self) -> dict[str, NDArray[Any]]:
        """Return the parameters' columns; a value that is not allowed is a fault and reads as the first value."""
        return {parameter.name: self._parameter(parameter) for parameter in self._problem.space.parameters}

    def _parameter(self, parameter: Parameter) -> NDArray[Any]:
        column = self._cells(self._column_of[parameter.name])
        cells = [cell.strip() for cell in column.cells.to_pylist()]
        known = _values_by_text(parameter)
        found = [known.get(_canonical(cell)) for cell in cells]
        wrong = np.array([value is None for value in found], dtype=bool)
        strange = sorted({cell for cell, bad in zip(cells, wrong, strict=True) if bad})
        self.kinds.add(
            wrong[column.codes],
            f"{column.name} holds values that {parameter.name} does not have ({len(strange)} different)",
            f"choose one of {_shortened(parameter.values)}",
            lambda row: f"line {row + FIRST_ROW}: {cells[column.codes[row]]!r}",
        )
        values = [parameter.values[0] if value is None else value for value in found]
        texts = isinstance(parameter.values[0], str)
        return objects(values)[column.codes] if texts else np.array(values)[column.codes]

    def _metrics(self) -> dict[str, NDArray[np.float64]]:
        return {
            name: self._numbers(self._column_of[name]) for name in self._problem.own_metrics if name in self._column_of
        }

    def _numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column's numbers, NaN where a cell is empty; what is no number is a fault."""
        column = self._cells(name)
        cells = pc.utf8_trim_whitespace(column.cells)
        empty = np.array(
            [cell == "" or cell.lower() in ("nan", "none", "null") for cell in cells.to_pylist()], dtype=bool
        )
        numbers = numbers_of(cells, empty)
        wrong = np.isnan(numbers) & ~empty
        self.kinds.add(
            wrong[column.codes],
            f"{name} is no number",
            "write a number, or nothing if it is unknown",
            lambda row: f"line {row + FIRST_ROW}: {column.cells[int(column.codes[row])].as_py()!r}",
        )
        return np.asarray(numbers[column.codes] * self._log.scale.get(name, 1.0))

    def _feasible(self, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        if self._log.feasible is not None:
            return self._by_expression(self._log.feasible)
        if FEASIBLE in self._sheet.names:
            return self._truths(FEASIBLE)
        asked = [o.metric for o in self._problem.objectives] + [b.metric for b in self._problem.bounds]
        told = [metrics[name] for name in dict.fromkeys(asked) if name in metrics] or list(metrics.values())
        feasible = np.logical_and.reduce([np.isfinite(column) for column in told])
        missing = int((~feasible).sum())
        if missing:
            self._notes.append(f"{missing:,} rows without a value of {' or '.join(asked)} count as infeasible")
        return np.asarray(feasible)

    def _by_expression(self, text: str) -> NDArray[np.bool_]:
        named = names_in(text)
        missing = [name for name in named if name not in self._sheet.names]
        if missing:
            raise ArmillaryError(
                f"{self._problem.path}: log.feasible={text!r}: {self._path} has no column {missing[0]!r}"
                f"{near_to(missing[0], self._sheet.names)}; it has {self._sheet.names}"
            )
        columns = {name: self._plain(name) for name in named}
        kinds: dict[str, Kind] = {
            name: "number" if column.dtype.kind == "f" else "text" for name, column in columns.items()
        }
        try:
            return np.asarray(parse(text, kinds, "truth")(columns), dtype=bool)
        except ArmillaryError as fault:
            raise ArmillaryError(f"{self._problem.path}: log.feasible: {fault}") from None

    def _plain(self, name: str) -> NDArray[Any]:
        """Return a column as numbers, if every cell is one or empty, else as texts."""
        column = self._cells(name)
        cells = pc.utf8_trim_whitespace(column.cells)
        empty = np.array(pc.equal(cells, "").to_pylist(), dtype=bool)
        numbers = numbers_of(cells, empty)
        if (np.isfinite(numbers) | empty).all() and not empty.all():
            return np.asarray(numbers[column.codes])
        return np.array([cell.strip() for cell in column.cells.to_pylist()])[column.codes]

    def _truths(self, name: str) -> NDArray[np.bool_]:
        column = self._cells(name)
        cells = [cell.strip().lower() for cell in column.cells.to_pylist()]
        wrong = np.array([cell not in (*_TRUE, *_FALSE) for cell in cells], dtype=bool)
        self.kinds.add(
            wrong[column.codes],
            f"{name} is no truth value",
            "write true or false",
            lambda row: f"line {row + FIRST_ROW}: {cells[column.codes[row]]!r}",
        )
        return np.array([cell in _TRUE for cell in cells], dtype=bool)[column.codes]

    def _workloads(self, given: str | None) -> NDArray[np.object_]:
        named = self._log.workload
        if named is None:
            known = list(self._problem.form.workloads)
            if given is None and len(known) > 1:
                raise ArmillaryError(
                    f"{self._path}: {self._problem.path} has workloads {known} and no log.workload that names the "
                    "column of each row's; name the column there, or one workload with --workload"
                )
            only = given or (known[0] if known else self._problem.name)
            return same_text(only, self._sheet.rows)
        column = self._cells(named)
        texts = objects([cell.strip() for cell in column.cells.to_pylist()])[column.codes]
        self.kinds.add(
            texts == "", f"{named} names no workload", "write its name", lambda row: f"line {row + FIRST_ROW}"
        )
        return texts

    def _check_metric(self, name: str, column: NDArray[np.float64], feasible: NDArray[np.bool_]) -> None:
        """Note feasible rows that lack a goal or a bounded metric, and values that cannot be."""
        asked = {o.metric for o in self._problem.objectives} | {b.metric for b in self._problem.bounds}

        def example(row: int) -> str:
            return f"line {row + FIRST_ROW}: {self._column_of[name]}={column[row]:g}"

        untouched = ~self.kinds.faulty
        if name in asked:
            allowed = "a feasible row states it; say in log.feasible which rows are not feasible"
            self.kinds.add(
                feasible & untouched & np.isnan(column), f"{name} is missing in feasible rows", allowed, example
            )
        self.kinds.add(
            feasible & np.isinf(column), f"{name} is infinite in feasible rows", "write a finite number", example
        )
        if self._problem.metrics[name].positive:
            impossible = feasible & (column <= 0)
            self.kinds.add(impossible, f"{name} is not positive in feasible rows", "it must be more than 0", example)

    def _check_designs(
        self,
        design: Mapping[str, NDArray[Any]],
        metrics: Mapping[str, NDArray[np.float64]],
        feasible: NDArray[np.bool_],
        candidates: NDArray[np.int64] | None,
    ) -> None:
        """Note feasible rows whose design cannot exist by the problem's own rules, and metrics unlike their law."""
        problem = self._problem
        codes = problem.space.encode_columns(design)
        untouched = ~self.kinds.faulty

        def example(row: int) -> str:
            return f"line {row + FIRST_ROW}: " + " ".join(f"{name}={column[row]}" for name, column in design.items())

        if problem.exists is not None:
            impossible = feasible & untouched & ~problem.exists(codes)
            rules = " and ".join(problem.form.constraints)
            self.kinds.add(impossible, "feasible rows break the constraints", f"the constraints are {rules}", example)
        if candidates is not None:
            keep = problem.problem(candidates).keep
            assert keep is not None
            unlisted = feasible & untouched & ~keep(codes)
            listed = f"the designs are those of {problem.form.candidates}"
            self.kinds.add(unlisted, "feasible rows are of no design of the candidates", listed, example)
        for name, law in problem.laws.items():
            if name in metrics:
                expected = law(codes)
                off = feasible & untouched & (np.abs(metrics[name] - expected) > _LAW_TOLERANCE * np.abs(expected))
                if off.any():
                    row = int(np.flatnonzero(off)[0])
                    self._notes.append(
                        f"{name} of {int(off.sum()):,} rows differs from its law by more than 1%, e.g. line "
                        f"{row + FIRST_ROW}: {metrics[name][row]:g} logged, {expected[row]:g} by the law"
                    )

    def _evaluations(
        self,
        design: Mapping[str, NDArray[Any]],
        workloads: NDArray[np.object_],
        metrics: Mapping[str, NDArray[np.float64]],
        feasible: NDArray[np.bool_],
        contexts: Mapping[str, Mapping[str, float]],
    ) -> Evaluations:
        rows, evaluator = self._sheet.rows, self._problem.form.evaluator
        kind = np.where(feasible, "", "infeasible").astype(object)
        return Evaluations(
            space=self._problem.space.name,
            design=dict(design),
            workload=workloads,
            context=self._contexts(workloads, contexts),
            evaluator=same_text(self._problem.name, rows),
            version=same_text(evaluator.version if evaluator is not None else "1", rows),
            fidelity=same_text(str(Fidelity.EXTERNAL), rows),
            metrics={name: np.where(np.isfinite(column), column, np.nan) for name, column in metrics.items()},
            feasible=feasible,
            failure_kind=kind,
            failure_resource=same_text("", rows),
            failure_layer=same_text("", rows),
            failure_needed=np.full(rows, np.nan),
            failure_available=np.full(rows, np.nan),
            failure_detail=np.where(feasible, "", self._reasons()).astype(object),
            seconds=np.zeros(rows),
            seed=np.zeros(rows, dtype=np.int64),
            time=np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
            options=same_text("", rows),
        )

    def _reasons(self) -> NDArray[np.object_]:
        if self._log.reason is None:
            return same_text(_NO_REASON, self._sheet.rows)
        column = self._cells(self._log.reason)
        return objects([cell.strip() or _NO_REASON for cell in column.cells.to_pylist()])[column.codes]

    def _contexts(
        self, workloads: NDArray[np.object_], contexts: Mapping[str, Mapping[str, float]]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the numbers that describe each row's workload: the file's own columns, then those of the problem."""
        given = {
            name.removeprefix(CONTEXT_PREFIX): self._numbers(name)
            for name in self._sheet.names
            if name.startswith(CONTEXT_PREFIX) and name != CONTEXT_PREFIX
        }
        names, which = np.unique(workloads.astype(str), return_inverse=True)
        features = dict.fromkeys(feature for name in names for feature in contexts.get(str(name), {}))
        told = {
            feature: np.array([contexts.get(str(name), {}).get(feature, np.nan) for name in names])[which]
            for feature in features
            if feature not in given
        }
        return {**given, **told}

    def _note_repeats(self, evaluations: Evaluations, lines: NDArray[np.int64]) -> None:
        """Note designs that were measured more than once on the same workload."""
        if not len(evaluations):
            return
        which = numbered([*evaluations.design.values(), evaluations.workload])
        counts = np.bincount(which)
        repeated = counts > 1
        if not repeated.any():
            return
        shares = np.bincount(which, weights=evaluations.feasible) / counts
        unsure = int((repeated & (shares > 0) & (shares < 1)).sum())
        first = int(np.flatnonzero(repeated[which])[0])
        self._notes.append(
            f"{int(repeated.sum()):,} designs were measured more than once ({int(counts[repeated].sum()):,} rows, e.g. "
            f"line {lines[first]}); all different measurements are kept, and models learn their mean"
            + (f"; {unsure:,} of them are feasible in one row and not in another" if unsure else "")
        )

    def _note_constants(self, evaluations: Evaluations) -> None:
        for name, column in evaluations.metrics.items():
            known = column[evaluations.feasible & np.isfinite(column)]
            if len(known) > 1 and (known == known[0]).all():
                self._notes.append(f"{name} is {known[0]:g} in every feasible row: nothing can be learned of it")

    def _cells(self, name: str) -> Column:
        column = self._sheet.column(name)
        assert column is not None
        return column


def held_in(log: Log, rows: Evaluations) -> NDArray[np.bool_]:
    """Return which rows a log holds already, shape [rows]; a part of the log lies in memory at a time.

    Raises:
        ArmillaryError: if its fragments disagree about the parameters of the space.
    """
    held = np.zeros(len(rows), dtype=bool)
    if rows.space not in log.spaces():
        return held
    for part in log.of_evaluations.pieces(log.of_evaluations.required(rows.space)):
        together = log.of_evaluations.joined([part, rows])
        assert together is not None
        prints = fingerprints(together)
        held |= np.isin(prints[len(part) :], prints[: len(part)])
    return held


def fingerprints(rows: Evaluations) -> NDArray[np.int64]:
    """Return a number per row, shape [rows], equal where design, workload, outcome and metrics are equal."""
    columns: list[NDArray[Any]] = [*rows.design.values(), rows.workload, rows.feasible, rows.failure_detail]
    columns += [rows.evaluator, rows.version]
    metrics = [np.nan_to_num(rows.metrics[name], nan=np.inf) for name in sorted(rows.metrics)]
    return numbered([*columns, *(column for column in metrics if not np.isinf(column).all())])


def _values_by_text(parameter: Parameter) -> Mapping[str, Any]:
    """Return a parameter's values by how a file may write them."""
    known: dict[str, Any] = {}
    for value in parameter.values:
        known[_canonical(str(value))] = value
        if isinstance(value, bool):
            known.setdefault(_canonical(str(int(value))), value)
    return known


def _canonical(cell: str) -> str:
    """Return a cell such that equal numbers are equal texts, and so are truth values."""
    if cell.lower() in ("true", "false"):
        return cell.lower()
    try:
        return repr(float(cell))
    except ValueError:
        return cell


def _shortened(values: Sequence[Any]) -> str:
    return str(list(values)) if len(values) <= 20 else f"{list(values[:10])} ... {values[-1]!r} ({len(values)} values)"
