"""Which mapping each layer gets so that the network's delay times its energy is least.

A layer's own best is the one of least delay times energy; the sum of these products is not the product of the sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RATES = 81


def least_product(costs: Sequence[NDArray[np.float64]], runs: NDArray[np.float64]) -> list[int]:
    """Return for each layer the number of the mapping that it gets.

    Where the product of sums is least, every layer's mapping minimises delay + rate * energy for one rate; rates
    between those of the layers' own best mappings are tried. Of equally good choices the layers' own best stay.

    Args:
        costs: of each layer the delays and energies of its mappings, shape [2, mappings]; infinite where one does not
            run.
        runs: how often each layer runs, shape [layers].
    """
    own = [int((delay * energy).argmin()) for delay, energy in costs]
    delay, energy = _sums(costs, own, runs)
    if not (np.isfinite(delay) and np.isfinite(energy)):
        return own
    chosen, least = own, delay * energy
    for rate in delay / energy * np.geomspace(0.02, 50, _RATES):
        numbers = [int((delays + rate * energies).argmin()) for delays, energies in costs]
        total_delay, total_energy = _sums(costs, numbers, runs)
        if total_delay * total_energy < least:
            chosen, least = numbers, total_delay * total_energy
    return chosen


def _sums(
    costs: Sequence[NDArray[np.float64]], numbers: Sequence[int], runs: NDArray[np.float64]
) -> tuple[float, float]:
    each = np.array([cost[:, number] for cost, number in zip(costs, numbers, strict=True)])
    delay, energy = runs @ each
    return float(delay), float(energy)
