"""Charts of the study as a whole: its log, its candidates, its surrogate. Each is a pure function of the results.

A function returns None where the study holds nothing to draw.
"""

from __future__ import annotations

import html
import math
from collections import Counter

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from armillary.reports.theme import (
    INFEASIBLE,
    LEGAL,
    MUTED,
    OUT_OF_BOUNDS,
    ROLE_COLOURS,
    ROLE_SYMBOLS,
    SEQUENTIAL,
    Chart,
    axis,
    blank,
    mark_line,
    set_labels,
    spans_decades,
)
from armillary.reports.units import look_of, study_scale, text_of
from armillary.reports.wording import (
    ALPHA,
    TIMES,
    Scale,
    listed,
    number,
    percent,
    reason,
    title,
    value_text,
    with_unit,
)
from armillary.studies.results import Role, StudyResults, Trial
from armillary.types import Evaluations

MOST_POINTS = 1500
_MOST_BINS = 48
_MOST_REASONS = 12


def hover_texts(results: StudyResults, evaluations: Evaluations, rows: NDArray[np.int64]) -> list[str]:
    """Return the text that a point shows: its metrics or its failure, then every parameter."""
    known = {p.name: {v: value_text(p, v) for v in p.values} for p in results.space.parameters}
    labels = {p.name: html.escape(title(p.name)) for p in results.space.parameters}
    texts = []
    for row in rows.tolist():
        lines = []
        failure = evaluations.failure(row)
        if failure is not None:
            lines.append(f"<b>{html.escape(str(failure))}</b>")
        for metric, column in evaluations.metrics.items():
            if np.isfinite(column[row]):
                text = text_of(results, metric, float(column[row]))
                lines.append(f"{html.escape(look_of(results, metric).title)}: <b>{text}</b>")
        for name, column in evaluations.design.items():
            value = column[row].item() if isinstance(column[row], np.generic) else column[row]
            text = known.get(name, {}).get(value, str(value))
            lines.append(f"{labels.get(name, html.escape(name))}: {html.escape(text)}")
        texts.append("<br>".join(lines))
    return texts


def rows_are(results: StudyResults) -> str:
    """Return what the rows of the log are in a sentence: what was collected to learn from, or what a search tried."""
    return "evaluated" if results.candidates is None else "logged"


