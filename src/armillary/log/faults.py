"""The faults of one input file, gathered before any is raised."""

from __future__ import annotations

from armillary.types import ArmillaryError

SHOWN = 20


class Faults:
    """Collects what is wrong with a file; a file with a million faults shows the first ones and the count."""

    def __init__(self, source: str) -> None:
        self._source = source
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
        raise ArmillaryError(f"{self._source}: " + "; ".join(lines) if len(lines) == 1 else self._list(lines))

    def _list(self, lines: list[str]) -> str:
        return f"{self._source}: {self._count} faults\n  " + "\n  ".join(lines)
