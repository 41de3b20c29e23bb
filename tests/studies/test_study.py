"""A study in Python: the same rows, the same optimizers, and nothing lost."""

import numpy as np
import pytest

from armillary.log.store import Log
from armillary.problems.criteria import Bound, Objective
from armillary.spaces.space import Parameter, Space
from armillary.studies.problem import Problem
from armillary.studies.study import Study
from armillary.types import ArmillaryError, Design, Metric
from armillary.workloads.layer import Workload

SPACE = Space("toy", (Parameter("a", (1, 2, 4, 8, 16)), Parameter("b", tuple(range(10)), "ordinal"),
                      Parameter("kind", ("x", "y", "z"), "categorical")))  # fmt: skip
METRICS = {"delay": Metric("ns", positive=True), "slack": Metric("ns"), "area": Metric("mm2", positive=True)}


def measured(design):
    delay = 100 / design["a"] + abs(design["b"] - 6) + 5 * (design["kind"] != "y")
    return {"delay": delay, "area": design["a"] * 2 + 1, "slack": 3 - delay}


DELAY = (Objective("delay"),)


def problem(objectives=DELAY, bounds=(), laws=None, **more):
    return Problem(SPACE, objectives, bounds, laws or {}, metrics=METRICS, **more)


def truth(bound=np.inf):
    every = [d.as_dict() for d in SPACE.designs(SPACE.at(np.arange(SPACE.size)))]
    return min(measured(d)["delay"] for d in every if measured(d)["area"] <= bound)


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_best_design_within_the_bound_in_half_of_the_space(seed):
    study = Study(problem(bounds=(Bound("area", at_most=17),)), seed=seed)
    best = study.optimize(measured, 75)
    assert best.metrics["delay"] == truth(17)
    assert len(study.evaluations) == 75


def test_ask_and_tell_finds_what_optimize_finds():
    one, other = Study(problem(), seed=3), Study(problem(), seed=3)
    one.optimize(measured, 24)
    while other.evaluations is None or len(other.evaluations) < 24:
        designs = other.ask(8)
        other.tell(designs, [measured(design.as_dict()) for design in designs])
    assert other.best.design == one.best.design
    assert other.best.metrics == one.best.metrics


def test_best_of_a_maximised_metric_is_the_greatest():
    study = Study(problem((Objective("area", "maximize"),)), "random")
    study.optimize(measured, 60)
    assert study.best.metrics["area"] == study.to_dataframe()["area"].max()


def test_a_metric_of_any_sign_is_minimised():
    study = Study(problem((Objective("slack"),)), seed=1)
    study.optimize(measured, 60)
    assert study.best.metrics["slack"] == study.to_dataframe()["slack"].min() < 0


def test_what_raises_or_returns_nothing_is_a_row_and_the_search_goes_on():
    def fails(design):
        if design["kind"] == "x":
            raise KeyError("no licence")
        if design["kind"] == "z":
            return None if design["b"] % 2 else "timing"
        return measured(design)

    study = Study(problem(), "random")
    study.optimize(fails, 60)
    table = study.to_dataframe()
    kinds = table.groupby("kind")["failure"].unique().to_dict()
    assert set(kinds["x"]) == {"error: KeyError: 'no licence'"}
    assert set(kinds["z"]) == {"infeasible: unstated", "infeasible: timing"}
    assert table[table.kind == "y"].failure.isna().all()
    assert list(table.feasible) == list(table.kind == "y")


def test_a_function_that_fails_for_every_design_crashes_nothing():
    study = Study(problem())
    assert study.optimize(lambda _: {"speed": 1.0}, 40) is None
    assert study.front == []
    assert set(study.to_dataframe().failure) == {"error: ValueError: the result lacks 'delay'; it holds ['speed']"}


def test_an_error_of_ours_inside_the_function_is_a_row_too():
    def raising(_design):
        raise ArmillaryError("no such network")

    study = Study(problem())
    study.optimize(raising, 2)
    assert set(study.to_dataframe().failure) == {"error: RuntimeError: no such network"}


