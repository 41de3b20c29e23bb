"""The shared nouns and protocols; imports nothing else of Armillary at run time.

Values are frozen. One design is a `Design`, one result an `Evaluation`; many results travel as
`Evaluations`, one array per column, because a log holds millions of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from armillary.problems.outcomes import Outcomes
    from armillary.problems.problem import Problem
    from armillary.workloads.context import Context
    from armillary.workloads.layer import Layer, Workload

Value = int | float | str


class ArmillaryError(Exception):
    """The request was wrong; the message says what, where, and what is allowed."""


class AccidentError(Exception):
    """A tool was ended by a signal, or lacked what every run needs of the machine, such as memory.

    Nobody knows what it would have answered: the evaluation may be tried again, and its failure must never be kept as
    the design's answer.
    """


class Fidelity(StrEnum):
    """How true an evaluator is; a truer one is greater. `external` is somebody else's tool and has no rank."""

    ANALYTICAL = "analytical"
    RTL = "rtl"
    PHYSICAL = "physical"
    EXTERNAL = "external"

    @property
    def rank(self) -> int | None:
        """The place from the cheapest to the truest; None for `external`."""
        return None if self is Fidelity.EXTERNAL else list(Fidelity).index(self)

    def __lt__(self, other: object) -> bool:
        return _ranks(self, other)[0] < _ranks(self, other)[1]

    def __le__(self, other: object) -> bool:
        return _ranks(self, other)[0] <= _ranks(self, other)[1]

    def __gt__(self, other: object) -> bool:
        return _ranks(self, other)[0] > _ranks(self, other)[1]

    def __ge__(self, other: object) -> bool:
        return _ranks(self, other)[0] >= _ranks(self, other)[1]


def _ranks(one: Fidelity, other: object) -> tuple[int, int]:
    ranks = one.rank, other.rank if isinstance(other, Fidelity) else None
    if ranks[0] is None or ranks[1] is None:
        raise TypeError(f"{one!r} and {other!r} have no order; compare two of analytical, rtl and physical")
    return ranks[0], ranks[1]


