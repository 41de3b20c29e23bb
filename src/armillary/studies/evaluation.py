"""Evaluating coded designs with any evaluator, and telling which a log already holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.log.store import Log
from armillary.spaces.space import Space
from armillary.types import ArmillaryError, EvaluatesBatches, Evaluations, Evaluator
from armillary.workloads.context import context_of, difference
from armillary.workloads.layer import Workload


def evaluate_codes(evaluator: Evaluator, space: Space, codes: NDArray[np.int64], workload: Workload) -> Evaluations:
    """Evaluate coded designs, shape [designs, parameters], in columns where the evaluator can."""
    if isinstance(evaluator, EvaluatesBatches):
        return evaluator.evaluate_codes(codes, workload)
    return Evaluations.from_list(evaluator.evaluate(space.designs(codes), workload))


def logged(log: Log, space: Space, workload: Workload, evaluator: Evaluator | None = None) -> Evaluations | None:
    """Return the rows of a workload in a log, None if there are none.

    Args:
        log: the log; it may not exist yet.
        space: whose designs.
        workload: rows under its name.
        evaluator: only rows of this evaluator and version, if given.

    Raises:
        ArmillaryError: if the log holds other spaces only, or another workload of the same name.
    """
    if not log.fragments():
        return None
    rows = log.evaluations(space.name)
    chosen = rows.workload == workload.name
    if evaluator is not None:
        chosen &= (rows.evaluator == evaluator.name) & (rows.version == evaluator.version)
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


def not_in(space: Space, codes: NDArray[np.int64], rows: Evaluations | None) -> NDArray[np.int64]:
    """Return the coded designs that are not among the rows, each once, in their order."""
    _, first = np.unique(codes, axis=0, return_index=True)
    codes = codes[np.sort(first)]
    if rows is None:
        return codes
    known = {row.tobytes() for row in space.encode_columns(rows.design)}
    return codes[[row.tobytes() not in known for row in codes]]
