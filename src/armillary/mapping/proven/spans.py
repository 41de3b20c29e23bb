"""Parts of a map-space by how far a level spreads a dimension over its instances."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from armillary.mapping.proven.rounds import Rounds, kept_options


def halves(rounds: Rounds, fanout: NDArray[np.float64]) -> list[Rounds]:
    """Return the splits in two parts, by the widest range of instances that a level may give a dimension.

    Args:
        rounds: the splits.
        fanout: of the levels, shape [L, 2].

    Returns:
        the parts that hold any mapping; none if no level leaves a choice.
    """
    least, most = _spans(rounds)
    ratio = most / least
    level, k = np.unravel_index(int(ratio.argmax()), ratio.shape)
    if ratio[level, k] <= 1:
        return []
    instances = _instances(rounds)
    own = np.zeros(len(instances), dtype=bool)
    own[_of(rounds, int(level), int(k))] = True
    cut = sqrt(least[level, k] * most[level, k])
    parts = [_fitting(kept_options(rounds, ~own | side), fanout) for side in (instances <= cut, instances > cut)]
    return [part for part in parts if _has_any(part)]


def _of(rounds: Rounds, level: int, k: int) -> slice:
    """Return where the options of a level and dimension stand."""
    first = rounds.options.first
    return slice(int(first[level, k, 0]), int(first[level, k, -1]))


def _instances(rounds: Rounds) -> NDArray[np.int64]:
    """Return how many instances each option gives its dimension, shape [n]."""
    return np.asarray(rounds.options.along_x * rounds.options.along_y)


def _spans(rounds: Rounds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the most instances that each level gives each dimension, shape [L, K] each."""
    levels, dims, _ = rounds.options.first.shape
    instances = _instances(rounds)
    least, most = np.ones((levels, dims)), np.ones((levels, dims))
    for level, k in np.ndindex(levels, dims):
        own = instances[_of(rounds, level, k)]
        if len(own):
            least[level, k], most[level, k] = own.min(), own.max()
    return least, most


def _fitting(rounds: Rounds, fanout: NDArray[np.float64]) -> Rounds:
    """Leave out the options that do not fit a mesh beside the least that every other dimension has there."""
    o = rounds.options
    kept = np.ones(len(o.inside), dtype=bool)
    levels, dims, _ = o.first.shape
    for level in range(levels):
        for along, room in ((o.along_x, fanout[level, 0]), (o.along_y, fanout[level, 1])):
            places = [_of(rounds, level, k) for k in range(dims)]
            least = [int(along[own].min(initial=int(room))) for own in places]
            for own, fewest in zip(places, least, strict=True):
                kept[own] &= along[own] * (np.prod(least) / fewest) <= room
    return rounds if kept.all() else _fitting(kept_options(rounds, kept), fanout)


def _has_any(rounds: Rounds) -> bool:
    """Return whether every dimension can be split at all."""
    first = rounds.options.first
    return bool((first[-1, :, 1] > first[-1, :, 0]).all())
