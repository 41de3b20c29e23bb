"""What the system around Gemmini makes of a mapping: cycles of a layer on a FireSim-like SoC, by its requests.

The RTL of the template has a private port to DRAM, reads long bursts and keeps what the next tile needs as well.
Gemmini (Genc et al., DAC 2021), as FireSim ran it for the DOSA artifact (Hong et al., MICRO 2023), does not:

1. A tile is one loop instruction. It loads all of its inputs and weights, also those that the tile before has loaded.
2. Two loop instructions are in flight: one loads while the other computes. The third waits for the first.
3. A compute instruction multiplies at most as many pixels as the array has rows, all of one image row, here along P. It
   takes no less than half as many cycles as the array has rows, nor than `run_cycles`, however few its pixels are.
4. Tensors lie in DRAM as NHWC, weights as RSCK. A move instruction makes a request for each of its rows, at most
   `request_bytes` long, so a tile of few channels makes many short requests.
5. Requests share one bus and are served one after another.
6. Behind the bus lies a cache, write-back, least recently used replaced, and behind that DRAM with open rows.

Loop order inside a tile is the instruction's, not the mapping's: K, R, S, C, then the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.hardware.mapping import Mapping, loop_bounds
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_ORDER = "NCKPQRS"
_PAGE = 4096
_KIND, _CYCLE = 2, 1024
PACKED = (
    "kind", "beat_bytes", "ways", "line_bytes", "sets", "row_bytes", "banks", "beat_time", "row_hit_time",
    "row_miss_time",
)  # fmt: skip
"""Names of what the simulated memory is given, in the order of its struct; times are in 1/1024 cycles."""
_compiled, _inlined = compilers(Path(__file__))


@dataclass(frozen=True)
class Soc:
    """The system around the array; the defaults are that of the DOSA artifact.

    Attributes:
        run_cycles: least cycles of a compute instruction on a small array; from 8 rows on, half the rows is more.
        beat_bytes: of the system bus. Chipyard's Gemmini configurations: 128 bit.
        beat_cycles: of the bus per beat, on average. A 64-byte block takes six cycles for its four beats.
        request_bytes: of the longest request. Gemmini's `dma_maxbytes`: 64.
        cache_bytes: of the last-level cache. FireSim's model of it (LLC4MB): 4096 sets of 8 ways of 128 bytes.
        cache_ways: of a set.
        cache_line_bytes: of a way.
        row_bytes: of a DRAM row. FASED's default for DDR3: the bank is addressed by bit 13 and up.
        banks: of all ranks. FASED's default: 4 ranks of 8 banks.
        row_hit_cycles: that a cache line from an open row keeps the memory busy, above the bus: its second burst.
        row_miss_cycles: likewise where another row was open. DDR3-2133: tRP + tRCD + tCAS = 42 cycles, two bursts of 4
            cycles, and the controllers.

    Raises:
        ArmillaryError: if a value is not allowed; names it.
    """

    run_cycles: int = 4
    beat_bytes: int = 16
    beat_cycles: float = 1.5
    request_bytes: int = 64
    cache_bytes: int = 4 << 20
    cache_ways: int = 8
    cache_line_bytes: int = 128
    row_bytes: int = 8 << 10
    banks: int = 32
    row_hit_cycles: float = 4.0
    row_miss_cycles: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < 1 << 40 or (value < 1 and not field.name.endswith("_cycles")):
                raise ArmillaryError(f"{field.name}={value!r} is not allowed; it must be at least 1, cycles at least 0")
        if self.request_bytes % self.beat_bytes:
            raise ArmillaryError(
                f"request_bytes={self.request_bytes} is not allowed; "
                f"it must be a multiple of beat_bytes={self.beat_bytes}"
            )
        if self.cache_bytes % (self.cache_ways * self.cache_line_bytes):
            raise ArmillaryError(
                f"cache_bytes={self.cache_bytes} is not allowed; it must be a multiple of {self.cache_ways} ways of "
                f"{self.cache_line_bytes} bytes"
            )

    @property
    def sets(self) -> int:
        """Sets of the cache."""
        return self.cache_bytes // (self.cache_ways * self.cache_line_bytes)

    def least_run(self, dim: int) -> int:
        """Return the least cycles of a compute instruction on an array of so many rows."""
        return max(self.run_cycles, dim // 2)

    def packed(self) -> NDArray[np.int64]:
        """Return what the simulated memory is given, shape [10]; see `PACKED`.

        `run_cycles` and `request_bytes` are the accelerator's part.
        """
        times = [round(cycles * _CYCLE) for cycles in (self.beat_cycles, self.row_hit_cycles, self.row_miss_cycles)]
        cache = [self.cache_ways, self.cache_line_bytes, self.sets]
        return np.array([_KIND, self.beat_bytes, *cache, self.row_bytes, self.banks, *times], dtype=np.int64)


@dataclass(frozen=True)
class SocCycles:
    """What a layer takes.

    Attributes:
        cycles: of the whole layer.
        execute: cycles of the compute instructions.
        memory: cycles in which the memory is busy.
        tiles: loop instructions.
        requests: to memory.
        row_hits: cache lines that moved between the cache and an open DRAM row.
        row_misses: likewise where another row was open.
    """

    cycles: float
    execute: float
    memory: float
    tiles: int
    requests: int
    row_hits: int
    row_misses: int


def cycles_on_soc(layer: Layer, mapping: Mapping, dim: int, soc: Soc | None = None) -> SocCycles:
    """Return what a layer takes on Gemmini in its SoC.

    Args:
        layer: its input includes the padding, which is loaded like the rest.
        mapping: onto the template's hierarchy, of DRAM, scratchpad, accumulator and registers. The temporal loops of
            DRAM and scratchpad turn over tiles, in their order; the rest is a tile, cut off where the layer ends.
        dim: rows and columns of the array.
        soc: the system; the artifact's by default.

    Raises:
        ArmillaryError: if the layer has groups, the mapping has not four levels or is none of the layer, or `dim` is
            below 1.

    Source: Genc et al., DAC 2021; Biancolin et al., FPGA 2019 (FASED). The values are those of the public
    configurations named at `Soc`; the least cycles of a compute instruction and `beat_cycles` were read off rows of
    the artifact.
    """
    if layer.groups != 1:
        raise ArmillaryError(f"layer {layer.name}: groups={layer.groups} is not modelled; it must be 1")
    if len(mapping.levels) != 4:
        raise ArmillaryError(f"mapping {mapping} has {len(mapping.levels)} levels; the template has 4")
    if dim < 1:
        raise ArmillaryError(f"dim={dim} is not allowed; it must be at least 1")
    bounds, extents = loop_bounds(layer), mapping.extents()
    for d in _ORDER:
        if extents[d] != bounds[d]:
            raise ArmillaryError(f"mapping {mapping} has {d}={extents[d]}, layer {layer.name} has {d}={bounds[d]}")
    outer = [loop for level in mapping.levels[:2] for loop in level.temporal]
    inside = [*mapping.levels[1].spatial, *(loop for level in mapping.levels[2:] for loop in level.loops)]
    tile = [prod(loop.factor for loop in inside if loop.dimension == d) for d in _ORDER]
    loops = np.array([(_ORDER.index(loop.dimension), loop.factor) for loop in outer], dtype=np.int64).reshape(-1, 2)
    steps = np.array([layer.stride_h, layer.stride_w, layer.dilation_h, layer.dilation_w], dtype=np.int64)
    sizes = np.array([bounds[d] for d in _ORDER], dtype=np.int64)
    found = _walk(sizes, np.array(tile, dtype=np.int64), loops, steps, dim, *_constants(soc or Soc(), dim))
    cycles, execute, memory, *counts = found.tolist()
    return SocCycles(cycles, execute, memory, *map(int, counts))


def _constants(soc: Soc, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    whole = [soc.least_run(dim), soc.beat_bytes, soc.request_bytes, soc.cache_ways, soc.cache_line_bytes]
    whole += [soc.sets, soc.row_bytes, soc.banks]
    costs = [soc.beat_cycles, soc.row_hit_cycles, soc.row_miss_cycles]
    return np.array(whole, dtype=np.int64), np.array(costs, dtype=np.float64)


@_inlined
def _open(address, row_bytes, banks, rows):  # type: ignore[no-untyped-def]
    """Open the row of an address, and return whether it was."""
    place = address // row_bytes
    was = rows[place % banks] == place
    rows[place % banks] = place
    return was


@_compiled
def _request(address, end, write, whole, costs, tags, used, dirty, rows, totals):  # type: ignore[no-untyped-def]
    """Move the bytes of a row between its address and its end, a request per block; add to what the memory did."""
    _, beat, longest, ways, line_bytes, sets, row_bytes, banks = whole
    while address < end:
        upto = min(end, (address // longest + 1) * longest)
        beats = (upto - address + beat - 1) // beat
        totals[0] += beats * costs[0]
        totals[1] += 1
        line = address // line_bytes
        own = line % sets * ways
        address = upto
        totals[4] += 1
        place, oldest = -1, own
        for way in range(own, own + ways):
            if tags[way] == line:
                place = way
            elif used[way] < used[oldest]:
                oldest = way
        if place < 0:
            place = oldest
            lines = [line]
            if dirty[place]:
                lines.append(tags[place])
            for moved in lines:
                hit = _open(moved * line_bytes, row_bytes, banks, rows)
                totals[0] += costs[1] if hit else costs[2]
                totals[2 if hit else 3] += 1
            tags[place], dirty[place] = line, False
        used[place] = totals[4]
        dirty[place] |= write


@_inlined
def _next_tile(loops, tile, index, origin):  # type: ignore[no-untyped-def]
    """Write where a tile begins to `origin`, and move the index of each loop on to the next one."""
    stride = tile.copy()
    origin[:] = 0
    for i in range(len(loops) - 1, -1, -1):
        origin[loops[i, 0]] += index[i] * stride[loops[i, 0]]
        stride[loops[i, 0]] *= loops[i, 1]
    for i in range(len(loops) - 1, -1, -1):
        index[i] += 1
        if index[i] < loops[i, 1]:
            break
        index[i] = 0


@_inlined
def _row_cycles(pixels, dim, least_run):  # type: ignore[no-untyped-def]
    """Return what compute instructions for a row of pixels take; the last one has those that are left."""
    cycles = pixels // dim * max(dim, least_run)
    if pixels % dim:
        cycles += max(pixels % dim, least_run)
    return cycles


@_compiled
def _read_inputs(origin, count, sizes, steps, dim, whole, costs, tags, used, dirty, rows, totals):  # type: ignore[no-untyped-def]
    """Ask for the pixels of a tile, row by row of an image, some channels at a time."""
    _, channels, _, width, height, s_width, s_height = sizes
    step_x, step_y, apart_x, apart_y = steps
    in_width = (width - 1) * step_x + (s_width - 1) * apart_x + 1
    in_height = (height - 1) * step_y + (s_height - 1) * apart_y + 1
    n0, c0, _, x0, y0, r0, s0 = origin
    n_n, n_c, _, n_x, n_y, n_r, n_s = count
    longest = whole[2]
    first_y, first_x = y0 * step_y + s0 * apart_y, x0 * step_x + r0 * apart_x
    across = (n_x - 1) * step_x + (n_r - 1) * apart_x + 1
    for n in range(n0, n0 + n_n):
        for y in range(first_y, first_y + (n_y - 1) * step_y + (n_s - 1) * apart_y + 1):
            for x in range(first_x, first_x + across, dim):
                for c in range(c0, c0 + n_c, longest):
                    for pixel in range(x, min(x + dim, first_x + across)):
                        at = ((n * in_height + y) * in_width + pixel) * channels
                        end = at + min(c + longest, c0 + n_c)
                        _request(at + c, end, False, whole, costs, tags, used, dirty, rows, totals)


@_compiled
def _read_weights(origin, count, sizes, weights_at, whole, costs, tags, used, dirty, rows, totals):  # type: ignore[no-untyped-def]
    """Ask for the weights of a tile."""
    _, channels, outputs, _, _, _, s_height = sizes
    _, c0, k0, _, _, r0, s0 = origin
    _, n_c, n_k, _, _, n_r, n_s = count
    longest = whole[2]
    for k in range(k0, k0 + n_k, longest):
        for r in range(r0, r0 + n_r):
            for s in range(s0, s0 + n_s):
                for c in range(c0, c0 + n_c):
                    at = weights_at + ((r * s_height + s) * channels + c) * outputs
                    end = at + min(k + longest, k0 + n_k)
                    _request(at + k, end, False, whole, costs, tags, used, dirty, rows, totals)


@_compiled
def _write_outputs(origin, count, sizes, outputs_at, dim, whole, costs, tags, used, dirty, rows, totals):  # type: ignore[no-untyped-def]
    """Write the outputs of a tile, a row of the array at a time."""
    _, _, outputs, width, height, _, _ = sizes
    n0, _, k0, x0, y0, _, _ = origin
    n_n, _, n_k, n_x, n_y, _, _ = count
    for n in range(n0, n0 + n_n):
        for y in range(y0, y0 + n_y):
            for x in range(x0, x0 + n_x):
                at = outputs_at + ((n * height + y) * width + x) * outputs
                for k in range(k0, k0 + n_k, dim):
                    end = at + min(k + dim, k0 + n_k)
                    _request(at + k, end, True, whole, costs, tags, used, dirty, rows, totals)


@_compiled
def _walk(sizes, tile, loops, steps, dim, whole, costs):  # type: ignore[no-untyped-def]
    """Return cycles, those of execution and of memory, tiles, requests, row hits and misses; for shapes see the caller.

    `totals` holds cycles of memory, requests, row hits, row misses, and a clock of requests.
    """
    batch, channels, outputs, width, height, s_width, s_height = sizes
    step_x, step_y, apart_x, apart_y = steps
    in_width = (width - 1) * step_x + (s_width - 1) * apart_x + 1
    in_height = (height - 1) * step_y + (s_height - 1) * apart_y + 1
    weights_at = -(-batch * in_height * in_width * channels // _PAGE) * _PAGE
    outputs_at = weights_at + -(-s_width * s_height * channels * outputs // _PAGE) * _PAGE
    lines = whole[3] * whole[5]
    tags, used, dirty = np.full(lines, -1), np.zeros(lines, dtype=np.int64), np.zeros(lines, dtype=np.bool_)
    rows, totals = np.full(whole[7], -1), np.zeros(5)
    index = np.zeros(len(loops), dtype=np.int64)
    origin, count = np.zeros(7, dtype=np.int64), np.zeros(7, dtype=np.int64)
    executed, tiles = 0.0, 0
    loaded, computed, before = 0.0, 0.0, 0.0
    for _ in range(loops[:, 1].prod()):
        _next_tile(loops, tile, index, origin)
        count[:] = np.minimum(tile, sizes - origin)
        if count.min() < 1:
            continue
        _, c0, _, _, _, r0, s0 = origin
        n_n, n_c, n_k, n_x, n_y, n_r, n_s = count
        begun = totals[0]
        _read_inputs(origin, count, sizes, steps, dim, whole, costs, tags, used, dirty, rows, totals)
        _read_weights(origin, count, sizes, weights_at, whole, costs, tags, used, dirty, rows, totals)
        if c0 + n_c == channels and r0 + n_r == s_width and s0 + n_s == s_height:
            _write_outputs(origin, count, sizes, outputs_at, dim, whole, costs, tags, used, dirty, rows, totals)
        blocks = -(-n_c // dim) * -(-n_k // dim) * n_r * n_s
        execute = float(blocks * max(n_n * n_y * _row_cycles(n_x, dim, whole[0]), dim))
        executed += execute
        tiles += 1
        loaded = max(loaded, before) + totals[0] - begun
        before, computed = computed, max(computed, loaded) + execute
    return np.array([computed, executed, totals[0], tiles, totals[1], totals[2], totals[3]])
