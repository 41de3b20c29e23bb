"""The look that all charts share: colours, axes, blank figures, and what a chart carries to the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from armillary.evaluators.explanation import Bound
from armillary.reports.wording import shortened
from armillary.studies.results import Role

PHONE_LABEL_WIDTH = 20
_LABEL_WIDTH = 38
INK = "#1f2933"
MUTED = "#5f6c7b"
GRID = "#e6eaef"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Told apart under every common colour deficiency, by lightness as well as by hue.
ROLE_COLOURS: dict[Role, str] = {"winner": "#0067a5", "log": "#e8950c", "baseline": "#7a8594"}
ROLE_SYMBOLS: dict[Role, str] = {"winner": "star", "log": "diamond", "baseline": "square"}
LEGAL = "#7fb2d6"
OUT_OF_BOUNDS = "#c9b458"
INFEASIBLE = "#a6316f"
BROKEN = "#3b3f46"
BOUND_COLOURS: dict[Bound, str] = {
    "compute": "#332288",
    "dram": "#cc6677",
    "on-chip": "#44aa99",
    "overhead": "#b9c0ca",
}
# Paul Tol's "muted" scheme, in an order that keeps neighbours of a stack far apart.
COMPONENT_COLOURS = (
    "#332288",
    "#88ccee",
    "#cc6677",
    "#117733",
    "#ddcc77",
    "#882255",
    "#44aa99",
    "#aa4499",
    "#999933",
)
OTHER_COLOUR = "#c4cad2"
SEQUENTIAL = [[0.0, "#f3f7fb"], [0.5, "#7fb2d6"], [1.0, "#00446e"]]


@dataclass(frozen=True)
class Chart:
    """One figure with what the page writes around it; `label` tells its content to a screen reader."""

    key: str
    title: str
    caption: str
    label: str
    figure: go.Figure
    height_px: int = 400


def blank(legend: Literal["normal", "reversed", "none"] = "normal") -> go.Figure:
    """Return an empty figure in the page's look.

    The page draws the legend itself, in text that wraps; Plotly's own is for pictures that are saved.
    """
    return go.Figure(
        layout={
            "template": None,
            "autosize": True,
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "margin": {"l": 56, "r": 16, "t": 8, "b": 48},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "traceorder": legend if legend != "none" else "normal",
            },
            "showlegend": False,
            "meta": {"legend": legend},
            "hoverlabel": {
                "bgcolor": "#ffffff",
                "bordercolor": "#b9c0ca",
                "align": "left",
                "font": {"family": FONT, "size": 12, "color": INK},
            },
            "bargap": 0.25,
        }
    )


def axis(title: str, values: Iterable[float] = (), *, log: bool = False) -> dict[str, Any]:
    """Return a value axis; a logarithmic one gets tick steps that fit the span of the values."""
    shown: dict[str, Any] = {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": "#b9c0ca",
        "ticks": "outside",
        "tickcolor": "#b9c0ca",
        "automargin": True,
        "tickformat": ",~f",
        "nticks": 8,
    }
    if log:
        shown |= {"type": "log", "dtick": _log_step(values)}
    return shown


def _log_step(values: Iterable[float]) -> int | str:
    positive = [v for v in values if math.isfinite(v) and v > 0]
    decades = math.log10(max(positive) / min(positive)) if positive else 1.0
    return 1 if decades > 2.5 else "D2" if decades > 0.5 else "D1"


def set_labels(figure: go.Figure, labels: Sequence[str], phone_labels: Sequence[str] = ()) -> None:
    """Make the vertical axis one of plain-text labels at 0, 1, ..., first on top; equal labels stay apart.

    Narrow screens get `phone_labels`, or the same ones cut shorter: labels that leave no room for
    the plot are an error to Plotly.
    """
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=[html.escape(shortened(label, _LABEL_WIDTH)) for label in labels],
        range=[len(labels) - 0.4, -0.6],
        automargin=True,
        zeroline=False,
        showgrid=False,
        ticks="outside",
        ticklen=6,
        tickcolor="rgba(0,0,0,0)",
    )
    short = [html.escape(shortened(label, PHONE_LABEL_WIDTH)) for label in phone_labels or labels]
    only_on_phones(figure, {"yaxis.ticktext": short})


def only_on_phones(figure: go.Figure, changes: Mapping[str, Any]) -> None:
    """Leave the page a note of what to set in the layout (by dotted path) where the screen is narrow."""
    figure.update_layout(meta=dict(figure.layout.meta) | {"narrow": dict(changes)})


def spans_decades(values: Iterable[float], ratio: float = 8.0) -> bool:
    """Return whether the values are all positive and spread so far that a logarithmic axis reads better."""
    finite = [v for v in values if math.isfinite(v)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > ratio


def mark_line(figure: go.Figure, *, x: float | None = None, y: float | None = None, text: str, colour: str) -> None:
    """Draw a dashed reference line over the whole plot and name it in the legend."""
    line = {"color": colour, "width": 2, "dash": "dash"}
    if x is not None:
        figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line=line)
    if y is not None:
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=y, y1=y, line=line)
    figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=text)
