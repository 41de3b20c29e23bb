"""A picture of a mapping: the loops over the levels, what each holds, and what flows between them."""

from __future__ import annotations

from html import escape

from armillary.cost_model.explain import ExplainedLevel, ExplainedMapping, loop_range
from armillary.cost_model.memories import READS, UPDATES
from armillary.hardware.hierarchy import TENSORS

_WIDTH, _LEFT, _ROW, _GAP, _HEAD = 860, 24, 22, 64, 74
_COLOURS = {"W": "#2a6f97", "I": "#c9772f", "O": "#5b8c5a"}
_NAMES = {"W": "weights", "I": "inputs", "O": "outputs"}
_BAR = 260


def nest_picture(explained: ExplainedMapping) -> str:
    """Return a self-contained SVG: one box per level, outermost on top, its loops inside, traffic between."""
    parts: list[str] = []
    y = 92
    for place, level in enumerate(explained.levels):
        height = 50 + _ROW * max(1, (len(level.loops) + 3) // 4)
        parts.append(_box(level, y, height))
        y += height
        if place + 1 < len(explained.levels):
            parts.append(_flows(explained, place, y))
            y += _GAP
    parts.append(_text(_LEFT, y + 30, f"{explained.layer.macs:,} multiply-accumulates", size=15, weight=600))
    title = f"{explained.layer.name}: {explained.delay_cycles:,.0f} cycles, bound by {explained.bound}"
    under = f"{explained.energy_pj / 1e6:,.4g} uJ, {explained.utilization:.1%} of the compute units at work"
    head = _text(_LEFT, 34, title, size=18, weight=600) + _text(_LEFT, 58, under, size=13, colour="#555")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 52}" width="{_WIDTH}" height="{y + 52}" '
        f'font-family="system-ui, sans-serif"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{head}{_legend()}{"".join(parts)}</svg>'
    )


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: int = 400, colour: str = "#1c2833", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _legend() -> str:
    parts = []
    for i, tensor in enumerate(TENSORS):
        x = _WIDTH - 270 + 90 * i
        parts.append(f'<rect x="{x}" y="24" width="12" height="12" fill="{_COLOURS[tensor]}"/>')
        parts.append(_text(x + 17, 35, _NAMES[tensor], size=12))
    return "".join(parts)


def _box(level: ExplainedLevel, y: int, height: int) -> str:
    wide = _WIDTH - 2 * _LEFT
    parts = [
        f'<rect x="{_LEFT}" y="{y}" width="{wide}" height="{height}" rx="6" fill="#f4f6f8" stroke="#b8c4ce"/>',
        _text(_LEFT + 14, y + 24, f"{level.name} x {level.instances:,}", size=15, weight=600),
        _capacity(level, y),
    ]
    for i, inside in enumerate(level.loops):
        loop = inside.loop
        x, row = _LEFT + 14 + 195 * (i % 4), y + 52 + _ROW * (i // 4)
        spread = f" over {loop.axis}" if loop.axis else ""
        word = "spread" if loop.axis else "for"
        parts.append(_text(x, row, f"{word} {loop.dimension} in {loop_range(loop)}{spread}", size=13))
    if not level.loops:
        parts.append(_text(_LEFT + 14, y + 52, "no loop", size=13, colour="#777"))
    return "".join(parts)


def _capacity(level: ExplainedLevel, y: int) -> str:
    """Return a bar of what the tiles take, on the scale of what fits."""
    right = _WIDTH - _LEFT - 14
    held = sum(level.tile_words)
    unlimited = level.tile_limit == float("inf")
    scale = _BAR / max(held, 1.0 if unlimited else level.tile_limit)
    x = float(right - _BAR)
    parts = [f'<rect x="{x:.0f}" y="{y + 12}" width="{_BAR}" height="14" fill="#fff" stroke="#b8c4ce"/>']
    for tensor, words in zip(TENSORS, level.tile_words, strict=True):
        parts.append(
            f'<rect x="{x:.1f}" y="{y + 12}" width="{words * scale:.1f}" height="14" fill="{_COLOURS[tensor]}">'
            f"<title>{_NAMES[tensor]}: {words:,.0f} words</title></rect>"
        )
        x += words * scale
    label = f"{held:,.0f} words" if unlimited else f"{held:,.0f} of {level.tile_limit:,.0f} words"
    return "".join(parts) + _text(right - _BAR - 10, y + 24, label, size=12, colour="#555", anchor="end")


def _flows(explained: ExplainedMapping, place: int, y: int) -> str:
    """Return the arrows between a level and the next: what the inner levels get and give back, per tensor."""
    parts = []
    for i, tensor in enumerate(TENSORS):
        holder = next((lv for lv in explained.levels[place + 1 :] if tensor in lv.keeps), None)
        outside = [lv for lv in explained.levels[: place + 1] if tensor in lv.keeps]
        x = _LEFT + 60 + 265 * i
        down = outside[-1].words_moved[READS][i]
        up = outside[-1].words_moved[UPDATES][i]
        to = holder.name if holder else "compute"
        colour = _COLOURS[tensor]
        parts.append(f'<line x1="{x}" y1="{y + 4}" x2="{x}" y2="{y + _GAP - 8}" stroke="{colour}" stroke-width="3"/>')
        low, high = y + _GAP - 4, y + 2
        if down:
            parts.append(f'<path d="M{x - 6} {low - 10} L{x} {low} L{x + 6} {low - 10}" fill="{colour}"/>')
        if up:
            parts.append(f'<path d="M{x - 6} {high + 10} L{x} {high} L{x + 6} {high + 10}" fill="{colour}"/>')
        parts.append(_text(x + 12, y + 26, f"{outside[-1].name} to {to}", size=12, colour="#555"))
        words = f"{down:,.0f} words" + (f", {up:,.0f} back" if up else "")
        parts.append(_text(x + 12, y + 44, words, size=12))
    return "".join(parts)
