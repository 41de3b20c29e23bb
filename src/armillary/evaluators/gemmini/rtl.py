"""The RTL evaluator of the `gemmini` template: every layer simulated cycle by cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from pydantic import Field, field_validator

from armillary.cores import available, ranges
from armillary.evaluators.explanation import Explanation
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.layers import (
    LayersOfGemmini,
    MappingOptions,
    Run,
    check_capacity,
    costs_of_each,
    explained,
)
from armillary.evaluators.gemmini.mapped import built, mapping_fault, prepared, recorded, refused
from armillary.evaluators.gemmini.proposed import proposed
from armillary.evaluators.gemmini.sampled import sample_layers
from armillary.evaluators.gemmini.simulation import MOST_CYCLES, Job, Simulated, SimulationError, simulate_all
from armillary.evaluators.kind import EvaluatorKind
from armillary.evaluators.recording import without_search
from armillary.evaluators.sampling import LayerSampling, Proposing, SampledLayers
from armillary.hardware.dram import PRESETS, DramTiming
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import Program, compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.verilator import tools
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
    MappedLayer,
)
from armillary.workloads.layer import Layer, Workload

SIMPLE = "simple"
_AT_ONCE = 8
"""Mapped layers per core that are compiled and simulated together: what is lost if the process is killed."""


class RtlOptions(MappingOptions):
    """How layers are mapped and simulated."""

    full: bool = Field(False, description="Simulate every multiplier; the results are the same.")
    most_cycles: int = Field(MOST_CYCLES, ge=1, description="Cycles of a layer after which the design has failed.")
    dram: str = Field(
        SIMPLE,
        description=f"The memory: {SIMPLE}, with the design's latency and bandwidth, or with channels, banks and rows: "
        f"{', '.join(PRESETS)}.",
    )

    @field_validator("dram")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in (SIMPLE, *PRESETS):
            raise ValueError(f"choose one of {[SIMPLE, *PRESETS]}")
        return value


class RtlEvaluator:
    """Designs of the `gemmini` template as simulated hardware.

    The delay is the hardware's, layer after layer. The energy is the cost model's, as in the dissertation, whose
    FireSim measured none either.

    Args:
        spec: of `KIND`.
        options: how layers are mapped and simulated.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """

    def __init__(self, spec: EvaluatorSpec, options: RtlOptions) -> None:
        tools()
        self.spec, self._options = spec, options
        self._layers = LayersOfGemmini(spec, options, self._measured, dram=PRESETS.get(options.dram))

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates; see `LayersOfGemmini.evaluation`.

        Raises:
            ArmillaryError: if a design is of another space, a candidate names a search for its mappings, or one of
                those that it brings is none of its layer.
            SimulationError: if a layer's simulation ends without a result.
            BuildError: if the simulator cannot be built.
            AccidentError: if a signal ended a tool.
        """
        without_search(candidates, self.spec)
        return [self._layers.evaluation(candidate, workload) for candidate in candidates]

    def run_layers(self, candidates: Sequence[Candidate], layers: Sequence[Layer]) -> list[LayerRun]:
        """Run every layer on every candidate; one that cannot run says why.

        Raises:
            ArmillaryError, SimulationError, BuildError, AccidentError: see `evaluate`.
        """
        without_search(candidates, self.spec)
        return [run for candidate in candidates for run in self._layers.runs(candidate, layers)]

    def added_up(self, candidate: Candidate, workload: Workload, runs: Sequence[LayerRun]) -> Evaluation:
        """Return a network's evaluation from its layers' runs; see `AddsUpLayers`."""
        return self._layers.added_up(candidate, workload, runs)

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun | Exception]]:
        """Run mapped layers, simulator after simulator; see `EvaluatesMappedLayers`."""
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for number, one in enumerate(wanted):
            accelerator = built(one.design)
            if isinstance(accelerator, Failure):
                yield number, refused(one, accelerator)
            else:
                groups[accelerator.dim, accelerator.dataflow, accelerator.bus_bytes].append(number)
        for numbers in groups.values():
            for first, last in ranges(len(numbers), _AT_ONCE * available()):
                some = numbers[first:last]
                for place, found in self._simulated([wanted[number] for number in some]):
                    yield some[place], found

    def sample_layers(
        self, networks: Sequence[Workload], sampling: LayerSampling, on_done: Callable[[int], None]
    ) -> SampledLayers:
        """Draw samples; see `SamplesLayers`."""
        return sample_layers(networks, sampling, on_done)

    def propose_mappings(self, design: Design, layer: Layer, proposing: Proposing) -> list[str]:
        """Return mappings of a layer; see `ProposesMappings`."""
        return proposed(design, layer, proposing)

    def mapping_fault(self, wanted: MappedLayer) -> str | None:
        """Return why a mapping is none of its layer; see `EvaluatesMappedLayers`."""
        return mapping_fault(wanted)

    def explain(self, evaluation: Evaluation, workload: Workload) -> Explanation:
        """Take one feasible evaluation apart; the energies are the cost model's."""
        return explained(evaluation, workload)

    def _measured(self, accelerator: Accelerator, runs: Sequence[Run]) -> list[dict[str, float]]:
        options, dram = self._options, PRESETS.get(self._options.dram)
        results = simulated(accelerator, runs, full=options.full, most_cycles=options.most_cycles, dram=dram)
        return self._metrics([accelerator] * len(runs), runs, results)

    def _metrics(
        self, accelerators: Sequence[Accelerator], runs: Sequence[Run], results: Sequence[Simulated]
    ) -> list[dict[str, float]]:
        dram, by_model = PRESETS.get(self._options.dram), costs_of_each(accelerators, runs)
        return [
            {**metrics_of(result, run, accelerator), "energy_pj": costs["energy_pj"], **_dram_energy(result, dram)}
            for accelerator, result, run, costs in zip(accelerators, results, runs, by_model, strict=True)
        ]

    def _simulated(self, wanted: Sequence[MappedLayer]) -> Iterator[tuple[int, LayerRun | Exception]]:
        """Yield the numbers and runs of mapped layers that one simulator runs."""
        options, dram = self._options, PRESETS.get(self._options.dram)
        ready: list[tuple[int, Accelerator, Run]] = []
        jobs: list[Job] = []
        for number, one in enumerate(wanted):
            try:
                found = prepared(one, self._compiled)
            except ArmillaryError as fault:
                yield number, fault
                continue
            if isinstance(found, Failure):
                yield number, refused(one, found)
                continue
            accelerator, run, program = found
            ready.append((number, accelerator, run))
            jobs.append(Job(accelerator, program, most_cycles=options.most_cycles, dram_model=dram))
        done: list[tuple[int, Accelerator, Run, Simulated]] = []
        results = simulate_all(lambda job: simulator(job.accelerator, full=options.full), jobs)
        for (number, accelerator, run), result in zip(ready, results, strict=True):
            if isinstance(result, Exception):
                yield number, result
            else:
                done.append((number, accelerator, run, result))
        metrics = self._metrics([a for _, a, _, _ in done], [run for _, _, run, _ in done], [r for *_, r in done])
        for (number, _, run, _), values in zip(done, metrics, strict=True):
            yield number, recorded(wanted[number], run, values)

    def _compiled(self, layer: Layer, mapping: Mapping, accelerator: Accelerator) -> Program:
        program, dram = compile_layer(layer, mapping, accelerator), PRESETS.get(self._options.dram)
        if dram is not None:
            check_capacity(layer, program, dram)
        return program


