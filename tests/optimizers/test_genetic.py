import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.genetic import Genetic, children
from armillary.problems.problem import Problem
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError


class TestGenetic(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Genetic(problem, seed=seed)


def test_children_are_designs_near_their_parents():
    rng = np.random.default_rng(0)
    parents = np.full((5, 10), 2)
    born = children(SPACE, parents, 200, rng)
    assert ((born >= 0) & (born < SPACE.cardinalities)).all()
    assert 0.5 < (born != parents[0]).sum(axis=1).mean() < 1.5


def test_bad_settings_are_refused():
    with pytest.raises(ArmillaryError, match="population=1 must be at least 2"):
        Genetic(Problem.minimising(SPACE), population=1)
