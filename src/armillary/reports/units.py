"""The unit of each quantity of a study: one, on its page and on the command line, chosen by what it is to show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from armillary.reports.wording import Look, Scale, look
from armillary.studies.results import Contender, StudyResults
from armillary.types import Metric


def head_of(metric: str, metrics: Mapping[str, Metric] | None = None) -> str:
    """Return what a column of a metric is headed with."""
    return look(metric, metrics).title


def scale_of(metric: str, contenders: Iterable[Contender], metrics: Mapping[str, Metric] | None = None) -> Scale:
    """Return the unit in which a metric of networks is written: it suits the first contender that has it."""
    return suiting(metric, (c.metrics.get(metric, math.nan) for c in contenders if c.failure is None), metrics)


def suiting(metric: str, values: Iterable[float], metrics: Mapping[str, Metric] | None = None) -> Scale:
    """Return the unit of a metric that suits the first known of the values."""
    first = next((value for value in values if math.isfinite(value) and value), None)
    return Scale.of_metric(metric, [] if first is None else [first], metrics)


def look_of(results: StudyResults, metric: str | None = None) -> Look:
    """Return how a study shows a metric, which may be its own; that of its objective, if none is given."""
    return look(results.problem.metric if metric is None else metric, results.problem.metrics)


def study_scale(results: StudyResults, metric: str) -> Scale:
    """Return the unit in which the page of a study writes a metric of networks."""
    return scale_of(metric, [contender for _, contender in results.contenders()], results.problem.metrics)


def text_of(results: StudyResults, metric: str, value: float) -> str:
    """Return the value of a metric of a network with the unit that the page of a study has for it."""
    return study_scale(results, metric).text(value)


@dataclass(frozen=True)
class LayerUnits:
    """The units in which a page writes amounts of single layers, which are far smaller than those of networks."""

    time: Scale
    work: Scale
    traffic: Scale
    energy: Scale


def layer_units(shown: Sequence[Contender]) -> LayerUnits:
    """Return the units that suit the layers of the first contender."""
    layers = shown[0].layers
    return LayerUnits(
        time=Scale.of(shown[0].layer_seconds().tolist(), "s"),
        work=Scale.of([layer.macs for layer in layers], "MAC"),
        traffic=Scale.of_metric("dram_bytes", [layer.dram_bytes for layer in layers]),
        energy=Scale.of_metric("energy_pj", [layer.energy_pj for layer in layers]),
    )
