"""Charts of the contenders: time and roofline per layer, what limits them, where area and energy go."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from armillary.evaluators.explanation import BOUNDS, Bound, LayerCost
from armillary.reports.theme import (
    BOUND_COLOURS,
    COMPONENT_COLOURS,
    OTHER_COLOUR,
    PHONE_LABEL_WIDTH,
    ROLE_COLOURS,
    Chart,
    axis,
    blank,
    set_labels,
)
from armillary.reports.units import LayerUnits, layer_units, study_scale, text_of
from armillary.reports.wording import TIMES, Scale, listed, number, percent, title
from armillary.studies.results import Contender, Role, StudyResults

MOST_LAYERS = 16
_LAYERS_COLOUR, _OVERHEAD_COLOUR = "#44aa99", "#ddcc77"
BOUND_NAMES: dict[Bound, str] = {
    "compute": "Compute",
    "dram": "DRAM",
    "on-chip": "On-chip traffic",
    "overhead": "Overhead",
}


def runners(results: StudyResults) -> list[tuple[Role, Contender]]:
    """Return the contenders whose layers are known."""
    return [(role, contender) for role, contender in results.contenders() if contender.layers]


def layer_times(results: StudyResults) -> Chart | None:
    """Time per layer of every contender, side by side; the layers that take least are summed up."""
    shown = runners(results)
    if not shown:
        return None
    seconds = np.stack([contender.layer_seconds() for _, contender in shown])
    names = [layer.name for layer in shown[0][1].layers]
    kept = _slowest(seconds)
    labels = [f"{i + 1} {names[i]}" for i in kept]
    units = layer_units([contender for _, contender in shown])
    scale = units.time
    figure = blank()
    for (role, contender), row in zip(shown, seconds, strict=True):
        figure.add_bar(
            x=[float(row[i]) * scale.factor for i in kept],
            y=list(range(len(kept))),
            orientation="h",
            name=html.escape(contender.name),
            marker={"color": ROLE_COLOURS[role]},
            text=[layer_hover(contender.layers[i], float(row[i]), units) for i in kept],
            textposition="none",
            hovertemplate="%{text}<extra>" + html.escape(contender.name) + "</extra>",
        )
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.05)
    figure.update_xaxes(axis(f"Time per inference ({scale.unit})"), rangemode="tozero")
    set_labels(figure, labels, [_tail(f"{i + 1} ", names[i]) for i in kept])
    return Chart(
        "layer-times",
        "Time per layer",
        f"In the order of the network{_merged(shown[0][1])}.{_left_out(results, shown, seconds, kept)}",
        f"Bar chart of time per layer for {listed([c.name for _, c in shown])}; slowest layer of "
        f"{shown[0][1].name}: {names[int(seconds[0].argmax())]}.",
        figure,
        110 + (11 * len(shown) + 9) * len(labels),
    )


def _merged(contender: Contender) -> str:
    several = any(layer.count > 1 for layer in contender.layers)
    return "; equal layers are merged and their runs added up" if several else ""


def _left_out(results: StudyResults, shown: list[tuple[Role, Contender]], seconds: np.ndarray, kept: list[int]) -> str:
    rest = seconds.sum(axis=1) - seconds[:, kept].sum(axis=1)
    others = seconds.shape[1] - len(kept)
    if others == 0:
        return ""
    sums = [f"{text_of(results, 'runtime_s', float(s))} on {c.name}" for (_, c), s in zip(shown, rest, strict=True)]
    return f" Shown are the {len(kept)} slowest layers; the other {others} add up to {listed(sums)}."


def _tail(position: str, name: str) -> str:
    """Return a label for phones: where the layer stands, and the end of its name, which tells most."""
    room = PHONE_LABEL_WIDTH - len(position)
    return position + (name if len(name) <= room else f"…{name[len(name) - room + 1 :]}")


def _slowest(seconds: np.ndarray) -> list[int]:
    if seconds.shape[1] <= MOST_LAYERS + 1:
        return list(range(seconds.shape[1]))
    shares = (seconds / seconds.sum(axis=1, keepdims=True)).max(axis=0)
    return sorted(np.argsort(-shares, kind="stable")[:MOST_LAYERS].tolist())


def layer_hover(layer: LayerCost, seconds: float, units: LayerUnits) -> str:
    """Return what a chart tells about one layer."""
    runs = f" {TIMES} {layer.count}" if layer.count > 1 else ""
    lines = [
        f"<b>{html.escape(layer.name)}</b> ({html.escape(layer.kind)}{runs})",
        f"Time: <b>{units.time.text(seconds)}</b>, limited by {BOUND_NAMES[layer.bound]}",
        f"Utilisation: {percent(layer.utilization)}",
        f"Work: {units.work.text(layer.macs)}",
        f"DRAM: {units.traffic.text(layer.dram_bytes)}",
        f"Energy: {units.energy.text(layer.energy_pj)}",
    ]
    return "<br>".join(lines)


def time_split(results: StudyResults) -> Chart | None:
    """The time of each contender: the layers, and what comes beside them, of which no design changes some."""
    shown = runners(results)
    causes = list(dict.fromkeys(cause for _, c in shown for cause, seconds in c.overhead_s.items() if seconds > 0))
    if not causes:
        return None
    fixed = {cause for _, c in shown if c.explanation for cause in c.explanation.fixed}
    scale = study_scale(results, "runtime_s")
    parts = [("Layers", [float(c.layer_seconds().sum()) for _, c in shown], _LAYERS_COLOUR)]
    for cause in sorted(causes, key=lambda cause: cause in fixed):
        name = f"{title(cause)} ({'fixed' if cause in fixed else 'overhead'})"
        colour = BOUND_COLOURS["overhead"] if cause in fixed else _OVERHEAD_COLOUR
        parts.append((name, [c.overhead_s.get(cause, 0.0) for _, c in shown], colour))
    figure = blank()
    for name, seconds, colour in parts:
        _add_part(figure, name, seconds, colour, scale)
    figure.update_layout(barmode="stack")
    figure.update_xaxes(axis(f"Time per inference ({scale.unit})"), rangemode="tozero")
    set_labels(figure, [c.name for _, c in shown])
    rests = [f"{scale.text(c.rest_s)} of {scale.text(c.total_s)} on {c.name}" for _, c in shown]
    totals = [f"{scale.text(c.total_s)} on {c.name}" for _, c in shown]
    changeable = f"A design can change {listed(rests)}; the rest is the same on every design."
    caption = changeable if fixed else f"An inference takes {listed(totals)}."
    return Chart(
        "time-split",
        "What a design can change of the time" if fixed else "Time per inference",
        caption,
        f"Stacked bars of time per inference. {caption}",
        figure,
        130 + 46 * len(shown),
    )


def _add_part(figure: go.Figure, name: str, seconds: list[float], colour: str, scale: Scale) -> None:
    figure.add_bar(
        x=[value * scale.factor for value in seconds],
        y=list(range(len(seconds))),
        orientation="h",
        name=html.escape(name),
        marker={"color": colour, "line": {"color": "#ffffff", "width": 1}},
        text=[scale.text(value) for value in seconds],
        textposition="none",
        hovertemplate="%{text}<extra>" + html.escape(name) + "</extra>",
    )


def time_by_bound(contender: Contender, *, with_fixed: bool = True) -> dict[Bound, float]:
    """Return the share of a contender's time that each limit accounts for, with the fixed overhead or without."""
    spent = dict.fromkeys(BOUNDS, 0.0)
    for layer, seconds in zip(contender.layers, contender.layer_seconds().tolist(), strict=True):
        spent[layer.bound] += seconds
    spent["overhead"] += sum(contender.overhead_s.values()) - (0.0 if with_fixed else contender.fixed_s)
    total = sum(spent.values()) or 1.0
    return {bound: seconds / total for bound, seconds in spent.items()}


