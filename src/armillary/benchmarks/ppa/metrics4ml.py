"""`ppa-metrics4ml`: what few of Metrics4ML's public layouts of the Ibex core tell of the others.

The rows are runs of OpenROAD over knobs of the floorplan, the placement and the routing (IEEE CEDA DATC, Metrics4ML).
Rows to learn from are drawn at random; all other finished rows are asked.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from armillary.benchmarks.parts import Part, digest, measured_each
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.auto.encoding import Encoding, Points
from armillary.surrogates.auto.member import Lesson
from armillary.surrogates.ppa.stack import Stack
from armillary.surrogates.rows import Scale
from armillary.types import ArmillaryError

METRICS = ("area_um2", "routed_wire_um", "worst_slack", "power_w")
TRAINING = (50, 100, 400)
REPEATS, QUICK_REPEATS, QUICK_MOST = 5, 2, 100
LEVEL = 0.9
_TABLE = Path("physical", "metrics4ml.csv")
_FINISHED, _KNOB, _NAMES = "finished", "knob.", ("experiment", "platform", "design")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layouts:
    """Finished layouts.

    Attributes:
        space: of the knobs that vary; one that a campaign did not set has there its least value of all.
        codes: value indices, shape [layouts, knobs].
        metrics: by name, shape [layouts] each.
    """

    space: Space
    codes: NDArray[np.int64]
    metrics: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.codes)


def run(options: BenchOptions) -> BenchResult:
    """Predict area, wire, slack and power after 50, 100 and 400 layouts, five times; `--quick`: twice, 50 and 100."""
    layouts = layouts_of((options.data or Path("../shared/data")) / _TABLE)
    repeats, most = (QUICK_REPEATS, QUICK_MOST) if options.quick else (REPEATS, max(TRAINING))
    counts = [count for count in TRAINING if count <= min(most, len(layouts) // 2)]
    work = {
        (metric, count, repeat): (
            _part(layouts, metric, count, repeat, options),
            partial(measured, layouts, metric, count, repeat, options.seed),
        )
        for metric in METRICS
        for count in counts
        for repeat in range(repeats)
    }
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    table = []
    for metric in METRICS:
        for count in counts:
            found = [kept[metric, count, repeat] for repeat in range(repeats)]
            table += [
                {"metric": metric, "training": count, "model": model, **_median(found, model)} for model in MODELS
            ]
    write_csv(table, options)
    return BenchResult(
        table, _checks(table), [f"{len(layouts)} finished layouts, {len(layouts.space.names)} knobs vary"]
    )


def layouts_of(path: Path) -> Layouts:
    """Return the finished layouts of a file of Metrics4ML.

    Raises:
        ArmillaryError: if it cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            every = list(csv.DictReader(file))
    except OSError as fault:
        raise ArmillaryError(f"{path}: {fault.strerror or fault}; name another folder with --data") from fault
    missing = [name for name in (_FINISHED, *METRICS) if not every or name not in every[0]]
    if missing:
        raise ArmillaryError(f"{path}: there is no column {missing[0]!r}")
    rows = [row for row in every if row[_FINISHED] == "True" and all(row[name] for name in METRICS)]
    if not rows:
        raise ArmillaryError(f"{path}: no row is finished")
    parameters, columns = [], []
    for name in every[0]:
        if name in _NAMES or name.startswith(_KNOB):
            told = _parameter(name, [row[name] for row in rows])
            if told is not None:
                parameters.append(told[0])
                columns.append(told[1])
    metrics = {name: np.array([float(row[name]) for row in rows]) for name in METRICS}
    return Layouts(Space("metrics4ml", tuple(parameters)), np.stack(columns, axis=1), metrics)


def _parameter(name: str, texts: Sequence[str]) -> tuple[Parameter, NDArray[np.int64]] | None:
    """Return a column as a parameter with the code of each row; None if it does not vary."""
    known = [text for text in texts if text]
    if name in _NAMES:
        values: list[Any] = sorted(set(known))
        codes = [values.index(text) for text in texts]
    else:
        values = sorted({float(text) for text in known})
        codes = [values.index(float(text)) if text else 0 for text in texts]
    if len(values) < 2:
        return None
    kind = "categorical" if name in _NAMES else "cardinal"
    return Parameter(name.removeprefix(_KNOB), tuple(values), kind=kind), np.array(codes, np.int64)  # type: ignore[arg-type]


