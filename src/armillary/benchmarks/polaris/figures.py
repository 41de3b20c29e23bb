"""Figures 6.2 to 6.6 of the dissertation on our RTL, and the acquisition functions and improvements beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armillary.benchmarks.figures import write, write_bars, write_lines
from armillary.benchmarks.polaris.bound import bound_of
from armillary.benchmarks.polaris.runs import (
    FULL,
    IMPROVED,
    METHODS,
    NETWORKS,
    QUICK,
    Method,
    Sizes,
    by_acquisition,
    trial,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, write_csv
from armillary.mapping.balance import least_product
from armillary.optimizers.acquisitions import ACQUISITIONS
from armillary.reports.theme import blank
from armillary.studies.simulated_design import OPTIMIZER

_TRIALS, _WORSE = 3, 0.01
_TURNS_62, _TURNS_64 = 7, 20
_SHOWN = 3000
_OVER_DOSA, _OVER_SPOTLIGHT = 2.81, 2.0
"""Published: DOSA's and Spotlight's delay times energy over Polaris's, on average, Section 6.2."""
_TIMES = (12, 24, 48, 96)
Row = dict[str, Any]
_HUMBLEST = "closed-form"
"""The method that learns nothing: of one array it has one answer."""
Trials = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""By network and method."""


@dataclass(frozen=True)
class _Scale:
    """What `--quick` changes: networks, trials and sizes."""

    networks: tuple[str, ...]
    trials: int
    sizes: Sizes

    @staticmethod
    def of(options: BenchOptions) -> _Scale:
        return _Scale(NETWORKS[-1:], _TRIALS, QUICK) if options.quick else _Scale(NETWORKS, _TRIALS, FULL)


def fig62(options: BenchOptions) -> BenchResult:
    """Map BERT onto one design seven times, and compare the best of each layer with the best of all combinations.

    `--quick`: the layers are cut. What is best of each layer minimises a sum of products; a network's delay times
    energy is a product of sums. The product's own choice, of one exchange rate for all layers, is the third.
    """
    scale = _Scale.of(options)
    sizes = replace(scale.sizes, hardware=1, software=_TURNS_62)
    found = trial(METHODS["polaris"], "bert", sizes, options.seed, options)
    costs, runs = _tables(found["runs"])
    own = [int((delay * energy).argmin()) for delay, energy in costs]
    exact = min(product(*(range(table.shape[1]) for table in costs)), key=lambda n: _product(costs, n, runs))
    chosen = {"sum of products": own, "product of sums": list(exact), "one rate": least_product(costs, runs)}
    least = _product(costs, exact, runs)
    rows: list[Row] = [
        {"choice": name, **_sums(costs, numbers, runs), "over_least": _product(costs, numbers, runs) / least}
        for name, numbers in chosen.items()
    ]
    write_csv(rows, options)
    _scatter(costs, runs, own, options)
    checks = [
        Check(
            "the layers' own best over the least", rows[0]["over_least"], "at most 1.01", rows[0]["over_least"] <= 1.01
        ),
        Check("one rate over the least", rows[2]["over_least"], "at most 1.001", rows[2]["over_least"] <= 1.001),
    ]
    note = f"{np.prod([table.shape[1] for table in costs])} combinations of {len(costs)} layers; no network of more"
    return BenchResult(rows, checks, [f"{note} layers is small enough for all"])


def _tables(runs: Sequence[Mapping[str, Any]]) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return each layer's delays and energies by mapping, shape [2, mappings], and how often layers run."""
    by_layer: dict[str, dict[str, tuple[float, float]]] = {}
    counts: dict[str, float] = {}
    for run in runs:
        name = run["layer"]["name"]
        by_layer.setdefault(name, {})[run["mapping"]] = run["delay_cycles"], run["energy_pj"]
        counts[name] = run["runs"]
    return [np.array(list(each.values())).T for each in by_layer.values()], np.array(list(counts.values()), dtype=float)


def _sums(costs: Sequence[NDArray[np.float64]], numbers: Sequence[int], runs: NDArray[np.float64]) -> dict[str, float]:
    delay, energy = runs @ np.array([table[:, number] for table, number in zip(costs, numbers, strict=True)])
    return {"delay_cycles": float(delay), "energy_pj": float(energy), "edp_pj_cycles": float(delay * energy)}


def _product(costs: Sequence[NDArray[np.float64]], numbers: Sequence[int], runs: NDArray[np.float64]) -> float:
    return _sums(costs, numbers, runs)["edp_pj_cycles"]


def _scatter(
    costs: Sequence[NDArray[np.float64]], runs: NDArray[np.float64], own: Sequence[int], options: BenchOptions
) -> None:
    every = list(product(*(range(table.shape[1]) for table in costs)))
    shown = np.random.default_rng(options.seed).permutation(len(every))[:_SHOWN].tolist()
    some = [_sums(costs, every[number], runs) for number in shown]
    figure, best = blank(), _sums(costs, own, runs)
    for name, points, marker in (
        (f"{len(some):,} of {len(every):,} combinations", some, {"size": 4, "opacity": 0.4}),
        ("the best mapping of each layer", [best], {"size": 16, "symbol": "star"}),
    ):
        x, y = ([point[key] for point in points] for key in ("delay_cycles", "energy_pj"))
        figure.add_scatter(x=x, y=y, name=name, mode="markers", marker=marker)
    title = "BERT on one design: seven mappings of each layer"
    write(figure, options.out / "figure.html", title=title, x="Delay, cycles", y="Energy, pJ")


