"""Model-based optimization with an ensemble of regressors: an online baseline of PRIME.

Source: Angermueller et al., "Model-based reinforcement learning for biological sequence design", ICLR 2020,
    Section 3.2: several kinds of regressor are scored by cross-validated R2 and those above 0.4 (the best
    alone, if none is) predict together; the acquisition, expected improvement, is maximised by evolution.
    The feasibility of designs, which sequences do not have, is learned by a random forest and
    multiplied in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor

from armillary.optimizers.model_based import Features, ModelBased
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError

REGRESSORS: Mapping[str, Callable[[int], object]] = {
    "trees": lambda seed: ExtraTreesRegressor(n_estimators=60, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingRegressor(max_iter=100, random_state=seed),
    "neighbours": lambda _: KNeighborsRegressor(n_neighbors=5, weights="distance"),
    "ridge": lambda _: Ridge(alpha=1.0),
}
_THRESHOLD = 0.4
_FOLDS = 3
_ROWS = 3000


class Mbo(ModelBased):
    """Ensemble-based optimization.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        regressors: which kinds may join the ensemble.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the model is fitted anew.
        derive: further features of designs, shape [designs, features], from 0 to 1.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        regressors: tuple[str, ...] = tuple(REGRESSORS),
        initial: int = 200,
        refit: float = 0.1,
        derive: Features | None = None,
    ) -> None:
        super().__init__(problem, seed=seed, initial=initial, refit=refit, derive=derive)
        unknown = [name for name in regressors if name not in REGRESSORS]
        if unknown or not regressors:
            raise ArmillaryError(f"regressors={regressors} is not allowed; choose some of {list(REGRESSORS)}")
        self._regressors, self._seed = regressors, seed
        self._ensemble: list[object] = []
        self._residual = 0.0
        self._feasibility: RandomForestClassifier | None = None

    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        legal = np.isfinite(values)
        chosen = np.flatnonzero(legal)
        if len(chosen) > _ROWS:  # the best teach most about better ones
            chosen = chosen[np.argsort(values[chosen], kind="stable")[:_ROWS]]
        x, y = self._features(codes[chosen]), np.log(values[chosen])
        scores = {}
        for name in self._regressors:
            folds = KFold(min(_FOLDS, len(y)), shuffle=True, random_state=self._seed)
            scores[name] = float(np.mean(cross_val_score(REGRESSORS[name](self._seed), x, y, cv=folds)))
        good = [name for name, score in scores.items() if score > _THRESHOLD] or [max(scores, key=lambda k: scores[k])]
        self._ensemble = [REGRESSORS[name](self._seed).fit(x, y) for name in good]  # type: ignore[attr-defined]
        unexplained = max(1 - float(np.mean([scores[name] for name in good])), 1e-3)
        self._residual = float(y.std() * np.sqrt(unexplained))
        self._feasibility = None
        if not legal.all():
            self._feasibility = RandomForestClassifier(n_estimators=60, random_state=self._seed)
            self._feasibility.fit(self._features(codes), legal)

    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        x = self._features(codes)
        every: NDArray[np.float64] = np.stack([model.predict(x) for model in self._ensemble])  # type: ignore[attr-defined]
        spread = np.sqrt(np.asarray(every.var(axis=0)) + self._residual**2)
        ahead = (np.log(self.best_value) - every.mean(axis=0)) / spread
        improvement = spread * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
        chance = np.ones(len(x)) if self._feasibility is None else self._feasibility.predict_proba(x)[:, 1]
        return np.asarray(improvement * chance)
