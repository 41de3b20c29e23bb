"""A slow, plain walk over every iteration of a mapping with remainders, instance by instance.

Nothing is shared with the product's closed form. Every loop, in time and in space, is walked in nest
order, each stopping where the layer ends; tiles are sets of coordinates. A level's controller keeps
its tile while no loop that indexes the tensor turns or restarts, fetches what is new when the
innermost loop moves it, and fetches all of it otherwise.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from armillary.hardware.hierarchy import DIMENSIONS
from cost_model.simulator import INDEXED_BY, _Walk

RELEVANT = {**INDEXED_BY, "I": "NGCPQRS"}


@dataclass(frozen=True)
class _Loop:
    level: int
    dimension: str
    factor: int
    spatial: bool
    step: int


class RemainderWalk:
    def __init__(self, hierarchy, layer, mapping, bounds):
        self.hierarchy, self.layer, self.bounds = hierarchy, layer, bounds
        self.levels = mapping.inner_first
        self.loops = []
        extent = dict.fromkeys(DIMENSIONS, 1)
        for number, level in enumerate(self.levels):
            for loop in (*level.spatial[::-1], *level.temporal[::-1]):
                self.loops.append(_Loop(number, loop.dimension, loop.factor, bool(loop.axis), extent[loop.dimension]))
                extent[loop.dimension] *= loop.factor
        self.words = _Walk(hierarchy, layer, mapping).words

    def visits(self, boundary):
        """Return every tile below a level, in nest order: outer loops turn slowest."""
        outer = [loop for loop in self.loops if loop.level >= boundary][::-1]
        size = dict.fromkeys(DIMENSIONS, 1)
        for loop in self.loops:
            if loop.level < boundary:
                size[loop.dimension] *= loop.factor
        found = []

        def walk(depth, origin, time, space):
            if depth == len(outer):
                extent = {d: min(size[d], self.bounds[d] - origin[d]) for d in DIMENSIONS}
                found.append((time, space, dict(origin), extent))
                return
            loop = outer[depth]
            for i in range(loop.factor):
                start = origin[loop.dimension] + i * loop.step
                if start >= self.bounds[loop.dimension]:
                    break
                index = (loop, i)
                walk(
                    depth + 1,
                    {**origin, loop.dimension: start},
                    time if loop.spatial else (*time, index),
                    (*space, index) if loop.spatial else space,
                )

        walk(0, dict.fromkeys(DIMENSIONS, 0), (), ())
        return found

    def fetches(self, tensor, boundary):
        """Yield (time, space, words) of what each place below a boundary gets, in the order of time at that place."""
        places = defaultdict(list)
        for time, space, origin, extent in self.visits(boundary):
            places[space].append((time, origin, extent))
        for space, tiles in places.items():
            before = None
            for time, origin, extent in tiles:
                words = self.words(tensor, origin, extent)
                new = words if before is None or not boundary else self.fresh(tensor, before, time, words)
                before = (time, words)
                if new is not None:
                    yield time, space, new

    def fresh(self, tensor, before, time, words):
        """Return the words to fetch, None if the tile stays."""
        old_time, old_words = before
        turned = next(i for i, (a, b) in enumerate(zip(old_time, time, strict=True)) if a != b)
        inside = [loop for loop, _ in time[turned:] if loop.factor > 1]
        if not any(loop.dimension in RELEVANT[tensor] for loop in inside):
            return None
        return words - old_words if len(inside) == 1 else words

    def load(self, tensor, boundary, level):
        """Return the words that all instances of a level hand over a boundary."""
        seen = defaultdict(set)
        total = 0
        for time, space, words in self.fetches(tensor, boundary):
            place = []
            for loop, i in space:
                chip = self.hierarchy.inner_first[loop.level]
                shares = chip.spatial_reduction if tensor == "O" else chip.multicast
                if loop.level <= level and shares and loop.dimension not in RELEVANT[tensor]:
                    continue
                place.append((loop, i))
            key = (tuple(place), tuple((lo, i) for lo, i in time))
            if key not in seen:
                total += len(words)
            seen[key].add(words)
        assert all(len(same) == 1 for same in seen.values())
        return total

    def arriving(self, tensor, boundary):
        return sum(len(words) for _, _, words in self.fetches(tensor, boundary))

    def count(self, count_first_fill):
        instances = [1] * len(self.levels)
        for number in range(len(self.levels) - 2, -1, -1):
            instances[number] = instances[number + 1]
            for loop in self.levels[number + 1].spatial:
                instances[number] *= loop.factor
        found = {"reads": Counter(), "fills": Counter(), "updates": Counter()}
        for tensor in "WIO":
            kept = [number for number, level in enumerate(self.levels) if tensor in level.keeps]
            for at, number in enumerate(kept):
                boundary = kept[at - 1] + 1 if at else 0
                load = self.load(tensor, boundary, number)
                own = self.outputs(number) if tensor == "O" else 0
                found["reads"][number, tensor] = (load - own) / instances[number]
                found["updates"][number, tensor] = load / instances[number] if tensor == "O" else 0
                if number != kept[-1]:
                    arriving = self.arriving(tensor, number + 1) - (0 if count_first_fill else own)
                    found["fills"][number, tensor] = arriving / instances[number]
        return found

    def outputs(self, level):
        """Return the outputs, copies included, that all instances of a level are in charge of."""
        owned = defaultdict(set)
        for _, space, origin, extent in self.visits(level + 1):
            owned[space] |= self.words("O", origin, extent)
        return sum(map(len, owned.values()))

    def cycles(self):
        return max(Counter(space for _, space, _, _ in self.visits(0)).values())

    def tile(self, tensor, level):
        return max(len(self.words(tensor, origin, extent)) for _, _, origin, extent in self.visits(level + 1))