def fig63(options: BenchOptions) -> BenchResult:
    """Co-design four networks with every method, 24 simulations each, 3 trials; `--quick`: 12 of BERT.

    Layers are cut to a million multiply-accumulates: whole ones would take days, and the
    dissertation's 48 simulations and five trials a day.

    A row is the median of the trials: the network's delay times energy by RTL, energy by the cost model, after the
    first and after all simulations, and how many times that of the product's default it is. Where the default's share
    of a small grid of designs is exhausted, the least of the closed form under the mapper stands in a note.
    """
    scale = _Scale.of(options)
    found = _all(METHODS, scale, options)
    rows = [_row(network, method, found, scale.sizes) for network, method in found]
    write_csv(rows, options)
    _bars(rows, "Co-design", options)
    notes = [*_bests(found), *(bound_of(network, scale.sizes, options) for network in scale.networks)]
    return BenchResult(rows, [*_no_worse(rows, scale.networks), *_published(rows)], [*notes, _ENERGY])


def fig64(options: BenchOptions) -> BenchResult:
    """Map four networks onto the design that DOSA's descent found, 20 simulations each; `--quick`: 12 of BERT.

    The mapper of the product, `closed-form`, spends one simulation, and DOSA its own mappings.
    """
    found = _on_dosas_designs(options)
    rows = [_row(network, method, found, None) for network, method in found]
    write_csv(rows, options)
    _bars(rows, "Mappings on DOSA's design", options)
    return BenchResult(rows, _no_worse(rows, _Scale.of(options).networks, "polaris"), [*_bests(found), _ENERGY])


def fig65(options: BenchOptions) -> BenchResult:
    """Show how the delay-energy product falls with the simulations of co-design; see `fig63` for the sizes."""
    scale = _Scale.of(options)
    methods = {name: METHODS[name] for name in ("polaris", _HUMBLEST, "spotlight", "polaris-scratch", "random")}
    found = _all(methods, scale, options)
    return _curves(found, "Co-design", options, _no_worse([_row(*key, found, scale.sizes) for key in found],
                   scale.networks, "polaris"))  # fmt: skip


def fig66(options: BenchOptions) -> BenchResult:
    """Show how the delay-energy product falls with the simulations of mappings on DOSA's design; see `fig64`."""
    found = _on_dosas_designs(options)
    rows = [_row(network, method, found, None) for network, method in found]
    return _curves(found, "Mappings on DOSA's design", options, _no_worse(rows, _Scale.of(options).networks, "polaris"))


def acquisition(options: BenchOptions) -> BenchResult:
    """Co-design with each acquisition function, 24 simulations, 3 trials; `--quick`: 12 of BERT."""
    scale = _Scale.of(options)
    found = _all(by_acquisition(list(ACQUISITIONS)), scale, options)
    rows = [_row(network, method, found, scale.sizes) for network, method in found]
    return _curves(found, "Acquisition functions", options, _no_worse(rows, scale.networks, "ucb"))


def improvements(options: BenchOptions) -> BenchResult:
    """Measure improvements of Polaris at 12, 24, 48 and 96 simulations, 3 trials; `--quick`: 12 of BERT.

    A warm start learns first from as many random simulations of another network. Four together are chosen before
    the first of them is known. `polaris-paced` weighs designs judged by the closed form against a simulation.
    """
    scale = _Scale.of(options)
    scale = replace(scale, sizes=replace(scale.sizes, hardware=scale.sizes.hardware * (1 if options.quick else 4)))
    found = _all(IMPROVED, scale, options)
    rows = [_row(network, method, found, scale.sizes) for network, method in found]
    checks = [
        Check(f"{network}: simulations of a warm start for Polaris's end", count, "at most half", ok)
        for network in scale.networks
        for count, ok in (_needed(found[network, "polaris, warm"], found[network, "polaris"]),)
    ]
    result = _curves(found, "Improvements", options, checks)
    return replace(
        result, notes=[*result.notes, *(f"{r['network']}, {r['method']}: {r['seconds']:.0f} s" for r in rows)]
    )


