"""Our RTL, our cost model and Timeloop beside Gemmini's RTL on FireSim, row by row.

The rows are the DOSA artifact's (Hong et al., MICRO 2023): a layer, a mapping, and the cycles that Gemmini took on
FireSim. That is one FPGA image per array size, whose memories hold every row's tiles twice, whatever the row says. The
array of a row is the smallest power of two that holds what its mapping unrolls, as the artifact grouped its runs.

Our RTL runs twice: as it is shipped, and with what the template leaves out of Gemmini and its system, see `_job`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from armillary.benchmarks.figures import write
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.cores import available
from armillary.cost_model import evaluate
from armillary.evaluators.gemmini.build import harness, simulated_text, simulator
from armillary.evaluators.gemmini.simulation import Job, SimulationError, simulate
from armillary.evaluators.gemmini.soc import Soc, cycles_on_soc
from armillary.hardware.mapping import LevelMapping, Loop
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.hardware.rtl.gemmini.compiler import Placement, Shape, compile_layer
from armillary.hardware.rtl.gemmini.layout import aligned
from armillary.hardware.templates.gemmini import Accelerator
from armillary.reports.theme import blank
from armillary.tools.process import side_by_side
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

TRUTH = "target.gemmini_cycle"
RTL = ("rtl", "rtl_shipped")
MODELS = (*RTL, "soc", "cost_model", "timeloop")
SCRATCHPAD_KIB, ACCUMULATOR_KIB = 1024, 512
MOST_ERROR, LEAST_NEARER, WORST_FACTOR = 0.15, 0.85, 2.0
_QUICK_ROWS, _QUICK_CYCLES = 24, 3_000_000
MOST_DIM = 64
_BUS_LATENCY = 20
_PAGE = 4096
_NEEDED = (TRUTH, "target.cycle", "target.edp", "target.energy", "mapping.mapping", "arch.mem1_entries")
_TITLES = {
    "rtl": "our RTL, as Gemmini runs",
    "rtl_shipped": "our RTL, as shipped",
    "soc": "our model of the SoC",
    "cost_model": "our cost model",
    "timeloop": "Timeloop",
}


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        file: its name.
        number: of the row, from 0 on.
        layer: what ran.
        mapping: as the file has it.
        dim: rows and columns of the array.
        hardware: the row's memory sizes, in words: accumulator per column, scratchpad.
        cycles: Gemmini's on FireSim.
        timeloop: the published analytical value.
    """

    file: str
    number: int
    layer: Layer
    mapping: LoopMapping
    dim: int
    hardware: tuple[int, int]
    cycles: float
    timeloop: float

    @property
    def kind(self) -> str:
        """GEMM, or the filter of a convolution."""
        return "GEMM" if 1 in (self.layer.P, self.layer.Q) else f"{self.layer.R}x{self.layer.S}"


def run(options: BenchOptions) -> BenchResult:
    """Run every row of the CSV files in `DIR/firesim`, or in `DIR` itself, and compare cycles.

    `--quick`: of every file some rows, the short ones. Rows that the RTL refuses are told with the reason; they count
    as wrong.
    """
    rows = [row for path in files(options, "firesim") for row in read_rows(path)]
    if options.quick:
        rows = [row for own in _by_file(rows).values() for row in _sample(own)]
    found = _measured(rows, options)
    write_csv(found, options)
    _draw(found, options)
    groups = {name: [one for one in found if one["file"] == name] for name in _by_file(rows)}
    checks = [check for name, own in groups.items() for check in _checks(name, own)]
    if len(groups) > 1:
        groups["all files"] = found
    summaries = [line for name, own in groups.items() for line in _summaries(name, own)]
    return BenchResult(rows=summaries, checks=checks, notes=_notes(found))


