"""The humblest baseline: what the closed form ranks is simulated in that order."""

from dataclasses import replace

import numpy as np
import pytest

from armillary import optimizers
from armillary.evaluators.recording import record
from armillary.hardware.templates.gemmini import SPACE
from armillary.optimizers.closed_form import ClosedForm
from armillary.optimizers.design_table import DesignTable, nearest
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.studies.layer_source import AnalyticalSource
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError, Candidate, Failure, LayerRun
from optimizers.test_polaris import BOUND, NET, SMALL

BEST = {"dim": 16, "scratchpad_kib": 128, "accumulator_kib": 32}


class Ranks:
    """A closed form by which one design is best, and no array of 4 can run anything."""

    def __init__(self):
        self.judged = []

    def networks(self, designs, workload, *_, **__):
        self.judged += designs
        return [self._judge(design, workload) for design in designs]

    def _judge(self, design, workload):
        failure = Failure("infeasible", "mapping") if design["dim"] == 4 else None
        layers = [LayerRun(design, use.layer, f"L0 P{use.layer.P}", {}) for use in workload.layers]
        metrics = (
            {}
            if failure
            else {
                "delay_cycles": self.value(design),
                "runtime_s": self.value(design),
                "energy_pj": 1.0,
                "area_mm2": 1.0,
            }
        )
        return record(BOUND.spec, _candidate(design), workload, metrics, failure, seconds=0.0, layers=layers)

    def value(self, design):
        return 100.0 + sum(abs(np.log2(design[name] / most)) for name, most in BEST.items())


def _candidate(design):
    return Candidate(design)


class TestClosedForm(OptimizerContract):
    @pytest.fixture
    def space(self):
        return SMALL

    @pytest.fixture
    def make(self, problem):
        asked = replace(problem, workloads=(NET,))
        return lambda seed: ClosedForm(asked, layers=Ranks(), seed=seed, first=8, near=8)


def problem(metric="edp_pj_cycles", **more):
    return replace(Problem.minimising(SPACE, metric, workloads=(NET,)), **more)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_the_table_comes_first_and_the_others_in_order(seed):
    source = Ranks()
    optimizer = ClosedForm(problem(), layers=source, seed=seed)
    values = [source.value(one.design) for one in optimizer.ask(12)]
    assert values == sorted(values)
    assert values[0] < 102.0  # of 100 to 112
    assert len(source.judged) == len(set(source.judged)) < 100


def test_candidates_bring_the_mappings_that_were_judged():
    (candidate,) = ClosedForm(problem(), layers=Ranks()).ask(1)
    assert candidate.mappings == {use.layer.name: f"L0 P{use.layer.P}" for use in NET.layers}


def test_what_cannot_run_is_judged_but_not_asked():
    source = Ranks()
    asked = ClosedForm(problem(), layers=source, first=40).ask(20)
    assert 4 in {design["dim"] for design in source.judged}
    assert 4 not in {one.design["dim"] for one in asked}


def test_more_are_judged_before_much_worse_ones_are_asked():
    class Steep(Ranks):
        def value(self, design):
            return np.exp(super().value(design) - 100.0)

    optimizer = ClosedForm(problem(), layers=Steep(), first=16, near=8)
    values = [optimizer._source.value(optimizer.ask(1)[0].design) for _ in range(10)]
    judged = sorted(map(optimizer._source.value, optimizer._source.judged))
    assert max(values) < judged[20]


def test_it_judges_few_designs_more_than_are_asked_for():
    """A design costs the mapper more than its simulation takes."""
    optimizer = ClosedForm(problem(), layers=Ranks(), first=8, near=8)
    for asked in range(1, 61):
        optimizer.ask(1)
        assert len(optimizer._source.judged) < max(8 + 2 * 8, 2 * asked) + 8


def test_bounds_known_beforehand_leave_designs_out():
    few = DesignTable(SPACE).codes[[5, 600, 2999]]
    source = Ranks()
    optimizer = ClosedForm(problem(candidates=few), layers=source)
    assert {one.design for one in optimizer.ask(2)} <= set(SPACE.designs(few))
    assert set(source.judged) == set(SPACE.designs(few))


def test_those_that_ran_are_recombined_as_they_were():
    optimizer = ClosedForm(problem(), layers=Ranks())
    asked = optimizer.ask(3)
    metrics = {"delay_cycles": np.array([3.0, np.nan, 2.0]), "energy_pj": np.ones(3)}
    feasible = np.array([True, False, True])
    optimizer.tell(asked, Outcomes(metrics, feasible, (None, Failure("infeasible", "mapping"), None)))
    assert optimizer.recombined() == [asked[0], asked[2]]


def test_the_analytical_evaluator_judges_with_its_physics():
    source = AnalyticalSource("gemmini")
    designs = SPACE.designs(DesignTable(SPACE).codes[[700, 2000]])
    found = source.networks(designs, NET, "delay_cycles", searched=200, seed=1)
    assert [one.design for one in found] == designs
    assert all(dict(one.options)["choice"] == "physics" and dict(one.options)["goal"] == "delay" for one in found)
    assert all({run.layer.name for run in one.layers} == {use.layer.name for use in NET.layers} for one in found)


@pytest.mark.parametrize(
    ("asked", "source", "fault"),
    [
        (problem(), None, "told of layers"),
        (Problem.minimising(SPACE, "edp_pj_cycles"), Ranks(), "maps one workload; the problem has 0"),
    ],
)
def test_what_it_cannot_do_is_refused(asked, source, fault):
    with pytest.raises(ArmillaryError, match=fault):
        ClosedForm(asked, layers=source)


def test_the_table_spans_the_unit_cube():
    table = DesignTable(SPACE)
    places = table.places(table.codes)
    assert len(places) == 4096
    assert places.min(axis=0).tolist() == [0, 0, 0]
    assert places.max(axis=0).tolist() == [1, 1, 1]
    assert nearest(places[5:9] + 1e-3, places).tolist() == [5, 6, 7, 8]
    corners = np.array([[0.5, 0.25, 0.0], [0.6, 0.0, 0.0]])  # by the L2 norm the first is nearer
    assert nearest(np.zeros((1, 3)), corners).tolist() == [1]


def test_it_is_registered():
    assert optimizers.load("closed-form") is ClosedForm
