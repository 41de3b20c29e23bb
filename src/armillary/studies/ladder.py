"""Climbing: a search that asks cheaper answers first, and pays for the seconds of CPU that each took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from armillary.problems.outcomes import Outcomes
from armillary.problems.rung import Rung, Work
from armillary.types import Evaluations

_OF_STEP = "_cpu_s"

Answer = Callable[[Rung | None, NDArray[np.int64]], Evaluations]
"""From a rung, None for whole evaluations, and coded designs, shape [designs, parameters], to their rows in order."""


@runtime_checkable
class Climbs(Protocol):
    """The capability of an optimizer to say how far up a ladder of fidelities each design goes."""

    @property
    def rungs(self) -> Sequence[Rung]:
        """The rungs below whole evaluations, the cheapest first; numbered from 0, with whole evaluations the last."""
        ...

    def ask_rung(self, left_s: float) -> tuple[NDArray[np.int64], int]:
        """Return coded designs, shape [designs, parameters], and the number of their rung; so many seconds are left."""
        ...

    def tell_rung(self, codes: NDArray[np.int64], number: int, outcomes: Outcomes, work: Work) -> None:
        """Take what became of coded designs on a rung, and what it took."""
        ...


@dataclass
class Ledger:
    """Seconds of CPU that evaluations took, each step of them paid for once.

    Rows tell the seconds of steps as metrics, `NAME_cpu_s`. A step that was kept tells those of the run that made it,
    so that the same name and seconds are the same step. Rows without such metrics are paid by the clock on the wall.

    Attributes:
        spent_s: so far.
    """

    spent_s: float = 0.0
    _paid: set[tuple[str, float]] = field(default_factory=set)
    _of_whole: set[str] = field(default_factory=set)

    def pay(self, rows: Evaluations, rung: Rung | None) -> NDArray[np.float64]:
        """Return what was spent after each row, shape [rows]."""
        after = []
        for row, seconds in zip(self._steps(rows), rows.seconds.tolist(), strict=True):
            if rung is None:
                self._of_whole.update(row)
            self.spent_s += sum(value for step, value in row.items() if (step, value) not in self._paid)
            self.spent_s += 0.0 if row else seconds
            self._paid.update(row.items())
            after.append(self.spent_s)
        return np.array(after)

    def work(self, rows: Evaluations) -> Work:
        """Return what rows took in all, and of that what whole evaluations do, too, which is not done again."""
        steps = self._steps(rows)
        every = [sum(row.values()) if row else seconds for row, seconds in zip(steps, rows.seconds, strict=True)]
        kept = [sum(value for step, value in row.items() if step in self._of_whole) for row in steps]
        return Work(np.array(every, dtype=float), np.array(kept, dtype=float))

    @staticmethod
    def _steps(rows: Evaluations) -> list[dict[str, float]]:
        """Return the seconds of each row's steps by name."""
        columns: Mapping[str, NDArray[np.float64]] = {
            name: column for name, column in rows.metrics.items() if name.endswith(_OF_STEP)
        }
        return [
            {name: float(column[place]) for name, column in columns.items() if not np.isnan(column[place])}
            for place in range(len(rows))
        ]


@dataclass(frozen=True)
class Climb:
    """A step of a search: designs on a rung.

    Attributes:
        rung: None for whole evaluations.
        codes: the designs, shape [designs, parameters].
        rows: what became of them.
        spent: in whole evaluations, after each of them, shape [designs]; NaN until it is known what one takes.
    """

    rung: Rung | None
    codes: NDArray[np.int64]
    rows: Evaluations
    spent: NDArray[np.float64]


def climbing(
    optimizer: Climbs, answer: Answer, amount: float, *, ledger: Ledger | None = None, whole_s: float | None = None
) -> Iterator[Climb]:
    """Yield the steps of a search until as much is spent as so many whole evaluations take.

    Args:
        optimizer: is asked and told.
        answer: evaluates.
        amount: whole evaluations, whose seconds are spent.
        ledger: of what was spent before, if anything was.
        whole_s: seconds of a whole evaluation; if not given, the mean of the feasible of the first that are asked for.
    """
    ledger = ledger or Ledger()
    while whole_s is None or ledger.spent_s < amount * whole_s:
        left_s = np.inf if whole_s is None else amount * whole_s - ledger.spent_s
        codes, number = optimizer.ask_rung(left_s)
        rung = optimizer.rungs[number] if number < len(optimizer.rungs) else None
        rows = answer(rung, codes)
        spent = ledger.pay(rows, rung)
        if whole_s is None and rung is None:
            whole_s = mean_s(rows, ledger)
        optimizer.tell_rung(codes, number, Outcomes.of(rows), ledger.work(rows))
        yield Climb(rung, codes, rows, spent / (np.nan if whole_s is None else whole_s))


def mean_s(rows: Evaluations, ledger: Ledger) -> float:
    """Return the mean seconds of whole evaluations, of the feasible ones where there are any."""
    taken = ledger.work(rows).all_s
    return max(float(taken[rows.feasible if rows.feasible.any() else slice(None)].mean()), np.finfo(float).tiny)
