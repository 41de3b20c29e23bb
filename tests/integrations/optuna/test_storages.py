"""Logs to Optuna's storages and back."""

import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from armillary.integrations.optuna import export
from armillary.integrations.optuna.exports import distribution_of
from armillary.integrations.optuna.imports import guesses_of, import_study, read_study
from armillary.log.store import Log
from armillary.problems.criteria import Objective
from armillary.problems.problem_file import read_problem
from armillary.spaces.space import Parameter
from armillary.studies.guessing import problem_text
from armillary.studies.own import OwnProblem
from armillary.studies.problem import Problem
from armillary.studies.study import Study
from armillary.types import ArmillaryError

FILE = """
name: toy
parameters: {a: [1, 2, 4, 8], b: {range: [0, 9]}, c: {choices: [x, y, z]}, on: {values: [false, true]}}
metrics:
  delay: {unit: ns, goal: minimize}
  area: {unit: mm2, at_most: 6, at_least: 2}
  slack: {unit: ns}
"""


def measured(design):
    if design["c"] == "z":
        return "timing" if design["b"] else None
    if design["b"] == 9:
        raise OSError("crash")
    return {"delay": 100 / design["a"] + 0.1 * design["b"], "area": design["a"] + 1.0, "slack": -1.0}


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy.yaml").write_text(FILE)
    return Problem.from_yaml(tmp_path / "toy.yaml")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'runs.db'}"


def filled(toy, tmp_path, rows=40, seed=0):
    study = Study(toy, "random", seed=seed, log=tmp_path / "log")
    study.optimize(measured, rows)
    return study


def test_every_row_is_a_trial_that_says_what_the_row_says(toy, tmp_path, url):
    study = filled(toy, tmp_path)
    (done,) = export(study.evaluations, toy, url)
    assert (done.study, done.new, done.trials) == ("toy", 40, 40)
    there = optuna.load_study(study_name="toy", storage=url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert there.metric_names == ["delay"]
    for row, trial in zip(study.evaluations.to_list(), there.trials, strict=True):
        assert trial.params == row.design.as_dict()
        assert (trial.state == TrialState.COMPLETE) == row.feasible
        assert {name: trial.user_attrs[name] for name in row.metrics} == row.metrics
        if row.feasible:
            area = row.metrics["area"]
            assert trial.value == row.metrics["delay"]
            assert trial.constraints == {"area <= 6": area - 6, "area >= 2": 2 - area}
        else:
            assert trial.user_attrs["reason"] in ("timing", "unstated", "error: OSError: crash")
    assert there.best_value == study.best.metrics["delay"]


def test_a_second_export_adds_only_what_is_new(toy, tmp_path, url):
    study = filled(toy, tmp_path)
    export(study.evaluations, toy, url)
    assert export(study.evaluations, toy, url)[0].new == 0
    study.optimize(measured, 7)
    (done,) = export(Log(tmp_path / "log").evaluations("toy"), toy, url)
    assert (done.new, done.trials) == (7, 47)
    assert len(optuna.load_study(study_name="toy", storage=url).trials) == 47


def test_each_workload_has_a_study(tmp_path, url):
    (tmp_path / "toy.yaml").write_text(FILE + "workloads: {kws: null, asr: null}\n")
    toy = Problem.from_yaml(tmp_path / "toy.yaml")
    for name, rows in (("kws", 5), ("asr", 6)):
        Study(toy, "random", log=tmp_path / "log", workload=name).optimize(measured, rows)
    rows = Log(tmp_path / "log").evaluations("toy")
    assert {done.study: done.new for done in export(rows, toy, url)} == {"toy/kws": 5, "toy/asr": 6}
    with pytest.raises(ArmillaryError, match=r"'mine' cannot be that of all of \['toy/kws', 'toy/asr'\]"):
        export(rows, toy, url, study_name="mine")


def test_a_study_of_other_goals_is_not_added_to(toy, tmp_path, url):
    rows = filled(toy, tmp_path, 30).evaluations
    export(rows, toy, url)
    for goals in ((Objective("area"),), (Objective("delay", "maximize"),), (Objective("delay"), Objective("area"))):
        with pytest.raises(ArmillaryError, match=r"has the goals \['minimize delay'\], not"):
            export(rows, replace(toy, objectives=goals), url)
    assert (
        optuna.load_study(study_name="toy", storage=url).best_value == rows.metrics["delay"][toy.satisfied(rows)].min()
    )
    study = optuna.create_study(storage=url, study_name="theirs")
    study.optimize(lambda trial: trial.suggest_int("a", 1, 2), 1)
    with pytest.raises(ArmillaryError, match=r"'theirs' of the storage has the goals \['minimize \?'\], not"):
        export(rows, toy, url, study_name="theirs")


def test_there_and_back_is_the_same_log(toy, tmp_path, url):
    study = filled(toy, tmp_path)
    export(study.evaluations, toy, url)
    own = OwnProblem.read(tmp_path / "toy.yaml")
    found = import_study(read_study(url), str(tmp_path / "back"), own)
    assert found.rows == 40
    back, before = Log(tmp_path / "back").evaluations("toy"), study.evaluations
    for name in toy.space.names:
        assert back.design[name].tolist() == before.design[name].tolist()
    assert back.feasible.tolist() == before.feasible.tolist()  # those beyond the bound, too
    for name in ("delay", "area"):
        assert np.array_equal(back.metrics[name], before.metrics[name], equal_nan=True)
    assert import_study(read_study(url), str(tmp_path / "back"), own).rows == 0
    assert import_study(read_study(url), str(tmp_path / "log"), own).rows == int((before.failure_kind == "error").sum())


def test_a_problem_file_for_an_exported_study_reads_it(toy, tmp_path, url):
    export(filled(toy, tmp_path).evaluations, toy, url)
    table = read_study(url)
    (tmp_path / "new.yaml").write_text(problem_text("again", guesses_of(table), url, table.sheet))
    file = read_problem(tmp_path / "new.yaml")
    assert [(p.name, p.values) for p in file.space.parameters] == [(p.name, p.values) for p in toy.space.parameters]
    assert file.objectives == toy.objectives
    found = import_study(table, str(tmp_path / "new"), OwnProblem.read(tmp_path / "new.yaml"))
    assert found.rows == 40


def foreign(url, name="theirs"):
    study = optuna.create_study(storage=url, study_name=name, direction="maximize")
    for number in range(6):
        study.enqueue_trial({"f": 0.5 + 0.25 * number})  # all different: equal rows would be one
        trial = study.ask()
        x = trial.suggest_int("x", 0, 10, step=5)
        trial.suggest_categorical("k", ["a", None])
        trial.suggest_float("f", 0.5, 2, step=0.25)
        trial.set_user_attr("note", "hand-made")
        trial.set_user_attr("watts", 1.5)
        if number == 4:
            study.tell(trial, state=TrialState.FAIL)
            continue
        trial.set_constraint("slack", 1.0 if number == 5 else 0.0)
        study.tell(trial, -1.0 * x)
    study.ask()  # which runs still
    return study


def test_a_strangers_study_becomes_a_problem_and_a_log(tmp_path, url):
    study = foreign(url)
    table = read_study(url)
    (tmp_path / "p.yaml").write_text(problem_text("p", guesses_of(table), url, table.sheet))
    file = read_problem(tmp_path / "p.yaml")
    values = {p.name: p.values for p in file.space.parameters}
    assert values == {"x": (0, 5, 10), "k": ("a", "None"), "f": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)}
    assert [(o.metric, o.direction) for o in file.objectives] == [("value", "maximize")]
    assert set(file.own_metrics) == {"value", "watts"}
    assert import_study(table, str(tmp_path / "log"), OwnProblem.read(tmp_path / "p.yaml")).rows == 6
    rows = Log(tmp_path / "log").evaluations("p")
    assert rows.design["x"].tolist() == [t.params["x"] for t in study.trials[:6]]
    assert rows.feasible.tolist() == [True, True, True, True, False, False]
    assert rows.failure_detail[4:].tolist() == ["FAIL", "constraint slack"]
    assert rows.metrics["value"][:4].tolist() == [t.value for t in study.trials[:4]]


