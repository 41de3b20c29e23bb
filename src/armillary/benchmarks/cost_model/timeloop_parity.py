"""The analytical cost model beside Timeloop's own answers, row by row."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.result import BenchOptions, BenchResult, Check
from armillary.cost_model import Costs, evaluate
from armillary.hardware.hierarchy import AccessEnergy, Compute, Hierarchy, Level
from armillary.hardware.mapping import Mapping as LoopMapping
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

CYCLES = 1
ENERGY = 1e-4
SHARE = 0.999
_AT_ONCE = 20_000
_QUICK_ROWS = 2_000
_WORST = 10
_TENSORS = ("Weights", "Inputs", "Outputs")
_COUNTS = ("reads", "updates", "fills", "instances", "tile")

Row = Mapping[str, str]


def run(options: BenchOptions) -> BenchResult:
    """Evaluate every row of `DIR/timeloop` and compare cycles, energy and, where given, every count.

    `rows.csv.gz` is the DOSA artifact's (Hong et al., MICRO 2023), which counts first fills and whose
    energy per access is the formula of the data's README; `reference.csv.gz` holds counts per
    level and tensor under both fill rules. `--quick` takes every n-th row, 2,000 in all.
    """
    if options.data is None:
        raise ArmillaryError("timeloop-parity compares with reference rows; name their folder with --data DIR")
    folder = options.data / "timeloop"
    rows, reference = _read(folder / "rows.csv.gz"), _read(folder / "reference.csv.gz")
    if options.quick:
        rows = rows[:: max(1, len(rows) // _QUICK_ROWS)]
    steps = len(rows) + 2 * len(reference)
    done = 0

    def on_rows(n: int) -> None:
        nonlocal done
        done += n
        options.on_progress("rows", done, steps)

    options.on_progress("rows", 0, steps)
    dosa = _compare_rows(rows, on_rows)
    counted = [_compare_reference(reference, first, on_rows) for first in (False, True)]
    tables = [dosa, *counted]
    return BenchResult(rows=[t.summary() for t in tables], checks=list(_checks(dosa, counted)), notes=_notes(tables))


@dataclass(frozen=True)
class _Comparison:
    """One file of rows under one fill rule: absolute difference of cycles, relative of energy, wrong counts."""

    name: str
    ids: Sequence[str]
    cycles: NDArray[np.float64]
    energy: NDArray[np.float64]
    wrong_counts: Sequence[Sequence[str]]

    def share(self, within: NDArray[np.bool_]) -> float:
        return float(within.mean())

    def summary(self) -> dict[str, Any]:
        wrong = sum(1 for faults in self.wrong_counts if faults)
        return {
            "rows": self.name,
            "n": len(self.ids),
            "cycles within 1": self.share(self.cycles <= CYCLES),
            "worst cycles off": float(self.cycles.max()),
            "energy within 0.01%": self.share(self.energy <= ENERGY),
            "worst energy off": float(self.energy.max()),
            "rows with a wrong count": wrong if self.wrong_counts else "not given",
        }

    def worst(self) -> Iterator[str]:
        order = np.argsort(-np.maximum(self.cycles / CYCLES, self.energy / ENERGY), kind="stable")
        for i in order[:_WORST]:
            if self.cycles[i] > CYCLES or self.energy[i] > ENERGY:
                yield f"{self.name}, {self.ids[i]}: cycles off by {self.cycles[i]:,.0f}, energy by {self.energy[i]:.3%}"
        for name, faults in zip(self.ids, self.wrong_counts, strict=bool(self.wrong_counts)):
            yield from (f"{self.name}, {name}: {fault}" for fault in faults[:3])


def _checks(dosa: _Comparison, counted: Sequence[_Comparison]) -> Iterator[Check]:
    for what, within in (("cycles within 1", dosa.cycles <= CYCLES), ("energy within 0.01%", dosa.energy <= ENERGY)):
        share = dosa.share(within)
        yield Check(f"{dosa.name}: {what}", share, f"at least {SHARE:.1%} of rows", share >= SHARE)
    for table in counted:
        right = sum(
            1
            for c, e, faults in zip(table.cycles, table.energy, table.wrong_counts, strict=True)
            if c <= CYCLES and e <= ENERGY and not faults
        )
        goal = "cycles, energy and every count of every row"
        yield Check(f"{table.name}: rows right", f"{right} of {len(table.ids)}", goal, right == len(table.ids))


def _notes(tables: Sequence[_Comparison]) -> list[str]:
    worst = [line for table in tables for line in table.worst()]
    return worst[: 3 * _WORST] or ["no row differs by more than the goals allow"]


def _read(path: Path) -> list[Row]:
    csv.field_size_limit(10**9)
    try:
        with gzip.open(path, "rt", newline="") as file:
            rows: list[Row] = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ArmillaryError(f"{path}: there is no such file; --data names a folder that holds timeloop/") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as fault:
        raise ArmillaryError(f"{path}: cannot be read: {fault}") from fault
    if not rows:
        raise ArmillaryError(f"{path}: has no row")
    return rows


def _compare_rows(rows: Sequence[Row], on_rows: Callable[[int], None]) -> _Comparison:
    cycles, energy = [], []
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        costs = evaluate(
            [_gemmini(row) for row in some],
            [_layer(row, "prob.") for row in some],
            [LoopMapping.parse(row["mapping.mapping"]) for row in some],
            count_first_fill=True,
        )
        cycles.append(costs.delay_cycles.numpy())
        energy.append(costs.energy_pj.numpy() / 1e6)
        on_rows(len(some))
    return _Comparison(
        "rows.csv.gz, first fills counted",
        [f"row {i + 1}" for i in range(len(rows))],
        np.abs(np.concatenate(cycles) - _column(rows, "target.cycle")),
        np.abs(np.concatenate(energy) / _column(rows, "target.energy") - 1),
        [],
    )


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])


def _gemmini(row: Row) -> Hierarchy:
    """Return the artifact's hierarchy; energies by the formula that its README states."""
    mesh = int(row["arch.meshX"])
    accumulator, scratchpad = int(row["arch.mem1_entries"]), int(row["arch.mem2_entries"])
    width = int(row["arch.mem2_width"])
    dram = 6400.0
    levels = (
        Level(name="DRAM", kind="dram", block_words=64, shared_bandwidth=8.0, energy=_same(dram)),
        Level(
            name="Scratchpad",
            keeps="WI",
            capacity_words=scratchpad,
            block_words=width // 8,
            shared_bandwidth=float(row["arch.mem2_shared_bandwidth"]),
            fanout=(mesh, 1),
            energy=_same(_sram_pj(width, scratchpad / 1024)),
        ),
        Level(
            name="Accumulator",
            keeps="O",
            capacity_words=accumulator,
            word_bits=32,
            shared_bandwidth=float(row["arch.mem1_shared_bandwidth"]),
            fanout=(mesh, 1),
            energy=_same(_sram_pj(32, accumulator * 4 / 1024)),
        ),
        Level(name="Registers", kind="regfile", keeps="W", capacity_words=1, energy=_same(_sram_pj(8, 1 / 1024))),
    )
    return Hierarchy(name="gemmini", levels=levels, compute=Compute(energy_pj=0.5608))


