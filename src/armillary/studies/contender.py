"""A design that a study compares with others, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from armillary.evaluators.explanation import ExplainsDesigns, Explanation, LayerCost
from armillary.spaces.space import Space
from armillary.types import Design, Evaluation, Evaluator, Failure
from armillary.workloads.layer import Workload


@dataclass(frozen=True)
class Contender:
    """A design with its metrics and, where the evaluator can take it apart, its explanation."""

    name: str
    note: str
    design: Design
    metrics: Mapping[str, float]
    failure: Failure | None
    explanation: Explanation | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready."""
        return {**asdict(self), "design": self.design.as_dict()}

    @staticmethod
    def from_dict(fields: Mapping[str, Any], space: Space) -> Contender:
        """Return the contender that `as_dict` described."""
        explanation = fields["explanation"]
        return Contender(
            name=fields["name"],
            note=fields["note"],
            design=space.design_from(fields["design"], fields["name"]),
            metrics=fields["metrics"],
            failure=None if fields["failure"] is None else Failure(**fields["failure"]),
            explanation=None
            if explanation is None
            else Explanation(**{**explanation, "layers": tuple(LayerCost(**x) for x in explanation["layers"])}),
        )


def contender(name: str, note: str, evaluation: Evaluation, evaluator: Evaluator, workload: Workload) -> Contender:
    """Return an evaluated design as a contender."""
    explains = evaluation.feasible and isinstance(evaluator, ExplainsDesigns)
    return Contender(
        name=name,
        note=note,
        design=evaluation.design,
        metrics=dict(evaluation.metrics),
        failure=evaluation.failure,
        explanation=evaluator.explain(evaluation.design, workload) if explains else None,  # type: ignore[attr-defined]
    )
