"""Gradient descent through the cost model, beside what it starts from."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators import for_template
from armillary.hardware.templates.gemmini import SPACE, published_designs
from armillary.optimizers.dosa import Dosa, DosaCorrected
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.studies.layer_source import AnalyticalSource
from armillary.types import ArmillaryError, Fidelity
from optimizers.test_polaris import BOUND, NET, problem

SOURCE = AnalyticalSource("gemmini")


def costs(candidates, metric="edp_pj_cycles"):
    return problem(metric).values(Outcomes.of_each(BOUND.evaluate(candidates, NET)))


def descended(steps, seed, weights=(1, 1), known=()):
    return SOURCE.descended(NET, weights=weights, starts=8, steps=steps, seed=seed, known=known)


def test_descent_makes_networks_cheaper():
    gains = [costs(descended(0, seed)).min() / costs(descended(60, seed)).min() for seed in range(3)]
    assert np.median(gains) > 1.2


def test_what_it_ends_with_runs_on_the_least_memories():
    found = descended(10, 0)
    assert found
    physics = for_template("gemmini", Fidelity.ANALYTICAL)
    assert all(evaluation.feasible for evaluation in physics.evaluate(found, NET))
    table = set(SPACE.designs(published_designs()))
    for one in found:
        assert one.design in table
        assert one.design["dim"] == 16
    assert len({one.design for one in found}) > 1


def test_the_best_comes_first_by_its_own_model():
    found = descended(30, 1)
    assert costs(found).tolist() == pytest.approx(np.sort(costs(found)).tolist(), rel=1e-6)


def test_the_goal_is_what_descends():
    fast, frugal = (descended(60, 2, weights)[0] for weights in ((1, 0), (0, 1)))
    assert costs([fast], "delay_cycles")[0] <= costs([frugal], "delay_cycles")[0]
    assert costs([frugal], "energy_pj")[0] <= costs([fast], "energy_pj")[0]


def test_the_correction_learns_what_the_cost_model_gets_wrong():
    """Deep loops over C in the scratchpad are told to be far slower than the cost model says."""
    some = [one for seed in range(3) for one in descended(5, seed)]
    known = []
    for evaluation in BOUND.evaluate(some, NET):
        for run in evaluation.layers:
            slow = 4.0 if _is_slow(run.mapping) else 1.0
            known.append(replace(run, metrics={**run.metrics, "delay_cycles": slow * run.metrics["delay_cycles"]}))
    share = {
        name: np.mean([_is_slow(text) for one in descended(60, 7, known=told) for text in one.mappings.values()])
        for name, told in (("plain", ()), ("corrected", known))
    }
    assert 0 < np.mean([_is_slow(run.mapping) for run in known]) < 1
    assert share["corrected"] < share["plain"]


def _is_slow(mapping):
    outermost = mapping.split(" - ")[0]
    return " K" in outermost


def told(optimizer, amount):
    asked = []
    for _ in range(amount):
        asked += optimizer.ask(1)
        optimizer.tell(asked[-1:], Outcomes.of_each(BOUND.evaluate(asked[-1:], NET)))
    return asked


def test_the_best_of_a_descent_are_asked_and_then_the_next_descent_begins():
    class Watched:
        seeds = ()

        def descended(self, _workload, *, seed, known, **_):
            self.seeds = (*self.seeds, seed)
            self.known = known
            return descended(2, seed)

    for kind, learned in ((Dosa, 0), (DosaCorrected, 3 * len(NET.layers))):
        source = Watched()
        optimizer = kind(problem(), layers=source, kept=3)
        asked = told(optimizer, 4)
        assert len(set(source.seeds)) == 2
        assert len(source.known) == learned
        assert asked[:3] == descended(2, source.seeds[0])[:3]
        assert optimizer.recombined() == asked


def test_bounds_leave_results_out():
    few = published_designs()[[100, 2000]]
    optimizer = Dosa(replace(problem(), candidates=few), layers=SOURCE, starts=4, steps=1)
    assert {one.design for one in optimizer.ask(2)} <= set(SPACE.designs(few))


def test_same_seed_asks_the_same():
    one, two, other = (Dosa(problem(), layers=SOURCE, seed=seed, starts=4, steps=2) for seed in (3, 3, 4))
    first = one.ask(3)
    assert first == two.ask(3)
    assert first != other.ask(3)


@pytest.mark.parametrize(
    ("asked", "source", "fault"),
    [
        (problem(), None, "told of layers"),
        (Problem.minimising(SPACE, "edp_pj_cycles"), SOURCE, "maps one workload; the problem has 0"),
        (problem("dram_bytes"), SOURCE, "'dram_bytes' is not allowed"),
    ],
)
def test_what_it_cannot_do_is_refused(asked, source, fault):
    with pytest.raises(ArmillaryError, match=fault):
        Dosa(asked, layers=source)


def test_they_are_registered():
    assert {"dosa", "dosa-corrected"} <= set(optimizers.names())
