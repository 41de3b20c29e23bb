"""The RTL evaluator of the `gemmini` template: every layer simulated cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.evaluators.gemmini.analytical import BUDGET, GemminiEvaluator, Run, delay_metrics, energy_pj
from armillary.evaluators.gemmini.build import simulator
from armillary.evaluators.gemmini.simulation import (
    MOST_CYCLES,
    Job,
    Simulated,
    SimulationError,
    simulate_all,
)
from armillary.hardware.rtl.gemmini.compiler import compile_layer
from armillary.hardware.templates.gemmini import Accelerator
from armillary.tools.verilator import BuildError, tools
from armillary.types import STALLS, ArmillaryError, Fidelity


class RtlEvaluator(GemminiEvaluator):
    """Designs of the `gemmini` template as simulated hardware.

    The delay is the hardware's, layer after layer. The energy is the cost model's, as in the dissertation, whose
    FireSim measured none either.

    Args:
        seed: of the search for mappings.
        budget: mappings that it evaluates per layer.
        full: simulate every multiplier; the results are the same.
        most_cycles: of a layer, after which the design counts as failed.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """

    name = "gemmini/rtl"
    version = "2"
    fidelity = Fidelity.RTL
    failures = (ArmillaryError, SimulationError, BuildError)

    def __init__(
        self, *, seed: int = 0, budget: int = BUDGET, full: bool = False, most_cycles: int = MOST_CYCLES
    ) -> None:
        super().__init__(seed=seed, budget=budget)
        tools()
        self._full, self._most_cycles = full, most_cycles

    def measure(self, accelerator: Accelerator, runs: Sequence[Run]) -> dict[str, float]:
        """Return the metrics of a network whose layers are mapped.

        Raises:
            SimulationError: if a layer's simulation ends without a result.
            BuildError: if the simulator cannot be built.
            AccidentError: if a signal ended a tool.
        """
        layers = self.simulated(accelerator, runs)
        cycles = sum(run.count * layer.cycles for run, layer in zip(runs, layers, strict=True))
        summed = {
            f"{cause}_stall_cycles": float(
                sum(run.count * layer.stalls[cause] for run, layer in zip(runs, layers, strict=True))
            )
            for cause in STALLS
        }
        return {
            **delay_metrics(float(cycles), accelerator, runs),
            "energy_pj": energy_pj(accelerator, runs),
            "dram_bytes": float(
                sum(run.count * (s.read_bytes + s.written_bytes) for run, s in zip(runs, layers, strict=True))
            ),
            "busy_cycles": float(sum(run.count * s.busy for run, s in zip(runs, layers, strict=True))),
            **summed,
        }

    def simulated(self, accelerator: Accelerator, runs: Sequence[Run]) -> list[Simulated]:
        """Return what each layer's simulation measured; layers run side by side.

        Raises:
            SimulationError: if one ends without a result.
            BuildError: if the simulator cannot be built.
            AccidentError: if a signal ended a tool.
        """
        program = simulator(accelerator, full=self._full)
        jobs = [
            Job(accelerator, compile_layer(run.layer, run.mapping, accelerator), most_cycles=self._most_cycles)
            for run in runs
        ]
        results = []
        for run, result in zip(runs, simulate_all(lambda _: program, jobs), strict=True):
            if isinstance(result, SimulationError):
                raise type(result)(f"layer {run.layer.name}: {result}") from result
            if isinstance(result, Exception):
                raise result
            results.append(result)
        return results