def _stack(layouts: Layouts, values: Floats, train: NDArray[np.int64], asked: NDArray[np.int64], seed: int) -> Any:
    transform = "log" if (values[train] > 0).all() else "linear"
    scale = Scale.of(values[train], transform)  # type: ignore[arg-type]
    none = np.empty((len(layouts), 0))
    points = Points(layouts.codes, none)
    lesson = Lesson(points[train], scale.standardise(values[train]), np.zeros(len(train)), points[:0])
    stack = Stack.learned(Encoding.of(layouts.space, (), False, points), lesson, seed)
    told = stack.expected(points[asked])
    reach = stack.factor(LEVEL) * told.spread
    low, high = (scale.restore(told.mean + sign * reach) for sign in (-1, 1))
    inside = float(((low <= values[asked]) & (values[asked] <= high)).mean())
    return scale.restore(told.mean), inside


def _sizes(layouts: Layouts) -> Floats:
    """Return the knobs as plain numbers, names by their place, as the models to beat see them."""
    columns = [
        np.array(p.values, dtype=float)[c] if p.kind == "cardinal" else c.astype(float)
        for p, c in zip(layouts.space.parameters, layouts.codes.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def _default(make: Callable[[int], Any], layouts: Layouts, values: Floats, train: Any, asked: Any, seed: int) -> Any:
    columns = _sizes(layouts)
    return make(seed).fit(columns[train], values[train]).predict(columns[asked]), None


def _mean(layouts: Layouts, values: Floats, train: Any, asked: Any, seed: int) -> Any:  # noqa: ARG001
    return np.full(len(asked), values[train].mean()), None


MODELS: Mapping[str, Callable[..., Any]] = {
    "ppa": _stack,
    "random forest, default": partial(_default, lambda seed: RandomForestRegressor(random_state=seed, n_jobs=1)),
    "LightGBM, default": partial(
        _default, lambda seed: LGBMRegressor(random_state=seed, n_jobs=1, deterministic=True, verbose=-1)
    ),
    "mean": _mean,
}


def measured(layouts: Layouts, metric: str, count: int, repeat: int, seed: int) -> dict[str, dict[str, float | None]]:
    """Return the scores of each model: mean, deviation and maximum of the absolute error in percent, and coverage."""
    order = np.random.default_rng([seed, repeat]).permutation(len(layouts))
    train, asked = order[:count], order[count:]
    found: dict[str, dict[str, float | None]] = {}
    for name, model in MODELS.items():
        said, inside = model(layouts, layouts.metrics[metric], train, asked, repeat)
        true = layouts.metrics[metric][asked]
        off = 100 * np.abs(said - true) / np.abs(true)
        found[name] = {
            "mean_error": float(off.mean()),
            "sd_error": float(off.std()),
            "most_error": float(off.max()),
            "rmse": float(np.sqrt(np.mean((said - true) ** 2)) / true.std()),
            "coverage": inside,
        }
    return found


def _part(layouts: Layouts, metric: str, count: int, repeat: int, options: BenchOptions) -> Part:
    inputs = {
        "metric": metric,
        "training": count,
        "repeat": repeat,
        "seed": options.seed,
        "rows": digest(repr([layouts.codes.tolist(), layouts.metrics[metric].tolist()])),
    }
    code = (__name__, "armillary.surrogates.ppa.stack", "armillary.surrogates.ppa.forests")
    return Part(options.out / "parts", f"{metric}-{count}-{repeat}", inputs, code)


def _median(found: Sequence[Mapping[str, Mapping[str, float | None]]], model: str) -> dict[str, float | None]:
    scores = [one[model] for one in found]
    return {
        name: None if scores[0][name] is None else float(np.median([score[name] for score in scores]))
        for name in scores[0]
    }


def _checks(table: Sequence[Mapping[str, Any]]) -> list[Check]:
    lines = {(row["metric"], row["training"], row["model"]): row for row in table}
    found = []
    for (metric, count, model), row in lines.items():
        if model != "ppa":
            continue
        rivals = {other: lines[metric, count, other]["mean_error"] for other in MODELS if other != "ppa"}
        name = min(rivals, key=lambda other: rivals[other])
        best = rivals[name]
        error = row["mean_error"]
        found.append(Check(f"{metric}, {count} rows: mean error, %", error, f"below {best:.3g} ({name})", error < best))
        if count >= 100:
            inside = row["coverage"]
            found.append(Check(f"{metric}, {count} rows: coverage", inside, "0.85 to 0.95", 0.85 <= inside <= 0.95))
    return found
