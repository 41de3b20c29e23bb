"""The analytical evaluator of the `gemmini` template, and how its layers are mapped.

The cost model sees the accelerator as a hierarchy. It knows neither rows that are only partly used, nor
latencies, nor queues; those are what the RTL evaluator adds. Both run the same mappings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial

from armillary.cost_model.cost import evaluate
from armillary.evaluators.gemmini.sampling import fitting
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import (
    CLOCK_GHZ,
    SPACE,
    Accelerator,
    TooSmallError,
    accelerator_of,
    area_mm2,
)
from armillary.mapping.search import Goal, NoLegalMappingError, search
from armillary.types import ArmillaryError, Design, Evaluation, Failure, Fidelity
from armillary.workloads.context import context_of
from armillary.workloads.layer import Layer, Workload

BUDGET = 10_000


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


def packed(layer: Layer, dim: int) -> Layer:
    """Return a grouped layer as the array runs it: several groups at once, with zero weights between them.

    A depthwise layer would else use one multiplier of the array. Rows and columns are shared by as many groups as
    fit; the zeros are multiplied, too.
    """
    width = max(layer.K, layer.C) // layer.groups
    together = max(d for d in range(1, max(1, dim // width) + 1) if layer.groups % d == 0)
    return layer if together == 1 else replace(layer, groups=layer.groups // together)


def distinct(workload: Workload) -> Table[Layer, int]:
    """Return the different layers of a network, and how often each runs."""
    found: dict[Layer, int] = {}
    for use in workload.layers:
        found[use.layer] = found.get(use.layer, 0) + use.count
    return found


@lru_cache(maxsize=100_000)
def best_mapping(
    accelerator: Accelerator, layer: Layer, *, goal: Goal = "edp", seed: int = 0, budget: int = BUDGET
) -> Mapping:
    """Return a good mapping by the cost model that the accelerator can run.

    Rows that are only partly used take more room than the cost model counts; mappings that do not fit for that are
    out of the search.

    Raises:
        RefusedError: if the best that was found needs more than the accelerator has.
        NoLegalMappingError: if none was found that fits.
    """
    fits = partial(fitting, accelerator, layer)
    found = search(accelerator.hierarchy(), layer, goal=goal, budget=budget, seed=seed, fits=fits).mapping
    compile_layer(layer, found, accelerator)
    return found


def mapped(accelerator: Accelerator, workload: Workload, *, seed: int = 0, budget: int = BUDGET) -> list[Run]:
    """Return the layers of a network with their mappings.

    Raises:
        RefusedError: if a layer cannot run.
        NoLegalMappingError: likewise.
    """
    runs = []
    for layer, count in distinct(workload).items():
        as_run = packed(layer, accelerator.dim)
        mapping = best_mapping(accelerator, as_run, seed=seed, budget=budget)
        runs.append(Run(as_run, count, layer.macs, mapping))
    return runs


def energy_pj(accelerator: Accelerator, runs: Sequence[Run]) -> float:
    """Return the energy of an inference by the cost model; RTL simulation measures none."""
    hierarchy = accelerator.hierarchy()
    return sum(run.count * float(evaluate(hierarchy, run.layer, run.mapping).energy_pj) for run in runs)


def failure_of(fault: Exception) -> Failure:
    """Return why a design is infeasible, or how its evaluation broke."""
    if isinstance(fault, TooSmallError):
        return Failure("infeasible", fault.resource, fault.layer, float(fault.needed), float(fault.available))
    if isinstance(fault, ArmillaryError):
        what = "mapping" if isinstance(fault, NoLegalMappingError) else "design"
        return Failure("infeasible", what, detail=str(fault))
    return Failure("timeout" if isinstance(fault, TimeoutError) else "error", detail=str(fault))


class GemminiEvaluator:
    """Our analytical cost model on designs of the `gemmini` template.

    Args:
        seed: of the search for mappings.
        budget: mappings that it evaluates per layer.
    """

    name = "gemmini"
    version = "2"
    fidelity = Fidelity.ANALYTICAL
    failures: tuple[type[Exception], ...] = (ArmillaryError,)
    """What an evaluation without a result raises."""

    def __init__(self, *, seed: int = 0, budget: int = BUDGET) -> None:
        self.seed, self._budget = seed, budget

    def evaluate(self, designs: Sequence[Design], workload: Workload) -> list[Evaluation]:
        """Evaluate designs: `delay_cycles`, `runtime_s` at 1 GHz, `energy_pj`, `area_mm2`, `utilization`.

        Raises:
            ArmillaryError: if a design is of another space.
        """
        codes = SPACE.encode(designs)
        areas = area_mm2(codes).tolist()
        return [self._one(design, workload, area) for design, area in zip(designs, areas, strict=True)]

    def _one(self, design: Design, workload: Workload, area: float) -> Evaluation:
        start = time.perf_counter()
        metrics, failure = {"area_mm2": area}, None
        try:
            accelerator = accelerator_of(design)
            metrics |= self.measure(accelerator, mapped(accelerator, workload, seed=self.seed, budget=self._budget))
        except self.failures as fault:
            failure = failure_of(fault)
        return self.record(design, workload, metrics, failure, time.perf_counter() - start)

    def measure(self, accelerator: Accelerator, runs: Sequence[Run]) -> dict[str, float]:
        """Return the metrics of a network whose layers are mapped."""
        hierarchy = accelerator.hierarchy()
        costs = [evaluate(hierarchy, run.layer, run.mapping) for run in runs]
        delay = sum(run.count * float(cost.delay_cycles) for run, cost in zip(runs, costs, strict=True))
        energy = sum(run.count * float(cost.energy_pj) for run, cost in zip(runs, costs, strict=True))
        return {**delay_metrics(delay, accelerator, runs), "energy_pj": energy}

    def record(
        self, design: Design, workload: Workload, metrics: dict[str, float], failure: Failure | None, seconds: float
    ) -> Evaluation:
        """Return the evaluation of a design."""
        return Evaluation(
            design=design,
            workload=workload.name,
            context=context_of(workload).as_dict(),
            evaluator=self.name,
            version=self.version,
            fidelity=self.fidelity,
            metrics=metrics,
            feasible=failure is None,
            failure=failure,
            seconds=seconds,
            seed=self.seed,
            time=datetime.now(UTC).replace(tzinfo=None),
        )


def delay_metrics(cycles: float, accelerator: Accelerator, runs: Sequence[Run]) -> dict[str, float]:
    """Return the metrics that follow from the delay."""
    work = sum(run.count * run.macs for run in runs)
    return {
        "delay_cycles": cycles,
        "runtime_s": cycles / (CLOCK_GHZ * 1e9),
        "utilization": work / (cycles * accelerator.dim**2),
    }
