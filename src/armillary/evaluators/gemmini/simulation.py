"""Running programs on simulated accelerators, one thread per simulation, as many at once as there are cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.cores import available
from armillary.hardware.dram import PACKED, DramCounters, DramTiming
from armillary.hardware.rtl.gemmini.commands import Words
from armillary.hardware.rtl.gemmini.generator import ELABORATED, MEMORIES, STRAPS
from armillary.hardware.templates.gemmini import Accelerator
from armillary.metrics import STALLS
from armillary.temporary import temporary_folder
from armillary.tools.command import Command
from armillary.tools.process import run, side_by_side
from armillary.types import ArmillaryError

if TYPE_CHECKING:
    from armillary.evaluators.gemmini.soc import Soc

Bytes = NDArray[np.uint8]
MOST_CYCLES = 2_000_000_000
MOST_RUN = 127
UNITS = ("load", "execute", "store")
_MAGIC = 0x4152544C31
_COUNTERS = 10
_DRAM_COUNTERS = len(fields(DramCounters))
_FIXED_POINT = 1024


class SimulationError(Exception):
    """A simulation that ended without a result: it left its memory, or the simulator refused."""


class TooLongError(SimulationError, TimeoutError):
    """A simulation that passed its bound of cycles."""


@dataclass(frozen=True)
class Event:
    """A command's way through its unit, `first` and `last` cycle."""

    unit: str
    first: int
    last: int


@dataclass(frozen=True)
class Simulated:
    """What a simulation measured.

    Attributes:
        cycles: from reset to the last beat written.
        busy: cycles in which a row entered the array.
        stalls: the other cycles by cause, see `STALLS`; with `busy` they sum to `cycles`.
        read_bytes: of tensors, over the bus, from DRAM.
        written_bytes: likewise to DRAM.
        command_bytes: of commands, from DRAM.
        elaborated: the hardware's parameters, as it tells them.
        dram_counters: commands of a DRAM with banks; zeros for one of a fixed latency.
        events: commands, if asked for.
        dram: its bytes afterwards, if asked for.
    """

    cycles: int
    busy: int
    stalls: dict[str, int]
    read_bytes: int
    written_bytes: int
    command_bytes: int
    elaborated: dict[str, int]
    dram_counters: DramCounters
    events: tuple[Event, ...]
    dram: Bytes


class Runs(Protocol):
    """What a simulation needs of a program."""

    @property
    def words(self) -> Words:
        """The commands, the end among them."""

    @property
    def address(self) -> int:
        """Where they lie in DRAM."""

    @property
    def dram_bytes(self) -> int:
        """What the program touches of it."""


@dataclass(frozen=True)
class Job:
    """A program for an accelerator.

    Attributes:
        accelerator: whose DRAM answers.
        program: what to run.
        dram: its first bytes; the rest is zero.
        most_cycles: after which the run has failed.
        wants_dram: give back the bytes of DRAM.
        wants_events: give back when commands ran.
        dram_model: channels, banks and rows, or a system on chip around the accelerator, with its latency; None for its
            latency and bandwidth.
        backpressure: 0 for none; else the seed of when DRAM keeps a channel of the port waiting.
        least_run: cycles from the first pixel of a run to that of the next, at least, up to 127: an array with
            instructions, whose runs are at most as many pixels as it has rows. 0 for the template's own array.
    """

    accelerator: Accelerator
    program: Runs
    dram: Bytes | None = None
    most_cycles: int = MOST_CYCLES
    wants_dram: bool = False
    wants_events: bool = False
    dram_model: DramTiming | Soc | None = None
    backpressure: int = 0
    least_run: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.least_run <= MOST_RUN:
            raise ArmillaryError(f"least_run={self.least_run} is not allowed; it must be 0 to {MOST_RUN}")


def simulate(simulator: Path, job: Job, *, trace: Path | None = None, seed: int | None = None) -> Simulated:
    """Run a job.

    Args:
        simulator: of the job's accelerator.
        job: what to run.
        trace: where the simulator writes what it traces, if it does.
        seed: of what every register and memory holds at the start, from 1 on, if the simulator was built for that.

    Raises:
        SimulationError: says what happened; if the simulator is of another accelerator, which parameter differs.
        AccidentError: if a signal ended the simulator.
    """
    with temporary_folder("rtl") as folder:
        path = folder / "job"
        _write(path, job)
        command = Command(
            (str(simulator.absolute()), path.name, *_random_start(seed)),
            folder=path.parent,
            inputs=(Path(path.name),),
            environment={"ARMILLARY_TRACE": str(trace.absolute())} if trace else {},
        )
        ended = run(command, keep_failed=True)
        if ended.status:
            raise SimulationError(f"the simulator ended with status {ended.status}: {ended.last_words}{ended.kept}")
        if not ended.ok:
            raise SimulationError(f"the simulator {ended.failure}{ended.kept}")
        return _read(path.with_name("job.out"), job)