def _dram_energy(result: Simulated, dram: DramTiming | None) -> dict[str, float]:
    """Return the energy of the DRAM's commands and of its standby, where they are known."""
    return {} if dram is None else {"dram_energy_pj": dram.energy_pj(result.dram_counters, result.cycles)}


def metrics_of(result: Simulated, run: Run, accelerator: Accelerator) -> dict[str, float]:
    """Return what a layer's simulation measured, as metrics."""
    return {
        "delay_cycles": float(result.cycles),
        "utilization": run.macs / (result.cycles * accelerator.dim**2),
        "dram_bytes": float(result.read_bytes + result.written_bytes),
        "command_bytes": float(result.command_bytes),
        "busy_cycles": float(result.busy),
        **{f"{cause}_stall_cycles": float(cycles) for cause, cycles in result.stalls.items()},
    }


def simulated(
    accelerator: Accelerator,
    runs: Sequence[Run],
    *,
    full: bool = False,
    most_cycles: int = MOST_CYCLES,
    dram: DramTiming | None = None,
) -> list[Simulated]:
    """Return what each layer's simulation measured; different layers run side by side, equal ones once.

    Args:
        accelerator: that runs them.
        runs: layers with their mappings.
        full: every multiplier as hardware.
        most_cycles: after which a simulation fails.
        dram: channels, banks and rows; None for the accelerator's latency and bandwidth.

    Raises:
        SimulationError: if one ends without a result.
        BuildError: if the simulator cannot be built.
    """
    program = simulator(accelerator, full=full)
    different = {(run.layer, run.mapping): run for run in runs}
    jobs = [
        Job(accelerator, compile_layer(run.layer, run.mapping, accelerator), most_cycles=most_cycles, dram_model=dram)
        for run in different.values()
    ]
    results = {}
    for key, result in zip(different, simulate_all(lambda _: program, jobs), strict=True):
        if isinstance(result, SimulationError):
            raise type(result)(f"layer {key[0].name}: {result}") from result
        if isinstance(result, Exception):
            raise result
        results[key] = result
    return [results[run.layer, run.mapping] for run in runs]


def _kind(template: str) -> EvaluatorKind:
    return EvaluatorKind(
        template=template,
        fidelity=Fidelity.RTL,
        name=f"{template}/rtl",
        version="4",
        cost=Cost.MINUTES,
        make=RtlEvaluator,
        options=RtlOptions,
    )


KIND = _kind("gemmini")
BOTH_KIND = _kind("gemmini_both")
