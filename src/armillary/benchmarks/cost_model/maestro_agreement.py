"""Whether our cost model ranks MAESTRO's own mappings as MAESTRO does.

MAESTRO (Kwon et al., MICRO 2019) describes a mapping by directives: how much of each dimension is mapped at a time
(`TemporalMap`, `SpatialMap`, size and offset), outer to inner, to clusters of processing elements (PEs) and to the PEs
of a cluster. Here its directives become loops: a spatial directive is unrolled over clusters or PEs and folded in time,
a temporal one is a loop over its tiles, and what remains turns inside the PE. Loops that do not divide get a shorter
last round, as MAESTRO's edge cases do.

MAESTRO's off-chip link is not a level of a memory hierarchy: in every step it carries the whole tile of weights and
inputs that the step works on, whether it was there before or not. The delay is compared with that rule and without.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean
from armillary.cost_model import evaluate
from armillary.hardware.hierarchy import DIMENSIONS, AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import LevelMapping, Loop, loop_bounds, tile_words
from armillary.hardware.mapping import Mapping as LoopNest
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

FILE = "maestro/reference.csv.gz"
STYLES = {"kcp_ws": "NVDLA-like", "rs": "Eyeriss-like", "yxp_os": "ShiDianNao-like"}
GOAL = 0.9
# MAESTRO's energies per access, in multiply-accumulates.
_L1, _L2 = 1.68, 18.61
_DIRECTIVE = re.compile(r"(Spatial|Temporal)Map\(([^,]+),([^)]+)\)\s*([A-Z]'?)")
_CLUSTER = re.compile(r"Cluster\(([^,]+),\s*P\)")
_STRIDES = ("stride_x", "stride_y")
_OURS = {"Y": "P", "Y'": "P", "X": "Q", "X'": "Q"}

Row = Mapping[str, str]


@dataclass(frozen=True)
class Directive:
    """So many iterations of one of our dimensions are mapped at a time, over space or in time."""

    dimension: str
    tile: int
    spatial: bool


def run(options: BenchOptions) -> BenchResult:
    """Compare delay and energy of our model with MAESTRO's on its mapping files, dataflow by dataflow."""
    if options.data is None:
        raise ArmillaryError("the rows of MAESTRO are needed; name their folder with --data")
    rows = list(_read(options.data / FILE))
    found: dict[str, list[dict[str, float]]] = {style: [] for style in STYLES}
    for number, row in enumerate(rows):
        options.on_progress("rows of MAESTRO", number, len(rows))
        found[row["style"]].append(_compared(row))
    options.on_progress("rows of MAESTRO", len(rows), len(rows))
    table = [_summary(style, compared) for style, compared in found.items()]
    checks = [
        Check(
            f"{row['dataflow']}: rank correlation of {what}",
            row[f"{what}_spearman"],
            f"at least {GOAL}",
            row[f"{what}_spearman"] >= GOAL,
        )
        for row in table
        for what in ("delay", "energy")
    ]
    return BenchResult(
        rows=table,
        checks=checks,
        notes=[
            "Rows that count every multiply-accumulate once; ratios are geometric means of ours over MAESTRO's.",
            "delay: with MAESTRO's off-chip link, which refills the tile of every step; on_chip_delay: without.",
        ],
    )


def _read(path: Path) -> Iterator[Row]:
    if not path.exists():
        raise ArmillaryError(f"{path}: no such file; --data must hold it")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            counted = row["mac_ratio"] and float(row["mac_ratio"]) == 1
            if row["style"] in STYLES and row["status"] == "ok" and counted:
                yield row


