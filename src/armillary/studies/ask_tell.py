"""The loop of every search: ask an optimizer, have its candidates evaluated, tell it what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from armillary.execution.local import LocalExecutor
from armillary.problems.outcomes import Outcomes
from armillary.types import AsksCodes, Candidate, Evaluation, Evaluations, EvaluatorSpec, Optimizer
from armillary.workloads.layer import Workload

_BATCH = 256


@runtime_checkable
class PacesItself(Protocol):
    """The capability of an optimizer to say how many designs it is best asked for."""

    def asks_after(self, told: int) -> int:
        """Return how many designs are best asked at once after so many results."""
        ...


@runtime_checkable
class Recombines(Protocol):
    """The capability of an optimizer to put together designs and mappings of layers that ran on them."""

    def recombined(self) -> list[Candidate]:
        """Return candidates all of whose mapped layers were told, so that nothing is left to run."""
        ...


@dataclass(frozen=True)
class Budget:
    """When a search ends.

    Attributes:
        amount: what it may spend.
        spent_by: what a batch of outcomes costs; one each, if not given.
        most_asked: candidates after which it ends at the latest, if it spends too little on each.
        enough: a value that nothing is better than; met, the search ends.
    """

    amount: int
    spent_by: Callable[[NDArray[np.float64]], int] = len
    most_asked: float = np.inf
    enough: float = -np.inf


def by_codes(
    optimizer: AsksCodes,
    evaluate: Callable[[NDArray[np.int64]], Outcomes | Evaluations],
    budget: Budget,
    values_of: Callable[[Outcomes], NDArray[np.float64]],
    *,
    told: int = 0,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield every batch that a search evaluates: coded designs, shape [n, parameters], and their values, shape [n].

    Args:
        optimizer: is asked and told.
        evaluate: from coded designs to what became of them.
        budget: when to end.
        values_of: from outcomes to one number to minimise each.
        told: results that the optimizer was told before, which the budget does not count.
    """
    spent = asked = 0
    best = np.inf
    while spent < budget.amount and asked < budget.most_asked and best > budget.enough:
        codes = optimizer.ask_codes(min(_paced(optimizer, told + spent), budget.amount - spent))
        found = evaluate(codes)
        outcomes = found if isinstance(found, Outcomes) else Outcomes.of(found)
        optimizer.tell_codes(codes, outcomes)
        values = values_of(outcomes)
        spent += budget.spent_by(values)
        asked += len(codes)
        best = min(best, float(values.min(initial=np.inf)))
        yield codes, values


def by_candidates(
    optimizer: Optimizer, evaluate: Callable[[Sequence[Candidate]], Sequence[Evaluation]], amount: int
) -> Iterator[Sequence[Evaluation]]:
    """Yield every batch that a search evaluates, one candidate at a time unless the optimizer paces itself."""
    done = 0
    while done < amount:
        wanted = _paced(optimizer, done) if isinstance(optimizer, PacesItself) else 1
        candidates = optimizer.ask(min(wanted, amount - done))
        evaluations = evaluate(candidates)
        optimizer.tell(candidates, Outcomes.of_each(evaluations))
        done += len(candidates)
        yield evaluations


@runtime_checkable
class HeedsPending(Protocol):
    """The capability of an optimizer to heed, when it is asked, what is still being evaluated."""

    def heed(self, pending: Sequence[Candidate]) -> None:
        """Hear all candidates that were asked and not yet told, before the next ask."""
        ...


def as_workers_are_free(
    optimizer: Optimizer,
    run: Callable[[Iterable[Candidate]], Iterator[tuple[int, Evaluation]]],
    amount: int,
) -> Iterator[Evaluation]:
    """Yield evaluations as they finish, each told at once; a candidate is asked for when a worker is free for it.

    So no worker waits for the slowest of a batch. What finishes first is told first: the same seed may find another
    design with other workers.

    Args:
        optimizer: is asked for one candidate at a time. One that does not heed pending candidates asks none of them
            twice, but may ask for their neighbours.
        run: yields the number of each candidate with its evaluation as they finish, and takes candidates when it needs
            them; see `LocalExecutor.run_as_they_finish`.
        amount: candidates in all.
    """
    pending: dict[int, Candidate] = {}

    def asked() -> Iterator[Candidate]:
        for number in range(amount):
            if isinstance(optimizer, HeedsPending):
                optimizer.heed(list(pending.values()))
            (pending[number],) = optimizer.ask(1)
            yield pending[number]

    for number, evaluation in run(asked()):
        optimizer.tell([pending.pop(number)], Outcomes.of_each([evaluation]))
        yield evaluation


def evaluated_each(
    executor: LocalExecutor, spec: EvaluatorSpec, candidates: Sequence[Candidate], *, workload: Workload
) -> list[Evaluation]:
    """Return the evaluation of each candidate, layer by layer of those that bring mappings.

    Raises:
        ArmillaryError: see `LocalExecutor.run` and `run_by_layer`.
    """
    return [
        evaluation
        for one in candidates
        for evaluation in (executor.run if one.mappings is None else executor.run_by_layer)(spec, [one], workload)
    ]


def _paced(optimizer: object, told: int) -> int:
    return optimizer.asks_after(told) if isinstance(optimizer, PacesItself) else _BATCH
