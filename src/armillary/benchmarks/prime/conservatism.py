"""Whether PRIME's conservatism pays, if every pair of alpha and beta is trained long enough to differ.

By schedule `halving` each of the 30 pairs trains 500 steps of its own before any is dropped. Beside the pair that
Kendall's correlation then chooses stand two networks of the same schedule: alpha = beta = 0, which is not
conservative, and alpha = beta = 0.1, which is so by force, whatever the correlation says. In the paper the network
that is not conservative ends 1.81 (MobileNetV2), 3.08 (M4) and 1.15 times (t-RNN Enc) behind PRIME (Table 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from armillary.benchmarks.figures import regrets_of, write_regrets
from armillary.benchmarks.prime.edge_tpu_optimum import regret
from armillary.benchmarks.prime.runs import SEEDS, Runs, trained
from armillary.benchmarks.prime.scenarios import ENC, M4, TABLE_13, V2, Task, of_applications
from armillary.benchmarks.prime.schedules import HALVING, PLAIN, Training, expected_s, size_of
from armillary.benchmarks.result import BenchOptions, BenchResult, Check, geometric_mean, write_csv
from armillary.surrogates.prime.surrogate import Prime
from armillary.surrogates.selection import Candidate

APPLICATIONS = (V2, M4, ENC)
QUICK = (V2, M4)
GRID, NEITHER, FORCED = "the whole grid", "alpha = beta = 0", "alpha = beta = 0.1"
TRAININGS = {GRID: HALVING, NEITHER: PLAIN, FORCED: Training("halving", {"alphas": (0.1,), "betas": (0.1,)})}
_PAYS = 1.01  # a smaller difference may be one of the seed


def run(options: BenchOptions) -> BenchResult:
    """Train the grid and the two networks beside it, verify 256 proposals of each, and compare.

    Raises:
        ArmillaryError: if the options name an application that Table 13 does not have.
    """
    tasks = of_applications(TABLE_13, options.applications or (QUICK if options.quick else APPLICATIONS))
    runs = replace(Runs.of(options), schedule=HALVING.schedule)
    jobs = [(task, name) for task in tasks for name in TRAININGS]
    rows: list[dict[str, Any]] = []
    for task, name in jobs:
        options.on_progress("trainings", len(rows), len(jobs))
        rows.append(_row(task, name, runs))
    options.on_progress("trainings", len(jobs), len(jobs))
    write_csv(rows, options)
    title = "Latency of PRIME's best design above the true optimum, by what it trained with"
    shown = regrets_of(rows, method="trained", task="application")
    write_regrets(shown, options.out / "figure.html", title=title)
    seconds, full_s = (
        expected_s(tuple(TRAININGS.values()), times)
        for times in (len(tasks) * len(runs.seeds), len(APPLICATIONS) * SEEDS)
    )
    size = size_of(len(tasks), len(TRAININGS), len(runs.seeds), seconds, full_s)
    return BenchResult(rows=rows, checks=_checks(rows), notes=list(_notes(tasks, runs)), preface=[size])


def _row(task: Task, name: str, runs: Runs) -> dict[str, Any]:
    """Return what one training led to: medians over the seeds, the worst of them, and each one's alpha and beta."""
    training = TRAININGS[name]
    found = runs.medians("prime", task, **training.grid)
    chosen = [_selection(task, training, runs, seed)["chosen"] for seed in runs.seeds]
    return {
        "application": task.target[0],
        "trained": name,
        "member_steps": training.steps,
        "alpha_beta": "; ".join(f"{alpha:g}, {beta:g}" for alpha, beta, _ in chosen),
        "kendall": float(np.median([score for *_, score in chosen])),
        "over_optimum": regret(task.scenario, found["runtime_s"]),
        "worst_seed": regret(task.scenario, found["worst_seed_s"]),
        "legal_share": found["feasible_of_top"],
        "within_1pct_after": found["evaluations_within"],
        "published": task.published["standard"] / task.published["prime"] if name == NEITHER else float("nan"),
    }


def _selection(task: Task, training: Training, runs: Runs, seed: int) -> Mapping[str, Any]:
    """Return what a training compared and chose; kept, as the model may have been trained elsewhere."""

    def told() -> dict[str, Any]:
        model, _ = trained("prime", task.train, task.area_mm2, runs, seed, **training.grid)
        assert isinstance(model, Prime)
        best = model.selection.chosen[0]
        return {"chosen": [best.alpha, best.beta, best.kendall], "first": first_of(model.selection.candidates)}

    return runs.kept("conservatism", "prime", task, seed, {"settings": training.grid}, __name__).measured(told)


def first_of(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return Kendall's correlations after the steps that every pair took, the best of each kind of pair.

    Args:
        candidates: checkpoints of the grid's members, those of the whole grid first.
    """
    start = min(one.checkpoint for one in candidates)
    every = [one for one in candidates if one.checkpoint == start]
    kinds = {
        "neither": [one.kendall for one in every if one.alpha == 0 and one.beta == 0],
        "alpha alone": [one.kendall for one in every if one.alpha > 0 and one.beta == 0],
        "beta alone": [one.kendall for one in every if one.alpha == 0 and one.beta > 0],
        "both": [one.kendall for one in every if one.alpha > 0 and one.beta > 0],
    }
    return {"steps": float(start), **{kind: max(scores, default=float("nan")) for kind, scores in kinds.items()}}


def _checks(rows: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Check that the grid is better than the network that is not conservative, and no worse than the other one."""
    by_name = {(row["application"], row["trained"]): row["over_optimum"] for row in rows}
    applications = list(dict.fromkeys(row["application"] for row in rows))
    published = geometric_mean([row["published"] for row in rows if np.isfinite(row["published"])])
    checks = []
    for name, least, theirs in ((NEITHER, _PAYS, f"; published: {published:.2f}"), (FORCED, 1 / _PAYS, "")):
        gain = geometric_mean([by_name[application, name] / by_name[application, GRID] for application in applications])
        what = f"latency after {name} over that after {GRID}, geometric mean"
        checks.append(Check(what, gain, f"at least {least:.2f}{theirs}", gain >= least))
    return checks


def _notes(tasks: Sequence[Task], runs: Runs) -> Iterator[str]:
    """Say how Kendall's correlation ranks conservative pairs once every pair took the same steps."""
    yield "Best Kendall's correlation, by which weights are above 0, once every pair trained as long:"
    for task in tasks:
        for seed in runs.seeds:
            first = _selection(task, TRAININGS[GRID], runs, seed)["first"]
            scores = ", ".join(f"{name} {score:.3f}" for name, score in first.items() if name != "steps")
            yield f"  {task.target[0]}, seed {seed}, after {first['steps']:.0f} steps: {scores}."
