"""The command compiler: a layer and its mapping become commands for the accelerator.

The mapping is the cost model's, on the hierarchy of the `gemmini` template. Its loops at DRAM and in the scratchpad
become commands, one execute command per tile of the accumulator; its loops inside become the hardware's loop nest.

Tensors lie in DRAM as rows of one array width, in the order of these dimensions, outer first:

    inputs   groups, channel blocks, batch, height, width     a row has the channels of one pixel
    weights  groups, output blocks, R, S, channels            a row has the outputs of one channel
    outputs  groups, output blocks, batch, P, Q               a row has the outputs of one pixel

A block is as wide as the mapping unrolls its dimension; the rest of a row is zero. A caller may give inputs and outputs
other strides, e.g. those of a tensor whose channels lie together.

Imperfect factors make the last tile of a dimension a short one: it runs fewer iterations, moves fewer rows, and what
its innermost loops compute beyond the bound is not stored. Weights beyond a bound are zeros in DRAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

import numpy as np

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT, Loop, Mapping, loop_bounds
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import (
    ADDRESS_BITS,
    LIMIT,
    MOST_LOOPS,
    RELU,
    SCALE,
    SHIFT,
    Executes,
    Field,
    FieldError,
    Integers,
    Moves,
    NestLoop,
    Scaled,
    Words,
    end,
    executes,
    merged,
)
from armillary.hardware.templates.gemmini import Accelerator, TooSmallError
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

MOST_TILES = 1 << 19
FETCHED = 256
"""Bytes of commands that the accelerator fetches at once; a program begins at a multiple of it."""
MOST_DRAM_BYTES = 1 << ADDRESS_BITS
_REDUCED = "CRS"


class RefusedError(TooSmallError):
    """A mapping that the accelerator cannot run: says what is too small for which layer."""

    def __init__(self, layer: Layer, resource: str, needed: int, available: int, detail: str = "") -> None:
        why = f" ({detail})" if detail else ""
        message = f"layer {layer.name}: {resource} overflow: {needed:,} needed, {available:,} there{why}"
        super().__init__(message, resource, needed, available, layer.name)


@dataclass(frozen=True)
class Padding:
    """Zeros around the input that are not in memory, per side, in pixels.

    Raises:
        FieldError: if a side is negative, or more than a command's coordinates hold.
    """

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        for side in fields(self):
            Field(f"padding {side.name}", 0, largest=LIMIT - 1).check(getattr(self, side.name))


NO_PADDING = Padding()


@dataclass(frozen=True)
class Requantization:
    """How sums become bytes: sum * scale / 2^shift, rounded half up, saturated, at least 0 with `relu`.

    Attributes:
        scale: 1 to 65535.
        shift: 0 to 63.
        relu: whether.

    Raises:
        FieldError: if a value is not one that a store command holds.
    """

    scale: int = 1
    shift: int = 0
    relu: bool = False

    def __post_init__(self) -> None:
        for held in (SCALE, SHIFT, RELU):
            held.check(getattr(self, held.name))

    @property
    def conversion(self) -> Conversion:
        """What the store unit does for it."""
        return Conversion(self.scale, self.shift, low=0 if self.relu else -128)


@dataclass(frozen=True)
class Shape:
    """How a tensor lies in DRAM: counts by dimension, the outermost first, and the bytes of a row.

    Attributes:
        address: of the first row, bytes.
        counts: rows along each dimension.
        row_bytes: of a row.
        apart: bytes from one index of each dimension to the next; empty if rows lie in order, one behind the other.
    """

    address: int
    counts: tuple[int, ...]
    row_bytes: int
    apart: tuple[int, ...] = ()

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one index of each dimension to the next."""
        return self.apart or tuple(self.row_bytes * prod(self.counts[i + 1 :]) for i in range(len(self.counts)))

    @property
    def end(self) -> int:
        """Address behind the last row."""
        last = sum((count - 1) * stride for count, stride in zip(self.counts, self.strides, strict=True))
        return self.address + last + self.row_bytes


