"""Evaluations in processes of their own, which share the cores and can be ended.

Pebble's pool survives the death of a worker; a limit of time ends the worker of an evaluation and nothing else.
"""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from multiprocessing import get_context

from pebble import ProcessExpired, ProcessPool

from armillary.cores import available, sharing
from armillary.evaluators.recording import record
from armillary.execution.limits import Limits
from armillary.execution.single import evaluated
from armillary.types import Candidate, Evaluation, Evaluator, EvaluatorSpec, Failure
from armillary.workloads.layer import Workload

Make = Callable[[EvaluatorSpec], Evaluator]


def in_processes(
    make: Make, spec: EvaluatorSpec, candidates: Sequence[Candidate], workload: Workload, limits: Limits
) -> Iterator[tuple[int, Evaluation]]:
    """Yield the number of each candidate with its evaluation, as they finish, as many at once as there are cores.

    Args:
        make: from a specification to its evaluator; a function that other processes can import.
        spec: the evaluator's.
        candidates: what to evaluate.
        workload: on what.
        limits: of each evaluation.

    Raises:
        ArmillaryError: if the request is wrong for every candidate.
    """
    workers = min(available(), len(candidates))
    with (
        sharing(workers) as cores_each,
        ProcessPool(
            workers,
            context=get_context("spawn"),
            initializer=_begin,
            initargs=(cores_each, limits.memory_limit_bytes),
        ) as pool,
    ):

        def start(candidate: Candidate) -> Future[Evaluation]:
            args = (make, spec, candidate, workload, limits.retries)
            future: Future[Evaluation] = pool.schedule(_one, args=args, timeout=limits.time_limit_s)
            return future

        try:
            yield from _as_they_finish(start, spec, candidates, workload, limits)
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def _as_they_finish(
    start: Callable[[Candidate], Future[Evaluation]],
    spec: EvaluatorSpec,
    candidates: Sequence[Candidate],
    workload: Workload,
    limits: Limits,
) -> Iterator[tuple[int, Evaluation]]:
    died = dict.fromkeys(range(len(candidates)), 0)
    begun = time.perf_counter()
    running = {start(candidate): number for number, candidate in enumerate(candidates)}
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number = running.pop(future)
            found = _outcome(future, limits)
            if found is None:
                died[number] += 1
                if died[number] <= limits.retries:
                    running[start(candidates[number])] = number
                    continue
                found = Failure("error", detail=f"accident, {died[number]} times: its process was ended")
            if isinstance(found, Failure):
                seconds = time.perf_counter() - begun
                found = record(spec, candidates[number], workload, {}, found, seconds=seconds)
            yield number, found


def _outcome(future: Future[Evaluation], limits: Limits) -> Evaluation | Failure | None:
    """Return what became of an evaluation; None if its process died."""
    try:
        return future.result()
    except TimeoutError:
        return Failure("timeout", detail=f"no result within {limits.time_limit_s:g} s")
    except ProcessExpired:
        return None


def _begin(cores: int, memory_limit_bytes: int | None) -> None:
    """Prepare a worker: its share of the cores, and its memory; ended, it ends the programs that it has started."""
    import torch

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    torch.set_num_threads(cores)
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))


_MADE: dict[str, Evaluator] = {}


def _one(make: Make, spec: EvaluatorSpec, candidate: Candidate, workload: Workload, retries: int) -> Evaluation:
    key = repr(spec)
    if key not in _MADE:
        _MADE[key] = make(spec)
    return evaluated(_MADE[key], candidate, workload, retries)
