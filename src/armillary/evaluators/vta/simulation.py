"""Programs on the simulated accelerator: its simulator, and one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.simulated import RunError, built, told
from armillary.hardware.rtl.vta.generator import TOP, sources
from armillary.hardware.templates.vta import Accelerator
from armillary.types import ArmillaryError

HARNESS = Path(__file__).parent / "harness.cpp"
MOST_CYCLES = 2_000_000_000
LEAST_LATENCY, MOST_LATENCY = 8, 10_000
Bytes = NDArray[np.uint8]
_MODULES = ("load", "compute", "store")
_HEAD = 6


class DeadlockError(RunError):
    """A program whose modules wait for tokens that nobody will send."""


@dataclass(frozen=True)
class Dram:
    """The memory behind the port.

    Attributes:
        latency: cycles from a request to its first beat, from 8 on.
        bytes_per_cycle: of reads and writes together, a power of two; at most those of a beat count.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    latency: int = 50
    bytes_per_cycle: int = 16

    def __post_init__(self) -> None:
        if not LEAST_LATENCY <= self.latency <= MOST_LATENCY:
            raise ArmillaryError(
                f"latency={self.latency} is not allowed; it must be {LEAST_LATENCY} to {MOST_LATENCY} cycles"
            )
        if self.bytes_per_cycle < 1 or self.bytes_per_cycle & (self.bytes_per_cycle - 1):
            raise ArmillaryError(f"bytes_per_cycle={self.bytes_per_cycle} is not allowed; it must be a power of two")

    def pace(self, bus_bytes: int) -> int:
        """Return the cycles from a beat to the next."""
        return max(1, bus_bytes // self.bytes_per_cycle)


@dataclass(frozen=True)
class Simulated:
    """What a run showed.

    Attributes:
        cycles: until the last command was done.
        multiplied: of these a tile was multiplied in.
        dram_bytes: that were read and written, commands among them.
        command_bytes: of these.
        dram: its content afterwards.
    """

    cycles: int
    multiplied: int
    dram_bytes: int
    command_bytes: int
    dram: Bytes


def simulator(accelerator: Accelerator) -> Path:
    """Return a simulator of an accelerator, built if it is not there yet; registers start with the values of a seed.

    Raises:
        ArmillaryError: if a tool is missing.
        BuildError: if a tool refuses.
        AccidentError: if a tool is killed.
    """
    defines = {"BUS": accelerator.bus_bytes}
    return built(sources(accelerator), TOP, HARNESS, defines)


def simulate(
    accelerator: Accelerator,
    dram: Bytes,
    program_address: int,
    memory: Dram,
    *,
    most_cycles: int = MOST_CYCLES,
    seed: int = 0,
    pauses: int = 0,
) -> Simulated:
    """Run the program that lies in DRAM.

    Args:
        accelerator: to simulate.
        dram: its content before, the program's words among them.
        program_address: of these.
        memory: its latency and bandwidth.
        most_cycles: after which the run has failed.
        seed: of what every register and memory holds at the start.
        pauses: seed of cycles in which the memory stands still, half of all; 0 for none.

    Raises:
        DeadlockError: names the modules that wait for tokens.
        RunError: if it does not end in time, or leaves the DRAM.
        BuildError, ArmillaryError, AccidentError: see `simulator`.
    """
    pace = memory.pace(accelerator.bus_bytes)
    head = np.array([len(dram), memory.latency, pace, most_cycles, program_address, pauses], dtype=np.int64)
    said = told(simulator(accelerator), head.tobytes() + dram.tobytes(), seed)
    raw = np.frombuffer(said, dtype=np.uint8)
    status, cycles, multiplied, moved, fetched, waits = raw[: 8 * _HEAD].view(np.int64).tolist()
    if status == 1:
        raise RunError(f"not done after {most_cycles} cycles")
    if status == 2:
        waiting = [name for bit, name in enumerate(_MODULES) if waits >> bit & 1]
        raise DeadlockError(f"deadlock in cycle {cycles}: {waiting} wait for tokens that no module will send")
    if status == 3:
        raise RunError(f"a burst left the {len(dram)} bytes of DRAM")
    beat = accelerator.bus_bytes
    return Simulated(cycles, multiplied, moved * beat, fetched * beat, raw[8 * _HEAD :])
