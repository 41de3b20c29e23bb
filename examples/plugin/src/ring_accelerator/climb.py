"""An optimizer: changes one parameter of the best design so far, and draws anew now and then."""

from collections.abc import Sequence

import numpy as np

from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.types import Candidate, Design

_TRIES, _SURPRISE = 200, 0.2


class Climb:
    """Hill climbing with restarts, for spaces small enough to be counted through.

    No design is asked twice while there are others.

    Args:
        problem: with one objective.
        seed: same seed and outcomes, same designs.
    """

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        self._problem, self._rng = problem, np.random.default_rng(seed)
        self._met: set[Design] = set()
        self._best, self._best_value = None, np.inf

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates to evaluate."""
        designs = [self._next() for _ in range(n)]
        return [Candidate(design) for design in designs]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Learn what became of candidates, asked here or not, failed ones included."""
        for candidate, value in zip(candidates, self._problem.values(outcomes), strict=True):
            self._met.add(candidate.design)
            if value < self._best_value:
                self._best, self._best_value = self._problem.space.encode([candidate.design])[0], value

    def _next(self) -> Design:
        space = self._problem.space
        for _ in range(_TRIES):
            code = self._rng.integers(0, space.cardinalities)
            if self._best is not None and self._rng.random() > _SURPRISE:
                other, changed = code, self._rng.integers(len(code))
                code = self._best.copy()
                code[changed] = other[changed]
            design = self._unmet(code[None])
            if design is not None:
                return design
        for first in self._rng.permutation(range(0, space.size, _TRIES)):  # what chance has left over
            design = self._unmet(space.at(np.arange(first, min(first + _TRIES, space.size))))
            if design is not None:
                return design
        return space.design(self._rng.integers(0, space.cardinalities))

    def _unmet(self, codes: np.ndarray) -> Design | None:
        """Return the first of some designs that was never asked and keeps to the bounds that laws tell."""
        if self._problem.keep is not None:
            codes = codes[self._problem.keep(codes)]
        for design in self._problem.space.designs(codes):
            if design not in self._met:
                self._met.add(design)
                return design
        return None
