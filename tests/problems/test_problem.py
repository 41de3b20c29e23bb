from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates import edge_tpu
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Evaluations, Metric
from armillary.workloads import zoo

SPACE = Space("line", (Parameter("x", (1, 2, 3, 4, 5)),))
PROBLEM = Problem.minimising(SPACE, "runtime_s", {"area_mm2": 29.0})
TOLD = [
    {"runtime_s": 1.0, "area_mm2": 9.0},
    None,
    {"runtime_s": 2.0, "area_mm2": 30.0},
    {"area_mm2": 1.0},
    {"runtime_s": 3.0, "area_mm2": 29.0},
]


def rows(*metrics):
    designs = SPACE.designs(np.arange(len(metrics))[:, None])
    return Evaluations.from_list([evaluation(d, m) for d, m in zip(designs, metrics, strict=True)])


@pytest.fixture(params=[lambda found: found, Outcomes.of], ids=["rows", "outcomes"])
def told(request):
    """Rows, as a log holds them and as an optimizer is told them."""
    return lambda *metrics: request.param(rows(*metrics))


def two_sided(least, most):
    return replace(PROBLEM, bounds=(Bound("area_mm2", at_least=least, at_most=most),))


def test_infeasible_out_of_bounds_and_unknown_are_infinite(told):
    np.testing.assert_array_equal(PROBLEM.values(told(*TOLD)), [1.0, np.inf, np.inf, np.inf, 3.0])


def test_what_is_satisfied_is_feasible_and_within_every_bound(told):
    assert PROBLEM.satisfied(told(*TOLD)).tolist() == [True, False, False, True, True]
    assert two_sided(2.0, 30.0).satisfied(told(*TOLD)).tolist() == [True, False, True, False, True]
    no_energy = Problem.minimising(SPACE, "runtime_s", {"energy_pj": 1.0})
    assert not no_energy.satisfied(told(*TOLD)).any()


def test_every_bound_counts_and_so_does_a_failure(told):
    both = Problem.minimising(SPACE, "runtime_s", {"area_mm2": 29.0, "energy_pj": 5.0})
    some = [{"runtime_s": 1.0, "area_mm2": area, "energy_pj": energy} for area, energy in ((9, 5), (30, 5), (9, 6))]
    assert both.satisfied(told(*some)).tolist() == [True, False, False]
    failed = rows(*some)
    failed = Outcomes.of(replace(failed, feasible=np.array([False, True, True])))
    assert not both.satisfied(failed).any()


def test_bounds_are_kept_on_both_sides(told):
    np.testing.assert_array_equal(two_sided(9.0, 30.0).values(told(*TOLD)), [1.0, np.inf, 2.0, np.inf, 3.0])


def test_a_bound_on_what_follows_from_others_is_kept(told):
    some = [{"runtime_s": 1e-3, "energy_pj": energy} for energy in (1e9, 2e9, 3e9)]
    problem = Problem.minimising(SPACE, "energy_pj", {"power_mw": 2000.0})
    np.testing.assert_allclose(problem.values(told(*some)), [1e9, 2e9, np.inf])


def test_an_objective_may_follow_from_others(told):
    problem = Problem.minimising(SPACE, "edp_pj_cycles")
    some = told({"energy_pj": 2.0, "delay_cycles": 3.0}, {"energy_pj": 1.0, "delay_cycles": 5.0})
    assert problem.values(some).tolist() == [6.0, 5.0]


def test_more_may_be_better(told):
    problem = Problem(SPACE, (Objective("utilization", "maximize"),), (Bound("runtime_s", at_most=2.0),))
    some = told(
        {"utilization": 0.5, "runtime_s": 1.0}, {"utilization": 0.8, "runtime_s": 2.0},
        {"utilization": 0.9, "runtime_s": 3.0}, None,
    )  # fmt: skip
    assert problem.values(some).tolist() == [2.0, 1.25, np.inf, np.inf]


def test_a_batch_without_any_feasible_row_is_infinite(told):
    assert np.isinf(PROBLEM.values(told(None, None))).all()


