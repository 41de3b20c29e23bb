"""Charts of several objectives: what they trade, and how soon the search found it.

A function returns None where the study has no front to draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from armillary.metrics import derived
from armillary.reports.figures import hover_texts, rows_are, thinned
from armillary.reports.theme import LEGAL, ROLE_COLOURS, ROLE_SYMBOLS, Chart, axis, blank, spans_decades
from armillary.reports.units import look_of, study_scale, text_of
from armillary.reports.wording import listed, number, with_unit
from armillary.studies.fronts import Front
from armillary.studies.results import StudyResults
from armillary.types import Evaluations

_DOMINATED, _ON_FRONT = "Dominated", "On the front"
_PREFERRED = "Preferred"
_FEW = 100
"""Designs that would be lost in a plot if they were drawn as a cloud of thousands is."""
_CELL = 0.86  # of a place in the grid, so that titles have room


@dataclass(frozen=True)
class _Layer:
    """The designs of one marker: their values in the units of the axes, shape [rows, objectives], and hover texts."""

    name: str
    values: NDArray[np.float64]
    texts: list[str]

    @property
    def marker(self) -> dict[str, Any]:
        if self.name == _DOMINATED:
            few = len(self.values) <= _FEW
            return {"color": LEGAL, "size": 8 if few else 5, "opacity": 0.9 if few else 0.35}
        colour = ROLE_COLOURS["winner"]
        if self.name == _ON_FRONT:
            return {"color": colour, "size": 7, "opacity": 0.9}
        line = {"color": "#ffffff", "width": 1.5}
        return {"color": ROLE_COLOURS["log"], "symbol": ROLE_SYMBOLS["winner"], "size": 17, "line": line}


def front_chart(results: StudyResults) -> Chart | None:
    """The front among what was evaluated: one plot of two objectives, a matrix of plots of more."""
    front = results.front
    if front is None or len(front.objectives) < 2:
        return None
    metrics = [objective.metric for objective in front.objectives]
    scales = [study_scale(results, metric) for metric in metrics]
    layers = _layers(results, front, np.array([scale.factor for scale in scales]))
    titles = [with_unit(look_of(results, m).title, scale.unit) for m, scale in zip(metrics, scales, strict=True)]
    shown = np.concatenate([layer.values for layer in layers])
    figure = _scatter(layers, titles, shown) if len(metrics) == 2 else _matrix(layers, titles, shown)
    figure.update_layout(hovermode="closest")
    better = listed(
        [f"{'more' if o.direction == 'maximize' else 'less'} {_lower(results, o.metric)}" for o in front.objectives]
    )
    preferred = _point(results, front, front.values[front.preferred])
    return Chart(
        "front",
        f"What {listed([_lower(results, m) for m in metrics])} trade",
        f"{len(front.rows):,} designs of which no {rows_are(results)} design is better in all; better is {better}. "
        f"Hover or tap to read a design's parameters. {_preference(results, front)} "
        "Infeasible designs and those out of bounds are left out.",
        f"Scatter of {listed([_lower(results, m) for m in metrics])} for the {rows_are(results)} designs, with the "
        f"{len(front.rows)} on the front and the preferred one: {preferred}.",
        figure,
        520 if len(metrics) == 2 else 230 * (len(metrics) - 1) + 80,
    )


def front_progress(results: StudyResults) -> Chart | None:
    """The hypervolume of the front after each evaluation."""
    front = results.front
    if front is None or len(front.objectives) < 2:
        return None
    count = np.arange(1, len(front.hypervolume) + 1)
    figure = blank("none")
    figure.add_scatter(
        x=count,
        y=front.hypervolume,
        mode="lines",
        line={"color": ROLE_COLOURS["winner"], "width": 2, "shape": "hv"},
        hovertemplate="after %{x:,} evaluations: %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(axis("Evaluations"), rangemode="tozero")
    figure.update_yaxes(axis("Hypervolume"), rangemode="tozero")
    reference = _point(results, front, front.reference)
    final = number(float(front.hypervolume[-1]))
    return Chart(
        "front-progress",
        "How soon the front was found",
        "The volume that the designs so far dominate, in natural logarithms of the objectives where these are "
        f"positive, up to the worst feasible values: {reference}.",
        f"The hypervolume over {len(count)} evaluations, which ends at {final}.",
        figure,
        340,
    )


def _layers(results: StudyResults, front: Front, factors: NDArray[np.float64]) -> list[_Layer]:
    """Return the designs to draw, the preferred one last, so that it lies on top."""
    known = {design_key(front.rows, row) for row in range(len(front.rows))}
    legal = np.flatnonzero(results.problem.satisfied(results.log))
    rest = thinned(
        np.array([row for row in legal.tolist() if design_key(results.log, row) not in known], dtype=np.int64)
    )
    columns = [derived(results.log.metrics, o.metric, results.problem.metrics) for o in front.objectives]
    others = np.stack([np.full(len(results.log), np.nan) if c is None else c for c in columns], axis=1)[rest]
    on_front = np.flatnonzero(np.arange(len(front.rows)) != front.preferred)
    preferred = np.array([front.preferred])
    layers = [
        _Layer(_DOMINATED, others * factors, hover_texts(results, results.log, rest)),
        _Layer(_ON_FRONT, front.values[on_front] * factors, hover_texts(results, front.rows, on_front)),
        _Layer(_PREFERRED, front.values[preferred] * factors, hover_texts(results, front.rows, preferred)),
    ]
    return [layer for layer in layers if len(layer.values)]


def design_key(rows: Evaluations, row: int) -> tuple[Any, ...]:
    """Return what tells one design from another."""
    return tuple(column[row] for column in rows.design.values())


def _scatter(layers: list[_Layer], titles: list[str], shown: NDArray[np.float64]) -> go.Figure:
    figure = blank()
    for layer in layers:
        x, y = layer.values.T
        figure.add_scatter(x=x, y=y, mode="markers", **_common(layer))
    for update, title, column in zip((figure.update_xaxes, figure.update_yaxes), titles, shown.T, strict=True):
        update(axis(title, column.tolist(), log=spans_decades(column.tolist())))
    return figure


def _matrix(layers: list[_Layer], titles: list[str], shown: NDArray[np.float64]) -> go.Figure:
    """Return a plot for every pair of objectives, each pair once, below the diagonal of a grid.

    Plotly's own matrix of scatters needs WebGL, which browsers without a graphics driver lack.
    """
    figure, last = blank(), len(titles) - 1
    for layer in layers:
        for across, down in combinations(range(len(titles)), 2):
            figure.add_scatter(
                x=layer.values[:, across],
                y=layer.values[:, down],
                mode="markers",
                xaxis=f"x{across + 1}",
                yaxis=f"y{down}",
                legendgroup=layer.name,
                showlegend=(across, down) == (0, 1),
                **_common(layer),
            )
    for place, (title, column) in enumerate(zip(titles, shown.T, strict=True)):
        log = spans_decades(column.tolist())
        if place < last:
            side = [place / last, (place + _CELL) / last]
            bottom = {"domain": side, "anchor": "free", "position": 0}
            figure.update_layout({f"xaxis{place + 1}": {**axis(title, column.tolist(), log=log), **bottom}})
        if place > 0:
            side = [(last - place) / last, (last - place + _CELL) / last]
            figure.update_layout({f"yaxis{place}": {**axis(title, column.tolist(), log=log), "domain": side}})
    return figure


def _common(layer: _Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "marker": layer.marker,
        "text": layer.texts,
        "hovertemplate": "%{text}<extra>" + layer.name + "</extra>",
    }


def _preference(results: StudyResults, front: Front) -> str:
    if len(set(front.weights.tolist())) == 1:
        return f"The star is the design {front.rule}."
    weighed = listed(
        [f"{_lower(results, o.metric)} {w:g}" for o, w in zip(front.objectives, front.weights, strict=True)]
    )
    return f"The star is the design {front.rule}, weighed {weighed}."


def _point(results: StudyResults, front: Front, values: NDArray[np.float64]) -> str:
    return listed([text_of(results, o.metric, float(v)) for o, v in zip(front.objectives, values, strict=True)])


def _lower(results: StudyResults, metric: str) -> str:
    words = look_of(results, metric).title
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]