def bounds(results: StudyResults) -> Chart | None:
    """What limits each contender, as shares of its time."""
    shown = runners(results)
    if not shown:
        return None
    shares = [time_by_bound(contender) for _, contender in shown]
    figure = blank()
    for bound in BOUNDS:
        values = [share[bound] for share in shares]
        if any(values):
            figure.add_bar(
                x=[100 * value for value in values],
                y=list(range(len(shown))),
                orientation="h",
                name=BOUND_NAMES[bound],
                marker={"color": BOUND_COLOURS[bound], "line": {"color": "#ffffff", "width": 1}},
                text=[percent(value) if value > 0.09 else "" for value in values],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                constraintext="none",
                hovertemplate="%{x:.1f}% of the time<extra>" + BOUND_NAMES[bound] + "</extra>",
            )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(axis("Share of time (%)"), range=[0, 100])
    set_labels(figure, [c.name for _, c in shown])
    first = max(shares[0], key=lambda bound: shares[0][bound])
    return Chart(
        "bounds",
        "What sets the pace",
        "Each layer's time is booked to the resource that limits it." + _beside(results, shown),
        f"Stacked bars of the share of time by limiting resource; {shown[0][1].name} is limited mostly by {first}, "
        f"{percent(shares[0][first])} of its time.",
        figure,
        130 + 46 * len(shown),
    )


