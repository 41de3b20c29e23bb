"""What Starlight is compared with."""

import numpy as np
import pytest
import torch

from armillary.surrogates.starlight.ablations import NetworkHead
from armillary.surrogates.starlight.low import PREDICTOR, Schedule, dense, in_parts, seeded
from armillary.types import ArmillaryError
from surrogates.starlight.samples import UNSEEN, few, low, rank_correlation, rows

SHORT = Schedule(epochs=40, batch=25, learning_rate=3e-3)


@pytest.fixture(scope="module")
def head():
    return NetworkHead.transferred(low(), *few(100, seed=0), schedule=SHORT)


def test_the_head_learns(head):
    assert head.losses.shape == (40,)
    assert head.losses[-1] < 0.5 * head.losses[0]
    assert rank_correlation(head) > 0.6
    inputs, values = few(100, seed=0)
    assert np.mean((head.predict(inputs) - values) ** 2) < 0.5 * values.var()


def test_the_head_begins_with_the_encoder_of_low_and_a_new_predictor():
    inputs = rows().inputs[UNSEEN]
    begun = NetworkHead.transferred(
        low(), *few(50, seed=0), schedule=Schedule(epochs=1, batch=50, learning_rate=1e-9), seed=3
    )
    latent = in_parts(lambda x: begun.encoder(x)[0], begun.cube(inputs))
    assert latent == pytest.approx(low().latent(inputs), abs=1e-5)
    new = seeded(lambda: dense(PREDICTOR), 3)
    for weight, expected in zip(begun.predictor.parameters(), new.parameters(), strict=True):
        assert torch.allclose(weight, expected, atol=1e-6)


def test_low_stays_as_it_is(head):
    inputs = rows().inputs[UNSEEN]
    before = low().predict(inputs)
    told = []
    again = NetworkHead.transferred(
        low(), *few(100, seed=0), schedule=SHORT, on_progress=lambda *seen: told.append(seen)
    )
    assert np.array_equal(low().predict(inputs), before)
    assert np.array_equal(again.predict(inputs), head.predict(inputs))
    assert told[0] == (1, 40)
    with pytest.raises(ArmillaryError, match="too few"):
        NetworkHead.transferred(low(), inputs[:1], np.zeros(1))