@dataclass(frozen=True)
class Placement:
    """Where the tensors of a layer lie in DRAM, and what its sums begin with.

    Attributes:
        inputs: groups, channel blocks, batch, height, width; None for the order of this module, from `address` on.
        weights: groups, output blocks, R, S, channels; likewise, behind the inputs.
        outputs: groups, output blocks, batch, P, Q; likewise, behind the weights.
        address: behind which there is room for tensors that are not given, unfinished sums and commands.
        bias: address of a row of 32-bit sums per group and output block, which all pixels begin with.
        added: a tensor as the outputs, whose bytes the sums begin with, on top of the biases.
        scaled: how those become sums; None for as they are.
    """

    inputs: Shape | None = None
    weights: Shape | None = None
    outputs: Shape | None = None
    address: int = 0
    bias: int | None = None
    added: Shape | None = None
    scaled: Scaled | None = None


@dataclass(frozen=True)
class Program:
    """What runs on the accelerator.

    Attributes:
        words: the commands, the end among them.
        address: where they lie in DRAM.
        inputs: where they lie in DRAM.
        weights: likewise.
        outputs: likewise.
        dram_bytes: that the program touches.
        channel_block: input channels per row.
        output_block: outputs per row.
        tiles: execute commands.
    """

    words: Words
    address: int
    inputs: Shape
    weights: Shape
    outputs: Shape
    dram_bytes: int
    channel_block: int
    output_block: int
    tiles: int


def compile_layer(
    layer: Layer,
    mapping: Mapping,
    accelerator: Accelerator,
    *,
    padding: Padding | None = None,
    requantization: Requantization | None = None,
    conversion: Conversion | None = None,
    placement: Placement | None = None,
) -> Program:
    """Return the commands of a layer.

    Args:
        layer: its input includes the padding, unless that is given.
        mapping: onto `accelerator.hierarchy()`.
        accelerator: whose memories the tiles must fit.
        padding: zeros around the input that the accelerator makes up.
        requantization: of the outputs; not beside `conversion`.
        conversion: likewise.
        placement: of the tensors in DRAM, if they are to lie elsewhere, and of what the sums begin with.

    Raises:
        RefusedError: if a memory, the array, the loop nest or a command's field is too small; names it, and what is
            needed.
        ArmillaryError: if this is no mapping of the layer onto the hierarchy, or a given tensor has other counts.
    """
    hierarchy = accelerator.hierarchy()
    faults = list(mapping.faults(hierarchy, layer))
    if faults:
        raise ArmillaryError(f"layer {layer.name}: {faults[0]}")
    made = conversion or (requantization or Requantization()).conversion
    compiler = _Compiler(layer, mapping, accelerator, padding or Padding(), made, placement or Placement())
    try:
        return compiler.program()
    except FieldError as fault:
        raise RefusedError(layer, f"command field {fault.name}", fault.value, fault.most, str(fault)) from None


