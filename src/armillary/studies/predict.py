"""Predict: what a fitted model expects of the rows of a file, mapped layers or whole designs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from armillary import surrogates
from armillary.hardware.template import Template
from armillary.log.exchange import write_csv
from armillary.log.faults import FIRST_ROW
from armillary.log.layer_rows import read_design_rows, read_layer_rows
from armillary.log.sheet import read_table
from armillary.metrics import METRICS
from armillary.studies.layers import predict_layers
from armillary.studies.progress import OnProgress, silent
from armillary.studies.running import Running
from armillary.studies.subject import Subject
from armillary.surrogates import Savable, layers, model_file
from armillary.surrogates.layers import INTERVAL
from armillary.surrogates.several import as_seen_by
from armillary.workloads.context import context_of


@dataclass(frozen=True)
class PredictedRows:
    """What a model expects of rows, each of shape [rows].

    Attributes:
        metric: what was predicted.
        names: what each row is of, by a word for it.
        mean: what is expected; NaN where the model has nothing to go by.
        low: end of the interval that holds the truth with a chance of `interval`.
        high: its other end.
        p_feasible: the chance to be feasible.
        warnings: for whoever reads them.
        interval: how likely the truth is to lie within.
    """

    metric: str
    names: Mapping[str, list[str]]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_feasible: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    interval: float = INTERVAL

    def __len__(self) -> int:
        return len(self.mean)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows, each with its line in the file."""
        columns = {"mean": self.mean, "low": self.low, "high": self.high, "p_feasible": self.p_feasible}
        return [
            {
                "line": row + FIRST_ROW,
                **{word: names[row] for word, names in self.names.items()},
                **{name: float(column[row]) for name, column in columns.items()},
            }
            for row in range(len(self))
        ]


def predict_rows(
    subject: Subject,
    model: Path,
    rows: Path,
    evaluator: str | None,
    dims: Mapping[str, int],
    on_progress: OnProgress = silent,
) -> PredictedRows:
    """Return what a model expects of the rows of a CSV or Parquet file.

    Args:
        subject: whose designs they are.
        model: a file of a surrogate of layers, or of one of whole designs.
        rows: see `read_layer_rows` and `read_design_rows`.
        evaluator: whose answers to predict, where a model of whole designs learned from several.
        dims: values of the workloads' symbolic dimensions.
        on_progress: called with steps done and in total.

    Raises:
        ArmillaryError: if the model does not fit the subject, or a row is wrong; names file, row, column and value.
    """
    template = subject.template()
    if model_file.kind_of(model) in layers.names():
        return _of_layers(template, model, rows, on_progress)
    return _of_designs(subject, template, surrogates.read(model, template.space), rows, evaluator, dims)


def with_predictions(rows: Path, found: PredictedRows, out: Path) -> None:
    """Write the rows of a file with their predictions as further columns.

    Raises:
        ArmillaryError: if the file cannot be written.
    """
    table = read_table(rows).table
    for name, column in (
        (f"predicted_{found.metric}", found.mean),
        ("predicted_low", found.low),
        ("predicted_high", found.high),
        ("p_feasible", found.p_feasible),
    ):
        if name in table.column_names:  # of an earlier prediction
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array(column, from_pandas=True))
    write_csv(table.to_batches(), table.schema, out)


def _of_layers(template: Template, path: Path, rows: Path, on_progress: OnProgress) -> PredictedRows:
    model = layers.read(path, template.space)
    read = read_layer_rows(rows, template.space, template.defaults)
    found = predict_layers(model, template.name, read.rows, on_progress)
    return PredictedRows(
        metric=model.metric,
        names={"network": [one.network for one in read.rows], "layer": [one.layer.name for one in read.rows]},
        mean=found.mean,
        low=found.low,
        high=found.high,
        p_feasible=found.p_feasible,
        warnings=_unused(rows, read.unused),
    )


def _of_designs(
    subject: Subject,
    template: Template,
    model: Savable,
    rows: Path,
    evaluator: str | None,
    dims: Mapping[str, int],
) -> PredictedRows:
    read = read_design_rows(rows, template.space, template.defaults)
    mean, std, chance = (np.full(len(read.codes), np.nan) for _ in range(3))
    warnings = list(_unused(rows, read.unused))
    for name in dict.fromkeys(read.workloads.tolist()):
        (network,) = subject.workloads([name], Running(dims))
        context = as_seen_by(context_of(network), evaluator, model.feature_names)
        unlike = model.unlike(context)
        if unlike is not None:
            warnings.append(unlike)
        own = np.flatnonzero(read.workloads == name)
        found = model.predict(read.codes[own], context)
        mean[own], std[own], chance[own] = found.mean, found.std, found.p_feasible
    metric = model.problem.metric
    reach = ndtri((1 + INTERVAL) / 2) * std
    least = 0.0 if metric in METRICS and METRICS[metric].positive else -np.inf
    return PredictedRows(
        metric=metric,
        names={"workload": read.workloads.tolist()},
        mean=mean,
        low=np.maximum(mean - reach, least),
        high=mean + reach,
        p_feasible=chance,
        warnings=tuple(warnings),
    )


def _unused(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    return (f"{path}: columns that are not used: {', '.join(names)}",) if names else ()
