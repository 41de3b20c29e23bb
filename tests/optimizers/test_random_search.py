import pytest

from armillary.optimizers.random_search import RandomSearch
from armillary.testing.optimizers import SeveralObjectivesContract


class TestRandomSearch(SeveralObjectivesContract):
    @pytest.fixture
    def make_for(self):
        return lambda problem, seed: RandomSearch(problem, seed=seed)
