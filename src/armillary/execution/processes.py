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
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from armillary.cores import available, sharing
from armillary.execution.jobs import Done, Ended, Job, Keep, Ready, accident
from armillary.execution.limits import Limits
from armillary.tools.process import end_all
from armillary.types import ArmillaryError, Cost, Failure

_LOOK_S = 1.0  # how often we look which jobs have begun
T = TypeVar("T")


@dataclass(frozen=True)
class _Accident:
    """The end of a job's process, whose next attempt may fare better."""

    how: str


class Cores:
    """The cores of this machine, as workers; one job alone without limits that need a process is done in this one."""

    elsewhere = False

    def takes(self, cost: Cost) -> bool:
        """Return whether evaluations of such a cost get processes of their own."""
        return cost is Cost.MINUTES

    def do(
        self,
        jobs: Iterable[Job[T] | Ready[T]],
        limits: Limits,
        keep: Keep[T] | None = None,  # noqa: ARG002 (this process writes the log as soon)
    ) -> Iterator[Done[T]]:
        """Yield the jobs as they finish, as many at once as there are cores; see `Workers.do`."""
        source, first = enumerate(jobs), list[tuple[int, Job[T]]]()
        for number, job in source:
            if isinstance(job, Ready):
                yield Done(number, job.found)
                continue
            first.append((number, job))
            if len(first) == max(2, available()):
                break
        if len(first) == 1 and not limits.needs_process:
            ((number, alone),) = first
            yield Done(number, alone.call(*alone.args))
        elif first:
            with _pool(min(available(), len(first)), limits) as pool:
                yield from _as_they_finish(pool, chain(first, source), len(first) + 1, limits)


def own_cores(address: str | None) -> Cores:
    """Return the cores of this machine.

    Raises:
        ArmillaryError: if the address of a cluster is given.
    """
    if address is not None:
        raise ArmillaryError(f"--ray-address {address!r} goes with --executor ray")
    return Cores()


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


def _as_they_finish(
    pool: _Pool, source: Iterator[tuple[int, Job[T] | Ready[T]]], most: int, limits: Limits
) -> Iterator[Done[T]]:
    """Yield jobs as they finish, with at most so many handed to the pool at once."""
    died: Counter[int] = Counter()
    begun: dict[Future[T], float] = {}
    running: dict[Future[T], tuple[int, Job[T]]] = {}
    while True:
        while len(running) < most and (pulled := next(source, None)) is not None:
            number, job = pulled
            if isinstance(job, Ready):
                yield Done(number, job.found)
            else:
                running[pool.start(job)] = number, job
        if not running:
            return
        done = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
        now = time.perf_counter()
        for future in running:
            if future.running():
                begun.setdefault(future, now)
        for future in done:
            number, job = running.pop(future)
            since, found = begun.pop(future, now), _outcome(future, limits)
            if isinstance(found, _Accident):
                died[number] += 1
                if died[number] <= limits.retries:
                    running[pool.start(job)] = number, job
                    continue
                found = Ended(accident(died[number], found.how), now - since)
            yield Done(number, found)


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
