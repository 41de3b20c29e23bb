"""Figures of benchmarks: one self-contained page each, in the report's look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from armillary.atomic_file import replaced
from armillary.reports.theme import axis, blank, spans_decades

_LONG = 1e9
_NONE = 1e-3  # percent above the optimum that count as none
_FEW_TICKS = 3.0  # an axis of powers that spans less has one number on it
_COLOURS = (
    "#8a95a3", "#c77700", "#7a5195", "#2a9d8f", "#bc5090", "#555b6e", "#0067a5", "#d1495b", "#6a994e", "#000000",
    "#56b4e9", "#e3b505", "#9d6b53", "#b8d8ba", "#5f0f40",
)  # fmt: skip


def write_lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: Path,
    *,
    title: str,
    x: str,
    y: str,
    logarithmic: str = "xy",
) -> None:
    """Write a page with one line per name, axes logarithmic as in `write`."""
    figure = blank()
    for number, (name, (across, up)) in enumerate(curves.items()):
        figure.add_scatter(
            x=list(across),
            y=list(up),
            name=name,
            mode="lines+markers",
            line={"color": _COLOURS[number % len(_COLOURS)], "width": 2},
        )
    write(figure, path, title=title, x=x, y=y, logarithmic=logarithmic)


def write_bars(
    groups: Mapping[str, Mapping[str, float]],
    path: Path,
    *,
    title: str,
    y: str,
    spans: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    logarithmic: str = "y",
) -> None:
    """Write a page with bars: one colour per name of the outer mapping, one group per name of the inner.

    `spans` has the least and the most of each bar, drawn as a whisker. `logarithmic` as in `write`.
    """
    figure = blank()
    for number, (name, bars) in enumerate(groups.items()):
        whiskers = None
        if spans is not None:
            most, least = ([abs(spans[name][g][i] - bar) for g, bar in bars.items()] for i in (1, 0))
            whiskers = {"array": most, "arrayminus": least, "thickness": 1}
        figure.add_bar(
            x=list(bars),
            y=list(bars.values()),
            name=name,
            marker={"color": _COLOURS[number % len(_COLOURS)]},
            error_y=whiskers,
        )
    figure.update_layout(barmode="group")
    figure.update_xaxes(dtick=1)  # every group has its name, turned where there are many
    write(figure, path, title=title, x="", y=y, logarithmic=logarithmic)


def regrets_of(
    rows: Sequence[Mapping[str, Any]], *, method: str = "method", task: str = "task", worst: str = "worst_seed"
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return by method and task the median and the worst over the optimum, as `write_regrets` shows them.

    `method`, `task` and `worst` are the columns that hold them.
    """
    shown: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        shown.setdefault(row[method], {})[row[task]] = row["over_optimum"], row[worst]
    return shown


def write_regrets(groups: Mapping[str, Mapping[str, tuple[float, float]]], path: Path, *, title: str) -> None:
    """Write a page with how far above the optimum methods end, in percent on a logarithmic axis.

    Args:
        groups: by method and task the median and the worst over the optimum, at least 1; a whisker leads to the worst.
            What is not finite is not shown.
        path: of the page.
        title: above it.
    """
    figure = blank()
    most = 1.0
    for number, (name, tasks) in enumerate(groups.items()):
        ratios = np.array(list(tasks.values()))
        above = np.maximum(np.where(np.isfinite(ratios), 100 * (ratios - 1), np.nan), _NONE)
        most = np.fmax(most, np.fmax.reduce(above, axis=None))
        figure.add_scatter(
            x=list(tasks),
            y=above[:, 0].tolist(),
            name=name,
            mode="markers",
            marker={"color": _COLOURS[number % len(_COLOURS)], "size": 9},
            error_y={"array": (above[:, 1] - above[:, 0]).tolist(), "arrayminus": [0.0] * len(tasks), "thickness": 1},
        )
    figure.update_layout(scattermode="group")
    figure.update_xaxes(type="category", dtick=1)
    ticks = 10.0 ** np.arange(np.log10(_NONE), np.ceil(np.log10(most)) + 1)
    figure.update_yaxes(tickvals=ticks.tolist(), ticktext=["the optimum", *(f"{tick:g}%" for tick in ticks[1:])])
    figure.update_yaxes(range=[np.log10(_NONE) - 0.2, np.log10(ticks[-1])])
    write(figure, path, title=title, x="", y="Above the optimum", logarithmic="y")


def write(figure: go.Figure, path: Path, *, title: str, x: str, y: str, logarithmic: str = "") -> None:
    """Write a figure as a page of its own.

    Args:
        figure: what to show.
        path: of the page.
        title: above it.
        x: title of the x axis.
        y: title of the y axis.
        logarithmic: which axes are, of "xy", if what they show spreads far enough.
    """
    figure.update_layout(
        title={"text": title, "x": 0.01, "y": 0.97, "yanchor": "top"},
        margin={"t": 120, "l": 80, "r": 30, "b": 100},
        height=640,
        colorway=_COLOURS[1:],
        showlegend=figure.layout.meta["legend"] != "none",
        legend={"y": 1.02, "yanchor": "bottom"},  # below, long names of groups would cross it
    )
    figure.update_xaxes(_axis(figure, "x", x, log="x" in logarithmic))
    figure.update_yaxes(_axis(figure, "y", y, log="y" in logarithmic))
    with replaced(path) as unfinished:
        figure.write_html(unfinished, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})


def _axis(figure: go.Figure, name: str, title: str, *, log: bool) -> dict[str, Any]:
    """Return an axis for what a figure shows along it; numbers that are long to write as powers of ten."""
    numbers = [float(v) for t in figure.data for v in _along(t, name) if not isinstance(v, str)]
    long = max(numbers, default=0.0) >= _LONG
    return axis(title, numbers, log=log and spans_decades(numbers, _FEW_TICKS)) | (
        {"tickformat": ".0e"} if long else {}
    )


def _along(trace: Any, name: str) -> Any:
    """Return what a trace shows along an axis; box plots and histograms have one of the two alone."""
    values = trace[name]
    return () if values is None else values
