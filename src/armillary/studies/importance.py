"""Which parameters matter, read off a log."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from armillary.problems.problem import Problem
from armillary.types import Evaluations

METHOD = (
    "Permutation importance of a random forest on the logarithm of the objective, over the feasible rows of the log: "
    "how much worse the forest predicts rows it has not seen when one parameter's values are shuffled."
)
_ROWS = 4000
_FEWEST = 8  # half of them teach the forest, half are predicted


def importances(rows: Evaluations, problem: Problem, seed: int) -> dict[str, float]:
    """Return each parameter's share of importance; the shares add up to 1, or are all 0 if nothing is seen to matter.

    Rows whose metric is not a positive number, which has no logarithm, are left out.

    Source: Breiman, Random Forests, 2001, Section 10; scikit-learn's implementation.
    """
    values = problem.with_bounds(lambda _: False).values(rows)
    ok = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(ok) < _FEWEST:
        return dict.fromkeys(problem.space.names, 0.0)
    rng = np.random.default_rng(seed)
    ok = rng.permutation(ok)[:_ROWS]
    codes = problem.space.encode_columns({name: column[ok] for name, column in rows.design.items()})
    target = np.log(values[ok])
    half = len(ok) // 2
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=2, random_state=seed, n_jobs=2)
    forest.fit(codes[:half], target[:half])
    scores = permutation_importance(forest, codes[half:], target[half:], n_repeats=5, random_state=seed)
    positive = np.maximum(scores.importances_mean, 0.0)
    shares = positive / positive.sum() if positive.sum() > 0 else positive
    return dict(zip(problem.space.names, shares.tolist(), strict=True))
