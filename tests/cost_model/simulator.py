"""A slow, plain walk over one mapping that moves sets of words about and counts them.

Nothing is shared with the product's closed form: tiles are sets of coordinates, every instance of
every level is visited, and new words are what set difference leaves. Timeloop's two conventions are
kept: a loop of n iterations is walked at its first and second index, the second standing for n - 1
of them; and a tile is only reduced by what was there before when it moves as it moved last time.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product

from armillary.hardware.hierarchy import DIMENSIONS

INDEXED_BY = {"W": "GKCRS", "O": "NGKPQ"}


@dataclass
class Counted:
    """Per level, innermost first, and tensor: words per used instance; and what does not fit."""

    reads: dict
    fills: dict
    updates: dict
    tile: dict
    instances: list
    compute_cycles: int
    too_large: list
    too_wide: list


@dataclass(frozen=True)
class _Turn:
    level: int
    dimension: str
    factor: int
    step: int


def simulate(hierarchy, layer, mapping, count_first_fill=False):
    return _Walk(hierarchy, layer, mapping).count(count_first_fill)


class _Walk:
    def __init__(self, hierarchy, layer, mapping):
        self.hierarchy, self.layer = hierarchy, layer
        self.levels = mapping.inner_first
        extent = dict.fromkeys(DIMENSIONS, 1)
        self.turns, self.mesh, self.below, self.extents = [], [], [], []
        for number, level in enumerate(self.levels):
            self.below.append(dict(extent))
            self.mesh.append([(lo.dimension, lo.factor, extent[lo.dimension]) for lo in level.spatial])
            for loop in level.spatial:
                extent[loop.dimension] *= loop.factor
            for loop in reversed(level.temporal):
                if loop.factor > 1:
                    self.turns.append(_Turn(number, loop.dimension, loop.factor, extent[loop.dimension]))
                extent[loop.dimension] *= loop.factor
            self.extents.append(dict(extent))

    def words(self, tensor, origin, extent):
        """Return the set of coordinates of a tensor under a tile."""

        def span(dimension):
            return range(origin[dimension], origin[dimension] + extent[dimension])

        if tensor in INDEXED_BY:
            return frozenset(product(*(span(d) for d in INDEXED_BY[tensor])))
        la = self.layer

        def window(out, tap, stride, dilation):
            first = origin[out] * stride + origin[tap] * dilation
            return range(first, first + (extent[out] - 1) * stride + (extent[tap] - 1) * dilation + 1)

        rows = window("P", "R", la.stride_h, la.dilation_h)
        columns = window("Q", "S", la.stride_w, la.dilation_w)
        return frozenset(product(span("N"), span("G"), span("C"), rows, columns))

    def anchor(self, tensor, origin):
        """Return where a tile stands: the coordinates of its first word."""
        return min(self.words(tensor, origin, dict.fromkeys(DIMENSIONS, 1)))

    def steps(self, boundary):
        """Yield (times, origin) of the tile below a level, in time."""
        turns = [t for t in self.turns if t.level >= boundary][::-1]
        for index in product(*([0, 1] for _ in turns)):
            origin, times = Counter(), 1
            for turn, i in zip(turns, index, strict=True):
                origin[turn.dimension] += turn.step * i
                times *= turn.factor - 1 if i else 1
            yield times, origin

    def children(self, level):
        """Return the offsets of the instances below one instance of a level, in mesh order."""
        mesh = self.mesh[level]
        for index in product(*(range(factor) for _, factor, _ in reversed(mesh))):
            offset = Counter()
            for (dimension, _, step), i in zip(reversed(mesh), index, strict=True):
                offset[dimension] += step * i
            yield offset

    def transfers(self, tensor, level):
        """Return (words read, words received, words over links) for the instances below one instance."""
        children = list(self.children(level))
        held = [frozenset()] * len(children)
        stood, last_move = [None] * len(children), [None] * len(children)
        before = [frozenset()] * len(children)
        read = received = linked = 0
        for times, origin in self.steps(level):
            new = []
            for i, offset in enumerate(children):
                start = origin + offset
                words = self.words(tensor, start, self.below[level])
                if level == 0:
                    new.append(words)
                    continue
                here = self.anchor(tensor, start)
                move = None if stood[i] is None else tuple(a - b for a, b in zip(here, stood[i], strict=True))
                keep = last_move[i] is None or move == last_move[i]
                new.append(words - held[i] if keep else words)
                last_move[i] = move if keep else None
                held[i], stood[i] = words, here
            served, over = self.serve(tensor, level, new, before)
            read += times * served
            received += times * (sum(map(len, new)) - over)
            linked += times * over
            before = new
        return read, received, linked

    def serve(self, tensor, level, new, before):
        chip = self.hierarchy.inner_first[level]
        if not (chip.spatial_reduction if tensor == "O" else chip.multicast):
            return sum(map(len, new)), 0
        plain = sum(map(len, set(new)))
        passed = self.passed(level, new, before) if level and len(new) > 1 else set()
        rest = sum(map(len, {words for i, words in enumerate(new) if i not in passed}))
        return (rest, sum(len(new[i]) for i in passed)) if rest < plain else (plain, 0)

    def passed(self, level, new, before):
        """Return the instances that find their new words at a neighbour, which got them a step ago."""
        wide = self.hierarchy.inner_first[level].fanout[0]
        found = set()
        for i, words in enumerate(new):
            column = i % wide
            near = [i - wide, i + wide]
            near += [i - 1] * (column > 0) + [i + 1] * (column < wide - 1)
            if words and any(0 <= j < len(new) and before[j] == words for j in near):
                found.add(i)
        return found

    def count(self, count_first_fill):
        levels = len(self.levels)
        instances = [1] * levels
        for number in range(levels - 2, -1, -1):
            instances[number] = instances[number + 1] * len(list(self.children(number + 1)))
        counted = Counted(
            reads=defaultdict(int),
            fills=defaultdict(int),
            updates=defaultdict(int),
            tile=defaultdict(int),
            instances=instances,
            compute_cycles=sum(times for times, _ in self.steps(0)),
            too_large=[],
            too_wide=[],
        )
        for tensor in "WIO":
            self.count_tensor(tensor, counted, count_first_fill)
        for number, (level, chip) in enumerate(zip(self.levels, self.hierarchy.inner_first, strict=True)):
            if sum(counted.tile[number, t] for t in level.keeps) > chip.tile_words:
                counted.too_large.append(chip.name)
            if level.unrolled("X") > chip.fanout[0] or level.unrolled("Y") > chip.fanout[1]:
                counted.too_wide.append(chip.name)
        return counted

    def count_tensor(self, tensor, counted, count_first_fill):
        origin = Counter()
        moved = [self.transfers(tensor, number) for number in range(len(self.levels))]
        kept = [number for number, level in enumerate(self.levels) if tensor in level.keeps]
        load = 0.0
        for number, level in enumerate(self.levels):
            read, received, _ = moved[number]
            fanout = len(list(self.children(number)))
            inner_kept = number == 0 or tensor in self.levels[number - 1].keeps
            load = read if inner_kept else read / received * load * fanout
            if tensor not in level.keeps:
                continue
            arriving = peers = 0.0
            if number < kept[-1]:
                _, came, linked = moved[number + 1]
                arriving = came / len(list(self.children(number + 1)))
                peers = linked / counted.instances[number]
            own = self.outputs_of_one(number) if tensor == "O" else 0
            fills = arriving + peers - (0 if count_first_fill else own)
            counted.tile[number, tensor] = len(self.words(tensor, origin, self.extents[number]))
            counted.reads[number, tensor] = round(load + peers) - own
            counted.fills[number, tensor] = round(fills) if number < kept[-1] else 0
            counted.updates[number, tensor] = round(load) if tensor == "O" else 0

    def outputs_of_one(self, number):
        """Return the outputs that one instance of a level is in charge of over the whole layer."""
        outputs = len(self.words("O", Counter(), self.extents[-1]))
        for outer in range(number + 1, len(self.levels)):
            tiles = {self.words("O", offset, dict.fromkeys(DIMENSIONS, 1)) for offset in self.children(outer)}
            outputs //= len(tiles)
        return outputs
