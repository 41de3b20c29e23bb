"""`traffic`, compiled: what crosses the boundaries between levels where all factors divide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import (
    INDEXES,
    I,
    K,
    O,
    P,
    Q,
    R,
    S,
    W,
    extent_of_window,
    fan_of,
    step,
    units,
    words,
)
from armillary.cost_model.kernel.sharing import may_share, shared

_compiled, _inlined = compilers(Path(__file__).parent)


@_inlined
def _displacement(nest, flow, work, level, d):
    axis = (d - P) % 2
    per_step = work.stride[axis] if d <= Q else work.dilation[axis]
    return per_step * step(nest, flow, level, d)


@_inlined
def _resting(nest, flow, tensor, boundary):
    """Return the product of the innermost loops above a boundary that do not move a tensor."""
    product = 1.0
    for i in range(flow.start[boundary], flow.start[len(nest.temporal)]):
        if INDEXES[tensor, flow.loop_dim[i]]:
            break
        product *= nest.temporal[flow.loop_level[i], flow.loop_dim[i]]
    return product


@_inlined
def _repeats(nest, flow, work, boundary, axis, first_moves):
    """Return how many moves over an axis repeat the innermost loop's displacement, and how many leave the tile."""
    times = still = moved = 0.0
    begin, end = flow.start[boundary], flow.start[len(nest.temporal)]
    outside = flow.above[boundary]
    for i in range(begin, end):
        level, d = flow.loop_level[i], flow.loop_dim[i]
        factor = nest.temporal[level, d]
        outside /= factor
        if d == K:
            continue
        if d != P + axis and d != R + axis:
            break
        reach = _displacement(nest, flow, work, level, d)
        if i > begin:
            if reach == first_moves + moved:
                times += outside * (factor - 1)
            if reach == moved:
                still += outside * (factor - 1)
        moved += reach
    return times, still


@_inlined
def _inputs(nest, work, flow, level, tile):
    """Return input words over a boundary, the new ones as the innermost loop turns, and moves that leave the tile."""
    above = flow.above[level]
    slab = tile
    divisor = 1.0
    moves0 = moves1 = 0.0
    rests = False
    if flow.start[level] < flow.start[len(nest.temporal)]:
        at, d = flow.loop_level[flow.start[level]], flow.loop_dim[flow.start[level]]
        divisor = nest.temporal[at, d]
        if d == K:
            rests = True
            divisor = _resting(nest, flow, I, level)
        elif P <= d <= S:
            if (d - P) % 2 == 0:
                moves0 = _displacement(nest, flow, work, at, d)
            else:
                moves1 = _displacement(nest, flow, work, at, d)
    for axis in range(2):
        moves = moves0 if axis == 0 else moves1
        window = extent_of_window(flow.tile[level], work, axis)
        if 0 < moves < window:
            slab = tile / window * moves
    if rests:
        slab = 0.0
    partial = above - above / divisor
    times0, still0 = _repeats(nest, flow, work, level, 0, moves0)
    times1, still1 = _repeats(nest, flow, work, level, 1, moves1)
    return tile * above - (tile - slab) * (partial + (times0 + times1)), slab, still0 + still1


@_inlined
def perfect_flow(nest, chip, work, flow):
    """Work out what each level loads and gets, and return the steps of the compute units."""
    levels = len(chip.capacity)
    steps = flow.above[0]
    for level in range(levels):
        inner = flow.tile[level]
        fan = fan_of(nest, level)
        tile = slab = words(inner, work, I)
        came_w = came_i = came_o = steps
        unmoved = still = 0.0
        if level > 0:
            above = flow.above[level]
            came_w = above / _resting(nest, flow, W, level) * words(inner, work, W)
            came_o = above / _resting(nest, flow, O, level) * words(inner, work, O)
            came_i, slab, still = _inputs(nest, work, flow, level, tile)
            if slab == tile:
                unmoved = still * tile
        multicast = chip.shares[level, 0] > 0
        alike = nest.spatial[level, K] > 1 and fan == nest.spatial[level, K]
        passed = unmoved if multicast and alike else 0.0
        came_i -= passed
        units_w = units(nest.spatial[level], W) if multicast else fan
        units_i = units(nest.spatial[level], I) if multicast else fan
        units_o = units(nest.spatial[level], O) if chip.shares[level, 1] > 0 else fan
        held = level > 0 and nest.keeps[level - 1, I] > 0
        row = flow.delivery[level]
        row[0], row[1], row[2] = came_w * units_w, came_i * units_i, came_o * units_o
        row[3], row[4], row[5] = units_w, units_i, units_o
        row[6], row[7], row[8] = came_w, came_i, came_o
        row[9] = passed * fan if held else 0.0
        if multicast and not alike and fan > 1 and may_share(nest, flow, level, slab == tile, still):
            read, received, linked = shared(nest, chip, work, flow, level, fan, tile, slab)
            row[1], row[4], row[7] = read, fan * read / received, received / fan
            row[9] = linked if held else 0.0
    _accesses(nest, work, flow)
    return steps


@_inlined
def _accesses(nest, work, flow):
    levels = len(nest.temporal)
    for level in range(levels):
        row = flow.delivery[level]
        for t in range(3):
            if level == 0 or nest.keeps[level - 1, t] > 0:
                flow.load[level, t] = row[t]
            else:
                flow.load[level, t] = flow.load[level - 1, t] * row[3 + t]
    # The recursion above needs loads without links, so those are added after it.
    for level in range(levels):
        peers = 0.0
        for t in range(3):
            flow.arriving[level, t] = 0.0
        if level + 1 < levels:
            after = flow.delivery[level + 1]
            peers = after[9] / flow.instances[level]
            for t in range(3):
                flow.arriving[level, t] = after[6 + t]
        flow.arriving[level, I] = np.rint(flow.arriving[level, I] + peers)
        flow.load[level, I] = np.rint(flow.load[level, I] + peers)
    own = words(flow.tile[levels], work, O)
    flow.own[levels - 1] = own
    for level in range(levels - 1, 0, -1):
        own /= units(nest.spatial[level], O)
        flow.own[level - 1] = own
