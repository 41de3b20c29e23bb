"""How evaluators put down what they found: the only place that builds evaluations and their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from armillary.metrics import folded, of_tokens
from armillary.spaces.space import Space
from armillary.types import (
    ArmillaryError,
    Candidate,
    Evaluation,
    Evaluations,
    EvaluatorSpec,
    Failure,
    LayerRun,
    options_text,
)
from armillary.workloads.context import context_of
from armillary.workloads.layer import Workload


def record(
    spec: EvaluatorSpec,
    candidate: Candidate,
    workload: Workload,
    metrics: Mapping[str, float],
    failure: Failure | None,
    *,
    seconds: float,
    layers: Sequence[LayerRun] = (),
) -> Evaluation:
    """Return the evaluation of a candidate by an evaluator."""
    return Evaluation(
        design=candidate.design,
        workload=workload.name,
        context=context_of(workload).as_dict(),
        evaluator=spec.name,
        version=spec.version,
        fidelity=spec.fidelity,
        metrics=_with_tokens(metrics, workload),
        feasible=failure is None,
        failure=failure,
        seconds=seconds,
        seed=spec.seed,
        time=datetime.now(UTC).replace(tzinfo=None),
        options=spec.options,
        layers=tuple(layers),
    )


@dataclass(frozen=True)
class Infeasible:
    """Why rows of a batch cannot work: each a column of shape [rows], empty or NaN in feasible rows."""

    resource: NDArray[np.object_]
    layer: NDArray[np.object_]
    needed: NDArray[np.float64]
    available: NDArray[np.float64]


def table(
    spec: EvaluatorSpec,
    space: Space,
    codes: NDArray[np.int64],
    workload: Workload,
    metrics: Mapping[str, NDArray[np.float64]],
    *,
    seconds: float,
    feasible: NDArray[np.bool_] | None = None,
    infeasible: Infeasible | None = None,
) -> Evaluations:
    """Return the evaluations of coded designs, shape [designs, parameters], in columns; their seconds are shared out.

    Args:
        spec: the evaluator's.
        space: of the designs.
        codes: the designs.
        workload: on what.
        metrics: columns of shape [designs].
        seconds: of all together.
        feasible: shape [designs]; all are, if not given.
        infeasible: why the others are not.
    """
    rows = len(codes)
    feasible = np.ones(rows, dtype=bool) if feasible is None else feasible

    def text(value: str) -> NDArray[np.object_]:
        return np.full(rows, value, dtype=object)

    return Evaluations(
        space=space.name,
        design=space.columns(codes),
        workload=text(workload.name),
        context={name: np.full(rows, value) for name, value in context_of(workload).as_dict().items()},
        evaluator=text(spec.name),
        version=text(spec.version),
        fidelity=text(str(spec.fidelity)),
        metrics=_with_tokens(metrics, workload),
        feasible=feasible,
        failure_kind=np.where(feasible, "", "infeasible").astype(object),
        failure_resource=text("") if infeasible is None else infeasible.resource,
        failure_layer=text("") if infeasible is None else infeasible.layer,
        failure_needed=np.full(rows, np.nan) if infeasible is None else infeasible.needed,
        failure_available=np.full(rows, np.nan) if infeasible is None else infeasible.available,
        failure_detail=text(""),
        seconds=np.full(rows, seconds / max(rows, 1)),
        seed=np.full(rows, spec.seed, dtype=np.int64),
        time=np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")),
        options=text(options_text(spec.options)),
    )


Column = TypeVar("Column", float, NDArray[np.float64])


def _with_tokens(metrics: Mapping[str, Column], workload: Workload) -> Mapping[str, Column]:
    """Return metrics, those per token too where the workload is a phase of a language model."""
    return metrics if workload.phase is None else {**metrics, **of_tokens(metrics, workload.phase)}


def of_network(layers: Sequence[LayerRun]) -> dict[str, float]:
    """Return a network's metrics from its layers' runs: those that all of them have and that add up."""
    runs = np.array([run.runs for run in layers], dtype=float)
    shared = [name for name in layers[0].metrics if all(name in run.metrics for run in layers)]
    columns = {name: np.array([run.metrics[name] for run in layers]) for name in shared}
    return {name: float(value) for name, value in folded(columns, runs).items()}


def without_search(candidates: Sequence[Candidate], spec: EvaluatorSpec) -> None:
    """Refuse candidates that name a search for their mappings, for evaluators that have one of their own.

    Raises:
        ArmillaryError: if one does.
    """
    for candidate in candidates:
        if candidate.search is not None:
            raise ArmillaryError(
                f"evaluator {spec.name} of template {spec.template!r} has a mapper of its own, so that "
                f"{candidate.search.mapper!r} cannot search its mappings; choose --template spotlight"
            )


def without_mappings(candidates: Sequence[Candidate], spec: EvaluatorSpec) -> None:
    """Refuse candidates that say how they are to be mapped, for evaluators whose mappings are their own.

    Raises:
        ArmillaryError: if one does.
    """
    for candidate in candidates:
        if candidate.mappings is not None or candidate.search is not None:
            raise ArmillaryError(
                f"evaluator {spec.name} of template {spec.template!r} takes no mappings; the template's are fixed"
            )
