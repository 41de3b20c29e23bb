"""The evaluator: it asks the simulator about one design after another."""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from armillary.evaluators.kind import EvaluatorKind, Options
from armillary.evaluators.recording import record, without_mappings
from armillary.types import AccidentError, Candidate, Cost, Evaluation, EvaluatorSpec, Failure, Fidelity
from armillary.workloads.layer import Workload
from ring_accelerator.simulator import KilledError, Ring, simulate
from ring_accelerator.template import SPACE, wire_mm


class RingOptions(Options):
    """What `--set` takes."""

    clock_mhz: int = Field(800, ge=100, le=2000, description="Clock of standard cells.")


class RingEvaluator:
    """The simulator, as Armillary asks it."""

    def __init__(self, spec: EvaluatorSpec, options: RingOptions) -> None:
        self.spec, self._options = spec, options

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Evaluate candidates one by one.

        Raises:
            ArmillaryError: if a candidate brings mappings.
            AccidentError: if the machine ended the simulator.
        """
        without_mappings(candidates, self.spec)
        return [self._one(candidate, workload) for candidate in candidates]

    def _one(self, candidate: Candidate, workload: Workload) -> Evaluation:
        start = time.perf_counter()
        values: dict[str, Any] = candidate.design.as_dict()
        ring = Ring(**values)
        try:
            report = simulate(ring, workload, self._options.clock_mhz)
        except KilledError as fault:  # nobody knows what it would have answered: Armillary tries again
            raise AccidentError(str(fault)) from fault
        failure, metrics = None, {}
        if report.too_large:
            failure = Failure(
                "infeasible", "buffer_bytes", report.too_large, report.needed_bytes, float(ring.buffer_bytes)
            )
        else:
            metrics = {
                "runtime_s": report.runtime_s,
                "energy_pj": report.energy_pj,
                "leakage_mw": ring.leakage_mw,
                "wire_mm": float(wire_mm(SPACE.encode([candidate.design]))[0]),
            }
        return record(self.spec, candidate, workload, metrics, failure, seconds=time.perf_counter() - start)


KIND = EvaluatorKind(
    template="ring",
    fidelity=Fidelity.ANALYTICAL,
    name="ring",
    version="1",
    cost=Cost.SECONDS,
    make=RingEvaluator,
    options=RingOptions,
)
