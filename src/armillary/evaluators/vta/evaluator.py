"""The evaluators of the `vta` template.

`analytical`: the cycles of each layer's program by the schedule of its commands. `rtl`: the hardware, simulated on
random tensors; every output is compared with the reference, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pydantic import Field, field_validator

from armillary.evaluators.kind import ClockPeriod, EvaluatorKind, Options
from armillary.evaluators.recording import of_network, record, without_mappings
from armillary.evaluators.vta.layer_run import PaddingRule, checked, padding_of, requantization_of
from armillary.evaluators.vta.simulation import LEAST_LATENCY, MOST_LATENCY, Dram
from armillary.evaluators.vta.tiling import Scheduled, best_program
from armillary.hardware.rtl.vta.compiler import TooLargeError
from armillary.hardware.rtl.vta.shape import Requantization, Shape
from armillary.hardware.templates.vta import SPACE, Accelerator, accelerator_of
from armillary.tools.verilator import tools
from armillary.types import ArmillaryError, Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity, LayerRun
from armillary.workloads.layer import LayerUse, Workload


class VtaOptions(Options):
    """The memory behind the accelerator, and what runs."""

    dram_latency: int = Field(
        50, ge=LEAST_LATENCY, le=MOST_LATENCY, description="Cycles from a request to its first beat."
    )
    dram_bytes_per_cycle: int = Field(
        16, ge=1, le=64, description="A power of two, of reads and writes together; at most the port's count."
    )
    threads: int | None = Field(
        None, ge=1, le=2, description="Virtual threads: 2 load while they compute; the better of both, if not given."
    )
    padding: PaddingRule = Field(
        "none", description="Of inputs, which the hardware makes up: none, or half of a filter's reach on every side."
    )
    clock_ns: ClockPeriod = 1.0

    @field_validator("dram_bytes_per_cycle")
    @classmethod
    def _is_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("it must be a power of two")
        return value

    @property
    def memory(self) -> Dram:
        """The memory behind the accelerator."""
        return Dram(self.dram_latency, self.dram_bytes_per_cycle)


Measure = Callable[[Scheduled, Requantization], dict[str, float]]
"""What a layer's program takes, as metrics."""


class VtaEvaluator:
    """Networks on designs of the `vta` template, layer after layer.

    Args:
        spec: of the evaluator.
        options: the memory, and what runs.
        measure: what a layer's program takes.
    """

    def __init__(self, spec: EvaluatorSpec, options: VtaOptions, measure: Measure) -> None:
        self.spec, self._options, self._measure = spec, options, measure

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Metrics: `delay_cycles`, `busy_cycles` (in which tiles are multiplied), `dram_bytes`, `command_bytes` (of
        these), `runtime_s` at the stated clock, and `utilization` of the multipliers.

        Raises:
            ArmillaryError: if the workload has no layers, or a design is of another space.
            RunError: if a simulation does not end, or its outputs are not those of the reference.
            BuildError: if a simulator cannot be built.
            AccidentError: if a tool is killed.
        """
        without_mappings(candidates, self.spec)
        if not workload.layers:
            raise ArmillaryError(f"workload {workload.name} has no layers; vta runs convolutions and matrix products")
        SPACE.encode([candidate.design for candidate in candidates])
        return [self._one(candidate, workload) for candidate in candidates]

    def _one(self, candidate: Candidate, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        metrics: dict[str, float] = {}
        runs: list[LayerRun] = []
        failure: Failure | None = None
        try:
            accelerator = accelerator_of(candidate.design)
            runs = [self._run(candidate, accelerator, use) for use in workload.layers]
        except TooLargeError as fault:
            failure = Failure("infeasible", fault.resource, fault.layer, float(fault.needed), float(fault.available))
            runs = []
        except ArmillaryError as fault:
            failure = Failure("infeasible", "design", detail=str(fault))
        else:
            metrics = self._of_network(of_network(runs), workload, accelerator)
        return record(
            self.spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - start, layers=runs
        )

    def _run(self, candidate: Candidate, accelerator: Accelerator, use: LayerUse) -> LayerRun:
        layer, options = use.layer, self._options
        how = requantization_of(layer, accelerator)
        shape = Shape(layer, padding_of(layer, options.padding), accelerator)
        program = best_program(shape, how, options.memory, threads=options.threads)
        metrics = self._measure(program, how)
        metrics["utilization"] = _utilization(metrics, layer.macs, accelerator)
        return LayerRun(candidate.design, layer, str(program.program.tiling), metrics, runs=use.count)

    def _of_network(self, sums: dict[str, float], workload: Workload, accelerator: Accelerator) -> dict[str, float]:
        runtime_s = sums["delay_cycles"] * self._options.clock_ns * 1e-9
        return {**sums, "runtime_s": runtime_s, "utilization": _utilization(sums, workload.macs, accelerator)}


def _utilization(metrics: dict[str, float], macs: int, accelerator: Accelerator) -> float:
    return macs / (metrics["delay_cycles"] * accelerator.macs_per_cycle)


def _by_schedule(spec: EvaluatorSpec, options: VtaOptions) -> VtaEvaluator:
    def measure(program: Scheduled, how: Requantization) -> dict[str, float]:  # noqa: ARG001
        found = program.schedule
        return _metrics(found.cycles, found.multiplied, found.dram_bytes, found.command_bytes)

    return VtaEvaluator(spec, options, measure)


def _simulated(spec: EvaluatorSpec, options: VtaOptions) -> VtaEvaluator:
    """Return the evaluator.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """
    tools()

    def measure(program: Scheduled, how: Requantization) -> dict[str, float]:
        found = checked(program.program, how, options.memory, seed=spec.seed)
        return _metrics(found.cycles, found.multiplied, found.dram_bytes, found.command_bytes)

    return VtaEvaluator(spec, options, measure)


def _metrics(cycles: int, multiplied: int, dram_bytes: int, command_bytes: int) -> dict[str, float]:
    return {
        "delay_cycles": float(cycles),
        "busy_cycles": float(multiplied),
        "dram_bytes": float(dram_bytes),
        "command_bytes": float(command_bytes),
    }


def _kind(
    fidelity: Fidelity, name: str, cost: Cost, make: Callable[[EvaluatorSpec, VtaOptions], VtaEvaluator]
) -> EvaluatorKind:
    return EvaluatorKind(
        template=SPACE.name, fidelity=fidelity, name=name, version="1", cost=cost, make=make, options=VtaOptions
    )


ANALYTICAL = _kind(Fidelity.ANALYTICAL, "vta", Cost.SECONDS, _by_schedule)
RTL = _kind(Fidelity.RTL, "vta/rtl", Cost.MINUTES, _simulated)