def test_an_infeasible_batch_whose_area_is_known_is_infinite_too():
    """It lacks the metric that is bounded, as only feasible designs have it."""
    failed = [replace(row, metrics={"area_mm2": 3.0}) for row in rows(None, None).to_list()]
    problem = Problem.minimising(SPACE, "area_mm2", {"runtime_s": 1.0})
    assert np.isinf(problem.values(Outcomes.of_each(failed))).all()


def test_a_bound_without_its_metric_is_refused(told):
    with pytest.raises(ArmillaryError, match="no metric 'area_mm2', which the objective bounds"):
        PROBLEM.values(told({"runtime_s": 1.0}))


def test_nothing_has_no_values():
    assert PROBLEM.values(Outcomes.of_each([])).shape == (0,)


def test_laws_tell_which_designs_may_be_proposed():
    codes = sample(edge_tpu.SPACE, 200, "random", 0)
    area = edge_tpu.area_mm2(codes)
    laws = {"area_mm2": edge_tpu.area_mm2, "runtime_s": lambda codes: codes[:, 0].astype(float)}
    exact = float(np.sort(area)[50])
    by_area = Problem.minimising(edge_tpu.SPACE, "energy_pj", {"area_mm2": exact, "power_mw": 1.0}, laws=laws)
    assert by_area.keep(codes).tolist() == (area <= exact).tolist()
    both = replace(by_area, bounds=(*by_area.bounds, Bound("runtime_s", at_least=3.0)))
    assert both.keep(codes).tolist() == ((area <= exact) & (codes[:, 0] >= 3)).tolist()


@pytest.mark.parametrize("known", [{}, {"energy_pj": lambda codes: np.ones(len(codes))}])
def test_without_a_law_of_what_is_bounded_any_design_may_be_proposed(known):
    assert replace(PROBLEM, laws=known).keep is None
    assert replace(PROBLEM, bounds=(), laws={"area_mm2": edge_tpu.area_mm2}).keep is None


def test_some_of_the_bounds_can_be_left_out():
    problem = Problem.minimising(SPACE, "runtime_s", {"area_mm2": 29.0, "energy_pj": 5.0, "power_mw": 7.0})
    some = problem.with_bounds(lambda name: name != "energy_pj")
    assert some.upper_bounds == {"area_mm2": 29.0, "power_mw": 7.0}
    assert problem.upper_bounds == {"area_mm2": 29.0, "energy_pj": 5.0, "power_mw": 7.0}
    assert replace(some, bounds=problem.bounds) == problem


def test_a_bound_from_below_is_no_upper_bound():
    assert replace(PROBLEM, bounds=(Bound("area_mm2", at_least=1.0),)).upper_bounds == {}


def test_what_is_minimised_by_default_is_runtime_without_bounds():
    workloads = (zoo.build("mobilenet_v2"),)
    problem = Problem.minimising(SPACE, workloads=workloads)
    assert (problem.metric, problem.objective.direction, problem.bounds) == ("runtime_s", "minimize", ())
    assert problem.workloads == workloads


def test_several_objectives_are_refused_where_one_is_needed():
    problem = replace(PROBLEM, objectives=(Objective("runtime_s"), Objective("energy_pj")))
    several = "the objectives runtime_s, energy_pj are several; this method takes one"
    for ask in (lambda: problem.objective, lambda: problem.metric, lambda: problem.values(rows(*TOLD))):
        with pytest.raises(ArmillaryError, match=several):
            ask()
    assert problem.satisfied(rows(*TOLD)).tolist() == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objectives": ()}, "problem on space line: no objective; name a metric to minimise"),
        ({"objectives": (Objective("speed"),)}, r"unknown metric 'speed'; choose one of \[.*'area_mm2', .*'runtime_s'"),
        ({"bounds": (Bound("heat", at_most=1.0),)}, "unknown metric 'heat'"),
        ({"laws": {"weight": len}}, "unknown metric 'weight'"),
        (
            {"bounds": (Bound("area_mm2", at_most=1.0), Bound("area_mm2", at_least=0.5))},
            "metric 'area_mm2' has two bounds; give each metric one",
        ),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ArmillaryError, match=message):
        replace(PROBLEM, **wrong)


