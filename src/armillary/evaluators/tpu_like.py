"""The evaluator of template `tpu_like`: every layer under the best mapping found, and the operators beside.

Layers run one after another, each from HBM to HBM, but for attention whose keys and values stay on the chip, and for
pairs of layers that are fused: what is between them stays in the activation memory, tile by tile. Weights that several
tokens of a batch share are read once, as rows of one matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import Field

from armillary.cost_model import evaluate
from armillary.cost_model.fused import as_mapped
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.beside import Beside, scalars, with_beside, with_cost
from armillary.evaluators.explanation import Explanation, LayerCost
from armillary.evaluators.fusion import Fusion, apart, fused
from armillary.evaluators.hierarchical import energy_parts, rates_of
from armillary.evaluators.kind import EvaluatorKind, Options
from armillary.evaluators.recording import of_network, record, without_mappings
from armillary.hardware.hierarchy import Hierarchy
from armillary.hardware.mapping import Mapping
from armillary.hardware.templates.tpu_like import CLOCK_GHZ, SPACE, Chip, chip_of
from armillary.mapping.fused import FoundPair, search_pair
from armillary.mapping.goals import Goal
from armillary.mapping.search import NoLegalMappingError, search
from armillary.types import Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

_WIDTH = 16


class TpuLikeOptions(Options):
    """How mappings are searched."""

    goal: Literal["edp", "delay", "energy"] = Field("edp", description="What each layer's mapping minimises.")
    budget: int = Field(2000, ge=1, description="Mappings that the search evaluates per layer.")
    fuse: bool = Field(True, description="Whether two layers keep what is between them on the chip, where that pays.")


@dataclass(frozen=True)
class Placing:
    """Where the keys and values of a network lie.

    Attributes:
        held_bytes: of the activation memory that they take; 0 where they lie in HBM.
    """

    held_bytes: float

    @staticmethod
    def of(chip: Chip, uses: Sequence[LayerUse]) -> Placing:
        """Return where they lie: on the chip if they take at most half of the activation memory."""
        needed = sum(use.count * use.layer.weights * width_of(use.layer) / 8 for use in uses if use.layer.dynamic)
        return Placing(needed if needed <= chip.activations_kib * 1024 / 2 else 0.0)

    def resident(self, chip: Chip, layer: Layer) -> bool:
        """Return whether a layer reads nothing of HBM: its inputs and outputs fit beside all keys and values."""
        widths = chip.hierarchy(width_of(layer)).widths(chip.hierarchy(width_of(layer)).levels[0], layer.bits)
        own = (layer.inputs * widths[1] + layer.outputs * widths[3]) / 8
        fits = self.held_bytes + own <= chip.activations_kib * 1024
        return layer.dynamic and self.held_bytes > 0 and fits


def width_of(layer: Layer) -> int:
    """Return the bits of a layer's second operand."""
    return (layer.bits and layer.bits.W) or _WIDTH


