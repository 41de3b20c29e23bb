"""The sampler in Optuna's own studies; each fit takes seconds, so that searches are few and short."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from armillary.integrations.optuna import AutoSampler
from armillary.integrations.optuna.grid import Grid
from armillary.integrations.optuna.search import SurrogateSearch
from armillary.problems.criteria import Bound, Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Metric


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def chip(trial):
    """A delay to minimise under an area; wide chips on a bus cannot be routed."""
    rows = trial.suggest_categorical("rows", [4, 8, 16, 32, 64])
    columns = trial.suggest_int("columns", 4, 64, step=4)
    buffer = trial.suggest_int("buffer", 16, 1024, log=True)
    rate = trial.suggest_float("rate", 1, 64, log=True)
    clock = trial.suggest_float("clock", 200, 1000, step=50)
    flow = trial.suggest_categorical("flow", ["ws", "os", None])
    if trial.suggest_categorical("net", ["mesh", "bus"]) == "bus" and rows >= 32:
        raise ValueError("cannot be routed")
    trial.set_constraint("area", rows * columns * 0.002 + buffer * 0.004 + rate * 0.03 - 6)
    compute, transfer = 2e6 / (rows * columns * clock) * (1.2 if flow is None else 1), 200 / rate * (1 + 64 / buffer)
    return max(compute, transfer) + 0.2 * min(compute, transfer)


def legal(study):
    return [t.value for t in study.get_trials(states=(TrialState.COMPLETE,)) if t.constraints["area"] <= 0]


def searched(sampler, objective=chip, n=40, **more):
    study = optuna.create_study(sampler=sampler, **more)
    study.optimize(objective, n, catch=(ValueError,))
    return study


@pytest.mark.slow
def test_finds_better_designs_than_random_within_constraints_and_despite_failures():
    ratios, tried = [], []
    for seed in range(3):
        ours, random = searched(AutoSampler(seed=seed)), searched(RandomSampler(seed=seed))
        ratios.append(min(legal(ours)) / min(legal(random)))
        late = ours.trials[24:]
        tried.append(np.mean([t.state == TrialState.COMPLETE and t.constraints["area"] <= 0 for t in late]))
        assert len({tuple(t.params.items()) for t in late}) == len(late)
    assert np.median(ratios) < 0.85
    assert np.mean(tried) > 0.4  # of random designs a quarter


def test_a_maximised_value_of_any_sign_rises():
    def negative(trial):
        return -((trial.suggest_int("x", 0, 30) - 21) ** 2) - 2 * trial.suggest_int("y", 0, 30) - 1.0

    found = searched(AutoSampler(seed=0, n_startup_trials=16), negative, 24, direction="maximize").best_value
    assert found > -6  # of 961 designs, 10 are as good; 24 random ones hold one in four cases


def test_several_objectives_are_searched_for_their_front():
    def traded(trial):
        x, y = trial.suggest_int("x", 1, 40), trial.suggest_int("y", 0, 40)
        return 40 / x + y / 10, float(x)

    study = searched(AutoSampler(seed=0), traded, 60, directions=["minimize", "minimize"])
    assert sum(t.params["y"] == 0 for t in study.best_trials) >= 8  # the true front has y=0; a random draw, 1 in 41


def test_the_second_of_two_objectives_may_be_maximised():
    def traded(trial):
        x, y = trial.suggest_int("x", 1, 40), trial.suggest_int("y", 0, 40)
        return float(x), x / 10 + y

    study = searched(AutoSampler(seed=0), traded, 50, directions=["minimize", "maximize"])
    assert sum(t.params["y"] == 40 for t in study.trials[20:]) >= 10


def test_draws_at_random_before_there_are_enough_trials():
    def ours(trial):
        return trial.suggest_int("x", 0, 1000)

    drawn = [t.params for t in searched(AutoSampler(seed=4, n_startup_trials=12), ours, 12).trials]
    assert drawn == [t.params for t in searched(RandomSampler(seed=4), ours, 12).trials]


def test_parameters_that_come_and_go_are_drawn_at_random():
    def conditional(trial):
        x = trial.suggest_int("x", 0, 9)
        return x + (trial.suggest_float("only", 0, 1) if trial.suggest_categorical("k", ["a", "b"]) == "a" else 0.5)

    assert len(searched(AutoSampler(seed=0), conditional, 24).trials) == 24


def test_a_small_space_that_is_exhausted_goes_on():
    def ours(trial):
        return trial.suggest_int("x", 0, 3) + trial.suggest_int("y", 0, 2) * 1.0

    study = searched(AutoSampler(seed=0, n_startup_trials=10), ours, 18)
    assert len({tuple(t.params.items()) for t in study.trials}) == 12
    assert study.best_value == 0


def test_designs_that_run_elsewhere_are_not_asked_again():
    storage = InMemoryStorage()
    there = searched(
        AutoSampler(seed=0), lambda t: t.suggest_int("x", 0, 20) + t.suggest_int("y", 0, 9) * 1.0, 20, storage=storage
    )
    elsewhere = optuna.load_study(study_name=there.study_name, storage=storage, sampler=AutoSampler(seed=0))
    space = {"x": IntDistribution(0, 20), "y": IntDistribution(0, 9)}
    asked = [tuple(study.ask(space).params.values()) for study in (there, elsewhere) for _ in range(3)]
    assert len(set(asked)) == 6


def test_the_best_of_a_maximised_value_is_the_greatest_within_the_constraint():
    space = Space("toy", (Parameter("x", tuple(range(9)), "ordinal"),))
    metrics = {"value": Metric("1"), "limit": Metric("1")}
    problem = Problem(space, (Objective("value", "maximize"),), (Bound("limit", at_most=0),), metrics=metrics)
    search = SurrogateSearch(problem, seed=0, initial=10, refit=0.2)
    told = {"value": np.array([-5.0, -1.0, -3.0, 7.0, np.nan]), "limit": np.array([0.0, 0.0, -1.0, 1.0, np.nan])}
    search.tell_codes(np.arange(5)[:, None], Outcomes(told, np.array([True, True, True, True, False])))
    assert search.best_codes.tolist() == [1]
    assert search.best_value == 1.0  # what is minimised is its negative


def test_more_objectives_than_four_are_refused():
    study = optuna.create_study(directions=["minimize"] * 5, sampler=AutoSampler())
    with pytest.raises(ArmillaryError, match="has 5 objectives; the sampler takes at most 4"):
        study.ask({"x": IntDistribution(0, 3)})


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ArmillaryError, match="n_startup_trials=3 is not allowed; it must be at least 10"):
        AutoSampler(n_startup_trials=3)
    with pytest.raises(ArmillaryError, match=r"refit=-1 is not allowed"):
        AutoSampler(refit=-1)


GRID = {
    "kind": CategoricalDistribution(["a", None, 3]),
    "whole": IntDistribution(2, 11, step=3),
    "ratio": IntDistribution(1, 10**6, log=True),
    "share": FloatDistribution(0.1, 0.5, step=0.1),
    "rate": FloatDistribution(1, 1000, log=True),
}


def test_a_grid_holds_exactly_the_values_of_steps_and_categories():
    grid = Grid.of(GRID)
    assert grid.values[0] == ("a", None, 3)
    assert grid.values[1] == (2, 5, 8, 11)
    assert grid.values[3] == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert [p.kind for p in grid.space.parameters] == ["categorical", "ordinal", "cardinal", "ordinal", "cardinal"]


def test_a_grid_spreads_what_is_continuous_evenly_in_its_scale():
    rates = np.array(Grid.of(GRID).values[4])
    assert (rates[0], rates[-1], len(rates)) == (1, 1000, 33)
    assert np.allclose(rates[1:] / rates[:-1], 1000 ** (1 / 32))
    ratios = Grid.of(GRID).values[2]
    assert (ratios[0], ratios[-1]) == (1, 10**6)
    assert all(isinstance(value, int) for value in ratios)


def test_every_design_of_a_grid_is_what_optuna_allows_and_comes_back_the_same():
    grid = Grid.of(GRID)
    for codes in np.random.default_rng(0).integers(0, grid.space.cardinalities, size=(50, 5)):
        trial = create_trial(value=1.0, params=grid.params(codes), distributions=GRID)  # which checks them
        assert grid.codes(trial).tolist() == codes.tolist()


def test_a_trial_of_another_range_is_no_design_of_the_grid():
    grid = Grid.of({"x": IntDistribution(0, 9)})
    other = create_trial(value=1.0, params={"x": 3}, distributions={"x": IntDistribution(0, 5)})
    assert grid.codes(other) is None
