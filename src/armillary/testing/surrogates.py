"""The contract that every surrogate meets, ours and those of other packages.

Inherit from `SurrogateContract` in a test module and override the fixture `fit`. It learns from random Edge TPU
designs on MobileNetV2; a surrogate of other designs overrides `problem`, `log`, `unseen` and `context`, too:

    class TestMine(SurrogateContract):
        @pytest.fixture(scope="class")
        def fit(self):
            return lambda log, problem, seed: Mine(space=problem.space, seed=seed).fit(log, problem)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError, Evaluations, Log, Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import Context, context_of

Fit = Callable[[Log, Problem, int], Surrogate]
_ROWS = 6000
_FEWEST_RANKED = 0.5


class SurrogateContract:
    """What holds for every surrogate."""

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls) -> Fit:
        """A function from a log, a problem and a seed to a fitted surrogate."""
        raise NotImplementedError("override the fixture fit")

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls) -> Problem:
        """What is learned: runtime at 29 mm2."""
        return TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls) -> InMemoryLog:
        """A log with infeasible rows."""
        codes = sample(SPACE, _ROWS, "random", 0)
        return InMemoryLog(EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2")))

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls) -> Evaluations:
        """Rows of other designs."""
        codes = sample(SPACE, _ROWS, "random", 99)
        return EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls) -> Context:
        """The workload's context."""
        return context_of(zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, fit: Fit, log: InMemoryLog, problem: Problem) -> Surrogate:
        """The surrogate, seed 7."""
        return fit(log, problem, 7)

    def test_predicts_one_of_each_per_design(self, fitted: Surrogate, problem: Problem, context: Context) -> None:
        prediction = fitted.predict(sample(problem.space, 33, "random", 1), context)
        for column in (prediction.mean, prediction.std, prediction.p_feasible):
            assert column.shape == (33,)
            assert np.isfinite(column).all()
        assert (prediction.std >= 0).all()
        assert ((prediction.p_feasible >= 0) & (prediction.p_feasible <= 1)).all()

    def test_each_design_is_predicted_alone(self, fitted: Surrogate, problem: Problem, context: Context) -> None:
        codes = sample(problem.space, 16, "random", 2)
        together = fitted.predict(codes, context).mean
        assert fitted.predict(codes[::-1], context).mean == pytest.approx(together[::-1], rel=1e-4)
        assert fitted.predict(codes[3:4], context).mean == pytest.approx(together[3:4], rel=1e-4)

    def test_ranks_designs_it_has_not_seen(
        self, fitted: Surrogate, context: Context, problem: Problem, unseen: Evaluations
    ) -> None:
        rows = unseen.select(problem.satisfied(unseen))
        predicted = fitted.predict(problem.space.encode_columns(rows.design), context).mean
        truth = problem.values(rows)
        assert np.corrcoef(predicted.argsort().argsort(), truth.argsort().argsort())[0, 1] > _FEWEST_RANKED

    def test_same_seed_fits_the_same(
        self, fit: Fit, fitted: Surrogate, log: InMemoryLog, problem: Problem, context: Context
    ) -> None:
        codes = sample(problem.space, 8, "random", 3)
        again = fit(log, problem, 7).predict(codes, context).mean
        assert again == pytest.approx(fitted.predict(codes, context).mean, rel=1e-6)

    def test_learns_from_feasible_rows_alone(
        self, fit: Fit, log: InMemoryLog, problem: Problem, context: Context
    ) -> None:
        rows = log.evaluations(problem.space.name)
        fitted = fit(InMemoryLog(rows.select(rows.feasible)), problem, 7)
        assert np.isfinite(fitted.predict(sample(problem.space, 4, "random", 4), context).mean).all()

    def test_refuses_a_log_without_a_feasible_row(self, fit: Fit, log: InMemoryLog, problem: Problem) -> None:
        rows = log.evaluations(problem.space.name)
        with pytest.raises(ArmillaryError, match="feasible"):
            fit(InMemoryLog(rows.select(~rows.feasible)), problem, 7)
