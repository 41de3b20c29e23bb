"""Charts of the search: what the surrogate promised, what was measured, and how the best improved."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import scipy  # whose parts load when they are used, statistics slowly
from numpy.typing import NDArray

from armillary.reports.figures import (
    contender_values,
    hover_texts,
    objective_scale,
    objective_title,
    rows_are,
    thinned,
)
from armillary.reports.theme import (
    BROKEN,
    INFEASIBLE,
    LEGAL,
    OUT_OF_BOUNDS,
    ROLE_COLOURS,
    Chart,
    axis,
    blank,
    mark_line,
    spans_decades,
)
from armillary.reports.units import look_of, text_of
from armillary.reports.wording import TIMES, listed, number, signed, within
from armillary.studies.results import Candidates, StudyResults
from armillary.types import Evaluations

_SHOWN_SHARE = 0.9  # of the designs that a progress chart must not cut off
_FAR = 1.5  # a surrogate whose predictions are this far off at the median ranks rather than estimates


def rank_agreement(results: StudyResults, candidates: Candidates) -> float:
    """Return Kendall's tau of predicted and measured over the feasible candidates; NaN where undefined."""
    measured = results.measured(candidates.evaluations)
    known = np.isfinite(measured) & np.isfinite(candidates.predicted)
    pairs = measured[known], candidates.predicted[known]
    if any(len(np.unique(column)) < 2 for column in pairs):
        return float("nan")
    return float(scipy.stats.kendalltau(*pairs).statistic)


def predicted_measured(results: StudyResults) -> Chart | None:
    """Predicted against measured; infeasible candidates lie in a strip below."""
    candidates = results.candidates
    if candidates is None or not np.isfinite(candidates.predicted).any():
        return None
    scale = objective_scale(results)
    measured = results.measured(candidates.evaluations) * scale.factor
    predicted = candidates.predicted * scale.factor
    legal, feasible = results.legal(candidates.evaluations), np.isfinite(measured)
    figure = blank()
    _add_diagonal(figure, predicted[feasible], measured[feasible])
    for name, mask, colour, symbol in (
        ("Within bounds" if results.bounds else "Feasible", legal, ROLE_COLOURS["winner"], "circle"),
        ("Out of bounds", feasible & ~legal, OUT_OF_BOUNDS, "triangle-up"),
    ):
        _add_points(figure, results, candidates, np.flatnonzero(mask), predicted, measured, name, colour, symbol)
    settled, aside = candidates.evaluations.settled(), ~feasible & np.isfinite(predicted)
    strip = {"Infeasible": aside & settled, "Evaluation broke": aside & ~settled}
    for (name, mask), colour in zip(strip.items(), (INFEASIBLE, BROKEN), strict=True):
        _add_points(figure, results, candidates, np.flatnonzero(mask), predicted, None, name, colour, "x-thin-open")
    values = measured[feasible].tolist()
    shown = predicted[np.isfinite(predicted)].tolist()
    figure.update_layout(
        hovermode="closest",
        xaxis=axis(f"Predicted {_lower_first(objective_title(results))}", shown, log=spans_decades(shown)),
        yaxis=axis(f"Measured {_lower_first(objective_title(results))}", values, log=spans_decades(values))
        | {"domain": [0.16, 1.0] if aside.any() else [0.0, 1.0]},
    )
    told = {name: int(mask.sum()) for name, mask in strip.items() if mask.any()}
    if told:
        _add_strip(figure, next(iter(told)) if len(told) == 1 else "No value")
    return Chart(
        "predicted",
        "Predicted against measured",
        _agreement_caption(results, candidates, measured / scale.factor, told),
        f"Scatter of predicted against measured {look_of(results).title.lower()} for {len(measured)} "
        f"candidates, {int((~feasible).sum())} of them without a value.",
        figure,
        480,
    )


