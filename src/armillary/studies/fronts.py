"""Fronts of studies: what several objectives trade, of rows that were evaluated, and proposed by surrogates."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.atomic_file import replaced
from armillary.metrics import derived
from armillary.optimizers.front_search import front_designs, ranked
from armillary.optimizers.surrogate_search import distinct
from armillary.problems import pareto
from armillary.problems.criteria import Objective
from armillary.problems.problem import Problem
from armillary.studies.propose import allowed, predictions_of
from armillary.surrogates import GatesProposals
from armillary.types import ArmillaryError, Evaluations, Surrogate
from armillary.workloads.context import Context

FRONT = "front.csv"
_PREFERRED = "preferred"


@dataclass(frozen=True)
class Front:
    """The designs that no other evaluated one is better than in every objective.

    Attributes:
        objectives: what is traded.
        rows: the designs of the front as they were evaluated, sorted by the first objective, the best first.
        values: the objectives of the same rows in the units of their metrics, shape [rows, objectives].
        reference: up to which point volume counts: the worst value of each objective among the feasible rows within
            the bounds, in its unit, shape [objectives].
        hypervolume: after each evaluation, those beyond the front among them, shape [evaluations]; in natural
            logarithms of objectives that are positive.
        preferred: position of the one row that is nearest to the best of every objective, as weighted.
        weights: of the objectives, shape [objectives].
        rule: by which the row is preferred, in words.
    """

    objectives: tuple[Objective, ...]
    rows: Evaluations
    values: NDArray[np.float64]
    reference: NDArray[np.float64]
    hypervolume: NDArray[np.float64]
    preferred: int
    weights: NDArray[np.float64]
    rule: str = "nearest to the best of every objective"

    def __post_init__(self) -> None:
        shape = (len(self.rows), len(self.objectives))
        if self.values.shape != shape:
            raise ValueError(f"values have shape {self.values.shape}, expected {shape}")
        if not 0 <= self.preferred < len(self.rows):
            raise ValueError(f"preferred={self.preferred} is not allowed; there are {len(self.rows)} rows")


def front_of(problem: Problem, rows: Evaluations, prefer: Mapping[str, float] | None = None) -> Front:
    """Return the front of evaluated rows, in the order of their evaluation.

    Args:
        problem: whose objectives and bounds to use.
        rows: all that was evaluated, infeasible rows included.
        prefer: how much each objective weighs; 1 for those that are not named.

    Raises:
        ArmillaryError: if a weight is of no objective or not allowed, or no row is feasible and within the bounds.
    """
    weights = weights_of(problem, prefer or {})
    matrix = problem.matrix(rows)
    reference = pareto.reference_point(matrix)
    seen = pareto.logarithms(np.concatenate([matrix, reference[None]]))
    on_front = np.flatnonzero(pareto.front(matrix))
    on_front = on_front[np.argsort(matrix[on_front, 0], kind="stable")]
    chosen = rows.select(on_front)
    return Front(
        objectives=problem.objectives,
        rows=chosen,
        values=_measured(problem, chosen),
        reference=_in_units(problem, reference),
        hypervolume=pareto.hypervolume_over(seen[:-1], seen[-1]),
        preferred=pareto.preferred(matrix[on_front], weights),
        weights=weights,
    )


def weights_of(problem: Problem, prefer: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the weight of each objective, shape [objectives]; 1 for those that are not named.

    Raises:
        ArmillaryError: if a weight is of no objective.
    """
    named = [objective.metric for objective in problem.objectives]
    wrong = [metric for metric in prefer if metric not in named]
    if wrong:
        raise ArmillaryError(f"{wrong[0]}={prefer[wrong[0]]:g} is no preference; the objectives are {named}")
    return np.array([prefer.get(metric, 1.0) for metric in named], dtype=float)


