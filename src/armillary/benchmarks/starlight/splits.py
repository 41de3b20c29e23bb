"""`starlight-splits`: every model on random rows, and on layers, networks, array sizes and knobs that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.parts import Part, digest, measured_each
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.starlight.collection import KNOBS, Rows, collected
from armillary.benchmarks.starlight.low import low_of_samples
from armillary.benchmarks.starlight.models import ABLATIONS, MODELS, paper
from armillary.benchmarks.starlight.scores import over_repeats, scores
from armillary.surrogates.starlight.low import StarlightLow
from armillary.surrogates.starlight.paper import NAME as PAPER

TRAINING = (50, 200, 820)
QUICK_TRAINING = (50, 200)
REPEATS, QUICK_REPEATS = 5, 2
EPOCHS, QUICK_EPOCHS = 1_000, 200
HELD_OUT_LAYERS, HELD_OUT_ROWS = 0.3, 0.4
"""Share of the layers, or of the rows, that are held out."""
DIMS = (4, 8, 16, 32)
BESIDE_PAPER, PAPER_ROWS = ("random", "layers", "network"), 200
"""Splits of the dissertation's Starlight and its most rows, in the first repeat alone: it takes minutes to train."""
Numbers = NDArray[np.int64]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Split:
    """Rows that may be learned from, and rows that are asked.

    Attributes:
        name: of the split.
        pool: numbers of rows that may be learned from.
        asked: numbers of the others, by the name of what is held out: several where one training serves them all.
    """

    name: str
    pool: Numbers
    asked: Mapping[str, Numbers]


def splits(rows: Rows, repeat: int, seed: int) -> list[Split]:
    """Return the splits of one repeat. Of knobs that are not learned from, all rows are asked."""
    rng = np.random.default_rng([seed, repeat])
    own = np.flatnonzero(rows.knobs == "")
    data = rows.data
    random = rng.permutation(own)
    count = round(HELD_OUT_ROWS * len(own))
    layers = rng.permutation(np.unique(data.layer[own]))
    held = layers[: max(1, round(HELD_OUT_LAYERS * len(layers)))]
    networks = np.unique(data.network[own])
    network = networks[repeat % len(networks)]
    dims = np.array([one.design["dim"] for one in data.mapped])
    found = [
        Split("random", random[count:], {"random": random[:count]}),
        _held_out("layers", own, np.isin(data.layer, held)),
        _held_out("network", own, data.network == network),
        *(_held_out(f"DIM {dim}", own, dims == dim) for dim in DIMS),
        Split("knobs", own, {name: np.flatnonzero(rows.knobs == name) for name in KNOBS if name in rows.knobs}),
    ]
    return [split for split in found if len(split.pool) and sum(map(len, split.asked.values()))]


def _held_out(name: str, own: Numbers, held: NDArray[np.bool_]) -> Split:
    return Split(name, own[~held[own]], {name: own[held[own]]})


def run(options: BenchOptions) -> BenchResult:
    """Train every model on 50, 200 and 820 rows of every split, five times; `--quick`: 50 and 200 rows, twice.

    A line of the table is a split, a number of training rows and a model: medians over the repeats, and the worst rank
    correlation. A split with too few rows to learn from is left out. The dissertation's Starlight stands beside the
    first three splits at 50 and 200 rows, trained once, as it takes minutes.
    """
    rows = collected(options, others=True)
    epochs, repeats = (QUICK_EPOCHS, QUICK_REPEATS) if options.quick else (EPOCHS, REPEATS)
    low = low_of_samples(options, metric="delay_cycles")
    work = {
        (split.name, count, repeat): (
            _part(rows, split, count, repeat, epochs, options),
            partial(measured, rows, split, count, repeat, low, epochs),
        )
        for repeat in range(repeats)
        for split in splits(rows, repeat, options.seed)
        for count in (QUICK_TRAINING if options.quick else TRAINING)
        if count <= len(split.pool)
    }
    kept = measured_each(work, partial(options.on_progress, "splits"))
    found: dict[tuple[str, int, str], list[Row]] = {}
    for (_, count, _repeat), part in kept.items():
        for name, lines in part.items():
            for model, line in lines.items():
                found.setdefault((name, count, model), []).append(line)
    table = [
        {"split": name, "training": count, "model": model, **over_repeats(some)}
        for (name, count, model), some in sorted(found.items(), key=lambda item: _order(*item[0]))
    ]
    write_csv(table, options)
    return BenchResult(table, checks(table), [_told(rows)])


def _order(name: str, count: int, model: str) -> tuple[int, int, int]:
    names = ["random", "layers", "network", *(f"DIM {dim}" for dim in DIMS), *KNOBS]
    return names.index(name), count, [*MODELS, PAPER].index(model)


