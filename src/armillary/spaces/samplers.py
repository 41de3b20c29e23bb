"""Samplers: seeded streams of coded designs, shape [n, parameters]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from armillary.spaces.space import Space
from armillary.types import ArmillaryError


def sample(space: Space, n: int, sampler: str, seed: int) -> NDArray[np.int64]:
    """Return n coded designs, shape [n, parameters].

    Args:
        space: the space to sample.
        n: number of designs.
        sampler: `random`, `lhs`, `sobol` or `halton`.
        seed: same seed, same designs.

    Raises:
        ArmillaryError: if the sampler is unknown or n is not positive.
    """
    if sampler not in SAMPLERS:
        raise ArmillaryError(f"sampler {sampler!r} is unknown; choose one of {sorted(SAMPLERS)}")
    if n < 1:
        raise ArmillaryError(f"samples={n} is not allowed; it must be at least 1")
    unit = SAMPLERS[sampler](n, len(space.parameters), seed)
    cardinalities = np.array(space.cardinalities)
    return np.asarray(np.minimum(unit * cardinalities, cardinalities - 1), dtype=np.int64)


def _random(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, dimensions))


def _latin_hypercube(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return qmc.LatinHypercube(dimensions, rng=seed).random(n)


def _sobol(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    # scipy balances only powers of two: draw the next one and keep the first n
    return qmc.Sobol(dimensions, rng=seed).random_base2(max(n - 1, 0).bit_length())[:n]


def _halton(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return qmc.Halton(dimensions, rng=seed).random(n)


SAMPLERS: dict[str, Callable[[int, int, int], NDArray[np.float64]]] = {
    "random": _random,
    "lhs": _latin_hypercube,
    "sobol": _sobol,
    "halton": _halton,
}
