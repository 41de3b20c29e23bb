"""Where peers are installed: in this Python, or in another one that an environment variable names."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from functools import cache

from armillary.tools.command import Command
from armillary.tools.process import run

_ASKED_FOR_S = 60.0


def interpreter(variable: str) -> str:
    """Return the Python that an environment variable names, ours if it is not set."""
    return os.environ.get(variable) or sys.executable


@cache
def version_in(python: str, distribution: str) -> str | None:
    """Return a distribution's version as a Python has it, None if it has not; kept for the process.

    Raises:
        ArmillaryError: if there is no such Python.
    """
    if python == sys.executable:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None
    asks = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    ended = run(Command((python, "-c", asks), time_limit_s=_ASKED_FOR_S))
    return ended.text.strip() if ended.ok else None
