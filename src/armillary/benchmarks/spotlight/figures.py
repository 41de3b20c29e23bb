"""Figures 4.2 to 4.7 of the Spotlight chapter, made again on our exact cost model.

The chapter prints bars without numbers; the ratios that its text states stand beside ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from armillary.benchmarks.figures import write_bars, write_lines
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, write_csv
from armillary.benchmarks.spotlight.runs import (
    HAND,
    MODELS,
    TOOLS,
    VARIANTS,
    Hand,
    Runs,
    Study,
    chip_from,
    grid_mapper,
    values_of,
)
from armillary.mapping.goals import Goal
from armillary.mapping.spotlight.dabo import DaboMaps
from armillary.mapping.spotlight.features import SPOTLIGHT_SW
from armillary.mapping.spotlight.mappers import THOROUGH, dabo_mapper
from armillary.mapping.spotlight.mapspace import UnrolledSpace
from armillary.mapping.spotlight.roofline import least_of_all
from armillary.mapping.spotlight.search import RANDOM, Judge, Mapper
from armillary.workloads import zoo

SPOTLIGHT, EXACT = "spotlight", "spotlight-exact"
SINGLE, MULTI, GENERAL = "spotlight-single", "spotlight-multi", "spotlight-general"
GOALS: tuple[Goal, ...] = ("delay", "edp")
_TRAINED = ("vgg16", "resnet50", "mobilenet_v2")
_UNSEEN = ("mnasnet", "transformer")
COMPARED_MAPPINGS = (10_000, 100_000)
_TIE = 1.001
_PUBLISHED_PER_JOULE = {"eyeriss-like": 26.0, "nvdla-like": 28.0, "maeri-like": 8.3}
_UNEQUAL: Mapping[Hand, str] = {"unbounded": "memories and bus beyond the space", "original": "one lane, own area"}
_GOAL_NAMES = {"delay": "Delay", "edp": "EDP"}
_UNITS = {"delay": "cycles", "edp": "pJ x cycles"}

Runs_ = Sequence[Mapping[str, Any]]


def fig42(options: BenchOptions) -> BenchResult:
    """Compare Spotlight with hand-designed chips and co-design tools at the edge, for delay."""
    return _compared(options, "edge", ("delay",), (SPOTLIGHT, EXACT, *HAND, *TOOLS))


def fig43(options: BenchOptions) -> BenchResult:
    """Compare Spotlight with hand-designed chips in the cloud, for EDP and delay."""
    return _compared(options, "cloud", GOALS, (SPOTLIGHT, EXACT, *HAND))


def _compared(options: BenchOptions, scale: str, goals: Sequence[Goal], methods: Sequence[str]) -> BenchResult:
    runs = Runs.of(options)
    studies = [Study((model,), goal, scale) for goal in goals for model in MODELS]
    measured = _measured(runs, [(study, method) for study in studies for method in methods])
    rows = [_row(study, method, measured) for study in studies for method in methods]
    unequal = [(replace(study, hand=hand), method) for hand in _UNEQUAL for study in studies for method in HAND]
    others = _measured(runs, unequal)
    for study, method in unequal:
        ours = measured[replace(study, hand="bounded"), SPOTLIGHT]
        row = _row(study, method, {**others, (study, SPOTLIGHT): ours})
        rows.append({**row, "method": f"{method}, {_UNEQUAL[study.hand]}"})
    write_csv(rows, options)
    for goal in goals:
        some = [row for row in rows if row["goal"] == goal]
        _write_bars(
            some,
            options,
            f"{_GOAL_NAMES[goal]} over Spotlight's, {scale}: median, least and most of {runs.trials} trials",
            goal,
        )
    return BenchResult(rows=rows, checks=_wins(studies, methods, measured), notes=_notes(runs, studies, measured))


def fig44(options: BenchOptions) -> BenchResult:
    """Compare chips for one network, for all five, and for three with two unseen, at the edge."""
    runs = Runs.of(options)
    rows: list[dict[str, Any]] = []
    for goal in GOALS:
        shared = {MULTI: Study(MODELS, goal), GENERAL: Study(_TRAINED, goal)}
        alone = {model: Study((model,), goal) for model in MODELS}
        pairs = [(study, SPOTLIGHT) for study in shared.values()]
        pairs += [(study, method) for study in alone.values() for method in (SPOTLIGHT, *HAND)]
        measured = _measured(runs, pairs)
        for model, study in alone.items():
            found = {SINGLE: values_of(measured[study, SPOTLIGHT])}
            found[MULTI] = [run["each"][model] for run in measured[shared[MULTI], SPOTLIGHT]]
            if model in _UNSEEN:
                found[GENERAL] = _on_unseen(runs, measured[shared[GENERAL], SPOTLIGHT], model, goal)
            found |= {method: values_of(measured[study, method]) for method in HAND}
            own = float(np.median(found[SINGLE]))
            rows += [_summary(model, goal, method, values, own) for method, values in found.items()]
    write_csv(rows, options)
    _write_bars(rows, options, f"EDP and delay over those of the chip for the network alone, {_trials(runs)}", "all")
    return BenchResult(rows=rows, checks=[_shared_wins(rows, MULTI), _shared_wins(rows, GENERAL)], notes=_sizes(runs))


def _on_unseen(runs: Runs, trials: Runs_, model: str, goal: Goal) -> list[float]:
    """Return what a network costs on chips that were designed for others."""
    mapper = runs.mapper_of(dabo_mapper("dabo", SPOTLIGHT_SW))
    first = runs.options.seed
    return [runs.on(chip_from(run), mapper, model, goal, first + trial) for trial, run in enumerate(trials)]


def _shared_wins(rows: Sequence[Mapping[str, Any]], scenario: str) -> Check:
    medians = {(r["model"], r["goal"], r["method"]): r["median"] for r in rows}
    pairs = [
        (own, medians[model, goal, method])
        for (model, goal, what), own in medians.items()
        if what == scenario
        for method in HAND
    ]
    won = sum(own <= _TIE * theirs for own, theirs in pairs)
    name = f"comparisons with hand-designed chips that {scenario} wins"
    return Check(name, won, f"all {len(pairs)}; the chapter: almost all", won == len(pairs))


def fig45(options: BenchOptions) -> BenchResult:
    """Rank the features of daBO_SW by permutation importance, beside their correlation over random mappings."""
    runs = Runs.of(options)
    rows: list[dict[str, Any]] = []
    for number, model in enumerate(MODELS):
        options.on_progress("networks", number, len(MODELS))
        study = Study((model,), "edp")
        chip = chip_from(runs.trials_of(SPOTLIGHT, study)[0])
        importance, correlation = [], []
        for layer in dict.fromkeys(use.layer for use in zoo.build(model).layers):
            space, rng = UnrolledSpace(chip, layer), np.random.default_rng(options.seed)
            search, judge = DaboMaps(space, rng, features=SPOTLIGHT_SW), Judge([space], "edp")
            while judge.evaluated.max() < runs.software:
                asked = search.ask(10)
                search.tell(asked, judge([asked])[0])
            importance.append(search.model.importance(rng))
            maps = search.drawn(20 * runs.software)
            correlation.append(_ranks(SPOTLIGHT_SW(space, maps), judge([maps])[0]))
        rows += [
            {"model": model, "feature": name, "importance": float(i), "correlation": float(c)}
            for name, i, c in zip(
                SPOTLIGHT_SW.names, np.mean(importance, axis=0), np.mean(correlation, axis=0), strict=True
            )
        ]
    options.on_progress("networks", len(MODELS), len(MODELS))
    write_csv(rows, options)
    bars = {n: {r["model"]: r["importance"] for r in rows if r["feature"] == n} for n in SPOTLIGHT_SW.names}
    write_bars(
        bars, options.out / "figure.html", title="Importance of each feature in daBO_SW", y="Share of the change"
    )
    agree = float(
        _ranks(np.array([[r["importance"]] for r in rows]), np.array([abs(r["correlation"]) for r in rows]))[0]
    )
    largest = {m: max((r for r in rows if r["model"] == m), key=lambda r: r["importance"]) for m in MODELS}
    return BenchResult(
        rows=rows,
        checks=[
            Check("rank correlation of importance and correlation over random mappings", agree, "above 0", agree > 0)
        ],
        notes=[f"{m}: {r['feature']} matters most, {r['importance']:.0%} of the change." for m, r in largest.items()]
        + ["The chapter: on Transformer the parallelism in the kernel dominates; elsewhere no single feature."],
    )


def fig46(options: BenchOptions) -> BenchResult:
    """Show how each search converges, against chips evaluated and against time, at the edge."""
    runs = Runs.of(options)
    methods = (*VARIANTS, "confuciux", "hasco")
    studies = [Study((model,), goal) for goal in GOALS for model in MODELS]
    measured = _measured(runs, [(study, method) for study in studies for method in methods])
    rows = [_row(study, method, measured) for study in studies for method in methods]
    write_csv(rows, options)
    for study in studies:
        by_samples, by_time = {}, {}
        for method in methods:
            best = np.median([np.minimum.accumulate(run["values"]) for run in measured[study, method]], axis=0)
            seconds = np.median([run["seconds"] for run in measured[study, method]], axis=0)
            by_samples[method] = (list(range(1, len(best) + 1)), best.tolist())
            by_time[method] = (seconds.tolist(), best.tolist())
        name = f"{study.models[0]}-{study.goal}"
        y = f"{study.goal}, {_UNITS[study.goal]}"
        write_lines(
            by_samples, options.out / f"{name}-samples.html", title=f"{name}: best so far", x="Chips evaluated", y=y
        )
        write_lines(by_time, options.out / f"{name}-time.html", title=f"{name}: best so far", x="Seconds", y=y)
    checks = _wins(studies, methods, measured)
    checks += [_efficiency(runs, options), _exact(studies, measured)]
    return BenchResult(rows=rows, checks=checks, notes=_sizes(runs))


def fig47(options: BenchOptions) -> BenchResult:
    """Show the distribution of the chips that each search evaluated, at the edge."""
    runs = Runs.of(options)
    methods = ("spotlight", "spotlight-f", "spotlight-v", "spotlight-r", "spotlight-ga", "confuciux")
    studies = [Study((model,), goal) for goal in GOALS for model in MODELS]
    measured = _measured(runs, [(study, method) for study in studies for method in methods])
    rows: list[dict[str, Any]] = []
    for study in studies:
        best_random = min(values_of(measured[study, "spotlight-r"]))
        curves = {}
        for method in methods:
            values = np.sort(np.concatenate([run["values"] for run in measured[study, method]]))
            curves[method] = (values.tolist(), (np.arange(1, len(values) + 1) / len(values)).tolist())
            rows.append(
                {
                    "model": study.models[0],
                    "goal": study.goal,
                    "method": method,
                    "median_chip": float(np.median(values)),
                    "better_than_best_random": float((values < best_random).mean()),
                }
            )
        name = f"{study.models[0]}-{study.goal}"
        write_lines(
            curves,
            options.out / f"{name}.html",
            title=f"{name}: chips evaluated",
            x=f"{study.goal}, {_UNITS[study.goal]}",
            y="Share of chips",
            logarithmic="x",
        )
    write_csv(rows, options)
    share = float(np.mean([r["better_than_best_random"] for r in rows if r["method"] == SPOTLIGHT]))
    return BenchResult(
        rows=rows,
        checks=[
            Check(
                "share of Spotlight's chips better than the best of random search",
                share,
                "above 0.5; the chapter: 0.817",
                share > 0.5,
            )
        ],
        notes=_sizes(runs),
    )


def _measured(runs: Runs, pairs: Sequence[tuple[Study, str]]) -> dict[tuple[Study, str], list[dict[str, Any]]]:
    runs.prepare(pairs)
    return {(study, method): runs.trials_of(method, study) for study, method in pairs}


def _row(study: Study, method: str, measured: Mapping[tuple[Study, str], Runs_]) -> dict[str, Any]:
    own = float(np.median(values_of(measured[study, SPOTLIGHT])))
    return _summary("+".join(study.models), study.goal, method, values_of(measured[study, method]), own)


def _summary(model: str, goal: str, method: str, values: Sequence[float], spotlight: float) -> dict[str, Any]:
    median = float(np.median(values))
    return {
        "model": model,
        "goal": goal,
        "method": method,
        "median": median,
        "least": min(values),
        "most": max(values),
        "over_spotlight": median / spotlight,
        "trials": len(values),
    }


def _write_bars(rows: Sequence[Mapping[str, Any]], options: BenchOptions, title: str, goal: str) -> None:
    bars: dict[str, dict[str, float]] = {}
    spans: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        group, unit = f"{row['model']} {row['goal']}", row["over_spotlight"] / row["median"]
        bars.setdefault(row["method"], {})[group] = row["over_spotlight"]
        spans.setdefault(row["method"], {})[group] = row["least"] * unit, row["most"] * unit
    write_bars(bars, options.out / f"figure-{goal}.html", title=title, y="Over Spotlight's median", spans=spans)


def _wins(studies: Sequence[Study], methods: Sequence[str], measured: Mapping[tuple[Study, str], Runs_]) -> list[Check]:
    """Check that Spotlight's median is at least as good as every other method's, one check per method."""
    checks = []
    for method in methods:
        if method in (SPOTLIGHT, EXACT):
            continue
        ratios = [
            float(np.median(values_of(measured[study, method])) / np.median(values_of(measured[study, SPOTLIGHT])))
            for study in studies
        ]
        won = sum(ratio >= 1 / _TIE for ratio in ratios)
        what = "networks and goals" if len({study.goal for study in studies}) > 1 else "networks"
        name = f"{what} on which Spotlight is as good as {method}; geometric mean {geometric_mean(ratios):.3g}x"
        checks.append(Check(name, won, f"all {len(ratios)}", won == len(ratios)))
    return checks


def _exact(studies: Sequence[Study], measured: Mapping[tuple[Study, str], Runs_]) -> Check:
    ratios = [
        float(np.median(values_of(measured[s, EXACT])) / np.median(values_of(measured[s, SPOTLIGHT]))) for s in studies
    ]
    won = sum(ratio <= _TIE for ratio in ratios)
    name = f"networks and goals on which {EXACT} is no worse; geometric mean {geometric_mean(ratios):.3g}x"
    return Check(name, won, f"all {len(ratios)}", won == len(ratios))


def _efficiency(runs: Runs, options: BenchOptions) -> Check:
    """Compare 10,000 mappings by daBO with 100,000 random ones, over all layers of ResNet-50 on one chip."""
    study = Study(("resnet50",), "edp")
    chip = chip_from(runs.trials_of(SPOTLIGHT, study)[0])
    layers = tuple(dict.fromkeys(use.layer for use in zoo.build("resnet50").layers))
    few, many = (max(1, total // len(layers)) for total in COMPARED_MAPPINGS)
    by_dabo = dabo_mapper("dabo", SPOTLIGHT_SW, samples=few).map(chip, layers, "edp", options.seed)
    at_random = Mapper("random", RANDOM.make, samples=many, batch=500).map(chip, layers, "edp", options.seed)
    ratio = geometric_mean([r.value / d.value for r, d in zip(at_random, by_dabo, strict=True)])
    return Check("best of 100,000 random mappings over the best of 10,000 by daBO", ratio, "at least 1", ratio >= 1)


def _notes(runs: Runs, studies: Sequence[Study], measured: Mapping[tuple[Study, str], Runs_]) -> list[str]:
    return [
        *_sizes(runs),
        *_above_least(studies, measured),
        *_per_joule(studies, measured),
        *_humble(runs, studies, measured),
    ]


def _above_least(studies: Sequence[Study], measured: Mapping[tuple[Study, str], Runs_]) -> Iterator[str]:
    """Yield how far Spotlight's delay is from the least that the roofline leaves to any design of the space."""
    for study in studies:
        if study.goal == "delay":
            least = least_of_all(study.template, study.workload())
            own = float(np.median(values_of(measured[study, SPOTLIGHT])))
            yield (
                f"{study.models[0]} (delay): no design within the area takes less than {least:.4g} cycles, whatever "
                f"its mappings; Spotlight's takes {own / least:.3f} times that."
            )


