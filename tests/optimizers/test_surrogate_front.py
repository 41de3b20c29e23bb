from dataclasses import dataclass, replace

import numpy as np
import pytest

from armillary.optimizers.surrogate_front import (
    Expected,
    expected_front,
    learned_metrics,
    motpe_on,
    nearest_to_bounds,
)
from armillary.problems.criteria import Bound, Objective
from armillary.problems.pareto import hypervolume
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter, Space
from armillary.types import ArmillaryError, Prediction

SPACE = Space("grid", tuple(Parameter(f"p{i}", tuple(range(10))) for i in range(4)))
PROBLEM = Problem(SPACE, (Objective("energy_j"), Objective("area_mm2")), (Bound("power_mw", at_most=30.0),))


@dataclass(frozen=True)
class Told:
    """A surrogate that knows its metric, with a deviation and a chance to be feasible."""

    of: object
    deviation: float = 0.0
    chance: object = None

    def fit(self, log, problem):  # noqa: ARG002
        return self

    def predict(self, codes, context=None):  # noqa: ARG002
        mean = np.asarray(self.of(codes), dtype=float)
        chance = np.ones(len(codes)) if self.chance is None else self.chance(codes)
        return Prediction(mean, np.full(len(codes), self.deviation), chance)


def energy(codes):
    return 1.0 + codes[:, 0] + (codes[:, 2] - 5) ** 2


def area(codes):
    return 10.0 - codes[:, 0] + (codes[:, 3] - 3) ** 2


def power(codes):
    return 20.0 + 2.0 * codes[:, 1]


MODELS = {"energy_j": Told(energy), "area_mm2": Told(area), "power_mw": Told(power)}


def test_what_is_learned_are_goals_and_bounds_that_no_law_tells():
    assert list(learned_metrics(PROBLEM)) == ["energy_j", "area_mm2", "power_mw"]
    known = replace(PROBLEM, laws={"area_mm2": area})
    assert list(learned_metrics(known)) == ["energy_j", "power_mw"]
    least = replace(PROBLEM, bounds=(Bound("throughput_mhz", at_least=3.0),))
    assert learned_metrics(least)["throughput_mhz"].direction == "maximize"


def test_the_front_is_found_within_the_bounds():
    """At few predictions nearly all of the volume of the true front, and no design out of bounds on it."""
    visited = motpe_on(Expected(MODELS, PROBLEM), PROBLEM, trials=160, seed=1)
    found = visited.select(expected_front(visited, PROBLEM))
    assert (power(found.codes) <= 30.0).all()
    every = SPACE.at(np.arange(SPACE.size))
    reference = np.log([40.0, 40.0])
    volumes = [hypervolume(np.log(np.stack([energy(c), area(c)], axis=1)), reference) for c in (found.codes, every)]
    assert volumes[0] >= 0.97 * volumes[1]


def test_the_same_seed_visits_the_same_and_each_design_once():
    one, two = (motpe_on(Expected(MODELS, PROBLEM), PROBLEM, trials=64, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.codes, two.codes)
    assert len(np.unique(one.codes, axis=0)) == len(one.codes)
    np.testing.assert_array_equal(one.expected.metrics["energy_j"], energy(one.codes))


def test_designs_to_start_with_are_visited():
    start = np.array([[1, 2, 3, 4], [1, 2, 3, 4], [9, 9, 9, 9]])
    visited = motpe_on(Expected(MODELS, PROBLEM), PROBLEM, trials=32, start=start)
    assert {(1, 2, 3, 4), (9, 9, 9, 9)} <= set(map(tuple, visited.codes.tolist()))


def test_caution_takes_each_metric_for_worse():
    unsure = {name: replace(model, deviation=2.0) for name, model in MODELS.items()}
    codes = np.array([[6, 5, 5, 3]])
    plain, cautious = (Expected(unsure, PROBLEM, caution=caution)(codes) for caution in (0.0, 1.5))
    assert cautious.metrics["energy_j"] == plain.metrics["energy_j"] + 3.0
    assert np.isfinite(PROBLEM.matrix(plain)).all()
    assert np.isinf(PROBLEM.matrix(cautious)).all()  # 30 mW is the bound
    more = replace(PROBLEM, objectives=(Objective("energy_j", "maximize"),))
    assert Expected(unsure, more, caution=1.5)(codes).metrics["energy_j"] == plain.metrics["energy_j"] - 3.0


def test_what_is_hardly_feasible_is_on_no_front():
    even = Told(energy, chance=lambda codes: np.where(codes[:, 0] % 2, 0.4, 0.9))
    visited = motpe_on(Expected({**MODELS, "energy_j": even}, PROBLEM), PROBLEM, trials=96)
    found = visited.codes[expected_front(visited, PROBLEM)]
    assert len(found)
    assert (found[:, 0] % 2 == 0).all()


def test_the_chance_counts_feasibility_and_bounds():
    unsure = {**MODELS, "power_mw": Told(power, 2.0, lambda codes: np.full(len(codes), 0.5))}
    expected = Expected(unsure, PROBLEM)
    codes = np.array([[0, 5, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]])
    chance = expected.chance(expected.predictions(codes), codes)
    np.testing.assert_allclose(chance, [0.25, 0.5 * 0.841345, 0.5], rtol=1e-5)


def test_where_no_design_keeps_to_the_bounds_the_nearest_come_first():
    tight = replace(PROBLEM, bounds=(Bound("power_mw", at_most=10.0),))
    visited = motpe_on(Expected(MODELS, tight), tight, trials=64)
    assert not len(expected_front(visited, tight))
    nearest = visited.codes[nearest_to_bounds(visited, tight)]
    assert (np.diff(nearest[:, 1]) >= 0).all()


def test_what_is_missing_is_named():
    with pytest.raises(
        ArmillaryError, match=r"metric 'power_mw' has no surrogate; there are \['area_mm2', 'energy_j'\]"
    ):
        Expected({name: MODELS[name] for name in ("energy_j", "area_mm2")}, PROBLEM)
    with pytest.raises(ArmillaryError, match=r"caution=-1.0 is not allowed"):
        Expected(MODELS, PROBLEM, caution=-1.0)
