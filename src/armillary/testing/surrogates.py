"""The contract that every surrogate meets, ours and those of other packages.

Inherit from `SurrogateContract` in a test module and override the fixture `fit`:

    class TestMine(SurrogateContract):
        @pytest.fixture(scope="class")
        def fit(self):
            return lambda log, objective, seed: Mine(space=SPACE, seed=seed).fit(log, objective)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.types import ArmillaryError, Log, Objective, Surrogate
from armillary.workloads import zoo
from armillary.workloads.context import Context, context_of

Fit = Callable[[Log, Objective, int], Surrogate]
_ROWS = 6000


class SurrogateContract:
    """What holds for every surrogate fitted to random Edge TPU designs on MobileNetV2."""

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls) -> Fit:
        """A function from a log, an objective and a seed to a fitted surrogate."""
        raise NotImplementedError("override the fixture fit")

    @pytest.fixture(scope="class")
    @classmethod
    def objective(cls) -> Objective:
        """Runtime at 29 mm2."""
        return Objective("runtime_s", {"area_mm2": 29.0})

    @pytest.fixture(scope="class")
    @classmethod
    def log(cls) -> InMemoryLog:
        """A log with infeasible rows."""
        codes = sample(SPACE, _ROWS, "random", 0)
        return InMemoryLog(EdgeTpuEvaluator().evaluate_codes(codes, zoo.build("mobilenet_v2")))

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls) -> Context:
        """The workload's context."""
        return context_of(zoo.build("mobilenet_v2"))

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, fit: Fit, log: InMemoryLog, objective: Objective) -> Surrogate:
        """The surrogate, seed 7."""
        return fit(log, objective, 7)

    def test_predicts_one_of_each_per_design(self, fitted: Surrogate, context: Context) -> None:
        prediction = fitted.predict(sample(SPACE, 33, "random", 1), context)
        for column in (prediction.mean, prediction.std, prediction.p_feasible):
            assert column.shape == (33,)
            assert np.isfinite(column).all()
        assert (prediction.std >= 0).all()
        assert ((prediction.p_feasible >= 0) & (prediction.p_feasible <= 1)).all()

    def test_each_design_is_predicted_alone(self, fitted: Surrogate, context: Context) -> None:
        codes = sample(SPACE, 16, "random", 2)
        together = fitted.predict(codes, context).mean
        assert fitted.predict(codes[::-1], context).mean == pytest.approx(together[::-1], rel=1e-4)
        assert fitted.predict(codes[3:4], context).mean == pytest.approx(together[3:4], rel=1e-4)

    def test_ranks_designs_it_has_not_seen(self, fitted: Surrogate, context: Context, objective: Objective) -> None:
        rows = EdgeTpuEvaluator().evaluate_codes(sample(SPACE, _ROWS, "random", 99), zoo.build("mobilenet_v2"))
        rows = rows.select(objective.satisfied(rows))
        predicted = fitted.predict(SPACE.encode_columns(rows.design), context).mean
        truth = rows.metrics["runtime_s"]
        assert np.corrcoef(predicted.argsort().argsort(), truth.argsort().argsort())[0, 1] > 0.5

    def test_same_seed_fits_the_same(
        self, fit: Fit, fitted: Surrogate, log: InMemoryLog, objective: Objective, context: Context
    ) -> None:
        codes = sample(SPACE, 8, "random", 3)
        again = fit(log, objective, 7).predict(codes, context).mean
        assert again == pytest.approx(fitted.predict(codes, context).mean, rel=1e-6)

    def test_learns_from_feasible_rows_alone(
        self, fit: Fit, log: InMemoryLog, objective: Objective, context: Context
    ) -> None:
        rows = log.evaluations(SPACE.name)
        fitted = fit(InMemoryLog(rows.select(rows.feasible)), objective, 7)
        assert np.isfinite(fitted.predict(sample(SPACE, 4, "random", 4), context).mean).all()

    def test_refuses_a_log_without_a_feasible_row(self, fit: Fit, log: InMemoryLog, objective: Objective) -> None:
        rows = log.evaluations(SPACE.name)
        with pytest.raises(ArmillaryError, match="feasible"):
            fit(InMemoryLog(rows.select(~rows.feasible)), objective, 7)
