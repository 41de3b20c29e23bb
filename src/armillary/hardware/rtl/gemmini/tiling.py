"""How a mapping splits a layer into tiles of the scratchpad and the accumulator."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT, Loop, Mapping, loop_bounds
from armillary.hardware.rtl.gemmini.arithmetic import Conversion
from armillary.hardware.rtl.gemmini.commands import MOST_LOOPS, NestLoop, merged
from armillary.hardware.rtl.gemmini.layout import Padding, Placement, RefusedError, Shape, aligned
from armillary.hardware.rtl.gemmini.windows import along, whole
from armillary.hardware.templates.gemmini import Accelerator
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer
from armillary.workloads.quantized.step import Window

REDUCED = "CRS"


class Tiling:
    """How a mapping splits a layer into tiles, and where the tiles lie on chip.

    Args:
        layer: its input includes the padding.
        mapping: onto the accelerator's hierarchy.
        accelerator: of one dataflow, whose memories the tiles must fit.
        padding: zeros around the input that are not in memory.
        conversion: of the sums.
        placement: of the tensors.
        reload: inputs and weights are loaded for every tile of the scratchpad, not only where they change.
        pool: windows of the outputs, without dilation, of which the largest goes out; None for all outputs.

    Raises:
        RefusedError: if a memory or the array is too small, or a window lies in several tiles of the accumulator.
        ArmillaryError: if a given tensor has other counts than the mapping makes, or the padding leaves no input.
    """

    def __init__(
        self,
        layer: Layer,
        mapping: Mapping,
        accelerator: Accelerator,
        padding: Padding,
        conversion: Conversion,
        placement: Placement,
        reload: bool = False,
        pool: Window | None = None,
    ) -> None:
        self.layer, self.mapping, self.accelerator = layer, mapping, accelerator
        self.padding, self.conversion, self.placement, self.reload = padding, conversion, placement, reload
        self.pool = pool
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
        if placement.transposed:
            self._check_transposed()
        self._check_windows()
        self._lay_out()
        self._count_rows()

    def _check_windows(self) -> None:
        """Refuse windows that no tile holds."""
        for axis, d in enumerate("PQ" if self.pool else ""):
            assert self.pool is not None
            there = whole(self.pool, axis, self.bounds[d], self.inner[d])
            needed = len(along(self.pool, axis, self.bounds[d]))
            if there != needed:
                raise RefusedError(self.layer, f"windows within {self.inner[d]} outputs along {d}", needed, there)

    @property
    def pixels(self) -> str:
        """The dimension over the pixels of a matrix product."""
        return next((d for d in "NPQ" if self.bounds[d] > 1), "P")

    def _check_transposed(self) -> None:
        """Refuse what is no matrix product, and tiles that begin within a row of what lies transposed."""
        layer, given, dim = self.layer, self.placement.transposed, self.accelerator.dim
        if set(given) - set("IW"):
            raise ArmillaryError(f"layer {layer.name}: transposed={given!r} is not allowed; name I, W or both")
        wide = [d for d in "NPQ" if self.bounds[d] > 1]
        steps = (layer.R, layer.S, layer.stride_h, layer.stride_w)
        if len(wide) > 1 or steps != (1, 1, 1, 1) or self.padding != Padding():
            raise ArmillaryError(
                f"layer {layer.name}: transposed={given!r} is not allowed; only operands of a matrix product may lie "
                "transposed: one of N, P and Q, R = S = 1, steps of 1, no padding"
            )
        for tensor, d in (("I", self.pixels), ("W", "C")):
            split = any(loop.dimension == d and loop.factor > 1 for loop in self.dram.temporal)
            if tensor in given and split and self.held[d] % dim:
                needed, what = aligned(self.held[d], dim), f"of {d} in a tile of {tensor} that lies transposed"
                raise RefusedError(layer, "whole rows", needed, self.held[d], what)

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
        self.stored = rows, columns
        given, padded = self.placement, self.padded
        c_blocks, k_blocks = -(-bounds["C"] // self.cx), -(-bounds["K"] // self.kx)
        counts: tuple[int, ...]
        if "I" in given.transposed:
            counts = (bounds["G"], c_blocks * self.cx, -(-bounds[self.pixels] // self.accelerator.dim))
        else:
            counts = (bounds["G"], c_blocks, bounds["N"], rows, columns)
        self.inputs = self._placed(given.inputs, "inputs", Shape(given.address, counts, pitch))
        end = given.address if given.inputs else self.inputs.end
        if "W" in given.transposed:
            counts = (bounds["G"], padded["K"], -(-padded["C"] // self.accelerator.dim))
        else:
            counts = (bounds["G"], padded["K"] // self.kx, padded["R"], padded["S"], padded["C"])
        self.weights = self._placed(given.weights, "weights", Shape(end, counts, pitch))
        end = end if given.weights else self.weights.end
        counts = (bounds["G"], k_blocks, bounds["N"], bounds["P"], bounds["Q"])
        pooled = counts if self.pool is None else (*counts[:3], *self.pool.outputs(*counts[3:]))
        self.outputs = self._placed(given.outputs, "outputs", Shape(aligned(end, 4 * pitch), pooled, pitch))
        end = end if given.outputs else self.outputs.end
        self.partial = Shape(aligned(end, 4 * pitch), counts, 4 * pitch)
        self.added = self._placed(given.added, "added", Shape(self.outputs.address, counts, pitch))

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
        changes = {
            t: any(loop.factor > 1 and loop.dimension in self.reloads(t) for loop in self.dram.loops) for t in "WI"
        }
        wanted = [(1 + changes["I"], 1 + changes["W"]), (1, 1 + changes["W"]), (1 + changes["I"], 1), (1, 1)]
        self.input_buffers, self.weight_buffers = next((i, w) for i, w in wanted if i * rows_i + w * rows_w <= room)
        self.output_buffers = 2 if 2 * rows_o <= sums else 1
        self.input_rows, self.weight_rows, self.output_rows = rows_i, rows_w, rows_o

    def reloads(self, tensor: str) -> str:
        """Return the dimensions over which each tile of the scratchpad loads inputs, I, or weights, W."""
        return DIMENSIONS if self.reload else RELEVANT[tensor]

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
        reduces = sum(1 << i for i, d in enumerate(names) if d in REDUCED)
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


def _unrolled(loops: Sequence[Loop]) -> int:
    return prod(loop.factor for loop in loops)


def _extents(loops: Sequence[Loop], inside: dict[str, int] | None = None) -> dict[str, int]:
    found = dict(inside or dict.fromkeys(DIMENSIONS, 1))
    for loop in loops:
        found[loop.dimension] *= loop.factor
    return found
