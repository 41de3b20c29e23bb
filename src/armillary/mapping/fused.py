"""The best way to run two layers whose intermediate stays on the chip: shared tiles, and each layer's mapping in one.

All tilings of the intermediate by factors that divide are judged first, with nothing but what crosses the outermost
level, what has to stay on the chip, and the least cycles that a tile takes. The best of them are then searched: each
layer's part in one tile is a layer of its own, mapped by the search for single layers under the room that the other
layer leaves it. Its factors divide where a dimension is cut, as the last rounds of all tiles are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product
from math import log, prod

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch, RemainderBatch, loop_places
from armillary.cost_model.cost import Costs, batch_costs
from armillary.cost_model.fused import (
    FusedCosts,
    FusedMapping,
    Tiling,
    evaluate_pair,
    home_of,
    stays,
    without_outside,
)
from armillary.hardware.hierarchy import DIMENSIONS, TENSORS, AccessEnergy, Hierarchy, Level
from armillary.hardware.mapping import RELEVANT, Mapping, loop_bounds, tile_words
from armillary.hardware.technology import access_energy
from armillary.mapping.goals import Goal, value_of
from armillary.mapping.search import NoLegalMappingError, search
from armillary.workloads.layer import Layer
from armillary.workloads.pairs import SharedLoop, shared_loops

BUDGET = 20_000
"""Mappings of each layer that are evaluated in each of the best tilings."""
TILINGS = 4
"""Tilings in which mappings are searched for."""
_DEEPER = 4
"""How often the budget goes once more to the tiling that turns out best, and to that of the best estimate."""
_MOST_FACTORS = 16
_ALIKE = 0.02  # estimates nearer to each other than this do not decide between tilings


@dataclass(frozen=True)
class FoundPair:
    """The best fused mapping of a search.

    Attributes:
        mapping: the best.
        costs: of it.
        value: its goal: pJ*cycles, cycles or pJ.
        tilings: how many fit, by what has to stay on the chip.
        hierarchy: onto which.
    """

    mapping: FusedMapping
    costs: FusedCosts
    value: float
    tilings: int
    hierarchy: Hierarchy


def search_pair(
    hierarchy: Hierarchy,
    producer: Layer,
    consumer: Layer,
    *,
    goal: Goal = "edp",
    budget: int = BUDGET,
    seed: int = 0,
) -> FoundPair:
    """Return the best fused mapping found.

    Args:
        hierarchy: onto which.
        producer: whose outputs the consumer alone reads.
        consumer: of them.
        goal: what to minimise, of both layers together.
        budget: mappings of each layer to evaluate in each of the best tilings; four times as many more in the two that
            promise most.
        seed: same seed, same result.

    Raises:
        UnfusableError: if the second layer does not read what the first puts out.
        NoLegalMappingError: if no level on the chip can keep the intermediate, or nothing that was met fits.
    """
    home = home_of(hierarchy)
    name = f"{producer.name} and {consumer.name} on {hierarchy.name}"
    if home is None:
        raise NoLegalMappingError(f"{name}: no level on the chip keeps both inputs and outputs")
    pair = _Pair(hierarchy, home, producer, consumer, goal, seed)
    ranked = pair.ranked(list(_tilings(shared_loops(producer, consumer), producer)))
    found = [one for tiling in ranked[:TILINGS] if (one := pair.searched(tiling, budget))]
    if not found:
        raise NoLegalMappingError(f"{name}: of {len(ranked):,} tilings whose tiles fit none was found to run")
    best = min(found, key=lambda one: one.value)
    promising = dict.fromkeys((best.mapping.tiling, ranked[0]))
    deeper = [one for tiling in promising if (one := pair.searched(tiling, _DEEPER * budget)) is not None]
    return replace(min((best, *deeper), key=lambda one: one.value), tilings=len(ranked))


def _tilings(loops: Sequence[SharedLoop], producer: Layer) -> Iterator[Tiling]:
    """Yield every tiling by factors that divide, in every order of loops that can matter."""
    seen: set[Tiling] = set()
    first = [loop for loop in loops if loop.producer == loop.consumer == "G"]  # every tensor has one tile per group
    for order in permutations([loop for loop in loops if loop not in first]):
        every = (*first, *order)
        for counts in product(*(_factors(loop.bound) for loop in every)):
            cut = tuple((loop, count) for loop, count in zip(every, counts, strict=True) if count > 1)
            overlapping = [n for n, (loop, _) in enumerate(cut) if loop.overlap]
            for again in (False, True) if overlapping else (False,):
                tiling = Tiling(cut, again)
                kept = again or overlapping in ([], [len(cut) - 1])
                if kept and tiling not in seen and _divides(tiling, producer):
                    seen.add(tiling)
                    yield tiling


def _divides(tiling: Tiling, producer: Layer) -> bool:
    """Return whether the producer has as many equal tiles; rows that are computed again always have."""
    bounds = loop_bounds(producer)
    rows = "PQ" if tiling.again else ""
    return all(d in rows or bounds[d] % count == 0 for d, count in tiling.counts(consumer=False).items())


def _factors(bound: int) -> list[int]:
    """Return the divisors of a bound; of very many, an even choice with both ends."""
    found = [n for n in range(1, bound + 1) if bound % n == 0]
    if len(found) <= _MOST_FACTORS:
        return found
    return [found[round(i * (len(found) - 1) / (_MOST_FACTORS - 1))] for i in range(_MOST_FACTORS)]


@dataclass(frozen=True)
class _Side:
    """One layer of the pair as it is estimated and searched.

    Attributes:
        chip: the hierarchy as it sees it.
        layer: all of it.
        is_consumer: whether it reads the intermediate.
    """

    chip: Hierarchy
    layer: Layer
    is_consumer: bool

    @property
    def intermediate(self) -> str:
        return "I" if self.is_consumer else "O"

    def tile(self, tiling: Tiling, pair: _Pair) -> Layer:
        if self.is_consumer:
            return tiling.consumer_tile(self.layer)
        return tiling.producer_tile(self.layer, pair.consumer)

    def run(self, tiling: Tiling, pair: _Pair) -> Layer:
        return self.layer if self.is_consumer else tiling.producer_run(self.layer, pair.consumer)


_Words = dict[str, NDArray[np.float64]]
"""Words by tensor, each of shape [tilings]."""


def _staying(side: _Side, tilings: Sequence[Tiling]) -> dict[str, NDArray[np.bool_]]:
    """Return of which tensors a tile stays from turn to turn, the intermediate aside, each of shape [tilings]."""
    rows = [
        stays(side.layer, list(tiling.counts(side.is_consumer))[-1]) - {side.intermediate} if tiling.loops else set()
        for tiling in tilings
    ]
    return {t: np.array([t in row for row in rows]) for t in TENSORS}


def _total(words: _Words, chosen: dict[str, NDArray[np.bool_]]) -> NDArray[np.float64]:
    return np.asarray(sum(words[t] * chosen[t] for t in TENSORS))


class _Pair:
    """Two layers on a hierarchy, and how good a tiling is for them."""

    def __init__(
        self, hierarchy: Hierarchy, home: int, producer: Layer, consumer: Layer, goal: Goal, seed: int
    ) -> None:
        self.hierarchy, self.home, self.producer, self.consumer = hierarchy, home, producer, consumer
        self.goal, self.seed = goal, seed
        self.sides = (
            _Side(without_outside(hierarchy, "O", home), producer, False),
            _Side(without_outside(hierarchy, "I", home), consumer, True),
        )

    def ranked(self, tilings: Sequence[Tiling]) -> list[Tiling]:
        """Return the tilings whose tiles fit as far as they have to stay, the best estimate first.

        Of tilings that are estimated alike, those come first whose whole tiles fit, then those in which nothing has to
        stay from tile to tile, then those with fewer tiles.
        """
        costs = [self._estimated(side, tilings) for side in self.sides]
        fits, whole = (self._fits(tilings, costs, whole) for whole in (False, True))
        least = [self._cycles(s, c, tilings) for s, c in zip(self.sides, costs, strict=True)]
        energy = np.sum([(c.access_energy_pj[-1].sum(dim=0) + c.mac_energy_pj).numpy() for c in costs], axis=0)
        passing = [np.maximum(cycles, c.bandwidth_cycles[-1].numpy()) for c, cycles in zip(costs, least, strict=True)]
        delay = np.sum(passing, axis=0)
        values = [value_of(self.goal, float(d), float(e)) for d, e in zip(delay, energy, strict=True)]
        places = [n for n in range(len(tilings)) if fits[n]]

        again = [
            max(self._repeated(s, c, t, n) for s, c in zip(self.sides, costs, strict=True))
            for n, t in enumerate(tilings)
        ]

        def merit(n: int) -> tuple[int, bool, float, int]:
            return round(log(values[n]) / _ALIKE), not whole[n], round(again[n], 2), tilings[n].tiles

        return [tilings[n] for n in sorted(places, key=merit)]

    def _estimated(self, side: _Side, tilings: Sequence[Tiling]) -> Costs:
        """Return the costs of one layer whose loops inside a tile are all at the intermediate's home."""
        levels, n = len(side.chip.levels), len(tilings)
        layers = [side.run(tiling, self) for tiling in tilings]
        bounds = np.array([list(loop_bounds(layer).values()) for layer in layers], dtype=float).T
        temporal = np.ones((levels, len(DIMENSIONS), n))
        place = np.empty_like(temporal)
        place[:] = np.arange(len(DIMENSIONS))[None, :, None]
        for number, tiling in enumerate(tilings):
            counts = tiling.counts(side.is_consumer)
            place[-1, :, number] = loop_places(tuple(reversed(counts)))
            for dimension, count in counts.items():
                temporal[-1, DIMENSIONS.index(dimension), number] = count
        temporal[self.home] = bounds / temporal[-1]
        keeps = torch.tensor([[t in level.keeps for t in TENSORS] for level in side.chip.inner_first])
        keeps = keeps[:, :, None].expand(-1, -1, n)
        one = torch.ones((levels, len(DIMENSIONS), n), dtype=torch.float64)
        order = torch.arange(float(len(DIMENSIONS)), dtype=torch.float64)[None, None, :, None].expand(levels, 2, -1, n)
        mappings = MappingBatch(torch.from_numpy(temporal), one, one, torch.from_numpy(place), order, keeps)
        chips = HierarchyBatch.of([side.chip])
        own = LayerBatch.of([side.layer])
        batch = replace(
            own,
            bounds=torch.from_numpy(bounds),
            bits=own.bits.expand(-1, n),
            floating=own.floating.expand(n),
        )
        return batch_costs(chips, batch, mappings)

    def _fits(self, tilings: Sequence[Tiling], costs: Sequence[Costs], whole: bool) -> NDArray[np.bool_]:
        """Return which tilings leave room for the intermediate and what stays from tile to tile, or for whole tiles."""
        found = np.ones(len(tilings), dtype=bool)
        masks = [_staying(side, tilings) for side in self.sides]
        for number in range(self.home, len(self.hierarchy.levels) - 1):
            words = [self._words(s, tilings, c, number) for s, c in zip(self.sides, costs, strict=True)]
            stay = [_total(w, mask) for w, mask in zip(words, masks, strict=True)]
            own = [sum(w.values()) - w[s.intermediate] for s, w in zip(self.sides, words, strict=True)]
            needed = np.maximum(own[0] + stay[1], own[1] + stay[0]) if whole else stay[0] + stay[1]
            found &= needed + self._intermediate(words, number) <= self.hierarchy.inner_first[number].tile_words
        return found

    def _words(self, side: _Side, tilings: Sequence[Tiling], costs: Costs, level: int) -> _Words:
        """Return the words of whole tiles at a level; outputs are sums as long as the consumer's inputs are cut."""
        weight, value, part, final = side.chip.widths(side.chip.inner_first[level], side.layer.bits)
        cut = np.array([side.is_consumer and "C" in tiling.counts(consumer=True) for tiling in tilings])
        elements = costs.tile_elements[level].numpy() / side.chip.inner_first[level].word_bits
        bits = (weight, value, np.where(cut, part, final))
        return {t: count * width for t, count, width in zip(TENSORS, elements, bits, strict=True)}

    def _intermediate(self, words: Sequence[_Words], level: int) -> NDArray[np.float64]:
        """Return the words of a tile of the intermediate, the larger of what the one makes and the other reads."""
        made, read = (w[side.intermediate] for w, side in zip(words, self.sides, strict=True))
        return np.maximum(made, read) if level == self.home else np.zeros_like(made)

    def _cycles(self, side: _Side, costs: Costs, tilings: Sequence[Tiling]) -> NDArray[np.float64]:
        """Return the least cycles of a layer: of its compute units, and of words that enter inner levels every tile."""
        units = np.array([_units(side.chip, side.tile(tiling, self)) for tiling in tilings])
        tiles = np.array([tiling.tiles for tiling in tilings])
        words = costs.tile_elements[self.home : -1].amax(dim=0).numpy()  # of a tile, wherever it is whole
        least: NDArray[np.float64] = costs.macs.numpy() / units
        instances = side.chip.instances()[::-1][1:]
        for number, level in enumerate(side.chip.inner_first[: self.home]):
            bits = side.chip.widths(level, side.layer.bits)
            entering = sum(words[n] * bits[n] for n in (0, 1) if TENSORS[n] in level.keeps) / level.word_bits
            if level.write_bandwidth is not None:
                least = np.maximum(least, tiles * entering / instances[number] / level.write_bandwidth)
        return least

    def searched(self, tiling: Tiling, budget: int) -> FoundPair | None:
        """Return the best mapping of both layers in a tiling; None if none was found that runs."""
        costs = [self._estimated(side, [tiling]) for side in self.sides]
        mappings = [self._mapped(number, tiling, costs, budget) for number in range(len(self.sides))]
        first, second = mappings
        if first is None or second is None:
            return None
        mapping = FusedMapping.of_tiles(tiling, first, second)
        pair = evaluate_pair(self.hierarchy, self.producer, self.consumer, mapping)
        if pair.failure is not None:
            return None
        value = value_of(self.goal, pair.delay_cycles, pair.energy_pj)
        return FoundPair(mapping, pair, value, 1, self.hierarchy)

    def _mapped(self, number: int, tiling: Tiling, costs: Sequence[Costs], budget: int) -> Mapping | None:
        """Return the best mapping of one layer's part in a tile; None if none was found."""
        side, tile = self.sides[number], self.sides[number].tile(tiling, self)
        chip = self._beside(side, tiling, costs, self.sides[1 - number], 1 - number)
        if chip is None:
            return None
        leaves = _Leaves(side.chip, tile, tiling, side.is_consumer, self.home) if tiling.loops else None
        for one in (chip,) if side.is_consumer else (_finished_inside(chip, self.home), chip):
            found = self._best(one, tile, budget, leaves)
            if found is not None:
                return found
        return None

    def _best(self, chip: Hierarchy, tile: Layer, budget: int, leaves: _Leaves | None) -> Mapping | None:
        """Return the best mapping of a tile; one that leaves no room is looked for again, with an eye to that."""
        for fits in (None, leaves):
            try:
                found = search(chip, tile, goal=self.goal, budget=budget, seed=self.seed, fits=fits)
            except NoLegalMappingError:
                return None
            if leaves is None or leaves(MappingBatch.of([found.mapping]))[0]:
                return found.mapping
        return None

    def _beside(
        self, side: _Side, tiling: Tiling, costs: Sequence[Costs], other: _Side, place: int
    ) -> Hierarchy | None:
        """Return the hierarchy that one tile of a layer has; None if nothing of a level is left for it.

        Levels outside the home, and it, lack what of the other layer stays there. What a tile fetches again though it
        stays is cheaper and faster in the same measure, so that the search does not save what costs nothing.
        """
        own = costs[1 - place]
        levels = list(side.chip.levels)
        for number in range(self.home, len(levels) - 1):
            at = len(levels) - 1 - number
            level = levels[at]
            mine = self._words(side, [tiling], own, number)
            others = self._words(other, [tiling], costs[place], number)
            extra = self._intermediate((mine, others), number) - mine[side.intermediate]
            taken = _total(others, _staying(other, [tiling])) + np.maximum(extra, 0.0)
            left = level.tile_words - float(taken[0])
            if left < 1:
                return None
            if level.capacity_words is not None:
                levels[at] = level.model_copy(update={"capacity_words": int(left) * level.buffers})
        levels[0] = _scaled(side.chip, self._repeated(side, own, tiling, 0))
        return side.chip.model_copy(update={"levels": tuple(levels)})

    def _repeated(self, side: _Side, costs: Costs, tiling: Tiling, at: int) -> float:
        """Return how much more a layer would move at the outermost level if nothing stayed there from tile to tile."""
        moved = float(costs.words_moved[-1, ..., at].sum())
        tiles = costs.tile_words[self.home : -1, :, at].amax(dim=0)
        fetched = tiling.tiles * float(tiles.sum() - tiles[TENSORS.index(side.intermediate)])
        return max(1.0, fetched / moved) if moved else 1.0


