from dataclasses import replace

import numpy as np
import pytest
import torch

from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.optimizers.surrogate_search import top_designs
from armillary.spaces.samplers import sample
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.inputs import encoded
from armillary.surrogates.tri_mentoring import TriMentoring
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from surrogates.prime.test_surrogate import PROBLEM, rows_of

SHORT = {"steps": 500, "members": 2}
MENTORED = {"steps": 300, "rounds": 20}


@pytest.fixture(scope="module")
def rows():
    return rows_of("mobilenet_v2")


@pytest.fixture(scope="module", params=["squares", "listnet"])
def fitted(request, rows):
    return DeepEnsemble(space=SPACE, loss=request.param, **SHORT).fit(InMemoryLog(rows), PROBLEM)


class TestDeepEnsemble(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: DeepEnsemble(space=SPACE, seed=seed, **SHORT).fit(log, problem)


class TestTriMentoring(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: TriMentoring(space=SPACE, seed=seed, **MENTORED).fit(log, problem)


def test_mentoring_makes_three_networks_agree_where_a_search_goes(rows):
    def unanimous(rounds, seed):
        model = TriMentoring(space=SPACE, seed=seed, **{**MENTORED, "rounds": rounds}).fit(InMemoryLog(rows), PROBLEM)
        best = top_designs(lambda codes: model.said(codes, None)[0], SPACE, n=200, swarms=4, steps=20, refine_rounds=2)
        with torch.no_grad():
            value = model._fitted.networks.outputs(encoded(SPACE, best))[0].numpy()
        first, second = np.random.default_rng(0).integers(0, len(best), (2, 3000))
        votes = (value[:, first] > value[:, second]).sum(axis=0)
        return ((votes == 0) | (votes == 3)).mean()

    mentored, plain = (np.mean([unanimous(rounds, seed) for seed in (0, 1)]) for rounds in (20, 0))
    assert mentored > plain + 0.2


class TestRanking(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: DeepEnsemble(space=SPACE, seed=seed, loss="listnet", **SHORT).fit(
            log, problem
        )


def test_the_probability_of_feasibility_is_calibrated(fitted):
    fresh = rows_of("mobilenet_v2", seed=5)
    legal = fresh.feasible
    chance = fitted.predict(SPACE.encode_columns(fresh.design)).p_feasible
    base = legal.mean() * (1 - legal.mean())
    assert np.mean((chance - legal) ** 2) < 0.7 * base
    assert fitted.brier < 0.7 * base
    assert abs(chance.mean() - legal.mean()) < 0.02
    for mean, share, count in fitted.reliability:
        assert 0 <= mean <= 1
        assert 0 <= share <= 1
        assert count > 0


def test_what_is_likely_illegal_ranks_behind(fitted):
    codes = sample(SPACE, 2000, "random", 6)
    value, spread, chance = fitted.said(codes, None)
    mean = fitted.predict(codes).mean
    like = np.abs(value - np.median(value)) < 0.5
    sure, unsure = like & (chance > 0.5), like & (chance < 0.05)
    assert np.median(mean[sure]) < np.quantile(mean[unsure], 0.1)
    assert (spread >= 0).all()


def test_an_exact_bound_is_not_learned(rows, fitted):
    """Designs beyond the area bound are as likely to be feasible as they are, and their values known."""
    large = rows.select(rows.feasible & (rows.metrics["area_mm2"] > 29.0))
    predicted = fitted.predict(SPACE.encode_columns(large.design))
    assert predicted.p_feasible.mean() > 0.6
    assert np.corrcoef(np.log(predicted.mean), np.log(large.metrics["runtime_s"]))[0, 1] > 0.8
    without = DeepEnsemble(space=SPACE, learn_beyond=False, **SHORT).fit(InMemoryLog(rows), PROBLEM)
    told = DeepEnsemble(space=SPACE, **SHORT).fit(InMemoryLog(rows), replace(PROBLEM, laws={}))
    chances = [m.predict(SPACE.encode_columns(large.design)).p_feasible.mean() for m in (without, told)]
    assert chances[0] > 1.5 * chances[1]


def test_several_workloads_need_a_context():
    log = InMemoryLog(Evaluations.concat([rows_of("mobilenet_v2", 3000), rows_of("unet", 3000)]))
    model = DeepEnsemble(space=SPACE, **SHORT).fit(log, PROBLEM)
    codes = sample(SPACE, 30, "random", 4)
    small, large = (model.predict(codes, context_of(zoo.build(n))).mean for n in ("mobilenet_v2", "unet"))
    assert np.median(large) > np.median(small)
    with pytest.raises(ArmillaryError, match=r"serves several workloads \(mobilenet_v2, unet\): name a context"):
        model.predict(codes)


def test_a_model_of_a_log_without_contexts_is_read_again(rows, tmp_path):
    bare = replace(rows, context={})
    model = DeepEnsemble(space=SPACE, derived=True, **SHORT).fit(InMemoryLog(bare), PROBLEM)
    model.save(tmp_path / "model.pt")
    again = DeepEnsemble.load(tmp_path / "model.pt", space=SPACE)
    codes = sample(SPACE, 30, "random", 4)
    np.testing.assert_array_equal(again.predict(codes).mean, model.predict(codes).mean)


def test_the_steps_of_a_fit_grow_with_the_workloads(rows):
    told = []
    log = InMemoryLog(Evaluations.concat([rows.select(np.arange(3000)), rows_of("unet", 3000)]))
    options = {"members": 2, "steps": 30, "steps_per_workload": 20}
    DeepEnsemble(space=SPACE, on_progress=lambda *at: told.append(at), **options).fit(log, PROBLEM)
    assert told[-1] == (40, 40)
    DeepEnsemble(space=SPACE, on_progress=lambda *at: told.append(at), **options).fit(InMemoryLog(rows), PROBLEM)
    assert told[-1] == (30, 30)


def test_it_trains_on_one_thread_and_leaves_torch_as_it_was(rows):
    threads, told = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model = DeepEnsemble(space=SPACE, on_progress=lambda *_: told.append(torch.get_num_threads()), steps=3)
        model.fit(InMemoryLog(rows), PROBLEM)
        assert (told, torch.get_num_threads()) == ([1, 1, 1], 2)
    finally:
        torch.set_num_threads(threads)


def test_bad_settings_and_early_predictions_are_refused():
    with pytest.raises(ArmillaryError, match="loss 'hinge' is unknown"):
        DeepEnsemble(space=SPACE, loss="hinge")
    with pytest.raises(ArmillaryError, match="'width' is no setting"):
        DeepEnsemble(space=SPACE, width=3)
    with pytest.raises(ArmillaryError, match="has not been fitted"):
        DeepEnsemble(space=SPACE).predict(sample(SPACE, 1, "random", 0))


def test_one_member_alone_is_refused():
    with pytest.raises(ArmillaryError, match="members=1 must be at least 2"):
        DeepEnsemble(space=SPACE, members=1)


def test_a_log_without_the_area_can_be_learned_from(rows):
    metrics = {name: column for name, column in rows.metrics.items() if name != "area_mm2"}
    log = InMemoryLog(replace(rows, metrics=metrics))
    model = DeepEnsemble(space=SPACE, learn_beyond=False, steps=5).fit(log, PROBLEM)
    assert np.isfinite(model.predict(sample(SPACE, 3, "random", 0)).mean).all()
