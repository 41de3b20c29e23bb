"""Running a program: in a process group of its own, under limits, until all that it started is gone.

This is the only module that starts processes of other programs. What ends us ends them: see `armillary.tools.warden`.
A program that fails by itself has an answer, which the
caller judges. One that the machine ended (the out-of-memory killer, a crash) has none: that raises `AccidentError`.
"""

from __future__ import annotations

import errno
import os
import resource
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from armillary.tools.command import Command
from armillary.tools.kept import keep, kibibytes
from armillary.tools.warden import MARK, Warden, kill_group, kill_marked
from armillary.types import AccidentError, ArmillaryError

_LAST_WORDS = 400
_PULSE_S = 0.1  # how often a quiet program is looked after
_CHUNK_BYTES = 1 << 16
# What the machine refuses for the moment: processes, memory, open files, or a program that is just being written.
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY)
_LIMITED = 'unset PWD OLDPWD SHLVL; ulimit -v "$0" && exec "$@"'  # shells would add the three to the environment
_CRASHES = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


class StoppedError(Exception):
    """A run was stopped because the block that it was a part of is being left."""


@dataclass(frozen=True)
class Ended:
    """What came back from a program.

    Attributes:
        command: what ran.
        stdout: what it wrote, up to the limit.
        stderr: what it wrote on standard error, up to the limit.
        status: its exit status; None if a signal ended it.
        signal: which signal ended it; None if it ended by itself.
        seconds: how long it ran.
        hit_time_limit: it was stopped at the time limit.
        hit_output_limit: it was stopped at the output limit.
        kept: where the run is kept to be repeated by hand, as the end of an error's text; empty if it is not.
    """

    command: Command
    stdout: bytes
    stderr: bytes
    status: int | None
    signal: int | None
    seconds: float
    hit_time_limit: bool
    hit_output_limit: bool
    kept: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, within its limits and with status 0."""
        return not self.failure

    @property
    def text(self) -> str:
        """Its standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Its standard error as text."""
        return self.stderr.decode("utf-8", "replace")

    @property
    def last_words(self) -> str:
        """The end of what it said of an error."""
        return (self.error_text.strip() or self.text.strip())[-_LAST_WORDS:]

    @property
    def failure(self) -> str:
        """How it failed, empty if it did not."""
        if self.hit_time_limit:
            return f"took more than {self.command.time_limit_s:g} s"
        if self.hit_output_limit:
            return f"wrote more than {self.command.output_limit_bytes:,} bytes"
        if self.signal is not None:
            return f"ended by {_signal_name(self.signal)}"
        return f"exit status {self.status}: {self.last_words}" if self.status else ""


def run(command: Command, *, keep_failed: bool = False, accident_of: Callable[[Ended], str] | None = None) -> Ended:
    """Run a program to its end; then, or on any exception, all processes of its group are killed.

    Args:
        command: what to run.
        keep_failed: keep what is needed to repeat the run by hand, if it fails.
        accident_of: tells of a run with an exit status that in truth a signal ended a part of the program, and how;
            empty if not.

    Raises:
        AccidentError: if a signal ended the program that we did not send, or the machine could not start it now.
        ArmillaryError: if there is no such program or folder.
        StoppedError: if the block of `side_by_side` is left meanwhile.
    """
    started = time.perf_counter()
    stdout, stderr, code, limit = _carried_out(command)
    ended = Ended(
        command=command,
        stdout=stdout,
        stderr=stderr,
        status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        seconds=time.perf_counter() - started,
        hit_time_limit=limit == "time",
        hit_output_limit=limit == "output",
    )
    if ended.ok:
        return ended
    accident = ""
    if not limit:
        accident = ended.failure if ended.signal is not None else accident_of(ended) if accident_of else ""
    if keep_failed:
        ended = replace(ended, kept=_kept(command, accident or ended.failure))
    if accident:
        said = f": {ended.last_words}" if ended.last_words else ""
        raise AccidentError(f"{command.name}: {accident} after {ended.seconds:.1f} s{said}{ended.kept}")
    return ended


def end_all() -> None:
    """Kill every program that runs now, with its group: for a process that is about to be ended itself."""
    for group in list(_warden.groups):
        kill_group(group)


def shell_accident(ended: Ended) -> str:
    """Return which crash a shell script reports of a program that it ran, empty if none.

    Shells, and `docker run`, exit with 128 and the number of the signal that ended their program.
    """
    for number in _CRASHES:
        if ended.status == 128 + number:
            return f"exit status {ended.status}, which says that its program was {_ended_by(number)}"
    return ""


@contextmanager
def side_by_side(at_once: int) -> Iterator[ThreadPoolExecutor]:
    """Provide threads for running programs.

    If the block is left by an exception, Ctrl-C included, what these threads run is killed, and what they have not
    begun is dropped. Ctrl-C at the terminal does not reach the programs by itself: each is in a group of its own.
    """
    stop = _Stop(getattr(_of_thread, "stop", None))
    with ThreadPoolExecutor(at_once, initializer=_enter, initargs=(stop,)) as threads:
        try:
            yield threads
        except BaseException:
            stop.event.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


class _Stop:
    """Whether the block that a thread works for is being left, or the one that this block is in."""

    def __init__(self, outer: _Stop | None) -> None:
        self.event, self._outer = threading.Event(), outer

    def asked(self) -> bool:
        return self.event.is_set() or (self._outer is not None and self._outer.asked())


_of_thread = threading.local()
_warden = Warden()


def _enter(stop: _Stop) -> None:
    _of_thread.stop = stop


def _carried_out(command: Command) -> tuple[bytes, bytes, int, str]:
    """Return standard output and error, the return code as `subprocess` has it, and which limit was hit."""
    mark = _mark(command)
    with _started(command, mark) as process:
        _warden.add(process.pid)
        try:
            talk = _Talk(process, command)
            limit = talk.until_the_end()
        finally:
            kill_group(process.pid)  # which outlives its leader while another process is in it
            if command.foreign:
                kill_marked(mark)
            _warden.discard(process.pid)
    return bytes(talk.heard[0]), bytes(talk.heard[1]), process.returncode, limit


def _mark(command: Command) -> str:
    try:
        return _warden.mark()
    except OSError as fault:
        raise AccidentError(f"{command.name}: its warden cannot be started ({fault.strerror})") from fault


def _started(command: Command, mark: str) -> subprocess.Popen[bytes]:
    environment = {**command.whole_environment(), MARK: mark}
    _check(command, environment.get("PATH"))
    arguments = list(command.arguments)
    if command.memory_limit_bytes is not None:
        # A shell sets the limit: between fork and exec Python must not run while we have threads.
        limit = str(_memory_limit_kib(command.memory_limit_bytes))
        arguments = ["/bin/sh", "-c", _LIMITED, limit, *arguments]
    try:
        return subprocess.Popen(
            arguments,
            cwd=command.folder,
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            # A group, no session: Linux schedules sessions against each other (autogroups), and on a busy machine a
            # simulation of 3 ms took 14.
            process_group=0,
        )
    except OSError as fault:
        kind = AccidentError if fault.errno in _PASSING else ArmillaryError
        raise kind(f"{command.name}: cannot be started ({fault.strerror})") from fault


def _check(command: Command, path: str | None) -> None:
    """Refuse a folder or a program that is not there."""
    if command.folder is not None and not command.folder.is_dir():
        raise ArmillaryError(f"{command.name}: there is no folder {command.folder} to run in")
    program = command.arguments[0]
    if os.sep not in program:
        if shutil.which(program, path=path) is None:
            raise ArmillaryError(f"program {program!r} not found on the PATH ({path})")
        return
    file = (command.folder or Path()) / program
    if not file.is_file() or not os.access(file, os.X_OK):
        raise ArmillaryError(f"{file}: {'is not executable' if file.is_file() else 'there is no such program'}")


def _memory_limit_kib(limit_bytes: int) -> int:
    _, most = resource.getrlimit(resource.RLIMIT_AS)  # a limit that we run under ourselves cannot be raised
    return kibibytes(limit_bytes if most == resource.RLIM_INFINITY else min(limit_bytes, most))


@contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[int | None]:
    """Provide a descriptor that can be read once the program has ended; None where the system has none."""
    try:
        end = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one: the end is noticed a moment later
        yield None
        return
    try:
        yield end
    finally:
        os.close(end)


class _Talk:
    """What is written to a program and read from it, until it ends or a limit is hit."""

    def __init__(self, process: subprocess.Popen[bytes], command: Command) -> None:
        self.heard = (bytearray(), bytearray())
        self._process, self._command = process, command
        self._to_say = memoryview(command.stdin_bytes)
        self._room = command.output_limit_bytes
        self._stop: _Stop | None = getattr(_of_thread, "stop", None)
        self._deadline = time.perf_counter() + (command.time_limit_s or float("inf"))

    def until_the_end(self) -> str:
        """Return which limit was hit, `time` or `output`, empty if the program ended by itself."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector, _end_of(self._process) as end:
            if end is not None:
                selector.register(end, selectors.EVENT_READ)
            for pipe, buffer in zip((self._process.stdout, self._process.stderr), self.heard, strict=True):
                selector.register(pipe, selectors.EVENT_READ, buffer)
            if self._process.stdin is not None:
                os.set_blocking(self._process.stdin.fileno(), False)
                selector.register(self._process.stdin, selectors.EVENT_WRITE)
            while True:
                if self._stop is not None and self._stop.asked():
                    raise StoppedError(f"{self._command.name}: stopped")
                left = self._deadline - time.perf_counter()
                # Asked before looking at the pipes: what an ended program wrote is then in them.
                over = self._process.poll() is not None
                if over:
                    kill_group(self._process.pid)  # processes left behind would hold the pipes open
                elif left <= 0:
                    return "time"
                if not self._exchanged(selector, 0.0 if over else min(left, _PULSE_S)) and over:
                    return ""
                if self._room < 0:
                    return "output"

    def _exchanged(self, selector: selectors.BaseSelector, patience_s: float) -> bool:
        """Read and write what is possible now, or wait for it; return whether there was anything to read."""
        if not selector.get_map():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
            return False
        found = False
        for key, _ in selector.select(patience_s):
            if isinstance(key.fileobj, int):
                selector.unregister(key.fileobj)  # the program has ended
                continue
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if key.events == selectors.EVENT_WRITE:
                done = self._said(pipe)
            else:
                found, done = True, self._is_at_its_end(pipe, key.data)
            if done:
                selector.unregister(pipe)
                pipe.close()
        return found

    def _said(self, pipe: IO[bytes]) -> bool:
        """Write a piece; return whether that was the last, or the program wants no more."""
        with suppress(BlockingIOError):
            try:
                self._to_say = self._to_say[os.write(pipe.fileno(), self._to_say[:_CHUNK_BYTES]) :]
            except BrokenPipeError:
                return True
        return not self._to_say

    def _is_at_its_end(self, pipe: IO[bytes], buffer: bytearray) -> bool:
        """Read a piece, of which no more than there is room for is remembered; return whether there was none."""
        piece = os.read(pipe.fileno(), _CHUNK_BYTES)
        buffer += piece[: max(0, self._room)]
        self._room -= len(piece)
        return not piece


def _kept(command: Command, why: str) -> str:
    """Keep a run; return where, or why not, as the end of an error's text: the failure itself is what counts."""
    try:
        return f"; run it again by hand: {keep(command, why) / 'run.sh'}"
    except OSError as fault:
        return f"; the run could not be kept ({fault.strerror or fault})"


def _ended_by(number: int) -> str:
    return f"ended by {_signal_name(number)}"


def _signal_name(number: int) -> str:
    """Return a signal's name, and what usually sends it where that helps."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, as by a machine out of memory," if number == signal.SIGKILL else name
