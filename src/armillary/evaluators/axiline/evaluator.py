"""The evaluators of the `axiline` template.

`analytical`: the cycles that follow from the pipeline, in closed form. `rtl`: the hardware, simulated on random inputs,
its weights and trees those of the model; every result is compared with the reference, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import Field

from armillary.evaluators.axiline.model import misfit, model_of, random_inputs
from armillary.evaluators.axiline.simulation import checked
from armillary.evaluators.kind import ClockPeriod, EvaluatorKind, Options
from armillary.evaluators.recording import record, without_mappings
from armillary.hardware.templates.axiline import SPACE, Accelerator, accelerator_of
from armillary.tools.verilator import tools
from armillary.types import ArmillaryError, Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity
from armillary.workloads.algorithm import ALGORITHMS, Algorithm
from armillary.workloads.layer import Workload

Cycles = tuple[float, int, int]
"""Per input, from an input to its results, and of all inputs."""


class StreamOptions(Options):
    """What runs, at which clock."""

    inputs: int = Field(1000, ge=2, le=1_000_000, description="Inputs that follow each other; the delay is their mean.")
    clock_ns: ClockPeriod = 1.0


class AxilineEvaluator:
    """Designs of the `axiline` template on an algorithm.

    Args:
        spec: of the evaluator.
        options: what runs, at which clock.
        measure: what an accelerator takes for a stream of inputs.
    """

    def __init__(
        self, spec: EvaluatorSpec, options: StreamOptions, measure: Callable[[Accelerator, Algorithm], Cycles]
    ) -> None:
        self.spec, self._options, self._measure = spec, options, measure

    @property
    def algorithms(self) -> Sequence[str]:
        """The names of the algorithms that it takes; see `EvaluatesAlgorithms`."""
        return ALGORITHMS

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Metrics: `per_input_cycles` (between one input and the next), `latency_cycles` (from an input's first elements
        to its results), `stream_cycles` (of all inputs), `delay_cycles` (their mean, in which the first one's latency
        is shared by all), `runtime_s` (the mean at the stated clock) and `throughput_mhz` (inputs).

        Raises:
            ArmillaryError: if the workload is none of the algorithms (says why), or a design is of another space.
            RunError: if a simulation does not end, or its results are not those of the reference.
            BuildError: if a simulator cannot be built.
            AccidentError: if a tool is killed.
        """
        without_mappings(candidates, self.spec)
        if workload.algorithm is None:
            why = workload.no_algorithm or "axiline takes ONNX files of its algorithms"
            raise ArmillaryError(f"workload {workload.name} is none of the algorithms of axiline: {why}")
        SPACE.encode([candidate.design for candidate in candidates])
        return [self._one(candidate, workload, workload.algorithm) for candidate in candidates]

    def _one(self, candidate: Candidate, workload: Workload, algorithm: Algorithm) -> Evaluation:
        start = time.perf_counter()
        metrics: dict[str, float] = {}
        failure: Failure | None = None
        try:
            accelerator = accelerator_of(candidate.design)
        except ArmillaryError as fault:
            failure = Failure("infeasible", "design", detail=str(fault))
        else:
            failure = misfit(algorithm, accelerator)
            metrics = {} if failure else self._metrics(*self._measure(accelerator, algorithm))
        return record(self.spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - start)

    def _metrics(self, per_input: float, latency: int, stream: int) -> dict[str, float]:
        second, delay = self._options.clock_ns * 1e-9, stream / self._options.inputs
        return {
            "per_input_cycles": per_input,
            "latency_cycles": float(latency),
            "stream_cycles": float(stream),
            "delay_cycles": delay,
            "runtime_s": delay * second,
            "throughput_mhz": 1e-6 / (per_input * second),
        }


def _closed_form(spec: EvaluatorSpec, options: StreamOptions) -> AxilineEvaluator:
    def measure(accelerator: Accelerator, algorithm: Algorithm) -> Cycles:  # noqa: ARG001
        delay = accelerator.delay_cycles(options.inputs)
        return float(accelerator.per_input_cycles), accelerator.latency_cycles, delay

    return AxilineEvaluator(spec, options, measure)


def _simulated(spec: EvaluatorSpec, options: StreamOptions) -> AxilineEvaluator:
    """Return the evaluator.

    Raises:
        ArmillaryError: if Verilator or a C++ compiler is missing.
    """
    tools()

    def measure(accelerator: Accelerator, algorithm: Algorithm) -> Cycles:
        rng = np.random.default_rng(spec.seed)
        model = model_of(algorithm, accelerator, rng)
        found = checked(accelerator, model, random_inputs(accelerator, options.inputs, rng), seed=spec.seed)
        done = found.done
        per_input = float(done[-1] - done[0]) / (options.inputs - 1)
        return per_input, int((done - found.first).max()), int(done[-1] - found.first[0])

    return AxilineEvaluator(spec, options, measure)


def _kind(
    fidelity: Fidelity, name: str, cost: Cost, make: Callable[[EvaluatorSpec, StreamOptions], AxilineEvaluator]
) -> EvaluatorKind:
    return EvaluatorKind(
        template=SPACE.name, fidelity=fidelity, name=name, version="2", cost=cost, make=make, options=StreamOptions
    )


ANALYTICAL = _kind(Fidelity.ANALYTICAL, "axiline", Cost.SECONDS, _closed_form)
RTL = _kind(Fidelity.RTL, "axiline/rtl", Cost.MINUTES, _simulated)
