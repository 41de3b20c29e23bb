"""Starlight-Low: its layers, its losses, and that it learns."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.distributions import Normal, kl_divergence

from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates.starlight.low import LossWeights, Network, Schedule, StarlightLow, descend, losses, seeded
from armillary.types import ArmillaryError
from surrogates.starlight.samples import LOW, MOMENT, PROBLEM, UNSEEN, few, low, rows

SHORT = Schedule(epochs=2, batch=50, learning_rate=1e-3)


def learned(**options):
    sampled = rows()
    return StarlightLow.learned(sampled.inputs[:100], sampled.low[:100], **{"schedule": SHORT, **options})


def sizes(module):
    return [list(weight.shape)[::-1] for weight in module.parameters() if weight.ndim == 2]


def test_the_layers_are_the_dissertations():
    network = Network()
    assert sizes(network.encoder) == [[40, 24], [24, 12], [12, 2], [12, 2]]
    assert sizes(network.decoder) == [[2, 12], [12, 24], [24, 40]]
    assert sizes(network.predictor) == [[2, 64], [64, 256], [256, 256], [256, 64], [64, 1]]
    relus = [sum(isinstance(m, torch.nn.ReLU) for m in part.modules()) for part in network.children()]
    assert relus == [2, 2, 4]


@torch.no_grad()
def test_the_losses_are_two_squared_errors_and_the_divergence():
    network, generator = seeded(Network, 3), torch.Generator()
    x, y = torch.rand(50, 40), torch.randn(50)
    found = losses(network, x, y, generator.manual_seed(5))
    mean, log_variance = network.encoder(x)
    spread = (log_variance / 2).exp()
    point = mean + spread * torch.randn(mean.shape, generator=generator.manual_seed(5))
    divergence = kl_divergence(Normal(mean, spread), Normal(0.0, 1.0)).sum(dim=1).mean()
    error = torch.nn.functional.mse_loss
    expected = [error(network.predictor(point)[:, 0], y), error(network.decoder(point), x), divergence]
    assert found.tolist() == pytest.approx([float(each) for each in expected], rel=1e-5)


def test_the_rate_falls_along_a_cosine_and_every_row_counts_once_an_epoch():
    line, seen = torch.nn.Linear(1, 1, bias=False), []
    before = float(line.weight.detach())

    def losses_of(rows):
        seen.append(rows.tolist())
        return torch.stack([line.weight.sum(), torch.tensor(float(len(rows)))])

    schedule = Schedule(epochs=2, batch=4, learning_rate=0.1)
    found = descend(line, losses_of, torch.tensor([1.0, 0.0]), 10, schedule, torch.Generator(), None)
    rates = [0.05 * (1 + np.cos(np.pi * done)) for done in (0, 0.2, 0.4, 0.5, 0.7, 0.9)]
    # under a gradient of 1 Adam moves by its rate
    assert before - float(line.weight.detach()) == pytest.approx(sum(rates), rel=1e-4)
    first, second = ([row for batch in seen[k : k + 3] for row in batch] for k in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert found[:, 1] == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)  # a mean over rows, not over batches


def test_it_learns_to_predict_and_to_reproduce():
    before, after = low().losses[0], low().losses[-1]
    assert len(low().losses) == MOMENT.epochs
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.7 * before[1]
    assert after[2] > before[2]  # nats that the latent space came to hold
    sampled = rows()
    predicted = low().predict(sampled.inputs[UNSEEN])
    assert spearmanr(predicted, sampled.low[UNSEEN]).statistic > 0.7
    assert np.abs(predicted - sampled.low[UNSEEN]).mean() < 0.6 * sampled.low.std()


def test_the_predictor_shapes_the_latent_space():
    latent, values = low().latent(rows().inputs[UNSEEN]), rows().low[UNSEEN]
    near = np.linalg.norm(latent[:, None] - latent, axis=2) + 1e9 * np.eye(len(latent))
    neighbour = values[near.argmin(axis=1)]
    assert np.corrcoef(neighbour, values)[0, 1] > 0.5


def test_without_its_loss_the_predictor_stays_as_it_was():
    model = learned(seed=4, weights=LossWeights(prediction=0.0))
    before = seeded(Network, 4)
    for one, other in zip(model.network.predictor.parameters(), before.predictor.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(model.network.encoder.mean.weight, before.encoder.mean.weight)


def test_the_divergence_weighs_as_told():
    free, held = (learned(weights=LossWeights(divergence=w), schedule=MOMENT).losses[-1, 2] for w in (0.0, 10.0))
    assert held < 0.1 * free


def test_a_seed_decides_and_torchs_own_stays_as_it_is():
    torch.manual_seed(11)
    state = torch.get_rng_state()
    inputs = rows().inputs[UNSEEN]
    one, other, third = (learned(seed=seed).predict(inputs) for seed in (1, 1, 2))
    assert np.array_equal(one, other)
    assert not np.allclose(one, third)
    assert torch.equal(torch.get_rng_state(), state)


def test_tuning_makes_a_copy_that_fits_the_other_rows():
    inputs, values = few(60, seed=0)
    before = low().predict(inputs)
    tuned = low().tuned(inputs, values, schedule=Schedule(epochs=30, batch=20, learning_rate=1e-3))
    assert np.array_equal(low().predict(inputs), before)
    assert np.mean((tuned.predict(inputs) - values) ** 2) < 0.5 * np.mean((before - values) ** 2)
    assert tuned.scale == low().scale
    assert len(tuned.losses) == MOMENT.epochs + 30


def test_progress_is_told_after_each_epoch():
    told = []
    learned(on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_a_file_holds_it(tmp_path):
    low().save(tmp_path / "low.pt", PROBLEM)
    read = StarlightLow.load(tmp_path / "low.pt", space=SPACE)
    inputs = rows().inputs[UNSEEN]
    assert np.array_equal(read.predict(inputs), low().predict(inputs))
    assert np.array_equal(read.latent(inputs), low().latent(inputs))
    assert np.array_equal(read.losses, low().losses)


def test_a_file_tells_whether_inputs_are_logged(tmp_path):
    model = learned(logged=True)
    model.save(tmp_path / "low.pt", PROBLEM)
    read = StarlightLow.load(tmp_path / "low.pt", space=SPACE)
    assert read.predict(rows().inputs) == pytest.approx(model.predict(rows().inputs), rel=1e-6)
    assert not np.allclose(model.predict(rows().inputs), learned().predict(rows().inputs))


def test_a_row_is_predicted_alike_alone():
    inputs = rows().inputs[LOW]
    assert low().predict(inputs[7:8]) == pytest.approx(low().predict(inputs)[7:8], rel=1e-5)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ArmillaryError, match=r"after epoch \d of 2 at learning_rate=1e\+30; choose a lower rate"):
        learned(schedule=Schedule(epochs=2, batch=20, learning_rate=1e30))
    for wrong, message in (({"epochs": 0}, "epochs=0"), ({"batch": 0}, "batch=0"), ({"learning_rate": 0}, "rate=0")):
        with pytest.raises(ArmillaryError, match=message):
            Schedule(**wrong)
    with pytest.raises(ArmillaryError, match=r"must be \[rows, 40\]"):
        low().predict(np.zeros((2, 3)))
    with pytest.raises(ArmillaryError, match="must be finite"):
        low().tuned(rows().inputs[:2], np.array([1.0, np.nan]))
