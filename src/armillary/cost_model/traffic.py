"""What crosses the boundary between two levels: tiles, reuse in time, reuse in space.

The rules are those of Timeloop's nest analysis for perfect factors (Parashar et al., ISPASS 2019,
Section VI; behaviour of its releases since v2), in closed form over a batch instead of a walk over
the loops. A level's tile moves as the temporal loops above it turn:

- As long as only loops that do not index a tensor turn, its tile stays.
- The innermost loop that turns may slide the input tile over a halo; then only the new slab is
  fetched. Any other move discards the tile, unless it moves by the same displacement.
- Timeloop looks at the first two iterations of a loop and extrapolates, so a loop's "last" position
  is its second. That decides what counts as the same displacement, and is reproduced here.

Shapes: n is the candidate axis; levels are innermost first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from armillary.cost_model.batch import LayerBatch, MappingBatch, pick
from armillary.hardware.hierarchy import DIMENSIONS
from armillary.hardware.mapping import RELEVANT

N, K, C, P, Q, R, S, G = range(len(DIMENSIONS))
WEIGHTS, INPUTS, OUTPUTS = range(3)
AXES = ((P, R), (Q, S))
"""Output and filter dimension of the input's height and width."""

NOWHERE = 99
"""The place of a loop that does not turn: outside all others."""


Row = tuple[Tensor, ...]
"""One tensor [n] per dimension."""


def indices(tensor: str) -> list[int]:
    """Return the places in `DIMENSIONS` of what indexes a tensor."""
    return [DIMENSIONS.index(d) for d in RELEVANT[tensor]]


def product(factors: Sequence[Tensor]) -> Tensor:
    """Return the product of tensors; one by one, so that a compiler can fuse it with what follows."""
    return reduce(torch.mul, factors)


def least(places: Sequence[Tensor]) -> Tensor:
    """Return the smallest of tensors, element by element."""
    return reduce(torch.minimum, places)


@dataclass(frozen=True)
class Nest:
    """A batch of loop nests with what follows from their factors.

    All but `stride` and `dilation` are lists over levels, innermost first, of one tensor [n] per dimension.

    Attributes:
        temporal: factors.
        spatial: likewise.
        place: of the temporal loops that turn, their place in the level; `NOWHERE` of the others.
        inner: extent of the tile of the level below, 1 below the innermost.
        step: how far a temporal loop moves, in iterations of its dimension.
        tile: extent of the level's own tile.
        above: product of the temporal loops of a level and all levels outside it, one tensor [n] per
            level and 1 at the end.
        stride: input rows and columns per output, one tensor each.
        dilation: input rows and columns per filter element, likewise.
    """

    temporal: tuple[Row, ...]
    spatial: tuple[Row, ...]
    place: tuple[Row, ...]
    inner: tuple[Row, ...]
    step: tuple[Row, ...]
    tile: tuple[Row, ...]
    above: Row
    stride: Row
    dilation: Row

    @staticmethod
    def of(layers: LayerBatch, mappings: MappingBatch, *, turning: float = 1.0) -> Nest:
        """Derive the extents; a loop turns if its factor is above `turning`."""
        n = len(mappings)
        temporal, spatial = (
            tuple(tuple(row.expand(-1, n).unbind()) for row in factors)
            for factors in (mappings.temporal, mappings.spatial)
        )
        place = tuple(
            tuple(torch.where(t > turning, p, NOWHERE) for t, p in zip(turns, row.expand(-1, n).unbind(), strict=True))
            for turns, row in zip(temporal, mappings.place, strict=True)
        )
        one = torch.ones_like(temporal[0][0])
        inner: list[Row] = [(one,) * len(DIMENSIONS)]
        step, tile = [], []
        for turns, unrolled in zip(temporal, spatial, strict=True):
            step.append(tuple(i * s for i, s in zip(inner[-1], unrolled, strict=True)))
            tile.append(tuple(m * t for m, t in zip(step[-1], turns, strict=True)))
            inner.append(tile[-1])
        above = [one]
        for turns in reversed(temporal):
            above.append(above[-1] * product(turns))
        return Nest(
            temporal=temporal,
            spatial=spatial,
            place=place,
            inner=tuple(inner[:-1]),
            step=tuple(step),
            tile=tuple(tile),
            above=tuple(above[::-1]),
            stride=layers.stride.unbind(),
            dilation=layers.dilation.unbind(),
        )

    def select(self, candidates: Tensor | slice) -> Nest:
        """Return some candidates; what all share stays shared."""

        def some(item: object) -> object:
            return pick(item, candidates) if isinstance(item, Tensor) else tuple(map(some, item))  # type: ignore[call-overload]

        return Nest(**{name: some(value) for name, value in vars(self).items()})  # type: ignore[arg-type]

    def window(self, extent: Row, axis: int) -> Tensor:
        """Return the input rows (axis 0) or columns (1) under a tile of these extents, shape [n]."""
        out, tap = AXES[axis]
        return (extent[out] - 1) * self.stride[axis] + (extent[tap] - 1) * self.dilation[axis] + 1

    def words(self, extent: Row) -> Row:
        """Return the words of each tensor in a tile of these extents."""
        planes = extent[N] * extent[C] * extent[G]
        return (
            product([extent[d] for d in indices("W")]),
            planes * self.window(extent, 0) * self.window(extent, 1),
            product([extent[d] for d in indices("O")]),
        )

    def units(self, tensor: str, level: int) -> Tensor:
        """Return how many instances below a level differ in what they want of a tensor, shape [n].

        Windows that several pairs of output and tap share are counted once per pair; see `sliding`.
        """
        return product([self.spatial[level][d] for d in indices(tensor)])

    def fanout(self, level: int) -> Tensor:
        """Return the instances used below one instance of a level, shape [n]."""
        return product(self.spatial[level])


