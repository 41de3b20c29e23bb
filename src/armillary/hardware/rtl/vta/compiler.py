"""The compiler: a layer becomes a program and a place in DRAM for each of its tensors.

Outputs are computed tile by tile, a tile's input channels in parts; each part of a tile is a step. Steps run in one or
two virtual threads: with two, each buffer has two halves, so that what a step needs is loaded while the one before
computes, and what a tile became is stored while the next is computed. Tokens alone keep the modules apart: a load that
overwrites half a buffer waits until the last step that reads it has ended.

Source: Moreau et al. 2019, virtual threading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armillary.hardware.rtl.vta.commands import (
    FETCHED_AHEAD,
    PROGRAM_ALIGNMENT,
    Alu,
    Command,
    Gemm,
    Memory,
    Move,
    Operation,
    encoded,
    uop_word,
)
from armillary.hardware.rtl.vta.shape import Requantization, Shape
from armillary.hardware.templates.vta import UOP_BYTES
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Stays = Literal["weight", "input"]
"""What may stay in its buffer from tile to tile: weights, if the tiles of a block of outputs follow each other; or
inputs, if the blocks of outputs of a tile do."""
_MOST_ROW = (1 << 12) - 1
_MOST_STRIDE = (1 << 16) - 1
Span = tuple[int, int]
"""The first and the end."""


class TooLargeError(ArmillaryError):
    """A layer that an accelerator cannot run, or not by this tiling; `resource`, `needed`, `available` say why."""

    def __init__(self, layer: str, resource: str, needed: int, available: int) -> None:
        super().__init__(f"layer {layer}: {resource} overflow: {needed:,} needed, {available:,} there")
        self.layer, self.resource, self.needed, self.available = layer, resource, needed, available


@dataclass(frozen=True)
class Tiling:
    """How a layer is cut.

    Attributes:
        blocks_out: blocks of output channels of a tile.
        blocks_in: blocks of input channels of a step.
        rows: of outputs of a tile.
        columns: likewise.
        stays: what stays in its buffer where a tile has one step.
        threads: virtual threads, 1 or 2.
    """

    blocks_out: int
    blocks_in: int
    rows: int
    columns: int
    stays: Stays = "weight"
    threads: int = 2

    def __str__(self) -> str:
        """Return it in short."""
        return (
            f"blocks_out {self.blocks_out}, blocks_in {self.blocks_in}, rows {self.rows}, columns {self.columns}, "
            f"{self.stays} stays, threads {self.threads}"
        )


@dataclass(frozen=True)
class Program:
    """A layer's program.

    Attributes:
        shape: the layer's.
        tiling: how it is cut.
        commands: all but the end.
        words: of the commands and the end.
        uops: micro-operations, as they lie in DRAM.
        addresses: of `program`, `uop`, and each tensor in DRAM.
        dram_bytes: that it needs.
    """

    shape: Shape
    tiling: Tiling
    commands: tuple[Command, ...]
    words: NDArray[np.uint64]
    uops: NDArray[np.uint32]
    addresses: dict[str, int]
    dram_bytes: int

    def dram(self, inputs: Integers, weights: Integers, bias: Integers | None) -> Bytes:
        """Return the DRAM before the program runs.

        Args:
            inputs: shape [N, C, height, width], without padding.
            weights: shape [K, C of a group, R, S].
            bias: shape [K], if the layer has one.
        """
        dram = np.zeros(self.dram_bytes, dtype=np.uint8)
        parts = {
            "program": self.words.view(np.uint8),
            "uop": self.uops.view(np.uint8),
            "input": self.shape.input_bytes(inputs),
            "weight": self.shape.weight_bytes(weights),
        }
        if bias is not None:
            parts["accumulator"] = self.shape.bias_bytes(bias)
        for name, raw in parts.items():
            dram[self.addresses[name] : self.addresses[name] + len(raw)] = raw
        return dram

    def outputs(self, dram: Bytes) -> Integers:
        """Return the outputs that are in DRAM after the program has run, shape [N, K, P, Q]."""
        size = int(np.prod(self.shape.counts["output"])) * int(self.shape.accelerator.tile_bytes["output"])
        first = self.addresses["output"]
        return self.shape.outputs_of(dram[first : first + size])


@dataclass(frozen=True)
class _Tile:
    """A tile of outputs: of which group and images, blocks, rows and columns."""

    group: int
    image: int
    blocks: Span
    rows: Span
    columns: Span


@dataclass
class _Slots:
    """The halves of a buffer, what the newest holds, and the last step that read each."""

    count: int
    holds: object = None
    newest: int = -1
    readers: list[int] = field(default_factory=list)

    def place(self, wanted: object) -> tuple[bool, int, int]:
        """Return whether something has to be loaded, into which half, and the step that last read what was there."""
        if wanted == self.holds:
            return False, self.newest % self.count, -1
        self.holds, self.newest = wanted, self.newest + 1
        self.readers.append(-1)
        before = self.readers[self.newest - self.count] if self.newest >= self.count else -1
        return True, self.newest % self.count, before

    def read(self, step: int) -> None:
        """Put down that a step reads the newest."""
        self.readers[self.newest] = step


def compile_layer(shape: Shape, tiling: Tiling, requantization: Requantization) -> Program:
    """Return a layer's program.

    Raises:
        TooLargeError: if the tiling does not fit; says what.
    """
    check(shape, tiling)
    return _Compiler(shape, tiling, requantization).program()


def check(shape: Shape, tiling: Tiling) -> None:
    """Refuse a tiling that does not fit the buffers or the commands' fields.

    Raises:
        TooLargeError: says what.
    """
    parts = tiling.blocks_out, tiling.blocks_in, tiling.rows, tiling.columns
    for resource, needed, available in requirements(shape, *parts, tiling.threads):
        if needed > available:
            raise TooLargeError(shape.layer.name, resource, int(needed), int(available))


def requirements(
    shape: Shape, blocks_out: Any, blocks_in: Any, rows: Any, columns: Any, threads: Any
) -> list[tuple[str, Any, Any]]:
    """Return what tilings need of each resource, and what there is, of the shape of the numbers that describe them."""
    layer, tiles = shape.layer, shape.accelerator.tiles
    height, width = layer_patch(layer, rows, columns)
    steps, outputs = blocks_out * blocks_in * shape.taps, blocks_out * rows * columns
    per_beat = shape.accelerator.bus_bytes // UOP_BYTES
    return [
        ("input tiles", blocks_in * height * width, tiles["input"] // threads),
        ("weight tiles", steps, tiles["weight"] // threads),
        ("accumulator tiles", outputs + blocks_out * layer.bias, tiles["accumulator"] // threads),
        ("micro-operations", -(-steps // per_beat) * per_beat, tiles["uop"]),
        ("tiles of a command", outputs, _MOST_ROW),
        ("rows of a command", height, _MOST_ROW),
        ("columns of a command", width, _MOST_ROW),
        ("tiles of a row of weights", blocks_in * shape.taps, _MOST_ROW),
        ("tiles from row to row", max(shape.width, shape.columns, shape.blocks_in * shape.taps), _MOST_STRIDE),
    ]


def layer_patch(layer: Layer, rows: Any, columns: Any) -> tuple[Any, Any]:
    """Return the rows and columns of input, padding among them, that rows and columns of outputs read."""
    height = (rows - 1) * layer.stride_h + (layer.R - 1) * layer.dilation_h + 1
    width = (columns - 1) * layer.stride_w + (layer.S - 1) * layer.dilation_w + 1
    return height, width


def _spans(length: int, part: int) -> list[Span]:
    return [(first, min(first + part, length)) for first in range(0, length, part)]


class _Compiler:
    """Compiles one layer."""

    def __init__(self, shape: Shape, tiling: Tiling, requantization: Requantization) -> None:
        self._shape, self._tiling, self._requantization = shape, tiling, requantization
        self._tiles, self._threads = shape.accelerator.tiles, tiling.threads
        self._commands: list[Command] = []
        self._slots = {"input": _Slots(tiling.threads), "weight": _Slots(tiling.threads)}
        self._last_of_step: list[int] = []  # the command with which each step ends
        self._waits: list[tuple[int, int]] = []  # a load, and the step for whose end it waits
        self._kernels: dict[tuple[int, ...], int] = {}  # where they lie in DRAM, in micro-operations
        self._resident: dict[tuple[int, ...], int] = {}  # where they lie in the buffer
        self._uops: list[int] = []
        self._free_uop = 0
        self._addresses = self._layout()

    def program(self) -> Program:
        """Return the program."""
        spans = self._tiles_in_order()
        for number, tile in enumerate(spans):
            self._compute_tile(tile, number, len(spans))
        self._let_loads_wait()
        return self._placed()

    def _layout(self) -> dict[str, int]:
        """Return where each tensor lies, behind each other from 0; the program and micro-operations come behind."""
        found, free = {}, 0
        for name, counts in self._shape.counts.items():
            found[name] = free
            free += int(np.prod(counts)) * int(self._shape.accelerator.tile_bytes[name])
            free = -(-free // PROGRAM_ALIGNMENT) * PROGRAM_ALIGNMENT
        return {**found, "uop": free}

    def _placed(self) -> Program:
        uops = np.array(self._uops, dtype=np.uint32)
        words = encoded(self._commands)
        begin = self._addresses["uop"] + len(uops) * UOP_BYTES
        begin = -(-begin // PROGRAM_ALIGNMENT) * PROGRAM_ALIGNMENT
        addresses = {**self._addresses, "program": begin}
        end = begin + words.nbytes + FETCHED_AHEAD
        return Program(self._shape, self._tiling, tuple(self._commands), words, uops, addresses, end)

    def _tiles_in_order(self) -> list[_Tile]:
        shape, tiling = self._shape, self._tiling
        blocks = _spans(shape.blocks_out, tiling.blocks_out)
        places = list(
            product(range(shape.images), _spans(shape.rows, tiling.rows), _spans(shape.columns, tiling.columns))
        )
        pairs = product(blocks, places) if tiling.stays == "weight" else ((b, p) for p, b in product(places, blocks))
        ordered = list(pairs)
        return [
            _Tile(group, image, block, rows, columns)
            for group in range(shape.groups)
            for block, (image, rows, columns) in ordered
        ]

    def _compute_tile(self, tile: _Tile, number: int, count: int) -> None:
        half = number % self._threads
        base = half * (self._tiles["accumulator"] // self._threads)
        size = _length(tile.blocks) * _length(tile.rows) * _length(tile.columns)
        self._clear(base, size)
        for channels in _spans(self._shape.blocks_in, self._tiling.blocks_in):
            self._multiply(tile, channels, base)
        self._convert(tile, base, size, reuses=number >= self._threads)
        self._store(tile, base, reused=number + self._threads < count)

    def _clear(self, base: int, size: int) -> None:
        uop = self._kernel((uop_word(base, base),))
        self._commands.append(Gemm(uop=uop, inner=size, target=(0, 1), clears=True))

    def _multiply(self, tile: _Tile, channels: Span, base: int) -> None:
        """Load what a step needs and is not there, and add its products."""
        shape, step = self._shape, len(self._last_of_step)
        loads, input_tile = self._load("input", (tile.group, tile.image, channels, tile.rows, tile.columns))
        more, weight_tile = self._load("weight", (tile.group, tile.blocks, channels))
        waits = max(loads[1], more[1])
        moves = [
            *(self._input_loads(tile, channels, input_tile) if loads[0] else ()),
            *(self._weight_loads(tile, channels, weight_tile) if more[0] else ()),
        ]
        if moves:
            moves[-1] = replace(moves[-1], sends_next=True)
            if waits >= 0:
                self._waits.append((len(self._commands), waits))
            self._commands += moves
        layer, columns = shape.layer, _length(tile.columns)
        _, pitch = layer_patch(layer, 1, columns)
        uop, uops = self._kernel_of_step(tile, channels, (base, input_tile, weight_tile))
        self._commands.append(
            Gemm(
                uop=uop,
                uops=uops,
                outer=_length(tile.rows),
                inner=columns,
                target=(columns, 1),
                source=(layer.stride_h * pitch % 2048, layer.stride_w % 2048),
                takes_previous=bool(moves),
            )
        )
        for slots in self._slots.values():
            slots.read(step)
        self._last_of_step.append(len(self._commands) - 1)

    def _load(self, memory: Literal["input", "weight"], wanted: object) -> tuple[tuple[bool, int], int]:
        """Return whether a load is needed and the step it waits for, and the first tile of its half of the buffer."""
        needed, half, before = self._slots[memory].place(wanted)
        return (needed, before), half * (self._tiles[memory] // self._threads)

    def _kernel_of_step(self, tile: _Tile, channels: Span, bases: tuple[int, int, int]) -> tuple[int, int]:
        """Return where the micro-operations of a step lie in the buffer, and how many they are."""
        layer, (sums, inputs, weights) = self._shape.layer, bases
        area = _length(tile.rows) * _length(tile.columns)
        height, width = layer_patch(layer, _length(tile.rows), _length(tile.columns))
        each = range(_length(tile.blocks)), range(_length(channels)), range(layer.R), range(layer.S)
        words = tuple(
            uop_word(
                sums + k * area,
                inputs + (c * height + r * layer.dilation_h) * width + s * layer.dilation_w,
                weights + ((k * len(each[1]) + c) * layer.R + r) * layer.S + s,
            )
            for k, c, r, s in product(*each)
        )
        return self._kernel(words), len(words)

    def _kernel(self, words: tuple[int, ...]) -> int:
        """Return where micro-operations lie in the buffer, loaded if they are not there; a full buffer begins anew."""
        if words in self._resident:
            return self._resident[words]
        bus = self._shape.accelerator.bus_bytes
        per_beat = bus // UOP_BYTES
        padded = -(-len(words) // per_beat) * per_beat
        if words not in self._kernels:
            self._kernels[words] = len(self._uops)
            self._uops += [*words, *[0] * (padded - len(words))]
        if self._free_uop + padded > self._tiles["uop"]:
            self._resident.clear()
            self._free_uop = 0
        place, self._free_uop = self._free_uop, self._free_uop + padded
        self._resident[words] = place
        address = self._addresses["uop"] + self._kernels[words] * UOP_BYTES
        beats = padded // per_beat
        for first, end in _spans(beats, _MOST_ROW):
            self._commands.append(
                Move(memory="uop", tile=place // per_beat + first, address=address + first * bus, columns=end - first)
            )
        return place

    def _address(self, memory: Memory, *place: int) -> int:
        """Return where a tile of a tensor lies; axes that are left out are at 0."""
        counts = self._shape.counts[memory]
        number = np.ravel_multi_index((*place, *(0,) * (len(counts) - len(place))), counts)
        return self._addresses[memory] + int(number) * int(self._shape.accelerator.tile_bytes[memory])

    def _input_loads(self, tile: _Tile, channels: Span, base: int) -> Iterator[Move]:
        shape, layer, padding = self._shape, self._shape.layer, self._shape.padding
        first_row, end_row, top, bottom = _window(
            tile.rows, layer.stride_h, (layer.R - 1) * layer.dilation_h + 1, padding.top, shape.height
        )
        first, end, left, right = _window(
            tile.columns, layer.stride_w, (layer.S - 1) * layer.dilation_w + 1, padding.left, shape.width
        )
        size = (top + end_row - first_row + bottom) * (left + end - first + right)
        for number, channel in enumerate(range(*channels)):
            yield Move(
                memory="input",
                tile=base + number * size,
                address=self._address("input", tile.group, tile.image, channel, first_row, first),
                rows=end_row - first_row,
                columns=end - first,
                stride=shape.width,
                top=top,
                bottom=bottom,
                left=left,
                right=right,
            )

    def _weight_loads(self, tile: _Tile, channels: Span, base: int) -> Iterator[Move]:
        yield Move(
            memory="weight",
            tile=base,
            address=self._address("weight", tile.group, tile.blocks[0], channels[0]),
            rows=_length(tile.blocks),
            columns=_length(channels) * self._shape.taps,
            stride=self._shape.blocks_in * self._shape.taps,
        )

    def _convert(self, tile: _Tile, base: int, size: int, *, reuses: bool) -> None:
        """Add the bias, requantise, and give the outputs to their buffer, once the store module has left it."""
        how = self._requantization
        if self._shape.layer.bias:
            blocks, area = _length(tile.blocks), size // _length(tile.blocks)
            address = self._address("accumulator", tile.group, tile.blocks[0])
            self._commands.append(Move(memory="accumulator", tile=base + size, address=address, columns=blocks))
            uop = self._kernel((uop_word(base, base + size),))
            self._commands.append(
                Alu(operation="add", uop=uop, outer=blocks, inner=area, target=(area, 1), source=(1, 0))
            )
        uop = self._kernel((uop_word(base, base),))
        passes: list[tuple[Operation, int]] = [("max", how.low), ("min", how.high)]
        if how.shift:
            passes = [("add", (1 << how.shift) >> 1), ("shift", how.shift), *passes]
        for operation, constant in passes:
            last = operation == "min"
            self._commands.append(
                Alu(
                    operation=operation,
                    constant=constant,
                    uop=uop,
                    inner=size,
                    target=(0, 1),
                    source=(0, 1),
                    writes_output=last,
                    takes_next=last and reuses,
                    sends_next=last,
                )
            )

    def _store(self, tile: _Tile, base: int, *, reused: bool) -> None:
        area = _length(tile.rows) * _length(tile.columns)
        for number, block in enumerate(range(*tile.blocks)):
            place = (tile.group, tile.image, block, tile.rows[0], tile.columns[0])
            self._commands.append(
                Move(
                    memory="output",
                    tile=base + number * area,
                    address=self._address("output", *place),
                    rows=_length(tile.rows),
                    columns=_length(tile.columns),
                    stride=self._shape.columns,
                    takes_previous=number == 0,
                    sends_previous=reused and block + 1 == tile.blocks[1],
                )
            )

    def _let_loads_wait(self) -> None:
        """Have loads wait for the steps that read what they overwrite; a step sends one token for all later loads."""
        ended = -1
        for load, step in self._waits:
            if step > ended:
                ended = step
                last = self._last_of_step[step]
                self._commands[last] = replace(self._commands[last], sends_previous=True)
                self._commands[load] = replace(self._commands[load], takes_next=True)


def _length(span: Span) -> int:
    return span[1] - span[0]


def _window(outputs: Span, stride: int, reach: int, padding: int, length: int) -> tuple[int, int, int, int]:
    """Return the inputs that some outputs read, first and end, and how much padding lies before and behind them.

    Args:
        outputs: along one axis.
        stride: of them.
        reach: inputs from an output's first to its last, and one.
        padding: before the input.
        length: of the input.
    """
    first = outputs[0] * stride - padding
    end = (outputs[1] - 1) * stride + reach - padding
    return max(first, 0), min(end, length), max(-first, 0), max(end - length, 0)


def choices(shape: Shape) -> Sequence[tuple[int, ...]]:
    """Return the sizes into which blocks of outputs, of inputs, rows and columns may sensibly be cut, descending."""
    lengths = shape.blocks_out, shape.blocks_in, shape.rows, shape.columns
    return [tuple(sorted({-(-length // n) for n in range(1, length + 1)}, reverse=True)) for length in lengths]