def test_a_problem_files_own_columns_and_scales_count_where_the_study_has_them(tmp_path, url):
    foreign(url)
    (tmp_path / "p.yaml").write_text(
        "name: p\nparameters: {x: [0, 5, 10], k: {choices: [a, None]}, f: {range: [0.5, 2], step: 0.25}}\n"
        "metrics: {gain: {goal: maximize}, mw: {}}\n"
        "log: {columns: {value: gain, watts: mw}, scale: {watts: 1000}, feasible: note == 'hand-made', ignore: [state]}"
    )
    found = import_study(read_study(url), str(tmp_path / "log"), OwnProblem.read(tmp_path / "p.yaml"), skip_faulty=True)
    assert (found.rows, found.faulty) == (5, 1)  # the failed trial has no value
    assert set(Log(tmp_path / "log").evaluations("p").metrics["mw"]) == {1500.0}


def test_what_is_not_there_says_what_is(tmp_path, url):
    with pytest.raises(ArmillaryError, match=r"runs\.db: no such file"):
        read_study(url)
    assert not (tmp_path / "runs.db").exists()
    foreign(url, "one")
    with pytest.raises(ArmillaryError, match=r"study 'other' is not there; choose one of \['one'\]"):
        read_study(url, "other")
    foreign(url, "two")
    with pytest.raises(ArmillaryError, match=r"holds the studies \['one', 'two'\]; name one with --study-name"):
        read_study(url)


def test_a_password_is_never_shown():
    with pytest.raises(ArmillaryError, match="cannot be opened") as fault:
        read_study("nosuchbase://me:secret@host/base")
    assert "secret" not in str(fault.value)


def test_a_continuous_parameter_has_no_list_of_values(url):
    study = optuna.create_study(storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    with pytest.raises(ArmillaryError, match=r"parameter 'x' is continuous .* give it a step"):
        guesses_of(read_study(url))


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("a", (1, 2, 3, 4), "ordinal"),
        Parameter("a", (200, 400, 600), "cardinal"),
        Parameter("a", (1, 2, 4, 8)),
        Parameter("a", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "ordinal"),
        Parameter("a", (False, True)),
        Parameter("a", ("x", "y", "z"), "categorical"),
        Parameter("a", (3, 2, 1), "categorical"),
        Parameter("a", (7,)),
    ],
)
def test_a_distribution_holds_every_value_of_its_parameter(parameter):
    distribution = distribution_of(parameter)
    for value in parameter.values:
        assert distribution.to_external_repr(distribution.to_internal_repr(value)) == value
        assert distribution._contains(distribution.to_internal_repr(value))
