"""A cluster that is too large for this machine, event by event, with what was measured of one evaluation.

One process sends evaluations and takes results, one after the other; a few evaluations wait at the workers, so that a
worker that is free begins at once. So workers idle as soon as that process is busy all the time.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

_ROUNDS = 30  # evaluations of each worker; the first third fills the cluster and does not count
_SPREAD = 0.5  # of the logarithm of an evaluation's time: some take twice as long as others


@dataclass(frozen=True)
class Cost:
    """What was measured of one evaluation, in seconds: of the sender's processor, and of the way there and back."""

    driver_s: float
    way_s: float


def efficiency(workers: int, task_s: float, cost: Cost, seed: int = 0) -> float:
    """Return of the time of so many workers, how much they evaluate.

    Args:
        workers: how many.
        task_s: mean time of an evaluation; single ones vary by a log-normal law.
        cost: of each.
        seed: of the times.
    """
    total = workers * _ROUNDS
    times = np.random.default_rng(seed).lognormal(np.log(task_s) - _SPREAD**2 / 2, _SPREAD, total)
    sent = iter(times.tolist())
    ends: list[tuple[float, float]] = []  # of evaluations: when, and how long they took
    driver, waiting, idle = 0.0, list[float](), 0
    for _ in range(workers):  # the first ones are sent one by one
        driver += cost.driver_s
        heapq.heappush(ends, _run(next(sent), driver + cost.way_s / 2))
    waiting += [next(sent) for _ in range(max(1, workers // 8))]
    finished, busy, from_ = 0, 0.0, 0.0
    arrivals: list[float] = []
    while ends or arrivals:
        if arrivals and (not ends or arrivals[0] <= ends[0][0]):
            now = heapq.heappop(arrivals)
            waiting.append(next(sent, -1.0))
            if waiting[-1] < 0:
                waiting.pop()
            if idle and waiting:
                idle -= 1
                heapq.heappush(ends, _run(waiting.pop(0), now))
            continue
        now, took = heapq.heappop(ends)
        finished += 1
        if finished == total // 3:
            from_, busy = now, 0.0
        if finished == total - workers:
            return busy / (workers * (now - from_))
        busy += took
        if waiting:
            heapq.heappush(ends, _run(waiting.pop(0), now))
        else:
            idle += 1
        driver = max(driver, now + cost.way_s / 2) + cost.driver_s
        heapq.heappush(arrivals, driver + cost.way_s / 2)
    raise AssertionError("the last round ends before all have finished")


def _run(took: float, now: float) -> tuple[float, float]:
    return now + took, took


def shortest(workers: int, least: float, cost: Cost) -> float:
    """Return the mean time of evaluations, in seconds, below which so many workers are less efficient than `least`."""
    low, high = 1e-4, 1e4
    while high > 1.02 * low:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if efficiency(workers, middle, cost) >= least else (middle, high)
    return high
