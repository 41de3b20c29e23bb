"""Fit: from a log to a saved surrogate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.log.store import InMemoryLog, Log
from armillary.spaces.space import Space
from armillary.studies.progress import OnProgress, silent
from armillary.surrogates.prime import Prime
from armillary.types import ArmillaryError, Evaluations, Objective


def fit_prime(
    rows: Evaluations,
    space: Space,
    objective: Objective,
    *,
    schedule: str = "full",
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Prime:
    """Train PRIME's whole grid on the rows and keep the best checkpoint.

    Raises:
        ArmillaryError: if the rows cannot be learned from; the message says why.
    """
    prime = Prime(
        space=space,
        seed=seed,
        schedule=schedule,
        on_progress=lambda done, total: on_progress("training PRIME's grid", done, total),
    )
    return prime.fit(InMemoryLog(rows), objective)


def rows_of(log: Log, space: Space, workloads: list[str]) -> Evaluations:
    """Return the rows of these workloads, of all if none is named.

    Raises:
        ArmillaryError: if a workload has no row; names those that have.
    """
    rows = log.evaluations(space.name)
    known = sorted(set(rows.workload.tolist()))
    missing = [name for name in workloads if name not in known]
    if missing:
        raise ArmillaryError(f"{log.path}: has no row of workload {missing[0]!r}; it has {known}")
    return rows.select(np.isin(rows.workload.astype(str), workloads)) if workloads else rows


def save_atomically(prime: Prime, path: Path) -> None:
    """Write a model so that a reader sees all of it or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    prime.save(unfinished)
    unfinished.replace(path)
