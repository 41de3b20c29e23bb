"""`starlight-firesim`: Starlight trained on Gemmini's runs on FireSim, and tested on runs of other hardware.

The prior is our model of Gemmini's system (`evaluators.gemmini.soc`) in place of the closed form of our hardware; the
surrogate is the registered one. Training and test rows differ: the artifact drew the former at random, the latter are
the best of its searches. By our model most training rows leave the array idle most of the time, and some take up to
200 times what it says, for reasons that nobody knows. So the surrogate learns from those rows that by the prior keep a
quarter of the multipliers busy; the line of all rows stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from armillary.benchmarks.parts import Part, digest, measured_each
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.rtl.firesim import Row, files, read_rows
from armillary.benchmarks.starlight.firesim_rows import Known, known, space_of
from armillary.benchmarks.starlight.scores import Guess, Values, errors, rank
from armillary.spaces.space import Space
from armillary.surrogates.layers import kind_of
from armillary.types import ArmillaryError

TRAINING = "train"
LEAST_SHARE = 0.25
"""Of the multipliers that are busy by the prior, in rows that are learned from."""
ADDED = 50
REPEATS = 3
_QUICK_CYCLES, _QUICK_EVERY = 3_000_000, 3
GOALS: Mapping[str, tuple[float, float]] = {"test_analytical": (0.45, 0.39), "test_dnn": (0.42, 0.38)}
"""By file, the largest root mean squared logarithmic error, and with 50 rows of another test file to learn from too."""
_OTHERS = (0.45, 0.39)
_MORE_ERROR, _LESS_RANK = 0.03, 0.005
STARLIGHT, WITH_OTHERS, CALIBRATED = "starlight", "starlight, 50 rows of another test file", "prior, calibrated"
EVERY = "starlight on all rows"
ANALYTICAL, BOUND, PRIOR = "published analytical value", "our cost model", "prior: our model of the system"
_Line = dict[str, Any]


def run(options: BenchOptions) -> BenchResult:
    """Train on `train.csv` in `--data DIR/firesim`, or in `DIR` itself, and test on every other CSV file there.

    A line of the table is a test file and a model; with rows of another test file it is the median of three draws.
    `--quick`: rows of at most three million cycles, and a third of the training rows.
    """
    rows = _rows_of(options)
    space = space_of([row for own in rows.values() for row in own])
    every = {
        name: known(own, options.out / "prior", partial(options.on_progress, f"model of the system, {name}"))
        for name, own in rows.items()
    }
    train = every.pop(TRAINING)
    used = train.select(train.peak_share >= LEAST_SHARE)
    jobs: dict[tuple[str, str, int], Callable[[], _Line]] = {}
    for name, test in every.items():
        jobs[name, EVERY, 0] = partial(measured, train, test, space, "starlight", options.seed)
        jobs[name, CALIBRATED, 0] = partial(measured, used, test, space, "calibrated", options.seed)
        jobs[name, STARLIGHT, 0] = partial(measured, used, test, space, "starlight", options.seed)
        for repeat in range(REPEATS if len(every) > 1 else 0):
            more = used.beside(_added(every, name, options.seed, repeat))
            jobs[name, WITH_OTHERS, repeat] = partial(measured, more, test, space, "starlight", options.seed)
    found = _kept(jobs, every, train, options)
    table = [line for name, test in every.items() for line in _lines(name, test, found)]
    write_csv(table, options)
    note = (
        f"{len(used)} of {len(train)} training rows keep {LEAST_SHARE:g} or more of the array busy by the prior; "
        f"test rows: {', '.join(f'{len(test)} of {name}' for name, test in every.items())}"
    )
    return BenchResult(table, checks(table), [note])


def _rows_of(options: BenchOptions) -> dict[str, list[Row]]:
    """Return the rows by file, those to learn from first.

    Raises:
        ArmillaryError: if there is no file of training rows, or no other.
    """
    paths = files(options, "starlight-firesim")
    rows = {path.stem: read_rows(path) for path in sorted(paths, key=lambda path: path.stem != TRAINING)}
    if TRAINING not in rows or len(rows) < 2:
        raise ArmillaryError(
            f"{paths[0].parent}: has {sorted(rows)}; {TRAINING}.csv is needed to learn from, and another to test on"
        )
    if options.quick:
        rows = {name: [row for row in own if row.cycles <= _QUICK_CYCLES] for name, own in rows.items()}
        rows[TRAINING] = rows[TRAINING][::_QUICK_EVERY]
    return rows


def _added(every: Mapping[str, Known], asked: str, seed: int, repeat: int) -> Known:
    """Return 50 rows of the test files that are not asked, fewer if there are not so many."""
    first, *rest = (test for name, test in every.items() if name != asked)
    for test in rest:
        first = first.beside(test)
    return first.select(np.random.default_rng([seed, repeat, 50]).permutation(len(first))[:ADDED])


def measured(train: Known, test: Known, space: Space, kind: str, seed: int) -> _Line:
    """Return how well a registered surrogate of layers predicts rows after training on others."""
    model = kind_of(kind).make(space=space, metric="delay_cycles", seed=seed)
    model.fit(train.dataset(space), train.prior)
    asked = test.dataset(space)
    said = model.predict_layers(asked.mapped, test.prior)
    return {"training": len(train), **_scores(Guess(said.mean, said.low, said.high), asked.delay_cycles)}


def _scores(guess: Guess, true: Values) -> _Line:
    """Return the scores of cycles; coverage is empty where there is no interval."""
    inside = None if guess.low is None or guess.high is None else (guess.low <= true) & (true <= guess.high)
    return {
        **errors(guess.mean, true),
        "bias": float(np.exp(np.mean(np.log(guess.mean / true)))),
        "spearman": rank(guess.mean, true),
        "coverage": None if inside is None else float(inside.mean()),
    }


def _kept(
    jobs: Mapping[tuple[str, str, int], Callable[[], _Line]],
    every: Mapping[str, Known],
    train: Known,
    options: BenchOptions,
) -> dict[tuple[str, str, int], _Line]:
    rows = digest(repr([train, *every.values()]))
    registered = ("armillary.surrogates.layers.calibrated", "armillary.surrogates.starlight.surrogate")
    parts = {
        key: Part(
            options.out / "models",
            "-".join(map(str, key)).replace(" ", "_").replace(",", ""),
            {"rows": rows, "model": key, "seed": options.seed},
            (__name__, *registered),
        )
        for key in jobs
    }
    return measured_each(
        {key: (parts[key], job) for key, job in jobs.items()}, partial(options.on_progress, "training")
    )


def _lines(name: str, test: Known, found: Mapping[tuple[str, str, int], _Line]) -> list[_Line]:
    """Return the lines of a test file: what learns nothing, then what does."""
    true = np.array([row.cycles for row in test.rows])
    plain = {
        ANALYTICAL: np.array([row.timeloop for row in test.rows]),
        BOUND: test.prior.metrics["cost_model_cycles"],
        PRIOR: test.prior.metrics["delay_cycles"],
    }
    lines = [
        {"test": name, "model": model, "training": 0, **_scores(Guess(said), true)} for model, said in plain.items()
    ]
    for model in (CALIBRATED, EVERY, STARLIGHT, WITH_OTHERS):
        repeats = [line for (file, other, _), line in found.items() if (file, other) == (name, model)]
        if repeats:
            lines.append({"test": name, "model": model, **{score: _median(repeats, score) for score in repeats[0]}})
    return lines


def _median(lines: Sequence[_Line], score: str) -> float | None:
    told = [line[score] for line in lines if line[score] is not None]
    return float(np.median(told)) if told else None


def checks(table: Sequence[_Line]) -> list[Check]:
    """Return whether the goals hold on each test file, beside the published analytical value."""
    lines = {(line["test"], line["model"]): line for line in table}
    found = []
    for name in dict.fromkeys(line["test"] for line in table):
        beside, own = lines[name, ANALYTICAL], lines[name, STARLIGHT]
        most, with_others = GOALS.get(name, _OTHERS)
        found += [
            _at_most(f"{name}: rmsle, starlight", own["rmsle"], most),
            _at_most(f"{name}: mean error, starlight", own["mean_error"], beside["mean_error"] + _MORE_ERROR),
            _at_least(f"{name}: rank correlation, starlight", own["spearman"], beside["spearman"] - _LESS_RANK),
        ]
        if (name, WITH_OTHERS) in lines:
            found.append(_at_most(f"{name}: rmsle, {WITH_OTHERS}", lines[name, WITH_OTHERS]["rmsle"], with_others))
    return found


def _at_most(name: str, value: float, goal: float) -> Check:
    return Check(name, value, f"at most {goal:.3f}", value <= goal)


def _at_least(name: str, value: float, goal: float) -> Check:
    return Check(name, value, f"at least {goal:.4f}", value >= goal)
