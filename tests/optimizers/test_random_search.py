import pytest

from armillary.optimizers.random_search import RandomSearch
from armillary.testing.optimizers import OptimizerContract


class TestRandomSearch(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: RandomSearch(problem, seed=seed)
