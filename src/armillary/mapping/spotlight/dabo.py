"""daBO: Bayesian optimisation in a feature space.

A Gaussian process (GP) with a linear kernel learns the objective of what was evaluated from its features. Candidates
are drawn in the parameter space; those with the lowest confidence bound are evaluated next.

Source: the Spotlight chapter, Section 4.2. What differs: the objective's logarithm is learned, as costs span decades,
and so are the features' logarithms where they are positive and span a decade; the GP may have a prior mean;
neighbours of the best so far and mappings that fill the array are candidates beside random ones; a search may start
from the best mappings of an earlier chip.
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
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge

from armillary.mapping.spotlight.features import FeatureSpace
from armillary.mapping.spotlight.fixed import Usual
from armillary.mapping.spotlight.local import LocalMaps
from armillary.mapping.spotlight.mapspace import Maps, UnrolledSpace
from armillary.mapping.spotlight.search import LayerSearch
from armillary.types import ArmillaryError

Values = NDArray[np.float64]
Kernel = Literal["linear", "matern", "trend"]
KERNELS: tuple[Kernel, ...] = ("linear", "matern", "trend")
Acquisition = Literal["lcb", "ei"]
ACQUISITIONS: tuple[Acquisition, ...] = ("lcb", "ei")
_DECADE = 10.0
_FAR = -6.0
_AMPLITUDES = 1e-4, 1e2
_SURVIVORS, _STARTED = 20, 8


class _Regressor(Protocol):
    def fit(self, features: Values, values: Values) -> object: ...

    def predict(self, features: Values, return_std: bool) -> tuple[Values, Values]: ...


class DomainModel:
    """A GP over features that says which candidates to evaluate next.

    Args:
        kernel: `linear` (a GP with that kernel is Bayesian linear regression; weights and noise by evidence, as
            MacKay 1992), `matern` (nu = 5/2), or `trend`, their sum: a linear trend and what deviates from it.
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
        self._values, self._expected = np.empty(0), np.empty(0)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, features: Values, values: Values, expected: Values | None = None) -> None:
        """Take what was evaluated.

        Args:
            features: shape [n, features].
            values: to minimise, shape [n]. One that is infinite, of something that cannot be used, counts as the worst
                one that is finite, or deviates as much as any, if that is worse.
            expected: the value that was to be expected of each up to a common factor, shape [n]: the GP's prior mean,
                so that it learns what deviates from it; the same for all, if not given.
        """
        self._expected = np.concatenate([self._expected, _log_of(expected, len(values))])
        self._features = features if not len(self) else np.concatenate([self._features, features])
        self._values = np.concatenate([self._values, values])
        self._model = None

    def rank(self, features: Values, expected: Values | None = None) -> Values:
        """Return what to minimise of candidates, shape [n], given what is expected of them as in `add`.

        Raises:
            ArmillaryError: if nothing that was evaluated has a finite value.
        """
        if self._model is None:
            self._fit()
        assert self._model is not None
        mean, std = self._model.predict(self._scaled(features), return_std=True)
        mean = mean + _log_of(expected, len(mean)) / self._unit
        if self._acquisition == "lcb":
            return np.asarray(mean - self._beta * std)
        return np.asarray(-np.log(std) - _log_improvement((self._least - mean) / std))

    def predict(self, features: Values) -> Values:
        """Return the expected logarithm of the objective over what was expected before, standardised, shape [n]."""
        if self._model is None:
            self._fit()
        assert self._model is not None
        return self._model.predict(self._scaled(features), return_std=True)[0]

    def logarithms(self, features: Values, expected: Values | None = None) -> tuple[Values, Values]:
        """Return mean and standard deviation of the objective's logarithm, each of shape [n]; `expected` as in `add`.

        Raises:
            ArmillaryError: if nothing that was evaluated has a finite value.
        """
        if self._model is None:
            self._fit()
        assert self._model is not None
        mean, std = self._model.predict(self._scaled(features), return_std=True)
        return mean * self._unit + self._middle + _log_of(expected, len(mean)), std * self._unit

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
        deviation = np.log(np.where(finite, self._values, self._values[finite].max())) - self._expected
        deviation = np.where(finite, deviation, np.maximum(deviation, deviation[finite].max()))
        self._unit = deviation.std() or 1.0
        self._middle = float(deviation.mean())
        targets = (deviation - self._middle) / self._unit
        self._least = float((targets + self._expected / self._unit).min())
        least, most = self._features.min(axis=0), self._features.max(axis=0)
        self._logged = (least > 0) & (most >= _DECADE * least)
        self._location, self._spread = np.zeros(len(least)), np.ones(len(least))
        seen = self._scaled(self._features)
        self._location, spreads = seen.mean(axis=0), seen.std(axis=0)
        self._spread = np.where(spreads > 0, spreads, 1.0)
        self._model = BayesianRidge() if self._kernel == "linear" else _process(self._kernel, seen.shape[1])
        # what is fitted is small, so that checks of the input would take longer than the fit
        with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its limit is an answer too
            self._model.fit(self._scaled(self._features), targets)

    def _scaled(self, features: Values) -> Values:
        seen = np.where(self._logged, np.log(np.maximum(features, 1e-300)), features)
        return np.asarray((seen - self._location) / self._spread)


