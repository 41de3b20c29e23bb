"""The RTL evaluator of the `gemmini` template: every layer simulated cycle by cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydantic import Field, field_validator

from armillary.cores import available, ranges
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.evaluator import EvaluatorOfGemmini
from armillary.evaluators.gemmini.layers import (
    LayersOfGemmini,
    MappingOptions,
    Run,
    built,
    check_capacity,
    costs_of_each,
    with_delay,
)
from armillary.evaluators.gemmini.mapped import Ready, Settled, recorded, refused, sorted_out
from armillary.evaluators.gemmini.simulation import MOST_CYCLES, Job, Simulated, SimulationError, simulate_all
from armillary.evaluators.kind import EvaluatorKind
from armillary.hardware.dram import PRESETS, DramTiming
from armillary.hardware.mapping import Mapping
from armillary.hardware.rtl.gemmini.compiler import Program, compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.verilator import tools
from armillary.types import Cost, EvaluatorSpec, Failure, Fidelity, MappedLayer
from armillary.workloads.layer import Layer

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


class RtlEvaluator(EvaluatorOfGemmini):
    """Designs of the `gemmini` template as simulated hardware.

    The delay is the hardware's, layer after layer. The energy is the cost model's, as in the dissertation, whose
    FireSim measured none either. Operators beside the array are not simulated: they take what the vector unit's rates
    say, as at analytical fidelity, and `beside_cycles` tells how much of the delay that is.

    Args:
        spec: of `KIND`.
        options: how layers are mapped and simulated.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """

    def __init__(self, spec: EvaluatorSpec, options: RtlOptions) -> None:
        tools()
        self._options = options
        super().__init__(spec, LayersOfGemmini(spec, options, self._measured, dram=PRESETS.get(options.dram)))

    def run_mapped(self, wanted: Sequence[MappedLayer]) -> Iterator[Settled]:
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

    def _simulated(self, wanted: Sequence[MappedLayer]) -> Iterator[Settled]:
        """Yield the numbers and runs of mapped layers that one simulator runs."""
        options, dram = self._options, PRESETS.get(self._options.dram)
        settled, ready = sorted_out(wanted, self._compiled)
        yield from settled
        jobs = [Job(one.accelerator, one.checked, most_cycles=options.most_cycles, dram_model=dram) for one in ready]
        results = simulate_all(lambda job: simulator(job.accelerator, full=options.full), jobs)
        done: list[tuple[Ready[Program], Simulated]] = []
        for one, result in zip(ready, results, strict=True):
            if isinstance(result, Exception):
                yield one.number, result
            else:
                done.append((one, result))
        every = [one for one, _ in done]
        metrics = self._metrics([one.accelerator for one in every], [one.run for one in every], [r for _, r in done])
        for one, values in zip(every, metrics, strict=True):
            yield one.number, recorded(wanted[one.number], one.run, values)

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
        **with_delay({}, float(result.cycles), run, accelerator),
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
        version="5",
        cost=Cost.MINUTES,
        make=RtlEvaluator,
        options=RtlOptions,
    )


KIND = _kind("gemmini")
BOTH_KIND = _kind("gemmini_both")
