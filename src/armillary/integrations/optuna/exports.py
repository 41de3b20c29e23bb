"""Rows of a log as trials of Optuna's studies, for its dashboard and whatever else reads its storages."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from armillary.integrations.optuna.storage import opened
from armillary.metrics import derived
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter
from armillary.studies.progress import OnProgress, silent
from armillary.types import ArmillaryError, Evaluation, Evaluations, Failure, options_text

OURS = "armillary_"
"""How user attributes begin that are no metrics."""
ROW, REASON, WORKLOAD = f"{OURS}row", "reason", "workload"


@dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes:
        study: the name of Optuna's study.
        new: trials added.
        trials: of the study, afterwards.
    """

    study: str
    new: int
    trials: int


def export(
    rows: Evaluations,
    problem: Problem,
    storage: str | BaseStorage,
    *,
    study_name: str | None = None,
    on_progress: OnProgress = silent,
) -> list[Exported]:
    """Add the rows that a storage lacks to it, and return what became of each of its studies.

    Every workload and every evaluator has a study of its own, named `SPACE/WORKLOAD/EVALUATOR` without what repeats the
    name before it. A feasible row is a complete trial, with a constraint per bound; any other is a failed trial whose
    user attribute `reason` says why. All metrics are user attributes. Run it as often as you like beside a search.

    Args:
        rows: as in `Study.evaluations` or `Log.evaluations`.
        problem: whose parameters, goals and bounds the trials have.
        storage: an address, such as `sqlite:///runs.db`, or a storage of Optuna's.
        study_name: instead of the name above, for rows of one workload and one evaluator.
        on_progress: called with trials added and in total; a database takes a hundredth of a second each.

    Raises:
        ArmillaryError: if the storage cannot be opened, a study of the name has other goals, a name is given to several
            studies, or a design is none of the problem's space.
    """
    problem.space.encode_columns(rows.design)
    place = opened(storage)
    named: dict[str, list[Evaluation]] = {}
    for row in rows.to_list():
        named.setdefault("/".join(dict.fromkeys([row.design.space, row.workload, row.evaluator])), []).append(row)
    if study_name is not None:
        if len(named) > 1:
            raise ArmillaryError(f"study name {study_name!r} cannot be that of all of {list(named)}; leave it out")
        named = dict(zip([study_name], named.values(), strict=True))
    return [_exported(name, own, problem, place, on_progress) for name, own in named.items()]


def _exported(
    name: str, rows: list[Evaluation], problem: Problem, storage: BaseStorage, on_progress: OnProgress
) -> Exported:
    directions = [objective.direction for objective in problem.objectives]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    held = study.get_trials(deepcopy=False)
    _check_goals(study, problem, has_trials=bool(held))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(problem.metric_names))
    there = {trial.user_attrs.get(ROW) for trial in held}
    distributions = {parameter.name: distribution_of(parameter) for parameter in problem.space.parameters}
    new = [(key, row) for key, row in _keyed(rows) if key not in there]
    for done, (key, row) in enumerate(new, start=1):
        study.add_trial(_trial(key, row, problem, distributions))
        on_progress(f"exporting to {name}", done, len(new))
    return Exported(name, len(new), len(held) + len(new))


def _check_goals(study: optuna.Study, problem: Problem, *, has_trials: bool) -> None:
    """Raise if the trials of a study have other goals; one without trials is told only apart by its directions."""
    asked = [f"{objective.direction} {objective.metric}" for objective in problem.objectives]
    names = study.metric_names or (["?"] * len(study.directions) if has_trials else problem.metric_names)
    if len(names) != len(study.directions):
        names = ["?"] * len(study.directions)
    held = [f"{direction.name.lower()} {name}" for direction, name in zip(study.directions, names, strict=True)]
    if held != asked:
        raise ArmillaryError(
            f"study {study.study_name!r} of the storage has the goals {held}, not {asked}; name another study"
        )


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return the distribution of exactly a parameter's values: in steps where they are even, else categories."""
    values = parameter.values
    if parameter.kind == "categorical" or len(values) < 3 or isinstance(values[0], bool | str):
        return CategoricalDistribution(values)
    numbers = np.array(values, dtype=float)
    step = values[1] - values[0]  # type: ignore[operator]
    if step <= 0 or not np.allclose(np.diff(numbers), step, rtol=1e-9):
        return CategoricalDistribution(values)
    if isinstance(values[0], int):
        return IntDistribution(values[0], int(values[-1]), step=int(step))
    low, high, step = (float(f"{number:.12g}") for number in (values[0], values[-1], step))
    whole = (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0  # as Optuna asks it
    return FloatDistribution(low, high, step=step) if whole else CategoricalDistribution(values)


def _keyed(rows: list[Evaluation]) -> Iterator[tuple[str, Evaluation]]:
    """Yield each row with a text that is its own, the same in every export."""
    for row in rows:
        content: list[Any] = [row.design.as_dict(), row.workload, row.evaluator, row.version, options_text(row.options)]
        content += [row.seed, row.time.isoformat(), sorted(row.metrics.items()), str(row.failure)]
        yield hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20], row


def _trial(key: str, row: Evaluation, problem: Problem, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    metrics = problem.with_derived(row.metrics)
    reason = None if row.failure is None else _reason(row.failure)
    missing = [name for name in problem.metric_names if name not in metrics]
    if reason is None and missing:
        reason = f"{missing[0]} is not known"
    complete = reason is None
    attributes: dict[str, Any] = {
        **metrics,
        **({} if complete else {REASON: reason}),
        WORKLOAD: row.workload,
        f"{OURS}fidelity": str(row.fidelity),
        f"{OURS}version": row.version,
        f"{OURS}seconds": row.seconds,
        ROW: key,
    }
    trial = create_trial(
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        values=[metrics[name] for name in problem.metric_names] if complete else None,
        params=row.design.as_dict(),
        distributions=distributions,
        user_attrs=attributes,
        constraints=_constraints(metrics, problem) if complete else None,
    )
    ended = row.time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)  # the local time, as Optuna's own
    trial.datetime_start, trial.datetime_complete = ended - timedelta(seconds=row.seconds), ended
    return trial


def _reason(failure: Failure) -> str:
    """Return why a design failed, as the file that a row was imported from says it where that is all there is."""
    told = failure.kind == "infeasible" and failure.detail and not failure.resource
    return failure.detail if told else str(failure)


def _constraints(metrics: dict[str, float], problem: Problem) -> dict[str, float]:
    """Return by how much a design is beyond each side of each bound, zero or less if it is not."""
    found = {}
    for bound in problem.bounds:
        value = derived(metrics, bound.metric, problem.metrics)
        beyond = float("inf") if value is None else float(value)
        if bound.at_most is not None:
            found[f"{bound.metric} <= {bound.at_most:g}"] = beyond - bound.at_most
        if bound.at_least is not None:
            found[f"{bound.metric} >= {bound.at_least:g}"] = beyond if value is None else bound.at_least - float(value)
    return found
