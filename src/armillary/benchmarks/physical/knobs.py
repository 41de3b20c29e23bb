"""What each knob of the back end does to a multiply-accumulate element, beside what another seed does."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from armillary.benchmarks.physical.speed import laid_out
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.evaluators.physical.knobs import Knobs

_SIZE, _SEEDS, _QUICK = (1, 1), 3, 2
_BASE: Mapping[str, Any] = {"clock_ns": 1.0}
_CHANGES: tuple[tuple[str, Any], ...] = (
    ("clock_ns", 0.7), ("clock_ns", 2.0), ("utilization", 0.4), ("utilization", 0.8), ("aspect_ratio", 2.0),
    ("aim", "area"), ("adder", "kogge-stone"), ("booth", False), ("effort", 1), ("sizing_rounds", 0),
    ("port_buffers", False),
)  # fmt: skip
_METRICS = ("effective_mhz", "power_mw", "area_mm2", "wire_mm")
_DEVIATIONS = 2.0  # of the difference of two means, from which an effect is more than noise


def run(options: BenchOptions) -> BenchResult:
    """Lay out an element with each knob changed alone, three seeds each; `--quick`: the clock alone, two seeds."""
    changes = _CHANGES[:_QUICK] if options.quick else _CHANGES
    seeds = range(options.seed, options.seed + (_QUICK if options.quick else _SEEDS))
    options.on_progress("knobs", 0, len(changes) + 1)
    base = _figures(_BASE, seeds, options.out / "base")
    rows = []
    for number, (knob, value) in enumerate(changes, start=1):
        options.on_progress("knobs", number, len(changes) + 1)
        changed = _figures({**_BASE, knob: value}, seeds, options.out / f"{knob}_{value}")
        rows.append(row_of(knob, getattr(Knobs(**_BASE), knob), value, base, changed))
    options.on_progress("knobs", len(changes) + 1, len(changes) + 1)
    write_csv(rows, options)
    clear = {row["knob"] for row in rows if any("*" in row[metric] for metric in _METRICS)}
    checks = [Check("the clock's effect is above the noise", "clock_ns" in clear, "yes", "clock_ns" in clear)]
    notes = [f"mean change over {len(seeds)} seeds, and the standard deviation of a single layout over seeds",
             f"*: more than {_DEVIATIONS:g} standard deviations of the difference of the means"]  # fmt: skip
    return BenchResult(rows, checks, notes)


def _figures(knobs: Mapping[str, Any], seeds: Sequence[int], folder: Path) -> dict[str, list[float]]:
    layouts = [laid_out(_SIZE, folder / f"seed_{seed}", seed, Knobs(**knobs)) for seed in seeds]
    return {metric: [layout.metrics[metric] for layout in layouts] for metric in _METRICS}


def row_of(
    knob: str, before: Any, after: Any, base: Mapping[str, Sequence[float]], changed: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return each metric's change in per cent with the deviation of a single layout, and a star where it is clear.

    Args:
        knob: that changed.
        before: its value.
        after: likewise.
        base: values over seeds by metric, without the change.
        changed: likewise with it.
    """
    row = {"knob": knob, "from": before, "to": after}
    for metric in _METRICS:
        middle = statistics.fmean(base[metric])
        effect = statistics.fmean(changed[metric]) / middle - 1
        spreads = [statistics.variance(values) / middle**2 for values in (base[metric], changed[metric])]
        noise = (sum(spreads) / 2) ** 0.5
        of_means = (spreads[0] / len(base[metric]) + spreads[1] / len(changed[metric])) ** 0.5
        star = "*" if abs(effect) > _DEVIATIONS * of_means and effect else ""
        row[metric] = f"{effect:+.1%} ({noise:.1%}){star}"
    return row
