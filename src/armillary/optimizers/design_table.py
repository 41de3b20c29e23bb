"""The designs of Table 6.1 of the dissertation as points: array, scratchpad and accumulator span a unit cube."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.templates.gemmini import VARIED, published_designs
from armillary.spaces.samplers import SAMPLERS
from armillary.spaces.space import Space

DIMENSIONS = len(VARIED)


class DesignTable:
    """The designs of Table 6.1 that a space has.

    Args:
        space: of a template of the family.

    Attributes:
        codes: of the designs, shape [designs, parameters].

    Raises:
        ArmillaryError: if the space is another template's.
    """

    def __init__(self, space: Space) -> None:
        self.codes = published_designs(space)
        self._columns = [space.names.index(name) for name in VARIED]
        self._last = np.maximum(np.array(space.cardinalities)[self._columns] - 1, 1)

    def places(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where designs lie in the unit cube, shape [designs, 3]."""
        return np.asarray(codes[:, self._columns] / self._last)


def nearest(points: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return of each point the number of the place that is least far by the L1 norm, shape [points]."""
    return np.asarray(np.abs(points[:, None, :] - places[None, :, :]).sum(axis=2).argmin(axis=1))


def spread(amount: int, seed: int) -> NDArray[np.float64]:
    """Return points of the unit cube by a Sobol sequence, shape [amount, 3]."""
    return SAMPLERS["sobol"](amount, DIMENSIONS, seed)