class Cost(StrEnum):
    """What an evaluation takes, which decides how it is run.

    `batch`: less than a millisecond, thousands at once in this process. `seconds`: one after another in this process.
    `minutes`: in a process of its own, which can be ended.
    """

    BATCH = "batch"
    SECONDS = "seconds"
    MINUTES = "minutes"


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Attributes:
        unit: as it is printed; `1` for a plain number.
        over_layers: how the runs of a network's layers combine: from the values of one run of each layer, shape
            [..., layers], and how often each runs, shape [layers], to those of the network, shape [...]. None if they
            do not.
        derive: the value from other metrics, where it follows from them.
        positive: whether nothing that works has zero or less of it, as of a time or an area.
    """

    unit: str
    over_layers: Callable[[Any, Any], Any] | None = None
    derive: Callable[[Mapping[str, Any]], Any] | None = None
    positive: bool = False


@dataclass(frozen=True)
class Design:
    """One point of a space: the value of each parameter, in the order of the space."""

    space: str
    items: tuple[tuple[str, Value], ...]

    def __getitem__(self, name: str) -> Value:
        for key, value in self.items:
            if key == name:
                return value
        raise KeyError(f"design of {self.space} has no parameter {name!r}; it has {list(self.as_dict())}")

    def as_dict(self) -> dict[str, Value]:
        """Return the parameter values by name."""
        return dict(self.items)


@dataclass(frozen=True)
class MappingSearch:
    """How an evaluator is to find the mappings of a candidate.

    Attributes:
        mapper: the search, by the name under which it is registered.
        starts: by layer name, mappings to begin with, as text; of another design perhaps.
    """

    mapper: str
    starts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """What is evaluated: a design, with the mapping of each layer or without.

    Attributes:
        design: the hardware.
        mappings: by layer name, as text; None leaves them to the evaluator.
        search: how the evaluator is to find them; None leaves that to the evaluator, too.
    """

    design: Design
    mappings: Mapping[str, str] | None = None
    search: MappingSearch | None = None


@dataclass(frozen=True)
class Failure:
    """Why a design is infeasible, or how its evaluation broke.

    `kind` is `infeasible` (the design cannot work), `error` (the tool broke) or `timeout`.
    For an infeasible design `resource` names what ran out, `layer` where (empty for the whole
    chip), with `needed` and `available` in the unit that ends the resource's name.
    """

    kind: str
    resource: str = ""
    layer: str = ""
    needed: float = float("nan")
    available: float = float("nan")
    detail: str = ""

    def __str__(self) -> str:
        if self.kind != "infeasible":
            return f"{self.kind}: {self.detail}"
        where = f"layer {self.layer}: " if self.layer else ""
        if np.isnan(self.needed):
            return f"{where}{self.resource or 'infeasible'}{': ' + self.detail if self.detail else ''}"
        return f"{where}{self.resource} needs {self.needed:,.6g}, has {self.available:,.6g}"


@dataclass(frozen=True)
class LayerRun:
    """One layer on one design under one mapping, as one evaluator saw it.

    Attributes:
        design: the hardware.
        layer: as the hardware runs it.
        mapping: as text; empty where the evaluator has none to tell.
        metrics: of one run.
        failure: why there are none.
        runs: how often the layer runs per inference, where it is part of one.
        network: which network a layer that ran alone was taken from; empty where nobody said.
    """

    design: Design
    layer: Layer
    mapping: str
    metrics: Mapping[str, float]
    failure: Failure | None = None
    runs: int = 1
    network: str = ""


@dataclass(frozen=True)
class MappedLayer:
    """What runs alone: a layer under a mapping on a design.

    Attributes:
        design: the hardware.
        layer: of a network; the hardware may run several of its groups as one.
        mapping: as text, of the layer as the hardware runs it.
        network: which network the layer was taken from; empty where nobody said.
    """

    design: Design
    layer: Layer
    mapping: str
    network: str = ""


@dataclass(frozen=True)
class Evaluation:
    """One result: a design on a workload, seen by one evaluator.

    `options` are the evaluator's. `layers` are the runs that were added up, in the order of the workload's layers,
    where the evaluator tells them; their layers have different names.
    """

    design: Design
    workload: str
    context: Mapping[str, float]
    evaluator: str
    version: str
    fidelity: Fidelity
    metrics: Mapping[str, float]
    feasible: bool
    failure: Failure | None
    seconds: float
    seed: int
    time: datetime
    options: Mapping[str, Value] = field(default_factory=dict)
    layers: tuple[LayerRun, ...] = ()

    def __post_init__(self) -> None:
        if self.feasible and self.failure is not None:
            raise ValueError(f"a feasible evaluation has no failure, got {self.failure}")
        if not self.feasible and self.failure is None:
            raise ValueError("an infeasible evaluation states its failure")


@dataclass(frozen=True)
class Evaluations:
    """Many results of one space, column by column; every array has shape [rows].

    `design`, `context` and `metrics` map a name to its column. Metrics of infeasible rows are NaN
    where the evaluator could not know them. Text columns are object arrays; the failure columns
    hold "" (text) and NaN (numbers) where there is no failure. `options` are those of the evaluator as `options_text`
    writes them. Runs of layers are a table of their own.
    """

    space: str
    design: Mapping[str, NDArray[Any]]
    workload: NDArray[np.object_]
    context: Mapping[str, NDArray[np.float64]]
    evaluator: NDArray[np.object_]
    version: NDArray[np.object_]
    fidelity: NDArray[np.object_]
    metrics: Mapping[str, NDArray[np.float64]]
    feasible: NDArray[np.bool_]
    failure_kind: NDArray[np.object_]
    failure_resource: NDArray[np.object_]
    failure_layer: NDArray[np.object_]
    failure_needed: NDArray[np.float64]
    failure_available: NDArray[np.float64]
    failure_detail: NDArray[np.object_]
    seconds: NDArray[np.float64]
    seed: NDArray[np.int64]
    time: NDArray[np.datetime64]
    options: NDArray[np.object_]

    PLAIN_COLUMNS = (
        "workload", "evaluator", "version", "fidelity", "feasible", "failure_kind", "failure_resource",
        "failure_layer", "failure_needed", "failure_available", "failure_detail", "seconds", "seed", "time", "options",
    )  # fmt: skip
    NAMED_COLUMNS = ("design", "context", "metrics")

    def __post_init__(self) -> None:
        for name, column in self.columns():
            if column.shape != (len(self),):
                raise ValueError(f"column {name} has shape {column.shape}, expected ({len(self)},)")

    def __len__(self) -> int:
        return int(self.feasible.shape[0])

    def columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield every column as (name, array); grouped columns as `design.x`, `context.x`, `metrics.x`."""
        for name in self.PLAIN_COLUMNS:
            yield name, getattr(self, name)
        for group in self.NAMED_COLUMNS:
            for name, column in getattr(self, group).items():
                yield f"{group}.{name}", column

    def with_metrics(self, added: Mapping[str, NDArray[np.float64]]) -> Evaluations:
        """Return the rows with more metrics."""
        return replace(self, metrics={**self.metrics, **added})

    def settled(self) -> NDArray[np.bool_]:
        """Return which rows tell about their designs, shape [rows]; where the evaluation broke they do not."""
        return np.asarray(self.feasible | (self.failure_kind == "infeasible"))

    def select(self, rows: NDArray[Any] | slice) -> Evaluations:
        """Return the chosen rows (boolean mask, indices or slice), in that order."""
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in self.PLAIN_COLUMNS}
        for group in self.NAMED_COLUMNS:
            chosen[group] = {name: column[rows] for name, column in getattr(self, group).items()}
        return Evaluations(space=self.space, **chosen)

    def failure(self, row: int) -> Failure | None:
        """Return why the row failed, None for a feasible one."""
        if self.feasible[row]:
            return None
        return Failure(
            kind=str(self.failure_kind[row]),
            resource=str(self.failure_resource[row]),
            layer=str(self.failure_layer[row]),
            needed=float(self.failure_needed[row]),
            available=float(self.failure_available[row]),
            detail=str(self.failure_detail[row]),
        )

    def row(self, row: int) -> Evaluation:
        """Return one row as a value."""
        return Evaluation(
            design=Design(self.space, tuple((name, _plain(column[row])) for name, column in self.design.items())),
            workload=str(self.workload[row]),
            context={name: float(column[row]) for name, column in self.context.items()},
            evaluator=str(self.evaluator[row]),
            version=str(self.version[row]),
            fidelity=Fidelity(self.fidelity[row]),
            metrics={name: float(column[row]) for name, column in self.metrics.items() if not np.isnan(column[row])},
            feasible=bool(self.feasible[row]),
            failure=self.failure(row),
            seconds=float(self.seconds[row]),
            seed=int(self.seed[row]),
            time=self.time[row].astype("datetime64[us]").astype(datetime),
            options=options_from(str(self.options[row])),
        )

    def to_list(self) -> list[Evaluation]:
        """Return every row as a value."""
        return [self.row(i) for i in range(len(self))]

    @staticmethod
    def from_list(evaluations: Sequence[Evaluation]) -> Evaluations:
        """Return the evaluations as columns; all must be of one space and name the same parameters."""
        if not evaluations:
            raise ValueError("no evaluations: an empty list has no space")
        space = evaluations[0].design.space
        foreign = {e.design.space for e in evaluations} - {space}
        if foreign:
            raise ValueError(f"evaluations of several spaces cannot share columns: {[space, *sorted(foreign)]}")
        failures = [e.failure or Failure(kind="") for e in evaluations]
        return Evaluations(
            space=space,
            design=_grouped([e.design.as_dict() for e in evaluations]),
            workload=_text([e.workload for e in evaluations]),
            context=_numbers([e.context for e in evaluations]),
            evaluator=_text([e.evaluator for e in evaluations]),
            version=_text([e.version for e in evaluations]),
            fidelity=_text([str(e.fidelity) for e in evaluations]),
            metrics=_numbers([e.metrics for e in evaluations]),
            feasible=np.array([e.feasible for e in evaluations], dtype=bool),
            failure_kind=_text([f.kind for f in failures]),
            failure_resource=_text([f.resource for f in failures]),
            failure_layer=_text([f.layer for f in failures]),
            failure_needed=np.array([f.needed for f in failures], dtype=float),
            failure_available=np.array([f.available for f in failures], dtype=float),
            failure_detail=_text([f.detail for f in failures]),
            seconds=np.array([e.seconds for e in evaluations], dtype=float),
            seed=np.array([e.seed for e in evaluations], dtype=np.int64),
            time=np.array([e.time for e in evaluations], dtype="datetime64[us]"),
            options=_text([options_text(e.options) for e in evaluations]),
        )

    @staticmethod
    def concat(parts: Sequence[Evaluations]) -> Evaluations:
        """Return the rows of all parts; a context or metric that a part lacks becomes NaN."""
        if not parts:
            raise ValueError("nothing to concatenate")
        first = parts[0]
        for part in parts[1:]:
            if part.space != first.space or list(part.design) != list(first.design):
                raise ValueError(
                    f"evaluations of space {part.space!r} {list(part.design)} do not join those of "
                    f"{first.space!r} {list(first.design)}"
                )
        return Evaluations(
            space=first.space,
            design={name: np.concatenate([p.design[name] for p in parts]) for name in first.design},
            context=_joined([p.context for p in parts], [len(p) for p in parts]),
            metrics=_joined([p.metrics for p in parts], [len(p) for p in parts]),
            **{name: np.concatenate([getattr(p, name) for p in parts]) for name in Evaluations.PLAIN_COLUMNS},
        )


