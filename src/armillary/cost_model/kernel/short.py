"""`remainders`, compiled: what crosses the boundaries between levels where last rounds are short."""

from __future__ import annotations

from pathlib import Path

from armillary.compiled import compilers
from armillary.cost_model.kernel.nest import INDEXES, NEVER, C, D, G, I, K, N, O, P, Q, R, S, rounds

_compiled, _inlined = compilers(Path(__file__).parent)


@_inlined
def _brought(nest, chip, flow, tensor, d, boundary, level, first):
    """Return how often loops over a dimension that does not index a tensor bring it anew over a boundary.

    Temporal loops count outside loop number `first`; spatial ones outside `level`, and inside it where one read does
    not serve all.
    """
    levels = len(nest.temporal)
    serves = 1 if tensor == O else 0
    every = last = 1.0
    for number in range(boundary, levels):
        factor, rest = nest.spatial[number, d], nest.spatial_last[number, d]
        inside = number <= level and level < levels
        if not inside or chip.shares[number, serves] == 0:
            last = (rest - 1) * every + last
            every *= factor
        elif rest > 1:
            last = every
        factor, rest = nest.temporal[number, d], nest.temporal_last[number, d]
        if factor > 1 and (boundary == 0 or flow.position[number, d] > first):
            last = (rest - 1) * every + last
            every *= factor
        elif rest > 1:
            last = every
    return last


@_inlined
def _first_index(nest, flow, tensor, boundary):
    """Return the number of the innermost loop from a level outwards that indexes a tensor."""
    for i in range(flow.start[boundary], flow.start[len(nest.temporal)]):
        if INDEXES[tensor, flow.loop_dim[i]]:
            return float(i)
    return NEVER


@_inlined
def _delivered(nest, chip, work, flow, tensor, boundary, level):
    """Return the words that all instances of a level hand over a boundary below it."""
    levels = len(nest.temporal)
    first = _first_index(nest, flow, tensor, boundary)
    if boundary == 0:
        first = -1.0
    elif first == NEVER:
        first = 2 * NEVER
    product = 1.0
    for d in range(D):
        if tensor == I and P <= d <= S:
            continue
        if INDEXES[tensor, d]:
            product *= work.bounds[d]
        elif work.bounds[d] > 1:
            product *= _brought(nest, chip, flow, tensor, d, boundary, level, first)
    if tensor != I:
        return product
    swept0, swept1 = _swept(nest, work, boundary, 0), _swept(nest, work, boundary, 1)
    found = swept0 * swept1
    if boundary > 0 and flow.start[boundary] < flow.start[levels]:
        at, d = flow.loop_level[flow.start[boundary]], flow.loop_dim[flow.start[boundary]]
        if P <= d <= S:
            axis = (d - P) % 2
            found -= (swept1 if axis == 0 else swept0) * _kept(nest, work, flow, boundary, at, d)
    return found * product


@_inlined
def _swept(nest, work, boundary, axis):
    """Return the rows (axis 0) or columns (1) of all windows together."""
    out, tap = P + axis, R + axis
    levels = len(nest.temporal)
    tiles_out = rounds(nest, out, boundary, levels, True)
    tiles_tap = rounds(nest, tap, boundary, levels, True)
    stride, dilation = work.stride[axis], work.dilation[axis]
    return (
        stride * work.bounds[out] * tiles_tap
        + dilation * work.bounds[tap] * tiles_out
        + (1 - stride - dilation) * (tiles_out * tiles_tap)
    )


@_inlined
def _kept(nest, work, flow, boundary, level, moving):
    """Return the rows or columns that need not come again as the innermost loop slides, in all."""
    axis = (moving - P) % 2
    out = P + axis
    other = R + axis if moving == out else out
    levels = len(nest.temporal)
    per_step = work.stride[axis] if moving == out else work.dilation[axis]
    whole_moving, whole_other = flow.tile[boundary, moving], flow.tile[boundary, other]
    rest_moving = rounds(nest, moving, 0, boundary, True)
    rest_other = rounds(nest, other, 0, boundary, True)
    step = flow.tile[level, moving] * nest.spatial[level, moving]
    tiles_moving = rounds(nest, moving, boundary, levels, True)
    tiles_other = rounds(nest, other, boundary, levels, True)
    moves = tiles_moving - _starts(nest, moving, boundary, level)
    into_rest = 1.0 if nest.temporal_last[level, moving] > 1 and rest_moving != whole_moving else 0.0
    total = 0.0
    for still in range(2):
        extent_other = whole_other if still == 0 else rest_other
        often_other = tiles_other - 1 if still == 0 else 1.0
        overlap = _window_of(work, axis, moving == out, whole_moving, extent_other) - per_step * step
        for moved in range(2):
            extent = whole_moving if moved == 0 else rest_moving
            often = moves - into_rest if moved == 0 else into_rest
            shared = min(overlap, _window_of(work, axis, moving == out, extent, extent_other))
            total += often_other * often * max(0.0, shared)
    return total


@_inlined
def _window_of(work, axis, moves_out, moving, other):
    out, tap = (moving, other) if moves_out else (other, moving)
    return (out - 1) * work.stride[axis] + (tap - 1) * work.dilation[axis] + 1


@_inlined
def _starts(nest, d, boundary, left_out):
    """Return the rounds of all loops over a dimension from a level outwards, but the temporal one of a level."""
    every = last = 1.0
    for level in range(boundary, len(nest.temporal)):
        last = (nest.spatial_last[level, d] - 1) * every + last
        every *= nest.spatial[level, d]
        rest = nest.temporal_last[level, d]
        if level != left_out:
            last = (rest - 1) * every + last
            every *= nest.temporal[level, d]
        elif rest > 1:
            last = every
    return last


@_inlined
def remainder_flow(nest, chip, work, flow):
    """Work out what each level loads and gets, and return the steps of the compute units."""
    levels = len(chip.capacity)
    for level in range(levels):
        for t in range(3):
            if nest.keeps[level, t] == 0:
                continue
            boundary = level
            while boundary > 0 and nest.keeps[boundary - 1, t] == 0:
                boundary -= 1
            loaded = _delivered(nest, chip, work, flow, t, boundary, level)
            flow.load[level, t] = loaded / flow.instances[level]
            came = 0.0
            if level + 1 < levels:
                came = _delivered(nest, chip, work, flow, t, level + 1, levels)
            flow.arriving[level, t] = came / flow.instances[level]
        own = work.bounds[N] * work.bounds[K] * work.bounds[P] * work.bounds[Q] * work.bounds[G]
        for d in (C, R, S):
            own *= _spread_outside(nest, d, level)
        flow.own[level] = own / flow.instances[level]
    steps = 1.0
    for d in range(D):
        steps *= rounds(nest, d, 0, levels, False)
    return steps


@_inlined
def _spread_outside(nest, d, level):
    """Return the rounds of the spatial loops over a dimension at the levels outside one."""
    every = last = 1.0
    for number in range(len(nest.temporal)):
        rest = nest.spatial_last[number, d]
        if number > level:
            last = (rest - 1) * every + last
            every *= nest.spatial[number, d]
        elif rest > 1:
            last = every
        if nest.temporal_last[number, d] > 1:
            last = every
    return last
