"""What the search's benchmark asks of each platform."""

import numpy as np
import pytest

from armillary import evaluators
from armillary.benchmarks.ppa import tasks
from armillary.evaluators.physical.space import KNOBS, parted
from armillary.optimizers.random_search import RandomSearch
from armillary.types import Candidate, Fidelity


@pytest.mark.parametrize("platform", ["svm", "tabla", "genesys", "vta"])
class TestEach:
    def test_all_knobs_and_some_of_the_hardware_are_searched(self, platform):
        made = getattr(tasks, platform)()
        cardinality = dict(zip(made.template.space.names, made.template.space.cardinalities, strict=True))
        assert all(cardinality[knob] > 1 for knob in KNOBS)
        assert sum(count > 1 for name, count in cardinality.items() if name not in KNOBS) >= 2
        assert made.problem.metric_names == ("energy_j", "area_mm2")
        assert set(made.spec.options) & set(KNOBS) == set()

    def test_random_designs_are_hardware_that_runs_the_workload(self, platform):
        made = getattr(tasks, platform)()
        codes = RandomSearch(made.problem, seed=3).ask_codes(12)
        assert len(np.unique(codes, axis=0)) == 12
        name = made.template.name.removesuffix(".physical")
        evaluator = evaluators.make(evaluators.spec_of(name, Fidelity.ANALYTICAL))
        designs = [Candidate(parted(design)[0]) for design in made.template.space.designs(codes)]
        rows = evaluator.evaluate(designs, made.workload)
        assert [row.failure for row in rows] == [None] * 12