def _random_start(seed: int | None) -> tuple[str, ...]:
    return () if seed is None else ("+verilator+rand+reset+2", f"+verilator+seed+{seed}")


def simulate_all(
    simulator_of: Callable[[Job], Path], jobs: Sequence[Job], on_done: Callable[[int], None] | None = None
) -> list[Simulated | Exception]:
    """Run jobs, as many at once as there are cores, and return their results or why there is none, in order.

    A job whose simulator a signal ended has an `AccidentError`.


    Args:
        simulator_of: builds or finds a job's simulator.
        jobs: what to run.
        on_done: is told after each how many are done.
    """
    results: list[Simulated | Exception | None] = [None] * len(jobs)

    def one(number: int) -> int:
        try:
            results[number] = simulate(simulator_of(jobs[number]), jobs[number])
        except Exception as fault:  # a failed candidate is data; who asked decides
            results[number] = fault
        return number

    with side_by_side(available()) as threads:
        for done, _ in enumerate(threads.map(one, range(len(jobs))), start=1):
            if on_done:
                on_done(done)
    return [result for result in results if result is not None]


def _write(path: Path, job: Job) -> None:
    program, accelerator = job.program, job.accelerator
    given = job.dram if job.dram is not None else np.zeros(0, dtype=np.uint8)
    head = [
        _MAGIC,
        len(program.words),
        program.address,
        program.dram_bytes,
        len(given),
        *(getattr(accelerator, name) for name in STRAPS),
        job.least_run,
        accelerator.dram_latency,
        min(accelerator.dram_bytes_per_cycle, accelerator.bus_bytes) * _FIXED_POINT,
        job.backpressure,
        job.most_cycles,
        int(job.wants_dram),
        int(job.wants_events),
    ]
    with path.open("wb") as file:
        file.write(np.array(head, dtype=np.int64).tobytes())
        file.write(
            (np.zeros(len(PACKED), dtype=np.int64) if job.dram_model is None else job.dram_model.packed()).tobytes()
        )
        file.write(program.words.tobytes())
        file.write(given.tobytes())


def _read(path: Path, job: Job) -> Simulated:
    raw = np.fromfile(path, dtype=np.uint8)
    head = 8 * (1 + _COUNTERS + len(ELABORATED) + _DRAM_COUNTERS + 1)
    numbers = raw[:head].view(np.int64).tolist()
    status, counters = numbers[0], numbers[1 : 1 + _COUNTERS]
    first = 1 + _COUNTERS + len(ELABORATED)
    elaborated = dict(zip(ELABORATED, numbers[1 + _COUNTERS : first], strict=True))
    for name, found in elaborated.items():
        asked = getattr(job.accelerator, name)
        if found < asked if name in MEMORIES else found != asked:
            raise SimulationError(f"the simulator was built with {name}={found}, the job is for {name}={asked}")
    if status == 1:
        raise TooLongError(f"not done after {job.most_cycles} cycles")
    if status == 2:
        raise SimulationError(f"a burst left the {job.program.dram_bytes} bytes of DRAM, or is none of AXI4")
    if status == 3:
        raise SimulationError("DRAM answered with an error")
    events = raw[head : head + 24 * numbers[-1]].view(np.int64).reshape(-1, 3)
    return Simulated(
        cycles=counters[0],
        busy=counters[1],
        stalls=dict(zip(STALLS, counters[2:7], strict=True)),
        read_bytes=counters[7],
        written_bytes=counters[8],
        command_bytes=counters[9],
        elaborated=elaborated,
        dram_counters=DramCounters.unpacked(numbers[first:-1]),
        events=_paired(events),
        dram=raw[head + events.nbytes :],
    )


def _paired(events: NDArray[np.int64]) -> tuple[Event, ...]:
    """Return commands of their starts and ends: each unit's go in order."""
    found = []
    for number, unit in enumerate(UNITS):
        own = events[events[:, 1] == number]
        starts, ends = (own[own[:, 2] == kind, 0].tolist() for kind in (0, 1))
        found += [Event(unit, first, last) for first, last in zip(starts, ends, strict=True)]
    return tuple(sorted(found, key=lambda event: event.first))
