"""Starlight: a Gaussian process that begins with the encoder of Starlight-Low."""

import numpy as np
import pytest
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from armillary.surrogates.starlight.deep_kernel import Starlight
from armillary.types import ArmillaryError
from surrogates.starlight.samples import UNSEEN, few, low, rank_correlation, rows


@pytest.fixture(scope="module")
def starlight():
    return Starlight.transferred(low(), *few(100, seed=0), epochs=30, encoder_rate=1e-3)


def latent(model, inputs):
    with torch.no_grad():
        return model.process.encoder(model.cube(inputs))[0].numpy()


def test_it_begins_with_the_encoder_of_low_and_its_scaler():
    before = low().latent(rows().inputs[UNSEEN])
    begun = Starlight.transferred(low(), *few(40, seed=0), epochs=1, encoder_rate=0.0)
    assert latent(begun, rows().inputs[UNSEEN]) == pytest.approx(before, abs=1e-5)
    Starlight.transferred(low(), *few(40, seed=0), epochs=3, encoder_rate=0.1)
    assert np.array_equal(low().latent(rows().inputs[UNSEEN]), before)


def test_transfer_learns_faster_than_scratch():
    for seed in range(4):
        given = few(40, seed)
        transferred = Starlight.transferred(low(), *given, epochs=30)
        scratch = Starlight.from_scratch(*given, seed=seed, epochs=30)
        assert transferred.likelihoods[0] > scratch.likelihoods[0] + 0.1
        assert rank_correlation(transferred) > rank_correlation(scratch) + 0.03


def test_encoder_and_kernel_are_trained_together(starlight):
    assert starlight.likelihoods[-1] > starlight.likelihoods[0] + 0.1
    assert len(starlight.likelihoods) == 30
    inputs = rows().inputs[UNSEEN]
    assert np.abs(latent(starlight, inputs) - low().latent(inputs)).max() > 0.05
    assert rank_correlation(starlight) > 0.7


def test_an_encoder_that_is_held_stays_and_the_kernel_learns():
    held = Starlight.transferred(low(), *few(100, seed=0), epochs=30, encoder_rate=0.0)
    assert held.likelihoods[-1] > held.likelihoods[0] + 0.02
    inputs = rows().inputs[UNSEEN]
    assert latent(held, inputs) == pytest.approx(low().latent(inputs), abs=1e-5)
    assert rank_correlation(held) > 0.7


def test_it_predicts_what_the_process_says(starlight):
    """Rasmussen and Williams, Gaussian Processes for Machine Learning, equations 2.23 and 2.24; Matern 5/2: 4.17."""
    inputs, values = few(100, seed=0)
    process = starlight.process
    with torch.no_grad():
        lengths = process.covariance.base_kernel.lengthscale.numpy()
        size, noise, mean = (
            float(each) for each in (process.covariance.outputscale, process.likelihood.noise, process.mean.constant)
        )

    def kernel(one, other):
        far = np.sqrt(5) * cdist(one / lengths, other / lengths)
        return size * (1 + far + far**2 / 3) * np.exp(-far)

    known, asked = latent(starlight, inputs), latent(starlight, rows().inputs[UNSEEN])
    factor = cho_factor(kernel(known, known) + noise * np.eye(len(known)))
    standard = (values - values.mean()) / values.std()
    across = kernel(asked, known)
    expected = mean + across @ cho_solve(factor, standard - mean)
    variance = size + noise - (across * cho_solve(factor, across.T).T).sum(axis=1)
    found, spread = starlight.predict(rows().inputs[UNSEEN])
    assert found == pytest.approx(values.mean() + values.std() * expected, rel=1e-6)
    assert spread == pytest.approx(values.std() * np.sqrt(variance), rel=1e-5)


def test_most_values_lie_within_the_deviation_it_tells(starlight):
    mean, spread = starlight.predict(rows().inputs[UNSEEN])
    inside = np.abs(rows().high[UNSEEN] - mean) < 1.645 * spread
    assert 0.7 < inside.mean() < 0.99


def test_it_is_surer_of_rows_that_it_knows(starlight):
    inputs, values = few(100, seed=0)
    far = inputs * np.where(inputs == inputs.max(axis=0), 30, 1)
    mean, known = starlight.predict(inputs)
    assert known.mean() < 0.9 * starlight.predict(far)[1].mean()
    assert np.corrcoef(mean, values)[0, 1] > 0.6


def test_nothing_is_random_but_what_a_seed_decides():
    given, inputs = few(40, seed=1), rows().inputs[UNSEEN]
    one, other = (Starlight.transferred(low(), *given, epochs=2).predict(inputs) for _ in range(2))
    assert np.array_equal(one, other)
    first, again, third = (Starlight.from_scratch(*given, seed=s, epochs=2).predict(inputs)[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, third)


def test_rows_with_equal_inputs_may_differ_in_value():
    inputs, values = few(20, seed=2)
    model = Starlight.transferred(
        low(), np.repeat(inputs, 5, axis=0), np.repeat(values, 5) + np.arange(100) % 5, epochs=20
    )
    mean, spread = model.predict(inputs)
    assert np.isfinite(mean).all()
    assert np.abs(mean - values - 2).mean() < 1.0
    assert (spread > 0.5).all()


def test_scratch_and_transfer_may_take_logarithms():
    given, inputs = few(30, seed=0), rows().inputs[UNSEEN]
    plain, logged = (Starlight.from_scratch(*given, epochs=2, logged=told) for told in (False, True))
    assert not np.allclose(plain.predict(inputs)[0], logged.predict(inputs)[0])
    again = Starlight.of(*logged.parts())
    assert again.predict(inputs)[0] == pytest.approx(logged.predict(inputs)[0], rel=1e-9)


def test_progress_is_told_after_each_epoch():
    told = []
    Starlight.transferred(low(), *few(10, seed=0), epochs=2, on_progress=lambda *seen: told.append(seen))
    assert told == [(1, 2), (2, 2)]


def test_its_parts_make_it_again(starlight):
    again = Starlight.of(*starlight.parts())
    inputs = rows().inputs[UNSEEN]
    assert again.predict(inputs)[0] == pytest.approx(starlight.predict(inputs)[0], rel=1e-9)
    assert again.predict(inputs)[1] == pytest.approx(starlight.predict(inputs)[1], rel=1e-9)
    assert np.array_equal(again.likelihoods, starlight.likelihoods)


def test_what_cannot_be_learned_is_refused():
    given = few(20, seed=0)
    with pytest.raises(ArmillaryError, match=r"20 rows cannot be factored in epoch \d of 5 .*choose lower rates"):
        Starlight.transferred(low(), *given, epochs=5, learning_rate=1e30, encoder_rate=1e30)
    with pytest.raises(ArmillaryError, match="encoder_rate=-1 is not allowed"):
        Starlight.transferred(low(), *given, epochs=5, encoder_rate=-1)
    with pytest.raises(ArmillaryError, match="epochs=0 is not allowed"):
        Starlight.transferred(low(), *given, epochs=0)
    with pytest.raises(ArmillaryError, match="must be finite"):
        Starlight.from_scratch(given[0], np.full(20, np.inf))