def _sram_pj(width_bits: int, kilobytes: float) -> float:
    return width_bits / 8 * (97 + 5 * kilobytes) / 199


def _same(energy_pj: float) -> AccessEnergy:
    return AccessEnergy(read_pj=energy_pj, fill_pj=energy_pj, update_pj=energy_pj)


def _layer(row: Row, prefix: str = "") -> Layer:
    """Return the row's layer; Timeloop pairs P with what it calls the width."""
    n, k, c, p, q, r, s = (int(row[prefix + d]) for d in "NKCPQRS")
    w_stride, h_stride, w_dilation, h_dilation = (
        int(row[prefix + name]) for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")
    )
    return Layer("layer", "conv", n, k, c, p, q, r, s, w_stride, h_stride, w_dilation, h_dilation)


def _compare_reference(rows: Sequence[Row], count_first_fill: bool, on_rows: Callable[[int], None]) -> _Comparison:
    column = "_legacy_fill" if count_first_fill else ""
    cycles, energy = np.empty(len(rows)), np.empty(len(rows))
    wrong: list[Sequence[str]] = [()] * len(rows)
    for levels in sorted({len(json.loads(row["arch_json"])) for row in rows}):
        chosen = [i for i, row in enumerate(rows) if len(json.loads(row["arch_json"])) == levels]
        some = [rows[i] for i in chosen]
        costs = evaluate(
            [_given(row) for row in some],
            [_layer(row) for row in some],
            [LoopMapping.parse(row["mapping"]) for row in some],
            count_first_fill=count_first_fill,
        )
        cycles[chosen] = np.abs(costs.delay_cycles.numpy() - _column(some, "cycles" + column))
        energy[chosen] = np.abs(costs.energy_pj.numpy() / _column(some, "energy_pj" + column) - 1)
        for place, i in enumerate(chosen):
            wrong[i] = list(_wrong_counts(costs, place, rows[i], "accesses_per_instance" + column))
    on_rows(len(rows))
    name = f"reference.csv.gz, first fills {'counted' if count_first_fill else 'elided'}"
    return _Comparison(name, [row["id"] for row in rows], cycles, energy, wrong)


def _given(row: Row) -> Hierarchy:
    """Return the hierarchy that a row of the reference spells out."""
    energies = json.loads(row["ert_pj_per_vector_access"])
    levels = tuple(
        Level(
            name=level["name"],
            keeps=level["keep"],
            capacity_words=level["capacity_words"],
            word_bits=level["word_bits"],
            block_words=level["block_words"],
            shared_bandwidth=_float(level["shared_bw"]),
            read_bandwidth=_float(level["read_bw"]),
            write_bandwidth=_float(level["write_bw"]),
            fanout=tuple(level["fanout_below_xy"]),
            energy=_same(energies[level["name"]]),
        )
        for level in json.loads(row["arch_json"])
    )
    compute = Compute(bits=int(row["mac_bits"]), energy_pj=energies["MACC"])
    return Hierarchy(name=row["arch"], levels=levels, compute=compute)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _wrong_counts(costs: Costs, place: int, row: Row, column: str) -> Iterator[str]:
    """Yield the counts of a row that differ from Timeloop's."""
    given = json.loads(row[column])
    names = [level["name"] for level in json.loads(row["arch_json"])][::-1]
    for number, level in enumerate(names):
        for t, tensor in enumerate(_TENSORS):
            reads, fills, updates = costs.accesses[number, t, :, place].tolist()
            ours = [reads, updates, fills, costs.instances[number, place].item()]
            ours.append(costs.tile_words[number, t, place].item())
            theirs = given.get(f"{level}.{tensor}", [0, 0, 0, ours[3], 0])
            for what, mine, its in zip(_COUNTS, ours, theirs, strict=True):
                if mine != its:
                    yield f"{level}.{tensor}: {what} {mine:,.0f}, Timeloop has {its:,.0f}"
