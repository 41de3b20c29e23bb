"""Which surrogate ranks designs best: all of them on PRIME's nine applications, with every design scored.

A surrogate that a search optimises is judged together with the search. Here its score of every design
within the area bound decides, so that nothing but the surrogate is compared; what the usual search finds
stands beside it. What PRIME is without one of its parts is Table 13's to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from armillary import surrogates
from armillary.atomic_file import replaced
from armillary.benchmarks.figures import write_regrets
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import TOP, Runs, joint_values, offline_log, problem_at, trained
from armillary.benchmarks.prime.scenarios import TABLE_3, Task
from armillary.benchmarks.prime.tables import geometric_mean, regrets_of, write_csv
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, in_processes, saved_part
from armillary.evaluators.edge_tpu.evaluator import KIND
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.spaces.samplers import sample
from armillary.studies.propose import propose
from armillary.types import Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import Context, context_of

_REVISION = 5
_CHUNK = 1_000_000
_QUICK_DESIGNS = 7_000_000  # a million of them are within 29 mm2
_JUDGED = 200_000
_MOST_ILLEGAL = 0.05
_SAME = 1.005  # what another seed changes

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
    seven million random ones. PRIME trains by its brief schedule.
    """
    runs = Runs.of(options)
    quiet = replace(runs, options=options.quiet())
    jobs = [(name, task) for task in TABLE_3 for name in METHODS]
    measured = {_path(*job, runs): partial(_one, *job, quiet) for job in jobs}
    if not options.quick and not all(path.exists() for path in measured):
        for area_mm2 in sorted({task.area_mm2 for task in TABLE_3}):
            in_processes(_parts(area_mm2, options), partial(options.on_progress, "parts of the space, areas computed"))
    in_processes(measured, partial(options.on_progress, "surrogates trained and every design scored"))
    rows = [_row(task, name, _one(name, task, runs)) for name, task in jobs]
    write_csv(rows, options)
    found = regrets_of(rows, method="surrogate", task="application", worst="over_optimum")
    title = "Latency of the best of 256 designs that a surrogate ranks first, above the true optimum"
    write_regrets(found, options.out / "figure.html", title=title)
    means = [_mean_row(name, [r for r in rows if r["surrogate"] == name]) for name in METHODS]
    return BenchResult(rows=[*rows, *means], checks=_checks(means), notes=_notes(options.quick))


def _one(name: str, task: Task, runs: Runs) -> dict[str, Any]:
    return saved_part(_path(name, task, runs), lambda: _measured(name, task, runs))


def _path(name: str, task: Task, runs: Runs) -> Path:
    scored = "quick" if runs.options.quick else "all"
    folder = runs.options.out.parent / f"prime-surrogates-{KIND.version}-{_REVISION}"
    label = name.replace(", ", "-").replace(" ", "-")
    return folder / f"{label}-{task.target[0]}-{scored}-{runs.schedule}-seed{runs.options.seed}.json"


def _measured(name: str, task: Task, runs: Runs) -> dict[str, Any]:
    method, settings = METHODS[name]
    seed = runs.options.seed
    model, training = trained(method, task.train, task.area_mm2, runs, seed, **settings)
    context = context_of(zoo.build(task.target[0]))
    log = offline_log(task.target[0], task.area_mm2, runs.scale, seed)
    started = time.perf_counter()
    unknown = unmet(positions_within(task.area_mm2, runs.options), SPACE.encode_columns(log.design))
    best = scored_best(model, context, unknown)
    scoring = time.perf_counter() - started
    searched = propose(model, problem_at(task.area_mm2), context, top=TOP, seed=seed, known=log).codes
    verified, found = joint_values(best, task), joint_values(searched, task)
    return {
        "scored_s": float(verified.min()),
        "scored_legal": float(np.isfinite(verified).mean()),
        "searched_s": float(found.min()),
        "searched_legal": float(np.isfinite(found).mean()),
        **_judged(model, context, task, seed),
        "training_seconds": training,
        "scoring_seconds": scoring,
        "designs": len(unknown),
    }


def scored_best(model: Surrogate, context: Context, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the designs that a surrogate scores best, the best first, shape [256, parameters].

    Args:
        model: a fitted surrogate.
        context: of the workload.
        positions: of the designs to score, in the enumeration of the space; of equal scores the first counts.
    """
    best, scores = np.empty(0, dtype=np.int64), np.empty(0)
    for start in range(0, len(positions), _CHUNK):
        chunk = positions[start : start + _CHUNK]
        own = model.predict(SPACE.at(chunk), context).mean
        if len(best) == TOP:  # few of a chunk are, so that sorting takes no time
            better = own < scores[-1]
            chunk, own = chunk[better], own[better]
        best, scores = np.concatenate([best, chunk]), np.concatenate([scores, own])
        first = np.argsort(scores, kind="stable")[:TOP]
        best, scores = best[first], scores[first]
    return SPACE.at(best)


def positions_within(area_mm2: float, options: BenchOptions) -> NDArray[np.int64]:
    """Return where in the enumeration of the space the designs within an area are, rising, shape [designs].

    With `quick` of a random sample; else of all, one part per value of the first parameter, each kept in a file.
    """
    if options.quick:
        return _within(area_mm2, np.unique(SPACE.index(sample(SPACE, _QUICK_DESIGNS, "random", options.seed))))
    return np.concatenate([np.load(path) for path in _parts(area_mm2, options)])


def unmet(positions: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rising positions without those of known designs, whose codes are of shape [designs, parameters]."""
    wanted = SPACE.index(known).astype(positions.dtype)
    place = np.searchsorted(positions, wanted).clip(0, len(positions) - 1)
    kept = np.ones(len(positions), dtype=bool)
    kept[place[positions[place] == wanted]] = False
    return positions[kept]


def _parts(area_mm2: float, options: BenchOptions) -> dict[Path, Callable[[], None]]:
    """Return the files that hold every position within an area, in order, and what writes each."""
    parts, folder = SPACE.cardinalities[0], options.out.parent / "edge-tpu-designs"
    files = [folder / f"within-{area_mm2}-{part:02}.npy" for part in range(parts)]
    return {path: partial(_write_part, path, area_mm2, part) for part, path in enumerate(files)}


def _write_part(path: Path, area_mm2: float, part: int) -> None:
    size = SPACE.size // SPACE.cardinalities[0]
    starts = range(part * size, (part + 1) * size, _CHUNK)
    within = [_within(area_mm2, np.arange(start, min(start + _CHUNK, (part + 1) * size))) for start in starts]
    with replaced(path) as unfinished:
        np.save(unfinished, np.concatenate(within).astype(np.int32))


def _within(area_mm2: float, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    return positions[TEMPLATE.area_mm2(SPACE.at(positions)) <= area_mm2]


def _judged(model: Surrogate, context: Context, task: Task, seed: int) -> dict[str, float]:
    """Return Spearman's correlation over legal random designs within the area, and the Brier score over all of them."""
    codes = sample(SPACE, _JUDGED, "random", seed + 1)
    codes = codes[TEMPLATE.area_mm2(codes) <= task.area_mm2]
    truth, predicted = joint_values(codes, task), model.predict(codes, context)
    legal = np.isfinite(truth)
    return {
        "spearman": float(stats.spearmanr(truth[legal], predicted.mean[legal]).statistic),
        "brier": float(np.mean((predicted.p_feasible - legal) ** 2)),
    }


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
    whole = {"application": "mean of nine", "surrogate": name, **ratios, **rest}
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