def _scaled(chip: Hierarchy, times: float) -> Level:
    """Return the outermost level with accesses that are cheaper and faster by a factor."""
    level = chip.levels[0]
    energy = access_energy(chip, level)
    cheaper = AccessEnergy(
        read_pj=energy.read_pj / times, fill_pj=energy.fill_pj / times, update_pj=energy.update_pj / times
    )
    rates = {
        name: None if (rate := getattr(level, name)) is None else rate * times
        for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
    }
    return level.model_copy(update={"energy": cheaper, **rates})


def _finished_inside(chip: Hierarchy, home: int) -> Hierarchy:
    """Return the hierarchy on which sums of the producer are finished before they come home, if a level can do that.

    Sums are wider than what they come to, so that a tile which only just fits would else hardly ever be met.
    """
    if not any("O" in level.keeps for level in chip.inner_first[:home]):
        return chip
    levels = list(chip.levels)
    for place, level in enumerate(levels[: len(levels) - home]):
        temporal = "".join(d for d in level.rules.temporal if d not in "CRS")
        levels[place] = level.model_copy(update={"rules": level.rules.model_copy(update={"temporal": temporal})})
    return chip.model_copy(update={"levels": tuple(levels)})


def _units(chip: Hierarchy, tile: Layer) -> float:
    """Return the compute units that a tile can use at most.

    Some meshes together use no more units than the dimensions have steps that any of them may be unrolled over.
    """
    bounds = loop_bounds(tile)
    meshes = [
        (size, set(allowed))
        for level in chip.levels
        for size, allowed in zip(level.fanout, (level.rules.spatial_x, level.rules.spatial_y), strict=True)
        if size > 1
    ]
    return min(
        prod(bounds[d] for d in set().union(*(allowed for _, allowed in some)))
        * prod(size for mesh in meshes if mesh not in some for size in mesh[:1])
        for count in range(len(meshes) + 1)
        for some in combinations(meshes, count)
    )


