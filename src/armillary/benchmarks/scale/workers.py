"""What an evaluation costs beside itself, in processes of this machine and on workers of Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armillary.benchmarks.scale.sleeping import SPACE, WORKLOAD, make, spec_of
from armillary.execution import workers_of
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.types import Candidate

TASK_S = 0.05


@dataclass(frozen=True)
class Measured:
    """One executor with so many workers.

    Attributes:
        executor: its name.
        workers: how many.
        efficiency: of the time of the workers, how much they evaluated, with evaluations of `TASK_S`; a first
            quarter, in which processes start, does not count.
        overhead_s: of an evaluation that takes no time, by a worker.
        driver_s: of the processor's time that the process that sends them spends on each, log included.
    """

    executor: str
    workers: int
    efficiency: float
    overhead_s: float
    driver_s: float


def measured(executor: str, workers: int, evaluations: int, folder: Path) -> Measured:
    """Return what so many evaluations show.

    Raises:
        ArmillaryError: if the executor's package is missing.
    """
    with _cores(workers):
        limits = Limits(workers=workers_of(executor), time_limit_s=None)
        slept, _ = _timed(limits, TASK_S, evaluations, folder / f"{executor}-{workers}-slept")
        idle, driver_s = _timed(limits, 0.0, evaluations, folder / f"{executor}-{workers}-idle")
        if executor == "ray":
            import ray

            ray.shutdown()
    return Measured(executor, workers, TASK_S / (workers * slept), workers * idle, driver_s)


def _timed(limits: Limits, sleep_s: float, evaluations: int, log: Path) -> tuple[float, float]:
    """Return the seconds of an evaluation, and those of this process's processor; a first quarter does not count."""
    executor = LocalExecutor(Log(log), limits=limits, make=make)
    designs = SPACE.designs(np.arange(evaluations)[:, None])
    finished = executor.run_as_they_finish(spec_of(sleep_s), map(Candidate, designs), WORKLOAD)
    for _ in range(evaluations // 4):  # in which processes start and import what they need
        next(finished)
    start, busy = time.perf_counter(), time.process_time()
    count = sum(1 for _ in finished)
    return (time.perf_counter() - start) / count, (time.process_time() - busy) / count


@contextmanager
def _cores(number: int) -> Iterator[None]:
    before = os.environ.get("ARMILLARY_CORES")
    os.environ["ARMILLARY_CORES"] = str(number)
    try:
        yield
    finally:
        if before is None:
            del os.environ["ARMILLARY_CORES"]
        else:
            os.environ["ARMILLARY_CORES"] = before
