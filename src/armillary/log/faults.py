"""The faults of one input file, gathered before any is raised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

SHOWN = 20
FIRST_ROW = 2  # as a spreadsheet counts: the header is row 1
_LINES = 5


def near_to(name: str, there: Sequence[str]) -> str:
    """Return what to say of the name that is nearest to one that is missing; nothing if none is near."""
    near = get_close_matches(name, there, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Faults:
    """Collects what is wrong with a file; a file with a million faults shows the first ones and the count.

    Attributes:
        source: the file.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._shown: list[str] = []
        self._count = 0

    def add(self, fault: str) -> None:
        """Note one fault: where, which field, which value, and what is allowed."""
        self._count += 1
        if len(self._shown) < SHOWN:
            self._shown.append(fault)

    def check(self) -> None:
        """Raise what was collected, if anything.

        Raises:
            ArmillaryError: one line per fault, headed by the source.
        """
        if not self._count:
            return
        more = [f"and {self._count - len(self._shown)} more"] if self._count > len(self._shown) else []
        lines = [*self._shown, *more]
        raise ArmillaryError(f"{self.source}: " + "; ".join(lines) if len(lines) == 1 else self._list(lines))

    def _list(self, lines: list[str]) -> str:
        return f"{self.source}: {self._count} faults\n  " + "\n  ".join(lines)


@dataclass
class KindsOfFaults:
    """What is wrong with the rows of a file, one line a kind.

    Attributes:
        rows: how many the file has.
        faulty: which rows have a fault, shape [rows].
        found: one line each.
    """

    rows: int
    faulty: NDArray[np.bool_] = field(init=False)
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faulty = np.zeros(self.rows, dtype=bool)

    def add(self, wrong: NDArray[np.bool_], what: str, allowed: str, example: Callable[[int], str]) -> None:
        """Note that rows have a fault of one kind, if any has.

        Args:
            wrong: which rows, shape [rows].
            what: is wrong with them.
            allowed: what would be right.
            example: from a row to what it holds.
        """
        rows = np.flatnonzero(wrong)
        if not rows.size:
            return
        self.faulty |= wrong
        where = f"line{'s' if rows.size > 1 else ''} {_listed_lines(rows)}"
        self.found.append(
            f"{what}: {rows.size:,} row{'s' if rows.size > 1 else ''}, {where}; e.g. {example(int(rows[0]))}; {allowed}"
        )


def _listed_lines(rows: NDArray[np.intp]) -> str:
    lines = ", ".join(str(row + FIRST_ROW) for row in rows[:_LINES].tolist())
    return lines if len(rows) <= _LINES else f"{lines} and {len(rows) - _LINES:,} more"
