"""Many runs of layers of one space, column by column: the second table of a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.bits import Bits
from armillary.log.columns import numbered, objects
from armillary.types import ArmillaryError, Design, Evaluation, Evaluations, EvaluatorSpec, Failure, LayerRun
from armillary.workloads.layer import Layer

LAYER_FIELDS = tuple(field.name for field in fields(Layer) if field.name not in ("name", "bits"))
_FAILURE_FIELDS = tuple(field.name for field in fields(Failure))
_LAYER_TYPES: Mapping[str, type] = {"kind": object, "bias": bool, "dynamic": bool}  # the others are int64
_FAILURE_TYPES: Mapping[str, type] = {"needed": float, "available": float}  # the others are text
_OF_EVALUATIONS = ("space", "design", "workload", "evaluator", "version", "fidelity", "options", "seed", "time")
# What a run has in common with the evaluation that it is part of, besides the design.
_JOINED_BY = ("workload", "evaluator", "version", "options", "seed")


@dataclass(frozen=True)
class LayerRuns:
    """Runs of layers, row by row; every array has shape [rows].

    `design` and `metrics` map a name to its column. A row belongs to the evaluation of the same design, workload,
    evaluator, version, options and seed; `workload` is "" where the layer ran alone, and then `network` may say which
    network it was taken from. `position` counts the uses of layers in the workload from 0, and `runs` says how often
    that use runs per inference; metrics are those of one run. `layer` is the layer's name; from `kind` to
    `outputs_per_bias` stand the fields of `Layer`; `bits` are widths of its own, "" where it has none. Text columns are
    object arrays; the failure columns hold "" (text) and NaN (numbers) where there is no failure.
    """

    space: str
    design: Mapping[str, NDArray[Any]]
    workload: NDArray[np.object_]
    network: NDArray[np.object_]
    evaluator: NDArray[np.object_]
    version: NDArray[np.object_]
    fidelity: NDArray[np.object_]
    options: NDArray[np.object_]
    position: NDArray[np.int64]
    runs: NDArray[np.int64]
    layer: NDArray[np.object_]
    kind: NDArray[np.object_]
    N: NDArray[np.int64]
    K: NDArray[np.int64]
    C: NDArray[np.int64]
    P: NDArray[np.int64]
    Q: NDArray[np.int64]
    R: NDArray[np.int64]
    S: NDArray[np.int64]
    stride_h: NDArray[np.int64]
    stride_w: NDArray[np.int64]
    dilation_h: NDArray[np.int64]
    dilation_w: NDArray[np.int64]
    groups: NDArray[np.int64]
    bias: NDArray[np.bool_]
    dynamic: NDArray[np.bool_]
    outputs_per_bias: NDArray[np.int64]
    bits: NDArray[np.object_]
    mapping: NDArray[np.object_]
    metrics: Mapping[str, NDArray[np.float64]]
    feasible: NDArray[np.bool_]
    failure_kind: NDArray[np.object_]
    failure_resource: NDArray[np.object_]
    failure_layer: NDArray[np.object_]
    failure_needed: NDArray[np.float64]
    failure_available: NDArray[np.float64]
    failure_detail: NDArray[np.object_]
    seed: NDArray[np.int64]
    time: NDArray[np.datetime64]

    PLAIN_COLUMNS = (
        "workload", "network", "evaluator", "version", "fidelity", "options", "position", "runs", "layer",
        *LAYER_FIELDS, "bits", "mapping", "feasible", *(f"failure_{name}" for name in _FAILURE_FIELDS), "seed", "time",
    )  # fmt: skip
    NAMED_COLUMNS = ("design", "metrics")

    def __post_init__(self) -> None:
        for name, column in self.columns():
            if column.shape != (len(self),):
                raise ValueError(f"column {name} has shape {column.shape}, expected ({len(self)},)")

    def __len__(self) -> int:
        return int(self.feasible.shape[0])

    def columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield every column as (name, array); grouped columns as `design.x`, `metrics.x`."""
        for name in self.PLAIN_COLUMNS:
            yield name, getattr(self, name)
        for group in self.NAMED_COLUMNS:
            for name, column in getattr(self, group).items():
                yield f"{group}.{name}", column

    def select(self, rows: NDArray[Any] | slice) -> LayerRuns:
        """Return the chosen rows (boolean mask, indices or slice), in that order."""
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in self.PLAIN_COLUMNS}
        for group in self.NAMED_COLUMNS:
            chosen[group] = {name: column[rows] for name, column in getattr(self, group).items()}
        return LayerRuns(space=self.space, **chosen)

    def row(self, row: int) -> LayerRun:
        """Return one row as a value."""
        return self.select(np.array([row])).to_list()[0]

    def to_list(self) -> list[LayerRun]:
        """Return every row as a value; rows of one design share it, and so do rows of one layer."""
        columns = (
            self._designs(), self._layers(), self.mapping.tolist(), self._metrics(), self._failures(),
            self.runs.tolist(), self.network.tolist(),
        )  # fmt: skip
        return [LayerRun(*row) for row in zip(*columns, strict=True)]

    def _designs(self) -> list[Design]:
        firsts, which = _different(list(self.design.values()))
        rows = zip(*(column[firsts].tolist() for column in self.design.values()), strict=True)
        designs = [Design(self.space, tuple(zip(self.design, values, strict=True))) for values in rows]
        return [designs[i] for i in which.tolist()]

    def _layers(self) -> list[Layer]:
        columns = [getattr(self, name) for name in ("layer", *LAYER_FIELDS, "bits")]
        firsts, which = _different(columns)
        *known, bits = (column[firsts].tolist() for column in columns)
        widths = [Bits.parse(text) if text else None for text in bits]
        layers = [Layer(*values) for values in zip(*known, widths, strict=True)]
        return [layers[i] for i in which.tolist()]

    def _metrics(self) -> list[dict[str, float]]:
        if not self.metrics:
            return [{} for _ in range(len(self))]
        rows = zip(*(column.tolist() for column in self.metrics.values()), strict=True)
        return [{name: value for name, value in zip(self.metrics, row, strict=True) if value == value} for row in rows]

    def _failures(self) -> list[Failure | None]:
        broken = np.flatnonzero(~self.feasible)
        rows = zip(*(getattr(self, f"failure_{name}")[broken].tolist() for name in _FAILURE_FIELDS), strict=True)
        failures: list[Failure | None] = [None] * len(self)
        for row, values in zip(broken.tolist(), rows, strict=True):
            failures[row] = Failure(*values)
        return failures

    @staticmethod
    def of_evaluations(evaluations: Sequence[Evaluation]) -> LayerRuns:
        """Return the runs that evaluations tell; none of those that tell none.

        Raises:
            ArmillaryError: if an evaluation tells runs on another design, or two of layers of one name.
            ValueError: if there is no evaluation, or they are of several spaces.
        """
        for evaluation in evaluations:
            _check(evaluation)
        counts = np.array([len(evaluation.layers) for evaluation in evaluations], dtype=np.int64)
        rows = Evaluations.from_list(evaluations).select(np.repeat(np.arange(len(counts)), counts))
        positions = np.concatenate([np.arange(count) for count in counts])
        return _of(rows, positions, [run for evaluation in evaluations for run in evaluation.layers])

    @staticmethod
    def of_runs(runs: Sequence[LayerRun], spec: EvaluatorSpec, time: datetime) -> LayerRuns:
        """Return runs of layers alone.

        Args:
            runs: of one space.
            spec: which evaluator ran them.
            time: when, in UTC.

        Raises:
            ValueError: if there is no run, or they are of several spaces.
        """
        alone = [
            Evaluation(
                design=run.design, workload="", context={}, evaluator=spec.name, version=spec.version,
                fidelity=spec.fidelity, metrics={}, feasible=True, failure=None, seconds=0.0, seed=spec.seed, time=time,
                options=spec.options,
            )
            for run in runs
        ]  # fmt: skip
        return _of(Evaluations.from_list(alone), np.zeros(len(runs), dtype=np.int64), runs)

    @staticmethod
    def concat(parts: Sequence[LayerRuns]) -> LayerRuns:
        """Return the rows of all parts; a metric that a part lacks becomes NaN."""
        if not parts:
            raise ValueError("nothing to concatenate")
        first = parts[0]
        for part in parts[1:]:
            if part.space != first.space or list(part.design) != list(first.design):
                raise ValueError(
                    f"layer runs of space {part.space!r} {list(part.design)} do not join those of "
                    f"{first.space!r} {list(first.design)}"
                )
        metrics = dict.fromkeys(name for part in parts for name in part.metrics)
        unknown = [np.full(len(part), np.nan) for part in parts]
        joined: dict[str, Any] = {
            "design": {name: np.concatenate([part.design[name] for part in parts]) for name in first.design},
            "metrics": {
                name: np.concatenate([p.metrics.get(name, nan) for p, nan in zip(parts, unknown, strict=True)])
                for name in metrics
            },
        }
        for name in LayerRuns.PLAIN_COLUMNS:
            joined[name] = np.concatenate([getattr(part, name) for part in parts])
        return LayerRuns(space=first.space, **joined)


