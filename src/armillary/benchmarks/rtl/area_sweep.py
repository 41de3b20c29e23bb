"""The syntheses that area laws of the `gemmini` template are fitted to, and the fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.optimize import nnls

from armillary.atomic_file import replaced
from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.evaluators.gemmini.synthesis import CLOCK_NS, Synthesized, slowest_paths, synthesized
from armillary.hardware.templates.gemmini import DATAFLOWS, SPACE, Accelerator
from armillary.hardware.templates.gemmini_area import ANY, LAWS, terms, um2_by
from armillary.tools import opensta, yosys
from armillary.tools.nangate45 import TYPICAL
from armillary.types import ArmillaryError

MAIN_MEMORIES = ("scratchpad", "accumulator")
_DESIGNS = {4: 7, 8: 6, 16: 4, 32: 3}  # of each dataflow, by the array's size; small ones tell of the knobs
_TIMED = (4, 8, 16)
_BY_DATAFLOW = ("execute/systolic_array", "execute", "accumulator", "store/convert")
_SMALLEST = 0.003  # terms that are less of a block's area everywhere are noise


def run(options: BenchOptions) -> BenchResult:
    """Synthesise 60 designs, fit each block's area to them, find nine arrays' clocks, and write the laws' file."""
    designs = swept(options.seed)
    rows = [row for number, one in enumerate(designs) for row in _row(number, len(designs), one, options)]
    columns = columns_of(designs)
    blocks = fitted(rows, columns)
    content = {
        "command": "armillary bench rtl-area-fit",
        "tools": {"yosys": yosys.version(), "opensta": opensta.version(), "library": TYPICAL, "clock_ns": CLOCK_NS},
        "blocks": blocks,
        "period_ns": {kind: _periods(kind, options) for kind in DATAFLOWS},
        "sweep": [{**asdict(design), "um2": row} for design, row in zip(designs, rows, strict=True)],
    }
    with replaced(options.out / LAWS.name) as path:
        path.write_text(_compact(content), encoding="utf-8")
    errors = [_error(block, rows, columns, blocks[block]) for block in blocks]
    worst = _whole_errors(rows, columns, blocks).max()
    return BenchResult(
        errors,
        [
            Check("syntheses", len(rows), "at least 40", len(rows) >= 40),
            Check("largest error of a design without its main memories", worst, "at most 0.1", worst <= 0.1),
        ],
        [f"{options.out / LAWS.name} holds the laws; they count once it stands at {LAWS}."],
    )


def swept(seed: int) -> list[Accelerator]:
    """Return the usual design of every array size and random ones, the same for each dataflow to share blocks."""
    found = []
    for dim, number in _DESIGNS.items():
        rng = np.random.default_rng([seed, 0, dim])
        for values in ({"bus_bytes": _bus(dim)}, *(random_values(dim, rng) for _ in range(number - 1))):
            found += [Accelerator(dim=dim, dataflow=kind, **values) for kind in DATAFLOWS]
    return found


def random_values(dim: int, rng: np.random.Generator) -> dict[str, int]:
    """Return values of the space that go together with an array's size, all but it and the dataflow."""
    while True:
        values = {
            p.name: int(rng.choice(np.asarray(p.values, int)))
            for p in SPACE.parameters
            if p.name not in ("dim", "dataflow")
        }
        try:
            Accelerator(dim=dim, **values)  # type: ignore[arg-type]
        except ArmillaryError:
            continue
        return values


def _bus(dim: int) -> int:
    """Return the template's width of the bus, or a row of a smaller array."""
    return min(dim, Accelerator.bus_bytes)


def columns_of(designs: Sequence[Accelerator]) -> dict[str, Any]:
    """Return the values of designs by parameter."""
    return {name: np.array([getattr(design, name) for design in designs]) for name in SPACE.names}


def block_areas(found: Synthesized) -> dict[str, float]:
    """Return the um2 of every block's cells, and of its memories but for the scratchpad's and the accumulator's."""
    areas: dict[str, float] = {}
    for block in found.blocks:
        areas[block.name] = areas.get(block.name, 0.0) + block.area_um2
    for memory in found.memories:
        if memory.block not in MAIN_MEMORIES:
            name = f"{memory.block} memory"
            areas[name] = areas.get(name, 0.0) + memory.area_um2
    return areas


