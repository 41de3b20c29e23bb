"""The evaluators of the `tabla` template.

`analytical`: the cycles that the compiler's schedule has, which are those of the hardware. `rtl`: the hardware,
simulated on random parameters and inputs; everything that leaves and every parameter is compared with the reference,
bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from armillary.evaluators.kind import ClockPeriod, EvaluatorKind, Options
from armillary.evaluators.recording import record, without_mappings
from armillary.evaluators.tabla.simulation import Steps, checked
from armillary.hardware.rtl.fixed_point import bits_of, fixed
from armillary.hardware.rtl.tabla.compiler import Compiled, compiled
from armillary.hardware.rtl.tabla.program import OPERATIONS, TooSmallError
from armillary.hardware.templates.tabla import SPACE, Accelerator
from armillary.tools.verilator import tools
from armillary.types import ArmillaryError, Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity
from armillary.workloads.dataflow import Dataflow, Tensor
from armillary.workloads.layer import Workload

Cycles = tuple[int, int]
"""From the first word of inputs to the last instruction: of one step, and of all."""


class StepOptions(Options):
    """What runs, at which clock."""

    inputs: int = Field(1000, ge=1, le=1_000_000, description="Steps that follow each other; the delay is their mean.")
    clock_ns: ClockPeriod = 1.0


class TablaEvaluator:
    """Designs of the `tabla` template on a dataflow graph.

    Args:
        spec: of the evaluator.
        options: what runs, at which clock.
        measure: what a compiled graph takes.
    """

    def __init__(self, spec: EvaluatorSpec, options: StepOptions, measure: Callable[[Compiled], Cycles]) -> None:
        self.spec, self._options, self._measure = spec, options, measure

    @property
    def operations(self) -> Sequence[str]:
        """The kinds of operations that it takes; see `EvaluatesDataflow`."""
        return (*OPERATIONS, "sum")

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Metrics: `latency_cycles` (of a step alone, from its first inputs to its last instruction), `stream_cycles` (of
        all steps), `delay_cycles` (their mean), `runtime_s` (the mean at the stated clock), `throughput_mhz` (steps)
        and `utilization` (operations of the graph in a step, of those that the elements could do).

        Raises:
            ArmillaryError: if the workload has no dataflow graph (says why), or a design is of another space.
            RunError: if a simulation does not end, or its results are not those of the reference.
            BuildError: if a simulator cannot be built.
            AccidentError: if a tool is killed.
        """
        without_mappings(candidates, self.spec)
        if workload.dataflow is None:
            why = workload.no_dataflow or "tabla takes ONNX files of small models"
            raise ArmillaryError(f"workload {workload.name} has no dataflow graph for tabla: {why}")
        SPACE.encode([candidate.design for candidate in candidates])
        return [self._one(candidate, workload, workload.dataflow) for candidate in candidates]

    def _one(self, candidate: Candidate, workload: Workload, dataflow: Dataflow) -> Evaluation:
        start = time.perf_counter()
        metrics: dict[str, float] = {}
        failure: Failure | None = None
        try:
            accelerator = Accelerator(**candidate.design.as_dict())  # type: ignore[arg-type]
            failure = misfit(dataflow, accelerator)
            metrics = {} if failure else self._metrics(compiled(dataflow, accelerator))
        except TooSmallError as fault:
            needed, available = float(fault.needed), float(fault.available)
            failure = Failure("infeasible", f"{fault.memory} words", needed=needed, available=available)
        except ArmillaryError as fault:
            failure = Failure("infeasible", "design", detail=str(fault))
        return record(self.spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - start)

    def _metrics(self, step: Compiled) -> dict[str, float]:
        latency, stream = self._measure(step)
        delay = stream / self._options.inputs
        runtime_s = delay * self._options.clock_ns * 1e-9
        operations = len(step.mapped.operations)
        return {
            "latency_cycles": float(latency),
            "stream_cycles": float(stream),
            "delay_cycles": delay,
            "runtime_s": runtime_s,
            "throughput_mhz": 1e-6 / runtime_s,
            "utilization": operations / (step.accelerator.elements * delay),
        }


def misfit(dataflow: Dataflow, accelerator: Accelerator) -> Failure | None:
    """Return why an accelerator's numbers cannot hold a graph's constants, None if they can."""
    constants = np.array(dataflow.constants)
    held = fixed(constants, accelerator.fraction)
    for value, number in zip(dataflow.constants, held.tolist(), strict=True):
        if value and not number:
            least = 2.0 ** -(accelerator.fraction + 1)
            detail = f"the constant {value:g} would be 0; the least is {least:g}"
            return Failure("infeasible", "internal_bit_width bits", detail=detail)
    if len(held) and bits_of(held) > accelerator.internal_bit_width:
        most = float(1 << (accelerator.internal_bit_width - 1 - accelerator.fraction))
        detail = f"the constant {constants[np.abs(constants).argmax()]:g} is beyond {-most:g} to {most:g}"
        return Failure("infeasible", "internal_bit_width bits", detail=detail)
    return None


def random_steps(dataflow: Dataflow, accelerator: Accelerator, count: int, rng: np.random.Generator) -> Steps:
    """Return parameters between -1 and 1, and inputs whose tensors have a norm of about 1, so that training holds."""
    parameters = rng.uniform(-1, 1, size=sum(tensor.size for tensor in dataflow.parameters))
    data = [_within(tensor, count, rng) for tensor in dataflow.streamed]
    return Steps(
        fixed(parameters, accelerator.fraction),
        fixed(np.concatenate([*data, np.zeros((count, 0))], axis=1), accelerator.input_fraction),
    )


def _within(tensor: Tensor, count: int, rng: np.random.Generator) -> np.ndarray:
    most = min(1.0, (3 / max(tensor.size, 1)) ** 0.5)
    return rng.uniform(-most, most, size=(count, tensor.size))


def _scheduled(spec: EvaluatorSpec, options: StepOptions) -> TablaEvaluator:
    return TablaEvaluator(spec, options, lambda step: (step.delay_cycles(1), step.delay_cycles(options.inputs)))


def _simulated(spec: EvaluatorSpec, options: StepOptions) -> TablaEvaluator:
    """Return the evaluator.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """
    tools()

    def measure(step: Compiled) -> Cycles:
        rng = np.random.default_rng(spec.seed)
        steps = random_steps(step.mapped.dataflow, step.accelerator, options.inputs, rng)
        done = checked(step, steps, seed=spec.seed).done + 1
        return int(done[0]), int(done[-1])

    return TablaEvaluator(spec, options, measure)


def _kind(
    fidelity: Fidelity, name: str, cost: Cost, make: Callable[[EvaluatorSpec, StepOptions], TablaEvaluator]
) -> EvaluatorKind:
    return EvaluatorKind(
        template=SPACE.name, fidelity=fidelity, name=name, version="2", cost=cost, make=make, options=StepOptions
    )


ANALYTICAL = _kind(Fidelity.ANALYTICAL, "tabla", Cost.SECONDS, _scheduled)
RTL = _kind(Fidelity.RTL, "tabla/rtl", Cost.MINUTES, _simulated)
