"""`problem.yaml`: a user's own parameters, rules, metrics, workloads, simulator and log, in one file.

The file is read in two steps. Its form is a pydantic model, whose JSON Schema editors can use
(`armillary problem schema`). What the form means, such as which names a rule may use, is then checked as a whole; every
fault of the file is told at once, with its line.
"""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from armillary.metrics import OURS, total
from armillary.problems.criteria import Bound, Objective
from armillary.problems.expressions import Expression, Kind, names_in, parse
from armillary.problems.problem import Keep, Law, Problem
from armillary.problems.problem_form import EvaluatorForm, Form, Given, LogForm, MetricForm, ParameterForm, ProblemForm
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Evaluations, Metric, Value
from armillary.workloads.layer import Workload
from armillary.yaml_file import Located, Place, read_located

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_VALUES = 10_000
_AMOUNTS = frozenset(
    {"s", "ms", "us", "ns", "ps", "min", "h", "cycles", "J", "mJ", "uJ", "nJ", "pJ", "fJ", "W", "mW", "uW", "nW"}
    | {"m2", "cm2", "mm2", "um2", "bytes", "B", "KiB", "MiB", "GiB", "kB", "MB", "GB"}
)
"""Units of what nothing that works has zero or less of, if it is to be minimised; a slack in ns is maximised."""
RESERVED = frozenset({"space", "failure", *Evaluations.PLAIN_COLUMNS})
"""Columns of every log, which no parameter or metric may be called."""
_CONTEXT = "context_"


def no_evaluator(path: str | Path) -> ArmillaryError:
    """Return the error for a problem file that names nobody who evaluates."""
    return ArmillaryError(
        f"{path}: names no evaluator; add one, e.g. evaluator: {{command: [./mysim]}}, or log runs of your own with "
        "`armillary log import`"
    )


@dataclass(frozen=True)
class ProblemFile:
    """What a problem file says, checked.

    Attributes:
        path: of the file.
        form: as it was written.
        space: the designs, under the problem's name.
        metrics: its own metrics, and ours beside them.
        objectives: the goals, in the order of the file; none if it names none.
        bounds: on its metrics.
        laws: metrics that follow from a design.
        exists: which designs there can be, by the constraints; None if there are none.
        originals: of parameters whose values are of several types, the value that each text stands for.
    """

    path: Path
    form: ProblemForm
    space: Space
    metrics: Mapping[str, Metric]
    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...]
    laws: Mapping[str, Law]
    exists: Keep | None = field(repr=False)
    originals: Mapping[str, Mapping[str, Given]] = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes it again: by reading the file."""
        return read_problem, (self.path,)

    @property
    def name(self) -> str:
        """Of the problem."""
        return self.form.name

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """The metrics that the file names."""
        return tuple(self.form.metrics)

    def beside(self, file: str) -> Path:
        """Return a path of the file, which is relative to the file's folder."""
        return self.path.parent / Path(file).expanduser()

    def problem(self, candidates: NDArray[np.int64] | None = None, workloads: Sequence[Workload] = ()) -> Problem:
        """Return the problem.

        Args:
            candidates: the only designs that exist, coded, shape [designs, parameters].
            workloads: that the designs are for.

        Raises:
            ArmillaryError: if no metric is a goal.
        """
        if not self.objectives:
            raise ArmillaryError(
                f"{self.path}: no metric has a goal; write goal: minimize (or maximize) at one of "
                f"{list(self.form.metrics)}"
            )
        return Problem(
            self.space, self.objectives, self.bounds, self.laws, tuple(workloads), self.metrics, self.exists, candidates
        )

    def value(self, name: str, value: Value) -> Given:
        """Return a design's value as the file writes it."""
        return self.originals.get(name, {}).get(str(value), value)

    def outcome(self, row: Mapping[str, Any]) -> tuple[dict[str, float], str | None]:
        """Return the metrics of one row that is written as the user's files are, and why it failed, None if it did not.

        Args:
            row: values by the names of the files' columns.

        Raises:
            ArmillaryError: if a metric is no number, the row lacks what decides whether it is feasible, or it is
                feasible and lacks a goal or a bounded metric.
        """
        log = self.form.log
        held = {name: log.columns.get(name, name) for name in row}
        metrics = {
            held[name]: _number(name, value) * log.scale.get(name, 1.0)
            for name, value in row.items()
            if held[name] in self.own_metrics and value is not None
        }
        asked = [objective.metric for objective in self.objectives] + [bound.metric for bound in self.bounds]
        missing = [name for name in asked if name not in metrics and name not in self.laws]
        if self._feasible(row, missing):
            if missing:
                raise ArmillaryError(f"it is feasible, but lacks {missing[0]!r}; it holds {list(row)}")
            return metrics, None
        reason = str(row.get(log.reason, "")) if log.reason is not None else ""
        return metrics, reason or "unstated"

    def _feasible(self, row: Mapping[str, Any], missing: Sequence[str]) -> bool:
        rule = self.form.log.feasible
        if rule is None:
            stated = row.get("feasible", not missing)
            if not isinstance(stated, bool):
                raise ArmillaryError(f"feasible={stated!r} is not allowed; it must be true or false")
            return stated
        kinds: dict[str, Kind] = {name: _kind_in_row(name, row[name]) for name in names_in(rule) if name in row}
        columns = {name: np.array([row[name]]) for name in kinds}
        if not columns:
            raise ArmillaryError(f"it has none of the columns of log.feasible={rule!r}; it holds {list(row)}")
        return bool(parse(rule, kinds, "truth")(columns)[0])


