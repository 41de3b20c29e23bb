"""Figures 5.2 to 5.7 and Section 5.1.1 of the dissertation, on our RTL, beside the published numbers.

The metric is EDP, as there: the energy of the cost model times the RTL's cycles. The analytical model is our cost model
with its plain bound (`timing=roofline`), which stands in Timeloop's place; the RTL is ours, in FireSim's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from armillary.benchmarks.figures import write
from armillary.benchmarks.parts import Part, digest
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.benchmarks.starlight.collection import Rows, collected
from armillary.benchmarks.starlight.low import analytical_rows, low_of_samples
from armillary.benchmarks.starlight.models import MODELS, encoded
from armillary.benchmarks.starlight.scores import Values, errors, rank
from armillary.hardware.templates.gemmini import SPACE
from armillary.reports.theme import blank
from armillary.surrogates.layers import Prior
from armillary.surrogates.starlight.ablations import NetworkHead
from armillary.surrogates.starlight.deep_kernel import Starlight
from armillary.surrogates.starlight.low import FINE_TUNING, Schedule, StarlightLow
from armillary.surrogates.starlight.spotlight import features_of, predicted

EDP = "edp_pj_cycles"
TEST_SHARE, SPOTLIGHT_TEST_SHARE = 0.2, 0.1
"""Sections 5.3 and 5.1.1."""
EPOCHS = (10, 100, 1_000)
SIZES = (50, 100, 200, 400, 820)
_QUICK_EPOCHS, _QUICK_SIZES = (10, 100), (50, 100)
TRIALS, _QUICK_TRIALS = 10, 2
_QUICK_TUNING = Schedule(epochs=50, batch=64, learning_rate=1e-3)
NEIGHBOURS = 10
_DRAWN = 4_000
Row = dict[str, Any]


def fig52(options: BenchOptions) -> BenchResult:
    """Compare the distribution of EDP by the analytical model and by RTL (Figure 5.2)."""
    rows = collected(options)
    true = log_edp(rows)
    said = {"cost model": _log_edp_of(rows.roofline), "physics": _log_edp_of(rows.physics)}
    table = [_quantiles("RTL", true, true), *(_quantiles(name, values, true) for name, values in said.items())]
    figure = blank()
    for name, values in {"RTL": true, **said}.items():
        figure.add_histogram(x=values / np.log(10), name=name, opacity=0.6, nbinsx=40)
    figure.update_layout(barmode="overlay")
    title = f"EDP of {len(rows)} mapped layers, RTL and analytical"
    write(figure, options.out / "figure.html", title=title, x="log10 of EDP in pJ x cycles", y="Rows", logarithmic="")
    write_csv(table, options)
    found = table[1]["spearman"]
    return BenchResult(table, [Check("rank correlation, cost model", found, "published: 0.99", found >= 0.99)])


def fig53(options: BenchOptions) -> BenchResult:
    """Compare the latent spaces of the autoencoder without and with the predictor (Figure 5.3).

    How well EDP is ordered there: the rank correlation of rows with the mean of their ten nearest neighbours.
    """
    rows = analytical_rows(options)
    some = np.random.default_rng(options.seed).permutation(len(rows[EDP]))[:_DRAWN]
    table: list[Row] = []
    for name, predicts in (("without predictor", False), ("with predictor", True)):
        low = low_of_samples(options, metric=EDP, predicts=predicts)
        place, edp = low.latent(rows["inputs"][some]), rows[EDP][some]
        table.append({"autoencoder": name, "rows": len(edp), "neighbours_spearman": _ordered(place, edp)})
        figure = blank()
        marker = {"size": 4, "color": edp / np.log(10), "showscale": True}
        figure.add_scatter(x=place[:, 0], y=place[:, 1], mode="markers", marker=marker)
        path = options.out / f"{name.replace(' ', '_')}.html"
        write(figure, path, title=f"Latent space {name}, coloured by log10 of EDP", x="", y="", logarithmic="")
    write_csv(table, options)
    without, with_ = (row["neighbours_spearman"] for row in table)
    return BenchResult(
        table, [Check("the predictor orders the latent space", with_, f"above {without:.3f}", with_ > without)]
    )


def _ordered(place: Values, edp: Values) -> float | None:
    near = np.asarray(KDTree(place).query(place, NEIGHBOURS + 1)[1])[:, 1:]
    return rank(edp[near].mean(axis=1), edp)


def fig55(options: BenchOptions) -> BenchResult:
    """Show predictions of held-out rows over the truth, of Starlight-Low on analytical rows and Starlight on RTL."""
    rows, low = collected(options), low_of_samples(options, metric=EDP)
    train, test = _halves(len(rows), TEST_SHARE, options.seed)
    samples = analytical_rows(options)
    learned, unseen = _halves(len(samples[EDP]), TEST_SHARE, options.seed)
    part_low = StarlightLow.learned(
        samples["inputs"][learned], samples[EDP][learned], seed=options.seed, logged=True,
        on_progress=lambda done, total: options.on_progress("Starlight-Low", done, total),
    ) if not options.quick else low  # fmt: skip
    deep = Starlight.transferred(
        low, encoded(rows.select(train)), log_edp(rows.select(train)), epochs=_epochs(options)[-1]
    )
    asked = rows.select(test)
    pairs = {
        "starlight-low": (part_low.predict(samples["inputs"][unseen]), samples[EDP][unseen]),
        "starlight-paper": (deep.predict(encoded(asked))[0], log_edp(asked)),
        "starlight": (_ours("starlight", rows.select(train), asked, options.seed), log_edp(asked)),
    }
    table = [{"model": name, **_agreement(*pair)} for name, pair in pairs.items()]
    for name, (said, true) in pairs.items():
        figure = blank()
        figure.add_scatter(x=true / np.log(10), y=said / np.log(10), mode="markers", marker={"size": 4}, name=name)
        title = f"{name}: log10 of EDP, predicted over true"
        write(figure, options.out / f"{name}.html", title=title, x="True", y="Predicted", logarithmic="")
    write_csv(table, options)
    return BenchResult(table, [_published(row["model"], row["spearman"], 0.99) for row in table])


def fig56(options: BenchOptions) -> BenchResult:
    """Show the rank correlation of the dissertation's Starlight after 10, 100 and 1,000 epochs, in ten trials.

    As nothing is random but the rows and the rate is constant, a shorter training is the beginning of a longer one.
    """
    rows, low = collected(options), low_of_samples(options, metric=EDP)

    def trial(epochs: int, number: int) -> float | None:
        train, test = _halves(len(rows), TEST_SHARE, options.seed + number)
        return _paper(rows, low, epochs)(train[: SIZES[-1]], test)

    table = [
        {"epochs": epochs, **_over_trials(_trials(options, f"fig56-{epochs}", rows, partial(trial, epochs)))}
        for epochs in _epochs(options)
    ]
    write_csv(table, options)
    published = {100: 0.98, 1_000: 0.99}
    checks = [
        _published(f"{row['epochs']} epochs", row["spearman"], published[row["epochs"]])
        for row in table
        if row["epochs"] in published
    ]
    return BenchResult(table, checks)


def fig57(options: BenchOptions) -> BenchResult:
    """Show the rank correlation over the training rows, of Starlight, its ablations, and what we put in its place."""
    rows, low = collected(options), low_of_samples(options, metric=EDP)
    contenders = _contenders(rows, low, options)
    test_rows = _halves(len(rows), TEST_SHARE, options.seed)[1]
    table: list[Row] = []
    for size in [n for n in (_QUICK_SIZES if options.quick else SIZES) if n <= len(rows) - len(test_rows)]:
        for name, predict in contenders.items():

            def trial(number: int, predict: _Predict = predict, size: int = size) -> float | None:
                train, test = _halves(len(rows), TEST_SHARE, options.seed + number)
                return predict(train[:size], test)

            found = _trials(options, f"fig57-{size}-{name}".replace(" ", "_"), rows, trial)
            table.append({"training": size, "model": name, **_over_trials(found)})
    write_csv(table, options)
    most = max(row["training"] for row in table)
    return BenchResult(
        table, [_published(name, _line(table, most, name)["spearman"], goal) for name, goal in PUBLISHED_57.items()]
    )


PUBLISHED_57: Mapping[str, float] = {
    "starlight-paper": 0.993,
    "network head": 0.987,
    "fine-tuned low": 0.985,
    "low alone": 0.972,
}
"""Section 5.4, with the full training set."""


def section511(options: BenchOptions) -> BenchResult:
    """Measure Spotlight's surrogate on these rows (Section 5.1.1), with 90% of them to learn from."""
    rows = collected(options)
    features = features_of(SPACE.columns(rows.data.codes), rows.data.mappings)
    true, published = log_edp(rows), {"linear": 0.0822, "matern": 0.1127}
    table: list[Row] = []
    for kernel in ("linear", "matern"):
        found = []
        for number in range(_trials_of(options)):
            train, test = _halves(len(rows), SPOTLIGHT_TEST_SHARE, options.seed + number)
            said = predicted(kernel, features[train], true[train], features[test])
            found.append({"spearman": rank(said, true[test]), "top_20": _top(said, true[test])})
        told = [one["spearman"] for one in found if one["spearman"] is not None]
        top = float(np.median([one["top_20"] or 0.0 for one in found]))
        table.append(
            {"kernel": kernel, "spearman": float(np.median(told)), "published": published[kernel], "top_20": top}
        )
    write_csv(table, options)
    best = max(row["spearman"] for row in table)
    return BenchResult(table, [Check("Spotlight's surrogate ranks poorly", best, "below 0.9", best < 0.9)])


