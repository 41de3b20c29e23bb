"""The evaluator of the `spotlight` templates: the best mapping of every layer, and what the network then costs.

Each candidate may bring the mappings of layers, or say how they are to be searched and where that begins; the
evaluator's own search finds the rest. The layers run one after another; their energies and delays are added, and the
EDP of a network is the product of the sums.
"""

from __future__ import annotations

import time
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from armillary.cost_model import evaluate
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.explanation import Explanation
from armillary.evaluators.hierarchical import explanation
from armillary.evaluators.kind import EvaluatorKind, Options
from armillary.evaluators.recording import of_network, record
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.spotlight import CLOCK_GHZ, CLOUD, EDGE, Chip, chip_of
from armillary.mapping.goals import Goal
from armillary.mapping.spotlight.mappers import MAPPERS, THOROUGH
from armillary.mapping.spotlight.search import Best, Mapper
from armillary.spaces.space import Space
from armillary.types import (
    ArmillaryError,
    Candidate,
    Cost,
    Design,
    Evaluation,
    EvaluatorSpec,
    Failure,
    Fidelity,
    LayerRun,
)
from armillary.workloads.layer import Layer, LayerUse, Workload, merge


class SpotlightOptions(Options):
    """How mappings are searched where a candidate does not say."""

    mapper: str = Field("thorough", description="Search of the mappings, as it is registered.")
    goal: Literal["edp", "delay", "energy"] = Field("edp", description="What each layer's mapping minimises.")
    samples: int = Field(0, ge=0, description="Mappings evaluated per layer; 0: as many as the search has.")


@dataclass(frozen=True)
class MappedNetwork:
    """The layers of a network on a chip.

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

    @property
    def by_layer(self) -> dict[str, str]:
        """The best mappings, as text, by layer name."""
        return {layer.name: str(mapping) for layer, mapping in zip(self.layers, self.mappings, strict=True)}

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
    chip: Chip,
    layers: Sequence[LayerUse],
    *,
    mapper: Mapper = THOROUGH,
    goal: Goal,
    seed: int = 0,
    starts: Table[str, Sequence[str]] | None = None,
) -> MappedNetwork:
    """Search the best mapping of every distinct layer of a network onto a chip.

    Args:
        chip: onto which.
        layers: of the network; equal ones are mapped once.
        mapper: the search.
        goal: what each layer minimises.
        seed: same seed, same mappings.
        starts: by layer name, mappings to begin with, as text.

    Raises:
        ArmillaryError: if a mapping to begin with is none of its layer.
    """
    uses = merge(layers)
    each, runs = tuple(use.layer for use in uses), tuple(use.count for use in uses)
    given = {
        use.layer: [Mapping.parse(text) for text in (starts or {})[use.layer.name]]
        for use in layers
        if use.layer.name in (starts or {})
    }
    return MappedNetwork(each, runs, tuple(mapper.map(chip, each, goal, seed, runs, given)))


class SpotlightEvaluator:
    """Our analytical cost model on chips of a `spotlight` template.

    Args:
        spec: of `EDGE_KIND` or `CLOUD_KIND`.
        space: of the designs.
        options: how mappings are searched.
    """

    def __init__(self, spec: EvaluatorSpec, space: Space, options: SpotlightOptions) -> None:
        self.spec, self._space, self._options = spec, space, options
        self._own = self._mapper(options.mapper)

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates: `delay_cycles`, `runtime_s` at 1 GHz, `energy_pj`, `area_mm2`.

        Raises:
            ArmillaryError: if a design is of another space, a mapping none of its layer, or a search unknown.
        """
        self._space.encode([candidate.design for candidate in candidates])
        return [self._evaluation(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate, each for itself.

        Raises:
            ArmillaryError: see `evaluate`.
        """
        return [run for c in candidates for layer in layers for run in self._runs(c, (LayerUse(layer),))]

    def hierarchy(self, design: Design) -> Hierarchy:
        """Return the hierarchy of a design."""
        return chip_of(design).hierarchy()

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:  # noqa: ARG002
        """Take one feasible evaluation apart; what its area is beside memories and lanes is the interconnect's."""
        macs = [run.layer.macs for run in evaluation.layers]
        chip = chip_of(evaluation.design)
        return explanation(chip.hierarchy(), evaluation.layers, macs, area_mm2=chip.area_mm2)

    def _evaluation(self, candidate: Candidate, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        metrics = {"area_mm2": chip_of(candidate.design).area_mm2}
        runs = self._runs(candidate, workload.layers)
        failure = next((run.failure for run in runs if run.failure is not None), None)
        if failure is None:
            sums = of_network(runs)
            metrics |= {**sums, "runtime_s": sums["delay_cycles"] / (CLOCK_GHZ * 1e9)}
        seconds = time.perf_counter() - start
        return record(self.spec, candidate, workload, metrics, failure, seconds=seconds, layers=runs)

    def _runs(self, candidate: Candidate, uses: Sequence[LayerUse]) -> list[LayerRun]:
        """Return a run of each use's layer, the mappings that are not given searched for together."""
        chip, given = chip_of(candidate.design), candidate.mappings or {}
        open_ = [use for use in uses if use.layer.name not in given]
        mappings = {use.layer.name: Mapping.parse(given[use.layer.name]) for use in uses if use.layer.name in given}
        if open_:
            search = candidate.search
            found = map_network(
                chip,
                open_,
                mapper=self._own if search is None else self._mapper(search.mapper),
                goal=self._options.goal,
                seed=self.spec.seed,
                starts=None if search is None else search.starts,
            )
            of_layer = dict(zip(found.layers, found.mappings, strict=True))
            mappings |= {use.layer.name: of_layer[use.layer] for use in open_}
        return _layer_runs(candidate, chip, uses, mappings)

    def _mapper(self, name: str) -> Mapper:
        mapper: Mapper = MAPPERS.load(name)
        return mapper.with_samples(self._options.samples) if self._options.samples else mapper


def _layer_runs(
    candidate: Candidate, chip: Chip, uses: Sequence[LayerUse], mappings: Table[str, Mapping]
) -> list[LayerRun]:
    """Return what every layer costs under its mapping.

    Raises:
        ArmillaryError: if a mapping is none of its layer on this chip.
    """
    hierarchy = chip.hierarchy()
    every = [mappings[use.layer.name] for use in uses]
    for use, mapping in zip(uses, every, strict=True):
        faults = list(mapping.faults(hierarchy, use.layer))
        if faults:
            raise ArmillaryError(f"layer {use.layer.name}: {'; '.join(faults)}")
    costs = evaluate(hierarchy, [use.layer for use in uses], every)
    runs = []
    for number, (use, mapping) in enumerate(zip(uses, every, strict=True)):
        failure = costs.failure(number, hierarchy)
        metrics = {} if failure is not None else layer_metrics(costs, number, hierarchy)
        runs.append(LayerRun(candidate.design, use.layer, str(mapping), metrics, _at(failure, use.layer), use.count))
    return runs


def _at(failure: Failure | None, layer: Layer) -> Failure | None:
    return None if failure is None else Failure(**{**vars(failure), "layer": layer.name})


def _kind(template: str, space: Space) -> EvaluatorKind:
    return EvaluatorKind(
        template=template,
        fidelity=Fidelity.ANALYTICAL,
        name=space.name,
        version="3",
        cost=Cost.SECONDS,
        make=lambda spec, options: SpotlightEvaluator(spec, space, options),
        options=SpotlightOptions,
    )


EDGE_KIND = _kind("spotlight", EDGE)
CLOUD_KIND = _kind("spotlight_cloud", CLOUD)
