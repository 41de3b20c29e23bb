import numpy as np
import pytest
import torch

from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.hardware.templates.edge_tpu import SPACE, TEMPLATE
from armillary.log.store import InMemoryLog
from armillary.spaces.moves import Moves
from armillary.spaces.samplers import sample
from armillary.spaces.space import Parameter, Space
from armillary.surrogates.prime import surrogate as prime_module
from armillary.surrogates.prime.device import DeviceMoves, DeviceTrainer
from armillary.surrogates.prime.schedules import Rung, Schedule
from armillary.surrogates.prime.surrogate import Prime
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo

CPU = torch.device("cpu")
PROBLEM = TEMPLATE.problem("runtime_s", {"area_mm2": 29.0})
MIXED = Space("mixed", (Parameter("size", (1, 2, 4, 8)), Parameter("kind", ("a", "b", "c"), kind="categorical")))
SHORT = Schedule(
    rungs=(Rung(4, 20), Rung(1, 20)), warmup=60, batch=64, learning_rate=1e-3, checkpoint=20, mining_period=4
)
SMALL = {"schedule": SHORT, "alphas": (0.0, 0.1), "betas": (0.0, 0.1), "hidden": 32, "feed_forward": 32}


def rows_of(*workloads, n=3000):
    codes = sample(SPACE, n, "random", 0)
    return Evaluations.concat([EdgeTpuEvaluator().evaluate_codes(codes, zoo.build(name)) for name in workloads])


def trained(monkeypatch, rows, device="cpu", seed=0):
    monkeypatch.setattr(prime_module, "Trainer", DeviceTrainer)
    return Prime(space=SPACE, seed=seed, device=device, **SMALL).fit(InMemoryLog(rows), PROBLEM)


def mean_kendall(models):
    return np.mean([model.facts()["kendall"] for model in models])


def test_two_fireflies_move_as_on_the_host():
    moves = Moves(SPACE, noise=1e-12)
    positions = moves.scatter((5, 2), np.random.default_rng(0))
    values = np.random.default_rng(1).random((5, 2))
    host = moves.step(positions, values, np.random.default_rng(2))
    at, value = torch.from_numpy(positions).float(), torch.from_numpy(values).float()
    own = DeviceMoves(moves, CPU).step(at, value, torch.rand(5, 2, 2), torch.zeros(5, 2, 10), torch.empty(0, 5, 2, 10))
    assert np.allclose(own.numpy(), host, atol=1e-6)


def test_positions_stand_for_the_same_designs():
    moves = Moves(SPACE)
    positions = moves.scatter((3, 23), np.random.default_rng(0)) + 0.01
    assert (DeviceMoves(moves, CPU).codes(torch.from_numpy(positions).float()).numpy() == moves.codes(positions)).all()


@pytest.mark.parametrize("draws", [np.random.default_rng(k).random((3, 4, 6, 2)) for k in range(3)])
def test_a_categorical_value_is_kept_copied_or_drawn(draws):
    moves = Moves(MIXED)
    positions = torch.from_numpy(moves.scatter((4, 6), np.random.default_rng(0))).float()
    step = DeviceMoves(moves, CPU)
    never_drawn = torch.from_numpy(draws).float()
    never_drawn[2] = 1.0
    moved = step.step(positions, torch.rand(4, 6), torch.rand(4, 6, 6), torch.randn(4, 6, 2), never_drawn)
    there = [set(swarm[:, 1].tolist()) for swarm in step.codes(positions)]
    assert all(set(after[:, 1].tolist()) <= before for after, before in zip(step.codes(moved), there, strict=True))
    always = torch.from_numpy(draws).float()
    always[2] = 0.0
    codes = step.codes(step.step(positions, torch.rand(4, 6), torch.rand(4, 6, 6), torch.randn(4, 6, 2), always))
    assert (codes[..., 1] == (always[1][..., 1] * 3).floor()).all()


def test_learns_what_the_trainer_of_the_host_learns(monkeypatch):
    rows = rows_of("mobilenet_v2")
    host = [Prime(space=SPACE, seed=seed, **SMALL).fit(InMemoryLog(rows), PROBLEM) for seed in (0, 1)]
    own = [trained(monkeypatch, rows, seed=seed) for seed in (0, 1)]
    assert mean_kendall(own) == pytest.approx(mean_kendall(host), abs=0.15)
    assert mean_kendall(own) > 0.35
    grid, every = (
        [[(c.alpha, c.beta, c.checkpoint) for c in m.selection.candidates] for m in ms] for ms in (own, host)
    )
    assert [places[:4] for places in grid] == [places[:4] for places in every]  # then each keeps its best alone
    assert [places[4][2] for places in grid] == [places[4][2] for places in every] == [40] * 2


def test_several_workloads_give_a_contextual_model(monkeypatch):
    model = trained(monkeypatch, rows_of("mobilenet_v2", "m6_like"))
    assert model.fitted.shape.contexts > 0
    assert model.facts()["kendall"] > 0.3


def test_negatives_are_the_best_that_the_fireflies_saw(monkeypatch):
    found = []
    learn = DeviceTrainer._step

    def watched(self, stack, step, rate):
        before = None if self._steps_of is None else self._steps_of._swarm.clone()
        weights = {name: weight.detach().clone() for name, weight in stack.weights.items()}  # which mine, then learn
        learn(self, stack, step, rate)
        if self._steps_of.mined and before is not None and step == 8:
            found.append((weights, before, self._steps_of._negative.clone(), self._steps_of))

    monkeypatch.setattr(DeviceTrainer, "_step", watched)
    trained(monkeypatch, rows_of("mobilenet_v2"))
    weights, swarm, negative, steps = found[0]
    with torch.no_grad():
        start = steps._value(weights, steps._moves.codes(swarm), torch.zeros(swarm.shape[:2], dtype=torch.int64))
        mined = steps._value(weights, negative, torch.zeros(negative.shape[:2], dtype=torch.int64))
    assert negative.shape == (len(swarm), 1, 10)
    assert (mined[:, 0] <= start.min(dim=1).values + 1e-4).all()


@pytest.mark.parametrize(
    ("device", "what"), [("tpu", "choose cpu"), ("cuda:x", "choose cpu"), ("mps", "choose cpu"), ("", "choose cpu")]
)
def test_refuses_a_device_that_is_none(device, what):
    with pytest.raises(ArmillaryError, match=what):
        Prime(space=SPACE, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_says_that_there_is_no_gpu():
    with pytest.raises(ArmillaryError, match="sees no GPU; install"):
        Prime(space=SPACE, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_records_its_steps_on_a_gpu(monkeypatch):
    rows = rows_of("mobilenet_v2")
    own, host = ([trained(monkeypatch, rows, device, seed) for seed in (0, 1)] for device in ("cuda", "cpu"))
    assert mean_kendall(own) == pytest.approx(mean_kendall(host), abs=0.15)
