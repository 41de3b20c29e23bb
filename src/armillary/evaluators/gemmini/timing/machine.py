"""What the timing is given of an accelerator: the numbers that decide its cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.templates.gemmini import Accelerator

MOST_BURST_BEATS = 256
"""Of AXI4."""


class Machine(NamedTuple):
    """An accelerator.

    Attributes:
        holds_sums: 1 for output stationary, else 0.
        dim: rows and columns of the array.
        beats: of a row of bytes.
        beat_cycles: from one beat to the next that DRAM's bandwidth allows.
        fetch_beats: of a fetch of commands.
        scratchpad_rows: of `dim` bytes.
        accumulator_rows: of `dim` sums.
        scratchpad_banks: of one port each.
        burst_rows: most rows per request.
        outstanding: requests under way.
        queue_depth: commands per unit.
        latency: of DRAM, cycles.
    """

    holds_sums: int
    dim: int
    beats: int
    beat_cycles: float
    fetch_beats: int
    scratchpad_rows: int
    accumulator_rows: int
    scratchpad_banks: int
    burst_rows: int
    outstanding: int
    queue_depth: int
    latency: int


def machines_of(accelerators: Sequence[Accelerator]) -> NDArray[np.float64]:
    """Return accelerators as rows of the fields of `Machine`, shape [n, fields]."""
    return np.array([_machine(accelerator) for accelerator in accelerators], dtype=np.float64)


def _machine(accelerator: Accelerator) -> Machine:
    bus = accelerator.bus_bytes
    return Machine(
        holds_sums=int(accelerator.stationary == "O"),
        dim=accelerator.dim,
        beats=accelerator.pitch // bus,
        beat_cycles=bus / min(bus, accelerator.dram_bytes_per_cycle),
        fetch_beats=256 // bus,
        scratchpad_rows=accelerator.scratchpad_rows,
        accumulator_rows=accelerator.accumulator_rows,
        scratchpad_banks=accelerator.scratchpad_banks,
        burst_rows=accelerator.burst_rows,
        outstanding=accelerator.outstanding,
        queue_depth=accelerator.queue_depth,
        latency=accelerator.dram_latency,
    )
