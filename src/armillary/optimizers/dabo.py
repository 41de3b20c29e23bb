"""daBO: Bayesian optimisation in a feature space.

A Gaussian process (GP) with a linear kernel learns the objective of what was evaluated from its features. Candidates
are drawn at random in the parameter space; those with the lowest confidence bound are evaluated next.

Source: the Spotlight chapter, Section 4.2. Ours differ from the release in two ways: the objective's logarithm is
learned, as costs span decades, and so are the features' logarithms where they are positive and span a decade.
"""

from __future__ import annotations

import warnings
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge

from armillary.evaluators.spotlight.fixed import Usual
from armillary.evaluators.spotlight.mapspace import Maps, UnrolledSpace
from armillary.evaluators.spotlight.search import LayerSearch
from armillary.optimizers.features import FeatureSpace
from armillary.types import ArmillaryError

Values = NDArray[np.float64]
Kernel = Literal["linear", "matern"]
KERNELS: tuple[Kernel, ...] = ("linear", "matern")
Acquisition = Literal["lcb", "ei"]
ACQUISITIONS: tuple[Acquisition, ...] = ("lcb", "ei")
_DECADE = 10.0
_FAR = -6.0
_ASKED_PER_STOCK = 40


class _Regressor(Protocol):
    def fit(self, features: Values, values: Values) -> object: ...

    def predict(self, features: Values, return_std: bool) -> tuple[Values, Values]: ...


class DomainModel:
    """A GP over features that says which candidates to evaluate next.

    Args:
        kernel: `linear` (a GP with that kernel is Bayesian linear regression; weights and noise by evidence, as
            MacKay 1992) or `matern` (nu = 5/2).
        acquisition: `lcb`, mean - beta * std, or `ei`, minus the logarithm of the expected improvement.
        beta: of the confidence bound.

    Raises:
        ArmillaryError: if kernel or acquisition is unknown.
    """

    def __init__(self, kernel: Kernel = "linear", acquisition: Acquisition = "lcb", beta: float = 1.0) -> None:
        for value, allowed, what in ((kernel, KERNELS, "kernel"), (acquisition, ACQUISITIONS, "acquisition")):
            if value not in allowed:
                raise ArmillaryError(f"{what} {value!r} is unknown; choose one of {list(allowed)}")
        self._kernel, self._acquisition, self._beta = kernel, acquisition, beta
        self._model: _Regressor | None = None
        self._features = np.empty((0, 0))
        self._values = np.empty(0)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, features: Values, values: Values) -> None:
        """Take what was evaluated: features of shape [n, features], values to minimise of shape [n].

        A value that is infinite, of something that cannot be used, counts as the worst one that is finite.
        """
        self._features = features if not len(self) else np.concatenate([self._features, features])
        self._values = np.concatenate([self._values, values])
        self._model = None

    def rank(self, features: Values) -> Values:
        """Return what to minimise of candidates, shape [n].

        Raises:
            ArmillaryError: if nothing that was evaluated has a finite value.
        """
        if self._model is None:
            self._fit()
        assert self._model is not None
        mean, std = self._model.predict(self._scaled(features), return_std=True)
        if self._acquisition == "lcb":
            return np.asarray(mean - self._beta * std)
        return np.asarray(-np.log(std) - _log_improvement((self._targets.min() - mean) / std))

    def predict(self, features: Values) -> Values:
        """Return the expected logarithm of the objective, standardised, shape [n]."""
        if self._model is None:
            self._fit()
        assert self._model is not None
        return self._model.predict(self._scaled(features), return_std=True)[0]

    def importance(self, rng: np.random.Generator) -> Values:
        """Return each feature's permutation importance, shape [features], together 1.

        The mean change of the prediction when a feature's values change places. Source: Section 4.4.4.
        """
        before = self.predict(self._features)
        changes = []
        for feature in range(self._features.shape[1]):
            shuffled = self._features.copy()
            shuffled[:, feature] = rng.permutation(shuffled[:, feature])
            changes.append(float(np.abs(self.predict(shuffled) - before).mean()))
        return np.array(changes) / max(sum(changes), 1e-300)

    def _fit(self) -> None:
        finite = np.isfinite(self._values)
        if not finite.any():
            raise ArmillaryError("nothing that was evaluated has a finite value; draw at random until something has")
        values = np.log(np.where(finite, self._values, self._values[finite].max()))
        spread = values.std()
        self._targets = (values - values.mean()) / (spread if spread > 0 else 1.0)
        least, most = self._features.min(axis=0), self._features.max(axis=0)
        self._logged = (least > 0) & (most >= _DECADE * least)
        self._location, self._spread = np.zeros(len(least)), np.ones(len(least))
        seen = self._scaled(self._features)
        self._location, spreads = seen.mean(axis=0), seen.std(axis=0)
        self._spread = np.where(spreads > 0, spreads, 1.0)
        self._model = BayesianRidge() if self._kernel == "linear" else _matern(seen.shape[1])
        # what is fitted is small, so that checks of the input would take longer than the fit
        with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its limit is an answer too
            self._model.fit(self._scaled(self._features), self._targets)

    def _scaled(self, features: Values) -> Values:
        seen = np.where(self._logged, np.log(np.maximum(features, 1e-300)), features)
        return np.asarray((seen - self._location) / self._spread)


