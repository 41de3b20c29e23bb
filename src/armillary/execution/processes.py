"""Evaluations in processes of their own, which share the cores and can be ended.

Pebble's pool survives the death of a worker; a limit of time ends the worker of a job, the programs that it runs, and
nothing else.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from armillary.cores import available, sharing
from armillary.execution.limits import Limits
from armillary.tools.process import end_all
from armillary.types import Failure

_LOOK_S = 1.0  # how often we look which jobs have begun
T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A call in a process of its own.

    Attributes:
        call: a function that other processes can import.
        args: what it is called with, and what it returns, can be pickled.
    """

    call: Callable[..., T]
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Ended:
    """A job that was ended before it returned: why, and the seconds it took."""

    failure: Failure
    seconds: float


@dataclass(frozen=True)
class _Accident:
    """The end of a job's process, whose next attempt may fare better."""

    how: str


def in_processes(jobs: Sequence[Job[T]], limits: Limits) -> Iterator[tuple[int, T | Ended]]:
    """Yield the number of each job with what it returned, as they finish, as many at once as there are cores.

    Args:
        jobs: what to do.
        limits: of each. A job whose process died is done again, as often as the limits say.

    Raises:
        Exception: what a job raised.
    """
    if not jobs:
        return
    with _pool(min(available(), len(jobs)), limits) as pool:
        yield from _as_they_finish(pool, jobs, limits)


class _Pool:
    """Workers; new ones where all of them died together."""

    def __init__(self, workers: int, cores_each: int, limits: Limits) -> None:
        self._workers, self._limits = workers, limits
        self._arguments = cores_each, limits.memory_limit_bytes
        self._pool = self._made()

    def start(self, job: Job[T]) -> Future[T]:
        try:
            return self._scheduled(job)
        except RuntimeError:  # the pool is broken
            self.stop()
            self._pool = self._made()
            return self._scheduled(job)

    def _scheduled(self, job: Job[T]) -> Future[T]:
        future: Future[T] = self._pool.schedule(job.call, args=job.args, timeout=self._limits.time_limit_s)
        return future

    def stop(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def _made(self) -> ProcessPool:
        return ProcessPool(self._workers, context=get_context("spawn"), initializer=_begin, initargs=self._arguments)


@contextmanager
def _pool(workers: int, limits: Limits) -> Iterator[_Pool]:
    with sharing(workers) as cores_each:
        pool = _Pool(workers, cores_each, limits)
        try:
            yield pool
        finally:
            pool.stop()


def _as_they_finish(pool: _Pool, jobs: Sequence[Job[T]], limits: Limits) -> Iterator[tuple[int, T | Ended]]:
    died: Counter[int] = Counter()
    begun: dict[Future[T], float] = {}
    running = {pool.start(job): number for number, job in enumerate(jobs)}
    while running:
        done = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
        now = time.perf_counter()
        for future in running:
            if future.running():
                begun.setdefault(future, now)
        for future in done:
            number = running.pop(future)
            found = _outcome(future, limits)
            if isinstance(found, _Accident):
                died[number] += 1
                if died[number] <= limits.retries:
                    running[pool.start(jobs[number])] = number
                    continue
                failure = Failure("error", detail=f"accident, {died[number]} times: its process {found.how}")
                found = Ended(failure, now - begun.get(future, now))
            yield number, found


def _outcome(future: Future[T], limits: Limits) -> T | Ended | _Accident:
    """Return what became of a job."""
    try:
        return future.result()
    except TimeoutError:
        assert limits.time_limit_s is not None
        failure = Failure("timeout", detail=f"no result within {limits.time_limit_s:g} s")
        return Ended(failure, limits.time_limit_s)
    except ProcessExpired as fault:
        status = fault.exitcode
        return _Accident(f"was ended by signal {-status}" if status < 0 else f"ended with status {status}")
    except BrokenProcessPool:
        return _Accident("ended before it began")


def _begin(cores: int, memory_limit_bytes: int | None) -> None:
    """Prepare a worker: its share of the cores, its memory, and that nothing that it runs outlives it."""
    import torch

    torch.set_num_threads(cores)
    # The system's own way, which ends it within a long call of C, too; its warden then ends the programs that it runs.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    _end()


def _end() -> None:
    end_all()
    os._exit(1)
