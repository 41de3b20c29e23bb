"""qNEHVI, as BoTorch has it: noisy expected hypervolume improvement, on a pool of designs.

The acquisition is BoTorch's, in logarithms; designs are discrete, so that it is not optimised by gradients but compared
over a pool, which is bred by the expected hypervolume improvement. Every objective is learned, as published, those that
a law tells among them. Feasibility is one more output, with a constraint on it.

Sources: Daulton, Balandat and Bakshy, NeurIPS 2021; in logarithms, Ament et al., NeurIPS 2023. With one objective the
    improvement of the hypervolume is that of the objective, and the acquisition BoTorch's for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import WeightedMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.sampling.normal import SobolQMCNormalSampler
from numpy.typing import NDArray
from torch import Tensor

from armillary.optimizers.front_models import Known, Learned, quiet
from armillary.optimizers.model_based import ordered_features
from armillary.optimizers.several import ModelledFront
from armillary.problems.pareto import front
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate

_CHOICE = 64  # designs among which a batch is chosen


class Qnehvi(ModelledFront):
    """qNEHVI.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the models are fitted anew.
        rows: rows that a model sees at most.
        samples: of the posterior.
    """

    batch = 8

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        initial: int = 32,
        refit: float = 0.1,
        rows: int = 300,
        samples: int = 32,
    ) -> None:
        super().__init__(problem, seed=seed, initial=initial, refit=refit, rows=rows)
        if samples < 1:
            raise ArmillaryError(f"samples={samples} must be at least 1")
        self._samples, self._seed = samples, seed
        self._pending = np.empty((0, len(problem.space.parameters)), dtype=np.int64)

    def heed(self, pending: Sequence[Candidate]) -> None:
        """Choose with fantasies of what becomes of these candidates, which are still being evaluated."""
        designs = [candidate.design for candidate in pending]
        self._pending = self.space.encode(designs) if designs else self._pending[:0]

    def _law(self, _place: int) -> Known | None:
        return None

    def _choose(self, pool: NDArray[np.int64], n: int) -> NDArray[np.intp]:
        some = self._inputs(pool[: max(_CHOICE, 4 * n)])
        acquisition = self._acquisition()
        pending = self._inputs(self._pending)
        chosen: list[int] = []
        for _ in range(n):
            with torch.no_grad(), quiet():
                taken = torch.cat([pending, some[chosen]])
                acquisition.set_X_pending(taken if len(taken) else None)
                gain = acquisition(some.unsqueeze(1)).numpy()
            gain[chosen] = -np.inf
            chosen.append(int(np.nanargmax(gain)))
        return np.array(chosen, dtype=np.intp)

    def _acquisition(self) -> Any:
        """Return BoTorch's acquisition of the models."""
        outputs = [*self._models.objectives, *filter(None, [self._models.feasibility])]
        model = ModelListGP(*(output.process for output in outputs if isinstance(output, Learned)))
        objectives = len(self._models.objectives)
        constrained = self._models.feasibility is not None
        common: dict[str, Any] = {
            "model": model,
            "X_baseline": self._inputs(self._codes[front(self._matrix)]),
            "sampler": SobolQMCNormalSampler(torch.Size([self._samples]), seed=self._seed),
            "constraints": [lambda outcomes: 0.5 - outcomes[..., objectives]] if constrained else None,
            "prune_baseline": False,
        }
        with torch.no_grad(), quiet():
            if objectives == 1:
                return qLogNoisyExpectedImprovement(objective=GenericMCObjective(_negative), **common)
            negative = WeightedMCMultiOutputObjective(
                -torch.ones(objectives).double(), outcomes=list(range(objectives))
            )
            reference = torch.from_numpy(-self._reference())
            return qLogNoisyExpectedHypervolumeImprovement(objective=negative, ref_point=reference, **common)

    def _inputs(self, codes: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(ordered_features(self.space, codes))


def _negative(outcomes: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: ARG001, BoTorch gives it by name
    return -outcomes[..., 0]