def read_problem(path: Path) -> ProblemFile:
    """Read and check a problem file.

    Raises:
        ArmillaryError: names the file and, line by line, every fault: the field, its value and what is allowed.
    """
    located = read_located(path)
    if not isinstance(located.content, Mapping):
        raise ArmillaryError(f"{path}: is no problem file; it needs name, parameters and metrics")
    faults = _Faults(located)
    try:
        form = ProblemForm.model_validate(located.content)
    except ValidationError as fault:
        for error in fault.errors():
            faults.add(_place_of(error["loc"]), _reason(error))
        raise faults.error() from None
    found = _Checked(form, faults).problem_file(path)
    if faults:
        raise faults.error()
    return found


class _Faults:
    """What is wrong with a file, each with its line."""

    def __init__(self, located: Located) -> None:
        self._located = located
        self._found: list[tuple[int, str]] = [(0, fault) for fault in located.faults]

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, place: Place, message: str) -> None:
        """Note a fault at a place."""
        line = self._located.line(place)
        self._found.append((line, f"line {line}: {'.'.join(map(str, place))}: {message}"))

    def error(self) -> ArmillaryError:
        """Return all of them, by line."""
        lines = [text for _, text in sorted(self._found, key=lambda fault: fault[0])]
        if len(lines) == 1:
            return ArmillaryError(f"{self._located.path}: {lines[0]}")
        return ArmillaryError(f"{self._located.path}: {len(lines)} faults\n  " + "\n  ".join(lines))


_FORMS = {"str", "dict[str,float]", "bool", "int", "float", "list[union[bool,int,float,str]]"}


def _place_of(loc: tuple[str | int, ...]) -> Place:
    """Return the place in the file of pydantic's, which names the members of unions, too."""
    return tuple(part for part in loc if part not in _FORMS and not str(part).startswith("function-"))


def _reason(error: Any) -> str:
    name, value = str(error["loc"][-1]), error["input"]
    if error["type"] == "extra_forbidden":
        allowed = _allowed_beside(error["loc"])
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"is unknown; {hint}known are {allowed}"
    if error["type"] == "missing":
        return "is missing"
    return f"{value!r} is not allowed: {error['msg'][0].lower()}{error['msg'][1:]}"


def _allowed_beside(loc: tuple[str | int, ...]) -> list[str]:
    """Return the fields of the form that an unknown field stands in."""
    inner: dict[str, type[Form]] = {
        "parameters": ParameterForm,
        "metrics": MetricForm,
        "evaluator": EvaluatorForm,
        "log": LogForm,
    }
    form = inner.get(str(loc[0]), ProblemForm) if len(loc) > 1 else ProblemForm
    return list(form.model_fields)


