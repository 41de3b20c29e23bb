"""`sliding`, compiled: input windows that instances share, and links between neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import C, D, G, K, N, P, Q, R, S, extent_of_window, step

_compiled, _inlined = compilers(Path(__file__).parent)


@_inlined
def may_share(nest, flow, level, same_slab, still):
    """Return whether instances may share windows in ways that `_units` does not see."""
    levels = len(nest.temporal)
    if level > 0 and still > 0 and same_slab and nest.spatial[level, K] > 1:
        return True
    for axis in range(2):
        out, tap = P + axis, R + axis
        spread_out, spread_tap = nest.spatial[level, out] > 1, nest.spatial[level, tap] > 1
        if spread_out and spread_tap:
            return True
        if level > 0:
            turns_out = flow.tile[levels, out] > step(nest, flow, level, out)
            turns_tap = flow.tile[levels, tap] > step(nest, flow, level, tap)
            if (spread_out and turns_tap) or (spread_tap and turns_out):
                return True
    return False


@_inlined
def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a


@_inlined
def _distinct_windows(nest, flow, work, level):
    """Return how many different windows the instances want: along each axis sums a i + b j, i < m, j < n."""
    found = nest.spatial[level, N] * nest.spatial[level, C] * nest.spatial[level, G]
    for axis in range(2):
        out, tap = P + axis, R + axis
        m, n = nest.spatial[level, out], nest.spatial[level, tap]
        a = int(work.stride[axis] * flow.tile[level, out])
        b = int(work.dilation[axis] * flow.tile[level, tap])
        common = _gcd(a, b)
        # (i, j) and (i + b', j - a') are the same window; one that has such a successor counts with it.
        found *= m * n - max(0.0, m - b // common) * max(0.0, n - a // common)
    return found


@_inlined
def _scale(flow, work, d):
    """Return what one step along a dimension adds to a window's address; see `sliding`."""
    whole = flow.tile[len(flow.tile) - 1]
    per_row = int(4 * extent_of_window(whole, work, 1))
    per_channel = per_row * int(4 * extent_of_window(whole, work, 0))
    per_image = per_channel * 4 * int(whole[C])
    if d == N:
        return per_image
    if d == C:
        return per_channel
    if d == G:
        return per_image * 4 * int(whole[N])
    if d == P:
        return per_row * int(work.stride[0])
    if d == R:
        return per_row * int(work.dilation[0])
    if d == Q:
        return int(work.stride[1])
    if d == S:
        return int(work.dilation[1])
    return 0


@_compiled
def _place_windows(nest, flow, work, level, fan):
    """Put the address of every instance's window into `where`: X turns fastest, then Y."""
    count = int(fan)
    for i in range(count):
        flow.where[i] = 0
    run = 1
    for axis in range(2):
        order = nest.order_x[level] if axis == 0 else nest.order_y[level]
        for k in range(D):
            d = int(order[k])
            along_y = int(nest.along_y[level, d])
            along_x = int(nest.spatial[level, d]) // along_y
            factor = along_x if axis == 0 else along_y
            if factor == 1:
                continue
            reach = int(flow.tile[level, d]) * _scale(flow, work, d)
            if axis == 1:
                reach *= along_x
            for i in range(count):
                flow.where[i] += (i // run) % factor * reach
            run *= factor


@_compiled
def _after_links(flow, fan, mesh, code):
    """Return how many instances find their next window at a neighbour, and how many windows are left."""
    count = int(fan)
    served = 0
    for i in range(count):
        wanted = flow.where[i] + code
        column = i % mesh
        found = (
            (column > 0 and flow.where[i - 1] == wanted)
            or (column < mesh - 1 and i + 1 < count and flow.where[i + 1] == wanted)
            or (i >= mesh and flow.where[i - mesh] == wanted)
            or (i + mesh < count and flow.where[i + mesh] == wanted)
        )
        flow.passed[i] = found
        if found:
            served += 1
    if not served:
        return 0.0, fan
    rest = 0
    for i in range(count):
        if not flow.passed[i]:
            flow.left[rest] = flow.where[i]
            rest += 1
    left = np.sort(flow.left[:rest])
    different = 0
    for i in range(rest):
        if i == 0 or left[i] != left[i - 1]:
            different += 1
    return float(served), float(different)


@_compiled
def shared(nest, chip, work, flow, level, fan, tile, slab):
    """Return words read, received and linked, instance by instance; see `sliding`."""
    units = _distinct_windows(nest, flow, work, level)
    if level == 0:
        return flow.above[0] * units, flow.above[0] * fan, 0.0
    read, received, linked = tile * units, tile * fan, 0.0
    begin, end = flow.start[level], flow.start[len(nest.temporal)]
    if begin == end:
        return read, received, linked
    _place_windows(nest, flow, work, level, fan)
    mesh = int(chip.fanout[level, 0])
    moved = 0
    first_code = 0
    repeated = 0.0
    outside = flow.above[level]
    for i in range(begin, end + 2):
        same = before = True
        if i < end:
            at, d = flow.loop_level[i], flow.loop_dim[i]
            factor = nest.temporal[at, d]
            outside /= factor
            code = int(step(nest, flow, at, d)) * _scale(flow, work, d)
            if i == begin:
                first_code = moved = code
                continue
            times = (factor - 1) * outside
            displaced = code - moved
            moved += code
            same = before = displaced == first_code
            if same:
                repeated += times
        else:
            first = nest.temporal[flow.loop_level[begin], flow.loop_dim[begin]]
            displaced = first_code
            before = i == end
            times = (first - 1) * (repeated if before else flow.above[level] / first - repeated)
        size = slab if same else tile
        if times * size <= 0:
            continue
        served, rest = 0.0, units
        if slab == tile or before:
            over, left = _after_links(flow, fan, mesh, displaced)
            if left < units:
                served, rest = over, left
        read += times * size * rest
        received += times * size * (fan - served)
        linked += times * size * served
    return read, received, linked
