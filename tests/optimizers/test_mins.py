import numpy as np
import pytest
import torch

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.mins import DeltaVae, Mins, deviation_range
from armillary.problems.problem import Problem
from armillary.spaces.samplers import sample
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError

PROBLEM = Problem.minimising(SPACE)


class TestMins(OptimizerContract):
    @pytest.fixture
    def make(self, problem):
        return lambda seed: Mins(problem, seed=seed, steps=20)


@pytest.mark.parametrize("delta", [0.01, 0.1, 1.0])
def test_the_posterior_cannot_collapse(delta):
    model = DeltaVae(SPACE.cardinalities, 8, 32, delta)
    codes = torch.from_numpy(sample(SPACE, 200, "random", 0))
    mean, deviation = model.posterior(codes, torch.randn(200) * 3)
    divergence = 0.5 * (mean**2 + deviation**2 - 1 - 2 * deviation.log())
    assert (divergence >= delta - 1e-5).all()
    for s in deviation_range(delta):
        assert 0.5 * (s**2 - 1 - 2 * np.log(s)) == pytest.approx(delta)


def bowl(codes):
    return 0.1 + ((codes / (np.array(SPACE.cardinalities) - 1) - 0.7) ** 2).sum(axis=1)


def test_generates_designs_of_the_value_that_is_wanted():
    shares = []
    for seed in range(3):
        codes = sample(SPACE, 1000, "random", seed + 1)
        mins = Mins(PROBLEM, seed=seed, steps=300, hidden=64)
        mins.tell_values(codes, bowl(codes))
        shares.append(np.mean(bowl(codes) < np.median(bowl(mins.ask_codes(200)))))
    assert np.median(shares) < 0.05  # of the designs that it learned from are as good


def test_refuses_a_delta_of_nothing():
    with pytest.raises(ArmillaryError, match="delta=0"):
        Mins(PROBLEM, delta=0)
