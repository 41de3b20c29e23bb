"""`ppa-transfer`: layouts of an algorithm, platform or technology of which few are known, with those of others.

Each table is asked in turn, after a few of its layouts and all of some other tables: those of other algorithms on
any platform (`algorithm`), of other platforms (`platform`), or of other technologies (`technology`).

Source: Esmaeilzadeh et al. (arXiv 2308.12120), whose models are trained for each platform and technology anew. Beside
ours stand `ppa-rtl`, which learns the few alone, and a random forest that learns the few and the others together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from armillary.benchmarks.parts import Part, measured_each
from armillary.benchmarks.ppa.layouts import Integers, LayoutTable, Told, errors, summed_up, tables_of
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, write_csv
from armillary.log.store import InMemoryLog
from armillary.problems.criteria import Objective
from armillary.problems.problem import Problem
from armillary.surrogates.ppa.elsewhere import LayoutsOf, technology_of
from armillary.surrogates.ppa.rtl_surrogate import RtlPpa
from armillary.surrogates.ppa.transfer_surrogate import TransferPpa
from armillary.types import ArmillaryError

Unseen = Literal["algorithm", "platform", "technology"]
UNSEEN: tuple[Unseen, ...] = ("algorithm", "platform", "technology")
METRICS = ("power_mw", "effective_mhz", "area_mm2")
"""Runtime and energy follow from these and the workload's cycles, which no layout is needed for."""
SHOTS, DRAWS = (12, 24, 48), 3
QUICK_SHOTS, QUICK_DRAWS, QUICK_METRICS = (12,), 1, ("power_mw",)
LEAST_ASKED = 16
TRANSFER, ALONE, TOGETHER = "ppa-transfer", "ppa-rtl, few alone", "random forest, all together"

Learns = Callable[[Integers, Integers], Told]
"""From rows to learn and rows to ask, what is said of the latter."""


def run(options: BenchOptions) -> BenchResult:
    """Ask each table after 12, 24 and 48 of its layouts, in three draws; `--quick`: power after 12, in one."""
    tables = tables_of(options.data)
    quick = options.quick
    metrics, shots = (QUICK_METRICS, QUICK_SHOTS) if quick else (METRICS, SHOTS)
    seeds = options.counted(QUICK_DRAWS if quick else DRAWS)
    work = {
        (table.name, unseen, metric): (
            _part(table, others, unseen, metric, shots, seeds, options),
            partial(measured, table, others, metric, shots, seeds),
        )
        for table in tables
        for unseen in UNSEEN
        for metric in metrics
        if (others := sources(table, tables, unseen))
    }
    if not work:
        raise ArmillaryError(
            f"{', '.join(table.name for table in tables)}: no table has another one to learn from; name a folder with "
            "logs of several algorithms, platforms or technologies"
        )
    kept = measured_each(work, partial(options.on_progress, "predictions"))
    rows: list[dict[str, Any]] = [
        {"table": name, "unseen": unseen, "metric": metric, **row}
        for (name, unseen, metric) in work
        for row in kept[name, unseen, metric]["rows"]
    ]
    write_csv(rows, options)
    return BenchResult(rows, _checks(rows), [table.note for table in tables])


def sources(table: LayoutTable, tables: Sequence[LayoutTable], unseen: Unseen) -> list[LayoutTable]:
    """Return the tables that differ from one in what is unseen; of other technologies those of its space alone."""
    own = _traits(table)
    rest = [(other, _traits(other)) for other in tables if other is not table]
    keep: Mapping[Unseen, Callable[[tuple[str, str, str]], bool]] = {
        "algorithm": lambda traits: traits[0] == own[0] and traits[1] != own[1] and traits[2] == own[2],
        "platform": lambda traits: traits[0] != own[0],
        "technology": lambda traits: traits[0] == own[0] and traits[2] != own[2],
    }
    return [other for other, traits in rest if keep[unseen](traits)]


def _traits(table: LayoutTable) -> tuple[str, str, str]:
    """Return the space, the workload and the technology of a table."""
    return table.rows.space, str(table.rows.workload[0]), technology_of(table.rows, 0)


def measured(
    table: LayoutTable, others: Sequence[LayoutTable], metric: str, shots: Sequence[int], seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """Return for each number of layouts and each model the errors on the other layouts, of all draws."""
    learns = models(table, others, metric)
    true, found = table.metrics[metric], []
    for count in (count for count in shots if count + LEAST_ASKED <= len(table)):
        draws = [np.random.default_rng([seed, count]).permutation(len(table)) for seed in seeds]
        for name, learn in learns.items():
            told = [errors(learn(order[:count], order[count:]), true[order[count:]]) for order in draws]
            found.append({"layouts": count, "model": name, **summed_up(told)})
    return {"rows": found}


def models(table: LayoutTable, others: Sequence[LayoutTable], metric: str) -> dict[str, Learns]:
    """Return the models by name; ours keeps what it learned of the others."""
    problem = Problem(table.space, (Objective(metric),))
    rows = [other.rows for other in others]
    transfer = TransferPpa(space=table.space, sources=rows)

    def learned(make: Callable[[], RtlPpa]) -> Learns:
        def learn(train: Integers, asked: Integers) -> Told:
            model = make().fit(InMemoryLog(table.rows.select(train)), problem)
            low, high = model.interval(table.codes[asked])
            return Told(model.predict(table.codes[asked]).mean, low, high)

        return learn

    @cache
    def described() -> list[Any]:
        """Describe the layouts of all tables, ours last."""
        return [LayoutsOf.of(each, problem) for each in [*rows, table.rows]]

    def together(train: Integers, asked: Integers) -> Told:
        *far, own = described()
        columns = np.concatenate([each.columns for each in far] + [own.columns[train]])
        values = np.concatenate([each.values for each in far] + [own.values[train]])
        forest = RandomForestRegressor(random_state=0, n_jobs=1).fit(columns, np.log(values))
        return Told(np.exp(forest.predict(own.columns[asked])))

    return {
        TRANSFER: learned(lambda: transfer),
        ALONE: learned(lambda: RtlPpa(space=table.space)),
        TOGETHER: together,
    }


def _part(
    table: LayoutTable, others: Sequence[LayoutTable], unseen: Unseen, metric: str, shots: Sequence[int],
    seeds: Sequence[int], options: BenchOptions,
) -> Part:  # fmt: skip
    inputs = {
        "rows": [each.digest for each in (table, *others)], "metric": metric, "shots": list(shots),
        "seeds": list(seeds),
    }  # fmt: skip
    label = f"{table.name}-{unseen}-{metric}".replace(" ", "-")
    return Part(options.out / "parts", label, inputs, (__name__, "armillary.surrogates.ppa.transfer_surrogate"))


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Return whether the others help: the mean error over tables and metrics after the fewest layouts."""
    fewest = min(row["layouts"] for row in rows)
    found = []
    for unseen in UNSEEN:
        mean = {
            name: [r["mean_error"] for r in rows if (r["model"], r["unseen"], r["layouts"]) == (name, unseen, fewest)]
            for name in (TRANSFER, ALONE, TOGETHER)
        }
        if not mean[TRANSFER]:
            continue
        ours = float(np.mean(mean[TRANSFER]))
        for rival in (ALONE, TOGETHER):
            theirs = float(np.mean(mean[rival]))
            what = f"mean error of {TRANSFER} after {fewest} layouts, unseen {unseen}, %"
            found.append(Check(what, ours, f"at most {theirs:.2f}, {rival}", ours <= theirs))
    return found
