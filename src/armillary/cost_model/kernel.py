"""The cost model for one mapping at a time, compiled: what a search asks a million times.

The sums are those of `cost`, `traffic`, `sliding` and `remainders`, which explain and prove them over tensors; here
they are loops over the few dimensions that turn, and a mapping that does not fit is left at once. Machine code is
made by numba, once per machine: some twenty seconds, then it is read from a cache.

Shapes: L levels, innermost first; dimensions, tensors and axes as in `batch`. Factors are whole numbers held as
floats, as products of them outgrow integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from armillary.hardware.hierarchy import DIMENSIONS, TENSORS
from armillary.hardware.mapping import RELEVANT

Array = NDArray[np.float64]

N, K, C, P, Q, R, S, G = range(8)
W, I, O = range(3)  # noqa: E741 - the tensors' names everywhere
ROLE_W, ROLE_I, ROLE_P, ROLE_O = range(4)
_D = len(DIMENSIONS)
_NEVER = 1e9
_INDEXES = np.array([[d in RELEVANT[t] for d in DIMENSIONS] for t in TENSORS])


class Chip(NamedTuple):
    """A hierarchy.

    Attributes:
        capacity: words per instance, shape [L].
        able: 1 where a level can hold a tensor, shape [L, tensors].
        bandwidth: words per cycle and instance: read, written, both, shape [L, 3].
        fanout: shape [L, 2].
        shares: 1 where one read serves all (multicast) and where sums are added on their way, shape [L, 2].
        block: words per access, shape [L].
        access_pj: energy of a read, a fill and an update of a block, shape [L, 3].
        words: words that one element takes by role (W, I, partial sum, final output), shape [L, 4].
        mac_pj: of one multiply-accumulate, shape [1].
    """

    capacity: Array
    able: Array
    bandwidth: Array
    fanout: Array
    shares: Array
    block: Array
    access_pj: Array
    words: Array
    mac_pj: Array


class Work(NamedTuple):
    """A layer: `bounds` of its loops, shape [8], `stride` and `dilation`, shape [2] each."""

    bounds: Array
    stride: Array
    dilation: Array


class Nest(NamedTuple):
    """A mapping.

    Attributes:
        temporal: factors, shape [L, 8].
        temporal_last: iterations in the last round.
        spatial: factors over both axes.
        spatial_last: likewise.
        along_y: that part of the spatial factor which lies along Y.
        order: the dimensions of a level's temporal loops, innermost first, a permutation of 0..7, shape [L, 8].
        order_x: likewise of spatial loops along X, that in which neighbours differ first.
        order_y: likewise along Y.
        keeps: 1 where a tensor is held, shape [L, 3].
    """

    temporal: Array
    temporal_last: Array
    spatial: Array
    spatial_last: Array
    along_y: Array
    order: Array
    order_x: Array
    order_y: Array
    keeps: Array


class Flow(NamedTuple):
    """What a mapping moves, worked out by `judge`, and room to work in.

    Attributes:
        tile: extents of each level's largest tile, shape [L + 1, 8]; row 0 is a single multiply-accumulate.
        instances: used of each level, shape [L].
        load: words per instance that what is inside reads or writes, shape [L, 3].
        arriving: words per instance that come from outside, shape [L, 3].
        own: outputs that an instance is in charge of, shape [L].
        loop_level: of the loops that turn, innermost first, shape [8 L]; likewise `loop_dim`.
        position: number of a temporal loop among those that turn, large if it does not, shape [L, 8].
        above: product of the temporal loops from a level outwards, shape [L + 1].
        start: number of the first loop from a level outwards, shape [L + 1].
        delivery: read, units and arriving per tensor, and linked inputs, shape [L, 10].
        where: address of every instance's window, grown as needed, shape [instances]; likewise `left`.
    """

    tile: Array
    instances: Array
    load: Array
    arriving: Array
    own: Array
    loop_level: NDArray[np.int64]
    loop_dim: NDArray[np.int64]
    position: Array
    above: Array
    start: NDArray[np.int64]
    delivery: Array
    where: NDArray[np.int64]
    left: NDArray[np.int64]
    passed: NDArray[np.bool_]


def room(chip: Chip) -> Flow:
    """Return a flow for mappings onto a hierarchy; one per thread."""
    levels = len(chip.capacity)
    largest = int(chip.fanout.prod(axis=1).max())
    return Flow(
        tile=np.empty((levels + 1, _D)),
        instances=np.empty(levels),
        load=np.empty((levels, 3)),
        arriving=np.empty((levels, 3)),
        own=np.empty(levels),
        loop_level=np.empty(levels * _D, dtype=np.int64),
        loop_dim=np.empty(levels * _D, dtype=np.int64),
        position=np.empty((levels, _D)),
        above=np.empty(levels + 1),
        start=np.empty(levels + 1, dtype=np.int64),
        delivery=np.empty((levels, 10)),
        where=np.empty(largest, dtype=np.int64),
        left=np.empty(largest, dtype=np.int64),
        passed=np.empty(largest, dtype=np.bool_),
    )


_compiled = njit(cache=True, nogil=True, error_model="numpy")
# A call hands over every array of its tuples: ten times the work of what most of these functions do.
_inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


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
        for d in range(_D):
            if (
                nest.temporal_last[level, d] != nest.temporal[level, d]
                or nest.spatial_last[level, d] != nest.spatial[level, d]
            ):
                perfect = False
    if not _tiles_fit(nest, chip, work, flow):
        return False
    _find_loops(nest, flow)
    if perfect:
        steps = _perfect_flow(nest, chip, work, flow)
    else:
        steps = _remainder_flow(nest, chip, work, flow)
    return _totals(nest, chip, work, flow, steps, out)


@_inlined
def _keeps_fit(nest, chip):
    levels = len(chip.capacity)
    for level in range(levels):
        for t in range(3):
            if nest.keeps[level, t] > chip.able[level, t]:
                return False
    return nest.keeps[levels - 1].sum() == 3


@_inlined
def _fanout_fits(nest, chip, flow):
    levels = len(chip.capacity)
    count = 1.0
    for level in range(levels - 1, -1, -1):
        flow.instances[level] = count
        both = y = 1.0
        for d in range(_D):
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
    for d in range(_D):
        flow.tile[0, d] = 1.0
        extent = 1.0
        for level in range(levels):
            extent *= nest.spatial[level, d] * nest.temporal[level, d]
            flow.tile[level + 1, d] = min(extent, work.bounds[d])
    for level in range(levels):
        held = 0.0
        for t in range(3):
            if nest.keeps[level, t] > 0:
                role = t if t != O else (ROLE_O if chip.words[level, ROLE_O] < chip.words[level, ROLE_P] else ROLE_P)
                held += _words(flow.tile[level + 1], work, t) * chip.words[level, role]
        if held > chip.capacity[level]:
            return False
    return True


@_inlined
def _window(extent, work, axis):
    return (
        (extent[P + axis] - 1) * work.stride[axis] + (extent[R + axis] - 1) * work.dilation[axis] + 1
    )


@_inlined
def _words(extent, work, tensor):
    if tensor != I:
        return _units(extent, tensor)
    return extent[N] * extent[C] * extent[G] * _window(extent, work, 0) * _window(extent, work, 1)


@_inlined
def _find_loops(nest, flow):
    """List the temporal loops that turn, innermost first."""
    levels = len(nest.temporal)
    count = 0
    for level in range(levels):
        flow.start[level] = count
        for i in range(_D):
            d = int(nest.order[level, i])
            flow.position[level, d] = _NEVER
            if nest.temporal[level, d] > 1:
                flow.loop_level[count] = level
                flow.loop_dim[count] = d
                flow.position[level, d] = count
                count += 1
    flow.start[levels] = count
    flow.above[levels] = 1.0
    for level in range(levels - 1, -1, -1):
        product = flow.above[level + 1]
        for i in range(flow.start[level], flow.start[level + 1]):
            product *= nest.temporal[level, flow.loop_dim[i]]
        flow.above[level] = product


# What follows is `traffic` and `sliding`: factors that all divide.


@_inlined
def _fan(nest, level):
    product = 1.0
    for d in range(_D):
        product *= nest.spatial[level, d]
    return product


@_inlined
def _units(factors, tensor):
    """Return the product of the factors of what indexes a tensor; windows of the inputs count once per pair."""
    if tensor == I:
        return factors[N] * factors[C] * factors[P] * factors[Q] * factors[R] * factors[S] * factors[G]
    if tensor == W:
        return factors[K] * factors[C] * factors[R] * factors[S] * factors[G]
    return factors[N] * factors[K] * factors[P] * factors[Q] * factors[G]


@_inlined
def _step(nest, flow, level, d):
    """Return how many iterations of its dimension a temporal loop moves."""
    return flow.tile[level, d] * nest.spatial[level, d]


@_inlined
def _displacement(nest, flow, work, level, d):
    axis = (d - P) % 2
    per_step = work.stride[axis] if d <= Q else work.dilation[axis]
    return per_step * _step(nest, flow, level, d)


@_inlined
def _resting(nest, flow, tensor, boundary):
    """Return the product of the innermost loops above a boundary that do not move a tensor."""
    product = 1.0
    for i in range(flow.start[boundary], flow.start[len(nest.temporal)]):
        if _INDEXES[tensor, flow.loop_dim[i]]:
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
def _perfect_flow(nest, chip, work, flow):
    levels = len(chip.capacity)
    end = flow.start[levels]
    steps = flow.above[0]
    for level in range(levels):
        inner = flow.tile[level]
        fan = _fan(nest, level)
        tile = slab = _words(inner, work, I)
        came_w = came_i = came_o = steps
        unmoved = still_all = 0.0
        if level > 0:
            above = flow.above[level]
            came_w = above / _resting(nest, flow, W, level) * _words(inner, work, W)
            came_o = above / _resting(nest, flow, O, level) * _words(inner, work, O)
            rests = False
            divisor = 1.0
            moves0 = moves1 = 0.0
            if flow.start[level] < end:
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
                window = _window(inner, work, axis)
                if 0 < moves < window:
                    slab = tile / window * moves
            if rests:
                slab = 0.0
            partial = above - above / divisor
            times0, still0 = _repeats(nest, flow, work, level, 0, moves0)
            times1, still1 = _repeats(nest, flow, work, level, 1, moves1)
            still_all = still0 + still1
            came_i = tile * above - (tile - slab) * (partial + (times0 + times1))
            if slab == tile:
                unmoved = still_all * tile
        multicast = chip.shares[level, 0] > 0
        alike = nest.spatial[level, K] > 1 and fan == nest.spatial[level, K]
        passed = unmoved if multicast and alike else 0.0
        came_i -= passed
        units_w = _units(nest.spatial[level], W) if multicast else fan
        units_i = _units(nest.spatial[level], I) if multicast else fan
        units_o = _units(nest.spatial[level], O) if chip.shares[level, 1] > 0 else fan
        held = level > 0 and nest.keeps[level - 1, I] > 0
        row = flow.delivery[level]
        row[0], row[1], row[2] = came_w * units_w, came_i * units_i, came_o * units_o
        row[3], row[4], row[5] = units_w, units_i, units_o
        row[6], row[7], row[8] = came_w, came_i, came_o
        row[9] = passed * fan if held else 0.0
        if multicast and not alike and fan > 1 and _may_share(nest, flow, level, slab == tile, still_all):
            read, received, linked = _shared(nest, chip, work, flow, level, fan, tile, slab)
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
    own = _words(flow.tile[levels], work, O)
    flow.own[levels - 1] = own
    for level in range(levels - 1, 0, -1):
        own /= _units(nest.spatial[level], O)
        flow.own[level - 1] = own


@_inlined
def _may_share(nest, flow, level, same_slab, still):
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
            turns_out = flow.tile[levels, out] > _step(nest, flow, level, out)
            turns_tap = flow.tile[levels, tap] > _step(nest, flow, level, tap)
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
    per_row = int(4 * _window(whole, work, 1))
    per_channel = per_row * int(4 * _window(whole, work, 0))
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
        for k in range(_D):
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
def _shared(nest, chip, work, flow, level, fan, tile, slab):
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
            code = int(_step(nest, flow, at, d)) * _scale(flow, work, d)
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


# What follows is `remainders`: loops whose last round is shorter.


@_inlined
def _rounds(nest, d, begin, end, apart):
    """Return how often loops over a dimension from level `begin` to `end` turn in all, spatial ones if `apart`."""
    every = last = 1.0
    for level in range(begin, end):
        factor, rest = nest.spatial[level, d], nest.spatial_last[level, d]
        if apart:
            last = (rest - 1) * every + last
            every *= factor
        elif rest > 1:
            last = every
        last = (nest.temporal_last[level, d] - 1) * every + last
        every *= nest.temporal[level, d]
    return last


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
        if _INDEXES[tensor, flow.loop_dim[i]]:
            return float(i)
    return _NEVER


@_inlined
def _delivered(nest, chip, work, flow, tensor, boundary, level):
    """Return the words that all instances of a level hand over a boundary below it."""
    levels = len(nest.temporal)
    first = _first_index(nest, flow, tensor, boundary)
    if boundary == 0:
        first = -1.0
    elif first == _NEVER:
        first = 2 * _NEVER
    product = 1.0
    for d in range(_D):
        if tensor == I and P <= d <= S:
            continue
        if _INDEXES[tensor, d]:
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
    tiles_out = _rounds(nest, out, boundary, levels, True)
    tiles_tap = _rounds(nest, tap, boundary, levels, True)
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
    rest_moving = _rounds(nest, moving, 0, boundary, True)
    rest_other = _rounds(nest, other, 0, boundary, True)
    step = flow.tile[level, moving] * nest.spatial[level, moving]
    tiles_moving = _rounds(nest, moving, boundary, levels, True)
    tiles_other = _rounds(nest, other, boundary, levels, True)
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
def _remainder_flow(nest, chip, work, flow):
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
    for d in range(_D):
        steps *= _rounds(nest, d, 0, levels, False)
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


# What follows is the end of `cost`: accesses, cycles and energy.


@_inlined
def _totals(nest, chip, work, flow, steps, out):
    levels = len(chip.capacity)
    delay = steps
    energy = 0.0
    apart = False  # whether sums are unrolled outside the level: then no instance has a final output
    for level in range(levels - 1, -1, -1):
        own = flow.own[level]
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
            if level == levels - 1:
                fills = 0.0
            reads, fills = reads * width, fills * width
            held += _words(flow.tile[level + 1], work, t) * tile_width
            read += reads
            written += fills + updates
            blocks = np.ceil(reads / chip.block[level]) * chip.access_pj[level, 0]
            blocks += np.ceil(fills / chip.block[level]) * chip.access_pj[level, 1]
            blocks += np.ceil(updates / chip.block[level]) * chip.access_pj[level, 2]
            energy += blocks * flow.instances[level]
        if held > chip.capacity[level]:
            return False
        cycles = max(read / chip.bandwidth[level, 0], written / chip.bandwidth[level, 1])
        cycles = np.ceil(max(cycles, (read + written) / chip.bandwidth[level, 2]))
        delay = max(delay, cycles)
        for d in (C, R, S):
            if nest.spatial[level, d] > 1:
                apart = True
    macs = 1.0
    for d in range(_D):
        macs *= work.bounds[d]
    out[0], out[1] = delay, energy + macs * chip.mac_pj[0]
    return True


@_inlined
def _covers(nest, work):
    """Return whether the loops over every dimension run as far as the layer does."""
    for d in range(_D):
        if _rounds(nest, d, 0, len(nest.temporal), True) != work.bounds[d]:
            return False
    return True


@_compiled
def judge_some(nests, chips, work, chip_of, work_of, first, last, flow, out, fits):
    """Judge mappings number `first` to `last` - 1; nests, chips and work are stacked along their first axis.

    `chip_of` and `work_of` are 1 where each mapping has its own, else 0.
    """
    for i in range(first, last):
        c, w = i * chip_of, i * work_of
        nest = Nest(
            nests.temporal[i], nests.temporal_last[i], nests.spatial[i], nests.spatial_last[i], nests.along_y[i],
            nests.order[i], nests.order_x[i], nests.order_y[i], nests.keeps[i],
        )  # fmt: skip
        chip = Chip(
            chips.capacity[c], chips.able[c], chips.bandwidth[c], chips.fanout[c], chips.shares[c], chips.block[c],
            chips.access_pj[c], chips.words[c], chips.mac_pj[c],
        )  # fmt: skip
        layer = Work(work.bounds[w], work.stride[w], work.dilation[w])
        out[i, :] = np.inf
        fits[i] = _covers(nest, layer) and judge(nest, chip, layer, flow, out[i])
