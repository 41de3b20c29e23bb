"""Three networks that mentor each other where a search would go.

Networks that agree on the log differ beyond it. Here designs are bred from the best logged ones towards what the three
find better; of pairs of such designs every network says which is better, and what most say becomes a label
that all three learn, beside the log itself. Feasibility is learned apart and calibrated, as in
`armillary.surrogates.deep_ensemble`.

Source: Chen, Beckham, Liu, Liu and Pal, "Parallel-mentoring for offline model-based optimization", NeurIPS 2023:
    voting-based pairwise supervision by three proxies. Their soft labels from neighbourhoods are hard here, and the
    search steps are a genetic algorithm's instead of gradient steps, as parameters are discrete.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.kind import SurrogateKind
from armillary.surrogates.rows import Rows

_MEMBERS = 3
_SURPRISE = 1.0  # networks that were made to agree no longer doubt each other where all is infeasible
_PARENTS = 64
_POOL = 256
_PAIRS = 128


class TriMentoring(DeepEnsemble):
    """Tri-mentoring as a surrogate.

    Args:
        rounds: of breeding designs and learning from the vote on them.
        weight: of the vote beside the log.
        steps_per_round: gradient steps on one vote.
        options: of the deep ensemble, which has three members here.
    """

    def __init__(self, *, rounds: int = 40, weight: float = 0.5, steps_per_round: int = 5, **options: Any) -> None:
        super().__init__(**{"members": _MEMBERS, "surprise": _SURPRISE, **options})
        self._rounds, self._weight, self._steps_per_round = rounds, weight, steps_per_round

    def _improve(self, good: Rows, learned: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> None:
        best = np.argsort(good.targets, kind="stable")[:_PARENTS]
        parents, workload = good.codes[best], good.workload[best]
        for _ in range(self._rounds):
            mother = rng.integers(0, len(parents), _POOL)
            codes, owner = self._bred(parents, mother, rng), workload[mother]
            inputs = self._fitted.inputs.of_rows(Rows(codes, owner, np.empty(0)))
            first, second = rng.integers(0, _POOL, (2, _PAIRS))
            same = owner[first] == owner[second]  # values of two workloads do not compare
            if same.any():
                pairs = inputs[first[same]], inputs[second[same]]
                self._fitted.networks.mentor(*learned, self._steps_per_round, pairs, self._weight)
            with torch.no_grad():
                value = self._fitted.networks.outputs(inputs)[0].mean(dim=0).numpy()
            kept = np.argsort(value, kind="stable")[:_PARENTS]
            parents, workload = codes[kept], owner[kept]

    def _bred(self, parents: np.ndarray[Any, Any], mother: np.ndarray[Any, Any], rng: np.random.Generator) -> Any:
        """Return children that mix two parents and change a parameter now and then, shape [pool, parameters]."""
        father = rng.integers(0, len(parents), len(mother))
        mixed = np.where(rng.random((len(mother), parents.shape[1])) < 0.5, parents[mother], parents[father])
        changed = rng.random(mixed.shape) < 1 / mixed.shape[1]
        return np.where(changed, rng.integers(0, self.space.cardinalities, mixed.shape), mixed)


KIND = SurrogateKind(TriMentoring)
