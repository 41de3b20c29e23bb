"""The contract that every evaluator meets, ours and those of other packages.

Inherit from `EvaluatorContract` in a test module and override the fixtures `evaluator`, `space` and `workload`.
"""

from __future__ import annotations

import numpy as np
import pytest

from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.types import METRICS, EvaluatesBatches, Evaluation, Evaluator
from armillary.workloads.layer import Workload

_DESIGNS = 40


def told(evaluation: Evaluation) -> tuple[object, ...]:
    """Return what an evaluation says, without when and how long."""
    return (evaluation.design, evaluation.feasible, dict(evaluation.metrics), str(evaluation.failure))


class EvaluatorContract:
    """What holds for every evaluator."""

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        """The evaluator."""
        raise NotImplementedError("override the fixture evaluator")

    @pytest.fixture
    def space(self) -> Space:
        """The space of its designs."""
        raise NotImplementedError("override the fixture space")

    @pytest.fixture
    def workload(self) -> Workload:
        """A workload it can evaluate."""
        raise NotImplementedError("override the fixture workload")

    def test_answers_every_design_in_order(self, evaluator: Evaluator, space: Space, workload: Workload) -> None:
        designs = space.designs(sample(space, _DESIGNS, "random", 1))
        answers = evaluator.evaluate(designs, workload)
        assert [a.design for a in answers] == designs
        for answer in answers:
            assert (answer.evaluator, answer.version) == (evaluator.name, evaluator.version)
            assert answer.fidelity == evaluator.fidelity
            assert answer.workload == workload.name
            assert answer.feasible == (answer.failure is None)

    def test_infeasible_designs_say_what_lacks(self, evaluator: Evaluator, space: Space, workload: Workload) -> None:
        answers = evaluator.evaluate(space.designs(sample(space, _DESIGNS, "random", 1)), workload)
        for failure in (a.failure for a in answers if a.failure is not None):
            assert failure.kind == "infeasible"
            assert failure.resource
            assert np.isfinite(failure.needed)
            assert failure.needed > failure.available

    def test_metrics_are_known_and_positive(self, evaluator: Evaluator, space: Space, workload: Workload) -> None:
        for answer in evaluator.evaluate(space.designs(sample(space, _DESIGNS, "random", 1)), workload):
            for name, value in answer.metrics.items():
                assert name in METRICS
                assert np.isfinite(value)
                assert value >= 0

    def test_answers_nothing_to_nothing(self, evaluator: Evaluator, workload: Workload) -> None:
        assert evaluator.evaluate([], workload) == []

    def test_says_the_same_twice_and_alone(self, evaluator: Evaluator, space: Space, workload: Workload) -> None:
        designs = space.designs(sample(space, _DESIGNS, "random", 4))
        together = [told(a) for a in evaluator.evaluate(designs, workload)]
        assert together == [told(evaluator.evaluate([d], workload)[0]) for d in designs]

    def test_batches_say_what_single_designs_say(self, evaluator: Evaluator, space: Space, workload: Workload) -> None:
        if not isinstance(evaluator, EvaluatesBatches):
            pytest.skip("evaluates no batches")
        codes = sample(space, _DESIGNS, "random", 5)
        rows = evaluator.evaluate_codes(codes, workload).to_list()
        assert [told(a) for a in rows] == [told(a) for a in evaluator.evaluate(space.designs(codes), workload)]
