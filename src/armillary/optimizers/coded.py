"""What the optimizers of coded spaces share: batches of codes, and never the same design twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary import optimizers
from armillary.problems.outcomes import Outcomes
from armillary.problems.pareto import MOST_OBJECTIVES
from armillary.problems.problem import Keep, Problem
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Candidate

_FIRST_BATCH = 8
_TRIES = 30
_DRAWS, _DRAWN, _WHOLE, _SHRINK = 30, 2000, 5, 0.8
_ENUMERABLE = 1_000_000


def keys(codes: NDArray[np.int64]) -> list[bytes]:
    """Return a hashable key per design; spaces may be too large to number their designs."""
    rows = np.ascontiguousarray(codes, dtype=np.uint16)
    return [row.tobytes() for row in rows]


class CodedOptimizer(ABC):
    """An optimizer that thinks in codes; a subclass proposes and learns.

    No design is asked that was asked or told before, until the space is exhausted, and none that the bounds exclude
    without evaluating it.

    Args:
        problem: with one objective, or up to four where the subclass takes several.
        seed: same seed and results, same designs.

    Attributes:
        problem: what is searched for.
        space: the space searched.
        best_codes: of one objective the best feasible design told so far, shape [parameters], None before the first.
        best_value: its value, infinite before the first.
        batch: how many designs are best asked at once at most; see `asks_after`.
        takes_several: whether the subclass takes several objectives.

    Raises:
        ArmillaryError: if the problem has more objectives than it takes.
    """

    batch = 256
    takes_several = False

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        _check_objectives(problem, self.takes_several)
        self.problem = problem
        self.space = problem.space
        self.within = problem.keep
        self.best_codes: NDArray[np.int64] | None = None
        self.best_value = float("inf")
        self._rng = np.random.default_rng(seed)
        self._met: set[bytes] = set()

    def asks_after(self, told: int) -> int:
        """Return how many designs are best asked at once after so many results: few at first, to learn sooner."""
        return min(self.batch, max(_FIRST_BATCH, told // _FIRST_BATCH))

    @abstractmethod
    def _propose(self, n: int) -> NDArray[np.int64]:
        """Return n designs that may repeat each other or old ones, shape [n, parameters]."""

    def _adopted(self, slots: NDArray[np.intp], codes: NDArray[np.int64]) -> None:  # noqa: B027
        """Hear which of the last proposals are asked: their positions in it, and their codes."""

    @abstractmethod
    def _learn(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take results, infinite for infeasible designs; their shape is that of `tell_values`."""

    def ask(self, n: int) -> list[Candidate]:
        """Return n candidates to evaluate, without mappings."""
        return [Candidate(design) for design in self.space.designs(self.ask_codes(n))]

    def tell(self, candidates: Sequence[Candidate], outcomes: Outcomes) -> None:
        """Take what became of candidates, whether asked here or not."""
        if candidates:
            self.tell_codes(self.space.encode([candidate.design for candidate in candidates]), outcomes)

    def avoid(self, codes: NDArray[np.int64]) -> None:
        """Ask none of these designs, shape [designs, parameters], whose results are still to come."""
        self._met.update(keys(codes))

    def tell_codes(self, codes: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Take what became of designs given as value indices, shape [designs, parameters]."""
        one = len(self.problem.objectives) == 1
        self.tell_values(codes, self.problem.values(outcomes) if one else self.problem.matrix(outcomes))

    def ask_codes(self, n: int) -> NDArray[np.int64]:
        """Return n designs as value indices, shape [n, parameters].

        Raises:
            ArmillaryError: if n is not positive, or no design is found that keeps to the bounds.
        """
        if n < 1:
            raise ArmillaryError(f"asked for {n} designs; ask for at least 1")
        found: list[NDArray[np.int64]] = []
        for _ in range(_TRIES):
            if not n or len(self._met) >= self.space.size:
                break
            proposed = self._propose(n)
            slots = self._fresh(proposed)
            slots = self._allowed(proposed, slots)
            if len(slots):
                self._adopted(slots, proposed[slots])
                found.append(proposed[slots])
                n -= len(slots)
        if n:
            found.append(self._remaining(n))
        return np.concatenate(found)

    def tell_values(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take values to minimise, infinite for infeasible designs.

        Their shape is [designs], or [designs, objectives] of several.
        """
        values = np.where(np.isnan(values), np.inf, values)
        self._met.update(keys(codes))
        if values.ndim == 1 and len(values) and values.min() < self.best_value:
            self.best_codes, self.best_value = codes[values.argmin()].copy(), float(values.min())
        self._learn(codes, values)

    def _allowed(self, codes: NDArray[np.int64], slots: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the positions of designs that meet the constraint; the others are rejected."""
        if self.within is None or not len(slots):
            return slots
        inside = self.within(codes[slots])
        if not inside.all():
            outside = slots[~inside]
            self._adopted(outside, codes[outside])
            self._reject(codes[outside])
        return slots[inside]

    def _reject(self, codes: NDArray[np.int64]) -> None:
        """Hear of proposals that the constraint excludes; they count as illegal, if not overridden."""
        several = () if len(self.problem.objectives) == 1 else (len(self.problem.objectives),)
        self._learn(codes, np.full((len(codes), *several), np.inf))

    def _fresh(self, codes: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the positions of designs never met, each once, and count them as met."""
        slots = []
        for i, key in enumerate(keys(codes)):
            if key not in self._met:
                self._met.add(key)
                slots.append(i)
        return np.array(slots, dtype=np.intp)

    def _remaining(self, n: int) -> NDArray[np.int64]:
        """Return n designs when proposals only repeat old ones: unmet ones, and repeats after the last."""
        parts = []
        if self.space.size <= _ENUMERABLE and len(self._met) < self.space.size:
            order = self._rng.permutation(self.space.size)
            every = self.space.at(order)
            parts.append(every[self._unmet(every)][:n])
            self._met.update(keys(parts[0]))
            n -= len(parts[0])
        parts.append(self._drawn(n))
        self._met.update(keys(parts[-1]))
        return np.concatenate(parts)

    def _drawn(self, n: int) -> NDArray[np.int64]:
        """Return n random designs that meet the constraint, shape [n, parameters]."""
        if self.within is None or not n:
            return random_codes(self.space, n, self._rng)
        listed = self.problem.candidates is not None
        found = self._listed() if listed else drawn_within(self.space, n, self.within, self._rng)
        if not len(found):
            raise ArmillaryError(
                f"no design of space {self.space.name} was found that meets the bounds known without evaluating; "
                "loosen them"
            )
        return found[np.arange(n) % len(found)]

    def _listed(self) -> NDArray[np.int64]:
        """Return the candidates of the problem that meet the constraint, in random order, unmet ones first."""
        assert self.problem.candidates is not None
        assert self.within is not None
        kept = self.problem.candidates[self.within(self.problem.candidates)]
        kept = kept[self._rng.permutation(len(kept))]
        return kept[np.argsort(~self._unmet(kept), kind="stable")]

    def _unmet(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which designs were never met and meet the constraint."""
        unmet = np.array([key not in self._met for key in keys(codes)], dtype=bool)
        return unmet if self.within is None else unmet & self.within(codes)


def _check_objectives(problem: Problem, several: bool) -> None:
    most = MOST_OBJECTIVES if several else 1
    if len(problem.objectives) > most:
        named = ", ".join(objective.metric for objective in problem.objectives)
        allowed = f"at most {most}" if several else f"one; choose one of {optimizers.for_several()}, which take several"
        raise ArmillaryError(f"the objectives {named} are several; this method takes {allowed}")


def drawn_within(space: Space, n: int, keep: Keep, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return random designs that meet a constraint, shape [at most n, parameters]: fewer where few were met."""
    found = np.empty((0, len(space.parameters)), dtype=np.int64)
    for attempt in range(_DRAWS):
        # where next to none meets it, the first values of all parameters do: they are the smallest
        most = np.maximum(np.ceil(np.array(space.cardinalities) * _SHRINK ** max(0, attempt - _WHOLE)), 1)
        drawn = rng.integers(0, most.astype(np.int64), size=(max(_DRAWN, n), len(most)))
        found = np.concatenate([found, drawn[keep(drawn)]])
        if len(found) >= n:
            break
    return found[:n]


def random_codes(space: Space, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return n random designs, each equally likely, shape [n, parameters]."""
    return rng.integers(0, space.cardinalities, size=(n, len(space.parameters)), dtype=np.int64)
