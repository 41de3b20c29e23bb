import pytest

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.optimizers.surrogate_search import top_designs
from armillary.spaces.samplers import sample
from armillary.surrogates.coms import Coms
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from surrogates.prime.test_surrogate import PROBLEM, rows_of


def coms(seed=0, **options):
    return Coms(space=SPACE, seed=seed, **{"steps": 400, "ascent_steps": 10, **options})


class TestComs(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: coms(seed).fit(log, problem)


def test_a_small_tau_makes_it_more_cautious_where_it_climbs():
    log = InMemoryLog(rows_of("mobilenet_v2", 3000))
    bold, shy = (coms(tau=tau).fit(log, PROBLEM) for tau in (20.0, 0.1))
    climbed = [
        model.predict(top_designs(lambda c, m=model: m.predict(c).mean, SPACE, n=8, swarms=4, steps=20)).mean.min()
        for model in (bold, shy)
    ]
    assert climbed[1] > climbed[0]


def test_several_workloads_are_refused():
    log = InMemoryLog(Evaluations.concat([rows_of("mobilenet_v2", 3000), rows_of("unet", 3000)]))
    with pytest.raises(ArmillaryError, match="COMs learns from one workload"):
        coms().fit(log, PROBLEM)


def test_bad_settings_and_early_predictions_are_refused():
    with pytest.raises(ArmillaryError, match="tau=0"):
        coms(tau=0)
    with pytest.raises(ArmillaryError, match="has not been fitted"):
        coms().predict(sample(SPACE, 1, "random", 0))
