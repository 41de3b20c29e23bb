"""What crosses each boundary between levels, and what it costs: the sum that the proof bounds from below.

A boundary is numbered by the level outside it: 0 lies between the innermost level and the compute units. A tensor
crosses boundary b if level b - 1 keeps it (or b is 0), and then comes from the next level outside that keeps it. So
delay and energy are sums over boundaries and tensors, and each summand grows with two counts: how often the words are
read outside, and how often they arrive inside. Both are the product of how far the dimensions that index the tensor
run, and of the rounds of those that do not: these repeat it.

Every dimension but G fails to index just one tensor: N, P and Q the weights, K the inputs, C, R and S the outputs. So
of the orders of a level's loops only the innermost that turns matters: the tensor that it does not index rests, and
the best is to let all loops that do not index it stand innermost. No other tensor rests there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.cost_model.kernel.nest import INDEXES, ROLE_O, ROLE_P, Array, Chip, Work
from armillary.mapping.proven.rounds import Ints, Rounds
from armillary.workloads.layer import Layer

WEIGHTS, INPUTS, OUTPUTS = range(3)
ALL = 3
"""The group of a dimension that indexes every tensor: G."""
N, K, C, P, Q, R, S, G = range(8)


class Terms(NamedTuple):
    """Costs of what crosses boundaries; L levels, K dimensions. Costs are in pJ and in cycles of the outermost ports.

    Attributes:
        source: the level that a tensor comes from over a boundary, -1 if it does not cross it, shape [L, 3].
        words: elements of each tensor, apart from what repeats them, shape [3].
        group: of a dimension: the tensor that it does not index, or `ALL`, shape [K].
        read_pj: per element that a level hands out, shape [L, 3]; of outputs the read alone.
        update_pj: per output that a level gets from inside, shape [L].
        fill_pj: per element that arrives at a level, shape [L, 3].
        reads: words that a level reads per element handed out, shape [L, 3].
        writes: words written per element that arrives from outside, shape [L, 3].
        updates: words written per output that comes from inside, shape [L].
        final_pj: energy that final outputs save a level where they are narrower than partial sums, at most, shape [L].
        final_words: likewise words written.
        shares: 1 where one read serves all and where sums are added on their way, shape [L, 3].
        part: 1 where a level is part of the memory of the next outer one, shape [L].
        fanout: shape [L, 2].
        spread: the most instances that a level's options give each dimension, shape [L, K].
        rates: words per cycle and instance that are read, written, both; shape [L, 3].
        mac_pj: energy of all multiply-accumulates.
        window: bounds of outputs and taps, stride and dilation along both axes, shape [2, 4].
        place: number of P, Q, R and S among the dimensions that turn, -1 where it does not, shape [4].
    """

    source: Ints
    words: Array
    group: Ints
    read_pj: Array
    update_pj: Array
    fill_pj: Array
    reads: Array
    writes: Array
    updates: Array
    final_pj: Array
    final_words: Array
    shares: Array
    part: Array
    fanout: Array
    spread: Array
    rates: Array
    mac_pj: float
    window: Array
    place: Ints


def terms_of(chip: Chip, work: Work, keeps: NDArray[np.bool_], rounds: Rounds, spread: Array) -> Terms:
    """Return the costs of a layer on a hierarchy.

    Args:
        chip: the hierarchy as the kernel takes it.
        work: the layer.
        keeps: which tensors each level keeps, shape [L, 3].
        rounds: of the layer's dimensions.
        spread: the most instances that each level gives a dimension, shape [L, K].
    """
    levels = len(chip.capacity)
    source = np.full((levels, 3), -1, dtype=np.int64)
    for t in range(3):
        keepers = [level for level in range(levels) if keeps[level, t]]
        for inside, outside in zip([-1, *keepers], keepers, strict=False):
            source[inside + 1, t] = outside
    blocks, partial = chip.block[:, None], chip.words[:, ROLE_P]
    widths = np.ascontiguousarray(chip.words[:, [0, 1, ROLE_P]])
    saved = np.maximum(0, partial - chip.words[:, ROLE_O])
    out = [P, Q]
    window = np.array(
        [[work.bounds[out[a]], work.bounds[out[a] + 2], work.stride[a], work.dilation[a]] for a in range(2)],
        dtype=float,
    )
    elements = [float(np.prod(work.bounds[INDEXES[t]])) for t in range(3)]
    elements[INPUTS] = float(work.bounds[N] * work.bounds[C] * work.bounds[G])
    group = [next((t for t in range(3) if not INDEXES[t, d]), ALL) for d in rounds.dims]
    where = {int(d): k for k, d in enumerate(rounds.dims)}
    return Terms(
        source=source,
        words=np.array(elements),
        group=np.array(group, dtype=np.int64),
        read_pj=widths / blocks * chip.access_pj[:, 0:1],
        update_pj=partial / chip.block * chip.access_pj[:, 2],
        fill_pj=widths / blocks * chip.access_pj[:, 1:2],
        reads=widths,
        writes=widths,
        updates=partial,
        final_pj=saved / chip.block * chip.access_pj[:, 2],
        final_words=saved,
        shares=np.ascontiguousarray(chip.shares[:, [0, 0, 1]]),
        part=chip.part,
        fanout=chip.fanout,
        spread=spread,
        rates=chip.bandwidth,
        mac_pj=float(np.prod(work.bounds) * chip.mac_pj[0]),
        window=window,
        place=np.array([where.get(d, -1) for d in (P, Q, R, S)], dtype=np.int64),
    )


def windows_overlap(layer: Layer) -> bool:
    """Return whether windows of neighbouring outputs may have inputs in common."""
    return (layer.P > 1 and layer.R > 1) or (layer.Q > 1 and layer.S > 1)