def _compared(row: Row) -> dict[str, float]:
    layer = layer_of(row)
    clusters, of_cluster, inner = directives_of(row, layer)
    pes = int(row["num_pes"])
    hierarchy = _hierarchy((max(1, pes // of_cluster), of_cluster), float(row["noc_bw"]))
    nest = nest_of(layer, clusters, inner, hierarchy.levels[0].fanout)
    costs = evaluate(hierarchy, layer, nest)
    delay = float(costs.delay_cycles)
    return {
        "delay": max(delay, off_chip_cycles(layer, nest, float(row["offchip_bw"]))),
        "on_chip_delay": delay,
        "energy": float(costs.energy_pj),
        "their_delay": float(row["m:Runtime (Cycles)"]),
        "their_energy": float(row["total_energy_xMAC"]),
    }


def off_chip_cycles(layer: Layer, nest: LoopNest, bandwidth: float) -> int:
    """Return the cycles of MAESTRO's off-chip link, which refills the tiles of weights and inputs in every step."""
    outer, inner = nest.levels
    steps = prod(loop.factor for loop in outer.temporal)
    extent = dict.fromkeys(DIMENSIONS, 1)
    for loop in (*outer.spatial, *inner.temporal):
        extent[loop.dimension] *= loop.factor
    weights, inputs, _ = tile_words(layer, extent)
    return steps * int((weights + inputs) // bandwidth)


def layer_of(row: Row) -> Layer:
    """Return the layer of a row; MAESTRO counts input sizes and pads nothing away, so outputs are input over stride."""
    size = {name: int(float(row[name] or 1)) for name in ("N", "K", "C", "R", "S", "Y", "X", *_STRIDES)}
    depthwise = row["layer_type"] == "DSCONV"
    return Layer(
        row["layer"],
        "depthwise" if depthwise else "conv",
        N=size["N"],
        K=size["C"] if depthwise else size["K"],
        C=size["C"],
        groups=size["C"] if depthwise else 1,
        P=(size["Y"] - size["R"]) // size["stride_y"] + 1,
        Q=(size["X"] - size["S"]) // size["stride_x"] + 1,
        R=size["R"],
        S=size["S"],
        stride_h=size["stride_y"],
        stride_w=size["stride_x"],
    )


def directives_of(row: Row, layer: Layer) -> tuple[list[Directive], int, list[Directive]]:
    """Return the directives of clusters, the PEs per cluster, and the directives of a cluster's PEs."""
    text = row["directives"]
    cluster = _CLUSTER.search(text)
    outer, inner = (text[: cluster.start()], text[cluster.end() :]) if cluster else (text, "")
    size = _size(cluster.group(1), layer) if cluster else 1
    return list(_directives(outer, layer)), size, list(_directives(inner, layer))


def _directives(text: str, layer: Layer) -> Iterator[Directive]:
    for kind, size, _, name in _DIRECTIVE.findall(text):
        dimension = _OURS.get(name, name)
        if dimension == "C" and layer.groups > 1:
            dimension = "G"
        tile = _size(size, layer)
        if name in ("Y", "X"):  # input rows and columns: a window more than the outputs that they make
            window, stride = (layer.R, layer.stride_h) if name == "Y" else (layer.S, layer.stride_w)
            tile = max(1, (tile - window) // stride + 1)
        yield Directive(dimension, tile, kind == "Spatial")


def _size(text: str, layer: Layer) -> int:
    named = re.fullmatch(r"Sz\(([A-Z])\)", text.strip())
    return int(getattr(layer, named.group(1))) if named else int(text)


def nest_of(layer: Layer, outer: Sequence[Directive], inner: Sequence[Directive], fanout: tuple[int, int]) -> LoopNest:
    """Return directives as loops: clusters on X, the PEs of a cluster on Y, tiles in time around them.

    Of several spatial directives of one level, which move together along a diagonal, the last is unrolled.
    """
    bounds = loop_bounds(layer)
    spread = [_last_spatial(directives) for directives in (outer, inner)]
    spread[1] = None if spread[1] == spread[0] else spread[1]
    tiles = {d: bounds[d] for d in DIMENSIONS}
    for directive in (*outer, *inner):
        tiles[directive.dimension] = min(tiles[directive.dimension], directive.tile)
    loops: dict[str, dict[str, Loop]] = {"": {}, "X": {}, "Y": {}, "PE": {}}
    for d in DIMENSIONS:
        across = [(axis, fanout[i]) for i, axis in ((1, "Y"), (0, "X")) if spread[i] == d]
        for axis, loop in _split(d, bounds[d], tiles[d], across):
            loops[axis][d] = loop
    order = dict.fromkeys([d.dimension for d in outer] + [d.dimension for d in inner] + list(DIMENSIONS))
    temporal = tuple(loops[""][d] for d in order if d in loops[""])
    array = tuple(loops[axis][d] for axis in "XY" for d in loops[axis])
    return LoopNest((LevelMapping("WIO", temporal, array), LevelMapping("WIO", tuple(loops["PE"].values()))))


def _last_spatial(directives: Sequence[Directive]) -> str | None:
    spatial = [directive.dimension for directive in directives if directive.spatial]
    return spatial[-1] if spatial else None


def _split(dimension: str, bound: int, tile: int, across: Sequence[tuple[str, int]]) -> Iterator[tuple[str, Loop]]:
    """Yield the loops of a dimension, innermost first; the digits of bound - 1 are the last rounds less one."""
    left, inside = bound - 1, [("PE", min(tile, bound))]
    inside += [(axis, min(most, -(-bound // tile))) for axis, most in across]
    for place, factor in inside:
        left, digit = divmod(left, factor)
        short = digit + 1 if left and digit + 1 < factor else 0
        factor = factor if left else digit + 1
        if factor > 1:
            yield place, Loop(dimension, factor, place if place in ("X", "Y") else "", short)  # type: ignore[arg-type]
    if left:
        yield "", Loop(dimension, left + 1)


def _hierarchy(fanout: tuple[int, int], bandwidth: float) -> Hierarchy:
    def level(name: str, energy: float, **more: Any) -> Level:
        access = AccessEnergy(read_pj=energy, fill_pj=energy, update_pj=energy)
        return Level(name=name, energy=access, area_mm2=0.0, **more)

    return Hierarchy(
        name="maestro",
        levels=(
            level("L2", _L2, fanout=fanout, read_bandwidth=bandwidth, write_bandwidth=bandwidth),
            level("L1", _L1),
        ),
        compute=Compute(energy_pj=1.0, area_mm2=0.0),
    )


def _summary(style: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {"dataflow": STYLES[style], "rows": len(rows)}
    for what, reference in (("delay", "delay"), ("on_chip_delay", "delay"), ("energy", "energy")):
        ours, theirs = ([row[name] for row in rows] for name in (what, f"their_{reference}"))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        found[f"{what}_spearman"] = float(spearmanr(ours, theirs).statistic)
        found[f"{what}_ratio"] = geometric_mean(ratios)
        found[f"{what}_least"], found[f"{what}_most"] = min(ratios), max(ratios)
    return found
