"""Which layouts a study picks: the least cost, a weighted sum of the goals, among what is expected or was found.

Source: alpha * energy + beta * area, by which the full-stack framework (arXiv 2308.12120) ranks the front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import derived
from armillary.optimizers.surrogate_front import TRIALS, Expected, Visited, motpe_on
from armillary.optimizers.surrogate_search import keys
from armillary.problems.pareto import front
from armillary.problems.problem import Problem
from armillary.studies.fronts import Front, front_of, weights_of
from armillary.types import ArmillaryError, Evaluation, Evaluations


def cost_of(problem: Problem, matrix: NDArray[np.float64], prefer: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the weight of each objective's value in the cost, shape [objectives].

    An objective that is at its least costs what it weighs: alpha is the weight over the least value.

    Args:
        problem: of the objectives.
        matrix: what to minimise, shape [rows, objectives]; infinite rows do not count, and one is finite.
        prefer: weights by metric; 1 for those that are not named.

    Raises:
        ArmillaryError: if a weight is of no objective.
    """
    known = matrix[np.isfinite(matrix).all(axis=1)]
    return np.asarray(weights_of(problem, prefer) / np.maximum(np.abs(known).min(axis=0), np.finfo(float).tiny))


@dataclass(frozen=True)
class Promised:
    """What surrogates promise.

    Attributes:
        visited: designs that their search met.
        share: weight of each objective in the cost, see `cost_of`.
        picks: the new designs of least expected cost.
    """

    visited: Visited
    share: NDArray[np.float64]
    picks: Visited


def promised(
    expected: Expected,
    rows: Evaluations,
    *,
    most: int,
    seed: int,
    trials: int = TRIALS,
    prefer: Mapping[str, float] | None = None,
) -> Promised:
    """Search surrogates by MOTPE from the front of the layouts on, and pick designs that were not laid out.

    Args:
        expected: what the surrogates expect.
        rows: the layouts that they learned.
        most: designs to pick.
        seed: of MOTPE.
        trials: likewise.
        prefer: weights of the goals by metric; 1 for those that are not named.

    Raises:
        ArmillaryError: if neither a layout nor an expected design keeps to the bounds, or a weight is of no objective.
    """
    problem = expected.problem
    matrix, codes = problem.matrix(rows), problem.space.encode_columns(rows.design)
    visited = motpe_on(expected, problem, trials=trials, seed=seed, start=codes[front(matrix)])
    seen = matrix if np.isfinite(matrix).any() else problem.matrix(visited.expected)
    if not np.isfinite(seen).any():
        raise ArmillaryError(nothing_legal(problem, rows))
    share = cost_of(problem, seen, prefer or {})
    new = visited.select(~np.isin(keys(visited.codes), keys(codes)))
    return Promised(visited, share, picked(new, problem, share, most))


def picked(visited: Visited, problem: Problem, share: NDArray[np.float64], most: int) -> Visited:
    """Return the designs of least expected cost, those of the expected front first; at most so many."""
    matrix = problem.matrix(visited.expected)
    cost = np.where(np.isfinite(matrix).all(axis=1), matrix @ share, np.inf)
    order = np.lexsort([cost, ~front(matrix)])[:most]
    return visited.select(order[np.isfinite(cost[order])])


def legal(problem: Problem, rows: Evaluations) -> bool:
    """Return whether a row is feasible and within the bounds."""
    return bool(np.isfinite(problem.matrix(rows)).any())


def best_of(problem: Problem, rows: Evaluations, share: NDArray[np.float64]) -> tuple[Evaluation, Front | None]:
    """Return the row of least cost, and, of several objectives, the front with it as the preferred one.

    Args:
        problem: of the objectives.
        rows: layouts.
        share: see `cost_of`.

    Raises:
        ArmillaryError: if no row is feasible and within the bounds.
    """
    matrix = problem.matrix(rows)
    if not np.isfinite(matrix).any():
        raise ArmillaryError(nothing_legal(problem, rows))
    cost = np.where(np.isfinite(matrix).all(axis=1), matrix @ share, np.inf)
    best = rows.row(int(cost.argmin()))
    if len(problem.objectives) == 1:
        return best, None
    found = front_of(problem, rows)
    terms = " + ".join(f"{weight:.3g} {name}" for weight, name in zip(share, problem.metric_names, strict=True))
    on_front = problem.matrix(found.rows) @ share
    return best, replace(found, preferred=int(on_front.argmin()), rule=f"of least cost, {terms}")


def nothing_legal(problem: Problem, rows: Evaluations) -> str:
    """Return the message for layouts none of which keeps to the bounds: what the best of each bounded metric is."""
    bounds = " and ".join(map(str, problem.bounds)) or "no bounds"
    told = []
    for bound in problem.bounds:
        column = derived(rows.metrics, bound.metric, problem.metrics)
        known = np.empty(0) if column is None else column[rows.feasible & np.isfinite(column)]
        if len(known):
            end, best = ("greatest", known.max()) if bound.at_most is None else ("least", known.min())
            told.append(f"the {end} {bound.metric} is {best:.4g}")
    found = f"; of these {' and '.join(told)}" if told else ""
    return (
        f"none of {len(rows)} layouts, {int(rows.feasible.sum())} of them feasible, keeps to {bounds}{found}. Loosen "
        "the bounds, or give a larger --budget and another folder"
    )