def _needed(warm: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """Return after how many simulations the one's median is as low as the other's in the end, and if half is enough."""
    curve, goal = _median(warm), _median(plain)[-1]
    reached = np.flatnonzero(curve <= goal)
    if not len(reached):
        return f"not reached in {len(curve)}", False
    return f"{int(reached[0]) + 1} of {len(curve)}", int(reached[0]) + 1 <= len(curve) // 2


_ENERGY = "energy is the cost model's, as in the dissertation; trials of a method differ in their seed"


def _all(methods: Mapping[str, Method], scale: _Scale, options: BenchOptions) -> dict[tuple[str, str], list[Any]]:
    pairs = list(product(scale.networks, methods))
    found = {}
    for done, (network, name) in enumerate(pairs):
        options.on_progress("methods", done, len(pairs))
        seeds = range(options.seed, options.seed + scale.trials)
        found[network, name] = [trial(methods[name], network, scale.sizes, seed, options) for seed in seeds]
    options.on_progress("methods", len(pairs), len(pairs))
    return found


def _on_dosas_designs(options: BenchOptions) -> dict[tuple[str, str], list[Any]]:
    scale = _Scale.of(options)
    found: dict[tuple[str, str], list[Any]] = {}
    turns = scale.sizes.evaluations if options.quick else _TURNS_64
    one, sizes = replace(scale.sizes, hardware=1, software=1), replace(scale.sizes, hardware=1, software=turns)
    for done, network in enumerate(scale.networks):
        options.on_progress("networks", done, len(scale.networks))
        for seed in range(options.seed, options.seed + scale.trials):
            dosa = trial(METHODS["dosa"], network, scale.sizes, seed, options)
            found.setdefault((network, "dosa"), []).append({**dosa, "values": dosa["values"][-1:]})
            for name in ("polaris", _HUMBLEST, "offline", "spotlight", "random"):
                spent = one if name == _HUMBLEST else sizes
                design = {key: dosa["best"][key] for key in ("dim", "scratchpad_kib", "accumulator_kib")}
                run = trial(METHODS[name], network, spent, seed, options, design)
                found.setdefault((network, name), []).append(run)
    options.on_progress("networks", len(scale.networks), len(scale.networks))
    return found


def _median(runs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.asarray(np.median([run["values"] for run in runs], axis=0))


def _row(network: str, method: str, found: Trials, sizes: Sizes | None) -> Row:
    """Return a method's line: after 1 and all simulations, and after those of a schedule that it has, if any."""
    values = _median(found[network, method])
    base = found.get((network, OPTIMIZER), found[network, method])
    times = [n for n in _TIMES if n < len(values)] if sizes is not None else []
    return {
        "network": network,
        "method": method,
        "simulations": len(values),
        "edp_first": float(values[0]),
        **{f"edp_after_{n}": float(values[n - 1]) for n in times},
        "edp": float(values[-1]),
        f"times_{OPTIMIZER}": float(values[-1] / _median(base)[-1]),
        "seconds": float(np.median([run["seconds"] for run in found[network, method]])),
    }


def _curves(found: Trials, title: str, options: BenchOptions, checks: Sequence[Check]) -> BenchResult:
    """Return the lines of all methods, and write how each falls: one page per network."""
    rows = []
    for network in dict.fromkeys(network for network, _ in found):
        curves = {method: _median(runs) for (of, method), runs in found.items() if of == network}
        for method, values in curves.items():
            marks = sorted({-(-len(values) * part // 4) for part in (1, 2, 3, 4)})
            rows += [
                {"network": network, "method": method, "simulations": n, "edp": float(values[n - 1])} for n in marks
            ]
        least = min(float(values[-1]) for values in curves.values())
        write_lines(
            {name: (list(range(1, len(y) + 1)), (y / least).tolist()) for name, y in curves.items()},
            options.out / f"{network}.html",
            title=f"{title}: {network}",
            x="Simulations of the network",
            y="Delay times energy, times the least found",
            logarithmic="y",
        )
    write_csv(rows, options)
    return BenchResult(rows, checks, [*_bests(found), _ENERGY])


def _bars(rows: Sequence[Row], title: str, options: BenchOptions) -> None:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        groups.setdefault(row["method"], {})[row["network"]] = row[f"times_{OPTIMIZER}"]
    write_bars(groups, options.out / "figure.html", title=title, y=f"Delay times energy, times that of {OPTIMIZER}")


def _no_worse(rows: Sequence[Row], networks: Sequence[str], ours: str = OPTIMIZER) -> list[Check]:
    checks = []
    for network in networks:
        of_method = {row["method"]: float(row["edp"]) for row in rows if row["network"] == network}
        least = min(of_method.values()) / of_method[ours]
        goal = f"at least {1 - _WORSE:g}: {ours} is at most {_WORSE:.0%} worse than the best"
        checks.append(Check(f"{network}: the best method over {ours}", least, goal, least >= 1 - _WORSE))
    return checks


def _published(rows: Sequence[Row]) -> list[Check]:
    checks = []
    for rival, goal in (("dosa", _OVER_DOSA), ("spotlight", _OVER_SPOTLIGHT)):
        ratio = geometric_mean([row[f"times_{OPTIMIZER}"] for row in rows if row["method"] == rival])
        checks.append(
            Check(f"{rival} over {OPTIMIZER}, mean", ratio, f"at least {goal:g}, as published", ratio >= goal)
        )
    return checks


def _bests(found: Trials) -> list[str]:
    return [
        f"{network}, {method}: DIM {best['dim']}, {best['scratchpad_kib']} + {best['accumulator_kib']} KiB, "
        f"{best['delay_cycles']:,.0f} cycles, {best['energy_pj'] / 1e6:,.1f} uJ"
        for (network, method), runs in found.items()
        for best in (runs[0]["best"],)
    ]
