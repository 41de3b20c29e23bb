"""Samplers: seeded streams of coded designs, shape [n, parameters]."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np
import scipy  # whose parts load when they are used, statistics slowly
from numpy.typing import NDArray

from armillary.spaces.space import Space
from armillary.types import ArmillaryError

MAX_SAMPLES = 2**30  # as long as scipy's Sobol sequence is
MAX_DRAWN = 2**20  # for designs that exist
_DRAWS = 16  # for each design of a small space, of which a sampler misses some for long


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


def sample_existing(
    space: Space, n: int, sampler: str, seed: int, exists: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None
) -> NDArray[np.int64]:
    """Return the first n different designs of a sampler that exist, coded, shape [n, parameters].

    Args:
        space: the space to sample.
        n: number of designs.
        sampler: see `sample`.
        seed: same seed, same designs.
        exists: which coded designs there can be, shape [designs]; all, if not given.

    Raises:
        ArmillaryError: see `sample`; or if the sampler finds fewer.
    """
    asked = n
    while True:
        drawn = sample(space, asked, sampler, seed)
        found = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
        found = found if exists is None else found[exists(found)]
        if len(found) >= n:
            return found[:n]
        if asked >= min(_DRAWS * max(n, space.size), MAX_DRAWN):
            raise ArmillaryError(
                f"{n} different designs are not to be had: among {asked:,} of {sampler!r} are {len(found)} of the "
                f"{space.size:,} in {space.name} that can be built; ask for fewer, or leave more open"
            )
        asked *= 2


def _random(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, dimensions))


def _latin_hypercube(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return scipy.stats.qmc.LatinHypercube(dimensions, rng=seed).random(n)


def _sobol(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    # scipy balances only powers of two: draw the next one and keep the first n
    return scipy.stats.qmc.Sobol(dimensions, rng=seed).random_base2(max(n - 1, 0).bit_length())[:n]


def _halton(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    return scipy.stats.qmc.Halton(dimensions, rng=seed).random(n)


SAMPLERS: dict[str, Callable[[int, int, int], NDArray[np.float64]]] = {
    "random": _random,
    "lhs": _latin_hypercube,
    "sobol": _sobol,
    "halton": _halton,
}
