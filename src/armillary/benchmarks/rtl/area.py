"""Area by the template's laws against synthesis, on designs that the laws were not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.rtl.area_sweep import columns_of, random_values
from armillary.evaluators.gemmini.synthesis import synthesized
from armillary.hardware.templates.gemmini import DATAFLOWS, Accelerator
from armillary.hardware.templates.gemmini_area import area_mm2, memories_mm2

_LARGEST_ERROR = 0.1
_SIZES, _QUICK_SIZES = (4, 8, 16, 32), (4, 8)
_EACH = 3
_CPU_S = {4: 60.0, 16: 360.0}
_CONTROL = {4: 0.6, 16: 0.15}


def run(options: BenchOptions) -> BenchResult:
    """Synthesise 12 designs, DIM 4 to 32 and every dataflow, and compare `area_mm2`; `--quick`: 6, DIM 4 and 8."""
    designs = drawn(_QUICK_SIZES if options.quick else _SIZES, options.seed)
    columns = columns_of(designs)
    laws, memories = area_mm2(columns), np.sum(list(memories_mm2(columns).values()), axis=0)
    rows = []
    for number, design in enumerate(designs):
        options.on_progress("designs", number, len(designs))
        rows.append(_row(design, float(laws[number]), float(laws[number] - memories[number])))
    options.on_progress("designs", len(designs), len(designs))
    write_csv(rows, options)
    return BenchResult(rows, [*_checks(rows), *_of_size(rows)], [_note(rows)])


def drawn(sizes: Sequence[int], seed: int) -> list[Accelerator]:
    """Return random designs of each array size, with the dataflow in turn; the sweep draws others."""
    rng = np.random.default_rng([seed, 1])
    sized = [dim for dim in sizes for _ in range(_EACH)]
    return [
        Accelerator(dim=dim, dataflow=DATAFLOWS[number % len(DATAFLOWS)], **random_values(dim, rng))
        for number, dim in enumerate(sized)
    ]


def _row(design: Accelerator, law_mm2: float, law_logic_mm2: float) -> dict[str, Any]:
    found = synthesized(design)
    whole = (found.cells_um2 + found.memories_um2) / 1e6
    main = sum(m.area_um2 for m in found.memories if m.block in ("scratchpad", "accumulator")) / 1e6
    return {
        "dim": design.dim,
        "dataflow": design.dataflow,
        "scratchpad_kib": design.scratchpad_kib,
        "accumulator_kib": design.accumulator_kib,
        "queue_depth": design.queue_depth,
        "bus_bytes": design.bus_bytes,
        "synthesis_mm2": round(whole, 4),
        "law_mm2": round(law_mm2, 4),
        "error": round(law_mm2 / whole - 1, 4),
        "without_main_memories_mm2": round(whole - main, 4),
        "its_error": round(law_logic_mm2 / (whole - main) - 1, 4),
        "control": round(found.share("control"), 3),
        "cpu_s": round(found.cpu_s, 1),
        "problems": len(found.problems),
    }


def _checks(rows: Sequence[dict[str, Any]]) -> list[Check]:
    checks = [
        Check(name, worst, f"at most {_LARGEST_ERROR}", worst <= _LARGEST_ERROR)
        for name, worst in (
            ("largest error of area_mm2", max(abs(row["error"]) for row in rows)),
            ("without scratchpad's and accumulator's memories", max(abs(row["its_error"]) for row in rows)),
        )
    ]
    problems = sum(row["problems"] for row in rows)
    return [*checks, Check("latches, loops, wires of several drivers or none", problems, "0", problems == 0)]


def _of_size(rows: Sequence[dict[str, Any]]) -> list[Check]:
    """Return the checks of CPU time and control for the array sizes that have goals."""
    checks = []
    for dim in sorted({row["dim"] for row in rows} & set(_CPU_S)):
        own = [row for row in rows if row["dim"] == dim]
        seconds, control = max(row["cpu_s"] for row in own), max(row["control"] for row in own)
        checks.append(
            Check(f"CPU seconds of a synthesis at DIM {dim}", seconds, f"under {_CPU_S[dim]:g}", seconds < _CPU_S[dim])
        )
        checks.append(
            Check(
                f"control's share of the cells at DIM {dim}",
                control,
                f"below {_CONTROL[dim]:g}",
                control < _CONTROL[dim],
            )
        )
    return checks  # fmt: skip


def _note(rows: Sequence[dict[str, Any]]) -> str:
    errors = [abs(row["error"]) for row in rows]
    return f"{len(rows)} random designs that no law was fitted to: mean error {np.mean(errors):.1%}."
