"""`starlight-choice`: how much slower than the best the mappings are that a model would choose.

Every mapping of every pair of a layer and a design is simulated, so that the best is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.starlight.collection import FULL, QUICK, Rows, sampling_of, simulated
from armillary.benchmarks.starlight.models import MODELS
from armillary.benchmarks.starlight.scores import Values

PICKS = (1, 5)
"""Mappings that are simulated, of which the best is taken."""
_OTHER_SEED = 1_000


@dataclass(frozen=True)
class Choosing:
    """How many pairs are chosen for, of how many mappings, after how many training rows."""

    pairs: int
    mappings: int
    most_cycles: float
    training: tuple[int, ...]


_FULL, _QUICK = Choosing(20, 800, 2e5, (50, 200, 820)), Choosing(20, 60, 1e5, (50, 200))


def run(options: BenchOptions) -> BenchResult:
    """Let every model choose among 800 mappings of each of 20 pairs; `--quick`: among 60 of each.

    Models learn from rows of other layers. A line of the table is a model and its training rows, with the mean over
    the pairs of the cycles above the best's, of its first choice and of the best of its first five.
    """
    sizes = _QUICK if options.quick else _FULL
    learning = QUICK if options.quick else FULL
    candidates = replace(
        sampling_of(options, sizes.pairs * sizes.mappings, sizes.most_cycles),
        seed=options.seed + _OTHER_SEED,
        mappings=sizes.mappings,
    )
    drawn = {
        "candidates": candidates,
        "": sampling_of(options, learning.samples, learning.most_cycles),
    }
    rows = simulated(drawn, options)
    asked = rows.select(rows.knobs == "candidates")
    others = np.flatnonzero((rows.knobs == "") & ~np.isin(rows.data.layer, np.unique(asked.data.layer)))
    pairs = [own for own in pairs_of(asked) if len(own) > max(PICKS)]
    table: list[dict[str, Any]] = []
    for count in [count for count in sizes.training if count <= len(others)]:
        chosen = np.random.default_rng([options.seed, count]).permutation(others)[:count]
        for number, (name, model) in enumerate(MODELS.items()):
            options.on_progress(f"choosing after {count} rows", number, len(MODELS))
            said = model(rows.select(chosen), asked, options.seed).mean
            regrets = [regret(said[own], asked.data.delay_cycles[own]) for own in pairs]
            table.append({"training": count, "model": name, "pairs": len(pairs), **_summary(regrets)})
        options.on_progress(f"choosing after {count} rows", len(MODELS), len(MODELS))
    write_csv(table, options)
    note = f"{len(asked)} mappings of {len(pairs)} pairs of a layer and a design; {len(others)} rows of other layers"
    return BenchResult(table, checks(table), [note])


def pairs_of(rows: Rows) -> list[NDArray[np.int64]]:
    """Return the numbers of the rows of each layer on each design."""
    pair = rows.pair
    return [np.flatnonzero(pair == number) for number in np.unique(pair)]


def regret(said: Values, true: Values) -> dict[int, float]:
    """Return how far above the best the best of a model's first choices is, by how many of `PICKS` they are."""
    order = np.argsort(said, kind="stable")
    return {picks: float(true[order[:picks]].min() / true.min() - 1) for picks in PICKS}


def _summary(regrets: list[dict[int, float]]) -> dict[str, float]:
    names = {1: "first", 5: "best_of_five"}
    means = {f"regret_{names[picks]}": float(np.mean([one[picks] for one in regrets])) for picks in PICKS}
    return {**means, "worst_first": max(one[1] for one in regrets)}


def checks(table: list[dict[str, Any]]) -> list[Check]:
    """Return whether `starlight` chooses well after the most rows."""
    most = max(row["training"] for row in table)
    row: Mapping[str, Any] = next(row for row in table if (row["training"], row["model"]) == (most, "starlight"))
    goals = {"regret_first": 0.1, "regret_best_of_five": 0.03}
    return [
        Check(f"{name}, starlight", row[name], f"at most {goal:.0%}", row[name] <= goal) for name, goal in goals.items()
    ]