def runs_of_each(evaluations: Evaluations, runs: LayerRuns) -> list[tuple[LayerRun, ...]]:
    """Return, for each of the evaluations, those of the runs that it was added up from, in the order of its workload.

    Where a use of a layer was written more than once, the last row counts.

    Raises:
        ValueError: if the designs have different parameters.
    """
    of_runs, of_evaluations = _whose(evaluations, runs)
    order = np.lexsort((runs.position, of_runs))  # stable: of equal ones the last written comes last
    of_runs, positions = of_runs[order], runs.position[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (of_runs[1:] != of_runs[:-1]) | (positions[1:] != positions[:-1])
    last &= np.isin(of_runs, of_evaluations)
    order, of_runs = order[last], of_runs[last]
    values = runs.select(order).to_list()
    starts = np.searchsorted(of_runs, of_evaluations, side="left").tolist()
    ends = np.searchsorted(of_runs, of_evaluations, side="right").tolist()
    return [tuple(values[start:end]) for start, end in zip(starts, ends, strict=True)]


def _whose(evaluations: Evaluations, runs: LayerRuns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for each run and for each evaluation, equal where the run belongs to the evaluation."""
    if set(runs.design) != set(evaluations.design):
        raise ValueError(
            f"layer runs of parameters {list(runs.design)} do not belong to evaluations of {list(evaluations.design)}"
        )
    pairs = [(runs.design[name], column) for name, column in evaluations.design.items()]
    pairs += [(getattr(runs, name), getattr(evaluations, name)) for name in _JOINED_BY]
    numbers = numbered([np.concatenate(pair) for pair in pairs])
    return numbers[: len(runs)], numbers[len(runs) :]


def _check(evaluation: Evaluation) -> None:
    """Refuse runs of which no reader could tell what they belong to."""
    whose = f"evaluator {evaluation.evaluator}: an evaluation of workload {evaluation.workload!r}"
    names = [run.layer.name for run in evaluation.layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArmillaryError(f"{whose} tells two runs of layers named {twice[0]!r}")
    for run in evaluation.layers:
        if run.design != evaluation.design:
            raise ArmillaryError(f"{whose} and design {evaluation.design} tells a run on {run.design}")


def _of(rows: Evaluations, positions: NDArray[np.int64], runs: Sequence[LayerRun]) -> LayerRuns:
    """Return runs as columns.

    Args:
        rows: whose each run is; row by row, as are the next.
        positions: of the run in its evaluation, shape [rows].
        runs: of layers.
    """
    failures = [run.failure or Failure(kind="") for run in runs]
    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    described: dict[str, Any] = {
        "layer": objects([run.layer.name for run in runs]),
        **{
            name: np.array([getattr(run.layer, name) for run in runs], dtype=_LAYER_TYPES.get(name, np.int64))
            for name in LAYER_FIELDS
        },
        "bits": objects([str(run.layer.bits or "") for run in runs]),
        **{
            f"failure_{name}": np.array([getattr(f, name) for f in failures], dtype=_FAILURE_TYPES.get(name, object))
            for name in _FAILURE_FIELDS
        },
    }
    return LayerRuns(
        **{name: getattr(rows, name) for name in _OF_EVALUATIONS},
        position=positions,
        network=objects([run.network for run in runs]),
        runs=np.array([run.runs for run in runs], dtype=np.int64),
        mapping=objects([run.mapping for run in runs]),
        metrics={name: np.array([run.metrics.get(name, np.nan) for run in runs], dtype=float) for name in metrics},
        feasible=np.array([run.failure is None for run in runs], dtype=bool),
        **described,
    )


def _different(columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first of each kind of equal rows, and which kind every row is."""
    which = numbered(columns)
    return np.unique(which, return_index=True)[1], which
