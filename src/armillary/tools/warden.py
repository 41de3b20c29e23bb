"""The warden: ends the programs of a process that ended without ending them, as by SIGKILL.

It is a small process beside ours, started with the first program. We tell it the groups of the programs that run; when
the pipe to it closes, because we ended however that was, it kills those groups. Programs may leave their group, and
what they start may. So each also carries a mark in its environment, `ARMILLARY_RUN`, by which it is found (on Linux)
wherever it went. A program that both leaves its group and empties its environment is not found.

This file is both the module and, run by itself, the warden: it imports nothing of ours.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import sys
import threading
import time
from contextlib import suppress

MARK = "ARMILLARY_RUN"
"""The variable by which programs, and what they start, are found."""

_ROUNDS, _ROUND_S = 100, 0.02  # how often what is being killed is looked for, and the pause between
_PROCESSES = "/proc"


class Warden:
    """The groups of programs that run now, told to a process that outlives ours.

    Attributes:
        groups: of the programs of all threads.
    """

    def __init__(self) -> None:
        self.groups: set[int] = set()
        self._lock = threading.Lock()
        self._runs = itertools.count()
        self._pipe: int | None = None
        self._process: int | None = None
        self._token = secrets.token_hex(8)
        os.register_at_fork(after_in_child=self._forget)

    def mark(self) -> str:
        """Return the mark of one more run; starts the warden if it does not run yet.

        Raises:
            OSError: if the machine cannot start it now.
        """
        with self._lock:
            if self._pipe is None:
                self._start()
            return f"{self._token}.{next(self._runs)}."

    def add(self, group: int) -> None:
        """Have a group of processes end with us."""
        with self._lock:
            self.groups.add(group)
            self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Forget a group, whose number may soon be another's."""
        with self._lock:
            self.groups.discard(group)
            self._tell(f"-{group}\n")

    def _start(self) -> None:
        theirs, ours = os.pipe()
        program = [sys.executable, "-I", "-S", __file__, self._token]
        try:
            # In a session of its own: what ends ours by its terminal or its group must not end the warden.
            self._process = os.posix_spawn(
                sys.executable,
                program,
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._pipe = ours

    def _tell(self, line: str) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, line.encode())
        except BrokenPipeError:  # somebody ended the warden; another takes its place
            os.close(self._pipe)
            self._pipe = None
            if self._process is not None:
                with suppress(ChildProcessError):
                    os.waitpid(self._process, 0)
            with suppress(OSError):
                self._start()
                assert self._pipe is not None
                os.write(self._pipe, "".join(f"+{group}\n" for group in self.groups).encode())

    def _forget(self) -> None:
        """In a fork of our process: what runs is not its own, and its end of the pipe must not outlive ours."""
        if self._pipe is not None:
            os.close(self._pipe)
        self.groups, self._lock = set(), threading.Lock()
        self._pipe, self._process, self._token = None, None, secrets.token_hex(8)


def kill_marked(mark: str) -> None:
    """Kill every process that carries a mark which begins so, until none is left; nothing where there is no `/proc`."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(_ROUNDS):
        if not sum(_killed_if_marked(number, wanted) for number in _numbers()):
            return
        time.sleep(_ROUND_S)


def kill_group(group: int) -> None:
    """Kill a group of processes, which may have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _numbers() -> list[int]:
    try:
        names = os.listdir(_PROCESSES)
    except OSError:
        return []
    return [int(name) for name in names if name.isdecimal() and int(name) != os.getpid()]


def _killed_if_marked(number: int, wanted: bytes) -> bool:
    try:
        process = os.pidfd_open(number)  # which cannot become another process meanwhile
    except (OSError, AttributeError):
        return False
    try:
        with open(f"{_PROCESSES}/{number}/environ", "rb") as file:
            found = any(entry.startswith(wanted) for entry in file.read().split(b"\0"))
        if found:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return found
    except OSError:  # it has ended, or is not ours
        return False
    finally:
        os.close(process)


def _watch(token: str) -> None:
    """Be the warden: until standard input closes, note which groups run; then end them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        kill_group(group)
    kill_marked(f"{token}.")


if __name__ == "__main__":
    _watch(sys.argv[1])
