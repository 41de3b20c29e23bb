"""What a log knows already of candidates that are to be evaluated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.types import ArmillaryError, Design, Evaluations, EvaluatorSpec, LayerRun, options_text
from armillary.workloads.context import context_of, difference
from armillary.workloads.layer import Workload


def logged(log: Log, space: str, workload: Workload, spec: EvaluatorSpec | None = None) -> Evaluations | None:
    """Return the rows of a workload in a log, None if there are none.

    Args:
        log: the log; it may not exist yet.
        space: whose designs.
        workload: rows under its name.
        spec: only rows of this evaluator, its version and its options, if given.

    Raises:
        ArmillaryError: if the log holds other spaces only, or another workload of the same name.
    """
    if not log.fragments():
        return None
    rows = log.evaluations(space)
    chosen = rows.workload == workload.name
    if spec is not None:
        chosen &= of_evaluator(rows, spec)
    if not chosen.any():
        return None
    rows = rows.select(chosen)
    context = context_of(workload).as_dict()
    differs = difference(context, rows.context)
    if differs:
        name, other = differs
        raise ArmillaryError(
            f"{log.path}: holds another workload named {workload.name!r}: its {name} is {other:,.6g}, "
            f"that of this one {context[name]:,.6g}; rename the file or use another log"
        )
    return rows


def known_layers(log: Log, spec: EvaluatorSpec, space: str) -> dict[Design, list[LayerRun]]:
    """Return the runs of layers alone that a log holds of an evaluator, by design; those that broke are left out."""
    found: dict[Design, list[LayerRun]] = {}
    if not log.of_layer_runs.all():
        return found
    rows = log.layer_runs(space)
    settled = rows.feasible | (rows.failure_kind == "infeasible")
    for row in np.flatnonzero(of_evaluator(rows, spec) & (rows.workload == "") & settled).tolist():
        run = rows.row(row)
        found.setdefault(run.design, []).append(run)
    return found


def of_evaluator(rows: Evaluations | LayerRuns, spec: EvaluatorSpec) -> NDArray[np.bool_]:
    """Return which rows are of an evaluator, its version and its options, shape [rows]."""
    options = options_text(spec.options)
    return np.asarray((rows.evaluator == spec.name) & (rows.version == spec.version) & (rows.options == options))
