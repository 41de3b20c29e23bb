"""`ppa-sampling`: architectures to learn from, by Latin hypercube, Sobol's and Halton's sequences, in three numbers.

Source: Esmaeilzadeh et al. (arXiv 2308.12120), who compare the three at 16, 24 and 32 architectures. Of a log's
architectures, those nearest to what a sampler draws are learned from, and the others are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa.layouts import (
    METRICS,
    Integers,
    LayoutTable,
    errors,
    summed_up,
    tables_of,
    with_members,
)
from armillary.benchmarks.result import BenchOptions, BenchResult, write_csv
from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.surrogates.ppa.graph import Architectures
from armillary.surrogates.ppa.stack import MEMBERS

COUNTS = (16, 24, 32)
SHARES = (1 / 3, 1 / 2, 2 / 3)
LEAST_ASKED = 6
SAMPLERS = ("lhs", "sobol", "halton")
DRAWS, QUICK_DRAWS, QUICK_METRICS = 3, 1, ("power_mw",)


def run(options: BenchOptions) -> BenchResult:
    """Predict five metrics after three draws of each sampler and number; `--quick`: power after one."""
    tables = {table.name: table for table in tables_of(options.data, "architectures")}
    metrics, draws = (QUICK_METRICS, QUICK_DRAWS) if options.quick else (METRICS, DRAWS)
    work = {
        (name, sampler, count, metric, draw): (
            _part(table, sampler, count, metric, draw, options),
            partial(measured, table, sampler, count, metric, draw, options.seed),
        )
        for name, table in tables.items()
        for count in counts(table)
        for sampler in SAMPLERS
        for metric in metrics
        for draw in range(draws)
    }
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    rows: list[dict[str, Any]] = [
        {
            "table": name, "architectures": count, "sampler": sampler, "metric": metric,
            **summed_up([kept[name, sampler, count, metric, draw] for draw in range(draws)]),
        }
        for name, table in tables.items()
        for count in counts(table)
        for sampler in SAMPLERS
        for metric in metrics
    ]  # fmt: skip
    write_csv(rows, options)
    return BenchResult(rows, [], [table.note for table in tables.values()])


def counts(table: LayoutTable) -> Sequence[int]:
    """Return how many architectures are learned from: the paper's numbers, or shares of a log that has too few."""
    known = int(table.architecture.max()) + 1
    if known >= max(COUNTS) + LEAST_ASKED:
        return COUNTS
    return sorted({max(2, round(share * known)) for share in SHARES})


def chosen(table: LayoutTable, sampler: str, count: int, seed: int) -> Integers:
    """Return the architectures, by number, that are nearest to what a sampler draws, shape [count]; each once."""
    own = list(Architectures.of(table.space).own)
    space = Space("architectures", tuple(table.space.parameters[place] for place in own))
    first = np.unique(table.architecture, return_index=True)[1]
    most = np.maximum(1, np.array(space.cardinalities) - 1)
    known = table.codes[first][:, own] / most
    left = np.ones(len(known), dtype=bool)
    found = []
    for point in sample(space, count, sampler, seed) / most:
        far = np.where(left, ((known - point) ** 2).sum(axis=1), np.inf)
        found.append(int(far.argmin()))
        left[found[-1]] = False
    return np.array(found)


def measured(table: LayoutTable, sampler: str, count: int, metric: str, draw: int, seed: int) -> dict[str, list[float]]:
    """Return the errors on all architectures that were not chosen."""
    learned = np.isin(table.architecture, chosen(table, sampler, count, seed + draw))
    train, asked = np.flatnonzero(learned), np.flatnonzero(~learned)
    told = with_members(MEMBERS)(table, metric, train, asked, "architectures", seed)
    return errors(told, table.metrics[metric][asked])


def _part(table: LayoutTable, sampler: str, count: int, metric: str, draw: int, options: BenchOptions) -> Part:
    inputs = {"rows": table.digest, "sampler": sampler, "count": count, "metric": metric, "draw": draw}
    code = (__name__, "armillary.surrogates.ppa.stack")
    label = f"{table.name}-{sampler}-{count}-{metric}-{draw}".replace(" ", "-")
    return Part(options.out / "parts", label, {**inputs, "seed": options.seed}, code)