def test_goes_on_from_its_log_and_asks_nothing_twice(tmp_path):
    whole = Study(problem(), seed=5, log=tmp_path / "log")
    whole.optimize(measured, 20)
    again = Study(problem(), seed=6, log=tmp_path / "log")
    assert len(again.evaluations) == 20
    assert again.best.metrics == whole.best.metrics
    again.optimize(measured, 20)
    rows = Log(tmp_path / "log").evaluations("toy")
    assert len(rows) == 40
    assert len(np.unique(SPACE.encode_columns(rows.design), axis=0)) == 40


def test_rows_of_another_version_are_left_alone(tmp_path):
    Study(problem(), log=tmp_path / "log").optimize(measured, 5)
    assert Study(problem(version="2"), log=tmp_path / "log").evaluations is None


def test_designs_whose_evaluation_broke_are_asked_again(tmp_path):
    def broken(_design):
        raise OSError("licence server down")

    Study(problem(), "random", log=tmp_path / "log").optimize(broken, 100)
    study = Study(problem(), "random", log=tmp_path / "log")
    study.optimize(measured, SPACE.size)
    rows = study.evaluations
    working = rows.select(rows.feasible)
    assert len(np.unique(SPACE.encode_columns(working.design), axis=0)) == SPACE.size


def test_laws_fill_in_what_the_function_need_not_tell():
    law = {"area": lambda codes: np.array(SPACE.parameters[0].values)[codes[:, 0]] * 2.0 + 1}
    study = Study(problem(bounds=(Bound("area", at_most=9),), laws=law))
    study.optimize(lambda design: {"delay": measured(design)["delay"]}, 40)
    table = study.to_dataframe()
    assert (table.area == table.a * 2 + 1).all()
    assert (table.area <= 9).all()


def test_front_of_two_goals_holds_what_nothing_dominates():
    study = Study(problem((Objective("delay"), Objective("area"))), seed=2)
    study.optimize(measured, 60)
    front = [(e.metrics["delay"], e.metrics["area"]) for e in study.front]
    every = study.to_dataframe()[["delay", "area"]].to_numpy()
    assert front == sorted(front)
    for delay, area in front:
        assert not ((every <= (delay, area)).all(axis=1) & (every < (delay, area)).any(axis=1)).any()
    assert study.best in study.front


def test_tell_takes_values_by_name():
    study = Study(problem())
    design = {"a": 4, "b": 6, "kind": "y"}
    study.tell([design], [measured(design)])
    assert study.best.design == Design("toy", tuple(design.items()))


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([], "0 results do not belong to 1 designs"),
        ([{"area": 2}], "lacks 'delay'"),
        ([{"delay": float("nan")}], "delay=nan is no positive number"),
        ([{"delay": -1}], "delay=-1.0 is no positive number"),
        ([{"delay": "fast"}], "delay='fast' is no number"),
        ([3.0], r"3\.0 is not allowed; give metrics by name"),
    ],
)
def test_a_wrong_result_is_refused_and_nothing_told(results, words, tmp_path):
    study = Study(problem(), log=tmp_path / "log")
    with pytest.raises(ArmillaryError, match=words):
        study.tell(study.ask(1), results)
    assert study.evaluations is None
    assert len(Log(tmp_path / "log")) == 0


def test_a_design_of_no_such_space_is_refused():
    with pytest.raises(ArmillaryError, match=r"a=3 is not allowed; choose one of \[1, 2, 4, 8, 16\]"):
        Study(problem()).tell([{"a": 3, "b": 0, "kind": "x"}], [None])


def test_one_of_several_workloads_must_be_named():
    two = problem(workloads=tuple(Workload(name, (), numbers={}) for name in ("kws", "asr")))
    with pytest.raises(ArmillaryError, match=r"has the workloads \['kws', 'asr'\]; name one"):
        Study(two)
    with pytest.raises(ArmillaryError, match="'vad' is not allowed; choose one of"):
        Study(two, workload="vad")
    assert Study(two, workload="asr").workload.name == "asr"


def test_shows_itself_in_a_notebook():
    study = Study(problem(), "random")
    assert "<td style='text-align:left'>0</td>" in study._repr_html_()
    study.optimize(lambda d: None if d["kind"] == "x" else measured(d), 30)
    text = study._repr_html_()
    assert f"{study.best.metrics['delay']:.6g}" in text
    assert "infeasible: unstated" in text


def test_nothing_evaluated_is_an_empty_table():
    assert Study(problem()).to_dataframe().empty
