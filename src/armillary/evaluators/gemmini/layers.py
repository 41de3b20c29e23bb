"""How the layers of a network run on an accelerator of the `gemmini` template: packed, mapped, and recorded.

What the analytical and the RTL evaluator share. The cost model sees the accelerator as a hierarchy. It knows neither
rows that are only partly used, nor latencies, nor queues; those are what `timing` and the RTL evaluator add.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal, TypeVar

from pydantic import Field

from armillary.cores import available
from armillary.cost_model.cost import evaluate
from armillary.cost_model.layer_metrics import layer_metrics
from armillary.evaluators.beside import Beside, scalars, with_beside
from armillary.evaluators.explanation import Explanation, LayerCost
from armillary.evaluators.gemmini.sampling import fitting
from armillary.evaluators.gemmini.timing.batch import physics_cycles
from armillary.evaluators.hierarchical import energy_parts, rates_of
from armillary.evaluators.kind import Options
from armillary.evaluators.recording import of_network, record
from armillary.hardware.dram import DramTiming
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import Program, RefusedError, compile_layer
from armillary.hardware.templates import gemmini_area
from armillary.hardware.templates.gemmini import SPACES, Accelerator, TooSmallError, accelerator_of, area_mm2
from armillary.mapping.goals import Goal
from armillary.mapping.search import Found, NoLegalMappingError, search
from armillary.tools.process import side_by_side
from armillary.types import ArmillaryError, Candidate, Design, Evaluation, EvaluatorSpec, Failure, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload

BUDGET = 10_000
Timing = Literal["roofline", "physics"]
"""A delay: the bound that compute and bandwidths set, or that of the commands on the hardware's units."""
UNFIT = (TooSmallError, NoLegalMappingError)
"""What mapping a layer ends with where the accelerator cannot run it."""


class MappingOptions(Options):
    """How layers are mapped where a candidate brings no mapping."""

    budget: int = Field(BUDGET, ge=1, description="Mappings that the search evaluates per layer.")
    goal: Literal["edp", "delay", "energy"] = Field("edp", description="What each layer's mapping minimises.")
    choice: Timing = Field(
        "roofline",
        description="The delay in that, by which the best of the mappings that a search meets is chosen; see `timing`.",
    )


@dataclass(frozen=True)
class Run:
    """A layer as the accelerator runs it.

    Attributes:
        layer: with few channels per group, several groups side by side.
        count: how often it runs per inference.
        macs: of one run, without the zeros between groups.
        mapping: onto the accelerator.
    """

    layer: Layer
    count: int
    macs: int
    mapping: Mapping


T = TypeVar("T")
Measure = Callable[[Accelerator, Sequence[Run]], list[dict[str, float]]]
"""From an accelerator and the layers on it to the metrics of one run of each."""


