from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.hardware.templates import edge_tpu
from armillary.optimizers.front_models import FrontModels, Known, learned
from armillary.optimizers.model_based import ordered_features
from armillary.optimizers.pareto import Pareto
from armillary.optimizers.qnehvi import Qnehvi
from armillary.optimizers.random_search import RandomSearch
from armillary.optimizers.several import boxes, expected_gain
from armillary.problems.criteria import Objective
from armillary.problems.pareto import hypervolume
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.testing.optimizers import SeveralObjectivesContract, dominated_volume
from armillary.types import ArmillaryError, Candidate

LINES = Space("lines", tuple(Parameter(f"p{i}", tuple(range(12))) for i in range(5)))
TRADE = Problem(LINES, (Objective("runtime_s"), Objective("energy_pj"), Objective("power_mw")))


class TestPareto(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: Pareto(problem, seed=seed, initial=10, refit=1.0)


class TestQnehvi(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: Qnehvi(problem, seed=seed, initial=24, refit=1.0, samples=2)


@pytest.mark.parametrize(
    ("kind", "amount", "times"),
    [
        (partial(Pareto, initial=24), 80, 4),
        pytest.param(partial(Qnehvi, initial=24, refit=0.3, samples=4), 56, 2, marks=pytest.mark.slow),
    ],
    ids=["pareto", "qnehvi"],
)
def test_dominates_more_than_random_search_does_with_more_evaluations(kind, amount, times):
    """In the mean of two seeds more than random search in the best of three."""
    ours = [dominated_volume(kind(TRADE, seed=seed), TRADE, amount) for seed in range(2)]
    random = [dominated_volume(RandomSearch(TRADE, seed=seed), TRADE, times * amount) for seed in range(3)]
    assert np.mean(ours) > max(random)


def points(objectives):
    return st.lists(st.tuples(*[st.integers(0, 6)] * objectives), min_size=1, max_size=8)


@settings(deadline=None)  # the first call loads torch
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(points(n), st.tuples(*[st.integers(0, 6)] * n))))
def test_what_is_certain_gains_the_hypervolume_that_it_adds(drawn):
    values, new = np.array(drawn[0], dtype=float), np.array([drawn[1]], dtype=float)
    reference = np.full(values.shape[1], 5.0)
    cells = boxes(values, reference)
    added = hypervolume(np.concatenate([values, new]), reference) - hypervolume(values, reference)
    assert expected_gain(new, np.zeros(new.shape), cells) == pytest.approx([added], abs=1e-6)


def test_what_is_uncertain_gains_the_mean_of_what_it_may_add():
    values, reference = np.array([[1.0, 3.0, 2.0], [3.0, 1.0, 1.0]]), np.full(3, 4.0)
    mean, deviation = np.array([[2.0, 2.0, 2.5]]), np.array([[0.5, 1.0, 0.0]])
    drawn = mean + deviation * np.random.default_rng(0).standard_normal((4000, 3))
    base = hypervolume(values, reference)
    added = np.mean([hypervolume(np.concatenate([values, row[None]]), reference) - base for row in drawn])
    assert expected_gain(mean, deviation, boxes(values, reference)) == pytest.approx([added], rel=0.05)


def test_a_law_is_known_and_not_learned():
    """Of the area there is nothing to learn, so no model of it errs and a search never doubts it."""
    problem = replace(edge_tpu.TEMPLATE.problem(), objectives=(Objective("runtime_s"), Objective("area_mm2")))
    search = Pareto(problem, seed=0, initial=20)
    codes = search.ask_codes(20)
    search.tell_values(codes, np.stack([1.0 + codes.sum(axis=1), edge_tpu.area_mm2(codes)], axis=1))
    asked = search.ask_codes(8)
    mean, deviation = search._models.marginal(asked)
    np.testing.assert_allclose(np.exp(mean[:, 1]), edge_tpu.area_mm2(asked))
    assert not deviation[:, 1].any()
    assert deviation[:, 0].all()


def test_of_alike_designs_the_one_with_the_chance_to_be_feasible_is_chosen():
    """Half of the space is infeasible; what is learned keeps a batch out of it though it cannot be known."""
    search = Pareto(TRADE, seed=0, initial=40)
    codes = search.ask_codes(40)
    values = np.stack([2.0 + codes.sum(axis=1), 100.0 - codes.sum(axis=1), 1.0 + codes[:, 1]], axis=1)
    values[codes[:, 0] > 5] = np.inf
    search.tell_values(codes, values)
    assert (search.ask_codes(16)[:, 0] <= 6).mean() > 0.8


def test_a_batch_spreads_over_the_front():
    search = Pareto(TRADE, seed=0, initial=30)
    codes = search.ask_codes(30)
    search.tell_values(codes, np.stack([2.0 + codes.sum(axis=1), 100.0 - codes.sum(axis=1), 1.0 + codes[:, 1]], axis=1))
    sums = search.ask_codes(12).sum(axis=1)
    assert len(set(sums.tolist())) >= 6
    assert sums.max() - sums.min() > 20


def test_a_design_that_is_being_evaluated_is_not_chosen_beside_another_like_it():
    """Fantasies of what is pending leave little to gain near it; without them the same place would be asked again."""

    def next_one(heeded):
        search = Qnehvi(TRADE, seed=0, initial=24, samples=32)
        codes = search.ask_codes(24)
        sums = codes.sum(axis=1)
        search.tell_values(codes, np.stack([2.0 + sums, 100.0 - sums, 1.0 + codes[:, 1]], axis=1))
        search.heed([Candidate(design) for design in LINES.designs(heeded)])
        return search.ask_codes(1)

    first = next_one(np.empty((0, 5), dtype=np.int64))
    assert next_one(first).tolist() != first.tolist()


def test_the_joint_and_the_marginal_expectations_agree():
    codes = RandomSearch(TRADE, seed=0).ask_codes(40)
    features = lambda codes: ordered_features(LINES, codes)  # noqa: E731
    law = Known(lambda codes: codes[:, 0].astype(float))
    models = FrontModels([learned(features, codes, np.log(1.0 + codes.sum(axis=1))), law])
    mean, deviation = models.marginal(codes)
    jointly, covariance = models.joint(codes)
    np.testing.assert_allclose(mean, jointly, atol=1e-6)
    np.testing.assert_allclose(deviation**2, covariance.diagonal(axis1=1, axis2=2).T, atol=1e-6)
    assert models.chance(codes).tolist() == [1.0] * 40


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(ArmillaryError, match="initial=0 must be at least 1, refit=-1 at least 0 and rows=1 at least 2"):
        Pareto(TRADE, initial=0, refit=-1, rows=1)
    with pytest.raises(ArmillaryError, match="samples=0 must be at least 1"):
        Qnehvi(TRADE, samples=0)
