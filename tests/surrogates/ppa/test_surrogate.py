import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.surrogates.ppa import stack
from armillary.surrogates.ppa.forests import Forest, RandomizedForest
from armillary.surrogates.ppa.surrogate import Ppa
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from surrogates.prime.test_surrogate import PROBLEM, rows_of


@pytest.fixture(autouse=True, scope="module")
def forests_alone():
    """The other members are tested with the ensemble; they take seconds."""
    before = stack.Stack.learned.__kwdefaults__["kinds"]
    stack.Stack.learned.__kwdefaults__["kinds"] = (Forest, RandomizedForest)
    yield
    stack.Stack.learned.__kwdefaults__["kinds"] = before


@pytest.mark.slow
class TestPpa(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: Ppa(space=SPACE, seed=seed).fit(log, problem)


@pytest.fixture(scope="module")
def rows():
    return rows_of("mobilenet_v2", 600)


@pytest.fixture(scope="module")
def model(rows):
    return Ppa(space=SPACE).fit(InMemoryLog(rows), PROBLEM)


def test_a_model_file_says_the_same(model, rows, tmp_path):
    model.save(tmp_path / "ppa.pt")
    again = Ppa.load(tmp_path / "ppa.pt", space=SPACE)
    codes, context = SPACE.encode_columns(rows.select(np.arange(40)).design), context_of(zoo.build("mobilenet_v2"))
    for one, other in zip(
        vars(model.predict(codes, context)).values(), vars(again.predict(codes, context)).values(), strict=True
    ):
        assert (one == other).all()
    assert again.facts() == model.facts()
    assert (np.stack(again.interval(codes, context)) == np.stack(model.interval(codes, context))).all()


def test_about_nine_of_ten_lie_in_the_interval_after_few_rows(model):
    other = rows_of("mobilenet_v2", 4000, seed=9)
    other = other.select(PROBLEM.satisfied(other))
    low, high = model.interval(SPACE.encode_columns(other.design), context_of(zoo.build("mobilenet_v2")))
    true = other.metrics[PROBLEM.metric]
    assert 0.7 < ((low <= true) & (true <= high)).mean() < 0.99


def test_architectures_left_out_whole_are_told_by_parameters_of_the_space():
    with pytest.raises(ArmillaryError, match="apart='kernels' is no parameter of edge_tpu"):
        Ppa(space=SPACE, apart=("kernels",))


def test_nothing_is_told_of_chances_where_every_row_is_feasible(model, rows):
    legal = rows.select(np.flatnonzero(PROBLEM.satisfied(rows))[:30])
    assert "brier" not in Ppa(space=SPACE).fit(InMemoryLog(legal), PROBLEM).facts()
    assert 0 < model.facts()["brier"] < 0.25
