"""`ppa-prediction`: power, clock, area, energy and runtime of layouts that were not made.

Of each table a quarter of the points of the back end, or a quarter of the architectures, is asked after the rest was
learned, until each was asked once.

Source: Esmaeilzadeh et al. (arXiv 2308.12120): seen designs at other targets, and unseen architectures; mean, deviation
and maximum of the absolute percentage error. Their tables are of other layouts, those of commercial tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa.layouts import (
    FOLDS,
    METRICS,
    PUBLISHED_ERROR,
    SPLITS,
    LayoutTable,
    Split,
    errors,
    models,
    summed_up,
    tables_of,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv

GOALS: Mapping[Split, float] = {"points": 5.0, "architectures": 8.0}
QUICK_FOLDS, QUICK_METRICS = 1, ("power_mw", "effective_mhz")
_LEAST_COVERED, _MOST_COVERED = 0.85, 0.95


def run(options: BenchOptions) -> BenchResult:
    """Predict five metrics of each table in four folds of two kinds.

    `--quick`: power and clock in one fold of each, without the graph network.
    """
    tables = {table.name: table for table in tables_of(options.data)}
    metrics, folds = (QUICK_METRICS, QUICK_FOLDS) if options.quick else (METRICS, FOLDS)
    work = {
        (name, split, metric, fold): (
            _part(table, split, metric, fold, options),
            partial(measured, table, split, metric, fold, options.seed, options.quick),
        )
        for name, table in tables.items()
        for split in filter(table.asks, SPLITS)
        for metric in metrics
        for fold in range(folds)
    }
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    rows = []
    for name, table in tables.items():
        for split in filter(table.asks, SPLITS):
            for metric in metrics:
                found = [kept[name, split, metric, fold] for fold in range(folds)]
                rows += [
                    {
                        "table": name, "split": split, "metric": metric, "model": model,
                        **summed_up([one[model] for one in found]),
                        "noise": table.noise.get(metric), "published": PUBLISHED_ERROR,
                    }
                    for model in found[0]
                ]  # fmt: skip
    write_csv(rows, options)
    return BenchResult(rows, _checks(rows), [table.note for table in tables.values()])


def measured(
    table: LayoutTable, split: Split, metric: str, fold: int, seed: int, quick: bool
) -> dict[str, dict[str, list[float]]]:
    """Return the errors of each model on the rows that a fold asks."""
    train, asked = table.folds(split, seed)[fold]
    true = table.metrics[metric][asked]
    return {
        name: errors(model(table, metric, train, asked, split, seed), true) for name, model in models(quick).items()
    }


def _part(table: LayoutTable, split: Split, metric: str, fold: int, options: BenchOptions) -> Part:
    inputs = {"rows": table.digest, "split": split, "metric": metric, "fold": fold, "seed": options.seed,
              "quick": options.quick}  # fmt: skip
    code = (__name__, "armillary.surrogates.ppa.graph_surrogate")
    label = f"{table.name}-{split}-{metric}-{fold}".replace(" ", "-")
    return Part(options.out / "parts", label, inputs, code)


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    found = []
    for row in rows:
        if not row["model"].startswith("ppa"):
            continue
        what = f"{row['table']}, unseen {row['split']}, {row['metric']}, {row['model']}"
        error, goal = row["mean_error"], GOALS[row["split"]]
        found.append(Check(f"{what}: mean error, %", error, f"at most {goal:g}", error <= goal))
        inside = row["coverage"]
        held = _LEAST_COVERED <= inside <= _MOST_COVERED
        found.append(Check(f"{what}: coverage", inside, f"{_LEAST_COVERED} to {_MOST_COVERED}", held))
    return found
