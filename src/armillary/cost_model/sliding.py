"""Input windows that neighbouring instances share: exact multicast, and transfers between neighbours.

Two things depend on where every single instance stands. Windows of different (output, filter tap)
pairs may coincide, as on the diagonals of a row-stationary array: one read serves them all. And the
window that an instance needs next may be the one its neighbour on the mesh holds now: then it
comes over the link between them. Few candidates unroll the dimensions that allow either, so they
are worked out apart, instance by instance.

Source: Timeloop's spatial delta analysis (multicast, and link transfers where they save reads).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from armillary.cost_model.batch import pick
from armillary.cost_model.traffic import (
    AXES,
    INPUTS,
    C,
    G,
    K,
    N,
    Nest,
    innermost,
    repeats,
    slab_words,
)

_CELLS_AT_ONCE = 4_000_000  # candidates x instances that are looked at together


@dataclass(frozen=True)
class SharedInputs:
    """Reads of inputs at one level, per instance, each of shape [n].

    Attributes:
        read: words read for the instances below.
        received: words that those instances get from here in total; more than `read` by multicast.
        linked: words that they get from each other instead.
    """

    read: Tensor
    received: Tensor
    linked: Tensor


def may_share(nest: Nest, level: int) -> Tensor:
    """Return which candidates may share windows below a level in ways that `Nest.units` does not see, [n]."""
    found = torch.zeros_like(nest.above[0], dtype=torch.bool)
    if level == 0:
        for out, tap in AXES:
            found = found | ((nest.spatial[0][out] > 1) & (nest.spatial[0][tap] > 1))
        return found
    first = innermost(nest, level)
    words = nest.words(nest.inner[level])[INPUTS]
    alike_again = (slab_words(nest, words, first, level) == words) & (nest.spatial[level][K] > 1)
    for axis, (out, tap) in enumerate(AXES):
        spread = [nest.spatial[level][d] > 1 for d in (out, tap)]
        turns = [nest.tile[-1][d] > nest.step[level][d] for d in (out, tap)]
        found = found | (spread[0] & spread[1]) | (spread[0] & turns[1]) | (spread[1] & turns[0])
        found = found | ((repeats(nest, first, level, axis).still > 0) & alike_again)
    return found & ~all_alike(nest, level) & (nest.fanout(level) > 1)


def all_alike(nest: Nest, level: int) -> Tensor:
    """Return where several instances all want the same window: only output channels are spread, bool, [n].

    Each has a neighbour, in its row or above it, so that a window that comes again comes over links.
    """
    factors = nest.spatial[level]
    return (factors[K] > 1) & (nest.fanout(level) == factors[K])


def shared_inputs(
    nest: Nest, words: Tensor, level: int, along_y: Tensor, spatial_place: Tensor, mesh: Tensor
) -> SharedInputs:
    """Return the exact input reads at a level, instance by instance.

    Args:
        nest: the loops.
        words: of the inputs in the tile of the level below, shape [n].
        level: whose instances are read.
        along_y: part of the level's spatial factors along Y, shape [dimensions, n].
        spatial_place: places of the spatial loops of the level, shape [axes, dimensions, n].
        mesh: instances along X of the physical mesh below the level, shape [n] or [1].
    """
    n = len(nest.above[0])
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for some in torch.split(torch.arange(n), max(1, _CELLS_AT_ONCE // int(nest.fanout(level).max()))):
        part = nest.select(some)
        scale = _scales(part)
        layout = _Grid.of(part, level, pick(along_y, some), pick(spatial_place, some), pick(mesh, some), scale)
        found.append(_shared(part, pick(words, some), level, layout, scale))
    return SharedInputs(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _shared(nest: Nest, tile: Tensor, level: int, layout: _Grid, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return words read, received and linked, each of shape [n]."""
    units, fanout = layout.units, layout.fanout
    if level == 0:  # a compute unit needs its operand at every step, whatever it had
        steps = nest.above[0]
        return steps * units, steps * fanout, torch.zeros_like(steps)
    slab = slab_words(nest, tile, innermost(nest, level), level)
    read, received, linked = tile * units, tile * fanout, torch.zeros_like(tile)
    for move in _moves(nest, level, scale):
        size = torch.where(move.same, slab, tile)
        may_pass = (move.times * size > 0) & ((slab == tile) | move.same_before)
        served, rest = torch.zeros_like(tile), units.clone()
        some = torch.nonzero(may_pass)[:, 0]  # most kinds of moves never happen in most mappings
        if len(some):
            over, left = layout.select(some).after_links(move.code[some])
            better = left < units[some]
            served[some], rest[some] = torch.where(better, over, 0.0), torch.where(better, left, units[some])
        read = read + move.times * size * rest
        received = received + move.times * size * (fanout - served)
        linked = linked + move.times * size * served
    return read, received, linked


