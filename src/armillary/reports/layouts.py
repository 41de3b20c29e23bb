"""The section on designs that were laid out at the end: figures beside what was predicted, and pictures."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from armillary.reports.units import look_of, text_of
from armillary.reports.wording import percent, title
from armillary.studies.results import LaidOut, StudyResults

_ALWAYS = ("effective_mhz", "cells")


@dataclass(frozen=True)
class Figure:
    """A metric of a layout: as it was predicted, as it became, and by how much the prediction was off."""

    predicted: str
    measured: str
    error: str


@dataclass(frozen=True)
class LayoutRow:
    """A layout: its name, design, figures in the order of the heads, and why there is none, if so."""

    name: str
    design: str
    figures: tuple[Figure, ...]
    failure: str


@dataclass(frozen=True)
class Picture:
    """A picture of a layout, as a page carries it."""

    label: str
    title: str
    address: str


@dataclass(frozen=True)
class Layouts:
    """The section."""

    sentence: str
    heads: tuple[str, ...]
    rows: tuple[LayoutRow, ...]
    pictures: tuple[tuple[str, tuple[Picture, ...]], ...]


def layouts(results: StudyResults) -> Layouts | None:
    """Return what layouts there are at the end of a study; None if there are none."""
    if not results.layouts:
        return None
    metrics = _metrics(results)
    return Layouts(
        sentence=_sentence(results, metrics),
        heads=tuple(look_of(results, metric).title for metric in metrics),
        rows=tuple(_row(results, one, metrics) for one in results.layouts),
        pictures=tuple((one.name, _pictures(one)) for one in results.layouts if one.pictures),
    )


def _metrics(results: StudyResults) -> list[str]:
    """Return the metrics to show: what was predicted, the goals first, and what the flow tells besides."""
    goals = [o.metric for o in results.front.objectives] if results.front is not None else [results.problem.metric]
    bounds = [bound.metric for bound in results.problem.bounds]
    predicted = [name for one in results.layouts for name in one.predicted]
    order = dict.fromkeys([*goals, *bounds, *predicted, *_ALWAYS])
    return [name for name in order if any(name in one.measured for one in results.layouts)]


def _row(results: StudyResults, one: LaidOut, metrics: list[str]) -> LayoutRow:
    values = ", ".join(f"{name}={value}" for name, value in one.design.as_dict().items())
    figures = tuple(_figure(results, one, metric) for metric in metrics)
    return LayoutRow(one.name, values, figures, "" if one.failure is None else str(one.failure))


def _figure(results: StudyResults, one: LaidOut, metric: str) -> Figure:
    told = one.measured.get(metric, math.nan) if one.failure is None else math.nan
    said, error = one.predicted.get(metric), one.error(metric)
    spread = 1.645 * one.spread[metric] / said if said and metric in one.spread else None
    margin = "" if spread is None else f" ± {percent(spread)}"
    return Figure(
        predicted="" if said is None else text_of(results, metric, said) + margin,
        measured=text_of(results, metric, told),
        error="" if math.isnan(error) else f"{100 * error:+.1f}%".replace("-", "\u2212"),
    )


def _sentence(results: StudyResults, metrics: list[str]) -> str:
    errors = {name: [abs(one.error(name)) for one in results.layouts if name in one.predicted] for name in metrics}
    known = {name: np.array(found)[~np.isnan(found)] for name, found in errors.items() if found}
    told = [f"{look_of(results, n).title.lower()} {percent(float(e.mean()))}" for n, e in known.items() if len(e)]
    if not told:
        return "These designs were laid out at the end."
    return (
        "These designs were laid out at the end. Predictions made before, with their 90% interval, are off by "
        f"{', '.join(told)} in the mean."
    )


def _pictures(one: LaidOut) -> tuple[Picture, ...]:
    return tuple(
        Picture(f"{one.name}: {name}", title(name), f"data:image/png;base64,{base64.b64encode(content).decode()}")
        for name, content in one.pictures.items()
    )
