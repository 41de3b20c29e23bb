"""Pictures of a layout: cells by block, congestion, slack."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.physical.clock_tree import PREFIX
from armillary.evaluators.physical.floorplan import UNITS_PER_UM, Floorplan
from armillary.evaluators.physical.netlist import PORT, Netlist
from armillary.evaluators.physical.placement import Placement, Shapes
from armillary.types import ArmillaryError

FILES = ("layout.png", "layout.svg", "congestion.png", "slack.png")
_MOST_BLOCKS = 9
_OTHER, _CLOCK, _MACRO, _TOP = "other", "clock tree", "macros", "top"
_GREY, _DARK, _ORANGE = "#b0b0b0", "#303030", "#d95f02"
_PALETTE = (
    "#4477aa",
    "#66ccee",
    "#228833",
    "#ccbb44",
    "#ee6677",
    "#aa3377",
    "#88ccaa",
    "#9988cc",
    "#cc8866",
    "#777733",
)
_LEAST_SLACK_NS = 0.01  # that colours tell apart
_ROUNDS = 30  # of passing a block's name on to cells beside it


def draw(
    folder: Path,
    netlist: Netlist,
    placement: Placement,
    plan: Floorplan,
    shapes: Shapes,
    slacks: Mapping[str, float],
    across: NDArray[np.float64],
    up: NDArray[np.float64],
) -> None:
    """Write the pictures `FILES` into a folder.

    Args:
        folder: where.
        netlist: of the layout.
        placement: of it.
        plan: its core.
        shapes: of its cells.
        slacks: in ns, by instance.
        across: part of the tracks taken at borders between horizontal neighbours, shape [wide - 1, high].
        up: likewise vertical neighbours, shape [wide, high - 1].

    Raises:
        ArmillaryError: if matplotlib is missing.
    """
    blocks = blocks_of(netlist)
    common = Counter(block for block in blocks.values() if block not in (_CLOCK, _MACRO))
    shown = [block for block, _ in common.most_common(_MOST_BLOCKS)]
    colours = dict(zip(shown, _PALETTE, strict=False)) | {_CLOCK: _ORANGE, _MACRO: _DARK}
    by_block = {name: colours.get(block, _GREY) for name, block in blocks.items()}
    present = {colours.get(block, _GREY): block if block in colours else _OTHER for block in blocks.values()}
    figure, axes = _figure(plan, netlist.top)
    _cells(axes, netlist, placement, shapes, by_block)
    xs, ys = zip(*placement.ports.values(), strict=True) if placement.ports else ((), ())
    axes.plot(np.array(xs) / UNITS_PER_UM, np.array(ys) / UNITS_PER_UM, "s", color="black", markersize=2, clip_on=False)
    _legend(axes, {name: colour for colour, name in present.items()})
    _save(figure, folder / FILES[0], folder / FILES[1])
    _draw_congestion(folder / FILES[2], plan, across, up)
    _draw_slack(folder / FILES[3], netlist, placement, plan, shapes, slacks)


def blocks_of(netlist: Netlist) -> dict[str, str]:
    """Return the block that each instance belongs to, by the RTL's name of what it drives.

    Blocks are the instances of modules in the top module; one with more than half of the cells is taken apart into
    those within it. What has no such name belongs where most of what it drives belongs.
    """
    paths: dict[str, tuple[str, ...]] = {}
    driven: dict[str, list[str]] = defaultdict(list)
    for net, pins in netlist.nets.items():
        instance = pins[0][0]
        if instance == PORT:
            continue
        driven[instance] += [sink for sink, _ in pins[1:] if sink != PORT]
        name = netlist.names.get(net, "")
        if name and instance not in paths:
            paths[instance] = tuple(re.sub(r"\[.*?\]", "", name).split(".")[:-1])
    found = _balanced(paths)
    for _ in range(_ROUNDS):
        missing = [instance for instance in netlist.cells if instance not in found]
        guesses = {instance: Counter(found[sink] for sink in driven[instance] if sink in found) for instance in missing}
        new = {
            instance: max(sorted(votes), key=lambda block: votes[block]) for instance, votes in guesses.items() if votes
        }
        if not new:
            break
        found |= new
    found |= {instance: _TOP for instance in netlist.cells if instance not in found}
    return found | {instance: _CLOCK for instance in netlist.cells if instance.startswith(PREFIX)}


def _balanced(paths: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the name of the block of each path, such that no block that can be taken apart holds more than half."""
    blocks = {instance: path[:1] for instance, path in paths.items()}
    while blocks:
        (largest, held), *_ = Counter(blocks.values()).most_common(1)
        within = {each: paths[each][: len(largest) + 1] for each, block in blocks.items() if block == largest}
        if held <= len(blocks) / 2 or set(within.values()) == {largest}:
            break
        blocks |= within
    return {instance: ".".join(block) or _TOP for instance, block in blocks.items()}