def _by_file(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {name: [row for row in rows if row.file == name] for name in dict.fromkeys(row.file for row in rows)}


def _sample(rows: Sequence[Row]) -> list[Row]:
    short = [row for row in rows if row.cycles <= _QUICK_CYCLES]
    return short[:: max(1, len(short) // _QUICK_ROWS)]


def files(options: BenchOptions, bench: str) -> list[Path]:
    """Return the CSV files in `DIR/firesim`, or in `DIR` itself, where that is `--data`.

    Raises:
        ArmillaryError: if the benchmark was given no folder, or one without such files.
    """
    if options.data is None:
        raise ArmillaryError(f"{bench} compares with the DOSA artifact's rows; name their folder with --data DIR")
    inner = options.data / "firesim"
    folder = inner if inner.is_dir() else options.data
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise ArmillaryError(f"{folder}: has no CSV file; --data names a folder of them, or one that holds firesim/")
    return paths


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file of the artifact's form.

    Raises:
        ArmillaryError: names the file, the row, and what is missing or wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault}") from fault
    missing = [name for name in _NEEDED if not table or name not in table[0]]
    if missing:
        raise ArmillaryError(f"{path}: has no rows with {missing[0]!r}; every row needs {list(_NEEDED)}")
    rows = []
    for number, fields in enumerate(table):
        try:
            rows.append(_row(path.stem, number, fields))
        except (KeyError, ValueError, ArmillaryError) as fault:
            raise ArmillaryError(f"{path}: row {number}: {fault}") from fault
    return rows


def _row(file: str, number: int, fields: Mapping[str, str]) -> Row:
    n, k, c, p, q, r, s = (int(fields[f"prob.{d}"]) for d in "NKCPQRS")
    # Timeloop pairs P with what it calls the width.
    by_w, by_h, apart_w, apart_h = (int(fields[f"prob.{d}{what}"]) for what in ("stride", "dilation") for d in "WH")
    layer = Layer(f"{file}_{number}", "conv", n, k, c, p, q, r, s, by_w, by_h, apart_w, apart_h)
    mapping = LoopMapping.parse(fields["mapping.mapping"])
    cycles, timeloop = float(fields[TRUTH]), float(fields["target.cycle"])
    if timeloop == cycles:  # the training file repeats the measured value; its EDP is the analytical one
        timeloop = float(fields["target.edp"]) / (float(fields["target.energy"]) * 1e-6)
    hardware = int(fields["arch.mem1_entries"]), int(fields["arch.mem2_entries"])
    return Row(file, number, layer, mapping, array_size(mapping), hardware, cycles, timeloop)


def array_size(mapping: LoopMapping) -> int:
    """Return the array that a mapping ran on: the smallest power of two, from 2 on, that its unrolled loops fit."""
    widest = max([prod(loop.factor for loop in level.spatial) for level in mapping.levels])
    return max(2, 1 << (widest - 1).bit_length())


def accelerator_for(dim: int) -> Accelerator:
    """Return our accelerator in the FPGA's place.

    Its memories are the largest, so that most rows' tiles fit twice. Requests are of 64 bytes, 16 under way, as
    Gemmini's. Gemmini keeps inputs and weights in banks of their own; ours interleaves rows, so it has more banks.
    """
    return Accelerator(
        dim=dim,
        scratchpad_kib=min(SCRATCHPAD_KIB, 64 * dim),
        accumulator_kib=min(ACCUMULATOR_KIB, 64 * dim),
        bus_bytes=min(16, dim),
        scratchpad_banks=16,
        burst_rows=max(1, 64 // dim),
        outstanding=16,
        dram_latency=100,
    )


def placement_of(layer: Layer, mapping: LoopMapping, accelerator: Accelerator) -> Placement:
    """Return where Gemmini's software puts a layer's tensors: inputs and outputs as NHWC, weights as RSCK.

    P runs along an image's rows, as in the artifact. Our hardware moves rows of the array's width; where a mapping uses
    fewer columns or rows of it, the rest of each row is a gap.
    """
    row = accelerator.pitch
    kx, cx = (level.unrolled("X") for level in mapping.levels[1:3])
    r, s, c, k = (prod(loop.factor for loop in mapping.over(d)) for d in "RSCK")
    wide, tall, blocks = layer.input_height, layer.input_width, -(-layer.C // cx)
    inputs = Shape(0, (1, blocks, layer.N, wide, tall), row, _pixels(layer.N, wide, tall, blocks, row))
    tap = k // kx * row
    taps = (r * s * c * tap, row, s * c * tap, c * tap, tap)
    weights = Shape(aligned(inputs.end, _PAGE), (1, k // kx, r, s, c), row, taps)
    wide, tall, blocks = layer.P, layer.Q, -(-layer.K // kx)
    pixels = _pixels(layer.N, wide, tall, blocks, row)
    outputs = Shape(aligned(weights.end, _PAGE), (1, blocks, layer.N, wide, tall), row, pixels)
    return Placement(inputs=inputs, weights=weights, outputs=outputs, address=aligned(outputs.end, _PAGE))


def _pixels(images: int, wide: int, tall: int, blocks: int, row: int) -> tuple[int, ...]:
    """Return the bytes from one group, block, image, pixel and line of pixels to the next."""
    pixel = blocks * row
    return images * tall * wide * pixel, row, tall * wide * pixel, pixel, wide * pixel


def as_executed(row: Row) -> LoopMapping:
    """Return a row's mapping as Gemmini's software and its loop instruction ran it.

    The artifact handed over the tiles' sizes and their order. Inside a tile the hardware has an order of its own: K, S,
    R, C, N, Q, P, and takes as many output and input channels at once as the array has columns and rows. Tiles of a
    GEMM are counted in whole arrays: one that is narrower is widened, and there are fewer.
    """
    dram, scratchpad, accumulator, registers = row.mapping.levels
    factors = dict.fromkeys("KSRCNQP", 1)
    for loop in (*accumulator.temporal, *registers.temporal):
        factors[loop.dimension] *= loop.factor
    across = [{loop.dimension: loop.factor for loop in level.spatial} for level in (scratchpad, accumulator)]
    outer = {loop.dimension: loop.factor for loop in dram.temporal}
    for d, table in (("K", across[0]), ("C", across[1]), ("P", {})):
        tile = table.get(d, 1) * factors[d]
        together = row.dim // tile if row.kind == "GEMM" and row.dim % tile == 0 else 1
        if outer.get(d, 1) % together == 0:
            outer[d] = outer.get(d, 1) // together
            tile *= together
        width = row.dim if d != "P" and tile % row.dim == 0 else table.get(d, 1)
        if tile % width == 0:
            table[d], factors[d] = width, tile // width
    turns = {d: Loop(d, factor) for d, factor in factors.items() if factor > 1}
    outside, inside = (tuple(turns[d] for d in order if d in turns) for order in ("KSRC", "NQP"))
    columns, lines = (tuple(Loop(d, factor, "X") for d, factor in table.items() if factor > 1) for table in across)
    tiles = tuple(Loop(d, factor) for d, factor in outer.items() if factor > 1)
    return LoopMapping(
        (
            LevelMapping(dram.keeps, tiles),
            LevelMapping(scratchpad.keeps, scratchpad.temporal, columns),
            LevelMapping(accumulator.keeps, outside, lines),
            LevelMapping(registers.keeps, inside, registers.spatial),
        )
    )


def _measured(rows: Sequence[Row], options: BenchOptions) -> list[dict[str, Any]]:
    """Return what every model says of every row, kept in a part each; the longest rows run first."""
    parts = {row: _part(row, options) for row in rows}
    waiting = sorted((row for row, part in parts.items() if not part.path.exists()), key=lambda row: -row.cycles)
    kept = len(rows) - len(waiting)
    options.on_progress("rows", kept, len(rows))
    with side_by_side(available()) as threads:
        run = threads.map(lambda row: parts[row].measured(partial(_part_of, row)), waiting)
        for done, _ in enumerate(run, start=kept + 1):
            options.on_progress("rows", done, len(rows))
    return [part.measured(partial(_part_of, row)) for row, part in parts.items()]


def _part(row: Row, options: BenchOptions) -> Part:
    """Return where a row's results are kept; what is simulated is not Python, so that its text is an input."""
    inputs = {"row": digest(repr(row)), "hardware": _hardware(row.dim)}
    return Part(options.out / "rows", f"{row.file}-{row.number}", inputs, (__name__,))


@cache
def _hardware(dim: int) -> str:
    return digest(simulated_text(accelerator_for(dim)) if dim <= MOST_DIM else harness())


def _part_of(row: Row) -> dict[str, Any]:
    return _entry(row, *(_rtl_cycles(row, kind) for kind in RTL))


def _rtl_cycles(row: Row, kind: str) -> float | str:
    """Return the RTL's cycles of a row, or why there are none."""
    try:
        job = _job(row, kind)
    except ArmillaryError as fault:
        return str(fault)
    try:
        return float(simulate(simulator(job.accelerator), job).cycles)
    except SimulationError as fault:
        raise ArmillaryError(f"row {row.number} of {row.file}: {fault}") from fault


def _job(row: Row, kind: str) -> Job:
    """Return what runs a row on the RTL: as it is shipped, or as Gemmini ran it.

    Gemmini loads inputs and weights for every tile, its instructions have a least time, and its memory is the system's,
    with a bus on the way there. Either way tensors lie as Gemmini's software puts them.
    """
    accelerator, mapping, soc = accelerator_for(row.dim), as_executed(row), Soc()
    placement = placement_of(row.layer, mapping, accelerator)
    program = compile_layer(row.layer, mapping, accelerator, placement=placement, reload=kind == "rtl")
    if kind == "rtl_shipped":
        return Job(accelerator, program)
    system = replace(accelerator, dram_latency=_BUS_LATENCY)
    return Job(system, program, dram_model=soc, least_run=soc.least_run(row.dim))


def _entry(row: Row, rtl: float | str, shipped: float | str) -> dict[str, Any]:
    hierarchy = accelerator_for(min(row.dim, MOST_DIM)).hierarchy()
    soc = cycles_on_soc(row.layer, as_executed(row), row.dim)
    return {
        "file": row.file,
        "row": row.number,
        "kind": row.kind,
        "dim": row.dim,
        "layer": " ".join(f"{d}{getattr(row.layer, d)}" for d in "KCPQRS"),
        "mapping": str(row.mapping),
        "hardware": "x".join(map(str, (row.dim, *row.hardware))),
        "firesim": row.cycles,
        "rtl": None if isinstance(rtl, str) else rtl,
        "rtl_shipped": None if isinstance(shipped, str) else shipped,
        "refused": rtl if isinstance(rtl, str) else "",
        "soc": soc.cycles,
        "cost_model": float(evaluate(hierarchy, row.layer, row.mapping).delay_cycles),
        "timeloop": row.timeloop,
        **{f"soc_{name}": value for name, value in asdict(soc).items() if name != "cycles"},
    }


Entry = Mapping[str, Any]


def _ratios(rows: Sequence[Entry], model: str) -> NDArray[np.float64]:
    """Return predicted over true of the rows that a model has a value for."""
    return np.array([row[model] / row["firesim"] for row in rows if row[model] is not None])


def _summaries(name: str, rows: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a line per model for all rows of a file, and one per kind of layer."""
    found = []
    for kind in ("all", *sorted({row["kind"] for row in rows})):
        some = rows if kind == "all" else [row for row in rows if row["kind"] == kind]
        found += [_summary(name, kind, some, model) for model in MODELS]
    return found


def _summary(name: str, kind: str, rows: Sequence[Entry], model: str) -> dict[str, Any]:
    ratios = _ratios(rows, model)
    if not len(ratios):
        return {"file": name, "layers": kind, "model": _TITLES[model], "rows": 0}
    logs = np.log(ratios)
    return {
        "file": name,
        "layers": kind,
        "model": _TITLES[model],
        "rows": len(ratios),
        "mean error": float(np.abs(ratios - 1).mean()),
        "over FireSim": float(np.exp(logs.mean())),
        "spread": float(np.exp(logs.std())),
        "nearer than Timeloop": _nearer(rows, model),
        "off by over 2x": int((np.abs(logs) > np.log(WORST_FACTOR)).sum()),
        "Spearman": _spearman(rows, model, lambda _: ""),
        "in a layer": _spearman(rows, model, lambda row: row["layer"]),
        "in a layer and hardware": _spearman(rows, model, lambda row: (row["layer"], row["hardware"])),
    }


def _nearer(rows: Sequence[Entry], model: str) -> float:
    """Return the share of rows that a model is at least as near to as Timeloop; a row without a value is not."""
    near = [
        row[model] is not None and abs(row[model] - row["firesim"]) <= abs(row["timeloop"] - row["firesim"])
        for row in rows
    ]
    return float(np.mean(near))


def _spearman(rows: Sequence[Entry], model: str, group: Callable[[Entry], Any]) -> float | None:
    """Return the rank correlation with FireSim, averaged over the groups of rows that differ."""
    groups: dict[Any, list[Entry]] = {}
    for row in rows:
        if row[model] is not None:
            groups.setdefault(group(row), []).append(row)
    found = []
    for own in groups.values():
        ours, true = [row[model] for row in own], [row["firesim"] for row in own]
        if len(set(ours)) > 1 and len(set(true)) > 1:
            found.append(float(spearmanr(ours, true).statistic))
    return float(np.mean(found)) if found else None


def _checks(name: str, rows: Sequence[Entry]) -> list[Check]:
    refused = sum(1 for row in rows if row["rtl"] is None)
    ratios = _ratios(rows, "rtl")
    error = float(np.abs(ratios - 1).mean()) if len(ratios) else float("inf")
    nearer = _nearer(rows, "rtl")
    far = int((np.abs(np.log(ratios)) > np.log(WORST_FACTOR)).sum())
    return [
        Check(f"{name}: rows that the RTL refuses", refused, "none", refused == 0),
        Check(f"{name}: mean error of the RTL", error, f"at most {MOST_ERROR:.0%}", error <= MOST_ERROR),
        Check(f"{name}: nearer than Timeloop", nearer, f"{LEAST_NEARER:.0%} of rows", nearer >= LEAST_NEARER),
        Check(f"{name}: rows off by more than {WORST_FACTOR:g}x", far, "none", far == 0),
    ]


def _notes(rows: Sequence[Entry]) -> list[str]:
    """Return the rows that each model of ours is farthest from, and those that were refused."""
    notes = []
    for model in (*RTL, "soc"):
        have = [row for row in rows if row[model] is not None]
        have.sort(key=lambda row: -abs(np.log(row[model] / row["firesim"])))
        for row in have[:10]:
            notes.append(
                f"{_TITLES[model]} is at {row[model] / row['firesim']:.2f} of {row['firesim']:,.0f} cycles: "
                f"{row['file']} row {row['row']}, {row['layer']}, {row['mapping']}"
            )
    notes += [f"refused: {row['file']} row {row['row']}: {row['refused']}" for row in rows if row["refused"]]
    return notes


def _draw(rows: Sequence[Entry], options: BenchOptions) -> None:
    """Draw predicted over true, a box of points per kind of layer and model."""
    figure = blank()
    for model in MODELS:
        have = [row for row in rows if row[model] is not None]
        figure.add_box(
            x=[row["kind"] for row in have],
            y=[row[model] / row["firesim"] for row in have],
            text=[f"{row['file']} row {row['row']}: {row['layer']}<br>{row['mapping']}" for row in have],
            name=_TITLES[model],
            boxpoints="all",
            jitter=0.6,
            pointpos=0,
            marker={"size": 4, "opacity": 0.6},
            line={"width": 1},
        )
    figure.update_layout(boxmode="group")
    figure.add_hline(y=1, line={"color": "#8a95a3", "width": 1})
    kinds = sorted({row["kind"] for row in rows}, key=lambda kind: (kind == "GEMM", len(kind), kind))
    figure.update_xaxes(categoryorder="array", categoryarray=kinds)
    title = f"{len(rows)} rows of Gemmini on FireSim: predicted cycles over measured, by kind of layer"
    write(figure, options.out / "figure.html", title=title, x="", y="Predicted over measured", logarithmic="y")
