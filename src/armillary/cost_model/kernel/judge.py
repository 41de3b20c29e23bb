"""The cost model for one mapping at a time, compiled: what a search asks a million times.

The sums are those of `cost`, which explains and proves them over tensors; here they are loops over the few dimensions
that turn, and a mapping that does not fit is left at once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import (
    ROLE_O,
    ROLE_P,
    WHOLE,
    C,
    Chip,
    D,
    O,
    R,
    S,
    Work,
    find_loops,
    nest_of,
    rounds,
    words,
)
from armillary.cost_model.kernel.perfect import perfect_flow
from armillary.cost_model.kernel.short import remainder_flow

_compiled, _inlined = compilers(Path(__file__).parent)


@_compiled
def judge(nest, chip, work, flow, out):
    """Put delay (cycles) and energy (pJ) of a mapping into out[:2] and return whether it fits; else out is infinite.

    The loops must run as far as the layer does: that is not looked at.
    """
    out[0] = out[1] = np.inf
    levels = len(chip.capacity)
    if not _keeps_fit(nest, chip) or not _fanout_fits(nest, chip, flow):
        return False
    perfect = True
    for level in range(levels):
        for d in range(D):
            if (
                nest.temporal_last[level, d] != nest.temporal[level, d]
                or nest.spatial_last[level, d] != nest.spatial[level, d]
            ):
                perfect = False
    if not _tiles_fit(nest, chip, work, flow):
        return False
    find_loops(nest, flow)
    steps = perfect_flow(nest, chip, work, flow) if perfect else remainder_flow(nest, chip, work, flow)
    return _totals(nest, chip, work, flow, steps, out)


@_inlined
def _keeps_fit(nest, chip):
    levels = len(chip.capacity)
    for level in range(levels):
        for t in range(3):
            if nest.keeps[level, t] > chip.able[level, t]:
                return False
    for t in range(3):  # an outermost level that cannot keep a tensor leaves it to a level inside
        held = 0.0
        for level in range(levels):
            held += nest.keeps[level, t]
        if held == 0 or nest.keeps[levels - 1, t] < chip.able[levels - 1, t]:
            return False
    return True


@_inlined
def _fanout_fits(nest, chip, flow):
    levels = len(chip.capacity)
    count = 1.0
    for level in range(levels - 1, -1, -1):
        flow.instances[level] = count
        both = y = 1.0
        for d in range(D):
            y *= nest.along_y[level, d]
            both *= nest.spatial[level, d]
        if both > chip.fanout[level, 0] * y or y > chip.fanout[level, 1]:
            return False
        count *= both
    return True


@_inlined
def _tiles_fit(nest, chip, work, flow):
    """Work out the tiles and return whether they fit; outputs count with the narrower of their widths."""
    levels = len(chip.capacity)
    for d in range(D):
        flow.tile[0, d] = 1.0
        extent = 1.0
        for level in range(levels):
            extent *= nest.spatial[level, d] * nest.temporal[level, d]
            flow.tile[level + 1, d] = min(extent, work.bounds[d])
    held = 0.0
    for level in range(levels):
        if level == 0 or chip.part[level - 1] == 0:
            held = 0.0
        for t in range(3):
            if nest.keeps[level, t] > 0:
                role = t if t != O else (ROLE_O if chip.words[level, ROLE_O] < chip.words[level, ROLE_P] else ROLE_P)
                held += words(flow.tile[level + 1], work, t) * chip.words[level, role]
        if held > chip.capacity[level]:
            return False
    return True


@_inlined
def _totals(nest, chip, work, flow, steps, out):
    levels = len(chip.capacity)
    delay = steps
    energy = 0.0
    apart = False  # whether sums are unrolled outside the level: then no instance has a final output
    read = written = held = 0.0
    for level in range(levels - 1, -1, -1):
        own = flow.own[level]
        if chip.part[level] == 0:  # else the level shares room and ports with the outer part of its memory
            read = written = held = 0.0
        for t in range(3):
            if nest.keeps[level, t] == 0:
                continue
            load = flow.load[level, t]
            reads, fills, updates = load, flow.arriving[level, t], 0.0
            width = chip.words[level, t]
            tile_width = width
            if t == O:
                partial, final = chip.words[level, ROLE_P], chip.words[level, ROLE_O]
                finished = 0.0 if apart else own
                updates = (load - finished) * partial + finished * final
                reads, fills, width = load - own, fills - own, partial
                tile_width = final if load == own and not apart else partial
            outside = 0.0
            for upper in range(level + 1, levels):
                outside += nest.keeps[upper, t]
            if outside == 0:
                fills = 0.0
            reads, fills = reads * width, fills * width
            held += words(flow.tile[level + 1], work, t) * tile_width
            read += reads
            written += fills + updates
            blocks = np.ceil(reads / chip.block[level] * WHOLE) * chip.access_pj[level, 0]
            blocks += np.ceil(fills / chip.block[level] * WHOLE) * chip.access_pj[level, 1]
            blocks += np.ceil(updates / chip.block[level] * WHOLE) * chip.access_pj[level, 2]
            energy += blocks * flow.instances[level]
        if held > chip.capacity[level]:
            return False
        cycles = max(read / chip.bandwidth[level, 0], written / chip.bandwidth[level, 1])
        cycles = np.ceil(max(cycles, (read + written) / chip.bandwidth[level, 2]) * WHOLE)
        delay = max(delay, cycles)
        for d in (C, R, S):
            if nest.spatial[level, d] > 1:
                apart = True
    macs = 1.0
    for d in range(D):
        macs *= work.bounds[d]
    out[0], out[1] = delay, energy + macs * chip.mac_pj[0]
    return True


@_inlined
def _covers(nest, work):
    """Return whether the loops over every dimension run as far as the layer does."""
    found = True
    for d in range(D):
        found = found and rounds(nest, d, 0, len(nest.temporal), True) == work.bounds[d]
    return found


@_compiled
def judge_some(nests, chips, work, chip_of, work_of, first, last, flow, out, fits):
    """Judge mappings number `first` to `last` - 1; nests, chips and work are stacked along their first axis.

    `chip_of` and `work_of` are 1 where each mapping has its own, else 0.
    """
    for i in range(first, last):
        c, w = i * chip_of, i * work_of
        nest = nest_of(nests, i)
        chip = Chip(
            chips.capacity[c], chips.part[c], chips.able[c], chips.bandwidth[c], chips.fanout[c], chips.shares[c],
            chips.block[c], chips.access_pj[c], chips.words[c], chips.mac_pj[c],
        )  # fmt: skip
        layer = Work(work.bounds[w], work.stride[w], work.dilation[w])
        out[i, :] = np.inf
        fits[i] = _covers(nest, layer) and judge(nest, chip, layer, flow, out[i])
