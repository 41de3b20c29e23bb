"""Runs `armillary` in a process that kills itself: OPERATION WHICH SIDE COUNTS ARGUMENTS...

The process sends itself SIGKILL at the WHICH-th operation of a kind, `before` it or `after` it; with OPERATION `none`
it runs to its end. It leaves in the file COUNTS how many operations of each kind there were.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

OPERATIONS = {
    "os.rename": "rename",
    "os.link": "link",
    "os.remove": "removal",
    "os.mkdir": "new folder",
    "subprocess.Popen": "program start",
    "os.posix_spawn": "program start",
}
"""Kinds of operations by Python's name for the audit event; files opened to be written are another."""
WRITING = "file opened to write"
ROWS_PER_FRAGMENT = 500
STEPS = 100


class Killer:
    """Counts the operations of this process, and ends it at one of them."""

    def __init__(self, operation: str, which: int, side: str) -> None:
        self.counts: Counter[str] = Counter()
        self._operation, self._which, self._side = operation, which, side
        self._due = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an audit event, which Python raises just before it does what the event says."""
        if self._due:
            self._due = False  # to kill is an event, too
            os.kill(os.getpid(), signal.SIGKILL)
        kind = WRITING if event == "open" and _writes(arguments[2]) else OPERATIONS.get(event)
        if kind is None:
            return
        self.counts[kind] += 1
        if kind == self._operation and self.counts[kind] == self._which:
            if self._side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            self._due = True  # the next event comes when the operation is done


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _in_small_steps(command: str) -> None:
    """Have many moments at which to die: fragments of few rows, and a short training."""
    from armillary.execution import local

    local.BATCH_ROWS = ROWS_PER_FRAGMENT
    if command == "design":
        from armillary.surrogates import hurdle

        hurdle._SETTING = {"steps": STEPS}


def main(operation: str, which: str, side: str, counts: str, *arguments: str) -> None:
    """Run a command; see the module."""
    _in_small_steps(arguments[0])
    from armillary.cli import main as command_line

    killer = Killer(operation, int(which), side)
    atexit.register(lambda: Path(counts).write_text(json.dumps(killer.counts), encoding="utf-8"))
    sys.addaudithook(killer)
    sys.argv = ["armillary", *arguments]
    command_line()


if __name__ == "__main__":
    main(*sys.argv[1:])