def packed(layer: Layer, dim: int) -> Layer:
    """Return a grouped layer as the array runs it: several groups at once, with zero weights between them.

    A depthwise layer would else use one multiplier of the array. Rows and columns are shared by as many groups as
    fit; the zeros are multiplied, too.
    """
    width = max(layer.K, layer.C) // layer.groups
    together = max(d for d in range(1, max(1, dim // width) + 1) if layer.groups % d == 0)
    return layer if together == 1 else replace(layer, groups=layer.groups // together)


@lru_cache(maxsize=100_000)
def best_mapping(
    accelerator: Accelerator,
    layer: Layer,
    *,
    goal: Goal = "edp",
    seed: int = 0,
    budget: int = BUDGET,
    choice: Timing = "roofline",
) -> Mapping:
    """Return a good mapping by the cost model that the accelerator can run.

    Rows that are only partly used take more room than the cost model counts; mappings that do not fit for that are
    out of the search. Of an array's dataflows the one whose mapping is better is taken.

    Raises:
        RefusedError: if the best that was found needs more than the accelerator has.
        NoLegalMappingError: if none was found that fits.
    """

    def find(view: Accelerator) -> Found:
        delays = partial(physics_cycles, view, layer) if choice == "physics" else None
        look = partial(search, view.hierarchy(), layer, goal=goal, budget=budget, seed=seed, delays=delays)
        try:
            found = look(fits=partial(fitting, view, layer, twice=True))
        except NoLegalMappingError:
            found = look(fits=partial(fitting, view, layer))
        compile_layer(layer, found.mapping, view)
        return found

    return best_of_views(accelerator, find, lambda found: found.value).mapping


def best_of_views(accelerator: Accelerator, find: Callable[[Accelerator], T], value: Callable[[T], float]) -> T:
    """Return what is found of the least value on the views of an accelerator, of equal ones the first.

    Args:
        accelerator: which.
        find: searches on one view.
        value: of what it finds.

    Raises:
        TooSmallError: of the last view, if nothing is found on any.
        NoLegalMappingError: likewise.
    """
    found: list[T] = []
    *_, last = accelerator.views
    for view in accelerator.views:
        try:
            found.append(find(view))
        except UNFIT:
            if not found and view == last:
                raise
    return min(found, key=value)


def mapped(
    accelerator: Accelerator,
    uses: Sequence[LayerUse],
    *,
    seed: int = 0,
    budget: int = BUDGET,
    goal: Goal = "edp",
    choice: Timing = "roofline",
    given: Table[str, str] | None = None,
) -> list[Run]:
    """Return the layers of a network with their mappings, one run per use.

    Args:
        accelerator: on which.
        uses: of the layers.
        seed: of the search.
        budget: mappings that it evaluates per layer.
        goal: what each mapping minimises.
        choice: the delay by which the best is chosen.
        given: by layer name, mappings as text, which are not searched for.

    Raises:
        RefusedError: if a layer cannot run.
        NoLegalMappingError: likewise.
        ArmillaryError: if a given mapping is none of its layer.
    """

    def run(use: LayerUse) -> Run:
        layer = packed(use.layer, accelerator.dim)
        text = (given or {}).get(use.layer.name)
        if text is None:
            mapping = best_mapping(accelerator, layer, goal=goal, seed=seed, budget=budget, choice=choice)
        else:
            mapping = Mapping.parse(text)
            compile_layer(layer, mapping, accelerator)
        return Run(layer, use.count, use.layer.macs, mapping)

    # A search of this size is too short for several threads, so the layers have them.
    with side_by_side(available()) as threads:
        return list(threads.map(run, uses))


def costs_of_each(accelerators: Sequence[Accelerator], runs: Sequence[Run]) -> list[dict[str, float]]:
    """Return the metrics of one run of each layer, each on its own accelerator, by the cost model.

    The utilization counts no zeros between groups.
    """
    if not runs:
        return []
    views = [accelerator.view(run.mapping) for accelerator, run in zip(accelerators, runs, strict=True)]
    different = {view: view.hierarchy() for view in views}
    hierarchies = [different[view] for view in views]
    shared = hierarchies[0] if len(different) == 1 else hierarchies
    costs = evaluate(shared, [run.layer for run in runs], [run.mapping for run in runs])
    found = []
    for number, (accelerator, run) in enumerate(zip(accelerators, runs, strict=True)):
        metrics = layer_metrics(costs, number, hierarchies[number])
        found.append(with_delay(metrics, metrics["delay_cycles"], run, accelerator))
    return found


def with_delay(metrics: Table[str, float], cycles: float, run: Run, accelerator: Accelerator) -> dict[str, float]:
    """Return the metrics of a run with a delay, and the utilization of the array that follows from it."""
    return {**metrics, "delay_cycles": cycles, "utilization": run.macs / (cycles * accelerator.dim**2)}


class LayersOfGemmini:
    """What both evaluators do with a candidate: map its layers, have them measured, and add up.

    Args:
        spec: the evaluator's.
        options: how layers are mapped.
        measure: what one run of each layer takes.
        dram: which the tensors of every layer must fit; None if it has no end.
    """

    def __init__(
        self, spec: EvaluatorSpec, options: MappingOptions, measure: Measure, *, dram: DramTiming | None = None
    ) -> None:
        self._spec, self._options, self._measure, self._dram = spec, options, measure, dram

    def evaluation(self, candidate: Candidate, workload: Workload) -> Evaluation:
        """Return a network on a candidate: `delay_cycles`, `runtime_s` by its clock, `energy_pj`, `area_mm2` and more.

        Raises:
            ArmillaryError: if the design is of another space, or a mapping that it brings is none of its layer.
        """
        start = time.perf_counter()
        metrics = self._area_of(candidate.design)
        runs: list[LayerRun] = []
        accelerator = built(candidate.design)
        failure = accelerator if isinstance(accelerator, Failure) else None
        if not isinstance(accelerator, Failure):
            try:
                runs = self._runs(candidate, accelerator, workload.layers)
                metrics |= _of_inference(of_network(runs), accelerator, workload)
            except UNFIT as fault:
                failure = failure_of(fault)
        seconds = time.perf_counter() - start
        return record(self._spec, candidate, workload, metrics, failure, seconds=seconds, layers=runs)

    def runs(self, candidate: Candidate, layers: Sequence[Layer]) -> list[LayerRun]:
        """Return one run of each layer on a candidate, measured side by side; those that cannot run say why.

        Raises:
            ArmillaryError: see `evaluation`.
        """
        accelerator = built(candidate.design)
        if isinstance(accelerator, Failure):
            return [_failed(candidate, layer, accelerator) for layer in layers]
        failed: dict[int, LayerRun] = {}
        ready: list[Run] = []
        for number, layer in enumerate(layers):
            try:
                ready += self._mapped(candidate, accelerator, (LayerUse(layer),))
            except UNFIT as fault:
                failed[number] = _failed(candidate, layer, failure_of(fault))
        done = iter(self._recorded(candidate, accelerator, ready) if ready else ())
        return [failed[number] if number in failed else next(done) for number in range(len(layers))]

    def added_up(self, candidate: Candidate, workload: Workload, runs: Sequence[LayerRun]) -> Evaluation:
        """Return the evaluation of a network from its layers' runs; see `AddsUpLayers`."""
        counted = [replace(run, runs=use.count) for run, use in zip(runs, workload.layers, strict=True)]
        metrics = self._area_of(candidate.design)
        failed = next((run for run in counted if run.failure is not None), None)
        if failed is not None:
            failure = replace(failed.failure, layer=failed.layer.name)  # type: ignore[type-var]
            return record(self._spec, candidate, workload, metrics, failure, seconds=0.0)
        metrics |= _of_inference(of_network(counted), accelerator_of(candidate.design), workload)
        return record(self._spec, candidate, workload, metrics, None, seconds=0.0, layers=counted)

    def _area_of(self, design: Design) -> dict[str, float]:
        space = SPACES[self._spec.template]
        return {"area_mm2": float(area_mm2(space.encode([design]), space)[0])}

    def _runs(self, candidate: Candidate, accelerator: Accelerator, uses: Sequence[LayerUse]) -> list[LayerRun]:
        return self._recorded(candidate, accelerator, self._mapped(candidate, accelerator, uses))

    def _mapped(self, candidate: Candidate, accelerator: Accelerator, uses: Sequence[LayerUse]) -> list[Run]:
        options, seed, given = self._options, self._spec.seed, candidate.mappings
        runs = mapped(
            accelerator, uses, seed=seed, budget=options.budget, goal=options.goal, choice=options.choice, given=given
        )
        if self._dram is not None:
            for run in runs:
                check_capacity(run.layer, compile_layer(run.layer, run.mapping, accelerator), self._dram)
        return runs

    def _recorded(self, candidate: Candidate, accelerator: Accelerator, runs: Sequence[Run]) -> list[LayerRun]:
        measured = self._measure(accelerator, runs)
        return [
            LayerRun(candidate.design, run.layer, str(run.mapping), metrics, runs=run.count)
            for run, metrics in zip(runs, measured, strict=True)
        ]


def check_capacity(layer: Layer, program: Program, dram: DramTiming) -> None:
    """Refuse a layer whose tensors and commands a kind of DRAM does not hold.

    Raises:
        RefusedError: says what is needed.
    """
    if program.dram_bytes > dram.capacity_bytes:
        raise RefusedError(layer, "DRAM bytes", program.dram_bytes, dram.capacity_bytes, "of this kind of DRAM")


def built(design: Design) -> Accelerator | Failure:
    """Return the accelerator of a design, or why there is none."""
    try:
        return accelerator_of(design)
    except ArmillaryError as fault:
        return failure_of(fault)


def _failed(candidate: Candidate, layer: Layer, failure: Failure) -> LayerRun:
    return LayerRun(candidate.design, layer, (candidate.mappings or {}).get(layer.name, ""), {}, failure)


def _of_inference(layers: Table[str, float], accelerator: Accelerator, workload: Workload) -> dict[str, float]:
    """Return a network's metrics from its layers' sums: operators beside the array, and what follows from the delay."""
    work = sum(use.count * use.layer.macs for use in workload.layers)
    sums = scalars(with_beside(layers, accelerator.vector_unit(), workload.beside))
    return {
        **sums,
        "runtime_s": sums["delay_cycles"] / (accelerator.clock_ghz * 1e9),
        "utilization": work / (sums["delay_cycles"] * accelerator.dim**2),
    }


def explained(evaluation: Evaluation, workload: Workload) -> Explanation:
    """Return the parts of a feasible evaluation; zeros between groups count as no work."""
    macs = [use.layer.macs for use in workload.layers]
    space, accelerator = SPACES[evaluation.design.space], accelerator_of(evaluation.design)
    parts = gemmini_area.parts_mm2(space.columns(space.encode([evaluation.design])))
    runs = [(accelerator.view(Mapping.parse(run.mapping)).hierarchy(), run) for run in evaluation.layers]
    rates = rates_of(accelerator.views[0].hierarchy().model_copy(update={"clock_ghz": accelerator.clock_ghz}))
    beside = Beside.of(accelerator.vector_unit(), workload.beside, rates.clock_hz)
    return Explanation(
        layers=tuple(LayerCost.of(run, work) for run, work in zip(evaluation.layers, macs, strict=True)),
        rates=rates,
        area_parts_mm2={name: float(area[0]) for name, area in parts.items() if area[0] > 0},
        energy_parts_pj={**energy_parts(runs), **beside.energy_parts_pj},
        overhead_s=beside.overhead_s,
        beside=beside.costs,
    )


def failure_of(fault: ArmillaryError) -> Failure:
    """Return why a design cannot work."""
    if isinstance(fault, TooSmallError):
        return Failure("infeasible", fault.resource, fault.layer, float(fault.needed), float(fault.available))
    what = "mapping" if isinstance(fault, NoLegalMappingError) else "design"
    return Failure("infeasible", what, detail=str(fault))