class _Leaves:
    """Whether mappings of a tile are alike in all tiles, and leave the inner levels to the other layer.

    A short last round over a dimension that is cut would be one of the last tile only. What would stay at an inner
    level from tile to tile has to leave half of the level to the other layer.
    """

    def __init__(self, chip: Hierarchy, tile: Layer, tiling: Tiling, is_consumer: bool, home: int) -> None:
        self._chip, self._tile, self._home = chip, tile, home
        self._cut = [DIMENSIONS.index(d) for d in tiling.counts(is_consumer)]
        innermost = list(tiling.counts(is_consumer))[-1]
        self._stays = stays(tile, innermost)

    def __call__(self, mappings: MappingBatch) -> NDArray[np.bool_]:
        found = np.ones(len(mappings), dtype=bool)
        if isinstance(mappings, RemainderBatch):
            for factors, lasts in (
                (mappings.temporal, mappings.temporal_last),
                (mappings.spatial, mappings.spatial_last),
            ):
                found &= (factors == lasts)[:, self._cut].all(dim=0).all(dim=0).numpy()
        temporal = mappings.temporal.numpy()
        keeps = mappings.keeps.numpy()
        extents = np.cumprod(mappings.spatial.numpy() * temporal, axis=0)
        for number, level in enumerate(self._chip.inner_first[: self._home]):
            remains = np.zeros(len(mappings), dtype=bool)
            for tensor in self._stays & set(level.keeps):
                relevant = [DIMENSIONS.index(d) for d in RELEVANT[tensor]]
                moved = (temporal[number + 1 :, relevant] > 1).any(axis=(0, 1))
                remains |= keeps[number, TENSORS.index(tensor)] & ~moved
            if remains.any():
                found &= ~remains | (2 * self._words(number, extents[number], keeps[number]) <= level.tile_words)
        return found

    def _words(self, number: int, extents: NDArray[np.float64], keeps: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the words of all tiles at a level, shape [n]."""
        level = self._chip.inner_first[number]
        bits = self._chip.widths(level, self._tile.bits)
        wide = (bits[0], bits[1], max(bits[2:]))
        bounds = loop_bounds(self._tile)
        cut = {d: np.minimum(extents[n], bounds[d]).astype(np.int64) for n, d in enumerate(DIMENSIONS)}
        words = tile_words(self._tile, cut)
        parts = [kept * count * width / level.word_bits for kept, count, width in zip(keeps, words, wide, strict=True)]
        return np.asarray(sum(parts))
