"""A support vector machine of `axiline` and a small `genesys` at several target clocks and utilizations, drawn."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from armillary.benchmarks.physical.speed import warmed_up
from armillary.benchmarks.physical.together import apart, fresh
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.cores import available
from armillary.evaluators.physical.flow import Layout
from armillary.evaluators.physical.flow import run as lay_out
from armillary.evaluators.physical.knobs import Knobs
from armillary.hardware import templates
from armillary.hardware.rtl import PLATFORMS
from armillary.hardware.rtl.platform import Platform
from armillary.types import ArmillaryError


@dataclass(frozen=True)
class Swept:
    """A design, and the points at which it is laid out.

    Attributes:
        template: of it.
        design: its parameters, but for those with their default.
        clocks_ns: target clocks, the tightest first.
        utilizations: from the lowest.
        most_cpu_s: that a layout may take.
        knobs: other knobs.
    """

    template: str
    design: Mapping[str, Any]
    clocks_ns: tuple[float, ...]
    utilizations: tuple[float, ...]
    most_cpu_s: float
    knobs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> list[tuple[float, float]]:
        """Target clock and utilization of each."""
        return [(clock, part) for clock in self.clocks_ns for part in self.utilizations]

    @property
    def picture(self) -> str:
        """The name of the picture's file."""
        return f"sweep_{self.template}.png"

    def smaller(self) -> Swept:
        """Return the loosest two clocks at the lowest two utilizations."""
        return replace(self, clocks_ns=self.clocks_ns[-2:], utilizations=self.utilizations[:2])


SUPPORT_VECTORS = Swept(
    "axiline",
    {"algorithm": "svm", "mode": "inference", "dimension": 16, "cycles": 16},
    (0.8, 1.0, 1.2, 1.6, 2.4, 4.0),
    (0.4, 0.55, 0.7, 0.85),
    15.0,
)
# Thirty thousand cells, minutes each: fewer points, and placement in haste.
LANES = Swept(
    "genesys",
    dict.fromkeys(("ibuf_kib", "wbuf_kib", "obuf_kib", "bbuf_kib", "vmem_kib"), 1)
    | {"array": 2, "data_width": 4, "weight_width": 4, "port_width": 32},
    (1.6, 2.4, 4.0),
    (0.35, 0.45),
    400.0,
    {"effort": 1},
)
_PANELS: Mapping[str, tuple[str, Callable[[Mapping[str, float]], float]]] = {
    "effective_mhz": ("effective clock, MHz", lambda m: m["effective_mhz"]),
    "power_mw": ("power at the target clock, mW", lambda m: m["power_mw"]),
    "area_um2": ("area of cells, um2", lambda m: 1e6 * m["area_mm2"]),
    "wire_mm": ("wires, mm", lambda m: m["wire_mm"]),
}


def run(options: BenchOptions) -> BenchResult:
    """Lay out 24 points of `axiline` and 6 of `genesys`, as many at once as there are cores.

    `--quick`: `axiline` alone, at the loosest two clocks and two utilizations.
    """
    sweeps = [SUPPORT_VECTORS.smaller()] if options.quick else [SUPPORT_VECTORS, LANES]
    points = [(swept, *point) for swept in sweeps for point in swept.points]
    rows = []
    with apart(available()) as processes:
        processes.submit(fresh, warmed_up, options.out / "warm", options.seed).result()  # compiles what is not yet
        layouts = [processes.submit(laid_out, *point, options.out, options.seed) for point in points]
        for number, (point, layout) in enumerate(zip(points, layouts, strict=True)):
            options.on_progress("layouts", number, len(points))
            rows.append(row_of(*point, layout.result()))
    options.on_progress("layouts", len(points), len(points))
    write_csv(rows, options)
    checks, notes = [], []
    for swept in sweeps:
        ours = [row for row in rows if row["template"] == swept.template]
        checks += checks_of(ours, swept)
        draw(ours, options.out / swept.picture)
        notes.append(f"{swept.template} {dict(swept.design)}, NanGate45; drawn in {options.out / swept.picture}")
    return BenchResult(
        rows, checks, [*notes, "A step that was found in the cache counts as long as it took when it was done."]
    )


