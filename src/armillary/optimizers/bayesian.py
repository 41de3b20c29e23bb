"""Bayesian optimization with BoTorch: an online baseline of PRIME.

Source: Shahriari et al., Proceedings of the IEEE 2016; constraints after Gelbart et al. 2014: expected
    improvement times the probability of feasibility; batches after Ginsbourger et al. 2010 ("Kriging is
    well-suited to parallelize optimization"): the kriging believer. Gaussian processes and acquisition are BoTorch's
    (Balandat et al., NeurIPS 2020); the paper used Vizier.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray
from torch import Tensor

from armillary.optimizers.model_based import Features, ModelBased, log_expected_improvement
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate

MOST_ROWS = 300
"""Rows that the process learns from unless told otherwise: it takes cubic time."""
_STEPS = 50
_CHOICE = 600  # designs among which a batch is chosen
_RELATIVE_NUGGET = 1e-6


class Bayesian(ModelBased):
    """Bayesian optimization.

    Args:
        problem: with one objective.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the process is fitted anew; 0 does so after every batch.
        rows: rows that the Gaussian process sees at most: half the best, half drawn from the others.
        derive: further features of designs, shape [designs, features], from 0 to 1.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = 32,
        refit: float = 0.0,
        rows: int = MOST_ROWS,
        derive: Features | None = None,
    ) -> None:
        super().__init__(problem, seed=seed, initial=initial, refit=refit, derive=derive)
        if rows < 2:
            raise ArmillaryError(f"rows={rows} must be at least 2")
        self._rows = rows
        self._process: SingleTaskGP
        self._gain = -np.inf
        self._feasibility: SingleTaskGP | None = None
        self._pending = np.empty((0, len(problem.space.parameters)), dtype=np.int64)

    def heed(self, pending: Sequence[Candidate]) -> None:
        """Choose as if these candidates, which are still being evaluated, came out as the process expects."""
        designs = [candidate.design for candidate in pending]
        self._pending = self.space.encode(designs) if designs else self._pending[:0]

    def _fit(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        legal = np.flatnonzero(np.isfinite(values))
        rows = self._some(legal[np.argsort(values[legal], kind="stable")])
        gain = torch.from_numpy(-np.log(values[rows])).unsqueeze(-1)
        self._process = gaussian_process(self._inputs(codes[rows]), gain)
        self._gain = float(gain.max())
        self._feasibility = None
        if len(legal) < len(values):
            mixed = self._some(self._rng.permutation(len(values)))
            labels = torch.from_numpy(np.isfinite(values[mixed]).astype(float)).unsqueeze(-1)
            if labels.std() > 0:
                self._feasibility = gaussian_process(self._inputs(codes[mixed]), labels)

    def _some(self, ordered: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return at most `rows` rows: the first half of them, and others at random."""
        if len(ordered) <= self._rows:
            return ordered
        first = self._rows // 2
        return np.concatenate([ordered[:first], self._rng.choice(ordered[first:], self._rows - first, replace=False)])

    @torch.no_grad()
    def _score(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        acquisition = LogExpectedImprovement(self._process, best_f=self._gain)
        score: NDArray[np.float64] = acquisition(self._inputs(codes).unsqueeze(1)).numpy()
        return score + self._log_chance(codes)

    @torch.no_grad()
    def _log_chance(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logarithm of the probability of feasibility, shape [designs]."""
        if self._feasibility is None:
            return np.zeros(len(codes))
        posterior = self._feasibility.posterior(self._inputs(codes).unsqueeze(1))
        above = (posterior.mean - 0.5) / posterior.variance.sqrt()
        return np.asarray(torch.special.log_ndtr(above).reshape(-1).numpy())

    def _batch(self, n: int) -> NDArray[np.int64]:
        """Return n designs, each chosen as if those before it had come out as the process expects.

        So a batch does not spend itself on one place: what was chosen leaves no doubt about its neighbours. What is
        still being evaluated counts as chosen before.
        """
        unmet = self._promising(self._score)[: max(_CHOICE, 4 * n)]
        pool, taken = np.concatenate([self._pending, unmet]), len(self._pending)
        chosen = believed(*self._joint(pool), self._log_chance(pool), self._gain, min(n, len(unmet)), taken)
        return np.concatenate([pool[chosen], self._drawn(n - len(chosen))])

    @torch.no_grad()
    def _joint(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the process's mean, shape [designs], and covariance, shape [designs, designs]."""
        posterior = self._process.posterior(self._inputs(codes))
        assert isinstance(posterior, GPyTorchPosterior)
        return posterior.mean.reshape(-1).numpy(), posterior.distribution.covariance_matrix.numpy()

    def _inputs(self, codes: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._features(codes))


def believed(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    log_chance: NDArray[np.float64],
    best: float,
    n: int,
    taken: int = 0,
) -> list[int]:
    """Return n positions: each the most promising design, once those before it came out as expected.

    Args:
        mean: of the gain, shape [designs].
        covariance: of it, shape [designs, designs].
        log_chance: logarithm of the probability of feasibility, shape [designs].
        best: the greatest gain that is known.
        n: how many.
        taken: so many first designs are taken for expected, and not returned.
    """
    nugget = _RELATIVE_NUGGET * covariance.diagonal().max(initial=0.0)
    chosen: list[int] = []
    for turn in range(taken + n):
        deviation = np.sqrt(np.maximum(covariance.diagonal(), nugget))
        score = log_expected_improvement((mean - best) / deviation) + np.log(deviation) + log_chance
        score[chosen] = -np.inf
        k = turn if turn < taken else int(score.argmax())
        chosen.append(k)
        best = max(best, float(mean[k]))
        column = covariance[:, k]
        covariance = covariance - np.outer(column, column) / (column[k] + nugget)
    return chosen[taken:]


def gaussian_process(x: Tensor, y: Tensor) -> SingleTaskGP:
    """Return a Gaussian process fitted to results.

    Args:
        x: shape [rows, features].
        y: shape [rows, 1].
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)  # of results that are all the same, too
        model = SingleTaskGP(x, y, outcome_transform=Standardize(m=1))
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": _STEPS}}
        )
    model.eval()
    return model
