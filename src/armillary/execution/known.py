"""What a log knows already of candidates that are to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from armillary.log.index import Fragment
from armillary.log.layer_runs import LayerRuns
from armillary.log.store import Log
from armillary.types import ArmillaryError, Evaluations, EvaluatorSpec, LayerRun, Value, options_text
from armillary.workloads.context import context_of, difference
from armillary.workloads.layer import Layer, Workload

_MAPPINGS, _GIVEN = "mappings", "given"


def given(options: Mapping[str, Value]) -> dict[str, Value]:
    """Return the options that rows record whose candidate brought mappings.

    What the evaluator's own mapper finds for the same design is another answer.
    """
    return {**options, _MAPPINGS: _GIVEN}


def without_origin(options: Mapping[str, Value]) -> dict[str, Value]:
    """Return options as they are where the evaluator finds the mappings itself; see `given`."""
    return {name: value for name, value in options.items() if name != _MAPPINGS}


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
    where = {"workload": workload.name}
    if spec is not None:
        where |= {"evaluator": spec.name, "version": spec.version, "options": options_text(spec.options)}
    rows = log.evaluations_of(space, where)
    if rows is None:
        return None
    _check_same(log, rows, workload)
    return rows


def check_workload(log: Log, fragments: Sequence[Fragment], where: Mapping[str, str], workload: Workload) -> None:
    """Refuse a log whose rows are of another workload of the same name; the first row of each kind tells.

    Args:
        log: of the fragments.
        fragments: that may hold rows of the workload.
        where: texts of its rows.
        workload: as it is now.

    Raises:
        ArmillaryError: if they are of another.
    """
    seen = set[str]()
    for fragment in fragments:
        if repr(fragment.only) not in seen and (rows := log.of_evaluations.group(fragment, 0, where)) is not None:
            _check_same(log, rows, workload)
            seen.add(repr(fragment.only))


def _check_same(log: Log, rows: Evaluations, workload: Workload) -> None:
    if workload.numbers is not None:  # a user may tell more of a workload than was known when its rows were logged
        return
    context = context_of(workload).as_dict()
    differs = difference(context, rows.context)
    if differs:
        name, other = differs
        raise ArmillaryError(
            f"{log.path}: holds another workload named {workload.name!r}: its {name} is {other:,.6g}, "
            f"that of this one {context[name]:,.6g}; rename the file or use another log"
        )


@dataclass(frozen=True)
class KnownRun:
    """A layer's run alone, and whether its mapping was given or found by the evaluator."""

    run: LayerRun
    given: bool

    def answers(self, layer: Layer, mapping: str | None) -> bool:
        """Return whether it is what a layer is asked to run under: a mapping, or (None) the evaluator's own."""
        return self._is_of(layer) and (not self.given if mapping is None else self.run.mapping == mapping)

    def _is_of(self, layer: Layer) -> bool:
        # Hardware may run several groups as one; what it tells is the layer so.
        own = self.run.layer
        together = layer.groups % own.groups == 0
        return own.name == layer.name and together and replace(layer, groups=own.groups) == own


def known_layers(log: Log, spec: EvaluatorSpec, space: str) -> list[KnownRun]:
    """Return the runs of layers alone that a log holds of an evaluator; those that broke are left out."""
    fragments = [fragment for fragment in log.of_layer_runs.all() if fragment.header.space == space]
    if not fragments:
        return []
    rows = log.of_layer_runs.rows_of(fragments)
    if rows is None:
        return []
    settled = (rows.workload == "") & (rows.feasible | (rows.failure_kind == "infeasible"))
    found = []
    for options, brought in ((spec.options, False), (given(spec.options), True)):
        chosen = rows.select(settled & of_evaluator(rows, spec, options))
        found += [KnownRun(run, brought) for run in chosen.to_list()]
    return found


def of_evaluator(
    rows: Evaluations | LayerRuns, spec: EvaluatorSpec, options: Mapping[str, Value] | None = None
) -> NDArray[np.bool_]:
    """Return which rows are of an evaluator, its version and its options, or these, shape [rows]."""
    same = (rows.evaluator == spec.name) & (rows.version == spec.version)
    return np.asarray(same & (rows.options == options_text(spec.options if options is None else options)))
