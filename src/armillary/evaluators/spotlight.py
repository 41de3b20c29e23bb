"""The evaluator of the `spotlight` templates: the best mapping of every layer, and what the network then costs.

How the mappings are searched is a choice: `THOROUGH`, unless told otherwise. The layers run one after another;
their energies and delays are added, and the EDP of a network is the product of the sums.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.spotlight import CLOCK_GHZ, CLOUD, EDGE, Chip, chip_of
from armillary.mapping.search import Goal
from armillary.mapping.spotlight.local import DISTINCT, LocalMaps
from armillary.mapping.spotlight.search import Best, Mapper
from armillary.spaces.space import Space
from armillary.types import Design, Evaluation, Evaluator, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Layer, Workload, merge

THOROUGH = Mapper("thorough", LocalMaps, samples=3000, batch=100, space=DISTINCT, balanced=True)


@dataclass(frozen=True)
class MappedNetwork:
    """A network on a chip.

    Attributes:
        layers: the distinct layers.
        runs: how often each runs per inference.
        best: the best mapping found of each.
    """

    layers: tuple[Layer, ...]
    runs: tuple[int, ...]
    best: tuple[Best, ...]

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """The best mappings, readable."""
        return tuple(best.mapping for best in self.best)

    def by_layer(self, workload: Workload) -> dict[str, Mapping]:
        """Return the mapping of every layer of the workload by the layer's name."""
        of_layer = dict(zip(self.layers, self.mappings, strict=True))
        return {use.layer.name: of_layer[use.layer] for use in workload.layers}

    @property
    def delay_cycles(self) -> float:
        """Delay of an inference."""
        return float(sum(n * b.delay_cycles for n, b in zip(self.runs, self.best, strict=True)))

    @property
    def energy_pj(self) -> float:
        """Energy of an inference."""
        return float(sum(n * b.energy_pj for n, b in zip(self.runs, self.best, strict=True)))

    @property
    def edp_pj_cycles(self) -> float:
        """Energy-delay product of an inference."""
        return self.delay_cycles * self.energy_pj

    def value(self, goal: Goal) -> float:
        """Return what is minimised."""
        return {"edp": self.edp_pj_cycles, "delay": self.delay_cycles, "energy": self.energy_pj}[goal]


def map_network(
    chip: Chip, workload: Workload, *, mapper: Mapper = THOROUGH, goal: Goal, seed: int = 0
) -> MappedNetwork:
    """Search the best mapping of every distinct layer of a network onto a chip."""
    uses = merge(workload.layers)
    layers, runs = tuple(use.layer for use in uses), tuple(use.count for use in uses)
    best = tuple(mapper.map(chip, layers, goal, seed, runs))
    return MappedNetwork(layers, runs, best)


@runtime_checkable
class SearchesMappings(Evaluator, Protocol):
    """The capability of an evaluator to search mappings in a way that it is told."""

    def mapping_with(self, mapper: Mapper | None, goal: Goal) -> Evaluator:
        """Return the evaluator with another search for mappings; its own if none is given."""
        ...

    def mapped(self, design: Design, workload: Workload) -> MappedNetwork:
        """Return the mappings that a design was evaluated with, searched for if it was not yet."""
        ...


class SpotlightEvaluator:
    """Our analytical cost model on chips of a `spotlight` template.

    Args:
        space: of the designs.
        seed: of the search for mappings.
        mapper: the search for mappings.
        goal: what each layer's mapping minimises.
    """

    version = "2"
    fidelity = Fidelity.ANALYTICAL

    def __init__(self, space: Space, *, seed: int = 0, mapper: Mapper = THOROUGH, goal: Goal = "edp") -> None:
        self._space, self._seed, self._mapper, self._goal = space, seed, mapper, goal
        self._mapped: dict[tuple[Design, str], MappedNetwork] = {}
        self.name = f"{space.name}/{mapper.name}/{goal}"

    def evaluate(self, designs: Sequence[Design], workload: Workload) -> list[Evaluation]:
        """Evaluate designs: `delay_cycles`, `runtime_s` at 1 GHz, `energy_pj`, `area_mm2`.

        Raises:
            ArmillaryError: if a design is of another space.
        """
        self._space.encode(designs)
        return [self._evaluation(design, workload) for design in designs]

    def mapping_with(self, mapper: Mapper | None, goal: Goal) -> SpotlightEvaluator:
        """Return the evaluator with another search for mappings; the thorough one if none is given."""
        return SpotlightEvaluator(self._space, seed=self._seed, mapper=mapper or THOROUGH, goal=goal)

    def mapped(self, design: Design, workload: Workload) -> MappedNetwork:
        """Return the mappings that a design was evaluated with, searched for if it was not yet."""
        return self._mapped.get((design, workload.name)) or self._search(design, workload)

    def _search(self, design: Design, workload: Workload) -> MappedNetwork:
        chip = chip_of(design)
        found = map_network(chip, workload, mapper=self._mapper, goal=self._goal, seed=self._seed)
        self._mapped[design, workload.name] = found
        return found

    def _evaluation(self, design: Design, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        chip = chip_of(design)
        found = self._search(design, workload)
        return Evaluation(
            design=design,
            workload=workload.name,
            context=context_of(workload).as_dict(),
            evaluator=self.name,
            version=self.version,
            fidelity=self.fidelity,
            metrics={
                "delay_cycles": found.delay_cycles,
                "runtime_s": found.delay_cycles / (CLOCK_GHZ * 1e9),
                "energy_pj": found.energy_pj,
                "area_mm2": chip.area_mm2,
            },
            feasible=True,
            failure=None,
            seconds=time.perf_counter() - start,
            seed=self._seed,
            time=datetime.now(UTC).replace(tzinfo=None),
        )


def edge(*, seed: int = 0) -> SpotlightEvaluator:
    """Return the evaluator of the template `spotlight`."""
    return SpotlightEvaluator(EDGE, seed=seed)


def cloud(*, seed: int = 0) -> SpotlightEvaluator:
    """Return the evaluator of the template `spotlight_cloud`."""
    return SpotlightEvaluator(CLOUD, seed=seed)
