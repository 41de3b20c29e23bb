"""Learning from rows of several evaluators at once: which evaluator it was becomes a column.

Results of different evaluators do not compare, so each pair of workload and evaluator is learned as a workload of its
own, whose metric has a scale of its own. Its context says, beside what describes the workload, which evaluator it is:
one feature per evaluator, 1 or 0. A contextual surrogate so learns what evaluators agree on, such as which designs are
feasible and in which order they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError, Evaluations
from armillary.workloads.context import Context

_FEATURE = "evaluator is "
_TOGETHER = "several evaluators"


@dataclass(frozen=True)
class SeenBy(Context):
    """A context with which evaluator sees the workload: 1 for that one, 0 for the others that were learned from."""

    plain: Context
    evaluators: Mapping[str, float]
    name: str = ""

    def as_dict(self) -> dict[str, float]:
        """Return the features by name, those of the evaluators last."""
        return {**self.plain.as_dict(), **self.evaluators}


def evaluators_of(rows: Evaluations) -> list[str]:
    """Return the evaluators of rows, sorted: name, version, and options where there are any."""
    return sorted(set(_sources(rows).tolist()))


def with_evaluator_column(rows: Evaluations) -> Evaluations:
    """Return rows of several evaluators as those of one, to which each pair of workload and evaluator is a workload."""
    sources = _sources(rows)
    names = evaluators_of(rows)
    workload = np.array([f"{w} by {s}" for w, s in zip(rows.workload, sources, strict=True)], dtype=object)
    features = {_FEATURE + name: (sources == name).astype(float) for name in names}
    together = np.full(len(rows), _TOGETHER, dtype=object)
    none = np.full(len(rows), "", dtype=object)
    return replace(
        rows,
        workload=workload,
        context={**rows.context, **features},
        evaluator=together,
        version=none,
        options=none,
    )


def as_seen_by(context: Context, evaluator: str | None, feature_names: Sequence[str]) -> Context:
    """Return the context to predict with by a model: as one of its evaluators sees the workload.

    Args:
        context: of the workload.
        evaluator: whose answers to predict; None if the model learned from one alone.
        feature_names: of the contexts that the model was fitted with.

    Raises:
        ArmillaryError: if the model learned from several evaluators and none is named, or another one is.
    """
    known = [name.removeprefix(_FEATURE) for name in feature_names if name.startswith(_FEATURE)]
    if evaluator is None and not known:
        return context
    if evaluator is None or evaluator not in known:
        offered = f"choose one of {known}" if known else "it was fitted to the rows of one evaluator alone"
        raise ArmillaryError(f"evaluator {evaluator!r} is none that the model learned from; {offered}")
    return SeenBy(context, {_FEATURE + name: float(name == evaluator) for name in known}, context.name)


def _sources(rows: Evaluations) -> NDArray[np.object_]:
    """Return the evaluator of each row as text, shape [rows]."""
    parts = zip(rows.evaluator, rows.version, rows.options, strict=True)
    return np.array([" ".join(filter(None, part)) for part in parts], dtype=object)