@dataclass(frozen=True)
class Delivered:
    """Words that one instance below each level receives over the whole layer.

    Attributes:
        words: per level and tensor; at the innermost level the operands of one compute unit.
        unmoved: how many of the input words, per level, are of windows that stand where they stood a
            step before: Timeloop fetches such a window anew if the moves before it were others, but
            a neighbour that wants the same one has it.
    """

    words: list[Row]
    unmoved: list[Tensor]


def delivered(nest: Nest, words: Sequence[Row]) -> Delivered:
    """Return what crosses the boundaries; `words` are of each tensor in the tile of the level below, per level."""
    resting = [_resting(nest, tensor) for tensor in "WIO"]
    found: list[Row] = [(nest.above[0],) * 3]
    unmoved = [torch.zeros_like(nest.above[0])]
    for level in range(1, len(words)):
        above = nest.above[level]
        weights, outputs = (above / resting[t][level] * words[level][t] for t in (WEIGHTS, OUTPUTS))
        inputs, still = _inputs(nest, words[level][INPUTS], resting[INPUTS][level], level)
        found.append((weights, inputs, outputs))
        unmoved.append(still)
    return Delivered(found, unmoved)


def _resting(nest: Nest, tensor: str) -> list[Tensor]:
    """Return the product of the innermost loops above each level's boundary that do not move a tensor."""
    relevant = indices(tensor)
    other = [d for d in range(len(DIMENSIONS)) if d not in relevant]
    found = [torch.ones_like(nest.above[0])]
    for place, factor in zip(reversed(nest.place), reversed(nest.temporal), strict=True):
        first = least([place[d] for d in relevant])
        still = product([torch.where(place[d] < first, factor[d], 1.0) for d in other])
        found.append(still * torch.where(first == NOWHERE, found[-1], 1.0))
    return found[:0:-1]


@dataclass(frozen=True)
class Innermost:
    """The innermost loop that turns above a boundary, per candidate, shape [n].

    `factor` is 1 where none turns. `moves` is the displacement of the input tile, one tensor per
    axis; `rests` tells that it does not move the inputs.
    """

    factor: Tensor
    rests: Tensor
    moves: Row