def options_text(options: Mapping[str, Value]) -> str:
    """Return the options of an evaluator as one text, equal for equal options; empty for none."""
    return json.dumps(dict(options), sort_keys=True) if options else ""


def options_from(text: str) -> dict[str, Value]:
    """Return the options that `options_text` wrote."""
    return dict(json.loads(text)) if text else {}


def _plain(value: Any) -> Value:
    plain: Value = value.item() if isinstance(value, np.generic) else value
    return plain


def _text(values: Sequence[str]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _grouped(rows: Sequence[Mapping[str, Value]]) -> dict[str, NDArray[Any]]:
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        columns[name] = _text([str(v) for v in values]) if isinstance(values[0], str) else np.array(values)
    return columns


def _numbers(rows: Sequence[Mapping[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in names}


def _joined(
    parts: Sequence[Mapping[str, NDArray[np.float64]]], lengths: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: np.concatenate(
            [part.get(name, np.full(length, np.nan)) for part, length in zip(parts, lengths, strict=True)]
        )
        for name in names
    }


@dataclass(frozen=True)
class Prediction:
    """What a surrogate expects of designs: arrays of shape [designs], in the unit of the metric.

    A conservative `mean` is a ranking, not an estimate: infeasible and unseen designs are pushed up.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    p_feasible: NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatorSpec:
    """Which evaluator: enough to make it again elsewhere, and to tell whose a row is.

    Attributes:
        template: whose designs it evaluates.
        fidelity: how true it is.
        name: in the log.
        version: results of different versions are never mixed.
        options: every option with its value, as rows record them.
        cost: what an evaluation takes.
        seed: of what it draws.
    """

    template: str
    fidelity: Fidelity
    name: str
    version: str
    options: Mapping[str, Value] = field(default_factory=dict)
    cost: Cost = Cost.SECONDS
    seed: int = 0


class Evaluator(Protocol):
    """Anything that turns candidates into metrics; pure: the same arguments, the same answer."""

    @property
    def spec(self) -> EvaluatorSpec:
        """Which evaluator this is."""
        ...

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Return one evaluation per candidate, in order; a design that cannot work is an evaluation too."""
        ...


@runtime_checkable
class EvaluatesLayers(Protocol):
    """The capability of an evaluator to run layers alone; a network is then the fold of its layers' runs."""

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Return the runs of every layer on every candidate, candidate after candidate, in the order of the layers."""
        ...


@runtime_checkable
class EvaluatesMappedLayers(Protocol):
    """The capability of an evaluator to run mapped layers, each on a design of its own, for less than one by one."""

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun | Exception]]:
        """Yield the number of each with its run, or with what went wrong, as they finish, in any order."""
        ...

    def mapping_fault(self, wanted: MappedLayer) -> str | None:
        """Return why the mapping is none of the layer, whatever the design's sizes; None if it is one."""
        ...


@runtime_checkable
class AddsUpLayers(Protocol):
    """The capability of an evaluator to make a network's evaluation of its layers' runs, without running anything."""

    def added_up(self, candidate: Candidate, workload: Workload, runs: Sequence[LayerRun]) -> Evaluation:
        """Return what `evaluate` would of a candidate with mappings; of layers that failed, the first says why.

        Args:
            candidate: on which the layers ran.
            workload: of these layers.
            runs: of each layer, in the order of the workload's.
        """
        ...


@runtime_checkable
class EvaluatesBatches(Protocol):
    """The capability of an evaluator to take designs as codes and to answer in columns."""

    def evaluate_codes(self, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
        """Evaluate designs given as value indices, shape [designs, parameters]."""
        ...


class Log(Protocol):
    """Anything that can show the evaluations it holds of one space."""

    def evaluations(self, space: str) -> Evaluations:
        """Return every evaluation of designs of that space."""
        ...


class Surrogate(Protocol):
    """A model fitted to a log that predicts one metric with uncertainty."""

    def fit(self, log: Log, problem: Problem) -> Surrogate:
        """Learn the metric of the problem's objective from a log; return itself."""
        ...

    def predict(self, designs: NDArray[np.int64], context: Context) -> Prediction:
        """Predict designs given as value indices, shape [designs, parameters]."""
        ...


@runtime_checkable
class PredictsForEach(Protocol):
    """The capability of a surrogate to predict the same designs of several workloads for less than one by one."""

    def predict_each(self, designs: NDArray[np.int64], contexts: Sequence[Context]) -> list[Prediction]:
        """Return what `predict` says of the designs, shape [designs, parameters], for every context."""
        ...


class Optimizer(Protocol):
    """Ask and tell search; made from a problem and a seed."""

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates to evaluate."""
        ...

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Learn what became of candidates, asked here or not, failed ones included."""
        ...


@runtime_checkable
class AsksCodes(Protocol):
    """The capability of an optimizer to ask and be told in batches of codes, without objects per design."""

    def ask_codes(self, n: int) -> NDArray[np.int64]:
        """Return n designs as value indices, shape [n, parameters]."""
        ...

    def tell_codes(self, codes: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Learn what became of designs given as value indices, shape [designs, parameters]."""
        ...


class Executor(Protocol):
    """The only caller of evaluators."""

    def run(self, spec: EvaluatorSpec, candidates: Iterable[Candidate], workload: Workload) -> Iterator[Evaluation]:
        """Yield one evaluation per candidate, in order, failed ones included."""
        ...
