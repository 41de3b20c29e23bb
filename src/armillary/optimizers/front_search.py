"""The front of a cheap score, such as a surrogate of each metric: a vectorised NSGA-II, then changes of one parameter.

Source: Deb et al., IEEE Transactions on Evolutionary Computation 2002: survivors by non-dominated sorting, then by
    crowding. The children are those of `armillary.optimizers.genetic`; the last changes of one parameter are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.optimizers.coded import drawn_within, random_codes
from armillary.optimizers.genetic import children
from armillary.optimizers.surrogate_search import distinct, keys, neighbours
from armillary.problems.pareto import crowding, depth, logarithms
from armillary.problems.problem import Keep
from armillary.spaces.space import Space
from armillary.types import ArmillaryError

Scores = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""What to minimise: codes [designs, parameters] to values [designs, objectives]; infinite counts as infeasible."""
_FEWEST = 128
_REFINED_AT_ONCE = 20_000


def front_designs(
    scores: Scores,
    space: Space,
    *,
    n: int = 256,
    seed: int = 0,
    keep: Keep | None = None,
    generations: int = 60,
    refine_rounds: int = 3,
) -> NDArray[np.int64]:
    """Return the designs of the first fronts that were seen, the first front first, shape [at most n, parameters].

    Of a front that has more than there is room for, the most spread out come first.

    Args:
        scores: of designs.
        space: the space to search.
        n: how many designs.
        seed: same seed and scores, same designs.
        keep: a constraint known exactly: codes to a mask; designs outside are never scored.
        generations: of as many children as there are survivors.
        refine_rounds: at most so many rounds in which every change of one parameter of the survivors is scored.

    Raises:
        ArmillaryError: if no design passes `keep`, or none of those that were tried has finite scores.
    """
    rng = np.random.default_rng(seed)
    size = max(_FEWEST, 2 * n)
    drawn = random_codes(space, size, rng) if keep is None else drawn_within(space, size, keep, rng)
    if not len(drawn):
        raise ArmillaryError(f"no design that was tried in space {space.name} passes the constraint; loosen the bound")
    kept = _Survivors(scores, keep, size, drawn[:0], np.empty((0, 1))).joined_by(drawn)
    for _ in range(generations):
        kept = kept.joined_by(children(space, kept.codes, size, rng, mutation=1.5))
    for _ in range(refine_rounds):
        near = neighbours(space, kept.codes[:n])
        after = kept.joined_by(near[rng.permutation(len(near))[:_REFINED_AT_ONCE]])
        if np.array_equal(after.codes, kept.codes):
            break
        kept = after
    finite = np.isfinite(kept.values).all(axis=1)
    if not finite.any():
        raise ArmillaryError(f"none of the designs of space {space.name} that were tried is expected to be feasible")
    return kept.codes[finite][:n]


def ranked(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the positions of rows, shape [rows], those of the first front first, within a front the least crowded."""
    levels = depth(values)
    seen, apart = logarithms(values), np.zeros(len(values))
    for level in np.unique(levels):
        rows = np.flatnonzero((levels == level) & np.isfinite(values).all(axis=1))
        apart[rows] = crowding(seen[rows])
    return np.lexsort([-apart, levels, ~np.isfinite(values).all(axis=1)])


@dataclass(frozen=True)
class _Survivors:
    """The best designs so far and their scores, the best first, at most `size` of them."""

    scores: Scores
    keep: Keep | None
    size: int
    codes: NDArray[np.int64]
    values: NDArray[np.float64]

    def joined_by(self, codes: NDArray[np.int64]) -> _Survivors:
        """Return the survivors when other designs join them."""
        fresh = distinct(codes)
        fresh = fresh[~np.isin(keys(fresh), keys(self.codes))]
        fresh = fresh if self.keep is None or not len(fresh) else fresh[self.keep(fresh)]
        if not len(fresh):
            return self
        every = np.concatenate([self.codes, fresh])
        found = self.scores(fresh)
        values = np.concatenate([self.values.reshape(-1, found.shape[1]), np.where(np.isnan(found), np.inf, found)])
        best = ranked(values)[: self.size]
        return replace(self, codes=every[best], values=values[best])
