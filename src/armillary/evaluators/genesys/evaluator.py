"""The evaluators of the `genesys` template: every convolution and GEMM of a network, layer by layer.

`analytical`: the cycles of each layer's program by its static schedule. `rtl`: the hardware, simulated on random
tensors; every output is compared with the reference, bit for bit. Behind every layer the vector unit requantises and
applies the activation that an option names: a workload does not tell which of its operators follows which layer.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from armillary.cores import available
from armillary.evaluators.beside import scalars, with_beside
from armillary.evaluators.genesys.simulation import MOST_CYCLES, checked, random_tensors, simulator
from armillary.evaluators.kind import ClockPeriod, EvaluatorKind, Options
from armillary.evaluators.recording import of_network, record, without_mappings
from armillary.hardware.rtl.genesys.behind import Activation, passes
from armillary.hardware.rtl.genesys.compiler import LATENCY, Compiled, compile_layer
from armillary.hardware.rtl.genesys.instructions import INSTRUCTION_BYTES
from armillary.hardware.rtl.genesys.schedule import scheduled
from armillary.hardware.rtl.genesys.tiling import TooSmallError
from armillary.hardware.templates.genesys import SPACE, Accelerator, accelerator_of
from armillary.tools.process import side_by_side
from armillary.tools.verilator import tools
from armillary.types import ArmillaryError, Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity, LayerRun
from armillary.workloads.layer import Layer, LayerUse, Workload


class GenesysOptions(Options):
    """What runs behind layers, how fast DRAM answers, and at which clock."""

    activation: Activation = Field("relu", description="What follows every layer, behind requantisation.")
    latency: int = Field(LATENCY, ge=1, le=10_000, description="Cycles from a request to DRAM to its answer.")
    clock_ns: ClockPeriod = 1.0


class SimulationOptions(GenesysOptions):
    """The same, and when a simulation has failed."""

    most_cycles: int = Field(MOST_CYCLES, ge=1, description="Cycles of a layer after which the simulation has failed.")


Measure = Callable[[Accelerator, Sequence[Compiled]], list[int]]
"""From an accelerator and layers' programs to their cycles."""


class GenesysEvaluator:
    """Designs of the `genesys` template on networks.

    Args:
        spec: of the evaluator.
        options: what runs behind layers, and at which clock.
        measure: the cycles of programs.
    """

    def __init__(self, spec: EvaluatorSpec, options: GenesysOptions, measure: Measure) -> None:
        self.spec, self._options, self._measure = spec, options, measure

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Metrics of a layer and of the network: `delay_cycles`, `utilization` (of the array's multipliers), `busy_cycles`
        (a word enters the array), `dram_bytes` (tensors, read and written), `command_bytes` (instructions); of the
        network also `runtime_s` at the stated clock, and what operators without layers take on the vector unit, where
        the workload tells any, in both fidelities by the unit's rates: `beside_cycles`, `beside_dram_bytes`.

        Raises:
            ArmillaryError: if a candidate brings mappings or a design is of another space.
            RunError: if a simulation does not end, or its results are not those of the reference.
            BuildError: if a simulator cannot be built.
            AccidentError: if a tool is killed.
        """
        without_mappings(candidates, self.spec)
        SPACE.encode([candidate.design for candidate in candidates])
        return [self._one(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate; one that does not fit says why.

        Raises:
            ArmillaryError, RunError, BuildError, AccidentError: see `evaluate`.
        """
        without_mappings(candidates, self.spec)
        return [self._alone(candidate, layer) for candidate in candidates for layer in layers]

    def _alone(self, candidate: Candidate, layer: Layer) -> LayerRun:
        found = self._runs(candidate, (LayerUse(layer),))
        return LayerRun(candidate.design, layer, "", {}, found) if isinstance(found, Failure) else found[0]

    def _one(self, candidate: Candidate, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        found = self._runs(candidate, workload.layers)
        failure, runs = (found, []) if isinstance(found, Failure) else (None, found)
        metrics: dict[str, float] = {}
        if failure is None:
            unit = accelerator_of(candidate.design).vector_unit(self._options.latency)
            metrics = scalars(with_beside(of_network(runs), unit, workload.beside))
            peak = metrics["delay_cycles"] * int(candidate.design["array"]) ** 2
            metrics |= {
                "runtime_s": metrics["delay_cycles"] * self._options.clock_ns * 1e-9,
                "utilization": workload.macs / peak,
            }
        seconds = time.perf_counter() - start
        return record(self.spec, candidate, workload, metrics, failure, seconds=seconds, layers=runs)

    def _runs(self, candidate: Candidate, uses: Sequence[LayerUse]) -> list[LayerRun] | Failure:
        """Return the runs of layers, or why one cannot run."""
        try:
            accelerator = accelerator_of(candidate.design)
        except ArmillaryError as fault:
            return Failure("infeasible", "design", detail=str(fault))
        try:
            compiled = [
                compile_layer(
                    use.layer,
                    accelerator,
                    passes(self._options.activation, use.layer, accelerator),
                    self._options.latency,
                )
                for use in uses
            ]
        except TooSmallError as fault:
            return Failure("infeasible", fault.resource, fault.layer, float(fault.needed), float(fault.available))
        return [
            LayerRun(candidate.design, use.layer, str(one.tiling), _metrics(one, accelerator, cycles), runs=use.count)
            for use, one, cycles in zip(uses, compiled, self._measure(accelerator, compiled), strict=True)
        ]


def _metrics(compiled: Compiled, accelerator: Accelerator, cycles: int) -> dict[str, float]:
    planned = scheduled(compiled.program, accelerator, 1)
    return {
        "delay_cycles": float(cycles),
        "utilization": compiled.shape.layer.macs / (cycles * accelerator.array**2),
        "busy_cycles": float(planned.array_cycles),
        "dram_bytes": float(planned.dram_bytes),
        "command_bytes": float(len(compiled.program.words) * INSTRUCTION_BYTES),
    }


def _planned(spec: EvaluatorSpec, options: GenesysOptions) -> GenesysEvaluator:
    def measure(accelerator: Accelerator, compiled: Sequence[Compiled]) -> list[int]:
        return [scheduled(one.program, accelerator, options.latency).cycles for one in compiled]

    return GenesysEvaluator(spec, options, measure)


def _simulated(spec: EvaluatorSpec, options: SimulationOptions) -> GenesysEvaluator:
    """Return the evaluator.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """
    tools()

    def measure(accelerator: Accelerator, compiled: Sequence[Compiled]) -> list[int]:
        simulator(accelerator)

        def cycles(one: Compiled) -> int:
            rng = np.random.default_rng([spec.seed, zlib.crc32(repr(one.shape).encode())])
            tensors = random_tensors(one, accelerator, rng)
            return checked(
                one, accelerator, tensors, latency=options.latency, most_cycles=options.most_cycles, seed=spec.seed
            ).cycles

        with side_by_side(available()) as threads:
            return list(threads.map(cycles, compiled))

    return GenesysEvaluator(spec, options, measure)


ANALYTICAL = EvaluatorKind(
    template=SPACE.name,
    fidelity=Fidelity.ANALYTICAL,
    name="genesys",
    version="2",
    cost=Cost.SECONDS,
    make=_planned,
    options=GenesysOptions,
)
RTL = EvaluatorKind(
    template=SPACE.name,
    fidelity=Fidelity.RTL,
    name="genesys/rtl",
    version="2",
    cost=Cost.MINUTES,
    make=_simulated,
    options=SimulationOptions,
)