class _Compiler:
    def __init__(
        self,
        layer: Layer,
        mapping: Mapping,
        accelerator: Accelerator,
        padding: Padding,
        conversion: Conversion,
        placement: Placement,
    ) -> None:
        self.layer, self.mapping, self.accelerator = layer, mapping, accelerator
        self.padding, self.conversion, self.placement = padding, conversion, placement
        self.dram, self.scratchpad, self.accumulator, self.registers = mapping.levels
        self.bounds = loop_bounds(layer)
        self._check_array()
        self.padded = {d: prod(loop.factor for loop in mapping.over(d)) for d in DIMENSIONS}
        self.kx = _unrolled(self.scratchpad.spatial)
        self.cx = self._channel_block()
        self.inner = _extents([*self.accumulator.loops, *self.registers.loops, *self.scratchpad.spatial])
        self.held = _extents(self.scratchpad.temporal, self.inner)
        self.height = (self.held["P"] - 1) * layer.stride_h + (self.held["R"] - 1) * layer.dilation_h + 1
        self.width = (self.held["Q"] - 1) * layer.stride_w + (self.held["S"] - 1) * layer.dilation_w + 1
        self._lay_out()
        self._count_rows()

    def _check_array(self) -> None:
        dim = self.accelerator.dim
        for level, name in ((self.scratchpad, "columns"), (self.accumulator, "rows"), (self.registers, "lanes")):
            used = prod(loop.factor for loop in level.spatial)
            most = 1 if name == "lanes" else dim
            if used > most:
                raise RefusedError(self.layer, f"array {name}", used, most)
        indexing = RELEVANT[self.accelerator.stationary]
        outside = [loop for loop in self.registers.temporal if loop.dimension in indexing and loop.factor > 1]
        if outside:
            what = f"loop {outside[0]} at the registers, an element of the array holds one value"
            raise RefusedError(
                self.layer, f"register values of {self.accelerator.stationary}", outside[0].factor, 1, what
            )

    def _channel_block(self) -> int:
        """Return the input channels of a row: those on the array's rows, or those that a register takes in a step."""
        if self.accelerator.stationary == "W":
            return _unrolled(self.accumulator.spatial)
        turning = prod(loop.factor for loop in self.registers.temporal if loop.dimension == "C")
        return max(d for d in range(1, self.accelerator.dim + 1) if turning % d == 0)

    def _lay_out(self) -> None:
        """Place the tensors in DRAM, and the sums that have to wait there."""
        layer, bounds, pitch = self.layer, self.bounds, self.accelerator.pitch
        rows = layer.input_height - self.padding.top - self.padding.bottom
        columns = layer.input_width - self.padding.left - self.padding.right
        if rows < 1 or columns < 1:
            raise ArmillaryError(f"layer {layer.name}: {self.padding} leaves no input")
        given, padded = self.placement, self.padded
        c_blocks, k_blocks = -(-bounds["C"] // self.cx), -(-bounds["K"] // self.kx)
        counts = (bounds["G"], c_blocks, bounds["N"], rows, columns)
        self.inputs = self._placed(given.inputs, "inputs", Shape(given.address, counts, pitch))
        end = given.address if given.inputs else self.inputs.end
        counts = (bounds["G"], padded["K"] // self.kx, padded["R"], padded["S"], padded["C"])
        self.weights = self._placed(given.weights, "weights", Shape(end, counts, pitch))
        end = end if given.weights else self.weights.end
        counts = (bounds["G"], k_blocks, bounds["N"], bounds["P"], bounds["Q"])
        self.outputs = self._placed(given.outputs, "outputs", Shape(_aligned(end, 4 * pitch), counts, pitch))
        end = end if given.outputs else self.outputs.end
        self.partial = Shape(_aligned(end, 4 * pitch), counts, 4 * pitch)
        self.added = self._placed(given.added, "added", self.outputs)

    def _placed(self, given: Shape | None, what: str, default: Shape) -> Shape:
        if given is None:
            return default
        if given.counts != default.counts or given.row_bytes != default.row_bytes:
            raise ArmillaryError(
                f"layer {self.layer.name}: the given {what} have {given.counts} rows of {given.row_bytes} bytes, the "
                f"mapping makes {default.counts} of {default.row_bytes}"
            )
        return given

    def _count_rows(self) -> None:
        """Give every tensor its rows in the memories: twice, where there is room, to load while the array works."""
        held, inner = self.held, self.inner
        self.input_counts = (held["G"], held["C"] // self.cx, held["N"], self.height, self.width)
        self.weight_counts = (held["G"], held["K"] // self.kx, held["R"], held["S"], held["C"])
        self.output_counts = (inner["G"], inner["K"] // self.kx, inner["N"], inner["P"], inner["Q"])
        rows_i, rows_w, rows_o = map(prod, (self.input_counts, self.weight_counts, self.output_counts))
        room, sums = self.accelerator.scratchpad_rows, self.accelerator.accumulator_rows
        if rows_i + rows_w > room:
            what = f"{rows_i:,} of inputs and {rows_w:,} of weights"
            raise RefusedError(self.layer, "scratchpad rows", rows_i + rows_w, room, what)
        if rows_o > sums:
            raise RefusedError(self.layer, "accumulator rows", rows_o, sums)
        changes = {t: any(loop.factor > 1 and loop.dimension in RELEVANT[t] for loop in self.dram.loops) for t in "WI"}
        wanted = [(1 + changes["I"], 1 + changes["W"]), (1, 1 + changes["W"]), (1 + changes["I"], 1), (1, 1)]
        self.input_buffers, self.weight_buffers = next((i, w) for i, w in wanted if i * rows_i + w * rows_w <= room)
        self.output_buffers = 2 if 2 * rows_o <= sums else 1
        self.input_rows, self.weight_rows, self.output_rows = rows_i, rows_w, rows_o

    def program(self) -> Program:
        """Return the commands."""
        outer = [(loop, "dram") for loop in self.dram.temporal] + [(loop, "sp") for loop in self.scratchpad.temporal]
        tiles = prod(loop.factor for loop, _ in outer)
        if tiles > MOST_TILES:
            raise RefusedError(self.layer, "execute commands", tiles, MOST_TILES, "a tile of the accumulator each")
        sequence = _Sequence(self, outer, tiles)
        words = np.concatenate([*sequence.words(), end()])
        touched = [self.inputs.end, self.weights.end, self.outputs.end, self.placement.address]
        address = _aligned(max([*touched, self.partial.end] if sequence.spills else touched), FETCHED)
        dram_bytes = address + program_bytes(len(words))
        if dram_bytes > MOST_DRAM_BYTES:
            raise RefusedError(self.layer, "DRAM bytes", dram_bytes, MOST_DRAM_BYTES, f"{ADDRESS_BITS}-bit addresses")
        return Program(
            words=words,
            address=address,
            inputs=self.inputs,
            weights=self.weights,
            outputs=self.outputs,
            dram_bytes=dram_bytes,
            channel_block=self.cx,
            output_block=self.kx,
            tiles=tiles,
        )

    def covered(self, d: str, valid: int) -> int:
        """Return how far the loops of a tile go over a dimension of which so much is valid."""
        step = done = self._unit(d)
        for loop in self._inside(d):
            turns = min(loop.factor, -(-valid // step))
            done += (turns - 1) * step
            step *= loop.factor
        return done

    def _unit(self, d: str) -> int:
        return self.kx if d == "K" else self.cx if d == "C" else 1

    def _inside(self, d: str) -> list[Loop]:
        """Return the loops of a tile of the accumulator over a dimension, the innermost first, without its unit."""
        rows_done = self.cx if d == "C" and self.accelerator.stationary == "O" else 1
        return [
            *(loop for loop in self.accumulator.spatial if loop.dimension == d != "C"),
            *(Loop(d, loop.factor // rows_done) for loop in self.registers.temporal if loop.dimension == d),
            *(loop for loop in self.accumulator.temporal if loop.dimension == d),
        ]

    def nest(self, valid: dict[str, int]) -> tuple[list[NestLoop], list[int]]:
        """Return the loops of an execute command, the innermost first, and their masks.

        Args:
            valid: how far the tile goes over each dimension.
        """
        loops: list[tuple[str, NestLoop]] = []
        step = {d: self._unit(d) for d in DIMENSIONS}

        def add(d: str, factor: int) -> None:
            turns = min(factor, -(-valid[d] // step[d]))
            if turns > 1:
                loops.append((d, NestLoop(turns, self._deltas(d, step[d]))))
            step[d] *= factor

        for loop in self.accumulator.spatial:
            if loop.dimension != "C":
                add(loop.dimension, loop.factor)
        block = len(loops)
        rows_done = self.cx if self.accelerator.stationary == "O" else 1
        for level in (self.registers, self.accumulator):
            for loop in reversed(level.temporal):
                inside = loop.dimension == "C" and level is self.registers
                add(loop.dimension, loop.factor // rows_done if inside else loop.factor)
        joined: list[tuple[str, NestLoop]] = []
        for number, (d, turning) in enumerate(loops):
            joins = number != block and joined and joined[-1][0] == d
            pair = merged([joined[-1][1], turning]) if joins else []
            if len(pair) == 1:
                joined[-1] = d, pair[0]
            else:
                joined.append((d, turning))
        if len(joined) > MOST_LOOPS:
            raise RefusedError(self.layer, "hardware loops", len(joined), MOST_LOOPS)
        names = [d for d, _ in joined]
        indexing = RELEVANT[self.accelerator.stationary]
        resting = next((i for i, d in enumerate(names) if i >= block and d in indexing), MOST_LOOPS)
        reduces = sum(1 << i for i, d in enumerate(names) if d in _REDUCED)
        return [turning for _, turning in joined], [(1 << resting) - 1, reduces, (1 << block) - 1]

    def _deltas(self, d: str, step: int) -> dict[str, int]:
        layer, row = self.layer, self.width
        k_o, k_w = prod(self.output_counts[2:]), prod(self.weight_counts[2:])
        image = self.height * row
        c_i = self.held["N"] * image
        none = dict.fromkeys(("weight", "input", "output", "y", "x"), 0)
        moved = {
            "K": {"weight": step // self.kx * k_w, "output": step // self.kx * k_o},
            "C": {"weight": step, "input": step // self.cx * c_i},
            "R": {
                "weight": step * self.held["S"] * self.held["C"],
                "input": step * layer.dilation_h * row,
                "y": step * layer.dilation_h,
            },
            "S": {"weight": step * self.held["C"], "input": step * layer.dilation_w, "x": step * layer.dilation_w},
            "P": {
                "input": step * layer.stride_h * row,
                "y": step * layer.stride_h,
                "output": step * self.inner["Q"],
            },
            "Q": {"input": step * layer.stride_w, "x": step * layer.stride_w, "output": step},
            "N": {"input": step * image, "output": step * self.inner["P"] * self.inner["Q"]},
            "G": {
                "weight": step * prod(self.weight_counts[1:]),
                "input": step * prod(self.input_counts[1:]),
                "output": step * prod(self.output_counts[1:]),
            },
        }[d]
        return {**none, **moved}


class _Sequence:
    """The tiles of the accumulator one after another, and what has to move between them."""

    def __init__(self, compiler: _Compiler, outer: Sequence[tuple[Loop, str]], tiles: int) -> None:
        self.c = compiler
        counts = [loop.factor for loop, _ in outer]
        indices = np.indices(counts).reshape(len(counts), -1) if counts else np.zeros((0, 1), dtype=np.int64)
        zero = np.zeros(tiles, dtype=np.int64)
        self.dram, self.sp = dict.fromkeys(DIMENSIONS, zero), dict.fromkeys(DIMENSIONS, zero)
        for (loop, level), index in zip(outer, indices, strict=True):
            (self.dram if level == "dram" else self.sp)[loop.dimension] = index
        # Where each tile begins, in elements: in the whole layer, and in what the scratchpad holds.
        self.origin = {d: self.dram[d] * compiler.held[d] for d in DIMENSIONS}
        self.inside = {d: self.sp[d] * compiler.inner[d] for d in DIMENSIONS}
        begins = {d: self.origin[d] + self.inside[d] for d in DIMENSIONS}
        exist = np.all([begins[d] < compiler.bounds[d] for d in DIMENSIONS], axis=0)
        for table in (self.dram, self.sp, self.origin, self.inside, begins):
            table.update({d: table[d][exist] for d in DIMENSIONS})
        self.n = int(exist.sum())
        # How far each goes: in the scratchpad, and in the accumulator.
        self.valid_held = {d: np.minimum(compiler.held[d], compiler.bounds[d] - self.origin[d]) for d in DIMENSIONS}
        self.valid = {d: np.minimum(compiler.inner[d], compiler.bounds[d] - begins[d]) for d in DIMENSIONS}
        self._find_changes()

    def _find_changes(self) -> None:
        held_i, held_w = (_number([self.dram[d] for d in RELEVANT[t]]) for t in "IW")
        outputs = _number([x for d in RELEVANT["O"] for x in (self.dram[d], self.sp[d])])
        self.loads_i, self.loads_w, self.enters = map(_changes, (held_i, held_w, outputs))
        c = self.c
        self.buffer_i, self.buffer_w, self.buffer_o = (
            (np.cumsum(changes) - 1) % buffers
            for changes, buffers in (
                (self.loads_i, c.input_buffers),
                (self.loads_w, c.weight_buffers),
                (self.enters, c.output_buffers),
            )
        )
        self.leaves = np.append(self.enters[1:], True)
        entered = outputs[self.enters]
        first, last = np.zeros(len(entered), dtype=bool), np.zeros(len(entered), dtype=bool)
        first[np.unique(entered, return_index=True)[1]] = True
        last[len(entered) - 1 - np.unique(entered[::-1], return_index=True)[1]] = True
        visit = np.cumsum(self.enters) - 1
        self.first_visit, self.last_visit = first[visit], last[visit]
        self.spills = bool((~first).any())

    def words(self) -> list[Words]:
        """Return the commands, those of each tile in turn."""
        parts = [*self._load_inputs(), *self._load_weights(), *self._load_sums(), *self._execute(), *self._store()]
        keys = np.concatenate([key for key, _ in parts])
        order = np.argsort(keys, kind="stable")
        lengths = np.concatenate([np.full(len(key), words.shape[1]) for key, words in parts])
        starts = np.concatenate([[0], np.cumsum(lengths[order])])
        stream = np.zeros(starts[-1], dtype=np.uint64)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = starts[:-1]
        done = 0
        for key, words in parts:
            where = place[done : done + len(key)]
            stream[where[:, None] + np.arange(words.shape[1])] = words
            done += len(key)
        return [stream]

    def _input_origin(self) -> tuple[Integers, Integers]:
        """Return the pixel of the stored input where the scratchpad's begin; negative in the padding."""
        layer, padding = self.c.layer, self.c.padding
        y = self.origin["P"] * layer.stride_h + self.origin["R"] * layer.dilation_h - padding.top
        x = self.origin["Q"] * layer.stride_w + self.origin["S"] * layer.dilation_w - padding.left
        return y, x

    def _load_inputs(self) -> list[tuple[Integers, Words]]:
        c, which = self.c, np.flatnonzero(self.loads_i)
        rows, columns = c.inputs.counts[3:]
        y, x = (a[which] for a in self._input_origin())
        top, left = np.maximum(-y, 0), np.maximum(-x, 0)
        heights = np.minimum(y + c.height, rows) - y - top
        widths = np.minimum(x + c.width, columns) - x - left
        base = self.buffer_i[which] * c.input_rows
        g, cb, n, h, w = c.inputs.strides
        address = (
            c.inputs.address + self.origin["G"][which] * g + self.origin["C"][which] // c.cx * cb
            + self.origin["N"][which] * n + (y + top) * h + (x + left) * w
        )  # fmt: skip
        valid = {d: self.valid_held[d][which] for d in DIMENSIONS}
        counts = np.stack([valid["G"], -(-valid["C"] // c.cx), valid["N"], heights, widths], axis=1)
        found = []
        for some, those in _alike(counts):
            if min(those) <= 0:
                continue  # all of it is padding
            to = base[some] + top[some] * c.width + left[some]
            ranges = [(base[some], base[some] + c.input_rows), _none(some), _none(some)]
            moves = _moves(those, c.inputs, c.input_counts, to, address[some], ranges)
            found.append((which[some] * 8, moves.loads()))
        return found

    def _load_weights(self) -> list[tuple[Integers, Words]]:
        c, which = self.c, np.flatnonzero(self.loads_w)
        base = c.input_buffers * c.input_rows + self.buffer_w[which] * c.weight_rows
        g, kb, r, s, ch = c.weights.strides
        address = (
            c.weights.address + self.origin["G"][which] * g + self.origin["K"][which] // c.kx * kb
            + self.origin["R"][which] * r + self.origin["S"][which] * s + self.origin["C"][which] * ch
        )  # fmt: skip
        valid = {d: self.valid_held[d][which] for d in DIMENSIONS}
        covered = {d: self._covered(d, valid[d]) for d in _REDUCED}
        blocks = -(-valid["K"] // c.kx)
        counts = np.stack([valid["G"], blocks, covered["R"], covered["S"], covered["C"]], axis=1)
        found = []
        for some, those in _alike(counts):
            ranges = [(base[some], base[some] + c.weight_rows), _none(some), _none(some)]
            moves = _moves(those, c.weights, c.weight_counts, base[some], address[some], ranges)
            found.append((which[some] * 8 + 1, moves.loads()))
        return found

    def _covered(self, d: str, valid: Integers) -> Integers:
        """Return how far the tiles that the scratchpad holds go over a dimension, which may be beyond its bound."""
        inner = self.c.inner[d]
        full = (valid - 1) // inner * inner
        return full + np.array([self.c.covered(d, int(rest)) for rest in valid - full], dtype=np.int64)

    def _sums(self, shape: Shape, which: Integers) -> list[tuple[Integers, Moves]]:
        """Return how tiles move between the accumulator and DRAM, those that are alike together."""
        c = self.c
        base = self.buffer_o[which] * c.output_rows
        at = {d: self.origin[d][which] + self.inside[d][which] for d in RELEVANT["O"]}
        g, kb, n, p, q = shape.strides
        address = shape.address + at["G"] * g + at["K"] // c.kx * kb + at["N"] * n + at["P"] * p + at["Q"] * q
        valid = {d: self.valid[d][which] for d in RELEVANT["O"]}
        counts = np.stack([valid["G"], -(-valid["K"] // c.kx), valid["N"], valid["P"], valid["Q"]], axis=1)
        found = []
        for some, those in _alike(counts):
            ranges = [_none(some), _none(some), (base[some], base[some] + c.output_rows)]
            found.append((which[some], _moves(those, shape, c.output_counts, base[some], address[some], ranges)))
        return found

    def _load_sums(self) -> list[tuple[Integers, Words]]:
        given, first = self.c.placement, np.flatnonzero(self.enters & self.first_visit)
        later = np.flatnonzero(self.enters & ~self.first_visit)
        found = []
        if given.bias is not None:
            found += self._load_bias(given.bias, first)
        if given.added is not None:
            scaled, adds = given.scaled or Scaled(), given.bias is not None
            found += [
                (tiles * 8 + 2, moves.loads(to_accumulator=True, scaled=scaled, adds=adds))
                for tiles, moves in self._sums(self.c.added, first)
            ]
        if len(later):
            partial = self._sums(self.c.partial, later)
            found += [(tiles * 8 + 2, moves.loads(to_accumulator=True)) for tiles, moves in partial]
        return found

    def _load_bias(self, address: int, which: Integers) -> list[tuple[Integers, Words]]:
        """Return the loads that fill all pixels of each block of outputs with its biases."""
        c = self.c
        base = self.buffer_o[which] * c.output_rows
        blocks, row_bytes = c.outputs.counts[1], c.partial.row_bytes
        at = (self.origin["G"] + self.inside["G"])[which] * blocks
        at = at + (self.origin["K"] + self.inside["K"])[which] // c.kx
        counts = np.stack([self.valid["G"][which], -(-self.valid["K"][which] // c.kx)], axis=1)
        pixels = prod(c.output_counts[2:])
        found = []
        for some, (groups, here) in _alike(counts):
            loops = [
                NestLoop(here, {"row": pixels, "address": row_bytes}),
                NestLoop(groups, {"row": pixels * c.output_counts[1], "address": row_bytes * blocks}),
            ]
            ranges = [_none(some), _none(some), (base[some], base[some] + c.output_rows)]
            moves = Moves(merged(loops), pixels, base[some], address + at[some] * row_bytes, ranges)
            found.append((which[some] * 8 + 2, moves.loads(to_accumulator=True, repeats=True)))
        return found

    def _execute(self) -> list[tuple[Integers, Words]]:
        c, inside = self.c, self.inside
        layer = c.layer
        y, x = self._input_origin()
        rows, columns = c.inputs.counts[3:]
        image = c.height * c.width
        base_i = self.buffer_i * c.input_rows
        base_w = c.input_buffers * c.input_rows + self.buffer_w * c.weight_rows
        base_o = self.buffer_o * c.output_rows
        dy = inside["P"] * layer.stride_h + inside["R"] * layer.dilation_h
        dx = inside["Q"] * layer.stride_w + inside["S"] * layer.dilation_w
        inputs = base_i + dy * c.width + dx + inside["N"] * image
        inputs = inputs + inside["C"] // c.cx * (c.held["N"] * image) + inside["G"] * prod(c.input_counts[1:])
        weights = base_w + inside["G"] * prod(c.weight_counts[1:]) + inside["K"] // c.kx * prod(c.weight_counts[2:])
        weights = weights + (inside["R"] * c.held["S"] + inside["S"]) * c.held["C"] + inside["C"]
        begins = np.full(self.n, c.placement.bias is None and c.placement.added is None)
        for d in _REDUCED:
            begins &= (self.dram[d] == 0) & (self.sp[d] == 0)
        rows_of = (base_i, c.input_rows), (base_w, c.weight_rows), (base_o, c.output_rows)
        found = []
        for some, those in _alike(np.stack([self.valid[d] for d in DIMENSIONS], axis=1)):
            loops, masks = c.nest(dict(zip(DIMENSIONS, those, strict=True)))
            these = Executes(
                inputs[some], weights[some], base_o[some], (y + dy)[some], (x + dx)[some],
                np.full(len(some), rows), np.full(len(some), columns), begins[some],
            )  # fmt: skip
            ranges = [(base[some], base[some] + count) for base, count in rows_of]
            found.append((some * 8 + 3, executes(loops, masks, c.cx, these, ranges)))
        return found

    def _store(self) -> list[tuple[Integers, Words]]:
        found = []
        for last, shape, conversion in (
            (True, self.c.outputs, self.c.conversion),
            (False, self.c.partial, None),
        ):
            which = np.flatnonzero(self.leaves & (self.last_visit == last))
            if len(which):
                found += [(tiles * 8 + 4, moves.stores(conversion)) for tiles, moves in self._sums(shape, which)]
        return found


def _alike(rows: Integers) -> list[tuple[Integers, tuple[int, ...]]]:
    """Return which rows are equal, and what they hold."""
    different, which = np.unique(rows, axis=0, return_inverse=True)
    return [(np.flatnonzero(which.reshape(-1) == number), tuple(row)) for number, row in enumerate(different.tolist())]


def _none(which: Integers) -> tuple[Integers, Integers]:
    return np.zeros(len(which), dtype=np.int64), np.zeros(len(which), dtype=np.int64)


def _moves(
    counts: Sequence[int],
    shape: Shape,
    places: Sequence[int],
    rows: Integers,
    addresses: Integers,
    ranges: Sequence[tuple[Integers, Integers]],
) -> Moves:
    """Return how rows move between DRAM and a memory on chip, in runs that lie together in DRAM.

    Args:
        counts: rows along each dimension, the outermost first.
        shape: how they lie in DRAM.
        places: rows that the memory on chip sets aside along each dimension.
        rows: first row of each move.
        addresses: likewise in DRAM.
        ranges: see `Moves`.
    """
    loops = [
        NestLoop(count, {"row": prod(places[i + 1 :]), "address": stride})
        for i, (count, stride) in enumerate(zip(counts, shape.strides, strict=True))
    ][::-1]
    # The order of rows does not matter, so those that are neighbours in DRAM come one after another.
    found = merged(sorted(loops, key=lambda loop: loop.deltas["address"]))
    if found and found[0].deltas["address"] == shape.row_bytes:
        return Moves(found[1:], found[0].count, rows, addresses, ranges, stride=found[0].deltas["row"])
    return Moves(found, 1, rows, addresses, ranges)


def _unrolled(loops: Sequence[Loop]) -> int:
    return prod(loop.factor for loop in loops)


def _extents(loops: Sequence[Loop], inside: dict[str, int] | None = None) -> dict[str, int]:
    found = dict(inside or dict.fromkeys(DIMENSIONS, 1))
    for loop in loops:
        found[loop.dimension] *= loop.factor
    return found


def _number(columns: Sequence[Integers]) -> Integers:
    """Return a number per row that is the same where all columns are."""
    found = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        found = found * (int(column.max()) + 1) + column
    return found


def _changes(numbers: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.append(True, numbers[1:] != numbers[:-1])


def program_bytes(words: int) -> int:
    """Return the bytes of DRAM that so many words of commands need, with what is fetched behind their end."""
    return _aligned(8 * words, FETCHED) + 2 * FETCHED


def _aligned(value: int, to: int) -> int:
    return -(-value // to) * to
