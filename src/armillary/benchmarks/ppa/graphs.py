"""`ppa-gcn`: the graph network beside the best kind of trees, each alone, on architectures that were left out.

Perceptrons that are told the sums of the graph's features alone show what its edges add.

Source: Esmaeilzadeh et al. (arXiv 2308.12120) report that their graph network is as good as the other models or better
with fewer data. The half is of the architectures to learn from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa.layouts import (
    FOLDS,
    METRICS,
    Integers,
    LayoutTable,
    alone,
    errors,
    lesson_of,
    summed_up,
    tables_of,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.cores import one_thread
from armillary.surrogates.auto.trees import Trees, TrendAndTrees
from armillary.surrogates.ppa.forests import Forest, RandomizedForest
from armillary.surrogates.ppa.perceptron import Perceptron

SHARES = (1.0, 0.5)
QUICK_FOLDS, QUICK_METRICS = 1, ("power_mw", "area_mm2")
TREES = (Forest, RandomizedForest, Trees, TrendAndTrees)
SUMS = "perceptrons of the graph's sums"
"""What the graph's features tell without its edges."""
MOST_MS = 1.0
_TIMED = 200


def run(options: BenchOptions) -> BenchResult:
    """Predict five metrics of unseen architectures after all others or half of them; `--quick`: two, in one fold."""
    tables = {table.name: table for table in tables_of(options.data, "architectures")}
    metrics, folds = (QUICK_METRICS, QUICK_FOLDS) if options.quick else (METRICS, FOLDS)
    work = {
        (name, share, metric, fold): (
            _part(table, share, metric, fold, options),
            partial(measured, table, share, metric, fold, options.seed),
        )
        for name, table in tables.items()
        for share in SHARES
        for metric in metrics
        for fold in range(folds)
    }
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    rows = []
    for name in tables:
        for share in SHARES:
            for metric in metrics:
                found = [kept[name, share, metric, fold] for fold in range(folds)]
                rows += [
                    {"table": name, "learned": share, "metric": metric, "model": model,
                     **summed_up([one[model] for one in found])}
                    for model in found[0]
                ]  # fmt: skip
    timed = {name: prediction_ms(table, options.seed) for name, table in tables.items()}
    write_csv(rows, options)
    notes = [*(table.note for table in tables.values()), *(f"{n}: {ms:.2f} ms a prediction" for n, ms in timed.items())]
    return BenchResult(rows, [*_checks(rows), *_fast(timed)], notes)


def measured(table: LayoutTable, share: float, metric: str, fold: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """Return the errors of each model on the architectures of a fold, after a share of the others."""
    from armillary.surrogates.ppa.gcn import GraphNetwork  # which loads PyTorch Geometric

    train, asked = table.folds("architectures", seed)[fold]
    train = _share(table, train, share, seed)
    true = table.metrics[metric][asked]
    models = {kind.name: alone(kind) for kind in (GraphNetwork, *TREES)}
    models[SUMS] = alone(Perceptron, graph=True)
    return {
        name: errors(model(table, metric, train, asked, "architectures", seed), true) for name, model in models.items()
    }


def prediction_ms(table: LayoutTable, seed: int) -> float:
    """Return how long the graph network takes for one layout of an architecture that it knows, the median of many."""
    from armillary.surrogates.ppa.gcn import GraphNetwork

    train, _ = table.folds("architectures", seed)[0]
    encoding, lesson, _, points = lesson_of(table, METRICS[0], train)
    network = GraphNetwork.learned(encoding, lesson, seed)
    one = points[train[:1]]
    taken = []
    with one_thread():
        for _ in range(_TIMED):
            started = time.perf_counter()
            network.predict(one)
            taken.append(time.perf_counter() - started)
    return 1000 * float(np.median(taken))


def _share(table: LayoutTable, train: Integers, share: float, seed: int) -> Integers:
    own = np.random.default_rng(seed).permutation(np.unique(table.architecture[train]))
    kept = own[: max(2, round(share * len(own)))]
    return train[np.isin(table.architecture[train], kept)]


def _part(table: LayoutTable, share: float, metric: str, fold: int, options: BenchOptions) -> Part:
    inputs = {"rows": table.digest, "share": share, "metric": metric, "fold": fold, "seed": options.seed}
    code = (__name__, "armillary.surrogates.ppa.gcn")
    label = f"{table.name}-{share:g}-{metric}-{fold}".replace(" ", "-")
    return Part(options.out / "parts", label, inputs, code)


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    found = []
    for row in rows:
        if row["model"] != "graph network":
            continue
        same = [r for r in rows if all(r[key] == row[key] for key in ("table", "learned", "metric"))]
        trees = [r for r in same if r["model"] in {kind.name for kind in TREES}]
        best = min(trees, key=lambda one: float(one["mean_error"]))
        what = f"{row['table']}, {row['learned']:.0%} of the data, {row['metric']}: mean error, %"
        goal = f"at most {best['mean_error']:.3g} ({best['model']})"
        found.append(Check(what, row["mean_error"], goal, row["mean_error"] <= best["mean_error"]))
    return found


def _fast(timed: Mapping[str, float]) -> list[Check]:
    return [Check(f"{name}: a prediction, ms", ms, f"below {MOST_MS:g}", ms < MOST_MS) for name, ms in timed.items()]