class TpuLikeEvaluator:
    """Our analytical cost model on chips of template `tpu_like`.

    Args:
        spec: of `KIND`.
        options: how mappings are searched.
    """

    def __init__(self, spec: EvaluatorSpec, options: TpuLikeOptions) -> None:
        self.spec, self._options = spec, options

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Metrics: `delay_cycles`, `runtime_s`, `energy_pj` (dynamic; no leakage), `dram_bytes`, `onchip_bytes`,
        `area_mm2`; of operators beside the arrays `beside_cycles`, `beside_energy_pj`, `beside_dram_bytes`; where
        layers are fused, what that saves: `fused_saved_cycles`, `fused_saved_energy_pj`, `fused_saved_dram_bytes`.

        Raises:
            ArmillaryError: if a candidate brings mappings or a design is of another space.
        """
        without_mappings(candidates, self.spec)
        SPACE.encode([candidate.design for candidate in candidates])
        return [self._one(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate, each from HBM to HBM.

        Raises:
            ArmillaryError: see `evaluate`.
        """
        without_mappings(candidates, self.spec)
        return [self._run(c, LayerUse(layer), Placing(0.0)) for c in candidates for layer in layers]

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart."""
        chip = chip_of(evaluation.design)
        placing = Placing.of(chip, workload.layers)
        plan = self._planned(Candidate(evaluation.design), workload)
        beside = Beside.of(chip.vector_unit(), plan.beside, CLOCK_GHZ * 1e9).with_fused(plan.between, plan.runs_between)
        pairs = [
            (as_mapped(_hierarchy(chip, run.layer, placing), Mapping.parse(run.mapping)), run)
            for run in evaluation.layers
        ]
        return Explanation(
            layers=tuple(LayerCost.of(run, run.layer.macs) for run in evaluation.layers),
            rates=rates_of(chip.hierarchy(_WIDTH)),
            area_parts_mm2=chip.area_parts_mm2(),
            energy_parts_pj={**energy_parts(pairs), **beside.energy_parts_pj},
            overhead_s=beside.overhead_s,
            beside=beside.costs,
            fused=tuple(one.cost() for one in plan.pairs),
        )

    def _one(self, candidate: Candidate, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        chip = chip_of(candidate.design)
        plan = self._planned(candidate, workload)
        failure = next((run.failure for run in plan.layers if run.failure is not None), None)
        metrics = {"area_mm2": chip.area_mm2}
        if failure is None:
            sums = with_beside(of_network(plan.layers), chip.vector_unit(), plan.beside)
            own = scalars(with_cost(sums, plan.between) if plan.runs_between else sums)
            metrics |= {**own, "runtime_s": own["delay_cycles"] / (CLOCK_GHZ * 1e9), **plan.metrics()}
        seconds = time.perf_counter() - start
        return record(self.spec, candidate, workload, metrics, failure, seconds=seconds, layers=plan.layers)

    def _planned(self, candidate: Candidate, workload: Workload) -> Fusion:
        """Return the runs of all layers, those fused that pay."""
        chip, options, seed = chip_of(candidate.design), self._options, self.spec.seed
        placing = Placing.of(chip, workload.layers)
        runs = [self._run(candidate, use, placing) for use in workload.layers]
        if not options.fuse:
            return apart(workload, runs)

        def search(producer: Layer, consumer: Layer) -> FoundPair | None:
            return _searched_pair(chip, producer, consumer, placing, options.goal, options.budget, seed)

        return fused(workload, runs, chip.vector_unit(), options.goal, search)

    def _run(self, candidate: Candidate, use: LayerUse, placing: Placing) -> LayerRun:
        chip, layer = chip_of(candidate.design), use.layer
        mapping = _searched(chip, layer, placing, self._options.goal, self._options.budget, self.spec.seed)
        if isinstance(mapping, str):
            failure = Failure("infeasible", "mapping", layer.name, detail=mapping)
            return LayerRun(candidate.design, layer, "", {}, failure, use.count)
        hierarchy = _hierarchy(chip, layer, placing)
        metrics = layer_metrics(evaluate(hierarchy, layer, mapping), 0, hierarchy)
        if placing.resident(chip, layer):
            metrics = _on_chip(metrics)
        return LayerRun(candidate.design, layer, str(mapping), metrics, runs=use.count)


def _hierarchy(chip: Chip, layer: Layer, placing: Placing) -> Hierarchy:
    width = width_of(layer)
    if placing.resident(chip, layer):
        return chip.resident_hierarchy(width)
    return chip.hierarchy(width, placing.held_bytes)


def _on_chip(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics of a layer whose outermost level is on the chip."""
    return {
        **metrics,
        "onchip_bytes": metrics["onchip_bytes"] + metrics["dram_bytes"],
        "onchip_cycles": max(metrics["onchip_cycles"], metrics["dram_cycles"]),
        "dram_bytes": 0.0,
        "dram_cycles": 0.0,
    }


@lru_cache(maxsize=4096)
def _searched(chip: Chip, layer: Layer, placing: Placing, goal: Goal, budget: int, seed: int) -> Mapping | str:
    """Return the best mapping that was found, or why there is none; equal layers are searched for once."""
    try:
        return search(_hierarchy(chip, layer, placing), layer, goal=goal, budget=budget, seed=seed).mapping
    except NoLegalMappingError as fault:
        return str(fault)


@lru_cache(maxsize=1024)
def _searched_pair(
    chip: Chip, producer: Layer, consumer: Layer, placing: Placing, goal: Goal, budget: int, seed: int
) -> FoundPair | None:
    """Return the best fused mapping that was found; None if there is none.

    Layers whose second operands differ in width see ports of different width, and are not fused.
    """
    hierarchies = [_hierarchy(chip, layer, placing) for layer in (producer, consumer)]
    if hierarchies[0] != hierarchies[1]:
        return None
    try:
        return search_pair(hierarchies[0], producer, consumer, goal=goal, budget=budget, seed=seed)
    except NoLegalMappingError:
        return None


KIND = EvaluatorKind(
    template=SPACE.name,
    fidelity=Fidelity.ANALYTICAL,
    name="tpu_like",
    version="2",
    cost=Cost.SECONDS,
    make=lambda spec, options: TpuLikeEvaluator(spec, options),
    options=TpuLikeOptions,
    takes_widths=True,
)
