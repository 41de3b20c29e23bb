"""Random search: the baseline that every optimizer has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import CodedOptimizer


class RandomSearch(CodedOptimizer):
    """Designs drawn at random, each at most once.

    Args:
        problem: with one objective or several.
        seed: same seed, same designs.
    """

    takes_several = True

    def _propose(self, n: int) -> NDArray[np.int64]:
        return self._drawn(n)

    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Learn nothing: draws do not depend on results."""
