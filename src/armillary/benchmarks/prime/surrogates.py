"""Which surrogate ranks designs best: all of them on PRIME's nine applications, with every design scored.

A surrogate that a search optimises is judged together with the search. Here its score of every design
within the area bound decides, so that nothing but the surrogate is compared; what the usual search finds
stands beside it. What PRIME is without one of its parts is Table 13's to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from armillary import surrogates
from armillary.benchmarks.figures import regrets_of, write_regrets
from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.designs import area_parts
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import Runs
from armillary.benchmarks.prime.scenarios import ENC, TABLE_3, V2, Task
from armillary.benchmarks.prime.scoring import scored, scored_part
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, in_processes, write_csv

_MOST_ILLEGAL = 0.05
_FEW = (V2, ENC)
_SLOW = frozenset({"coms"})
_SAME = 1.005  # what another seed changes

_TIMES = (
    "about 14 min of one core with `--quick`, a day of one core (on a GPU 11 min) for all nine and every surrogate."
)

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "hurdle": ("hurdle", {}),
    "prime": ("prime", {}),
    "coms": ("coms", {}),
    "ram-listnet": ("ram-listnet", {}),
    "tri-mentoring": ("tri-mentoring", {}),
    "deep-ensemble": ("deep-ensemble", {}),
    "deep-ensemble, bounded rows left out": ("deep-ensemble", {"learn_beyond": False}),
}


def run(options: BenchOptions) -> BenchResult:
    """Train every surrogate on every application's log and verify the 256 designs that it scores best.

    Scored are all designs within the area bound, 65 of 453 million, none of the log; with `--quick` those among
    seven million random ones, for two applications and without COMs. PRIME trains by its brief schedule.
    """
    methods = [name for name in METHODS if not (options.quick and name in _SLOW)]
    tasks = [task for task in TABLE_3 if not options.quick or task.target[0] in _FEW]
    runs = Runs.of(options)
    quiet = replace(runs, options=options.quiet())
    jobs = [(name, task) for task in tasks for name in methods]
    measured = {_part(*job, runs).path: partial(_one, *job, quiet) for job in jobs}
    if not options.quick and not all(path.exists() for path in measured):
        for area_mm2 in sorted({task.area_mm2 for task in tasks}):
            in_processes(
                area_parts(area_mm2, options), partial(options.on_progress, "parts of the space, areas computed")
            )
    in_processes(measured, partial(options.on_progress, "surrogates trained and every design scored"))
    rows = [_row(task, name, _one(name, task, runs)) for name, task in jobs]
    write_csv(rows, options)
    found = regrets_of(rows, method="surrogate", task="application", worst="over_optimum")
    title = "Latency of the best of 256 designs that a surrogate ranks first, above the true optimum"
    write_regrets(found, options.out / "figure.html", title=title)
    means = [_mean_row(name, [r for r in rows if r["surrogate"] == name]) for name in methods]
    size = f"Size: {len(tasks)} applications, {len(methods)} surrogates, one seed; {_TIMES}"
    return BenchResult(rows=[*rows, *means], checks=_checks(means), notes=_notes(options.quick), preface=[size])


def _part(name: str, task: Task, runs: Runs) -> Part:
    method, settings = METHODS[name]
    return scored_part(method, task, runs, settings)


def _one(name: str, task: Task, runs: Runs) -> dict[str, Any]:
    method, settings = METHODS[name]
    return scored(method, task, runs, settings)


def _row(task: Task, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "application": task.target[0],
        "surrogate": name,
        "over_optimum": regret(task.scenario, found["scored_s"]),
        "legal_of_256": found["scored_legal"],
        "searched_over_optimum": regret(task.scenario, found["searched_s"]),
        "searched_legal_of_256": found["searched_legal"],
        "spearman": found["spearman"],
        "brier": found["brier"],
        "training_s": found["training_seconds"],
        "scored_per_s": found["designs"] / found["scoring_seconds"],
    }


def _mean_row(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return geometric means of the ratios, arithmetic ones of the rest."""
    ratios = {c: geometric_mean([r[c] for r in rows]) for c in ("over_optimum", "searched_over_optimum")}
    rest = {c: float(np.mean([r[c] for r in rows])) for c in rows[0] if c not in ("application", "surrogate", *ratios)}
    whole = {"application": "mean", "surrogate": name, **ratios, **rest}
    return {column: whole[column] for column in rows[0]}


def _checks(means: Sequence[Mapping[str, Any]]) -> list[Check]:
    by_name = {row["surrogate"]: row for row in means}
    default = by_name[surrogates.DEFAULT]
    winner = min(means, key=lambda row: row["over_optimum"])
    behind = default["over_optimum"] / winner["over_optimum"]
    name = f"{surrogates.DEFAULT}, the default, over the one that ranks best, {winner['surrogate']}"
    illegal = 1 - default["searched_legal_of_256"]
    return [
        Check(name, behind, f"at most {_SAME}: as good as equal", behind <= _SAME),
        Check(
            f"illegal share of the 256 proposals of {surrogates.DEFAULT}", illegal, "under 5%", illegal < _MOST_ILLEGAL
        ),
    ]


def _notes(quick: bool) -> list[str]:
    scored = "A million random designs within the bound" if quick else "Every design within the bound"
    return [
        f"{scored} scored, the best 256 verified: over_optimum, legal_of_256. searched_*: what the usual search found.",
        "inf: none of the 256 can be built; a figure has no place for it.",
        "Ratios are to the true optimum of all 452,760,000 designs. spearman: over random legal designs; brier: over "
        "random designs within the bound.",
    ]
