"""Searches for the best mapping of every layer of a network onto one chip, all layers side by side.

A search asks for mappings of its layer and is told what they cost. The layers' searches go on in step, so that the
cost model evaluates one batch for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from armillary.cost_model.batch import HierarchyBatch, LayerBatch, MappingBatch
from armillary.cost_model.summaries import summaries
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.spotlight import Chip
from armillary.mapping.balance import least_product
from armillary.mapping.goals import GOALS, Goal
from armillary.mapping.spotlight.mapspace import Maps, UnrolledSpace
from armillary.mapping.spotlight.roofline import Roofline
from armillary.types import ArmillaryError
from armillary.workloads.layer import Layer

_BATCH = 10


@dataclass(frozen=True)
class Best:
    """The best mapping that a search met of a layer.

    Attributes:
        space: of the mapping.
        maps: the one mapping.
        value: its goal: pJ*cycles, cycles or pJ.
        delay_cycles: of one run.
        energy_pj: of one run.
        evaluated: mappings evaluated.
        illegal: mappings drawn that do not fit, and were not evaluated.
    """

    space: UnrolledSpace
    maps: Maps
    value: float
    delay_cycles: float
    energy_pj: float
    evaluated: int
    illegal: int

    @property
    def mapping(self) -> Mapping:
        """The mapping, readable."""
        return self.space.mapping(self.maps, 0)


class LayerSearch(ABC):
    """A search over the mappings of one layer; a subclass proposes legal mappings and learns.

    Attributes:
        space: the mappings.
        rng: of this search alone.
        illegal: mappings drawn so far that do not fit.
    """

    def __init__(self, space: UnrolledSpace, rng: np.random.Generator) -> None:
        self.space, self.rng, self.illegal = space, rng, 0

    @abstractmethod
    def ask(self, n: int) -> Maps:
        """Return n legal mappings."""

    @abstractmethod
    def tell(self, maps: Maps, values: NDArray[np.float64]) -> None:
        """Take what mappings cost, shape [n]."""

    def drawn(self, n: int) -> Maps:
        """Return n random legal mappings, counting the illegal ones met."""
        maps, illegal = self.space.draw(n, self.rng)
        self.illegal += illegal
        return maps


MakeSearch = Callable[..., LayerSearch]
"""From the mappings of a layer and a generator of random numbers, and `start` where it is warm, to a search."""


@dataclass(frozen=True)
class Mapper:
    """How a chip's mappings are searched.

    Attributes:
        name: what reports call it.
        make: the search of a layer.
        samples: mappings evaluated per layer at most, 100 in the chapter; fewer where a delay reaches its roofline.
        batch: mappings asked at once.
        space: of a chip and a layer, the mappings searched.
        warm: whether the searches take mappings to begin with, as `start`.
        balanced: for the EDP, choose every layer's mapping so that the product of the network's sums is least; else
            each layer's mapping has its own least EDP, as in the chapter.
    """

    name: str
    make: MakeSearch
    samples: int = 100
    batch: int = _BATCH
    space: Callable[[Chip, Layer], UnrolledSpace] = UnrolledSpace
    warm: bool = False
    balanced: bool = False

    def map(
        self,
        chip: Chip,
        layers: Sequence[Layer],
        goal: Goal,
        seed: int,
        runs: Sequence[int] | None = None,
        starts: Table[Layer, Sequence[Mapping]] | None = None,
    ) -> list[Best]:
        """Return the best mapping found of every layer.

        Args:
            chip: onto which.
            layers: all different.
            goal: what each layer minimises.
            seed: same seed, same mappings.
            runs: how often each layer runs per inference; once, if not given.
            starts: mappings to begin with, of other chips perhaps; a search that is not warm leaves them alone.

        Raises:
            ArmillaryError: if the goal is unknown or no layer is given.
        """
        if goal not in GOALS:
            raise ArmillaryError(f"goal {goal!r} is unknown; choose one of {list(GOALS)}")
        if not layers:
            raise ArmillaryError("no layer to map; give at least one")
        spaces = [self.space(chip, layer) for layer in layers]
        streams = np.random.SeedSequence(seed).spawn(len(layers))
        searches = [
            self._search_of(space, np.random.default_rng(stream), (starts or {}).get(space.layer, ()))
            for space, stream in zip(spaces, streams, strict=True)
        ]
        balanced = self.balanced and goal == "edp"
        judge = Judge(spaces, goal, keep=balanced)
        enough = Roofline(layers).delays(chip) if goal == "delay" else np.zeros(len(layers))
        missing = np.ones(len(layers), dtype=bool)
        while missing.any() and (done := int(judge.evaluated.max())) < self.samples:
            n = min(self.batch, self.samples - done)
            asked = [s.ask(n) if m else s.space.outermost(0) for s, m in zip(searches, missing, strict=True)]
            for search, maps, values in zip(searches, asked, judge(asked), strict=True):
                if len(maps):
                    search.tell(maps, values)
            missing = judge.values() > enough
        weights = np.array(runs or [1] * len(layers), dtype=float)
        found = judge.balanced(weights) if balanced else judge.best()
        return [replace(best, illegal=search.illegal) for best, search in zip(found, searches, strict=True)]

    def with_samples(self, samples: int) -> Mapper:
        """Return the search with another number of mappings per layer."""
        return replace(self, samples=samples)

    def _search_of(self, space: UnrolledSpace, rng: np.random.Generator, starts: Sequence[Mapping]) -> LayerSearch:
        if not self.warm or not starts:
            return self.make(space, rng)
        return self.make(space, rng, start=Maps.joined([space.maps_of(mapping) for mapping in starts]))


class Judge:
    """Evaluates mappings of several layers onto one chip at once, and keeps the best of each layer.

    Args:
        spaces: the mappings of each layer.
        goal: what to minimise.
        keep: keep all mappings, which `balanced` needs.

    Attributes:
        evaluated: mappings of each layer so far, shape [layers].
    """

    def __init__(self, spaces: Sequence[UnrolledSpace], goal: Goal, *, keep: bool = False) -> None:
        self._chip, self._spaces, self._goal = HierarchyBatch.of([spaces[0].chip.hierarchy()]), spaces, goal
        self._layers = LayerBatch.of([space.layer for space in spaces])
        self._best: list[tuple[float, float, float, Maps] | None] = [None] * len(spaces)
        self.evaluated = np.zeros(len(spaces), dtype=np.int64)
        self._keep, self._met = keep, [list[tuple[Maps, NDArray[np.float64]]]() for _ in spaces]

    def __call__(self, asked: Sequence[Maps]) -> list[NDArray[np.float64]]:
        """Return the goal of every mapping of every layer, infinite where it does not fit."""
        batch = MappingBatch.joined([space.decode(maps) for space, maps in zip(self._spaces, asked, strict=True)])
        which = torch.from_numpy(np.repeat(np.arange(len(asked)), [len(maps) for maps in asked]))
        found = summaries(self._chip, self._layers.select(which) if len(asked) > 1 else self._layers, batch)
        delay, energy = found.delay_cycles.numpy(), found.energy_pj.numpy()
        values = {"edp": delay * energy, "delay": delay, "energy": energy}[self._goal]
        values = np.where(found.feasible.numpy(), values, np.inf)
        ends = np.cumsum([len(maps) for maps in asked])
        for i, (maps, end) in enumerate(zip(asked, ends.tolist(), strict=True)):
            if not len(maps):
                continue
            own = slice(end - len(maps), end)
            if self._keep:
                costs = np.stack([delay[own], energy[own]])
                self._met[i].append((maps, np.where(np.isinf(values[own]), np.inf, costs)))
            first = end - len(maps) + int(values[own].argmin())
            before = self._best[i]
            if before is None or values[first] < before[0]:
                one = maps.select(slice(first - own.start, first - own.start + 1))
                self._best[i] = float(values[first]), float(delay[first]), float(energy[first]), one
        self.evaluated += [len(maps) for maps in asked]
        return np.split(values, ends[:-1])

    def values(self) -> NDArray[np.float64]:
        """Return the least goal of every layer so far, infinite before the first mapping, shape [layers]."""
        return np.array([np.inf if best is None else best[0] for best in self._best])

    def best(self) -> list[Best]:
        """Return the best of every layer so far."""
        found = zip(self._spaces, self._best, self.evaluated.tolist(), strict=True)
        return [Best(space, b[3], b[0], b[1], b[2], evaluated, 0) for space, b, evaluated in found if b is not None]

    def balanced(self, runs: NDArray[np.float64]) -> list[Best]:
        """Return the mappings of all met whose sum of delays times sum of energies is least, shape of runs: [layers].

        See `least_product`.
        """
        costs = [np.concatenate([each for _, each in parts], axis=1) for parts in self._met]
        return [self._one(layer, number) for layer, number in enumerate(least_product(costs, runs))]

    def _one(self, layer: int, number: int) -> Best:
        for maps, costs in self._met[layer]:
            if number < len(maps):
                delay, energy = costs[:, number].tolist()
                one = maps.select(slice(number, number + 1))
                return Best(self._spaces[layer], one, delay * energy, delay, energy, int(self.evaluated[layer]), 0)
            number -= len(maps)
        raise IndexError(number)


class RandomMaps(LayerSearch):
    """Uniform random mappings (Spotlight-R)."""

    def ask(self, n: int) -> Maps:
        """Return n random legal mappings."""
        return self.drawn(n)

    def tell(self, maps: Maps, values: NDArray[np.float64]) -> None:
        """Learn nothing."""


class GeneticMaps(LayerSearch):
    """The genetic algorithm of Spotlight-GA.

    A population of 20; a child takes each dimension's factors from one of two parents with probability 0.8, and each
    gene changes with probability 0.05. Source: the release; its crossover cannot break a factorization either.
    """

    size, crossover, mutation = 20, 0.8, 0.05

    def __init__(self, space: UnrolledSpace, rng: np.random.Generator) -> None:
        super().__init__(space, rng)
        self._maps: Maps | None = None
        self._values = np.empty(0)

    def ask(self, n: int) -> Maps:
        """Return random mappings at first, then children of the best."""
        if self._maps is None or len(self._maps) < self.size:
            return self.drawn(n)
        children = self._children(4 * n)
        fits = self.space.legal(children)
        self.illegal += int((~fits).sum())
        children = children.select(fits).select(slice(n))
        return children if len(children) == n else Maps.joined([children, self.drawn(n - len(children))])

    def _children(self, n: int) -> Maps:
        parents, rng = self._maps, self.rng
        assert parents is not None
        mothers = parents.select(np.minimum(rng.geometric(0.2, size=n) - 1, len(parents) - 1))
        fathers = parents.select(rng.integers(len(parents), size=n))
        fresh = self.space.random(n, rng)
        factors = mothers.factors.copy()
        crossed = (rng.random((n, 1)) < self.crossover) & (rng.random(factors.shape[:2]) < 0.5)
        factors[crossed] = fathers.factors[crossed]
        changed = rng.random(factors.shape[:2]) < self.mutation
        factors[changed] = fresh.factors[changed]
        axes = rng.random(n) < self.mutation
        rows, columns, lanes = (
            np.where(axes, getattr(fresh, name), getattr(mothers, name)) for name in ("rows", "columns", "lanes")
        )
        orders = np.where(rng.random((n, 2)) < self.mutation, fresh.orders, mothers.orders)
        return self.space.repaired(Maps(factors, rows, columns, lanes, orders))

    def tell(self, maps: Maps, values: NDArray[np.float64]) -> None:
        """Keep the best."""
        every = maps if self._maps is None else Maps.joined([self._maps, maps])
        scores = np.concatenate([self._values, values])
        keep = np.argsort(scores, kind="stable")[: self.size]
        self._maps, self._values = every.select(keep), scores[keep]


RANDOM = Mapper("random", RandomMaps)
GENETIC = Mapper("genetic", GeneticMaps)