def innermost(nest: Nest, boundary: int) -> Innermost:
    """Return the innermost loop at or above a level that turns."""
    factor = torch.ones_like(nest.above[0])
    rests = torch.zeros_like(factor, dtype=torch.bool)
    moves: Row = (torch.zeros_like(factor),) * 2
    for level in range(len(nest.temporal) - 1, boundary - 1, -1):
        place = nest.place[level]
        first = least(place)
        turns = first != NOWHERE
        own = product([torch.where(p == first, f, 1.0) for p, f in zip(place, nest.temporal[level], strict=True)])
        own_moves = [
            torch.where(place[out] == first, displacement(nest, level, out), 0.0)
            + torch.where(place[tap] == first, displacement(nest, level, tap), 0.0)
            for out, tap in AXES
        ]
        factor = torch.where(turns, own, factor)
        rests = torch.where(turns, place[K] == first, rests)
        moves = tuple(torch.where(turns, new, old) for new, old in zip(own_moves, moves, strict=True))
    return Innermost(factor, rests, moves)


def displacement(nest: Nest, level: int, dimension: int) -> Tensor:
    """Return how many input rows or columns a temporal loop over P, Q, R or S moves, shape [n]."""
    axis = 0 if dimension in AXES[0] else 1
    per_step = nest.stride[axis] if dimension in (P, Q) else nest.dilation[axis]
    return per_step * nest.step[level][dimension]


def _inputs(nest: Nest, words: Tensor, resting: Tensor, boundary: int) -> tuple[Tensor, Tensor]:
    """Return the input words that cross a boundary, per instance below, and those of unmoved windows, [n]."""
    first = innermost(nest, boundary)
    above = nest.above[boundary]
    slab = slab_words(nest, words, first, boundary)
    partial = above - above / torch.where(first.rests, resting, first.factor)
    found = [repeats(nest, first, boundary, axis) for axis in (0, 1)]
    again = found[0].times + found[1].times
    still = torch.where(slab == words, (found[0].still + found[1].still) * words, 0.0)
    return words * above - (words - slab) * (partial + again), still


def slab_words(nest: Nest, words: Tensor, first: Innermost, boundary: int) -> Tensor:
    """Return the new words when the innermost loop turns once, shape [n]."""
    slab = words
    for axis in (0, 1):
        window = nest.window(nest.inner[boundary], axis)
        moves = first.moves[axis]
        slides = (moves > 0) & (moves < window)
        slab = torch.where(slides, words / window * moves, slab)
    return torch.where(first.rests, 0.0, slab)


@dataclass(frozen=True)
class Repeats:
    """Moves of the inputs by loops over one axis outside the innermost loop that turns.

    Attributes:
        times: how many displace the tile as the innermost loop does, shape [n].
        still: how many leave the tile where it was, though the innermost loop moves it, shape [n].
    """

    times: Tensor
    still: Tensor


def repeats(nest: Nest, first: Innermost, boundary: int, axis: int) -> Repeats:
    """Find the outer loops over an axis that move the inputs by the same displacement as the innermost one.

    Only loops over that axis can: as soon as another dimension has turned inside, the tile's return
    in that dimension makes the displacement another one.
    """
    out, tap = AXES[axis]
    blockers = [d for d in range(len(DIMENSIONS)) if d not in (K, out, tap)]
    moved = times = still = torch.zeros_like(nest.above[0])
    open_run = torch.ones_like(moved, dtype=torch.bool)
    started = torch.zeros_like(open_run)
    for level in range(boundary, len(nest.temporal)):
        place, factor = nest.place[level], nest.temporal[level]
        blocked = least([place[d] for d in blockers])
        begins = torch.minimum(blocked, least([place[d] for d in (K, out, tap)]))
        reach = {d: displacement(nest, level, d) for d in (out, tap)}
        in_run = {d: open_run & (place[d] < blocked) for d in (out, tap)}
        for d, other in ((out, tap), (tap, out)):
            inside = place[other] < place[d]
            so_far = moved + torch.where(in_run[other] & inside, reach[other], 0.0)
            later = in_run[d] & (started | (place[d] != begins))
            within = torch.where(place[K] < place[d], factor[K], 1.0) * torch.where(inside, factor[other], 1.0)
            turns = nest.above[level] / (factor[d] * within) * (factor[d] - 1)
            times = times + torch.where(later & (reach[d] == first.moves[axis] + so_far), turns, 0.0)
            still = still + torch.where(later & (reach[d] == so_far), turns, 0.0)
        moved = moved + reduce(torch.add, [torch.where(in_run[d], reach[d], 0.0) for d in (out, tap)])
        open_run = open_run & (blocked == NOWHERE)
        started = started | (begins != NOWHERE)
    return Repeats(times, still)
