import pytest

from armillary.optimizers.random_search import RandomSearch
from armillary.testing.optimizers import OptimizerContract


class TestRandomSearch(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: RandomSearch(space=tiny_space, objective=objective, seed=seed)
