"""Trials of Optuna's studies as rows of a user's problem, and as a first problem file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from armillary.integrations.optuna.exports import OURS, REASON, ROW, WORKLOAD
from armillary.integrations.optuna.storage import study_of, without_password
from armillary.log.faults import Faults
from armillary.log.own_rows import rows_of
from armillary.log.sheet import Sheet
from armillary.problems.expressions import names_in
from armillary.problems.problem_file import ProblemFile
from armillary.problems.problem_form import LogForm
from armillary.studies.guessing import Guess, Names, unit_of
from armillary.studies.imports import Imported, import_own_rows
from armillary.studies.own import OwnProblem
from armillary.types import ArmillaryError

STATE = "state"
_COMPLETE = TrialState.COMPLETE.name
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_RENAMED = "user_attr_"


@dataclass(frozen=True)
class StudyTable:
    """The finished trials of a study as columns of text.

    Attributes:
        source: what messages call it.
        name: of the study.
        sheet: a column per parameter, objective and user attribute, and `state`, which is COMPLETE, or why a trial is
            infeasible.
        parameters: the distribution of each.
        objectives: the direction of each, `minimize` or `maximize`.
        attributes: of the user attributes' columns, whether all cells are numbers.
        ours: whether all trials come from logs of ours, under the names and in the units of the problem.
    """

    source: str
    name: str
    sheet: Sheet
    parameters: Mapping[str, BaseDistribution]
    objectives: Mapping[str, str]
    attributes: Mapping[str, bool]
    ours: bool


def read_study(storage: str, name: str | None = None) -> StudyTable:
    """Return the finished trials of a study, the only one of its storage if none is named.

    A pruned or failed trial is infeasible, and so is one whose constraint is above zero, unless it comes from a log of
    ours, where a row beyond a bound is feasible. Its reason is the user
    attribute `reason`, else the broken constraint, else its state. A user attribute that has the name of an objective
    stands for it in trials without a value; one that has the name of another column is renamed `user_attr_NAME`.

    Raises:
        ArmillaryError: if there is no such study, it has no finished trial with parameters, or a parameter has several
            distributions or the name of an objective.
    """
    study = study_of(storage, name)
    source = f"{without_password(storage)}, study {study.study_name!r}"
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state in _FINISHED and trial.params]
    if not trials:
        raise ArmillaryError(f"{source}: has no finished trial with parameters")
    parameters = _distributions(trials, source)
    objectives = dict(zip(_objective_names(study), (d.name.lower() for d in study.directions), strict=True))
    twice = [objective for objective in objectives if objective in parameters]
    if twice:
        raise ArmillaryError(f"{source}: {twice[0]!r} is both a parameter and an objective; rename one of them")
    columns: dict[str, list[str]] = {
        name: [str(trial.params[name]) if name in trial.params else "" for trial in trials] for name in parameters
    }
    for place, objective in enumerate(objectives):
        columns[objective] = [_cell(_value(trial, place, objective)) for trial in trials]
    columns[STATE] = [_state(trial) for trial in trials]
    attributes = {}
    for attribute in dict.fromkeys(key for trial in trials for key in trial.user_attrs):
        if attribute in objectives or attribute == REASON or attribute.startswith(OURS):
            continue
        column = _RENAMED + attribute if attribute in columns else attribute
        found = [trial.user_attrs.get(attribute) for trial in trials]
        columns[column] = [_cell(value) for value in found]
        attributes[column] = all(_is_number(value) for value in found if value is not None)
    ours = all(ROW in trial.user_attrs for trial in trials)
    cells = pa.table({name: pa.array(own, type=pa.large_string()) for name, own in columns.items()})
    return StudyTable(source, study.study_name, Sheet(cells, Faults(source)), parameters, objectives, attributes, ours)


def import_study(
    table: StudyTable, log: str, own: OwnProblem, *, workload: str | None = None, skip_faulty: bool = False
) -> Imported:
    """Append the trials of a study to the log of a user's problem, each once, however often it is imported.

    Where the columns that the problem file names in its `log` are there, they say which trials are feasible, why others
    are not, and of which workload they are; else `state` and the user attribute `workload` do. Trials that come from a
    log of ours have the problem's own names and units.

    Args:
        table: the trials.
        log: the log.
        own: the problem.
        workload: of all trials, where no column names it.
        skip_faulty: leave trials with faults out.

    Raises:
        ArmillaryError: if a column is missing, or trials have faults and are not to be left out.
    """
    contexts = own.contexts()
    found = rows_of(
        table.source,
        table.sheet,
        _with_columns_of(table, own.file),
        workload=workload,
        candidates=own.candidates,
        contexts=contexts,
    )
    return import_own_rows([(table.source, found)], log, skip_faulty=skip_faulty)


def _with_columns_of(table: StudyTable, file: ProblemFile) -> ProblemFile:
    """Return a problem file that reads the columns of a study where its own are not there."""
    log, there = file.form.log, set(table.sheet.names)
    own = LogForm() if table.ours else log
    told = {
        "feasible": own.feasible if _is_there(own.feasible, there) else f"{STATE} == '{_COMPLETE}'",
        "reason": own.reason if own.reason in there else STATE,
        "workload": own.workload if own.workload in there else WORKLOAD if WORKLOAD in there else None,
    }
    return replace(file, form=file.form.model_copy(update={"log": own.model_copy(update=told)}))


def _is_there(expression: str | None, columns: set[str]) -> bool:
    return expression is not None and set(names_in(expression)) <= columns


def guesses_of(table: StudyTable) -> tuple[Guess, ...]:
    """Return what a problem file is to say of each column, as the study itself knows it.

    Raises:
        ArmillaryError: if a parameter is continuous.
    """
    names, found = Names(), []
    for column in table.sheet.names:
        if column == STATE:
            found.append(Guess(column, column, "status", "COMPLETE means success; others tell why a trial failed"))
        elif column in table.parameters:
            form, why = _form_of(column, table.parameters[column], table.source)
            found.append(Guess(column, names.of(column), "parameter", why, form))
        elif column in table.objectives:
            goal = {"unit": unit_of(column), "goal": table.objectives[column]}
            found.append(Guess(column, names.of(column), "metric", "an objective of the study", goal))
        elif column == WORKLOAD:
            found.append(Guess(column, column, "workload", "its name"))
        elif table.attributes[column]:
            unit = {"unit": unit_of(column)}
            found.append(Guess(column, names.of(column), "metric", "a user attribute of numbers", unit))
        else:
            found.append(Guess(column, column, "ignored", "a user attribute of texts"))
    return tuple(found)


def _form_of(name: str, distribution: BaseDistribution, source: str) -> tuple[dict[str, Any], str]:
    """Return how a problem file writes a distribution, and what it is."""
    if isinstance(distribution, CategoricalDistribution):
        choices: list[Any] = [choice if _is_given(choice) else str(choice) for choice in distribution.choices]
        numbers = all(_is_number(choice) for choice in choices)
        if numbers and all(a < b for a, b in pairwise(choices)):
            return {"values": choices}, "categories that are rising numbers"
        return {"choices": choices}, "categories"
    if isinstance(distribution, IntDistribution | FloatDistribution) and distribution.step is not None:
        low, high, step = distribution.low, distribution.high, distribution.step
        if low == high:
            return {"values": [low]}, "one value"
        scale = {"scale": "log"} if distribution.log else {}
        return {"range": [low, high], "step": step, **scale}, f"in steps of {step:g}"
    raise ArmillaryError(
        f"{source}: parameter {name!r} is continuous ({distribution}), and a problem file lists values; give it a step "
        "in the study, or write a problem file whose values are those that the trials have"
    )


def _distributions(trials: Sequence[FrozenTrial], source: str) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            if found.setdefault(name, distribution) != distribution:
                raise ArmillaryError(
                    f"{source}: parameter {name!r} has several distributions, {found[name]} and {distribution}; a "
                    "problem's parameter has one"
                )
    return found


def _objective_names(study: Study) -> list[str]:
    """Return the names of the objectives; `value`, or `value_0` and so on, where the study has none."""
    named = study.metric_names
    if named is not None:
        return list(named)
    return ["value"] if len(study.directions) == 1 else [f"value_{place}" for place in range(len(study.directions))]


def _value(trial: FrozenTrial, place: int, objective: str) -> Any:
    return trial.values[place] if trial.state == TrialState.COMPLETE else trial.user_attrs.get(objective)


def _state(trial: FrozenTrial) -> str:
    broken = [name for name, value in trial.constraints.items() if value > 0 and ROW not in trial.user_attrs]
    if trial.state == TrialState.COMPLETE and not broken:
        return _COMPLETE
    reason = trial.user_attrs.get(REASON)
    if reason:
        return str(reason)
    return f"constraint {broken[0]}" if broken else trial.state.name


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_given(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)
