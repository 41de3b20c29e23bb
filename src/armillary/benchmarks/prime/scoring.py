"""Every design within the area bound scored by a surrogate, and the best that it scores verified."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from armillary.benchmarks.parts import Part
from armillary.benchmarks.prime.designs import CHUNK, QUICK_DESIGNS, positions_within, unmet
from armillary.benchmarks.prime.runs import TOP, Runs, joint_values, offline_log, problem_at, trained
from armillary.benchmarks.prime.scenarios import Task
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.spaces.samplers import sample
from armillary.studies.propose import propose
from armillary.types import Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import Context, context_of

_JUDGED = 200_000


def scored_part(method: str, task: Task, runs: Runs, settings: Mapping[str, Any]) -> Part:
    """Return where `scored` is kept."""
    more = {"settings": dict(settings), "scored": QUICK_DESIGNS if runs.options.quick else "all"}
    return runs.kept("scored", method, task, runs.options.seed, more, __name__)


def scored(method: str, task: Task, runs: Runs, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a surrogate with these settings, trained on an application's log, scores all designs."""
    return scored_part(method, task, runs, settings).measured(lambda: _measured(method, task, runs, settings))


def _measured(method: str, task: Task, runs: Runs, settings: Mapping[str, Any]) -> dict[str, Any]:
    seed = runs.options.seed
    model, training = trained(method, task.train, task.area_mm2, runs, seed, **settings)
    context = context_of(zoo.build(task.target[0]))
    log = offline_log(task.target[0], task.area_mm2, runs.scale, seed)
    started = time.perf_counter()
    unknown = unmet(positions_within(task.area_mm2, runs.options), SPACE.encode_columns(log.design))
    best = scored_best(model, context, unknown)
    scoring = time.perf_counter() - started
    searched = propose(model, problem_at(task.area_mm2), context, top=TOP, seed=seed, known=log).codes
    verified, found = joint_values(best, task), joint_values(searched, task)
    return {
        "scored_s": float(verified.min()),
        "scored_legal": float(np.isfinite(verified).mean()),
        "searched_s": float(found.min()),
        "searched_legal": float(np.isfinite(found).mean()),
        **_judged(model, context, task, seed),
        "training_seconds": training,
        "scoring_seconds": scoring,
        "designs": len(unknown),
    }


def scored_best(model: Surrogate, context: Context, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the designs that a surrogate scores best, the best first, shape [256, parameters].

    Args:
        model: a fitted surrogate.
        context: of the workload.
        positions: of the designs to score, in the enumeration of the space; of equal scores the first counts.
    """
    best, scores = np.empty(0, dtype=np.int64), np.empty(0)
    for start in range(0, len(positions), CHUNK):
        chunk = positions[start : start + CHUNK]
        own = model.predict(SPACE.at(chunk), context).mean
        if len(best) == TOP:  # few of a chunk are, so that sorting takes no time
            better = own < scores[-1]
            chunk, own = chunk[better], own[better]
        best, scores = np.concatenate([best, chunk]), np.concatenate([scores, own])
        first = np.argsort(scores, kind="stable")[:TOP]
        best, scores = best[first], scores[first]
    return SPACE.at(best)


def _judged(model: Surrogate, context: Context, task: Task, seed: int) -> dict[str, float]:
    """Return Spearman's correlation over legal random designs within the area, and the Brier score over all of them."""
    codes = sample(SPACE, _JUDGED, "random", seed + 1)
    codes = codes[TEMPLATE.area_mm2(codes) <= task.area_mm2]
    truth, predicted = joint_values(codes, task), model.predict(codes, context)
    legal = np.isfinite(truth)
    return {
        "spearman": float(stats.spearmanr(truth[legal], predicted.mean[legal]).statistic),
        "brier": float(np.mean((predicted.p_feasible - legal) ** 2)),
    }