def fitted(rows: Sequence[Mapping[str, float]], columns: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return each block's law: um2 by term, by dataflow where the block is another in each."""
    blocks = sorted({block for row in rows for block in row})
    dataflow = np.asarray(columns["dataflow"])
    whole = np.array([sum(row.values()) for row in rows])
    laws: dict[str, dict[str, dict[str, float]]] = {}
    for block in blocks:
        areas = np.array([row.get(block, 0.0) for row in rows])
        kinds = DATAFLOWS if block.removesuffix(" memory") in _BY_DATAFLOW else (ANY,)
        chosen = {kind: np.ones(len(rows), bool) if kind == ANY else dataflow == kind for kind in kinds}
        laws[block] = {kind: _law(areas[at], whole[at], _terms_at(columns, at)) for kind, at in chosen.items()}
    return {block: law for block, law in laws.items() if any(law.values())}


def _terms_at(columns: Mapping[str, Any], at: Any) -> dict[str, Any]:
    return terms({name: np.asarray(values)[at] for name, values in columns.items()})


def _law(areas: Any, whole: Any, found: Mapping[str, Any]) -> dict[str, float]:
    """Return the coefficients, none negative, of least squares relative to the block's area and to the whole's."""
    if not areas.any():
        return {}
    weights = 1 / np.sqrt(np.maximum(areas, areas.max() / 100) * whole)
    names, law = list(found), np.zeros(0)
    while True:
        matrix = np.stack([found[name] for name in names], axis=1)
        law, _ = nnls(matrix * weights[:, None], areas * weights)
        share = (matrix * law / np.maximum(areas, areas.max() / 100)[:, None]).max(axis=0)
        kept = [name for name, part in zip(names, share, strict=True) if part >= _SMALLEST]
        if len(kept) == len(names):
            return {name: float(f"{value:.5g}") for name, value in zip(names, law, strict=True)}
        names = kept


def _error(
    block: str, rows: Sequence[Mapping[str, float]], columns: Mapping[str, Any], law: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    areas = np.array([row.get(block, 0.0) for row in rows])
    missed = np.abs(um2_by(law, columns) / np.maximum(areas, 1e-9) - 1)[areas > 0]
    return {
        "block": block,
        "least_um2": round(areas.min()),
        "most_um2": round(areas.max()),
        "mean_error": round(float(missed.mean()), 3),
        "largest_error": round(float(missed.max()), 3),
    }


def _whole_errors(rows: Sequence[Mapping[str, float]], columns: Mapping[str, Any], blocks: Mapping[str, Any]) -> Any:
    areas = np.array([sum(row.values()) for row in rows])
    return np.abs(sum(um2_by(law, columns) for law in blocks.values()) / areas - 1)


def _row(number: int, total: int, design: Accelerator, options: BenchOptions) -> Iterator[dict[str, float]]:
    options.on_progress("syntheses", number, total)
    found = synthesized(design)
    if found.problems:
        raise ArmillaryError(f"{design}: {found.problems[0].fault}: {found.problems[0].name}")
    options.on_progress("syntheses", number + 1, total)
    yield {name: round(area, 1) for name, area in block_areas(found).items()}


def _periods(dataflow: str, options: BenchOptions) -> dict[str, float]:
    """Return the period that the slowest path needs, by the array's size, with the template's default knobs."""
    found = {}
    for number, dim in enumerate(_TIMED):
        options.on_progress(f"clock, {dataflow}", number, len(_TIMED))
        design = Accelerator(dim=dim, dataflow=dataflow, bus_bytes=_bus(dim))  # type: ignore[arg-type]
        found[str(dim)] = round(max(slowest_paths(design).values()), 4)
    options.on_progress(f"clock, {dataflow}", len(_TIMED), len(_TIMED))
    return found


def _compact(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for each block and synthesis."""
    lines = []
    for name, value in content.items():
        if name == "sweep":
            rows = ",\n    ".join(json.dumps(row) for row in value)
            lines.append(f'  "sweep": [\n    {rows}\n  ]')
        elif name == "blocks":
            rows = ",\n    ".join(f"{json.dumps(block)}: {json.dumps(law)}" for block, law in value.items())
            lines.append(f'  "blocks": {{\n    {rows}\n  }}')
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
