"""Which parameters matter, read off a log."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from armillary.problems.problem import Problem
from armillary.studies.results import feasible_metric
from armillary.types import Evaluations

METHOD = (
    "Permutation importance of a random forest on the logarithm of the objective, over the feasible rows of the log: "
    "how much worse the forest predicts rows it has not seen when one parameter's values are shuffled."
)
_ROWS = 4000


def importances(rows: Evaluations, problem: Problem, seed: int) -> dict[str, float]:
    """Return each parameter's share of importance; the shares add up to 1, or are all 0 if nothing matters.

    Source: Breiman, Random Forests, 2001, Section 10; scikit-learn's implementation.
    """
    ok = np.flatnonzero(rows.feasible)
    rng = np.random.default_rng(seed)
    ok = rng.permutation(ok)[:_ROWS]
    codes = problem.space.encode_columns({name: column[ok] for name, column in rows.design.items()})
    target = np.log(feasible_metric(rows, problem.metric)[ok])
    half = len(ok) // 2
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=2, random_state=seed, n_jobs=2)
    forest.fit(codes[:half], target[:half])
    scores = permutation_importance(forest, codes[half:], target[half:], n_repeats=5, random_state=seed)
    positive = np.maximum(scores.importances_mean, 0.0)
    shares = positive / positive.sum() if positive.sum() > 0 else positive
    return dict(zip(problem.space.names, shares.tolist(), strict=True))
