"""How long layouts take: arrays of multiply-accumulate elements of 1,000 to 36,000 cells, from RTL to power."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from armillary.benchmarks.physical.designs import array
from armillary.benchmarks.physical.together import apart, fresh, gain
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.evaluators.physical.flow import Layout
from armillary.evaluators.physical.flow import run as lay_out
from armillary.evaluators.physical.knobs import Knobs

_SIZES = ((1, 1), (2, 3), (3, 5), (7, 7))
_QUICK = 2
_CELLS = (1_000, 4_000, 10_000, 36_000)
_MOST_CPU_S = (5.0, 15.0, 60.0, 240.0)
_MOST_MIB, _LEAST_GAIN = 2048, 1.8
_KNOBS = Knobs(clock_ns=1.0)
_COUNTER = """
module counter(input clk, input step, output reg [3:0] count);
  always @(posedge clk) if (step) count <= count + 1;
endmodule
"""
_STEPS = ("synthesis", "placement", "optimization", "routing", "analysis", "drawing")


def run(options: BenchOptions) -> BenchResult:
    """Lay out four arrays and tell the CPU time of each step; `--quick`: the two smaller ones.

    Then two layouts of the second array are made at once, in processes of their own.
    """
    sizes = _SIZES[:_QUICK] if options.quick else _SIZES
    rows, checks = [], []
    for number, (size, cells, most) in enumerate(zip(sizes, _CELLS, _MOST_CPU_S, strict=False)):
        options.on_progress("layouts", number, len(sizes))
        with apart(1) as processes:  # so that memory is that of a layout alone
            processes.submit(fresh, warmed_up, options.out / "warm", options.seed).result()
            folder = options.out / f"array_{size[0]}x{size[1]}"
            layout = processes.submit(laid_out, size, folder, options.seed).result()
        rows.append(row_of(size, layout))
        taken = rows[-1]["cpu_s"]
        checks.append(Check(f"CPU seconds, about {cells:,} cells", taken, f"at most {most:g}", taken <= most))
        memory = rows[-1]["memory_mib"]
        checks.append(Check(f"{cells:,} cells: memory, MiB", memory, f"at most {_MOST_MIB}", memory <= _MOST_MIB))
        overflow = layout.metrics.get("overflow", 0.0)
        checks.append(Check(f"{cells:,} cells: overflow", overflow, "none", not layout.failure))
    options.on_progress("layouts", len(sizes), len(sizes))
    write_csv(rows, options)
    gained = gain(partial(laid_out, _SIZES[1]), partial(laid_out, _SIZES[0]), options.out / "together")
    checks.append(Check("two layouts at once, times as fast", gained, f"at least {_LEAST_GAIN}", gained >= _LEAST_GAIN))
    return BenchResult(rows, checks, _NOTES)


_NOTES = (
    "A step that was found in the cache counts as it did when it was done. Seconds are the CPU's.",
    "Each process has laid out a counter before, so that loading and compiling our own code do not count.",
    "Memory is what Python and the largest program beside it have held at most.",
    "Two layouts at once are held against the two one after another by the clock on the wall, so other work counts.",
)


def warmed_up(folder: Path, seed: int) -> Layout:
    """Return the layout of a small counter whose clock is out of reach, for which every kernel is needed."""
    with tempfile.TemporaryDirectory(prefix="armillary-speed-") as name:
        source = Path(name) / "counter.sv"
        source.write_text(_COUNTER, encoding="utf-8")
        return lay_out([source], "counter", Knobs(clock_ns=0.1), folder, seed=seed)


def laid_out(size: tuple[int, int], folder: Path, seed: int, knobs: Knobs = _KNOBS) -> Layout:
    """Return the layout of an array of elements, at 1 ns unless the knobs say otherwise."""
    with tempfile.TemporaryDirectory(prefix="armillary-speed-") as name:
        source = Path(name) / "array.sv"
        source.write_text(array(*size), encoding="utf-8")
        return lay_out([source], "array", knobs, folder, seed=seed)


def row_of(size: tuple[int, int], layout: Layout) -> dict[str, Any]:
    """Return a layout's figures and the CPU seconds of its steps."""
    found, taken = layout.metrics, {step.name: step.cpu_s for step in layout.steps}
    return {
        "array": f"{size[0]} x {size[1]}",
        "cells": int(found.get("cells", 0)),
        "fmax_mhz": round(found.get("fmax_mhz", 0.0)),
        "power_mw": round(found.get("power_mw", 0.0), 2),
        "area_um2": round(1e6 * found.get("area_mm2", 0.0)),
        "wire_mm": round(found.get("wire_mm", 0.0), 1),
        **{name: round(taken.get(name, 0.0), 1) for name in _STEPS},
        "cpu_s": round(sum(taken.values()), 1),
        "memory_mib": round(max((step.memory_mib for step in layout.steps), default=0.0)),
    }
