"""What the compiled cost model is given, its room to work in, and what all its parts ask.

Shapes: L levels, innermost first; dimensions, tensors and axes as in `batch`. Factors are whole numbers held as
floats, as products of them outgrow integers.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.compiled import compilers
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS
from armillary.hardware.mapping import RELEVANT

Array = NDArray[np.float64]

N, K, C, P, Q, R, S, G = range(8)
W, I, O = range(3)  # noqa: E741 - the tensors' names everywhere
ROLE_W, ROLE_I, ROLE_P, ROLE_O = range(4)
WHOLE = 1 - 1e-12
"""What amounts are multiplied with before they are rounded up: sums of thirds may exceed a whole number by a hair."""
D = len(DIMENSIONS)
NEVER = 1e9
INDEXES = np.array([[d in RELEVANT[t] for d in DIMENSIONS] for t in TENSORS])

_, _inlined = compilers(Path(__file__).parent)


class Chip(NamedTuple):
    """A hierarchy.

    Attributes:
        capacity: words per instance, shape [L].
        part: 1 where a level is part of the memory of the next outer one, shape [L].
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
    part: Array
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
    """Return a flow for mappings onto a hierarchy, or onto any of stacked ones; one per thread."""
    levels = chip.capacity.shape[-1]
    largest = int(chip.fanout.prod(axis=-1).max())
    return Flow(
        tile=np.empty((levels + 1, D)),
        instances=np.empty(levels),
        load=np.empty((levels, 3)),
        arriving=np.empty((levels, 3)),
        own=np.empty(levels),
        loop_level=np.empty(levels * D, dtype=np.int64),
        loop_dim=np.empty(levels * D, dtype=np.int64),
        position=np.empty((levels, D)),
        above=np.empty(levels + 1),
        start=np.empty(levels + 1, dtype=np.int64),
        delivery=np.empty((levels, 10)),
        where=np.empty(largest, dtype=np.int64),
        left=np.empty(largest, dtype=np.int64),
        passed=np.empty(largest, dtype=np.bool_),
    )


_compiled, _inlined = compilers(Path(__file__).parent)


@_inlined
def extent_of_window(extent, work, axis):
    """Return the input rows (axis 0) or columns (1) under a tile of these extents."""
    return (extent[P + axis] - 1) * work.stride[axis] + (extent[R + axis] - 1) * work.dilation[axis] + 1


@_inlined
def words(extent, work, tensor):
    """Return the words of a tensor in a tile of these extents."""
    if tensor != I:
        return units(extent, tensor)
    return extent[N] * extent[C] * extent[G] * extent_of_window(extent, work, 0) * extent_of_window(extent, work, 1)


@_inlined
def units(factors, tensor):
    """Return the product of the factors of what indexes a tensor; windows of the inputs count once per pair."""
    if tensor == I:
        return factors[N] * factors[C] * factors[P] * factors[Q] * factors[R] * factors[S] * factors[G]
    if tensor == W:
        return factors[K] * factors[C] * factors[R] * factors[S] * factors[G]
    return factors[N] * factors[K] * factors[P] * factors[Q] * factors[G]


@_inlined
def fan_of(nest, level):
    """Return the instances used below one instance of a level."""
    product = 1.0
    for d in range(D):
        product *= nest.spatial[level, d]
    return product


@_inlined
def find_loops(nest, flow):
    """List the temporal loops that turn, innermost first."""
    levels = len(nest.temporal)
    count = 0
    for level in range(levels):
        flow.start[level] = count
        for i in range(D):
            d = int(nest.order[level, i])
            flow.position[level, d] = NEVER
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


@_inlined
def step(nest, flow, level, d):
    """Return how many iterations of its dimension a temporal loop moves."""
    return flow.tile[level, d] * nest.spatial[level, d]


@_inlined
def rounds(nest, d, begin, end, apart):
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
def nest_of(nests, i):
    """Return number i of stacked nests."""
    return Nest(
        nests.temporal[i], nests.temporal_last[i], nests.spatial[i], nests.spatial_last[i], nests.along_y[i],
        nests.order[i], nests.order_x[i], nests.order_y[i], nests.keeps[i],
    )  # fmt: skip