def thinned(rows: NDArray[np.int64], most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Return at most so many of the rows, evenly spaced and always the same ones."""
    if len(rows) <= most:
        return rows
    kept: NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
    return kept


def objective_scale(results: StudyResults) -> Scale:
    """Return the one unit that every chart of the objective uses."""
    return study_scale(results, results.problem.metric)


def objective_title(results: StudyResults) -> str:
    """Return the axis title of the objective, with its unit."""
    return with_unit(look_of(results).title, objective_scale(results).unit)


def contender_values(results: StudyResults, metric: str) -> list[tuple[Role, str, float]]:
    """Return role, name and value of each contender that has the metric and can run the workload."""
    return [
        (role, contender.name, float(contender.metrics[metric]))
        for role, contender in results.contenders()
        if contender.failure is None and np.isfinite(contender.metrics.get(metric, np.nan))
    ]


def second_metric(results: StudyResults) -> str | None:
    """Return the metric that the objective is traded against: the first bound, else area, else energy."""
    offered = [*results.bounds, "area_mm2", "energy_pj"]
    for metric in offered:
        known = np.isfinite(results.feasible_metric(results.log, metric))
        if metric != results.problem.metric and known.any():
            return metric
    return None


def landscape(results: StudyResults) -> Chart | None:
    """Every feasible design by the objective and the metric that bounds it."""
    other = second_metric(results)
    if other is None:
        return None
    scale = objective_scale(results)
    across = study_scale(results, other)
    figure = blank()
    layers = [(f"{rows_are(results).capitalize()} design", results.log, LEGAL, 5, 0.55)]
    if results.candidates is not None:
        layers.append(("Candidate", results.candidates.evaluations, ROLE_COLOURS["winner"], 6, 0.7))
    shown: list[float] = []
    for name, evaluations, colour, size, opacity in layers:
        x, y = results.feasible_metric(evaluations, other), results.measured(evaluations)
        rows = thinned(np.flatnonzero(np.isfinite(x) & np.isfinite(y)))
        shown += y[rows].tolist()
        figure.add_scatter(
            x=x[rows] * across.factor,
            y=y[rows] * scale.factor,
            mode="markers",
            name=name,
            marker={"color": colour, "size": size, "opacity": opacity},
            text=hover_texts(results, evaluations, rows),
            hovertemplate="%{text}<extra></extra>",
        )
    for role, name, value in contender_values(results, results.problem.metric):
        contender = dict(results.contenders())[role]
        if other in contender.metrics:
            reached = contender.metrics[other]
            text = f"{scale.text(value)}<br>{across.text(reached)}"
            _add_star(figure, role, name, reached * across.factor, value * scale.factor, text)
    if other in results.bounds:
        bound = results.bounds[other]
        mark_line(figure, x=bound * across.factor, text=f"At most {text_of(results, other, bound)}", colour=MUTED)
    figure.update_xaxes(axis(with_unit(look_of(results, other).title, across.unit)), rangemode="tozero")
    figure.update_yaxes(axis(objective_title(results), shown, log=spans_decades(shown)))
    figure.update_layout(hovermode="closest")
    return Chart(
        "landscape",
        f"{look_of(results).title} against {look_of(results, other).title.lower()}",
        "Each point is a feasible design; hover or tap to read all its parameters. Lower and further left is better.",
        f"Scatter of {look_of(results).title.lower()} against {look_of(results, other).title.lower()} for the "
        f"feasible designs, with {listed([c.name for _, c in results.contenders()])}.",
        figure,
        520,
    )


def _add_star(figure: go.Figure, role: Role, name: str, x: float, y: float, text: str) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        name=html.escape(name),
        marker={
            "color": ROLE_COLOURS[role],
            "symbol": ROLE_SYMBOLS[role],
            "size": 17 if role == "winner" else 13,
            "line": {"color": "#ffffff", "width": 1.5},
        },
        hovertemplate=f"<b>{html.escape(name)}</b><br>{text}<extra></extra>",
    )


def histogram(results: StudyResults) -> Chart | None:
    """How the objective is spread over the feasible rows of the log, with the contenders marked."""
    values = results.measured(results.log)
    legal = results.legal(results.log)
    known = values[np.isfinite(values)]
    if known.size == 0:
        return None
    scale = objective_scale(results)
    log = spans_decades(known.tolist())
    edges = _edges(known * scale.factor, log)
    figure = blank()
    below = np.zeros(len(edges) - 1, dtype=np.int64)
    for name, mask, colour in (
        ("Within bounds" if results.bounds else "Feasible", legal, LEGAL),
        ("Out of bounds", np.isfinite(values) & ~legal, OUT_OF_BOUNDS),
    ):
        if mask.any():
            counts, _ = np.histogram(values[mask] * scale.factor, edges)
            _add_steps(figure, name, counts, below, edges, colour)
            below = below + counts
    for role, name, value in contender_values(results, results.problem.metric):
        mark_line(figure, x=value * scale.factor, text=html.escape(name), colour=ROLE_COLOURS[role])
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(axis(objective_title(results), edges.tolist(), log=log))
    figure.update_yaxes(axis(f"{rows_are(results).capitalize()} designs"), rangemode="tozero")
    return Chart(
        "histogram",
        f"{look_of(results).title} of the {rows_are(results)} designs",
        f"{len(known):,} feasible rows of {len(values):,}. Dashed lines mark the contenders.",
        f"Histogram of {look_of(results).title.lower()} over {len(known)} feasible {rows_are(results)} "
        f"designs, from {text_of(results, results.problem.metric, float(known.min()))} to "
        f"{text_of(results, results.problem.metric, float(known.max()))}.",
        figure,
        380,
    )


def _edges(values: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - abs(low) * 0.05 - 1e-12, high + abs(high) * 0.05 + 1e-12
    bins = int(np.clip(2 * math.sqrt(len(values)), 8, _MOST_BINS))
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    edges[0], edges[-1] = low, high
    return edges


def _add_steps(
    figure: go.Figure,
    name: str,
    counts: NDArray[np.int64],
    below: NDArray[np.int64],
    edges: NDArray[np.float64],
    colour: str,
) -> None:
    """Draw bins as a filled outline on top of those below: bars of equal width do not fit a logarithmic axis."""
    heights = np.concatenate([[0], np.repeat(below + counts, 2), [0]])
    texts = [
        f"{count:,} designs, {low:,.4g} to {high:,.4g}"
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    figure.add_scatter(
        x=np.repeat(edges, 2),
        y=heights,
        mode="lines",
        name=name,
        line={"color": colour, "width": 1.5},
        fill="tonexty" if below.any() else "tozeroy",
        fillcolor=colour,
        text=["", *np.repeat(texts, 2).tolist(), ""],
        hovertemplate=f"%{{text}}<extra>{name}</extra>",
    )


def reasons(results: StudyResults) -> Chart | None:
    """What made designs infeasible, counted."""
    log = results.log
    failed = np.flatnonzero(log.settled() & ~log.feasible)
    if failed.size == 0:
        return None
    names = np.array([reason(log, i) for i in failed.tolist()], dtype=object)
    counted = Counter(names.tolist()).most_common(_MOST_REASONS)
    labels = [name for name, _ in counted]
    counts = [count for _, count in counted]
    figure = blank("none")
    figure.add_bar(
        x=counts,
        y=list(range(len(counts))),
        orientation="h",
        marker={"color": INFEASIBLE},
        text=[percent(count / failed.size) for count in counts],
        textposition="outside",
        cliponaxis=False,
        customdata=[_shortage(log, failed[names == name]) for name, _ in counted],
        hovertemplate="%{x:,} designs%{customdata}<extra></extra>",
    )
    figure.update_layout(margin={"r": 48})
    figure.update_xaxes(axis("Infeasible designs"), range=[0, max(counts) * 1.12])
    set_labels(figure, labels)
    return Chart(
        "reasons",
        "Why designs were infeasible",
        f"{failed.size:,} of {len(log):,} {rows_are(results)} designs ({percent(failed.size / len(log))}) cannot run "
        "the workload. Each is counted once, by the reason that its evaluation gave.",
        "Bar chart of infeasibility reasons: "
        + ", ".join(f"{title(name)} {count}" for name, count in counted[:6])
        + ".",
        figure,
        130 + 34 * len(counted),
    )


def _shortage(log: Evaluations, rows: NDArray[np.int64]) -> str:
    needed, available = log.failure_needed[rows], log.failure_available[rows]
    known = np.isfinite(needed) & np.isfinite(available) & (available > 0)
    lines = []
    if known.any():
        lines.append(f"median need: {number(float(np.median(needed[known] / available[known])))}{TIMES} what there is")
    layers = Counter(str(layer) for layer in log.failure_layer[rows] if layer)
    if layers:
        name, count = layers.most_common(1)[0]
        lines.append(f"most often in layer {html.escape(name)} ({count:,})")
    return "".join(f"<br>{line}" for line in lines)


def importances(results: StudyResults) -> Chart | None:
    """How much each parameter matters, largest first."""
    if results.importances is None or not results.importances.shares:
        return None
    ranked = sorted(results.importances.shares.items(), key=lambda item: -item[1])
    shares = [share for _, share in ranked]
    figure = blank("none")
    figure.add_bar(
        x=[100 * share for share in shares],
        y=list(range(len(shares))),
        orientation="h",
        marker={"color": ROLE_COLOURS["winner"]},
        text=[percent(share) for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_layout(margin={"r": 48})
    figure.update_xaxes(axis("Share of importance (%)"), range=[0, 100 * max(shares) * 1.12 or 1])
    set_labels(figure, [title(name) for name, _ in ranked])
    return Chart(
        "importances",
        "Which parameters matter",
        results.importances.method,
        "Bar chart of parameter importances: "
        + ", ".join(f"{title(name)} {percent(share)}" for name, share in ranked[:5])
        + ".",
        figure,
        120 + 30 * len(ranked),
    )


def selection(results: StudyResults) -> Chart | None:
    """The best rank correlation that each pair of loss weights reached."""
    if results.selection is None:
        return None
    trials, chosen = results.selection.trials, results.selection.trials[results.selection.chosen]
    alphas, betas = sorted({t.alpha for t in trials}), sorted({t.beta for t in trials})
    best: dict[tuple[int, int], Trial] = {}
    for trial in trials:
        cell = (betas.index(trial.beta), alphas.index(trial.alpha))
        if cell not in best or trial.kendall > best[cell].kendall:
            best[cell] = trial
    # The chosen one stands in its own cell even where ties or a chooser's rule put another first.
    best[betas.index(chosen.beta), alphas.index(chosen.alpha)] = chosen
    grid = np.full((len(betas), len(alphas)), np.nan)
    steps = np.full(grid.shape, "", dtype=object)
    for cell, trial in best.items():
        grid[cell], steps[cell] = trial.kendall, f"{trial.checkpoint:,}"
    figure = blank("none")
    figure.add_heatmap(
        z=grid,
        x=[f"{a:g}" for a in alphas],
        y=[f"{b:g}" for b in betas],
        customdata=steps,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        texttemplate="%{z:.2f}",
        colorbar={"title": {"text": "τ"}, "thickness": 12, "outlinewidth": 0},
        hoverongaps=False,
        hovertemplate=f"{ALPHA} = %{{x}}, β = %{{y}}<br>τ = %{{z:.3f}} at step %{{customdata}}<extra></extra>",
    )
    x, y = alphas.index(chosen.alpha), betas.index(chosen.beta)
    box = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.48, "y1": y + 0.48}
    figure.add_shape(type="rect", **box, line={"color": ROLE_COLOURS["log"], "width": 4})
    figure.update_xaxes(
        title={"text": f"{ALPHA}, weight of mined negatives"}, type="category", showgrid=False, automargin=True
    )
    figure.update_yaxes(title={"text": "β, weight of infeasible designs"}, type="category", automargin=True)
    return Chart(
        "selection",
        "Which surrogate was chosen",
        f"Kendall's rank correlation τ on held-out designs, best checkpoint per cell. Chosen (outlined): "
        f"{ALPHA} = {chosen.alpha:g}, β = {chosen.beta:g}, step {chosen.checkpoint:,}, τ = {chosen.kendall:.3f}.",
        f"Heat map of Kendall's rank correlation over {len(alphas)} values of alpha and {len(betas)} of beta; chosen "
        f"alpha {chosen.alpha:g}, beta {chosen.beta:g} with {chosen.kendall:.3f}.",
        figure,
        420,
    )