def _figure(plan: Floorplan, title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArmillaryError("matplotlib not found: pip install 'armillary[physical]'") from None
    wide, high = plan.width / UNITS_PER_UM, plan.height / UNITS_PER_UM
    figure = Figure(figsize=(8, 1.2 + 6.4 * min(2.0, high / wide)), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, wide), ylim=(0, high), aspect="equal", xlabel="um", ylabel="um", title=title)
    return figure, axes


def _cells(axes: Any, netlist: Netlist, placement: Placement, shapes: Shapes, colours: Mapping[str, Any]) -> Any:
    from matplotlib.collections import PolyCollection

    boxes, faces = [], []
    for instance, kind in netlist.cells.items():
        x, y, _ = placement.places[instance]
        width, height = shapes.size(kind)
        boxes.append([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
        faces.append(_DARK if kind in shapes.macros and isinstance(colours.get(instance), str) else colours[instance])
    corners = np.array(boxes) / UNITS_PER_UM
    edge = 0.3 if len(boxes) < 3000 else 0.0
    drawn = PolyCollection(list(corners), edgecolors="white" if edge else "none", linewidths=edge)
    if faces and isinstance(faces[0], str):
        drawn.set_facecolor(faces)
    else:
        drawn.set_array(np.array(faces))
    return axes.add_collection(drawn)


def _legend(axes: Any, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in sorted(colours.items())]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _draw_congestion(path: Path, plan: Floorplan, across: NDArray[np.float64], up: NDArray[np.float64]) -> None:
    wide, high = up.shape[0], across.shape[1]
    fullest = np.zeros((wide, high))
    fullest[:-1], fullest[:, :-1] = np.maximum(fullest[:-1], across), np.maximum(fullest[:, :-1], up)
    figure, axes = _figure(plan, "part of the usable tracks that is taken")
    extent = (0, plan.width / UNITS_PER_UM, 0, plan.height / UNITS_PER_UM)
    shown = axes.imshow(fullest.T, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=max(1.0, fullest.max()))
    figure.colorbar(shown, ax=axes, shrink=0.8)
    _save(figure, path)


def _draw_slack(
    path: Path, netlist: Netlist, placement: Placement, plan: Floorplan, shapes: Shapes, slacks: Mapping[str, float]
) -> None:
    from matplotlib.colors import TwoSlopeNorm

    values = {instance: slacks.get(instance, np.nan) for instance in netlist.cells}
    known = [*slacks.values(), _LEAST_SLACK_NS, -_LEAST_SLACK_NS]
    figure, axes = _figure(plan, "slack of each cell, ns")
    drawn = _cells(axes, netlist, placement, shapes, values)
    drawn.set_cmap("RdYlGn")
    ends = (min(known), 0.0, max(known))
    drawn.set_norm(TwoSlopeNorm(0.0, ends[0], ends[2]))
    figure.colorbar(drawn, ax=axes, shrink=0.8, ticks=ends, format="%.3f")
    _save(figure, path)


def _save(figure: Any, *paths: Path) -> None:
    for path in paths:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
