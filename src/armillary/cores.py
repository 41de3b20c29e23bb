"""The cores of the CPU: how many are ours, and threads that compute alone, for many small tensor operations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from armillary.types import ArmillaryError

if TYPE_CHECKING:
    import torch

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Range = tuple[int, int]
Share = Callable[[Callable[[int, int], None], Sequence[Range]], None]


def available() -> int:
    """Return how many cores this process may use: `$ARMILLARY_CORES`, or those that the scheduler lets it have.

    Whoever runs several processes side by side gives each its share with that variable.

    Raises:
        ArmillaryError: if the variable holds no number of cores.
    """
    text = os.environ.get("ARMILLARY_CORES")
    if text is None:
        # Containers and `taskset` give a process fewer cores than the machine has; macOS has no such thing.
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ArmillaryError(f"environment variable ARMILLARY_CORES={text!r} is not allowed; write a number from 1 up")
    return int(text)


@contextmanager
def workers(device: torch.device) -> Iterator[Share]:
    """Provide `share(work, ranges)`, which calls `work(first, last)` for every range.

    On a CPU the ranges are shared out among as many threads as torch would use, each of which
    computes alone: torch's own threads wait for each other after every one of many small products,
    and when another process takes a core for a moment, all of them spin. torch's number of threads
    is as before on exit. Modes such as `torch.no_grad` hold per thread: enter them in the work.
    """
    import torch

    if device.type != "cpu":
        yield _in_turn
        return
    with (
        one_thread() as threads,
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield lambda work, ranges: _shared(pool, work, ranges)


@contextmanager
def one_thread() -> Iterator[int]:
    """Have torch compute on the calling thread alone, for the same reasons; yields how many threads it would use."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@contextmanager
def sharing(processes: int) -> Iterator[int]:
    """Let processes that are started within share the cores: their libraries start no more threads than each gets.

    Yields how many cores each gets; they are told by `ARMILLARY_CORES`.
    """
    each = max(1, available() // processes)
    told = {name: str(each) for name in (*_THREADS, "ARMILLARY_CORES")}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield each
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ranges(total: int, size: int) -> list[Range]:
    """Return consecutive ranges of at most this size that cover 0..total-1."""
    return [(first, min(first + size, total)) for first in range(0, total, size)]


def _shared(pool: ThreadPoolExecutor, work: Callable[[int, int], None], ranges: Sequence[Range]) -> None:
    if len(ranges) == 1:
        work(*ranges[0])
    else:
        list(pool.map(work, *zip(*ranges, strict=True)))


def _in_turn(work: Callable[[int, int], None], ranges: Sequence[Range]) -> None:
    for first, last in ranges:
        work(first, last)
