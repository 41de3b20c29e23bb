import json

import numpy as np
import pytest

from armillary.problems.criteria import Bound, Objective
from armillary.reports.plots import plot_feasibility, plot_history, plot_importances, plot_pareto
from armillary.spaces.space import Parameter, Space
from armillary.studies.problem import Problem
from armillary.studies.study import Study
from armillary.types import ArmillaryError, Metric

SPACE = Space("toy", (Parameter("a", (1, 2, 4, 8)), Parameter("b", tuple(range(10)), "ordinal"),
                      Parameter("c", ("x", "y", "z"), "categorical")))  # fmt: skip
METRICS = {"delay": Metric("ns"), "area": Metric("mm2"), "power": Metric("W")}


def measured(design):
    if design["c"] == "z":
        return "timing" if design["b"] else None
    if design["c"] == "y" and design["b"] == 9:
        raise OSError("crash")
    return {"delay": 100 / design["a"] + 0.1 * design["b"], "area": design["a"] + 1.0, "power": 1 + design["b"]}


def study(*goals, bounds=(), rows=80):
    objectives = [Objective(*goal) if isinstance(goal, tuple) else Objective(goal) for goal in goals]
    made = Study(Problem(SPACE, tuple(objectives), bounds, metrics=METRICS), "random", seed=1)
    if rows:
        made.optimize(measured, rows)
    return made


def lines(figure):
    json.loads(figure.to_json())
    return {trace.name: trace for trace in figure.data}


def test_history_shows_the_best_so_far():
    made = study("delay", bounds=(Bound("area", at_most=5),))
    best = lines(plot_history(made))["best so far"]
    told = np.array(best.y, dtype=float)
    assert (np.diff(told[~np.isnan(told)]) <= 0).all()
    assert told[-1] == made.best.metrics["delay"]
    assert len(told) == 80


def test_history_of_a_maximised_goal_rises():
    made = study(("area", "maximize"))
    told = np.array(lines(plot_history(made))["best so far"].y, dtype=float)
    assert (np.diff(told[~np.isnan(told)]) >= 0).all()
    assert told[-1] == 9


def test_history_tells_apart_what_is_out_of_bounds():
    made = study("delay", bounds=(Bound("area", at_most=5),))
    table, shown = made.to_dataframe(), lines(plot_history(made))
    assert len(shown["out of bounds"].x) == (table.feasible & (table.area > 5)).sum() > 0
    assert len(shown["legal"].x) == (table.feasible & (table.area <= 5)).sum()


def test_history_of_several_goals_is_a_volume_that_grows():
    volume = np.array(plot_history(study("delay", "area")).data[0].y)
    assert len(volume) == 80
    assert (np.diff(volume) >= 0).all()
    assert volume[-1] > 0


def test_pareto_marks_the_front():
    made = study("delay", "area")
    shown = lines(plot_pareto(made))
    front = [(e.metrics["delay"], e.metrics["area"]) for e in made.front]
    assert list(zip(shown["front"].x, shown["front"].y, strict=True)) == front
    assert len(shown["others"].x) + len(front) == made.evaluations.feasible.sum()


def test_pareto_of_three_goals_is_a_matrix():
    made = study("delay", "area", "power")
    front = lines(plot_pareto(made))["front"]
    assert [d.label for d in front.dimensions] == ["delay (ns)", "area (mm2)", "power (W)"]
    assert len(front.dimensions[0]["values"]) == len(made.front)


def test_importances_rank_what_matters_first():
    bar = plot_importances(study("delay")).data[0]
    assert bar.y[-1] == "a"  # the topmost
    assert bar.x[-1] > 0.8
    assert sum(bar.x) == pytest.approx(1)


def test_feasibility_counts_every_design_once_with_its_reason():
    made = study("delay", bounds=(Bound("area", at_most=5),), rows=120)
    bar = plot_feasibility(made).data[0]
    counts = dict(zip(bar.y, bar.x, strict=True))
    assert counts == {
        "legal": 57,
        "out of bounds": 19,
        "infeasible: timing": 36,
        "infeasible: unstated": 4,
        "error: OSError: crash": 4,
    }
    assert bar.y[-1] == "legal"


def test_what_cannot_be_shown_says_why():
    with pytest.raises(ArmillaryError, match="delay is alone"):
        plot_pareto(study("delay"))
    for plot in (plot_history, plot_feasibility):
        with pytest.raises(ArmillaryError, match="nothing was evaluated"):
            plot(study("delay", rows=0))
    with pytest.raises(ArmillaryError, match="0 feasible designs tell nothing"):
        plot_importances(study("delay", rows=0))
    with pytest.raises(ArmillaryError, match="none of the 80 designs is feasible and within"):
        plot_history(study("delay", bounds=(Bound("area", at_most=0.5),)))
