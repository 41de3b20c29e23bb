"""What a benchmark returns: rows to print and checks to hold."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from armillary.atomic_file import replaced
from armillary.cores import available, one_thread

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARMILLARY_CORES")


@dataclass(frozen=True)
class Check:
    """One claim: the measured value, the goal in words, and whether it holds."""

    name: str
    value: float | str
    goal: str
    ok: bool


@dataclass(frozen=True)
class BenchResult:
    """The rows of a benchmark (each a mapping of column to value), its checks, and remarks below and above them."""

    rows: Sequence[Mapping[str, Any]]
    checks: Sequence[Check]
    notes: Sequence[str] = field(default_factory=tuple)
    preface: Sequence[str] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class BenchOptions:
    """What every benchmark may be told.

    `data` is the folder of reference rows, `out` where long benchmarks keep finished parts, `on_progress`
    receives (what, done, total), `device` is where PRIME's networks train and where all surrogates predict,
    `seeds` how many seeds PRIME's benchmarks and `ppa-dse` run, if others than their own, `applications` of which rows
    of PRIME's tables all targets are, if not all of them are run.
    """

    data: Path | None
    quick: bool
    seed: int
    out: Path
    on_progress: Callable[[str, int, int], None]
    device: str = "cpu"
    seeds: int | None = None
    applications: tuple[str, ...] = ()

    def counted(self, seeds: int) -> tuple[int, ...]:
        """Return the seeds of the runs: as many as asked, else one with `quick`, else as many as given."""
        return tuple(range(self.seed, self.seed + (self.seeds or (1 if self.quick else seeds))))

    def quiet(self) -> BenchOptions:
        """Return the same without progress, as other processes need them."""
        return replace(self, on_progress=_silent)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    with np.errstate(divide="ignore"):  # a method that found nothing legal
        return float(np.exp(np.mean(np.log(values))))


def write_csv(rows: Sequence[Mapping[str, Any]], options: BenchOptions) -> None:
    """Write the rows of a table to its folder."""
    with replaced(options.out / "table.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def in_processes(jobs: Mapping[Path, Callable[[], object]], on_done: Callable[[int, int], None]) -> None:
    """Do jobs that leave a file each, as many at once as there are cores, each on one thread.

    Args:
        jobs: by the file that they leave, picklable; those whose file is there are done. What they return is dropped.
        on_done: called with the jobs done and in total.

    Raises:
        Exception: what a job raised; jobs that were not begun are then left out.
    """
    missing = [job for path, job in jobs.items() if not path.exists()]
    before = len(jobs) - len(missing)
    on_done(before, len(jobs))
    if len(missing) < 2:
        with one_thread():
            for job in missing:
                job()
        on_done(len(jobs), len(jobs))
        return
    processes = min(available(), len(missing))
    with _one_thread_per_library(), ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
        try:
            for done, future in enumerate(as_completed([pool.submit(job) for job in missing]), start=before + 1):
                future.result()
                on_done(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _one_thread_per_library() -> Iterator[None]:
    """Let processes that are started within use one core each, and so the libraries that they load, now and later."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def machine() -> str:
    """Describe this machine in a line, with the cores of it that are used."""
    cores = available()
    system = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return f"{cores} core{'s' if cores > 1 else ''}, {system}"
