"""A function of Python as an evaluator: from a design's values by name to its metrics by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from armillary.evaluators.recording import record, without_mappings
from armillary.problems.problem import Problem
from armillary.types import ArmillaryError, Candidate, Design, Evaluation, EvaluatorSpec, Failure, Value
from armillary.workloads.layer import Workload

Result = Mapping[str, float] | str | None
"""What became of a design: its metrics, or why it is infeasible in words; None gives no reason."""
UNSTATED = "unstated"


class FunctionEvaluator:
    """Calls a function for each design.

    Args:
        function: from a design's values by name to its result.
        problem: which metrics to expect.
        spec: of the evaluator.
    """

    def __init__(self, function: Callable[[dict[str, Value]], Result], problem: Problem, spec: EvaluatorSpec) -> None:
        self.spec = spec
        self._function, self._problem = function, problem

    def evaluate(self, candidates: Sequence[Candidate], workload: Workload) -> list[Evaluation]:
        """Return one evaluation per candidate, in order.

        Raises:
            ValueError: if a result is no result of the problem.
            RuntimeError: if the function raises an error of Armillary's, which is its own and not that of the request.
        """
        without_mappings(candidates, self.spec)
        return [self._evaluation(candidate, workload) for candidate in candidates]

    def _evaluation(self, candidate: Candidate, workload: Workload) -> Evaluation:
        started = time.perf_counter()
        try:
            result = self._function(candidate.design.as_dict())
        except ArmillaryError as fault:
            raise RuntimeError(str(fault)) from fault
        seconds = time.perf_counter() - started
        metrics, failure = outcome_of(result, candidate.design, self._problem)
        return record(self.spec, candidate, workload, metrics, failure, seconds=seconds)


def outcome_of(result: Any, design: Design, problem: Problem) -> tuple[dict[str, float], Failure | None]:
    """Return the metrics of a result, those that laws tell with them, and why the design is infeasible, None if not.

    Raises:
        ValueError: if it is neither metrics nor a reason, a metric is no finite number or not positive where it has to
            be, or an objective or a bounded metric is missing.
    """
    codes = problem.space.encode([design])
    known = {name: float(law(codes)[0]) for name, law in problem.laws.items()}
    if result is None or isinstance(result, str):
        return known, Failure("infeasible", detail=result or UNSTATED)
    if not isinstance(result, Mapping):
        raise ValueError(
            f"the result {result!r} is not allowed; give metrics by name, or None or a text for an infeasible design"
        )
    metrics = {**known, **{str(name): _number(str(name), value, problem) for name, value in result.items()}}
    there = problem.with_derived(metrics)
    asked = [*problem.metric_names, *(bound.metric for bound in problem.bounds)]
    missing = [name for name in asked if name not in there]
    if missing:
        raise ValueError(f"the result lacks {missing[0]!r}; it holds {list(metrics)}")
    return metrics, None


def _number(name: str, value: Any, problem: Problem) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {name}={value!r} is no number") from None
    positive = name in problem.metrics and problem.metrics[name].positive
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"metric {name}={number!r} is no {'positive' if positive else 'finite'} number")
    return number