def write_front(folder: Path, front: Front) -> Path:
    """Write the front as a table: which row is preferred, the parameters of each design, all its metrics.

    Raises:
        ArmillaryError: if it cannot be written.
    """
    rows = front.rows
    named = {o.metric: front.values[:, place] for place, o in enumerate(front.objectives)}
    columns = {**rows.design, **named, **{name: c for name, c in rows.metrics.items() if name not in named}}
    path = folder / FRONT
    with replaced(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([_PREFERRED, *columns])
        preferred = [int(row == front.preferred) for row in range(len(rows))]
        writer.writerows(zip(preferred, *(column.tolist() for column in columns.values()), strict=True))
    return path


def propose_front(
    surrogates: Mapping[str, Surrogate],
    problem: Problem,
    contexts: Context | Sequence[Context],
    *,
    top: int = 256,
    seed: int = 0,
    known: Evaluations | None = None,
) -> NDArray[np.int64]:
    """Return the designs that surrogates expect on the front, as value indices, shape [at most top, parameters].

    Those of the first front come first. A design that a surrogate with a calibrated chance (`GatesProposals`) does not
    think likely feasible is left out, and so is one that is expected to break a bound.

    Args:
        surrogates: by metric: of every objective that no law tells, and of bounded metrics, where there are.
        problem: whose space, candidates, laws, bounds and objectives to use.
        contexts: the workload, or several, whose mean counts.
        top: how many designs.
        seed: same seed, same proposals.
        known: designs already evaluated; they are not proposed again.

    Raises:
        ArmillaryError: if there is no context, an objective has neither a surrogate nor a law, or no design passes.
    """
    every = list(contexts) if isinstance(contexts, Sequence) else [contexts]
    if not every:
        raise ArmillaryError("no workload to propose designs for; name at least one")
    untold = [o.metric for o in problem.objectives if o.metric not in {*surrogates, *problem.laws}]
    if untold:
        raise ArmillaryError(
            f"objective {untold[0]!r} has no surrogate and no law; there are surrogates of {sorted(surrogates)} and "
            f"laws of {sorted(problem.laws)}"
        )
    expected = _Expected(surrogates, problem, every)
    keep = allowed(problem, known)
    if problem.candidates is None:
        return front_designs(expected, problem.space, n=top, seed=seed, keep=keep)
    codes = distinct(problem.candidates)
    codes = codes[keep(codes)]
    values = expected(codes) if len(codes) else np.empty((0, len(problem.objectives)))
    best = [row for row in ranked(values).tolist() if np.isfinite(values[row]).all()]
    if not best:
        raise ArmillaryError(f"none of the {len(problem.candidates):,} candidates is new and expected to be feasible")
    return np.asarray(codes[best[:top]])


@dataclass(frozen=True)
class _Expected:
    """What is expected of designs."""

    surrogates: Mapping[str, Surrogate]
    problem: Problem
    contexts: Sequence[Context]

    def __call__(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what to minimise, shape [designs, objectives]; a row is infinite where it is not to be proposed."""
        means: dict[str, NDArray[np.float64]] = {}
        likely = np.ones(len(codes), dtype=bool)
        for metric, surrogate in self.surrogates.items():
            predictions = predictions_of(surrogate, codes, self.contexts)
            means[metric] = np.array([prediction.mean for prediction in predictions])
            if isinstance(surrogate, GatesProposals):
                chance = np.prod([prediction.p_feasible for prediction in predictions], axis=0)
                likely &= chance >= surrogate.least_chance
        for bound in self.problem.bounds:
            if bound.metric in means and bound.metric not in self.problem.laws:
                likely &= bound.met_by(means[bound.metric]).all(axis=0)
        found = np.full((len(codes), len(self.problem.objectives)), np.inf)
        for place, objective in enumerate(self.problem.objectives):
            law = self.problem.laws.get(objective.metric)
            value = means[objective.metric].mean(axis=0) if law is None else law(codes)
            found[likely, place] = objective.to_minimise(value[likely])
        return found


def _measured(problem: Problem, rows: Evaluations) -> NDArray[np.float64]:
    """Return the objectives of feasible rows in the units of their metrics, shape [rows, objectives]."""
    columns = [derived(rows.metrics, objective.metric, problem.metrics) for objective in problem.objectives]
    return np.stack([column for column in columns if column is not None], axis=1)


def _in_units(problem: Problem, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values to minimise, shape [objectives], in the units of their metrics."""
    maximised = np.array([objective.direction == "maximize" for objective in problem.objectives])
    return np.where(maximised, 1.0 / np.where(maximised, values, 1.0), values)
