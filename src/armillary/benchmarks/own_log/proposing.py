"""Best of 16 and of 64 proposals, after logs of 200, 500 and 1,500 rows that lack the best fifth."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

from armillary.benchmarks.own_log.rivals import RIVALS, Learned
from armillary.benchmarks.own_log.tables import FOLDER, Case, Table, tables
from armillary.benchmarks.parts import Part
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, in_processes, write_csv
from armillary.studies.fit import fit_surrogate
from armillary.studies.propose import propose
from armillary.types import ArmillaryError, Evaluations

SIZES = (200, 500, 1500)
PROPOSED = (16, 64)
SEEDS = 5
OURS = "auto"
MOST_BEHIND = 1.03
MOST_INFEASIBLE = 0.1
INFEASIBLE_AT = 500
MOST_SECONDS = {500: 20.0, 1500: 60.0}
_SOURCES = (__name__, "armillary.surrogates.auto.surrogate")
Answer = dict[str, Any]
"""What one method found after one log: `seconds` of training; by workload and number of proposals `ratio`, `failed`."""


def run(options: BenchOptions) -> BenchResult:
    """Compare `auto` with models of one kind, TPE and chance, on every table of the folder `own_log`.

    A log is so many rows of the table, drawn by chance without the best fifth of the feasible designs of each workload.
    Proposals are unseen designs of the table. What counts is the best of the proposals, or of the log if none is
    better, over the table's optimum: the median of five seeds. `--quick` measures one seed, without 1,500 rows.

    Raises:
        ArmillaryError: if no folder of tables is given.
    """
    if options.data is None:
        raise ArmillaryError("own-log needs --data DIR with a folder own_log of tables, such as ../shared/data")
    asked = _Asked(options, SIZES[:2] if options.quick else SIZES, 1 if options.quick else SEEDS)
    found = asked.measured(tables(options.data))
    rows = _rows(found)
    write_csv(rows, options)
    return BenchResult(rows=rows, checks=_checks(rows), notes=_notes(rows, asked.seeds))


@dataclass(frozen=True)
class _Asked:
    options: BenchOptions
    sizes: Sequence[int]
    seeds: int

    def measured(self, every: Sequence[Table]) -> dict[tuple[str, int], list[Mapping[str, Answer]]]:
        """Return by table and size what each method found, a mapping per seed."""
        assert self.options.data is not None
        folder = self.options.data / FOLDER
        parts = {}
        for table, size, seed in product(every, self.sizes, range(self.seeds)):
            inputs = {"table": table.name, "digest": _digest(folder, table.name), "size": size, "seed": seed}
            parts[table.name, size, seed] = Part(self.options.out, f"{table.name}-{size}-{seed}", inputs, _SOURCES)
        jobs = {part.path: partial(_measure_part, part, self.options.data) for part in parts.values()}
        in_processes(jobs, partial(self.options.on_progress, "logs"))
        found: dict[tuple[str, int], list[Mapping[str, Answer]]] = {}
        for (name, size, _), part in parts.items():
            found.setdefault((name, size), []).append(part.measured(dict))
        return found


def _digest(folder: Path, name: str) -> str:
    return hashlib.sha256((folder / f"{name}.csv").read_bytes()).hexdigest()[:16]


def _measure_part(part: Part, data: Path) -> None:
    given = part.inputs
    (table,) = [table for table in tables(data) if table.name == given["table"]]
    part.measured(partial(measured, table, given["size"], given["seed"]))


def measured(table: Table, size: int, seed: int) -> dict[str, Answer]:
    """Return what each method found after one log."""
    log = table.log(size, seed)
    cases = {workload: table.case(workload, log) for workload in table.workloads}
    return {OURS: _ours(table, log, cases, seed), **{name: _rival(name, log, table, cases, seed) for name in RIVALS}}


def _ours(table: Table, log: Evaluations, cases: Mapping[str, Case], seed: int) -> Answer:
    started = time.perf_counter()
    model = fit_surrogate(log, table.problem, kind=OURS, seed=seed)
    answer: Answer = {"seconds": time.perf_counter() - started, "found": []}
    for (workload, case), n in product(cases.items(), PROPOSED):
        codes = propose(model, case.problem, case.context, top=n, seed=seed).codes
        answer["found"].append(_outcome(workload, n, case, codes))
    return answer


def _rival(name: str, log: Evaluations, table: Table, cases: Mapping[str, Case], seed: int) -> Answer:
    started = time.perf_counter()
    rank = RIVALS[name](Learned.of(log, table.problem), seed)
    answer: Answer = {"seconds": time.perf_counter() - started, "found": []}
    for (workload, case), n in product(cases.items(), PROPOSED):
        codes = case.candidates[rank(case.candidates, workload, n)]
        answer["found"].append(_outcome(workload, n, case, codes))
    return answer


def _outcome(workload: str, n: int, case: Case, codes: Any) -> dict[str, Any]:
    ratio, failed = case.outcome(codes)
    return {"workload": workload, "proposals": n, "ratio": ratio, "failed": failed}


def _rows(found: Mapping[tuple[str, int], Sequence[Mapping[str, Answer]]]) -> list[dict[str, Any]]:
    """Return a row per table, workload, size, number of proposals and method: medians over the seeds."""
    rows = []
    for (table, size), seeds in found.items():
        for name in seeds[0]:
            for k, first in enumerate(seeds[0][name]["found"]):
                each = [seed[name]["found"][k] for seed in seeds]
                rows.append(
                    {
                        "table": f"{table}, {first['workload']}",
                        "rows": size,
                        "proposals": first["proposals"],
                        "method": name,
                        "best / optimum": median(one["ratio"] for one in each),
                        "infeasible": mean(one["failed"] for one in each),
                        "training s": median(seed[name]["seconds"] for seed in seeds),
                    }
                )
    return rows


def _ratios(rows: Sequence[Mapping[str, Any]], size: int, n: int) -> dict[str, dict[str, float]]:
    """Return by method and table the best over the optimum."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["rows"] == size and row["proposals"] == n:
            found.setdefault(row["method"], {})[row["table"]] = row["best / optimum"]
    return found


