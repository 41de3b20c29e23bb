"""Bayesian optimization with BoTorch: an online baseline of PRIME.

Source: Shahriari et al., Proceedings of the IEEE 2016; constraints after Gelbart et al. 2014: expected
    improvement times the probability of feasibility. Gaussian processes and acquisition are BoTorch's
    (Balandat et al., NeurIPS 2020); the paper used Vizier.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from torch import Tensor

from armillary.optimizers.model_based import ModelBased
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Objective

_MOST_ROWS = 300  # a Gaussian process takes cubic time

_STEPS = 50


class Bayesian(ModelBased):
    """Bayesian optimization.

    Args:
        space: the space to search.
        objective: what to minimise under which bounds.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the hyper-parameters are fitted anew.
        rows: rows that the Gaussian process sees at most: half the best, half drawn from the others.
    """

    def __init__(
        self,
        *,
        space: Space,
        objective: Objective,
        seed: int = 0,
        initial: int = 100,
        refit: float = 0.2,
        rows: int = _MOST_ROWS,
    ) -> None:
        super().__init__(space=space, objective=objective, seed=seed, initial=initial, refit=refit)
        if rows < 2:
            raise ArmillaryError(f"rows={rows} must be at least 2")
        self._rows = rows
        self._acquisition: LogExpectedImprovement
        self._feasibility: SingleTaskGP | None = None

    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        legal = np.flatnonzero(np.isfinite(values))
        rows = self._some(legal[np.argsort(values[legal], kind="stable")])
        gain = torch.from_numpy(-np.log(values[rows])).unsqueeze(-1)
        model = _gaussian_process(self._features(codes[rows]), gain)
        self._acquisition = LogExpectedImprovement(model, best_f=gain.max())
        self._feasibility = None
        if len(legal) < len(values):
            mixed = self._some(self._rng.permutation(len(values)))
            labels = torch.from_numpy(np.isfinite(values[mixed]).astype(float)).unsqueeze(-1)
            if labels.std() > 0:
                self._feasibility = _gaussian_process(self._features(codes[mixed]), labels)

    def _some(self, ordered: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return at most `rows` rows: the first half of them, and others at random."""
        if len(ordered) <= self._rows:
            return ordered
        first = self._rows // 2
        return np.concatenate([ordered[:first], self._rng.choice(ordered[first:], self._rows - first, replace=False)])

    @torch.no_grad()
    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        x = self._features(codes).unsqueeze(1)
        score = self._acquisition(x)
        if self._feasibility is not None:
            posterior = self._feasibility.posterior(x)
            above = (posterior.mean - 0.5) / posterior.variance.sqrt()
            score = score + torch.special.log_ndtr(above).reshape(-1)
        found: NDArray[np.float64] = score.numpy()
        return found

    def _features(self, codes: NDArray[np.int64]) -> Tensor:
        """Return ordered parameters in [0, 1] and categorical ones as one-hot columns, shape [designs, features]."""
        columns = []
        for i, parameter in enumerate(self.space.parameters):
            n = len(parameter.values)
            if parameter.kind == "categorical":
                columns += [(codes[:, i] == k).astype(float) for k in range(n)]
            else:
                columns.append(codes[:, i] / max(n - 1, 1))
        return torch.from_numpy(np.stack(columns, axis=1))


def _gaussian_process(x: Tensor, y: Tensor) -> SingleTaskGP:
    model = SingleTaskGP(x, y, outcome_transform=Standardize(m=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": _STEPS}}
        )
    model.eval()
    return model
