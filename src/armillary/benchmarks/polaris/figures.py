"""Figure 6.5 of the dissertation on our RTL: how the delay-energy product falls with the simulations that are spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from armillary.benchmarks.polaris.runs import FULL, METHODS, NETWORKS, QUICK, Sizes, trial
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv

_TRIALS = 3
_WORSE = 0.01


def fig65(options: BenchOptions) -> BenchResult:
    """Co-design four networks with Polaris and its baselines, 48 simulations each; `--quick`: 12 of BERT, cut.

    A row is the median of the trials, one with `--quick`: the network's delay times energy by RTL, energy by the cost
    model, after each quarter of the simulations, and how many times Polaris's it is in the end.
    """
    sizes, networks, trials = (QUICK, NETWORKS[-1:], 1) if options.quick else (FULL, NETWORKS, _TRIALS)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    pairs = [(network, method) for network in networks for method in METHODS]
    for done, (network, method) in enumerate(pairs):
        options.on_progress("methods", done, len(pairs))
        found[network, method] = [
            trial(method, network, sizes, options.seed + number, options) for number in range(trials)
        ]
    options.on_progress("methods", len(pairs), len(pairs))
    rows = [_row(network, method, found, sizes) for network, method in pairs]
    write_csv(rows, options)
    checks = [_check(network, rows) for network in networks]
    return BenchResult(rows, checks, _notes(found, networks))


def _row(
    network: str, method: str, found: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], sizes: Sizes
) -> dict[str, Any]:
    quarters = [-(-sizes.evaluations * part // 4) for part in (1, 2, 3, 4)]
    values = np.median([run["values"] for run in found[network, method]], axis=0)
    last = np.median([run["values"][-1] for run in found[network, "polaris"]])
    return {
        "network": network,
        "method": method,
        "simulations": sizes.evaluations,
        **{f"edp_after_{n}": float(values[min(n, len(values)) - 1]) for n in quarters},
        "times_polaris": float(values[-1] / last),
        "seconds": float(np.median([run["seconds"] for run in found[network, method]])),
    }


def _check(network: str, rows: Sequence[Mapping[str, Any]]) -> Check:
    least = min(float(row["times_polaris"]) for row in rows if row["network"] == network)
    goal = f"Polaris is at most {_WORSE:.0%} worse than the best: at least {1 - _WORSE:g} of it"
    return Check(f"{network}: the best baseline over Polaris", least, goal, least >= 1 - _WORSE)


def _notes(found: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], networks: Sequence[str]) -> list[str]:
    told = [
        f"{network}, {method}: DIM {best['dim']}, {best['scratchpad_kib']} + {best['accumulator_kib']} KiB, "
        f"{best['delay_cycles']:,.0f} cycles, {best['energy_pj'] / 1e6:,.1f} uJ"
        for network in networks
        for method in METHODS
        for best in (found[network, method][0]["best"],)
    ]
    return [*told, "energy is the cost model's, as in the dissertation; trials of a method differ in their seed"]