def _furthest_behind(ratios: Mapping[str, Mapping[str, float]]) -> tuple[str, str, float]:
    """Return the table on which ours is furthest behind, the best other method there, and how many times as far."""
    behind = []
    for table, own in ratios[OURS].items():
        rival = min((name for name in ratios if name != OURS), key=lambda name: ratios[name][table])
        behind.append((table, rival, own / ratios[rival][table]))
    return max(behind, key=lambda place: place[2])


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    checks = []
    for size, n in product(sorted({row["rows"] for row in rows}), PROPOSED):
        ratios = _ratios(rows, size, n)
        means = {name: geometric_mean(list(each.values())) for name, each in ratios.items()}
        best = min((name for name in means if name != OURS), key=lambda name: means[name])
        label = f"best of {n} after {size} rows"
        goal = f"at most {means[best]:.3f}, that of {best}, the best other method"
        checks.append(Check(f"{label}, geometric mean of {OURS}", means[OURS], goal, means[OURS] <= means[best]))
        table, rival, behind = _furthest_behind(ratios)
        goal = f"at most {MOST_BEHIND}; of {rival}, the best on {table}"
        checks.append(Check(f"{label}, {OURS} over a table's best method", behind, goal, behind <= MOST_BEHIND))
    ours = [row for row in rows if row["method"] == OURS]
    failed = mean(row["infeasible"] for row in ours if row["rows"] == INFEASIBLE_AT)
    name = f"infeasible share of proposals after {INFEASIBLE_AT} rows"
    checks.append(Check(name, failed, f"at most {MOST_INFEASIBLE:.0%}", failed <= MOST_INFEASIBLE))
    for size, most in MOST_SECONDS.items():
        seconds = [row["training s"] for row in ours if row["rows"] == size]
        if seconds:
            name = f"seconds of training after {size} rows, at most"
            checks.append(Check(name, max(seconds), f"at most {most:g}", max(seconds) <= most))
    return checks


def _notes(rows: Sequence[Mapping[str, Any]], seeds: int) -> list[str]:
    """Return the geometric mean over the tables of every method, a line per size and number of proposals."""
    notes = [f"medians of {seeds} seeds; infeasible: means of them"]
    for size, n in product(sorted({row["rows"] for row in rows}), PROPOSED):
        means = {name: geometric_mean(list(each.values())) for name, each in _ratios(rows, size, n).items()}
        told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(means.items(), key=lambda item: item[1]))
        notes.append(f"best of {n} after {size} rows, geometric means: {told}")
    return notes
