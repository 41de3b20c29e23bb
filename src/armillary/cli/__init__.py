"""The command line: parses, calls studies and reports, prints. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import typer

# The order of these is the order of `armillary --help`.
from armillary.cli import (
    benchmarks,  # isort: split  # noqa: F401
    collecting,  # isort: split  # noqa: F401
    costs,  # isort: split  # noqa: F401
    doctor,  # isort: split  # noqa: F401
    inputs,  # isort: split  # noqa: F401
    logs,  # isort: split  # noqa: F401
    physical,  # isort: split  # noqa: F401
    predicting,  # isort: split  # noqa: F401
    problems,  # isort: split  # noqa: F401
    rtl,  # isort: split  # noqa: F401
    rtl_run,  # isort: split  # noqa: F401
    studies,  # isort: split  # noqa: F401
    workloads,  # isort: split  # noqa: F401
)
from armillary.cli.shared import app
from armillary.console import note, stop_for, stop_interrupted

__all__ = ["app", "main"]

INTERRUPTED = 130  # what shells give a process that Ctrl-C ended
_ENDING = (signal.SIGTERM, signal.SIGHUP)  # by a scheduler or `kill`, and by a terminal that closes


class _EndedError(BaseException):
    """A signal asked us to end; no `KeyboardInterrupt`, which Typer turns into an exit status of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main() -> NoReturn:
    """Run the command line; exit 0, 1 (the work failed), 2 (the request was wrong) or 128 and the ending signal."""
    _end_on_signals()
    try:
        # without its stand-alone mode, Typer returns the status of an Exit, 130 if interrupted
        status = app(prog_name="armillary", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except _EndedError as ended:
        _leave(128 + ended.number, f"ended by {ended}")
    except Exception as fault:
        stop_for(fault)
    if status == INTERRUPTED:
        _leave(INTERRUPTED, "interrupted")
    note(f"ends with status {status if isinstance(status, int) else 0}")
    sys.exit(status if isinstance(status, int) else 0)


def _leave(status: int, word: str) -> NoReturn:
    """Say that we were interrupted and end at once: taking the interpreter apart takes seconds on a busy machine.

    All that was begun has been ended on the way here, and what was found is on the disk.
    """
    try:
        stop_interrupted(status, word)
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _end_on_signals() -> None:
    """Have the signals that end a process interrupt it, so that it ends what it began and says what it kept."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has SIGHUP ignored
            signal.signal(number, _ended)


def _ended(number: int, _: FrameType | None) -> NoReturn:
    raise _EndedError(number)