def reliability(results: StudyResults) -> Chart | None:
    """Share of feasible designs among those of like predicted probability."""
    found = results.reliability
    if found is None or not found.bins:
        return None
    mean, share, rows = (np.array(column, dtype=float) for column in zip(*found.bins, strict=True))
    figure = blank()
    line = {"color": "#8a95a3", "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line=line, name="Calibrated", hoverinfo="skip")
    figure.add_scatter(
        x=100 * mean,
        y=100 * share,
        customdata=rows,
        mode="lines+markers",
        name="Logged designs kept out of training",
        line={"color": ROLE_COLOURS["winner"], "width": 2},
        marker={"color": ROLE_COLOURS["winner"], "size": 6 + 18 * np.sqrt(rows / rows.max())},
        hovertemplate="predicted %{x:.0f}%, feasible %{y:.0f}% of %{customdata:,} designs<extra></extra>",
    )
    figure.update_layout(
        hovermode="closest",
        xaxis=axis("Predicted probability of being feasible (%)") | {"range": [-4, 104]},
        yaxis=axis("Share that was feasible (%)") | {"range": [-4, 104]},
    )
    proposed = results.candidates
    failed = ""
    if proposed is not None:
        wrong = int((proposed.evaluations.settled() & ~proposed.evaluations.feasible).sum())
        failed = f" Of the {len(proposed.predicted):,} proposals {wrong:,} turned out infeasible."
    return Chart(
        "reliability",
        "Does it know what is feasible?",
        "Points on the dotted line are calibrated; larger points hold more designs. Brier score "
        f"{found.brier:.3f} over {int(rows.sum()):,} designs (0 is perfect).{failed}",
        f"Reliability diagram of the probability of feasibility in {len(rows)} bins; Brier score {found.brier:.3f}.",
        figure,
        420,
    )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _agreement_caption(
    results: StudyResults, candidates: Candidates, measured: NDArray[np.float64], aside: Mapping[str, int]
) -> str:
    tau = rank_agreement(results, candidates)
    agreement = f" Rank agreement over the feasible ones: Kendall's τ = {signed(tau)}." if np.isfinite(tau) else ""
    fates = {"Infeasible": "turned out infeasible", "Evaluation broke": "broke in their evaluation"}
    strip = f" {listed([f'{n:,} {fates[name]}' for name, n in aside.items()])} (strip below)." if aside else ""
    feasible = int(np.isfinite(measured).sum())
    return (
        f"{feasible:,} of {len(candidates.predicted):,} candidates were feasible.{agreement}{strip}"
        f"{_distance(candidates.predicted, measured)}"
    )


def _distance(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> str:
    """Return how far predictions were off, and what that means for reading them; empty where nothing tells."""
    known = np.isfinite(predicted) & np.isfinite(measured) & (predicted > 0) & (measured > 0)
    if not known.any():
        return ""
    ratios = predicted[known] / measured[known]
    low, middle, high = (float(v) for v in np.quantile(ratios, [0.1, 0.5, 0.9]))
    spread = f", {number(low)}{TIMES} to {number(high)}{TIMES} for most" if low < high else ""
    reading = "" if 1 / _FAR < middle < _FAR else " Read the order of the predictions, not their values."
    return f" A prediction was {number(middle)}{TIMES} the measured value at the median{spread}.{reading}"


def _add_diagonal(figure: go.Figure, predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> None:
    known = np.isfinite(predicted)
    if not known.any():
        return
    low = max(predicted[known].min(), measured[known].min())
    high = min(predicted[known].max(), measured[known].max())
    if low < high:
        line = {"color": "#8a95a3", "width": 1.5, "dash": "dot"}
        figure.add_scatter(
            x=[low, high], y=[low, high], mode="lines", line=line, name="Predicted = measured", hoverinfo="skip"
        )


def _add_points(
    figure: go.Figure,
    results: StudyResults,
    candidates: Candidates,
    rows: NDArray[np.int64],
    predicted: NDArray[np.float64],
    measured: NDArray[np.float64] | None,
    name: str,
    colour: str,
    symbol: str,
) -> None:
    if rows.size == 0:
        return
    marker = {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.8}
    if measured is None:
        marker |= {"line": {"color": colour, "width": 2}}
    figure.add_scatter(
        x=predicted[rows],
        y=np.zeros(rows.size) if measured is None else measured[rows],
        yaxis="y2" if measured is None else "y",
        mode="markers",
        name=f"{name} ({rows.size:,})",
        marker=marker,
        text=hover_texts(results, candidates.evaluations, rows),
        hovertemplate="%{text}<extra></extra>",
    )


def _add_strip(figure: go.Figure, label: str) -> None:
    figure.update_layout(
        xaxis={"anchor": "y2"},
        yaxis2={
            "domain": [0.0, 0.1],
            "range": [-1, 1],
            "tickvals": [0],
            "ticktext": [label],
            "zeroline": False,
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        },
    )


def log_progress(results: StudyResults) -> Chart | None:
    """The best design within bounds so far, over the rows of the log."""
    return _progress(
        results,
        results.log,
        "log-progress",
        "While searching" if results.candidates is None else "While collecting the log",
        f"{rows_are(results).capitalize()} designs",
        log_order=True,
    )


def candidate_progress(results: StudyResults) -> Chart | None:
    """The best design within bounds so far, over the candidates in the order of their evaluation."""
    if results.candidates is None:
        return None
    return _progress(
        results,
        results.candidates.evaluations,
        "candidate-progress",
        "While measuring the candidates",
        "Candidates measured",
        log_order=False,
    )


def _progress(
    results: StudyResults, evaluations: Evaluations, key: str, heading: str, order_title: str, *, log_order: bool
) -> Chart | None:
    scale = objective_scale(results)
    values = np.where(results.legal(evaluations), results.measured(evaluations), np.nan) * scale.factor
    rows = np.flatnonzero(np.isfinite(values))
    if rows.size == 0:
        return None
    best = np.fmin.accumulate(values)
    figure = blank()
    dots = thinned(rows, 600)
    figure.add_scatter(
        x=dots + 1,
        y=values[dots],
        mode="markers",
        name="Design within bounds" if results.bounds else "Feasible design",
        marker={"color": LEGAL, "size": 5, "opacity": 0.6},
        text=hover_texts(results, evaluations, dots),
        hovertemplate="#%{x:,}<br>%{text}<extra></extra>",
    )
    steps = np.unique([rows[0], *np.flatnonzero(np.diff(best, prepend=np.inf) < 0), len(best) - 1])
    figure.add_scatter(
        x=steps + 1,
        y=best[steps],
        mode="lines",
        name="Best so far",
        line={"shape": "hv", "color": ROLE_COLOURS["log" if key == "log-progress" else "winner"], "width": 3},
        hovertemplate=f"Best after %{{x:,}}: %{{y:,.4~g}} {scale.unit}<extra></extra>",
    )
    by_decades = log_order and len(values) > 100
    order = axis(order_title) | ({"type": "log", "dtick": 1} if by_decades else {"rangemode": "tozero"})
    references = _references(results, scale.factor, with_log=key != "log-progress")
    _fit_progress_axes(figure, results, values[rows], references, order)
    final = float(np.nanmin(values)) / scale.factor
    return Chart(
        key,
        heading,
        f"Best after {len(values):,} evaluations: {text_of(results, results.problem.metric, final)}."
        + (
            f" {dots.size:,} of {rows.size:,} designs {within(results.bounds)} are drawn."
            if dots.size < rows.size
            else ""
        ),
        f"Line of the best {look_of(results).title.lower()} so far over {len(values)} evaluations, "
        f"ending at {text_of(results, results.problem.metric, final)}.",
        figure,
        400,
    )


def _references(results: StudyResults, factor: float, *, with_log: bool) -> list[tuple[str, float, str]]:
    """Return name, height and colour of the designs that a progress chart compares with."""
    return [
        (name, value * factor, ROLE_COLOURS[role])
        for role, name, value in contender_values(results, results.problem.metric)
        if role == "baseline" or (role == "log" and with_log)
    ]


def _fit_progress_axes(
    figure: go.Figure,
    results: StudyResults,
    drawn: NDArray[np.float64],
    references: Sequence[tuple[str, float, str]],
    order: Mapping[str, Any],
) -> None:
    """Show where the best moves and most of the designs, without the far outliers, and the references that are near."""
    most = float(np.quantile(drawn, _SHOWN_SHARE))
    values = [float(drawn.min()), max(most, float(drawn[0]))]
    reach = max(values[1] / values[0], 1.2) ** 2 if values[0] > 0 else 1.0
    near = [height for _, height, _ in references if values[0] / reach <= height <= values[1] * reach]
    values += near
    logarithmic = spans_decades(values, ratio=4.0)
    ends = np.log10([min(values), max(values)]) if logarithmic else np.array([min(values), max(values)])
    room = 0.08 * float(ends[1] - ends[0]) or 0.1 * abs(float(ends[0])) or 1.0
    for name, height, colour in references:
        where = "" if height in near else f", {number(height)} {objective_scale(results).unit}, beyond this chart"
        mark_line(figure, y=height, text=html.escape(name) + where, colour=colour)
    figure.update_xaxes(order)
    figure.update_yaxes(axis(objective_title(results), values, log=logarithmic))
    figure.update_yaxes(range=[ends[0] - room, ends[1] + room])
    figure.update_layout(hovermode="closest")