def _top(said: Values, true: Values) -> float:
    """Return the share of the best fifth that is predicted to be in it."""
    count = max(1, len(true) // 5)
    return len(set(np.argsort(said)[:count]) & set(np.argsort(true)[:count])) / count


_Predict = Callable[[Any, Any], float | None]
"""From training and test rows' numbers to the rank correlation of EDP on the latter."""


def _paper(rows: Rows, low: StarlightLow, epochs: int) -> _Predict:
    inputs, true = encoded(rows), log_edp(rows)

    def predict(train: Any, test: Any) -> float | None:
        model = Starlight.transferred(low, inputs[train], true[train], epochs=epochs)
        return rank(model.predict(inputs[test])[0], true[test])

    return predict


def _contenders(rows: Rows, low: StarlightLow, options: BenchOptions) -> dict[str, _Predict]:
    inputs, true, epochs = encoded(rows), log_edp(rows), _epochs(options)[-1]
    logged, tuning = low.cube.logged, _QUICK_TUNING if options.quick else FINE_TUNING

    def scratch(train: Any, test: Any) -> float | None:
        model = Starlight.from_scratch(inputs[train], true[train], logged=logged, epochs=epochs)
        return rank(model.predict(inputs[test])[0], true[test])

    def head(train: Any, test: Any) -> float | None:
        return rank(
            NetworkHead.transferred(low, inputs[train], true[train], schedule=tuning).predict(inputs[test]), true[test]
        )

    def tuned(train: Any, test: Any) -> float | None:
        return rank(low.tuned(inputs[train], true[train], schedule=tuning).predict(inputs[test]), true[test])

    def registered(name: str) -> _Predict:
        def predict(train: Any, test: Any) -> float | None:
            asked = rows.select(test)
            return rank(_ours(name, rows.select(train), asked, options.seed), log_edp(asked))

        return predict

    return {
        "starlight-paper": _paper(rows, low, epochs),
        "network head": head,
        "fine-tuned low": tuned,
        "low alone": lambda _train, test: rank(low.predict(inputs[test]), true[test]),
        "GP from scratch": scratch,
        **{name: registered(name) for name in ("trees on inputs", "residual over cost model", "starlight")},
    }


def _ours(name: str, train: Rows, asked: Rows, seed: int) -> Values:
    """Return the logarithm of EDP by a model of cycles."""
    return np.asarray(np.log(MODELS[name](train, asked, seed).mean) + np.log(asked.data.energy_pj))


def log_edp(rows: Rows) -> Values:
    """Return the logarithm of EDP, shape [rows]."""
    return np.asarray(np.log(rows.data.delay_cycles) + np.log(rows.data.energy_pj))


def _log_edp_of(prior: Prior) -> Values:
    return np.asarray(np.log(prior.metrics["delay_cycles"]) + np.log(prior.metrics["energy_pj"]))


def _quantiles(name: str, values: Values, true: Values) -> Row:
    told = {f"q{q}": float(np.quantile(values / np.log(10), q / 100)) for q in (5, 25, 50, 75, 95)}
    return {"log10 EDP by": name, **told, "spearman": rank(values, true)}


def _agreement(said: Values, true: Values) -> Row:
    """Return how logarithms of EDP agree."""
    return {"rows": len(true), "spearman": rank(said, true), **errors(np.exp(said), np.exp(true))}


def _published(name: str, value: float, published: float) -> Check:
    return Check(f"rank correlation, {name}", value, f"published: {published:g}", value >= published)


def _halves(count: int, share: float, seed: int) -> tuple[Any, Any]:
    """Return the numbers of the training and of the test rows."""
    order = np.random.default_rng([seed, count]).permutation(count)
    tests = round(share * count)
    return order[tests:], order[:tests]


def _epochs(options: BenchOptions) -> tuple[int, ...]:
    return _QUICK_EPOCHS if options.quick else EPOCHS


def _trials_of(options: BenchOptions) -> int:
    return _QUICK_TRIALS if options.quick else TRIALS


def _trials(options: BenchOptions, label: str, rows: Rows, trial: Callable[[int], float | None]) -> list[float]:
    """Return the rank correlation of each trial, kept in a part each."""
    found = []
    key = digest(repr([rows.data.mappings, rows.data.delay_cycles.tolist(), rows.physics.source]))
    registered = ("armillary.surrogates.starlight.surrogate",)
    for number in range(_trials_of(options)):
        options.on_progress(label, number, _trials_of(options))
        given = {"trial": number, "seed": options.seed, "quick": options.quick, "rows": key}
        part = Part(options.out / "trials", f"{label}-{number}", given, (__name__, *registered))
        found.append(part.measured(lambda number=number: _timed(trial, number))["spearman"])  # type: ignore[misc]
    options.on_progress(label, _trials_of(options), _trials_of(options))
    return found


def _timed(trial: Callable[[int], float | None], number: int) -> Row:
    start = time.perf_counter()
    return {"spearman": trial(number), "seconds": time.perf_counter() - start}


def _over_trials(found: Sequence[float]) -> Row:
    return {"spearman": float(np.median(found)), "least": min(found), "most": max(found)}


def _line(table: Sequence[Row], training: int, model: str) -> Row:
    return next(row for row in table if (row["training"], row["model"]) == (training, model))