def _part(rows: Rows, split: Split, count: int, repeat: int, epochs: int, options: BenchOptions) -> Part:
    measured = [[one.mapping for one in rows.data.mapped], rows.data.delay_cycles.tolist(), rows.physics.source]
    inputs = {
        "split": split.name,
        "training": count,
        "repeat": repeat,
        "seed": options.seed,
        "epochs": epochs,
        "quick": options.quick,
        "rows": digest(repr([measured, rows.data.codes.tolist()])),
    }
    label = f"{split.name}-{count}-{repeat}".replace(" ", "_")
    registered = ("armillary.surrogates.layers.calibrated", "armillary.surrogates.starlight.surrogate")
    return Part(options.out / "splits", label, inputs, (__name__, *registered))


def measured(
    rows: Rows, split: Split, count: int, repeat: int, low: StarlightLow, epochs: int
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return the scores of every model.

    The first key is the name of what is held out, the second that of the model.
    """
    chosen = np.random.default_rng([repeat, count, 7]).permutation(split.pool)[:count]
    train, asked = rows.select(chosen), rows.select(np.concatenate(list(split.asked.values())))
    ends = np.cumsum([len(own) for own in split.asked.values()]).tolist()
    models = dict(MODELS)
    if split.name in BESIDE_PAPER and count <= PAPER_ROWS and repeat == 0:
        models[PAPER] = paper(low, epochs)
    found: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in split.asked}
    for model, ask in models.items():
        guess = ask(train, asked, repeat)
        for name, last in zip(split.asked, ends, strict=True):
            own = np.arange(last - len(split.asked[name]), last)
            found[name][model] = scores(guess.select(own), asked.select(own))
    return found


def _told(rows: Rows) -> str:
    own = rows.select(rows.knobs == "").data
    return (
        f"{len(own)} rows of {len(np.unique(own.layer))} layers on {len(np.unique(own.hardware))} designs to learn "
        f"from and to hold out, {len(rows) - len(own)} with other knobs"
    )


GOALS: Mapping[int, Mapping[str, float]] = {
    50: {"spearman": 0.98, "mean_error": 0.15},
    200: {"spearman": 0.988, "mean_error": 0.11, "rmsle": 0.14, "within_layer": 0.91},
    820: {
        "spearman": 0.992,
        "worst_spearman": 0.988,
        "mean_error": 0.085,
        "rmsle": 0.11,
        "within_layer": 0.93,
        "within_layer_and_hardware": 0.88,
    },
}
"""Of `starlight` on random rows, held-out layers and a held-out network, by training rows."""
_PHYSICS: Mapping[str, float] = {"spearman": 0.97, "mean_error": 0.17, "within_layer": 0.85}
_MOST_TRAINED_S, _MOST_PREDICTED_MS = 20.0, 0.3
"""Processor seconds of a training, and milliseconds per row of a prediction in batches."""
_AT_MOST = ("mean_error", "rmsle", "trained_s", "predicted_ms")


def checks(table: Sequence[Row]) -> list[Check]:
    """Return whether the goals hold, those of them that the table can tell of."""
    lines = {(row["split"], row["training"], row["model"]): row for row in table}
    found = []
    for (split, count, model), row in lines.items():
        name = f"{model}, {split}, {count} rows"
        if model == "physics alone" and (split, count) == ("random", 200):
            found += [_check(name, row, score, goal) for score, goal in _PHYSICS.items()]
        if model != "starlight":
            continue
        found += [_check(name, row, score, goal) for score, goal in _goals(split, count).items()]
        if count >= 200:
            inside = row["coverage"]
            found.append(Check(f"coverage: {name}", inside, "0.85 to 0.96", 0.85 <= inside <= 0.96))
            found.append(_check(name, row, "trained_s", _MOST_TRAINED_S))
            if row["predicted_ms"] is not None:
                found.append(_check(name, row, "predicted_ms", _MOST_PREDICTED_MS))
            found += _beside(name, row, {other: lines[split, count, other] for other in MODELS})
    return found


def _goals(split: str, count: int) -> Mapping[str, float]:
    """Return the goals of a split, by score."""
    if split in KNOBS:
        return {"mean_error": 0.2} if count >= 200 else {}
    if split.startswith("DIM"):
        return {"spearman": 0.95 if split == "DIM 4" else 0.985, "mean_error": 0.13} if count == 200 else {}
    return GOALS.get(count, {})


def _check(name: str, row: Row, score: str, goal: float) -> Check:
    value, most = row[score], score in _AT_MOST
    if value is None:
        return Check(f"{score}: {name}", "no group is large enough", f"{goal:g}", False)
    return Check(
        f"{score}: {name}",
        value,
        f"at {'most' if most else 'least'} {goal:g}",
        value <= goal if most else value >= goal,
    )


def _beside(name: str, row: Row, others: Mapping[str, Row]) -> list[Check]:
    best = min(others[other]["rmsle"] for other in ABLATIONS)
    half = others["cost model, calibrated"]["rmsle"] / 2
    return [
        Check(
            f"rmsle beside ablations: {name}", row["rmsle"], f"at most {1.05 * best:.3f}", row["rmsle"] <= 1.05 * best
        ),
        Check(f"rmsle beside cost model: {name}", row["rmsle"], f"at most {half:.3f}", row["rmsle"] <= half),
    ]