def _log_improvement(below: Values) -> Values:
    """Return the logarithm of the expected improvement of a standard normal below a bound, shape [n].

    Far above the bound the improvement itself underflows, and candidates could not be told apart (Ament et al.,
    NeurIPS 2023); there pdf / bound^2 takes its place.
    """
    near = np.maximum(below, _FAR)
    exact = np.log(norm.pdf(near) + near * norm.cdf(near))
    return np.asarray(np.where(below > _FAR, exact, norm.logpdf(below) - 2 * np.log(np.maximum(-below, -_FAR))))


def _matern(features: int) -> _Regressor:
    kernel = Matern(np.ones(features), nu=2.5) + WhiteKernel(0.1)
    regressor: _Regressor = GaussianProcessRegressor(kernel, random_state=0)
    return regressor


class DaboMaps(LayerSearch):
    """daBO over the mappings of a layer (daBO_SW).

    Args:
        space: the mappings.
        rng: of this search.
        features: of the mappings.
        model: the GP.
        warm_up: random mappings evaluated first.
        explore: share of the later batches that are random.
        candidates: drawn at a time. Every batch takes those that the GP then ranks best, until a fortieth has been
            asked; to draw anew for every batch took three times as long and ended 2% lower.
        usual_share: share of the draws that follow the dataflows of Eyeriss, NVDLA and ShiDianNao, which is prior
            knowledge of another kind than features.
    """

    def __init__(
        self,
        space: UnrolledSpace,
        rng: np.random.Generator,
        *,
        features: FeatureSpace,
        model: DomainModel | None = None,
        warm_up: int = 20,
        explore: float = 0.1,
        candidates: int = 4000,
        usual_share: float = 0.0,
    ) -> None:
        super().__init__(space, rng)
        self._usual, self._usual_share = Usual(space), usual_share
        self._features = features
        self.model = model or DomainModel()
        self._warm_up, self._explore, self._candidates = warm_up, explore, candidates
        self._stock: Maps | None = None
        self._unasked = np.zeros(0, dtype=np.intp)

    def ask(self, n: int) -> Maps:
        """Return random mappings at first and now and then, else the candidates that the GP ranks best."""
        if len(self.model) < self._warm_up or self.rng.random() < self._explore:
            return self._mixed(n)
        if self._stock is None or self._candidates - len(self._unasked) >= self._candidates / _ASKED_PER_STOCK:
            self._stock = self._mixed(self._candidates)
            self._stock_features = self._of(self._stock)
            self._unasked = np.arange(self._candidates)
        order = np.argsort(self.model.rank(self._stock_features[self._unasked]), kind="stable")
        best, self._unasked = self._unasked[order[:n]], self._unasked[order[n:]]
        return self._stock.select(best)

    def _of(self, maps: Maps) -> Values:
        return self._features(self.space.chip, maps, self.space.layer)

    def _mixed(self, n: int) -> Maps:
        """Return n legal mappings, some of them of the usual dataflows, in random order."""
        known = int(self.rng.binomial(n, self._usual_share))
        if not known:
            return self.drawn(n)
        maps = self._usual.random(2 * known, self.rng)
        fits = self.space.legal(maps)
        self.illegal += int((~fits).sum())
        maps = maps.select(fits).select(slice(known))
        return Maps.joined([maps, self.drawn(n - len(maps))]).select(self.rng.permutation(n))

    def tell(self, maps: Maps, values: Values) -> None:
        """Learn what mappings cost."""
        self.model.add(self._of(maps), values)
