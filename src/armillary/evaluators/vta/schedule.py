"""The cycles of a program by the schedule of its commands, without a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.evaluators.vta.kernel import BEATS, cycles_of
from armillary.evaluators.vta.simulation import DeadlockError, Dram
from armillary.hardware.rtl.vta.commands import Command, Gemm, Move
from armillary.hardware.templates.vta import Accelerator

_MODULES = ("load", "compute", "store")
_MOST_BURST = 256
"""Beats."""


@dataclass(frozen=True)
class Schedule:
    """What a program takes.

    Attributes:
        cycles: until its last command is done.
        multiplied: of these a tile is multiplied in.
        dram_bytes: that are read and written, commands among them.
        command_bytes: of these.
    """

    cycles: int
    multiplied: int
    dram_bytes: int
    command_bytes: int


def scheduled(accelerator: Accelerator, commands: Sequence[Command], memory: Dram) -> Schedule:
    """Return what the hardware takes for a program: to the cycle, as long as no more than 255 tokens of a kind wait.

    Raises:
        DeadlockError: if the program does not end.
    """
    bus, table = accelerator.bus_bytes, table_of(accelerator, commands)
    cycles, fetched = cycles_of(table, memory.latency, memory.pace(bus), bus)
    if cycles < 0:
        raise DeadlockError("deadlock: modules wait for tokens that no module will send")
    multiplied = sum(one.cycles for one in commands if isinstance(one, Gemm) and not one.clears)
    moved = int(table[:, BEATS].sum()) * bus
    return Schedule(int(cycles), multiplied, moved + int(fetched), int(fetched))


def table_of(accelerator: Accelerator, commands: Sequence[Command]) -> NDArray[np.int64]:
    """Return what the schedule needs of commands, shape [commands, 9]; see `kernel`."""
    bus = accelerator.bus_bytes
    beats = {name: int(size) // bus for name, size in accelerator.tile_bytes.items()} | {"uop": 1}
    rows = np.zeros((len(commands), 9), dtype=np.int64)
    for number, command in enumerate(commands):
        tokens = command.takes_previous, command.takes_next, command.sends_previous, command.sends_next
        if isinstance(command, Move):
            per_row = command.columns * beats[command.memory]
            work = 0, command.rows * per_row, command.rows * -(-per_row // _MOST_BURST), border_cycles(command)
        else:
            work = command.cycles, 0, 0, 0
        rows[number] = (_MODULES.index(command.module), *work, *tokens)
    return rows


def border_cycles(move: Move) -> int:
    """Return the cycles in which a load writes zeros: one a tile, and one for each gap between rows that has none."""
    if not (move.top or move.bottom or move.left or move.right):
        return 0
    gaps = (move.rows - 1) * max(1, move.left + move.right)
    return max(1, move.top * move.pitch + move.left) + gaps + max(1, move.right + move.bottom * move.pitch)
