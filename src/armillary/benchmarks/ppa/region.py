"""`ppa-roi`: which layouts meet their target clock, the region of interest, told before they are made.

Source: Esmaeilzadeh et al. (arXiv 2308.12120). In their public scripts a layout is in the region if its effective clock
is within a share r of the target, and membership follows from the predicted clock. The share is an argument there; 0.1
and 0.3 are asked here. Their accuracies are of layouts of commercial tools, which are not public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa.layouts import CLOCK, FOLDS, SPLITS, Integers, LayoutTable, Split, models, tables_of
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.feasibility import Feasibility

SHARES = (0.1, 0.3)
QUICK_FOLDS = 1
LEAST_ACCURACY = 0.9
_CLASSIFIER, _MAJORITY = "classifier", "the more frequent"

Inside = NDArray[np.bool_]


def run(options: BenchOptions) -> BenchResult:
    """Tell of unseen points and architectures whether the clock is met, in four folds each.

    `--quick`: in one, without the graph network.
    """
    tables = {table.name: table for table in tables_of(options.data)}
    folds = QUICK_FOLDS if options.quick else FOLDS
    work = {
        (name, split, fold): (
            _part(table, split, fold, options),
            partial(measured, table, split, fold, options.seed, options.quick),
        )
        for name, table in tables.items()
        for split in filter(table.asks, SPLITS)
        for fold in range(folds)
    }
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    rows = [
        {
            "table": name,
            "split": split,
            "share": share,
            "model": model,
            **_scores([kept[name, split, fold][key] for fold in range(folds)], model),
        }
        for name, table in tables.items()
        for split in filter(table.asks, SPLITS)
        for share in SHARES
        for key in [f"{share:g}"]
        for model in kept[name, split, 0][key]["told"]
    ]
    write_csv(rows, options)
    return BenchResult(rows, _checks(rows), [table.note for table in tables.values()])


def region(table: LayoutTable, effective_mhz: NDArray[np.float64], share: float) -> Inside:
    """Return which layouts meet their target with such effective clocks, shape [layouts]."""
    target = 1000 / table.space.columns(table.codes)[CLOCK].astype(float)
    return np.asarray(np.abs(effective_mhz - target) <= share * target)


def measured(table: LayoutTable, split: Split, fold: int, seed: int, quick: bool) -> dict[str, Any]:
    """Return for each share the truth of a fold's layouts, and what each model tells."""
    train, asked = table.folds(split, seed)[fold]
    clocks = {}
    for name, model in models(quick).items():
        clock = np.zeros(len(table))
        clock[asked] = model(table, "effective_mhz", train, asked, split, seed).value
        clocks[name] = clock
    found = {}
    for share in SHARES:
        true = region(table, table.metrics["effective_mhz"], share)
        told = {name: region(table, clock, share)[asked] for name, clock in clocks.items()}
        told[_CLASSIFIER] = _classified(table, true, train, asked, seed)
        told[_MAJORITY] = np.full(len(asked), true[train].mean() >= 0.5)
        found[f"{share:g}"] = {
            "true": true[asked].tolist(), "told": {name: inside.tolist() for name, inside in told.items()}
        }  # fmt: skip
    return found


def _classified(table: LayoutTable, true: Inside, train: Integers, asked: Integers, seed: int) -> Inside:
    """Tell by the calibrated chance that the surrogates have of feasibility, here of meeting the clock."""
    points = Points(table.codes, np.empty((len(table), 0)))
    encoding = Encoding.of(table.space, (), False, points[train])
    chance = Feasibility.learned(encoding, points[train], true[train].astype(float), seed)
    return np.asarray(chance(points[asked]) >= 0.5)


def _scores(folds: Sequence[Mapping[str, Any]], model: str) -> dict[str, float]:
    true = np.concatenate([one["true"] for one in folds])
    told = np.concatenate([one["told"][model] for one in folds])
    return {
        "asked": len(true), "inside": float(true.mean()), "accuracy": float(accuracy_score(true, told)),
        "f1": float(f1_score(true, told, zero_division=0.0)),
    }  # fmt: skip


def _part(table: LayoutTable, split: Split, fold: int, options: BenchOptions) -> Part:
    inputs = {"rows": table.digest, "split": split, "fold": fold, "seed": options.seed,
              "quick": options.quick}  # fmt: skip
    code = (__name__, "armillary.surrogates.ppa.graph_surrogate")
    return Part(options.out / "parts", f"{table.name}-{split}-{fold}".replace(" ", "-"), inputs, code)


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    return [
        Check(
            f"{row['table']}, unseen {row['split']}, within {row['share']:.0%}, {row['model']}: accuracy",
            row["accuracy"],
            f"at least {LEAST_ACCURACY:g}",
            row["accuracy"] >= LEAST_ACCURACY,
        )
        for row in rows
        if row["model"] in ("ppa", _CLASSIFIER)
    ]
