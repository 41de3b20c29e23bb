"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with the name of a stage, the steps done and the steps in total."""


def silent(stage: str, done: int, total: int) -> None:
    """Take no note."""