@dataclass(frozen=True)
class _Grid:
    """Instances one by one: the address of each one's window and which are used, shape [n, instances]."""

    where: Tensor
    used: Tensor
    mesh: Tensor
    units: Tensor
    fanout: Tensor

    @staticmethod
    def of(nest: Nest, level: int, along_y: Tensor, place: Tensor, mesh: Tensor, scale: Tensor) -> _Grid:
        where, used = _positions(nest, level, along_y, place, scale)
        return _Grid(where, used, mesh, _distinct(where, used), used.sum(dim=1).to(where.dtype))

    def select(self, some: Tensor) -> _Grid:
        """Return some of the candidates."""
        return _Grid(self.where[some], self.used[some], pick(self.mesh, some), self.units[some], self.fanout[some])

    def after_links(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many instances a neighbour serves, and how many different windows are left, each [n]."""
        over_link = _over_links(self.where, self.used, code, self.mesh)
        return over_link.sum(dim=1).to(code.dtype), _distinct(self.where, self.used & ~over_link)


@dataclass(frozen=True)
class _Move:
    """One kind of move of all windows: how often, how far, and what is new, each of shape [n].

    `same` tells that it repeats the innermost loop's displacement, so that only the slab is new;
    `same_before` that the move before it did, too, so that neighbours hold slabs.
    """

    times: Tensor
    code: Tensor
    same: Tensor
    same_before: Tensor


def _scales(nest: Nest) -> Tensor:
    """Return what one step along each dimension adds to a window's address, shape [dimensions, n].

    Addresses of an input array four times as large in every direction: differences of either sign
    stay apart. Exact while that array has fewer than 2^53 words.
    """
    whole = nest.tile[-1]
    wide = [4 * nest.window(whole, axis) for axis in (0, 1)]
    per_column = torch.ones_like(wide[0])
    per_row = wide[1]
    per_channel = per_row * wide[0]
    per_image = per_channel * 4 * whole[C]
    scale = torch.zeros_like(torch.stack(whole))
    for (out, tap), unit, axis in ((AXES[0], per_row, 0), (AXES[1], per_column, 1)):
        scale[out] = unit * nest.stride[axis]
        scale[tap] = unit * nest.dilation[axis]
    scale[C] = per_channel
    scale[N] = per_image
    scale[G] = per_image * 4 * whole[N]
    scale[K] = 0.0
    return scale


def _positions(nest: Nest, level: int, along_y: Tensor, place: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the address of every instance's window and which instances are used, shape [n, instances]."""
    along_x = torch.stack(nest.spatial[level]) / along_y
    spread = torch.cat([along_x, along_y.expand_as(along_x)])
    move = torch.stack(nest.inner[level]) * scale
    moves = torch.cat([move, move * along_x])
    # X turns before Y. A loop of one step adds nothing wherever it stands, so those come last and are left out.
    places = torch.cat([place[0], place[1] + len(place[1])]).expand_as(spread)
    order = torch.where(spread > 1, places, float("inf")).argsort(dim=0)
    order = order[: int((spread > 1).sum(dim=0).max())]
    factors = torch.gather(spread, 0, order)
    reach = torch.gather(moves, 0, order)
    fanout = factors.prod(dim=0)
    number = torch.arange(int(fanout.max()), device=factors.device, dtype=factors.dtype)
    left = number.expand(len(fanout), -1)
    where = torch.zeros_like(left)
    for factor, move in zip(factors, reach, strict=True):
        where = where + torch.remainder(left, factor[:, None]) * move[:, None]
        left = torch.div(left, factor[:, None], rounding_mode="floor")
    return where, number < fanout[:, None]


def _distinct(where: Tensor, used: Tensor) -> Tensor:
    """Return how many different addresses are used, shape [n]."""
    ordered = torch.where(used, where, float("inf")).sort(dim=1).values
    fresh = torch.isfinite(ordered)
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return fresh.sum(dim=1).to(where.dtype)


def _over_links(where: Tensor, used: Tensor, code: Tensor, mesh: Tensor) -> Tensor:
    """Return which instances find their next window at a neighbour, bool, shape [n, instances].

    Instances are numbered along the spatial loops and laid out row by row on the physical mesh, so
    a loop shorter than the mesh leaves no gap, as in Timeloop.
    """
    wanted = where + code[:, None]
    number = torch.arange(where.shape[1], device=where.device)
    column = number.expand(len(where), -1) % mesh.long()[:, None]
    found = torch.zeros_like(used)
    for offset, there in (
        (-1, column > 0),
        (1, column < mesh.long()[:, None] - 1),
        (-mesh.long()[:, None], used),
        (mesh.long()[:, None], used),
    ):
        neighbour = number + offset
        inside = there & (neighbour >= 0) & (neighbour < where.shape[1])
        index = neighbour.clamp(0, where.shape[1] - 1).expand(len(where), -1)
        held = torch.gather(where, 1, index)
        found = found | (inside & torch.gather(used, 1, index) & (held == wanted))
    return found & used


def _moves(nest: Nest, level: int, scale: Tensor) -> list[_Move]:
    """Return every kind of move of the windows below a level; see the module for what repeats."""
    first = innermost(nest, level)
    moved = torch.zeros_like(nest.above[0])
    repeated = torch.zeros_like(moved)
    begun = torch.zeros_like(moved, dtype=torch.bool)
    first_code = torch.zeros_like(moved)
    outer: list[_Move] = []
    never = torch.zeros_like(begun)
    for number in range(level, len(nest.temporal)):
        order = torch.stack(nest.place[number]).argsort(dim=0, stable=True)
        factors = torch.gather(torch.stack(nest.temporal[number]), 0, order)
        codes = torch.gather(torch.stack(nest.step[number]) * scale, 0, order)
        outside = nest.above[number]
        for factor, code in zip(factors, codes, strict=True):
            turns = factor > 1
            outside = outside / factor
            times = torch.where(turns & begun, (factor - 1) * outside, 0.0)
            first_code = torch.where(turns & ~begun, code, first_code)
            displaced = code - moved
            same = displaced == first_code
            outer.append(_Move(times, displaced, same, same))
            repeated = repeated + torch.where(same, times, 0.0)
            moved = moved + torch.where(turns, code, 0.0)
            begun = begun | turns
    turns = first.factor - 1
    total = nest.above[level] / first.factor
    always = ~never
    return [
        *outer,
        _Move(turns * repeated, first_code, always, always),
        _Move(turns * (total - repeated), first_code, always, never),
    ]
