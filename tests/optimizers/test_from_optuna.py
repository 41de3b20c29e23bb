from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from armillary.optimizers.from_optuna import Motpe, Nsga2, distributions_of, violations
from armillary.optimizers.random_search import RandomSearch
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import SeveralObjectivesContract, bowl, evaluation
from armillary.types import ArmillaryError, Failure

LINES = Space("lines", tuple(Parameter(f"p{i}", tuple(range(20))) for i in range(6)))
TRADE = Problem(LINES, (Objective("runtime_s"), Objective("energy_pj"), Objective("power_mw")))


class TestNsga2(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: Nsga2(problem, seed=seed, population=8)


class TestMotpe(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: Motpe(problem, seed=seed, initial=5)


def least_after(optimizer, amount=320):
    """The least runtime of `bowl` after so many evaluations."""
    least = np.inf
    for _ in range(amount // 8):
        asked = optimizer.ask(8)
        told = bowl(asked, LINES)
        optimizer.tell(asked, told)
        least = min(least, told.metrics["runtime_s"].min())
    return least


@pytest.mark.parametrize("kind", [partial(Nsga2, population=20), Motpe])
def test_finds_what_is_better_than_random_search(kind):
    """In the mean of three seeds by a third of the distance from the best; so values are told with the right sign."""
    problem = replace(TRADE, objectives=TRADE.objectives[:1])
    ours, random = (
        np.mean([least_after(make(problem, seed=seed)) - 1 for seed in range(3)]) for make in (kind, RandomSearch)
    )
    assert ours < 2 / 3 * random


def test_values_with_an_order_are_numbers_and_names_are_categories():
    space = Space("two", (Parameter("width", (1, 2, 4)), Parameter("order", ("row", "column"), kind="categorical")))
    assert distributions_of(space) == {"width": IntDistribution(0, 2), "order": CategoricalDistribution((0, 1))}


def test_the_nearer_a_design_is_to_its_bounds_the_less_it_breaks_them():
    problem = replace(TRADE, bounds=(Bound("area_mm2", at_least=2.0, at_most=10.0),))
    whole = {"runtime_s": 1.0, "energy_pj": 1.0, "power_mw": 1.0}
    designs = LINES.designs(np.arange(6)[:, None] * np.ones((1, 6), dtype=np.int64))
    rows = [
        evaluation(d, {**whole, "area_mm2": a}) for d, a in zip(designs, (5.0, 10.0, 11.0, 20.0, 1.0), strict=False)
    ]
    told = Outcomes.of_each([*rows, evaluation(designs[5], None)])
    expected = [0.0, 0.0, np.log(1.1), np.log(2.0), np.log(2.0), 1.0]
    np.testing.assert_allclose(violations(problem, told), expected)


def test_a_design_that_lacks_more_breaks_more():
    lacking = [Failure("infeasible", "kib", needed=needed, available=4.0) for needed in (8.0, 40.0)]
    told = Outcomes({}, np.zeros(3, dtype=bool), (*lacking, Failure("error", detail="broke")))
    np.testing.assert_allclose(violations(TRADE, told), [1 + np.log(2.0), 1 + np.log(10.0), 1.0])


def test_a_feasible_design_without_the_metric_breaks_its_constraint():
    designs = LINES.designs(np.arange(2)[:, None] * np.ones((1, 6), dtype=np.int64))
    whole = {"runtime_s": 1.0, "energy_pj": 1.0, "power_mw": 1.0}
    told = Outcomes.of_each([evaluation(designs[0], whole), evaluation(designs[1], {"runtime_s": 1.0})])
    assert violations(TRADE, told).tolist() == [0.0, 1.0]


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(ArmillaryError, match="population=1 must be at least 2"):
        Nsga2(TRADE, population=1)
    with pytest.raises(ArmillaryError, match="initial=0 must be at least 1"):
        Motpe(TRADE, initial=0)
