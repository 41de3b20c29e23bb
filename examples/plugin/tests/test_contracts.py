"""What Armillary asks of every template's evaluator, optimizer and surrogate, and what is the ring's own."""

import numpy as np
import pytest

from armillary import evaluators
from armillary.execution.local import evaluated_codes
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.testing.evaluators import EvaluatorContract
from armillary.testing.optimizers import OptimizerContract
from armillary.testing.surrogates import SavableContract, SurrogateContract
from armillary.types import AccidentError, Candidate, Fidelity
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from ring_accelerator.climb import Climb
from ring_accelerator.ridge import KIND, OneHotRidge
from ring_accelerator.template import SPACE, TEMPLATE

WORKLOAD = zoo.build("mobilenet_v2")


def logged(samples, seed):
    spec = evaluators.spec_of("ring", Fidelity.ANALYTICAL)
    return evaluated_codes(spec, SPACE, sample(SPACE, samples, "random", seed), WORKLOAD)


class TestRing(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, monkeypatch):
        monkeypatch.setenv("RING_REPAIRED", "1")
        monkeypatch.delenv("RING_TRIES", raising=False)
        return evaluators.for_template("ring", Fidelity.ANALYTICAL, {"clock_mhz": 900})

    @pytest.fixture
    def space(self):
        return SPACE

    @pytest.fixture
    def workload(self):
        return WORKLOAD

    @pytest.fixture
    def laws(self):
        return TEMPLATE.laws

    @pytest.fixture
    def size(self):
        return 60

    def test_a_faster_clock_is_faster_in_proportion(self, evaluator, candidates, workload):
        slower = evaluators.for_template("ring", Fidelity.ANALYTICAL, {"clock_mhz": 450})
        for fast, slow in zip(*(e.evaluate(candidates, workload) for e in (evaluator, slower)), strict=True):
            if fast.feasible:
                assert slow.metrics["runtime_s"] == pytest.approx(2 * fast.metrics["runtime_s"])


class TestClimb(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Climb(problem, seed=seed)


class TestClimbOnTheRing(TestClimb):
    @pytest.fixture
    def space(self):
        return SPACE


class TestOneHotRidge(SurrogateContract, SavableContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: OneHotRidge(space=SPACE, seed=seed).fit(log, problem)

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return KIND

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        return TEMPLATE.problem("runtime_s", {"leakage_mw": 200.0, "wire_mm": 4000.0})

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls):
        return InMemoryLog(logged(800, 0))

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls):
        return logged(800, 99)

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls):
        return context_of(WORKLOAD)

    def test_tells_what_is_within_a_bound_that_no_law_tells(self, fitted, problem, context, unseen):
        rows = unseen.select(unseen.settled())
        good = problem.with_bounds(lambda metric: metric != "wire_mm").satisfied(rows)
        likely = fitted.predict(SPACE.encode_columns(rows.design), context).p_feasible
        assert np.mean((likely > 0.5) == good) > 0.8
        assert 0.1 < good.mean() < 0.9


def test_climb_keeps_to_what_the_law_tells_and_finds_better_than_chance():
    problem = TEMPLATE.problem("runtime_s", {"wire_mm": 500.0})
    spec, search, best = evaluators.spec_of("ring", Fidelity.ANALYTICAL), Climb(problem, seed=3), np.inf
    for _ in range(20):
        asked = search.ask(5)
        codes = SPACE.encode([candidate.design for candidate in asked])
        assert TEMPLATE.laws["wire_mm"](codes).max() <= 500.0
        rows = evaluated_codes(spec, SPACE, codes, WORKLOAD)
        search.tell(asked, rows)
        best = min(best, problem.values(rows).min())
    assert best < np.quantile(problem.values(logged(400, 1)), 0.02)


def test_a_killed_simulator_is_an_accident(monkeypatch, tmp_path):
    monkeypatch.setenv("RING_TRIES", str(tmp_path))
    values = {"stations": 24, "lanes": 8, "buffer_bytes": 65536, "link_bytes": 32, "cells": "standard"}
    candidate = Candidate(SPACE.design_from(values, "the test"))
    evaluator = evaluators.for_template("ring", Fidelity.ANALYTICAL)
    with pytest.raises(AccidentError, match="SIGKILL"):
        evaluator.evaluate([candidate], WORKLOAD)
    assert evaluator.evaluate([candidate], WORKLOAD)[0].feasible
