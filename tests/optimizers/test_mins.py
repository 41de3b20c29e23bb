import numpy as np
import pytest
import torch

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.optimizers.mins import DeltaVae, Mins, deviation_range
from armillary.spaces.samplers import sample
from armillary.testing.optimizers import OptimizerContract
from armillary.types import ArmillaryError, Objective

OBJECTIVE = Objective("runtime_s")


class TestMins(OptimizerContract):
    @pytest.fixture
    def make(self, tiny_space, objective):
        return lambda seed: Mins(space=tiny_space, objective=objective, seed=seed, steps=20)


@pytest.mark.parametrize("delta", [0.01, 0.1, 1.0])
def test_the_posterior_cannot_collapse(delta):
    model = DeltaVae(SPACE.cardinalities, 8, 32, delta)
    codes = torch.from_numpy(sample(SPACE, 200, "random", 0))
    mean, deviation = model.posterior(codes, torch.randn(200) * 3)
    divergence = 0.5 * (mean**2 + deviation**2 - 1 - 2 * deviation.log())
    assert (divergence >= delta - 1e-5).all()
    for s in deviation_range(delta):
        assert 0.5 * (s**2 - 1 - 2 * np.log(s)) == pytest.approx(delta)


def test_generates_designs_of_the_value_that_is_wanted():
    codes = sample(SPACE, 3000, "random", 1)
    unit = codes / (np.array(SPACE.cardinalities) - 1)
    values = 0.1 + ((unit - 0.7) ** 2).sum(axis=1)
    mins = Mins(space=SPACE, objective=OBJECTIVE, seed=0, steps=1500)
    mins.tell_batch(codes, values)
    asked = mins.ask_codes(200) / (np.array(SPACE.cardinalities) - 1)
    found = 0.1 + ((asked - 0.7) ** 2).sum(axis=1)
    assert np.median(found) < np.quantile(values, 0.1)


def test_refuses_a_delta_of_nothing():
    with pytest.raises(ArmillaryError, match="delta=0"):
        Mins(space=SPACE, objective=OBJECTIVE, delta=0)
