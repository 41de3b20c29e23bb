"""The roofline: what each layer attains beside what DRAM and compute allow."""

from __future__ import annotations

import html
import math

import plotly.graph_objects as go

from armillary.evaluators.explanation import ChipRates
from armillary.reports.layer_figures import layer_hover, runners
from armillary.reports.theme import ROLE_COLOURS, ROLE_SYMBOLS, Chart, axis, blank, only_on_phones
from armillary.reports.units import LayerUnits, layer_units
from armillary.reports.wording import Scale, listed, number, quantity
from armillary.studies.results import Contender, Role, StudyResults

_STRIP = 0.84  # where the panel of layers without DRAM traffic begins, as a share of the width


def roofline(results: StudyResults) -> Chart | None:
    """Attained against attainable rate of every layer, both logarithmic.

    A layer whose data stay on chip has no operational intensity; such layers stand in a panel of
    their own, in the order of the network, under the roof of compute alone.
    """
    shown = [(role, c, c.rates) for role, c in runners(results) if c.rates is not None]
    layers = [layer for _, c, _ in shown for layer in c.layers if layer.macs > 0]
    intensities = [layer.macs_per_dram_byte for layer in layers if layer.dram_bytes > 0]
    if not intensities:
        return None
    ridges = [rates.macs_per_s / rates.dram_bytes_per_s for _, _, rates in shown]
    low, high = min(*intensities, *ridges) / 2, max(*intensities, *ridges) * 2
    scale = Scale.of([rates.macs_per_s for _, _, rates in shown], "MAC/s")
    units = layer_units([c for _, c, _ in shown])
    has_strip = len(intensities) < len(layers)
    figure = blank("reversed")
    heights: list[float] = []
    for role, contender, rates in reversed(shown):  # the winner is drawn last, on top of the others
        _add_roof(figure, role, contender, rates, low, high, scale, has_strip)
        heights += _add_layers(figure, role, contender, scale, units)
    _set_axes(figure, low, high, heights, scale, has_strip)
    strip = " Layers that need no DRAM stand on the right, in network order." if has_strip else ""
    return Chart(
        "roofline",
        "Roofline",
        "Lines are what each design's DRAM and compute allow; each marker is a layer, larger where it takes more time."
        + strip,
        f"Roofline chart with the layers of {listed([c.name for _, c, _ in shown])}.",
        figure,
        500,
    )


def _set_axes(figure: go.Figure, low: float, high: float, heights: list[float], scale: Scale, has_strip: bool) -> None:
    intensity = axis("Operational intensity (MAC per DRAM byte)", [low, high], log=True)
    intensity |= {"range": [math.log10(low), math.log10(high)]}
    figure.update_layout(hovermode="closest", yaxis=axis(f"Attained rate ({scale.unit})", heights, log=True))
    if has_strip:
        intensity["domain"] = [0.0, _STRIP - 0.02]
        figure.update_layout(
            xaxis2={
                "domain": [_STRIP, 1.0],
                "anchor": "y",
                "title": {"text": "No DRAM", "standoff": 26},
                "showticklabels": False,
                "showgrid": False,
                "zeroline": False,
                "linecolor": "#b9c0ca",
            }
        )
        figure.add_shape(
            type="rect", xref="paper", yref="paper", x0=_STRIP, x1=1, y0=0, y1=1,
            fillcolor="#f5f7fa", line={"width": 0}, layer="below",
        )  # fmt: skip
    figure.update_layout(xaxis=intensity)
    only_on_phones(figure, {"xaxis.title.text": "MAC per DRAM byte"})


def _add_roof(
    figure: go.Figure,
    role: Role,
    contender: Contender,
    rates: ChipRates,
    low: float,
    high: float,
    scale: Scale,
    has_strip: bool,
) -> None:
    ridge = rates.macs_per_s / rates.dram_bytes_per_s
    x = [low, ridge, high]
    line = {"color": ROLE_COLOURS[role], "width": 2.5}
    hover = (
        f"{html.escape(contender.name)}: {scale.text(rates.macs_per_s)}, "
        f"{quantity(rates.dram_bytes_per_s, 'B/s')}<br>ridge at {number(ridge)} MAC/B<extra></extra>"
    )
    figure.add_scatter(
        x=x,
        y=[min(rates.macs_per_s, rates.dram_bytes_per_s * intensity) * scale.factor for intensity in x],
        mode="lines",
        line=line,
        name=html.escape(contender.name),
        legendgroup=role,
        hovertemplate=hover,
    )
    if has_strip:
        figure.add_scatter(
            x=[0, len(contender.layers) + 1],
            y=[rates.macs_per_s * scale.factor] * 2,
            xaxis="x2",
            mode="lines",
            line=line,
            name=html.escape(contender.name),
            legendgroup=role,
            showlegend=False,
            hovertemplate=hover,
        )


def _add_layers(figure: go.Figure, role: Role, contender: Contender, scale: Scale, units: LayerUnits) -> list[float]:
    seconds = contender.layer_seconds().tolist()
    largest = max(seconds) or 1.0
    drawn = [i for i, layer in enumerate(contender.layers) if seconds[i] > 0 and layer.macs > 0]
    rates = {i: contender.layers[i].macs / seconds[i] * scale.factor for i in drawn}
    drawn_first = "x" if any(contender.layers[i].dram_bytes > 0 for i in drawn) else "x2"
    for panel in ("x", "x2"):
        rows = [i for i in drawn if (contender.layers[i].dram_bytes > 0) == (panel == "x")]
        if not rows:
            continue
        figure.add_scatter(
            x=[contender.layers[i].macs_per_dram_byte if panel == "x" else i + 1 for i in rows],
            y=[rates[i] for i in rows],
            xaxis=panel,
            mode="markers",
            marker={
                "color": ROLE_COLOURS[role],
                "symbol": "circle" if role == "winner" else ROLE_SYMBOLS[role],
                "size": [6 + 14 * math.sqrt(seconds[i] / largest) for i in rows],
                "opacity": 0.7,
                "line": {"color": "#ffffff", "width": 1},
            },
            name=f"Layers of {html.escape(contender.name)}",
            legendgroup=f"layers of {role}",
            showlegend=panel == drawn_first,
            text=[_hover(contender, i, seconds[i], rates[i], scale, units) for i in rows],
            hovertemplate="%{text}<extra>" + html.escape(contender.name) + "</extra>",
        )
    return list(rates.values())


def _hover(contender: Contender, position: int, seconds: float, rate: float, scale: Scale, units: LayerUnits) -> str:
    layer = contender.layers[position]
    intensity = f"{number(layer.macs_per_dram_byte)} MAC/B" if layer.dram_bytes > 0 else "no DRAM traffic"
    return f"{layer_hover(layer, seconds, units)}<br>Attained: {number(rate)} {scale.unit}, {intensity}"
