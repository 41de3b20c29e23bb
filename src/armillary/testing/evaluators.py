"""The contract that every evaluator meets, ours and those of other packages.

Inherit from `EvaluatorContract` in a test module and override the fixtures `evaluator`, `space` and `workload`; `laws`,
where the template has some; and `size`, where so many evaluations take too long.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from armillary.metrics import METRICS, folded
from armillary.problems.problem import Law
from armillary.spaces.samplers import sample
from armillary.spaces.space import Space
from armillary.types import Candidate, Cost, EvaluatesBatches, EvaluatesLayers, Evaluation, Evaluator, Metric
from armillary.workloads.layer import Workload

SIZES: Mapping[Cost, int] = {Cost.BATCH: 40, Cost.SECONDS: 6, Cost.MINUTES: 2}
"""Designs that are evaluated, by what an evaluation takes."""
_LAWFUL = 8


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

    @pytest.fixture
    def size(self, evaluator: Evaluator) -> int:
        """How many designs are evaluated."""
        return SIZES[evaluator.spec.cost]

    @pytest.fixture
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics that it may tell."""
        return METRICS

    @pytest.fixture
    def laws(self) -> Mapping[str, Law]:
        """The laws of the template, to which the evaluator has to keep."""
        return {}

    @pytest.fixture
    def candidates(self, space: Space, size: int) -> list[Candidate]:
        """Random designs."""
        return [Candidate(design) for design in space.designs(sample(space, size, "random", 1))]

    def test_answers_every_design_in_order(
        self, evaluator: Evaluator, candidates: list[Candidate], workload: Workload
    ) -> None:
        answers = evaluator.evaluate(candidates, workload)
        assert [a.design for a in answers] == [c.design for c in candidates]
        spec = evaluator.spec
        for answer in answers:
            assert (answer.evaluator, answer.version, answer.fidelity) == (spec.name, spec.version, spec.fidelity)
            assert answer.options == spec.options
            assert answer.workload == workload.name
            assert answer.feasible == (answer.failure is None)

    def test_infeasible_designs_say_what_lacks(
        self, evaluator: Evaluator, candidates: list[Candidate], workload: Workload
    ) -> None:
        for failure in (a.failure for a in evaluator.evaluate(candidates, workload) if a.failure is not None):
            assert failure.kind == "infeasible"
            assert failure.resource or failure.detail
            if np.isfinite(failure.needed):
                assert failure.needed > failure.available

    def test_metrics_are_known_and_positive(
        self, evaluator: Evaluator, candidates: list[Candidate], workload: Workload, metrics: Mapping[str, Metric]
    ) -> None:
        for answer in evaluator.evaluate(candidates, workload):
            for name, value in answer.metrics.items():
                assert name in metrics
                assert np.isfinite(value)
                assert value >= 0

    def test_tells_what_the_laws_tell(
        self,
        evaluator: Evaluator,
        space: Space,
        candidates: list[Candidate],
        workload: Workload,
        laws: Mapping[str, Law],
    ) -> None:
        """Whoever searches keeps to bounds by the laws, and checks them by what was evaluated."""
        if not laws:
            pytest.skip("no laws")
        some = candidates[:_LAWFUL]
        codes = space.encode([candidate.design for candidate in some])
        answers = evaluator.evaluate(some, workload)
        for name, law in laws.items():
            for answer, value in zip(answers, law(codes), strict=True):
                if answer.feasible:
                    assert answer.metrics[name] == pytest.approx(value, rel=1e-6)

    def test_answers_nothing_to_nothing(self, evaluator: Evaluator, workload: Workload) -> None:
        assert evaluator.evaluate([], workload) == []

    def test_is_pure(self, evaluator: Evaluator, candidates: list[Candidate], workload: Workload) -> None:
        """What it answers depends on what it is asked, not on what it was asked before, nor together with what."""
        together = [told(a) for a in evaluator.evaluate(candidates, workload)]
        backwards = [told(evaluator.evaluate([c], workload)[0]) for c in reversed(candidates)]
        assert together == backwards[::-1]

    def test_batches_say_what_single_designs_say(
        self, evaluator: Evaluator, space: Space, workload: Workload, size: int
    ) -> None:
        if not isinstance(evaluator, EvaluatesBatches):
            pytest.skip("evaluates no batches")
        codes = sample(space, size, "random", 5)
        rows = evaluator.evaluate_codes(codes, workload).to_list()
        candidates = [Candidate(design) for design in space.designs(codes)]
        assert [told(a) for a in rows] == [told(a) for a in evaluator.evaluate(candidates, workload)]

    def test_a_network_is_the_fold_of_its_layers(
        self, evaluator: Evaluator, candidates: list[Candidate], workload: Workload, metrics: Mapping[str, Metric]
    ) -> None:
        """Delays and energies of the layers' runs add up to at most those of the network, which may have more."""
        if not isinstance(evaluator, EvaluatesLayers):
            pytest.skip("runs no layers")
        for answer in evaluator.evaluate(candidates, workload):
            if not answer.feasible:
                continue
            assert len({run.layer.name for run in answer.layers}) == len(answer.layers) > 0
            runs = np.array([run.runs for run in answer.layers], dtype=float)
            shared = set.intersection(*(set(run.metrics) for run in answer.layers))
            columns = {name: np.array([run.metrics[name] for run in answer.layers]) for name in shared}
            for name, total in folded(columns, runs, metrics).items():
                assert total <= answer.metrics[name] * (1 + 1e-9) + 1e-9 if name in answer.metrics else True
