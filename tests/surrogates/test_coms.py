import numpy as np
import pytest
import torch

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.surrogates.coms import Coms
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from surrogates.prime.test_surrogate import PROBLEM, rows_of


def coms(seed=0, **options):
    return Coms(
        space=SPACE,
        seed=seed,
        **{"steps": 250, "batch": 64, "hidden": 128, "learning_rate": 3e-3, "ascent_steps": 10, **options},
    )


class TestComs(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: coms(seed).fit(log, problem)


def test_a_small_tau_bounds_its_optimism_where_it_climbs():
    """Three seeds each: what it hopes to gain by climbing from the designs of its log, in standard units."""
    rows = rows_of("mobilenet_v2", 3000)
    codes = SPACE.encode_columns(rows.select(PROBLEM.satisfied(rows)).design)

    def optimism(tau, seed):
        model = coms(seed, tau=tau).fit(InMemoryLog(rows), PROBLEM)
        designs, network = model._one_hot(codes), model._fitted.network
        climbed = model._ascended(network, designs)
        with torch.no_grad():
            return float(network(climbed).mean() - network(designs).mean())

    bold, shy = (np.mean([optimism(tau, seed) for seed in range(3)]) for tau in (20.0, 0.1))
    assert shy < 0.3
    assert bold > shy + 0.3


def test_several_workloads_are_refused():
    log = InMemoryLog(Evaluations.concat([rows_of("mobilenet_v2", 3000), rows_of("unet", 3000)]))
    with pytest.raises(ArmillaryError, match="COMs learns from one workload"):
        coms().fit(log, PROBLEM)


def test_bad_settings_and_early_predictions_are_refused():
    with pytest.raises(ArmillaryError, match="tau=0"):
        coms(tau=0)
    with pytest.raises(ArmillaryError, match="has not been fitted"):
        coms().predict(sample(SPACE, 1, "random", 0))


def test_it_trains_on_one_thread_and_leaves_torch_as_it_was():
    threads, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model = coms(steps=3, on_progress=lambda *_: seen.append(torch.get_num_threads()))
        model.fit(InMemoryLog(rows_of("mobilenet_v2", 1000)), PROBLEM)
        assert (seen, torch.get_num_threads()) == ([1, 1, 1], 2)
    finally:
        torch.set_num_threads(threads)
