"""A front from few evaluations: expected hypervolume improvement, exact, on Gaussian processes and laws.

Each objective has a Gaussian process on its logarithm, unless a law tells it: the area of a template costs nothing, and
what is known exactly is not learned. Designs are bred by the hypervolume that they are expected to add, times their
chance to be feasible. A batch is chosen one by one, each as if those before it had come out as expected; so it
spreads along the front.

Sources: expected hypervolume improvement, Emmerich et al., CEC 2011; batches after Ginsbourger et al. 2010 (kriging
    believer); the laws are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.several import ModelledFront, boxes, expected_gain

_CHOICE = 400  # designs among which a batch is chosen
_RELATIVE_NUGGET = 1e-6


class Pareto(ModelledFront):
    """Expected hypervolume improvement; our default for several objectives.

    Args:
        problem: with one to four objectives.
        seed: same seed and results, same designs.
        initial: random designs before the first model.
        refit: growth of the number of rows after which the models are fitted anew.
        rows: rows that a model sees at most.
    """

    def _choose(self, pool: NDArray[np.int64], n: int) -> NDArray[np.intp]:
        some = pool[: max(_CHOICE, 4 * n)]
        mean, covariance = self._models.joint(some)
        chance, reference = self._models.chance(some), self._reference()
        best = self._seen()[self._legal]
        nugget = _RELATIVE_NUGGET * covariance.diagonal(axis1=1, axis2=2).max(axis=1, initial=0.0) + 1e-12
        chosen: list[int] = []
        for _ in range(n):
            deviation = np.sqrt(np.maximum(covariance.diagonal(axis1=1, axis2=2), 0.0)).T
            gain = expected_gain(mean, deviation, boxes(best, reference)) * chance
            gain[chosen] = -np.inf
            k = int(gain.argmax())
            chosen.append(k)
            best = np.concatenate([best, mean[k : k + 1]])
            column = covariance[:, :, k]
            covariance = covariance - column[:, :, None] * column[:, None, :] / (column[:, k] + nugget)[:, None, None]
        return np.array(chosen, dtype=np.intp)