def laid_out(swept: Swept, clock_ns: float, utilization: float, out: Path, seed: int) -> Layout:
    """Return the layout of a design at a point, which is left in a folder of its own in `out`."""
    template = templates.load(swept.template)
    platform = PLATFORMS.load(swept.template, Platform)
    sources = platform.sources(platform.accelerator(**{**template.defaults, **swept.design}))
    knobs = Knobs(clock_ns=clock_ns, utilization=utilization, **swept.knobs)
    folder = out / f"{swept.template}_clock_{clock_ns:g}_utilization_{utilization:g}"
    with tempfile.TemporaryDirectory(prefix="armillary-sweep-") as name:
        paths = [Path(name) / file for file in sources]
        for path, text in zip(paths, sources.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return lay_out(paths, platform.top, knobs, folder, macros=platform.memories, seed=seed)


def row_of(swept: Swept, clock_ns: float, utilization: float, layout: Layout) -> dict[str, Any]:
    """Return the figures of a point."""
    found = layout.metrics
    known = {name: round(figure(found), 3) for name, (_, figure) in _PANELS.items()} if "effective_mhz" in found else {}
    return {
        "template": swept.template, "clock_ns": clock_ns, "utilization": utilization,
        "cells": int(found.get("cells", 0)),
        **{name: known.get(name, float("nan")) for name in _PANELS}, "failure": layout.failure,
        "cpu_s": round(sum(step.cpu_s for step in layout.steps), 1),
    }  # fmt: skip


def checks_of(rows: Sequence[Mapping[str, Any]], swept: Swept) -> list[Check]:
    """Return whether points answer to the knobs as physics says, in the mean of those with a layout."""
    mean = partial(_mean, rows)
    clocks, parts = ([f(row[name] for row in rows) for f in (min, max)] for name in ("clock_ns", "utilization"))
    failed = sum(bool(row["failure"]) for row in rows)
    area, power, speed = (mean(name, clock_ns=clocks[0]) / mean(name, clock_ns=clocks[1])
                          for name in ("area_um2", "power_mw", "effective_mhz"))  # fmt: skip
    denser = mean("wire_mm", utilization=parts[1]) / mean("wire_mm", utilization=parts[0])
    longest = max(row["cpu_s"] for row in rows)
    return [
        Check(f"{swept.template}: points without a layout", failed, "none", not failed),
        Check(f"{swept.template}: area, tightest clock over loosest", round(area, 3), "at least 1", area >= 1),
        Check(f"{swept.template}: power, likewise", round(power, 3), "above 1", power > 1),
        Check(f"{swept.template}: effective clock, likewise", round(speed, 3), "at least 1", speed >= 1),
        Check(f"{swept.template}: wires, highest utilization over lowest", round(denser, 3), "below 1", denser < 1),
        Check(
            f"{swept.template}: CPU seconds of the longest layout", longest, f"at most {swept.most_cpu_s:g}",
            longest <= swept.most_cpu_s,
        ),
    ]  # fmt: skip


def _mean(rows: Sequence[Mapping[str, Any]], name: str, **where: float) -> float:
    known = [row for row in rows if not row["failure"] and all(row[knob] == value for knob, value in where.items())]
    return statistics.fmean(row[name] for row in known) if known else float("nan")


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw each figure over the target clock, a line for each utilization; points that failed are left out.

    Raises:
        ArmillaryError: if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArmillaryError("matplotlib not found: pip install 'armillary[physical]'") from None
    figure = Figure(figsize=(9, 6.5), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, (name, (title, _)) in zip(panels.flat, _PANELS.items(), strict=True):
        for part in sorted({row["utilization"] for row in rows}):
            line = [row for row in rows if row["utilization"] == part and not row["failure"]]
            axes.plot(
                [1000 / row["clock_ns"] for row in line], [row[name] for row in line], "o-", ms=4, label=f"{part:g}"
            )
        axes.set(xlabel="target clock, MHz", title=title)
        axes.grid(alpha=0.3)
    first = panels.flat[0]
    ends = [1000 / max(row["clock_ns"] for row in rows), 1000 / min(row["clock_ns"] for row in rows)]
    first.plot(ends, ends, ":", color="grey", lw=1, label="target")
    first.legend(title="utilization", fontsize=8)
    figure.savefig(path)
