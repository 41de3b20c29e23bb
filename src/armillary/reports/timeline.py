"""The timeline of a simulated layer: when load, execute and store were at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from armillary.atomic_file import replaced
from armillary.types import ArmillaryError

Span = tuple[str, int, int]
"""Unit, first and last cycle of a command."""
_COLOURS = {"load": "#4878a8", "execute": "#c8553d", "store": "#588157"}
_WAITS = "#9a9a9a"


def write_timeline(
    spans: Sequence[Span], cycles: int, stalls: Mapping[str, int], busy: int, path: Path, *, title: str
) -> None:
    """Write a PNG with a row per unit, each command a bar, and below it what the array's cycles went to.

    Args:
        spans: commands.
        cycles: of the whole run.
        stalls: cycles by cause.
        busy: cycles in which the array took a row.
        path: of the picture.
        title: of the picture.

    Raises:
        ArmillaryError: if matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArmillaryError("matplotlib not found: pip install matplotlib") from None
    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1])
    for place, (unit, colour) in enumerate(_COLOURS.items()):
        own = [(first, max(1, last - first + 1)) for name, first, last in spans if name == unit]
        # Neighbouring commands are told apart by their edges, as long as there is room for edges.
        edge = "white" if len(own) < 200 else colour
        above.broken_barh(own, (2 - place - 0.38, 0.76), facecolors=colour, edgecolor=edge, linewidth=0.4)
    above.set_yticks([2, 1, 0], list(_COLOURS))
    above.set_xlim(0, cycles)
    above.set_ylim(-0.5, 2.5)
    above.set_xlabel("cycle")
    above.xaxis.set_major_formatter("{x:,.0f}")
    above.set_title(title, fontsize=10)
    _draw_shares(below, {"busy": busy, **stalls}, cycles)
    with replaced(path) as unfinished:
        figure.savefig(unfinished)


def _draw_shares(axes: object, cycles_by: Mapping[str, int], cycles: int) -> None:
    shades = ("#c8553d", "#4878a8", "#7a6f9b", "#588157", "#d9a441", _WAITS)
    left = 0
    for (name, count), shade in zip(cycles_by.items(), shades, strict=True):
        if count:
            label = f"{name.replace('_', ' ')} {count / cycles:.1%}"
            axes.barh(0, count, left=left, color=shade, label=label)  # type: ignore[attr-defined]
        left += count
    axes.set_xlim(0, cycles)  # type: ignore[attr-defined]
    axes.set_axis_off()  # type: ignore[attr-defined]
    axes.legend(ncols=6, loc="upper center", bbox_to_anchor=(0.5, 0.1), frameon=False, fontsize=8)  # type: ignore[attr-defined]
