"""What the optimizers of coded spaces share: batches of codes, and never the same design twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from armillary.spaces.space import Space
from armillary.types import ArmillaryError, Design, Evaluation, Evaluations, Objective
from armillary.workloads.layer import Workload

Keep = Callable[[NDArray[np.int64]], NDArray[np.bool_]]

_FIRST_BATCH = 8
_TRIES = 30
_DRAWS, _DRAWN, _WHOLE, _SHRINK = 30, 2000, 5, 0.8
_ENUMERABLE = 1_000_000


@runtime_checkable
class AsksCodes(Protocol):
    """The capability of an optimizer to ask and be told in batches of codes, without objects per design."""

    def ask_codes(self, n: int) -> NDArray[np.int64]:
        """Return n designs as value indices, shape [n, parameters]."""
        ...

    def tell_batch(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take values to minimise, infinite for infeasible designs, shape [designs]."""
        ...


@runtime_checkable
class KnowsWorkload(Protocol):
    """The capability of an optimizer to use what is known of the network that it searches for."""

    def for_workload(self, workload: Workload) -> None:
        """Take the network, before the first design is asked."""
        ...


def objective_values(evaluations: Evaluations, objective: Objective) -> NDArray[np.float64]:
    """Return what to minimise, shape [rows]: infinite if infeasible, beyond a bound, or not a number."""
    evaluations = evaluations.with_derived([objective.metric, *objective.upper_bounds])
    if objective.metric not in evaluations.metrics:
        return np.full(len(evaluations), np.inf)  # a batch in which nothing was feasible has no metric
    values = evaluations.metrics[objective.metric]
    usable = evaluations.feasible & np.isfinite(values)
    for name, bound in objective.upper_bounds.items():
        if name not in evaluations.metrics:
            raise ArmillaryError(f"the evaluations have no metric {name!r}, which the objective bounds")
        usable &= evaluations.metrics[name] <= bound
    return np.where(usable, values, np.inf)


def keys(codes: NDArray[np.int64]) -> list[bytes]:
    """Return a hashable key per design; spaces may be too large to number their designs."""
    rows = np.ascontiguousarray(codes, dtype=np.uint16)
    return [row.tobytes() for row in rows]


class CodedOptimizer(ABC):
    """An optimizer that thinks in codes; a subclass proposes and learns.

    No design is asked that was asked or told before, until the space is exhausted.

    Attributes:
        space: the space searched.
        objective: what is minimised under which bounds.
        best_codes: the best feasible design told so far, shape [parameters], None before the first.
        best_value: its value, infinite before the first.
        batch: how many designs are best asked at once at most; see `asks_after`.
        within: a constraint that is known without evaluating, as a template's area is: codes to a mask. Designs
            outside are never asked. Set it before the first is.
    """

    batch = 256
    within: Keep | None = None

    def __init__(self, *, space: Space, objective: Objective, seed: int = 0) -> None:
        self.space = space
        self.objective = objective
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
        """Take results, infinite for infeasible designs."""

    def ask(self, n: int) -> list[Design]:
        """Return n designs to evaluate."""
        return self.space.designs(self.ask_codes(n))

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Take results of designs, whether asked here or not."""
        if evaluations:
            codes = self.space.encode([e.design for e in evaluations])
            self.tell_batch(codes, objective_values(Evaluations.from_list(evaluations), self.objective))

    def ask_codes(self, n: int) -> NDArray[np.int64]:
        """Return n designs as value indices, shape [n, parameters].

        Raises:
            ArmillaryError: if n is not positive, or no design is found that meets the constraint `within`.
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

    def tell_batch(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take values to minimise, infinite for infeasible designs, shape [designs]."""
        values = np.where(np.isnan(values), np.inf, values)
        self._met.update(keys(codes))
        if len(values) and values.min() < self.best_value:
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
        self._learn(codes, np.full(len(codes), np.inf))

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
        found = drawn_within(self.space, n, self.within, self._rng)
        if not len(found):
            raise ArmillaryError(
                f"no design of space {self.space.name} was found that meets the bounds known without evaluating; "
                "loosen them"
            )
        return found[np.arange(n) % len(found)]

    def _unmet(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which designs were never met and meet the constraint."""
        unmet = np.array([key not in self._met for key in keys(codes)], dtype=bool)
        return unmet if self.within is None else unmet & self.within(codes)


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
