"""Samplers: seeded streams of coded designs, shape [n, parameters]."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from armillary.spaces.space import Space
from armillary.types import ArmillaryError

MAX_SAMPLES = 2**30  # as long as scipy's Sobol sequence is


def check_sampler(name: str) -> None:
    """Check that there is a sampler of this name.

    Raises:
        ArmillaryError: if there is none; offers the nearest name.
    """
    if name not in SAMPLERS:
        close = difflib.get_close_matches(name, SAMPLERS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ArmillaryError(f"sampler {name!r} is unknown; {hint}choose one of {sorted(SAMPLERS)}")


def sample(space: Space, n: int, sampler: str, seed: int) -> NDArray[np.int64]:
    """Return n coded designs, shape [n, parameters].

    Args:
        space: the space to sample.
        n: number of designs.
        sampler: `random`, `lhs`, `sobol` or `halton`.
        seed: same seed, same designs.

    Raises:
        ArmillaryError: if the sampler is unknown, or n is not positive or too large.
    """
    check_sampler(sampler)
    if not 1 <= n <= MAX_SAMPLES:
        raise ArmillaryError(f"samples={n} is not allowed; it must be at least 1 and at most {MAX_SAMPLES}")
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
