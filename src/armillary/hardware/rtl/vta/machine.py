"""What a program computes: its commands one after another on buffers of integers, as the hardware must.

The order of the program is one that its tokens allow, so that a program whose tokens keep its modules apart where they
must be gives the same on the hardware, in whatever order that runs the commands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.vta.commands import Alu, Command, Gemm, Move, Steps
from armillary.hardware.rtl.vta.numbers import packed, unpacked, wrapped
from armillary.hardware.templates.vta import UOP_BYTES, Accelerator

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_FIELDS = (0, 11, 22, 32)
"""Where the fields of a micro-operation begin, and the last ends."""


class Machine:
    """The buffers of an accelerator, all zeros at first, and DRAM.

    Args:
        accelerator: which.
        dram: which it works on, changed in place.
    """

    def __init__(self, accelerator: Accelerator, dram: Bytes) -> None:
        self._accelerator, self.dram = accelerator, dram
        a, tiles = accelerator, accelerator.tiles
        self._bits = {
            "input": a.input_width,
            "weight": a.weight_width,
            "accumulator": a.accumulator_width,
            "output": a.input_width,
        }
        self._shapes = {
            "input": (tiles["input"], a.batch, a.block_in),
            "weight": (tiles["weight"], a.block_out, a.block_in),
            "accumulator": (tiles["accumulator"], a.batch, a.block_out),
            "output": (tiles["accumulator"], a.batch, a.block_out),
        }
        self.buffers = {name: np.zeros(shape, dtype=np.int64) for name, shape in self._shapes.items()}
        self._uops = np.zeros(tiles["uop"], dtype=np.int64)

    def run(self, commands: Sequence[Command]) -> None:
        """Carry commands out."""
        for command in commands:
            if isinstance(command, Move):
                self._move(command)
            elif isinstance(command, Gemm):
                self._multiply(command)
            else:
                self._operate(command)

    def _move(self, move: Move) -> None:
        bus = self._accelerator.bus_bytes
        size = bus if move.memory == "uop" else int(self._accelerator.tile_bytes[move.memory])
        for row in range(move.rows):
            at = move.address + row * move.stride * size
            line = self.dram[at : at + move.columns * size]
            first = move.tile + (move.top + row) * move.pitch + move.left
            if move.memory == "uop":
                words = line.view(np.uint32)
                begin = first * bus // UOP_BYTES
                self._uops[begin : begin + len(words)] = words
                continue
            buffer, bits = self.buffers[move.memory], self._bits[move.memory]
            tiles = slice(first, first + move.columns)
            if move.memory == "output":
                line[...] = packed(buffer[tiles], bits)
            else:
                buffer[tiles] = unpacked(line, bits).reshape(move.columns, *buffer.shape[1:])
        if move.module == "load":
            self._clear_border(move, self.buffers[move.memory])

    def _clear_border(self, move: Move, buffer: Integers) -> None:
        height = move.top + move.rows + move.bottom
        block = buffer[move.tile : move.tile + height * move.pitch].reshape(height, move.pitch, *buffer.shape[1:])
        inside = np.zeros((height, move.pitch), dtype=bool)
        inside[move.top : move.top + move.rows, move.left : move.left + move.columns] = True
        block[~inside] = 0

    def _indices(self, steps: Steps) -> tuple[Integers, Integers, Integers]:
        """Return the tiles that each step writes and reads, each of shape [steps]."""
        uops = self._uops[steps.uop : steps.uop + steps.uops]
        weight = steps.weight if isinstance(steps, Gemm) else (0, 0)
        outer, inner = np.arange(steps.outer)[:, None, None], np.arange(steps.inner)[:, None]
        found = []
        for (outer_factor, inner_factor), first, end in zip(
            (steps.target, steps.source, weight), _FIELDS, _FIELDS[1:], strict=False
        ):
            own = (uops >> first) % (1 << (end - first))
            found.append((own + outer * outer_factor + inner * inner_factor).reshape(-1))
        return found[0], found[1], found[2]

    def _multiply(self, gemm: Gemm) -> None:
        target, source, weight = self._indices(gemm)
        sums, width = self.buffers["accumulator"], self._accelerator.accumulator_width
        target = target % len(sums)
        if gemm.clears:
            sums[target] = 0
        else:
            inputs = self.buffers["input"][source % len(self.buffers["input"])]
            weights = self.buffers["weight"][weight % len(self.buffers["weight"])]
            np.add.at(sums, target, np.einsum("tbi,toi->tbo", inputs, weights))
            sums[target] = wrapped(sums[target], width)
        self._give(gemm, target)

    def _operate(self, alu: Alu) -> None:
        targets, sources, _ = self._indices(alu)
        sums, width = self.buffers["accumulator"], self._accelerator.accumulator_width
        for target, source in zip((targets % len(sums)).tolist(), (sources % len(sums)).tolist(), strict=True):
            other = sums[source] if alu.constant is None else np.full_like(sums[0], alu.constant)
            factor = self._accelerator.input_width
            sums[target] = wrapped(operated(alu, sums[target], other, width, factor), width)
            self._give(alu, np.array([target]))

    def _give(self, steps: Steps, target: Integers) -> None:
        if steps.writes_output:
            outputs = wrapped(self.buffers["accumulator"][target], self._accelerator.input_width)
            self.buffers["output"][target] = outputs


def operated(alu: Alu, own: Integers, other: Integers, width: int, factor: int) -> Integers:
    """Return what the ALU makes of sums of `width` bits, before they wrap around; a factor has `factor` bits."""
    if alu.operation == "min":
        return np.minimum(own, other)
    if alu.operation == "max":
        return np.maximum(own, other)
    if alu.operation == "add":
        return np.asarray(own + other)
    if alu.operation == "shift":
        return np.asarray(own >> (other % width))
    return np.asarray(wrapped(own, factor) * wrapped(other, factor))