def _per_joule(studies: Sequence[Study], measured: Mapping[tuple[Study, str], Runs_]) -> Iterator[str]:
    """Yield the chapter's stated ratios: throughput per joule on ResNet-50."""
    for study in studies:
        if study.models != ("resnet50",):
            continue
        own = np.median([run["delay_cycles"] * run["energy_pj"] for run in measured[study, SPOTLIGHT]])
        for method, published in _PUBLISHED_PER_JOULE.items():
            theirs = np.median([run["delay_cycles"] * run["energy_pj"] for run in measured[study, method]])
            what = f"ResNet-50 ({study.goal}): throughput per joule over {method}"
            yield f"{what} {theirs / own:.2f}x; published: {published:g}x."


def _humble(runs: Runs, studies: Sequence[Study], measured: Mapping[tuple[Study, str], Runs_]) -> Iterator[str]:
    """Yield what a grid of sensible mappings and the thorough search find on Spotlight's own chip."""
    for study in studies:
        run = measured[study, SPOTLIGHT][0]
        chip, model = chip_from(run), study.models[0]
        humble = runs.on(chip, grid_mapper(), model, study.goal, 0)
        thorough = runs.on(chip, THOROUGH, model, study.goal, 0)
        yield (
            f"{model} ({study.goal}), Spotlight's chip of the first trial: its own mappings 1.00, a grid of sensible "
            f"mappings {humble / run['value']:.3g}, the thorough search {thorough / run['value']:.3g}."
        )


def _trials(runs: Runs) -> str:
    return "one trial" if runs.trials == 1 else f"{runs.trials} trials"


def _sizes(runs: Runs) -> list[str]:
    what = "One trial" if runs.trials == 1 else f"Medians of {runs.trials} trials"
    return [
        f"{what} of {runs.hardware} chips, {runs.software} mappings per layer and chip. "
        "Results of our own evaluator; equal area for all, hand-designed chips with the lanes and the bus that suit "
        "them best and, unless said otherwise, memories and a bus no larger than the space has."
    ]


def _ranks(features: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's correlation of each feature with the values, 0 for a constant one, shape [features]."""
    return np.array([spearmanr(f, values).statistic if np.ptp(f) > 0 else 0.0 for f in features.T])
