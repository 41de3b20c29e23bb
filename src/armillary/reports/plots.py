"""Plots of a study in Python, each a Plotly figure that notebooks show and `write_html` saves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from armillary.metrics import derived
from armillary.problems import pareto
from armillary.reports.theme import BROKEN, INFEASIBLE, LEGAL, OUT_OF_BOUNDS, ROLE_COLOURS, axis, blank
from armillary.studies.fronts import front_of
from armillary.studies.importance import importances
from armillary.studies.study import Study
from armillary.types import ArmillaryError, Evaluations

_FEWEST = 8  # feasible rows that importances need
_MOST_REASONS = 15


def plot_history(study: Study) -> go.Figure:
    """Return how a search went: every value in the order of evaluation, and the best so far.

    Of several goals it is the hypervolume of the front so far. Designs without a value are not drawn.

    Raises:
        ArmillaryError: if no design is feasible and within the bounds.
    """
    rows, legal = _rows(study)
    number = np.arange(1, len(rows) + 1)
    figure = _figure("evaluations")
    if len(study.problem.objectives) > 1:
        volume = front_of(study.problem, rows).hypervolume
        figure.add_scatter(x=number, y=volume, mode="lines", line={"color": ROLE_COLOURS["winner"], "shape": "hv"})
        return figure.update_layout(yaxis=axis("hypervolume"))
    metric = study.problem.metric
    values = _values(study, rows, metric)
    for name, chosen, colour in (("legal", legal, LEGAL), ("out of bounds", rows.feasible & ~legal, OUT_OF_BOUNDS)):
        figure.add_scatter(x=number[chosen], y=values[chosen], mode="markers", name=name, marker={"color": colour})
    least = study.problem.objective.direction == "minimize"
    best = np.fmin.accumulate if least else np.fmax.accumulate
    so_far = best(np.where(legal, values, np.nan))
    figure.add_scatter(
        x=number, y=so_far, mode="lines", name="best so far", line={"color": ROLE_COLOURS["winner"], "shape": "hv"}
    )
    return figure.update_layout(yaxis=axis(_title(study, metric)), showlegend=True)


def plot_pareto(study: Study) -> go.Figure:
    """Return what two goals or more trade: all designs within the bounds, those of the front marked.

    Raises:
        ArmillaryError: if there is one goal, or no design is feasible and within the bounds.
    """
    names = study.problem.metric_names
    if len(names) < 2:
        raise ArmillaryError(f"the goal {names[0]} is alone, which trades nothing; plot_history shows its search")
    rows, legal = _rows(study)
    rows = rows.select(legal)
    on_front = pareto.front(study.problem.matrix(rows))
    columns = {name: _values(study, rows, name) for name in names}
    figure = _figure(_title(study, names[0]))
    for label, chosen, colour in (("others", ~on_front, LEGAL), ("front", on_front, ROLE_COLOURS["winner"])):
        shown = {name: column[chosen] for name, column in columns.items()}
        look: dict[str, Any] = {"name": label, "marker": {"color": colour}, "text": _designs(rows.select(chosen))}
        if len(names) == 2:
            order = np.argsort(shown[names[0]], kind="stable")
            x, y = (shown[name][order] for name in names)
            look["text"] = [look["text"][place] for place in order]
            mode = "lines+markers" if label == "front" else "markers"
            figure.add_scatter(x=x, y=y, mode=mode, line={"shape": "hv"}, **look)
        else:
            dimensions = [{"label": _title(study, name), "values": column} for name, column in shown.items()]
            figure.add_trace(go.Splom(dimensions=dimensions, diagonal_visible=False, showupperhalf=False, **look))
    if len(names) == 2:
        figure.update_layout(yaxis=axis(_title(study, names[1])))
    return figure.update_layout(showlegend=True)


def plot_importances(study: Study) -> go.Figure:
    """Return which parameters matter for the first goal, as shares, the most important on top.

    It is the permutation importance of a random forest on the feasible designs; see
    `armillary.studies.importance.importances`.

    Raises:
        ArmillaryError: if fewer than 8 designs are feasible.
    """
    rows = study.evaluations
    there = 0 if rows is None else int(rows.feasible.sum())
    if rows is None or there < _FEWEST:
        raise ArmillaryError(f"{there} feasible designs tell nothing of the parameters; evaluate at least {_FEWEST}")
    shares = importances(rows, study.problem.of_first, study.spec.seed)
    order = sorted(shares, key=lambda name: shares[name])
    figure = _figure(f"share of importance for {study.problem.metric_names[0]}")
    figure.add_bar(x=[shares[name] for name in order], y=order, orientation="h", marker={"color": LEGAL})
    return figure.update_layout(yaxis={"automargin": True})


def plot_feasibility(study: Study) -> go.Figure:
    """Return what became of the designs: how many are legal, and why how many others are not.

    Raises:
        ArmillaryError: if nothing was evaluated.
    """
    rows, legal = _rows(study, some_legal=False)
    broken = ~rows.settled()
    counts = [("legal", int(legal.sum()), LEGAL), ("out of bounds", int((rows.feasible & ~legal).sum()), OUT_OF_BOUNDS)]
    for chosen, colour in ((~rows.feasible & ~broken, INFEASIBLE), (broken, BROKEN)):
        reasons = Counter(str(rows.failure(row)) for row in np.flatnonzero(chosen).tolist())
        counts += [(reason, count, colour) for reason, count in reasons.most_common(_MOST_REASONS)]
        rest = int(chosen.sum()) - sum(count for _, count in reasons.most_common(_MOST_REASONS))
        counts.append((f"{len(reasons) - _MOST_REASONS} other reasons", rest, colour))
    shown = [entry for entry in counts if entry[1]][::-1]
    figure = _figure("designs")
    figure.add_bar(
        x=[count for _, count, _ in shown],
        y=[name for name, _, _ in shown],
        orientation="h",
        marker={"color": [colour for _, _, colour in shown]},
    )
    return figure.update_layout(yaxis={"automargin": True})


def _rows(study: Study, *, some_legal: bool = True) -> tuple[Evaluations, NDArray[np.bool_]]:
    """Return what was evaluated, and which rows are feasible and within the bounds, shape [rows]."""
    rows = study.evaluations
    if rows is None:
        raise ArmillaryError("nothing was evaluated; tell the study results, or optimize a function")
    legal = np.isfinite(study.problem.first_values(rows))
    if some_legal and not legal.any():
        raise ArmillaryError(
            f"none of the {len(rows):,} designs is feasible and within the bounds; see plot_feasibility"
        )
    return rows, legal


def _values(study: Study, rows: Evaluations, metric: str) -> NDArray[np.float64]:
    """Return a metric in its unit, shape [rows]; NaN where it is not known or the row is infeasible."""
    column = derived(rows.metrics, metric, study.problem.metrics)
    assert column is not None  # the study has refused rows without it
    return np.where(rows.feasible, column, np.nan)


def _designs(rows: Evaluations) -> list[str]:
    """Return the values of each design as text."""
    return [", ".join(f"{name}={column[row]}" for name, column in rows.design.items()) for row in range(len(rows))]


def _title(study: Study, metric: str) -> str:
    unit = study.problem.metrics[metric].unit
    return metric if unit == "1" else f"{metric} ({unit})"


def _figure(horizontal: str) -> go.Figure:
    return blank().update_layout(xaxis=axis(horizontal))