def test_a_bound_that_is_not_allowed_is_refused():
    with pytest.raises(ArmillaryError, match="area_mm2=-1 is not allowed"):
        Problem.minimising(SPACE, "runtime_s", {"area_mm2": -1})


def test_a_problem_knows_metrics_of_its_own():
    own = {"wear": Metric("1"), "twice": Metric("1", derive=lambda m: 2 * m["wear"])}
    problem = Problem(SPACE, (Objective("twice"),), (Bound("wear", at_most=2.0),), metrics=own)
    assert problem.values(rows({"wear": 1.0}, {"wear": 3.0})).tolist() == [2.0, np.inf]
    with pytest.raises(ArmillaryError, match=r"unknown metric 'runtime_s'; choose one of \['twice', 'wear'\]"):
        replace(problem, objectives=(Objective("runtime_s"),))


def test_a_result_gets_what_is_asked_of_it_and_follows_from_it():
    problem = Problem.minimising(SPACE, "edp_pj_cycles", {"power_mw": 5.0, "area_mm2": 3.0})
    told = {"energy_pj": 4e9, "delay_cycles": 3.0, "runtime_s": 2.0, "power_mw": 7.0}
    assert problem.with_derived(told) == {**told, "edp_pj_cycles": 1.2e10}
    assert problem.with_derived({"energy_pj": 4e9, "runtime_s": 2.0}) == {
        "energy_pj": 4e9, "runtime_s": 2.0, "power_mw": 2.0,
    }  # fmt: skip
    assert problem.with_derived({}) == {}


def test_a_metric_of_the_problems_own_may_be_negative():
    problem = Problem(SPACE, (Objective("slack"),), (Bound("slack", at_most=-1.0),), metrics={"slack": Metric("ns")})
    assert problem.satisfied(rows({"slack": -2.0}, {"slack": 0.0})).tolist() == [True, False]


def test_designs_that_cannot_exist_are_never_kept():
    codes = np.arange(5)[:, None]
    odd = replace(PROBLEM, exists=lambda codes: codes[:, 0] % 2 == 1)
    assert odd.keep(codes).tolist() == [False, True, False, True, False]
    listed = replace(PROBLEM, candidates=np.array([[4], [1]]))
    assert listed.keep(codes).tolist() == [False, True, False, False, True]
    both = replace(odd, candidates=listed.candidates, laws={"area_mm2": lambda codes: 10.0 * (1 + codes[:, 0])})
    assert both.keep(codes).tolist() == [False, True, False, False, False]
    assert replace(both, bounds=(Bound("area_mm2", at_most=19.0),)).keep(codes).tolist() == [False] * 5


def test_a_rule_is_asked_only_of_designs_that_passed_the_others():
    asked = []
    problem = replace(
        PROBLEM, candidates=np.array([[2]]), exists=lambda codes: asked.append(len(codes)) or codes[:, 0] > 0
    )
    assert problem.keep(np.array([[0], [1], [2]])).tolist() == [False, False, True]
    assert asked == [3]


def test_several_objectives_have_a_column_each_and_a_row_is_usable_as_a_whole(told):
    both = replace(PROBLEM, objectives=(Objective("runtime_s"), Objective("energy_pj", "maximize")))
    some = [
        {"runtime_s": 1.0, "energy_pj": 4.0, "area_mm2": 9.0},
        None,
        {"runtime_s": 1.0, "energy_pj": 4.0, "area_mm2": 30.0},
        {"runtime_s": 1.0, "area_mm2": 9.0},
    ]
    inf = [np.inf, np.inf]
    np.testing.assert_array_equal(both.matrix(told(*some)), [[1.0, 0.25], inf, inf, inf])
    assert both.matrix(told(None, None)).tolist() == [inf, inf]
    with pytest.raises(ArmillaryError, match=r"no metric 'energy_pj', which is an objective"):
        both.matrix(told(*TOLD))
    with pytest.raises(ArmillaryError, match="are several; this method takes one"):
        both.values(told(*some))


def test_the_matrix_of_one_objective_is_its_values(told):
    np.testing.assert_array_equal(PROBLEM.matrix(told(*TOLD))[:, 0], PROBLEM.values(told(*TOLD)))
