"""How far to trust what a cheap evaluator says of whether layers can run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.surrogates.layers import Prior
from armillary.surrogates.layers.dataset import LayerDataset


@dataclass(frozen=True)
class Trust:
    """How often a layer can run, by the evaluator's verdict; nothing is known of one half without rows.

    Attributes:
        feasible: of those of which it says that they can.
        infeasible: of those of which it says that they cannot.
    """

    feasible: float = 0.5
    infeasible: float = 0.5

    @staticmethod
    def learned(rows: LayerDataset, prior: Prior) -> Trust:
        """Return what rows tell, by Laplace's rule of succession."""
        told = [rows.feasible[prior.feasible == verdict] for verdict in (True, False)]
        return Trust(*(float((own.sum() + 1) / (len(own) + 2)) for own in told))

    def chance(self, prior: Prior) -> NDArray[np.float64]:
        """Return the chance that layers can run, shape [rows]."""
        return np.where(prior.feasible, self.feasible, self.infeasible)
