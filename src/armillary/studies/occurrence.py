"""How often what a proposal combines occurs in a log: where no rule says which designs exist, this hints at it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Space

_MOST_WORK = 1_000_000_000  # rows times combinations: some ten seconds


def fewest(space: Space, logged: NDArray[np.int64], proposed: NDArray[np.int64], size: int) -> NDArray[np.int64] | None:
    """Return, for each proposal, how many logged rows share its rarest combination of so many parameters' values.

    A proposal with 0 combines values that nobody has tried together.

    Args:
        space: of the designs.
        logged: coded designs of the log, shape [rows, parameters].
        proposed: coded proposals, shape [proposals, parameters].
        size: parameters of a combination: 2 for pairs, 3 for triples.

    Returns:
        Counts, shape [proposals]; None where there are fewer parameters, or so many combinations that it would take
        minutes.
    """
    sets = list(combinations(range(len(space.parameters)), size))
    if not sets or len(sets) * (len(logged) + len(proposed)) > _MOST_WORK:
        return None
    least = np.full(len(proposed), len(logged), dtype=np.int64)
    for columns in sets:
        least = np.minimum(least, _shared(space, logged, proposed, columns))
    return least


def _shared(
    space: Space, logged: NDArray[np.int64], proposed: NDArray[np.int64], columns: Sequence[int]
) -> NDArray[np.int64]:
    """Return how many logged rows have a proposal's values of these parameters, shape [proposals]."""
    sizes = [space.cardinalities[column] for column in columns]
    there, asked = (np.ravel_multi_index(tuple(codes[:, list(columns)].T), sizes) for codes in (logged, proposed))
    values, counts = np.unique(there, return_counts=True)
    places = np.searchsorted(values, asked).clip(0, len(values) - 1)
    return np.where(values[places] == asked, counts[places], 0)
