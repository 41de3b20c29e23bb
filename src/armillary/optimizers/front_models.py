"""What a search for a front expects of designs: a Gaussian process per objective, or the law where there is one.

Objectives are seen as logarithms where they are positive. What a law tells without evaluating is not learned: it is
known, and has no deviation. Feasibility is a process of its own, as in `armillary.optimizers.bayesian`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from linear_operator.utils.warnings import NumericalWarning
from numpy.typing import NDArray
from torch import Tensor

from armillary.optimizers.bayesian import gaussian_process
from armillary.problems.problem import Law

Features = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From coded designs to numbers near [0, 1], shape [designs, features]."""
_AT_ONCE = 4096


@dataclass(frozen=True)
class Known:
    """An objective that a law tells, in the scale in which objectives are seen."""

    law: Law

    def marginal(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation, each of shape [designs]."""
        return self.law(codes), np.zeros(len(codes))

    def joint(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean, shape [designs], and the covariance, shape [designs, designs]."""
        return self.law(codes), np.zeros((len(codes), len(codes)))


@dataclass(frozen=True)
class Learned:
    """An objective, or anything else, that a Gaussian process learned."""

    process: SingleTaskGP
    features: Features

    def marginal(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation, each of shape [designs]."""
        return self._marginal(codes, noisy=False)

    def outcome(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation of what would be observed, each of shape [designs]: with the noise of rows."""
        return self._marginal(codes, noisy=True)

    @torch.no_grad()
    def _marginal(self, codes: NDArray[np.int64], *, noisy: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        with quiet():
            parts = [
                self.process.posterior(self._inputs(part).unsqueeze(1), observation_noise=noisy)
                for part in _parts(codes)
            ]
            mean = torch.cat([part.mean.reshape(-1) for part in parts])
            variance = torch.cat([part.variance.reshape(-1) for part in parts])
        return mean.numpy(), variance.clamp_min(0).sqrt().numpy()

    @torch.no_grad()
    def joint(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean, shape [designs], and the covariance, shape [designs, designs]."""
        posterior = self.process.posterior(self._inputs(codes))
        assert isinstance(posterior, GPyTorchPosterior)
        return posterior.mean.reshape(-1).numpy(), posterior.distribution.covariance_matrix.numpy()

    def _inputs(self, codes: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.features(codes))


def learned(features: Features, codes: NDArray[np.int64], values: NDArray[np.float64]) -> Learned:
    """Return what a Gaussian process learns of values of shape [designs]."""
    return Learned(
        gaussian_process(torch.from_numpy(features(codes)), torch.from_numpy(values).unsqueeze(-1)), features
    )


@dataclass(frozen=True)
class FrontModels:
    """What is expected of designs.

    Attributes:
        objectives: one per objective, to be minimised.
        feasibility: of 1 for a feasible design and 0 for another; None if all were feasible.
    """

    objectives: Sequence[Known | Learned]
    feasibility: Learned | None = None

    def marginal(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means and deviations, each of shape [designs, objectives]."""
        means, deviations = zip(*(objective.marginal(codes) for objective in self.objectives), strict=True)
        return np.stack(means, axis=1), np.stack(deviations, axis=1)

    def joint(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the means, shape [designs, objectives], and covariances, shape [objectives, designs, designs]."""
        means, covariances = zip(*(objective.joint(codes) for objective in self.objectives), strict=True)
        return np.stack(means, axis=1), np.stack(covariances)

    def chance(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of feasibility, shape [designs]."""
        if self.feasibility is None:
            return np.ones(len(codes))
        mean, deviation = self.feasibility.marginal(codes)
        above = torch.from_numpy((mean - 0.5) / np.maximum(deviation, 1e-9))
        return np.asarray(torch.special.ndtr(above).numpy())


def _parts(codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [codes[start : start + _AT_ONCE] for start in range(0, len(codes), _AT_ONCE)]


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore what BoTorch says of posteriors that are nearly certain; it adds to their diagonal and goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)
        warnings.simplefilter("ignore", NumericalWarning)
        yield
