"""Accesses of mappings with imperfect factors: loops whose last round is shorter.

Imperfect factors are those of Ruby (Horeni et al., ISPASS 2022), as in Timeloop 3. A dimension's
loops then make rounds of two kinds: whole ones, and the last. Everything counted is a product over
dimensions of such rounds, so that sums over all tiles, each with its own size, have a closed form:

- Tiles of a dimension that indexes a tensor cover it once, whatever their sizes.
- Loops that do not index it repeat its tiles, unless they stand inside all that do.
- The input tile slides over its halo as the innermost loop turns, and into a smaller tile at the end.

Where `traffic` follows Timeloop's extrapolation from the first two iterations, this counts every
iteration. Two things are simpler here: a move by an outer loop never slides, and instances share
windows only if they want the same pair of output and tap, with no links between neighbours.

Shapes: n is the candidate axis; a tensor per dimension has shape [dimensions, n].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, RemainderBatch
from armillary.cost_model.traffic import (
    AXES,
    INPUTS,
    NOWHERE,
    OUTPUTS,
    WEIGHTS,
    C,
    G,
    K,
    N,
    Row,
    indices,
)
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS

Counted = Callable[[int], Tensor]
"""Which loops of a level count, bool, broadcasts to [dimensions, n]."""

_RELEVANT = torch.tensor([[d in indices(t) for d in range(len(DIMENSIONS))] for t in TENSORS])
_PER_LEVEL = 100.0


@dataclass(frozen=True)
class Words:
    """Words of all instances of each level: per level, one tensor [n] per data tensor.

    Attributes:
        load: read for what is inside, or written by it.
        arriving: what comes from outside.
        own_outputs: outputs that the instances are in charge of, one tensor [n] per level.
    """

    load: list[Row]
    arriving: list[Row]
    own_outputs: Row


@dataclass(frozen=True)
class RemainderNest:
    """Loop nests with remainders; per level, innermost first, one tensor [dimensions, n].

    Attributes:
        temporal: factors.
        temporal_last: iterations in the last round.
        spatial: likewise.
        spatial_last: likewise.
        position: where a temporal loop stands among all, 0 the innermost; infinite if it does not turn.
        bounds: how far each dimension runs, shape [dimensions, n].
        stride: input rows and columns per output, shape [2, n].
        dilation: input rows and columns per filter element, likewise.
    """

    temporal: Row
    temporal_last: Row
    spatial: Row
    spatial_last: Row
    position: Row
    bounds: Tensor
    stride: Tensor
    dilation: Tensor

    @staticmethod
    def of(layers: LayerBatch, mappings: RemainderBatch) -> RemainderNest:
        """Return the loops of a batch."""
        n = max(len(layers), len(mappings))

        def rows(factors: Tensor) -> Row:
            return tuple(factors.expand(*factors.shape[:-1], n).unbind())

        places = rows(mappings.place)
        temporal = rows(mappings.temporal)
        loops = (temporal, rows(mappings.temporal_last), rows(mappings.spatial), rows(mappings.spatial_last))
        ones = torch.ones_like(temporal[0])
        bounds = _rounds(loops, 0, lambda _: ones > 0, lambda _: ones > 0)
        return RemainderNest(
            *loops,
            position=tuple(
                torch.where(turns > 1, place + _PER_LEVEL * level, float("inf"))
                for level, (turns, place) in enumerate(zip(temporal, places, strict=True))
            ),
            bounds=bounds,
            stride=layers.stride.expand(2, n),
            dilation=layers.dilation.expand(2, n),
        )

    @property
    def levels(self) -> int:
        """How many."""
        return len(self.temporal)

    @property
    def cycles(self) -> Tensor:
        """Steps of the first compute unit, which never rests, shape [n]."""
        return self.rounds(0, self._always, self._never).prod(dim=0)

    @property
    def instances(self) -> Row:
        """Used instances of each level, one tensor [n] each."""
        counts = [torch.ones_like(self.bounds[0])]
        for factors in self.spatial[:0:-1]:
            counts.append(counts[-1] * factors.prod(dim=0))
        return tuple(counts[::-1])

    def rounds(self, boundary: int, temporal: Counted, spatial: Counted) -> Tensor:
        """Return how often counted loops from a level outwards turn in all; loops not counted stay at their first."""
        loops = (self.temporal, self.temporal_last, self.spatial, self.spatial_last)
        return _rounds(loops, boundary, temporal, spatial)

    def tile(self, level: int) -> Tensor:
        """Return the extents of a level's largest tile; level -1 is a single multiply-accumulate."""
        extent = torch.ones_like(self.bounds)
        for turns, unrolled in zip(self.temporal[: level + 1], self.spatial[: level + 1], strict=True):
            extent = extent * turns * unrolled
        return torch.minimum(extent, self.bounds)

    def words(self, extent: Tensor) -> Row:
        """Return the words of W, I and O in a tile."""
        weights, outputs = (extent[indices(t)].prod(dim=0) for t in "WO")
        return weights, extent[[N, C, G]].prod(dim=0) * self._window(extent, 0) * self._window(extent, 1), outputs

    def count(self, hierarchies: HierarchyBatch, mappings: RemainderBatch) -> Words:
        """Return what every level hands out, takes in and is in charge of."""
        load, arriving = [], []
        for level in range(self.levels):
            found = self._delivered(0, level, hierarchies)
            for boundary in range(1, level + 1):
                held = mappings.keeps[boundary - 1]
                direct = self._delivered(boundary, level, hierarchies)
                found = tuple(torch.where(held[t], direct[t], found[t]) for t in range(len(TENSORS)))
            load.append(found)
            outermost = level + 1 == self.levels
            nothing = (torch.zeros_like(found[0]),) * len(TENSORS)
            arriving.append(nothing if outermost else self._delivered(level + 1, self.levels, hierarchies))
        return Words(load, arriving, tuple(map(self._own_outputs, range(self.levels))))

    def _own_outputs(self, level: int) -> Tensor:
        """Return the outputs that all instances of a level are in charge of, shape [n]."""
        return self._events(OUTPUTS, 0, self._never, lambda number: self._flag(number > level)).prod(dim=0)

    def _delivered(self, boundary: int, level: int, hierarchies: HierarchyBatch) -> Row:
        """Return the words of each tensor that all instances of a level hand over a boundary below it.

        Spatial loops above the level multiply its instances; those between it and the boundary count
        where one read does not serve all that want the same. From beyond the last level, all count.
        """
        found = []
        for tensor in range(len(TENSORS)):
            serves_all = hierarchies.reduction if tensor == OUTPUTS else hierarchies.multicast
            turns = self._outside(tensor, boundary)

            def apart(number: int, serves_all: Tensor = serves_all) -> Tensor:
                inside = number <= level < self.levels
                return ~(serves_all[number] > 0).expand_as(self.bounds) if inside else self._flag(True)

            events = self._events(tensor, boundary, turns, apart)
            words = self._input_words(boundary, events) if tensor == INPUTS else events.prod(dim=0)
            found.append(words)
        return found[WEIGHTS], found[INPUTS], found[OUTPUTS]

    def _events(self, tensor: int, boundary: int, turns: Counted, apart: Counted) -> Tensor:
        """Return the extent of what indexes a tensor, and how often the other dimensions bring it anew."""
        relevant = _RELEVANT[tensor][:, None]
        return torch.where(relevant, self.bounds, self.rounds(boundary, turns, apart))

    def _outside(self, tensor: int, boundary: int) -> Counted:
        """Return which temporal loops bring a tensor anew: those outside the innermost that indexes it."""
        if not boundary:
            return self._always
        relevant = _RELEVANT[tensor][:, None]
        places = torch.stack(self.position[boundary:])
        first = torch.where(relevant, places, float("inf")).amin(dim=(0, 1))
        return lambda number: torch.isfinite(self.position[number]) & (self.position[number] > first)

    def _input_words(self, boundary: int, events: Tensor) -> Tensor:
        tiles = self.rounds(boundary, self._always, self._always)
        swept = [self._swept(tiles, axis) for axis in (0, 1)]
        rest = events[[N, C, G, K]].prod(dim=0)
        found = swept[0] * swept[1]
        if boundary:
            for axis in (0, 1):
                found = found - swept[1 - axis] * self._kept_rows(boundary, tiles, axis)
        return found * rest

    def _swept(self, tiles: Tensor, axis: int) -> Tensor:
        """Return the rows (axis 0) or columns (1) of all windows together, shape [n]."""
        out, tap = AXES[axis]
        stride, dilation = self.stride[axis], self.dilation[axis]
        both = tiles[out] * tiles[tap]
        return (
            stride * self.bounds[out] * tiles[tap]
            + dilation * self.bounds[tap] * tiles[out]
            + (1 - stride - dilation) * both
        )

    def _kept_rows(self, boundary: int, tiles: Tensor, axis: int) -> Tensor:
        """Return the rows or columns that need not come again as the innermost loop slides, in all, shape [n]."""
        found = torch.zeros_like(self.bounds[0])
        first = torch.stack(self.position[boundary:]).amin(dim=(0, 1))
        for moving, other in (AXES[axis], AXES[axis][::-1]):
            for level in range(boundary, self.levels):
                slides = (self.position[level][moving] == first) & (first < NOWHERE * _PER_LEVEL)
                kept = self._kept(boundary, level, moving, other, tiles, axis)
                found = found + torch.where(slides, kept, 0.0)
        return found

    def _kept(self, boundary: int, level: int, moving: int, other: int, tiles: Tensor, axis: int) -> Tensor:
        whole = self.tile(boundary - 1)
        rest = self._last_tile(boundary - 1)
        out, _ = AXES[axis]
        per_step = self.stride[axis] if moving == out else self.dilation[axis]
        step = self.tile(level - 1)[moving] * self.spatial[level][moving]
        starts = self.rounds(boundary, lambda number: self._flag(number != level), self._always)[moving]
        moves = tiles[moving] - starts
        into_rest = ((self.temporal_last[level][moving] > 1) & (rest[moving] != whole[moving])).to(moves)

        def window(moved: Tensor, still: Tensor) -> Tensor:
            extent = whole.clone()
            extent[moving], extent[other] = moved[moving], still[other]
            return self._window(extent, axis)

        total = torch.zeros_like(moves)
        for still, times in ((whole, tiles[other] - 1), (rest, torch.ones_like(moves))):
            overlap = window(whole, still) - per_step * step
            for moved, often in ((whole, moves - into_rest), (rest, into_rest)):
                total = total + times * often * torch.minimum(overlap, window(moved, still)).clamp(min=0)
        return total

    def _last_tile(self, level: int) -> Tensor:
        """Return the extents of a level's tile in the last round of all loops outside it."""
        loops = (self.temporal, self.temporal_last, self.spatial, self.spatial_last)
        inside = tuple(rows[: level + 1] for rows in loops)
        return _rounds(inside, 0, self._always, self._always) if level >= 0 else torch.ones_like(self.bounds)

    def _window(self, extent: Tensor, axis: int) -> Tensor:
        out, tap = AXES[axis]
        return (extent[out] - 1) * self.stride[axis] + (extent[tap] - 1) * self.dilation[axis] + 1

    def _flag(self, value: bool) -> Tensor:
        return torch.full_like(self.bounds, value, dtype=torch.bool)

    def _always(self, _: int) -> Tensor:
        return self._flag(True)

    def _never(self, _: int) -> Tensor:
        return self._flag(False)


def _rounds(loops: Sequence[Row], boundary: int, temporal: Counted, spatial: Counted) -> Tensor:
    """Return rounds in all per dimension, shape [dimensions, n], of counted loops from a level outwards.

    A loop that is not counted stays at its first iteration, which is a last one only if it has no other.
    """
    turns, turns_last, unrolled, unrolled_last = loops
    every = last = torch.ones_like(turns[0])
    for level in range(boundary, len(turns)):
        for factor, residual, counted in (
            (unrolled[level], unrolled_last[level], spatial(level)),
            (turns[level], turns_last[level], temporal(level)),
        ):
            last = torch.where(counted, (residual - 1) * every + last, torch.where(residual > 1, every, last))
            every = torch.where(counted, every * factor, every)
    return last
