"""The tiles of a layer one after another, and the commands that move and compute them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT, Loop
from armillary.hardware.rtl.gemmini.commands import (
    Executes,
    Integers,
    Moves,
    NestLoop,
    Scaled,
    Window,
    Words,
    executes,
    merged,
    table_load,
    tables_of,
)
from armillary.hardware.rtl.gemmini.layout import Shape, moves_between
from armillary.hardware.rtl.gemmini.tiling import REDUCED, Tiling
from armillary.hardware.rtl.gemmini.windows import of_tile, pooled_moves


class TileSequence:
    """The tiles of the accumulator one after another, and what has to move between them."""

    def __init__(self, tiling: Tiling, outer: Sequence[tuple[Loop, str]], tiles: int) -> None:
        self.c = tiling
        counts = [loop.factor for loop, _ in outer]
        indices = np.indices(counts).reshape(len(counts), -1) if counts else np.zeros((0, 1), dtype=np.int64)
        zero = np.zeros(tiles, dtype=np.int64)
        self.dram, self.sp = dict.fromkeys(DIMENSIONS, zero), dict.fromkeys(DIMENSIONS, zero)
        for (loop, level), index in zip(outer, indices, strict=True):
            (self.dram if level == "dram" else self.sp)[loop.dimension] = index
        # Where each tile begins, in elements: in the whole layer, and in what the scratchpad holds.
        self.origin = {d: self.dram[d] * tiling.held[d] for d in DIMENSIONS}
        self.inside = {d: self.sp[d] * tiling.inner[d] for d in DIMENSIONS}
        begins = {d: self.origin[d] + self.inside[d] for d in DIMENSIONS}
        exist = np.all([begins[d] < tiling.bounds[d] for d in DIMENSIONS], axis=0)
        for table in (self.dram, self.sp, self.origin, self.inside, begins):
            table.update({d: table[d][exist] for d in DIMENSIONS})
        self.n = int(exist.sum())
        # How far each goes: in the scratchpad, and in the accumulator.
        self.valid_held = {d: np.minimum(tiling.held[d], tiling.bounds[d] - self.origin[d]) for d in DIMENSIONS}
        self.valid = {d: np.minimum(tiling.inner[d], tiling.bounds[d] - begins[d]) for d in DIMENSIONS}
        self._find_changes()

    def _find_changes(self) -> None:
        held_i, held_w = (_number([self.dram[d] for d in self.c.reloads(t)]) for t in "IW")
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
        loads = [*self._load_inputs(), *self._load_weights(), *self._load_sums(), *self._load_tables()]
        parts = [*loads, *self._execute(), *self._store()]
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
        if "I" in c.placement.transposed:
            base = self.buffer_i[which] * c.input_rows
            g, line, block = c.inputs.strides
            first = c.inputs.address + self.origin["G"][which] * g + self.origin["C"][which] * line
            first = first + self.origin[c.pixels][which] // c.accelerator.dim * block
            held, rows = self.valid_held, c.held[c.pixels]
            counts = np.stack([held["G"][which], -(-held["C"][which] // c.cx), held[c.pixels][which]], axis=1)
            found = self._transposed(
                c.inputs, c.cx, counts, (c.input_counts[1] * rows, rows), base, first, c.input_rows
            )
            return [(which[some] * 8, words) for some, words in found]
        rows, columns = c.stored
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
            moves = moves_between(those, c.inputs, c.input_counts, to, address[some], ranges)
            found.append((which[some] * 8, moves.loads()))
        return found

    def _load_weights(self) -> list[tuple[Integers, Words]]:
        c, which = self.c, np.flatnonzero(self.loads_w)
        base = c.input_buffers * c.input_rows + self.buffer_w[which] * c.weight_rows
        valid = {d: self.valid_held[d][which] for d in DIMENSIONS}
        covered = {d: self._covered(d, valid[d]) for d in REDUCED}
        blocks = -(-valid["K"] // c.kx)
        if "W" in c.placement.transposed:
            rows = c.weight_counts[-1]
            counts = np.stack([valid["G"], blocks, covered["C"]], axis=1)
            apart = c.weight_counts[1] * rows, rows
            found = self._transposed(c.weights, c.kx, counts, apart, base, self._first_weights(which), c.weight_rows)
            return [(which[some] * 8 + 1, words) for some, words in found]
        counts = np.stack([valid["G"], blocks, covered["R"], covered["S"], covered["C"]], axis=1)
        found = []
        for some, those in _alike(counts):
            ranges = [(base[some], base[some] + c.weight_rows), _none(some), _none(some)]
            first = self._first_weights(which)[some]
            moves = moves_between(those, c.weights, c.weight_counts, base[some], first, ranges)
            found.append((which[some] * 8 + 1, moves.loads()))
        return found

    def _first_weights(self, which: Integers) -> Integers:
        """Return the address of the first row of each tile's weights."""
        c, at = self.c, {d: self.origin[d][which] for d in DIMENSIONS}
        if "W" in c.placement.transposed:
            g, line, block = c.weights.strides
            return np.asarray(c.weights.address + at["G"] * g + at["K"] * line + at["C"] // c.accelerator.dim * block)
        g, kb, r, s, ch = c.weights.strides
        blocks = at["G"] * g + at["K"] // c.kx * kb
        return np.asarray(c.weights.address + blocks + at["R"] * r + at["S"] * s + at["C"] * ch)

    def _transposed(
        self,
        shape: Shape,
        block: int,
        counts: Integers,
        apart: tuple[int, int],
        base: Integers,
        address: Integers,
        rows: int,
    ) -> list[tuple[Integers, Words]]:
        """Return the loads of tiles that lie transposed, those that are alike together.

        Args:
            shape: groups, lines, and rows of a line in DRAM.
            block: lines that become the bytes of a row on chip.
            counts: of each tile, groups, blocks of lines, and rows on chip of a block, shape [tiles, 3].
            apart: rows on chip from one group and from one block to the next.
            base: first row of each tile on chip.
            address: of its first row in DRAM.
            rows: that the memory on chip sets aside for a tile.
        """
        dim, found = self.c.accelerator.dim, []
        group, line, along = shape.strides
        for some, (groups, blocks, there) in _alike(counts):
            whole, rest = divmod(there, dim)
            ranges = [(base[some], base[some] + rows), _none(some), _none(some)]
            for first, number, becomes in ((0, whole, dim), (whole, 1, rest)):
                if not number or not becomes:
                    continue
                loops = [
                    NestLoop(block, {"row": 0, "address": line}),
                    NestLoop(number, {"row": dim, "address": along}),
                    NestLoop(blocks, {"row": apart[1], "address": block * line}),
                    NestLoop(groups, {"row": apart[0], "address": group}),
                ]
                at, start = base[some] + first * dim, address[some] + first * along
                moves = Moves([loop for loop in loops if loop.count > 1], block, at, start, ranges, stride=becomes)
                found.append((some, moves.loads(transposes=True)))
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
            found.append((which[some], moves_between(those, shape, c.output_counts, base[some], address[some], ranges)))
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

    def _load_tables(self) -> list[tuple[Integers, Words]]:
        """Return what loads the tables of the store unit, before the first tile is computed."""
        if self.c.placement.table is None:
            return []
        words = table_load(
            self.c.placement.table, self.c.accelerator.scratchpad_rows, self.c.accelerator.accumulator_rows
        )
        return [(np.array([2]), words.reshape(1, -1))]

    def _execute(self) -> list[tuple[Integers, Words]]:
        c, inside = self.c, self.inside
        layer = c.layer
        y, x = self._input_origin()
        rows, columns = c.stored
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
        for d in REDUCED:
            begins &= (self.dram[d] == 0) & (self.sp[d] == 0)
        rows_of = (base_i, c.input_rows), (base_w, c.weight_rows), (base_o, c.output_rows)
        holds_sums = c.accelerator.stationary == "O"
        found = []
        for some, those in _alike(np.stack([self.valid[d] for d in DIMENSIONS], axis=1)):
            loops, masks = c.nest(dict(zip(DIMENSIONS, those, strict=True)))
            these = Executes(
                inputs[some], weights[some], base_o[some], (y + dy)[some], (x + dx)[some],
                np.full(len(some), rows), np.full(len(some), columns), begins[some],
            )  # fmt: skip
            ranges = [(base[some], base[some] + count) for base, count in rows_of]
            found.append((some * 8 + 3, executes(loops, masks, c.cx, these, ranges, holds_sums=holds_sums)))
        return found

    def _store(self) -> list[tuple[Integers, Words]]:
        c, ready = self.c, np.flatnonzero(self.leaves & self.last_visit)
        looks = c.placement.table is not None
        found = []
        for tiles, moves, window in self._pooled(ready) if c.pool else self._outgoing(ready):
            if looks:
                moves = replace(moves, ranges=[tables_of(c.accelerator.scratchpad_rows, tiles), *moves.ranges[1:]])
            found.append((tiles * 8 + 4, moves.stores(c.conversion, window, looks_up=looks)))
        unfinished = np.flatnonzero(self.leaves & ~self.last_visit)
        if len(unfinished):
            found += [(tiles * 8 + 4, moves.stores(None)) for tiles, moves in self._sums(c.partial, unfinished)]
        return found

    def _outgoing(self, which: Integers) -> Iterator[tuple[Integers, Moves, None]]:
        """Yield how tiles go out."""
        for tiles, moves in self._sums(self.c.outputs, which):
            yield tiles, moves, None

    def _pooled(self, which: Integers) -> Iterator[tuple[Integers, Moves, Window]]:
        """Yield how the windows of tiles go out, and which loops go over one."""
        c, pool = self.c, self.c.pool
        assert pool is not None
        at = {d: (self.origin[d] + self.inside[d])[which] for d in RELEVANT["O"]}
        valid = {d: self.valid[d][which] for d in RELEVANT["O"]}
        g, kb, n, line, pixel = c.outputs.strides
        width = c.inner["Q"]
        address = c.outputs.address + at["G"] * g + at["K"] // c.kx * kb + at["N"] * n
        base = self.buffer_o[which] * c.output_rows
        places = [prod(c.output_counts[i + 1 :]) for i in range(3)]
        keys = np.stack([valid["G"], -(-valid["K"] // c.kx), valid["N"], at["P"], at["Q"]], axis=1)
        for some, (*counts, p, q) in _alike(keys):
            outside = [
                NestLoop(count, {"row": row, "address": step})
                for count, row, step in zip(counts, places, (g, kb, n), strict=True)
            ]
            windows = (of_tile(pool, a, c.bounds[d], at, c.inner[d]) for a, d, at in ((0, "P", p), (1, "Q", q)))
            for lines, pixels in product(*windows):
                loops, window, offsets = pooled_moves(lines, pixels, pool.strides, outside, width, (line, pixel))
                row = base[some] + (lines.first - p) * width + pixels.first - q
                first = address[some] + lines.output * line + pixels.output * pixel
                ranges = [_none(some), _none(some), (base[some], base[some] + c.output_rows)]
                for rows, bytes_ in offsets:
                    yield which[some], Moves(loops, 1, row + rows, first + bytes_, ranges), window


def _alike(rows: Integers) -> list[tuple[Integers, tuple[int, ...]]]:
    """Return which rows are equal, and what they hold."""
    different, which = np.unique(rows, axis=0, return_inverse=True)
    return [(np.flatnonzero(which.reshape(-1) == number), tuple(row)) for number, row in enumerate(different.tolist())]


def _none(which: Integers) -> tuple[Integers, Integers]:
    return np.zeros(len(which), dtype=np.int64), np.zeros(len(which), dtype=np.int64)


def _number(columns: Sequence[Integers]) -> Integers:
    """Return a number per row that is the same where all columns are."""
    found = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        found = found * (int(column.max()) + 1) + column
    return found


def _changes(numbers: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.append(True, numbers[1:] != numbers[:-1])