class _Checked:
    """Checks what a form means, noting every fault."""

    def __init__(self, form: ProblemForm, faults: _Faults) -> None:
        self._form, self._faults = form, faults
        self._originals: dict[str, Mapping[str, Given]] = {}

    def problem_file(self, path: Path) -> ProblemFile:
        """Return what the form means; of no use where faults were noted."""
        form = self._form
        self._check_names()
        parameters = [p for name, given in form.parameters.items() if (p := self._parameter(name, given)) is not None]
        space = Space(form.name, tuple(parameters))
        kinds = {p.name: _kind(p) for p in parameters}
        rules = [
            r
            for i, text in enumerate(form.constraints)
            if (r := self._parsed(("constraints", i), text, kinds, "truth"))
        ]
        laws = {
            name: law
            for name, text in form.laws.items()
            if (law := self._parsed(("laws", name), text, kinds, "number")) is not None
        }
        self._check_laws()
        self._check_log()
        return ProblemFile(
            path=path,
            form=form,
            space=space,
            metrics={**OURS, **{name: _metric(m) for name, m in form.metrics.items() if name not in OURS}},
            objectives=tuple(Objective(name, m.goal) for name, m in form.metrics.items() if m.goal is not None),
            bounds=tuple(self._bounds()),
            laws={name: _Computed(space, law) for name, law in laws.items()},
            exists=_Ruled(space, tuple(rules)) if rules else None,
            originals=self._originals,
        )

    def _check_names(self) -> None:
        taken: dict[str, str] = {}
        for group, names in (("parameters", self._form.parameters), ("metrics", self._form.metrics)):
            for name in names:
                place = (group, name)
                if not _NAME.fullmatch(name) or keyword.iskeyword(name):
                    self._faults.add(
                        place, "is no name; write letters, digits and _, and map the file's column in log.columns"
                    )
                elif name in RESERVED or name.startswith(_CONTEXT):
                    self._faults.add(
                        place, f"is the name of a column of every log; choose another, e.g. own_{name}, and map the "
                        "file's column in log.columns"
                    )  # fmt: skip
                elif name in taken:
                    self._faults.add(place, f"is a name among the {taken[name]} already")
                elif group == "parameters" and name in OURS:
                    self._faults.add(place, "is the name of a metric; choose another")
                taken.setdefault(name, group)
        for name, metric in self._form.metrics.items():
            if name in OURS and metric.unit != OURS[name].unit:
                self._faults.add(
                    ("metrics", name, "unit"),
                    f"{metric.unit!r} is not allowed; {name} is in {OURS[name].unit}. Choose another name or unit",
                )

    def _parameter(self, name: str, given: ParameterForm) -> Parameter | None:
        place = ("parameters", name)
        ways = [way for way in ("values", "range", "choices") if getattr(given, way) is not None]
        if len(ways) != 1:
            self._faults.add(place, f"has {' and '.join(ways) or 'no values'}; give values, a range or choices")
            return None
        if given.step is not None and given.range is None:
            self._faults.add((*place, "step"), "belongs to a range alone")
            return None
        values = list(self._spread(place, given)) if given.range is not None else given.values or given.choices or []
        if not values or not self._are_values(place, ways[0], values):
            if not values and given.range is None:
                self._faults.add((*place, ways[0]), "is empty; give at least one value")
            return None
        kind = self._kind_of(place, given, values)
        return None if kind is None else Parameter(name, self._typed(name, values), kind, given.unit)

    def _spread(self, place: Place, given: ParameterForm) -> Iterator[Given]:
        first, last = given.range or (0.0, 0.0)
        whole = all(number == int(number) for number in (first, last) if math.isfinite(number))
        if not math.isfinite(first) or not math.isfinite(last) or first >= last:
            self._faults.add(
                (*place, "range"), f"[{first:g}, {last:g}] is not allowed; the first must be less than the last"
            )
            return
        if given.step is None and not whole:
            self._faults.add((*place, "step"), "is missing; a range of fractions needs a step")
            return
        step = given.step or 1.0
        steps = (last - first) / step
        if abs(steps - round(steps)) > 1e-6:
            self._faults.add((*place, "step"), f"{step:g} does not divide the range {first:g} to {last:g}")
            return
        if round(steps) >= _MOST_VALUES:
            self._faults.add((*place, "step"), f"{step:g} makes {round(steps) + 1:,} values; at most {_MOST_VALUES:,}")
            return
        whole = whole and step == int(step)
        for i in range(round(steps) + 1):
            value = first + i * step
            yield round(value) if whole else float(f"{value:.12g}")

    def _are_values(self, place: Place, way: str, values: Sequence[Given]) -> bool:
        strange = [v for v in values if isinstance(v, float) and not math.isfinite(v)]
        if strange:
            self._faults.add(
                (*place, way), f"{strange[0]!r} is not allowed; values are finite numbers, texts or truth values"
            )
        texts = [str(v) for v in values]
        twice = [v for v in values if texts.count(str(v)) > 1] if len(values) <= 1000 else []
        if twice:
            self._faults.add((*place, way), f"lists {twice[0]!r} twice")
        if len(values) > _MOST_VALUES:
            self._faults.add((*place, way), f"has {len(values):,} values; at most {_MOST_VALUES:,}")
        return not strange and not twice and len(values) <= _MOST_VALUES

    def _kind_of(self, place: Place, given: ParameterForm, values: Sequence[Given]) -> Any:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if given.choices is not None or not numbers:
            if given.scale is not None:
                self._faults.add((*place, "scale"), f"{given.scale!r} is not allowed; only numbers have a scale")
                return None
            return "categorical"
        least = min(float(value) for value in values)
        if given.scale == "log" and least <= 0:
            self._faults.add((*place, "scale"), f"'log' is not allowed; {least:g} is not positive")
            return None
        rising = all(a < b for a, b in pairwise(values))  # type: ignore[operator]
        if not rising:
            self._faults.add(place, "lists numbers that do not rise; sort them, or write choices if they have no order")
            return None
        # ranks stand for equal steps; amounts count by their logarithm
        linear = given.scale == "linear" or (given.scale is None and given.range is not None)
        return "ordinal" if linear else "cardinal"

    def _typed(self, name: str, values: Sequence[Given]) -> tuple[Value, ...]:
        """Return values of one type: whole numbers beside fractions become fractions, any other mixture texts."""
        types = {type(value) for value in values}
        if len(types) == 1:
            return tuple(values)
        if types == {int, float}:
            return tuple(float(value) for value in values)
        self._originals[name] = {str(value): value for value in values}
        return tuple(str(value) for value in values)

    def _parsed(self, place: Place, text: str, kinds: Mapping[str, Kind], wanted: Kind) -> Expression | None:
        try:
            if set(names_in(text)) & (set(self._form.parameters) - set(kinds)):
                return None  # it names a parameter that has a fault itself
            return parse(text, kinds, wanted)
        except ArmillaryError as fault:
            self._faults.add(place, str(fault))
            return None

    def _check_laws(self) -> None:
        for name in self._form.laws:
            if name not in self._form.metrics:
                self._faults.add(("laws", name), f"is no metric of the file; they are {list(self._form.metrics)}")

    def _bounds(self) -> Iterator[Bound]:
        for name, metric in self._form.metrics.items():
            if metric.at_most is None and metric.at_least is None:
                continue
            if metric.at_most is not None and metric.at_least is not None and metric.at_least > metric.at_most:
                self._faults.add(
                    ("metrics", name, "at_least"), f"{metric.at_least:g} is more than at_most={metric.at_most:g}"
                )
                continue
            if name in OURS and metric.at_most is not None and metric.at_most <= 0:
                self._faults.add(
                    ("metrics", name, "at_most"), f"{metric.at_most:g} is not allowed; it must be positive"
                )
                continue
            yield Bound(name, metric.at_most, metric.at_least)

    def _check_log(self) -> None:
        log, known = self._form.log, [*self._form.parameters, *self._form.metrics]
        for column, name in log.columns.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                self._faults.add(
                    ("log", "columns", column), f"{name!r} is neither a parameter nor a metric; {hint}known are {known}"
                )
        twice = [name for name in log.columns.values() if list(log.columns.values()).count(name) > 1]
        if twice:
            self._faults.add(("log", "columns"), f"two columns hold {twice[0]!r}")
        for column, factor in log.scale.items():
            held = log.columns.get(column, column)
            if held not in self._form.metrics:
                self._faults.add(("log", "scale", column), f"holds no metric; metrics are {list(self._form.metrics)}")
            if not math.isfinite(factor) or factor == 0:
                self._faults.add(
                    ("log", "scale", column), f"{factor!r} is not allowed; it must be a number other than 0"
                )
        if log.feasible is not None:
            try:
                names_in(log.feasible)
            except ArmillaryError as fault:
                self._faults.add(("log", "feasible"), str(fault))


@dataclass(frozen=True)
class _Computed:
    """A law: an expression of a design's values."""

    space: Space
    expression: Expression

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self.expression(self.space.columns(codes)), dtype=float)


@dataclass(frozen=True)
class _Ruled:
    """Constraints: what all of them say of a design's values."""

    space: Space
    rules: tuple[Expression, ...]

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        columns = self.space.columns(codes)
        return np.asarray(np.logical_and.reduce([np.asarray(rule(columns), dtype=bool) for rule in self.rules]))


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArmillaryError(f"{name}={value!r} is no number")


def _kind_in_row(name: str, value: Any) -> Kind:
    if not isinstance(value, bool | int | float | str):
        raise ArmillaryError(f"{name}={value!r} is not allowed; it must be a number, text, true or false")
    return _kind_of_value(value)


def _kind(parameter: Parameter) -> Kind:
    return _kind_of_value(parameter.values[0])


def _kind_of_value(value: Any) -> Kind:
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _metric(form: MetricForm) -> Metric:
    """Return a metric of the user's own; one that is minimised in a unit of an amount is positive."""
    return Metric(form.unit, over_layers=total, positive=form.goal == "minimize" and form.unit in _AMOUNTS)
