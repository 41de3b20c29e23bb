"""An evaluator that sleeps: what evaluations cost beside themselves. Worker processes import it, too."""

from __future__ import annotations

import time
from collections.abc import Sequence

from armillary.evaluators.recording import record
from armillary.spaces.space import Parameter, Space
from armillary.types import Candidate, Cost, Evaluation, EvaluatorSpec, Fidelity
from armillary.workloads.layer import Layer, LayerUse, Workload

NUMBERS = 4096
SPACE = Space("sleeping", (Parameter("number", tuple(range(NUMBERS))),))
WORKLOAD = Workload("sleep", (LayerUse(Layer("a", "gemm", K=4, C=8)),))


def spec_of(sleep_s: float) -> EvaluatorSpec:
    """Return the specification of an evaluator that sleeps so long."""
    return EvaluatorSpec("sleeping", Fidelity.EXTERNAL, "sleeping", "1", {"sleep_s": sleep_s}, Cost.MINUTES)


def make(spec: EvaluatorSpec) -> Sleeping:
    """Return the evaluator that a specification describes."""
    return Sleeping(spec)


class Sleeping:
    """Answers each candidate after the time of its specification."""

    def __init__(self, spec: EvaluatorSpec) -> None:
        self.spec = spec

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Return an evaluation per candidate."""
        return [self._one(candidate, workload) for candidate in candidates]

    def _one(self, candidate: Candidate, workload: Workload) -> Evaluation:
        seconds = float(self.spec.options["sleep_s"])
        time.sleep(seconds)
        return record(self.spec, candidate, workload, {"runtime_s": 1.0}, None, seconds=seconds)