def _log_of(expected: Values | None, n: int) -> Values:
    return np.zeros(n) if expected is None else np.log(expected)


def _log_improvement(below: Values) -> Values:
    """Return the logarithm of the expected improvement of a standard normal below a bound, shape [n].

    Far above the bound the improvement itself underflows, and candidates could not be told apart (Ament et al.,
    NeurIPS 2023); there pdf / bound^2 takes its place.
    """
    near = np.maximum(below, _FAR)
    exact = np.log(norm.pdf(near) + near * norm.cdf(near))
    return np.asarray(np.where(below > _FAR, exact, norm.logpdf(below) - 2 * np.log(np.maximum(-below, -_FAR))))


def _process(kernel: Kernel, features: int) -> _Regressor:
    covariance = Matern(np.ones(features), nu=2.5) + WhiteKernel(0.1)
    if kernel == "trend":
        trend = ConstantKernel(0.1, _AMPLITUDES) * DotProduct(1.0, "fixed")
        deviation = ConstantKernel(0.3, _AMPLITUDES) * Matern(np.ones(features), (0.1, 100.0), nu=2.5)
        covariance = trend + deviation + WhiteKernel(0.05, (1e-5, 1.0))
    regressor: _Regressor = GaussianProcessRegressor(covariance, random_state=0)
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
        candidates: drawn anew for every batch, which takes those that the GP ranks best.
        near: how many neighbours of the best mappings so far are candidates too; they do not keep to a `FixedSpace`.
        prior_share: share of the draws that follow the dataflows of Eyeriss, NVDLA and ShiDianNao, and share of all
            draws that unroll whatever there is room for: prior knowledge of another kind than features.
        start: mappings to begin with, of another chip perhaps; the first few count.
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
        near: int = 500,
        prior_share: float = 0.0,
        start: Maps | None = None,
    ) -> None:
        super().__init__(space, rng)
        self._usual, self._prior_share = Usual(space), prior_share
        self._features = features
        self.model = DomainModel() if model is None else model
        self._warm_up, self._explore = warm_up, explore
        self._candidates, self._near = candidates, near
        self._best = LocalMaps(space, rng, size=_SURVIVORS, first=0)
        self._start = space.outermost(0) if start is None else space.adopted(start.select(slice(_STARTED)))

    def ask(self, n: int) -> Maps:
        """Return the start, random mappings at first and now and then, else the candidates that the GP ranks best."""
        if len(self._start):
            begin, self._start = self._start.select(slice(n)), self._start.select(slice(n, None))
            return Maps.joined([begin, self._mixed(n - len(begin))])
        if len(self.model) < self._warm_up or self.rng.random() < self._explore:
            return self._mixed(n)
        drawn = self._mixed(self._candidates)
        if self._near:
            drawn = Maps.joined([drawn, self._best.ask(self._near)])
        return drawn.select(np.argsort(self.model.rank(self._of(drawn)), kind="stable")[:n])

    @property
    def population(self) -> Maps | None:
        """The best mappings so far, the very best first."""
        return self._best.population

    def _of(self, maps: Maps) -> Values:
        return self._features(self.space, maps)

    def _mixed(self, n: int) -> Maps:
        """Return n legal mappings, some of them of the usual dataflows, some that fill the array, in random order."""
        if not self._prior_share:
            return self.drawn(n)
        known = int(self.rng.binomial(n, self._prior_share))
        maps = self._usual.random(2 * known, self.rng)
        fits = self.space.legal(maps)
        self.illegal += int((~fits).sum())
        maps = maps.select(fits).select(slice(known))
        return self._filled(Maps.joined([maps, self.drawn(n - len(maps))]).select(self.rng.permutation(n)))

    def _filled(self, maps: Maps) -> Maps:
        """Return mappings with a share of them unrolled as far as there is room for, where they still fit then."""
        n = np.arange(len(maps))
        filled = maps.select(n)
        self.space.fill(filled, np.flatnonzero(self.rng.random(len(n)) < self._prior_share))
        return Maps.joined([filled, maps]).select(np.where(self.space.legal(filled), n, n + len(n)))

    def tell(self, maps: Maps, values: Values) -> None:
        """Learn what mappings cost."""
        self._best.tell(maps, values)
        self.model.add(self._of(maps), values)