def _beside(results: StudyResults, shown: list[tuple[Role, Contender]]) -> str:
    causes = list(dict.fromkeys(cause for _, c in shown for cause, seconds in c.overhead_s.items() if seconds > 0))
    if not causes:
        return ""
    sums = [f"{text_of(results, 'runtime_s', sum(c.overhead_s.values()))} on {c.name}" for _, c in shown]
    return f" Overhead includes what comes beside the layers ({listed(causes)}): {listed(sums)}."


def area_parts(results: StudyResults) -> Chart | None:
    """Where the area of each contender goes."""
    parts = {c.name: c.area_parts_mm2 for _, c in results.contenders() if c.area_parts_mm2}
    return _breakdown(results, "area", "Area", parts, study_scale(results, "area_mm2"))


def energy_parts(results: StudyResults) -> Chart | None:
    """Where the energy of one inference of each contender goes."""
    parts = {c.name: c.energy_parts_pj for _, c in results.contenders() if c.energy_parts_pj}
    return _breakdown(results, "energy", "Energy per inference", parts, study_scale(results, "energy_pj"))


def component_colours(results: StudyResults) -> dict[str, str]:
    """Return one colour per component, the same in every chart."""
    groups = [parts for _, c in results.contenders() for parts in (c.area_parts_mm2, c.energy_parts_pj)]
    names = list(dict.fromkeys(name for parts in groups for name in parts))
    return {name: COMPONENT_COLOURS[i] if i < len(COMPONENT_COLOURS) else OTHER_COLOUR for i, name in enumerate(names)}


def _breakdown(
    results: StudyResults, key: str, heading: str, parts: Mapping[str, Mapping[str, float]], scale: Scale
) -> Chart | None:
    if not parts:
        return None
    colours = component_colours(results)
    totals = [sum(shares.values()) for shares in parts.values()]
    figure = blank()
    for component in [name for name in colours if any(shares.get(name, 0) > 0 for shares in parts.values())]:
        values = [shares.get(component, 0.0) for shares in parts.values()]
        figure.add_bar(
            x=[value * scale.factor for value in values],
            y=list(range(len(parts))),
            orientation="h",
            name=html.escape(title(component)),
            marker={"color": colours[component], "line": {"color": "#ffffff", "width": 1}},
            customdata=[percent(value / total) if total else "" for value, total in zip(values, totals, strict=True)],
            hovertemplate=f"%{{x:,.4~g}} {scale.unit} (%{{customdata}})<extra>{html.escape(title(component))}</extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(axis(f"{heading} ({scale.unit})"), rangemode="tozero")
    set_labels(figure, list(parts))
    written = [f"{name} {number(total * scale.factor)} {scale.unit}" for name, total in zip(parts, totals, strict=True)]
    return Chart(
        key,
        heading,
        f"In total: {listed(written)}.",
        f"Stacked bars of {heading.lower()} by component. {listed(written)}.",
        figure,
        210 + 46 * len(parts),
    )
