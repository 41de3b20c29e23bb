import numpy as np
import pytest
from scipy.stats import kendalltau

from armillary import surrogates
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.surrogates.deep_ensemble import DeepEnsemble, Setting
from armillary.surrogates.hurdle import Hurdle
from armillary.surrogates.inputs import Inputs
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from surrogates.prime.test_surrogate import PROBLEM, rows_of

SHORT = {"steps": 500, "steps_per_workload": 0, "members": 3}
CODES = sample(SPACE, 500, "random", 4)
KNOWN, UNSEEN = (
    [context_of(zoo.build(name)) for name in names]
    for names in (("mobilenet_edgetpu", "mobilenet_v2"), ("unet", "t_rnn_dec"))
)


@pytest.fixture(scope="module")
def rows():
    return rows_of("mobilenet_v2", 4000)


@pytest.fixture(scope="module")
def fitted(rows):
    return Hurdle(space=SPACE, **SHORT).fit(InMemoryLog(rows), PROBLEM)


@pytest.fixture(scope="module")
def several(rows):
    both = Evaluations.concat([rows, rows_of("mobilenet_edgetpu", 4000)])
    return Hurdle(space=SPACE, **SHORT).fit(InMemoryLog(both), PROBLEM)


class TestHurdle(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, problem, seed: Hurdle(space=SPACE, seed=seed, **SHORT).fit(log, problem)


def test_a_smaller_chance_makes_a_design_look_worse(rows, fitted):
    blind = Hurdle(space=SPACE, surprise=0.0, **SHORT).fit(InMemoryLog(rows), PROBLEM)
    told, value = fitted.predict(CODES), blind.predict(CODES)
    (scale,) = fitted._fitted.scales
    np.testing.assert_allclose(told.mean, value.mean * told.p_feasible ** (-0.3 * scale.spread))
    assert (told.mean > value.mean).all()


def test_it_tells_feasible_from_infeasible(fitted):
    assert isinstance(fitted, surrogates.TellsReliability)
    assert fitted.brier < 0.15
    assert sum(rows for _, _, rows in fitted.reliability) > 100
    assert fitted.facts()["seconds"] > 0


def test_save_and_load_predict_the_same(several, tmp_path):
    several.save(tmp_path / "model.pt")
    loaded = surrogates.read(tmp_path / "model.pt", SPACE)
    assert type(loaded) is Hurdle
    for name in ("mean", "std", "p_feasible"):
        for context in (*KNOWN, *UNSEEN):
            ours, again = (getattr(model.predict(CODES, context), name) for model in (several, loaded))
            np.testing.assert_array_equal(again, ours)
    assert (loaded.problem.objectives, loaded.problem.bounds, loaded.facts(), loaded.reliability) == (
        several.problem.objectives,
        several.problem.bounds,
        {name: fact for name, fact in several.facts().items() if name != "seconds"},
        several.reliability,
    )
    less = several.leaning(0.25)
    less.save(tmp_path / "model.pt")
    again = surrogates.read(tmp_path / "model.pt", SPACE)
    np.testing.assert_array_equal(again.predict(CODES, UNSEEN[0]).mean, less.predict(CODES, UNSEEN[0]).mean)


def test_told_what_the_space_derives_it_ranks_what_no_row_of_the_log_is_as_good_as(rows):
    """The log lacks the fast designs, as PRIME's do; three seeds each."""
    slow = rows.select(~rows.feasible | (rows.metrics["runtime_s"] > np.nanquantile(rows.metrics["runtime_s"], 0.3)))
    fresh = rows_of("mobilenet_v2", 20_000, seed=5)
    fast = fresh.select(fresh.metrics["runtime_s"] < np.nanmin(slow.metrics["runtime_s"]))
    codes = SPACE.encode_columns(fast.design)

    def kendall(derived, seed):
        options = {**SHORT, "steps": 300, "members": 2, "surprise": 0.0}
        model = Hurdle(space=SPACE, seed=seed, derived=derived, **options).fit(InMemoryLog(slow), PROBLEM)
        return kendalltau(model.predict(codes).mean, fast.metrics["runtime_s"]).statistic

    with_it, without = (np.mean([kendall(derived, seed) for seed in range(3)]) for derived in (True, False))
    assert with_it > without + 0.02


def test_several_unseen_workloads_ask_the_networks_once_for_each_that_is_known(several, monkeypatch):
    asked, call = [], Inputs.__call__
    monkeypatch.setattr(Inputs, "__call__", lambda *args: asked.append(args) or call(*args))
    model = several.leaning(0.5)  # which remembers nothing yet
    first, second = (model.predict(CODES, context).mean for context in UNSEEN)
    assert len(asked) == 2 + len(UNSEEN)
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(model.predict(CODES[::-1], UNSEEN[0]).mean, first[::-1], rtol=1e-5)


def test_another_fit_forgets_what_it_remembers(rows):
    model = Hurdle(space=SPACE, **SHORT)
    before, after = (model.fit(InMemoryLog(part), PROBLEM).predict(CODES).mean for part in (rows, rows_of("unet")))
    assert not np.allclose(before, after)


def test_of_an_unseen_workload_it_leans_on_those_it_knows(several):
    trusting, leaning = several.leaning(0.0), several.leaning(1.0)
    known = [trusting.predict(CODES, context) for context in KNOWN]
    for context in UNSEEN:
        value, _, chance = leaning.said(CODES, context.vector())
        np.testing.assert_allclose(value, np.mean([trusting.said(CODES, c.vector())[0] for c in KNOWN], axis=0))
        np.testing.assert_allclose(chance, np.sqrt(known[0].p_feasible * known[1].p_feasible))
        half = several.said(CODES, context.vector())[0]
        np.testing.assert_allclose(half, (value + trusting.said(CODES, context.vector())[0]) / 2)
    for context, own in zip(KNOWN, known, strict=True):
        np.testing.assert_array_equal(leaning.predict(CODES, context).mean, own.mean)


def test_warnings_are_those_of_its_log(fitted):
    assert fitted.below_the_log("area_mm2", 0.1) is not None
    assert fitted.below_the_log("area_mm2", 29.0) is None
    assert fitted.unlike(context_of(zoo.build("mobilenet_v2"))) is None


def test_bad_settings_and_other_models_are_refused(fitted, rows, tmp_path):
    with pytest.raises(ArmillaryError, match=r"lean=1.5 is not allowed"):
        Hurdle(space=SPACE, lean=1.5)
    with pytest.raises(ArmillaryError, match="'width' is no setting"):
        Hurdle(space=SPACE, width=3)
    with pytest.raises(ArmillaryError, match="has not been fitted"):
        Hurdle(space=SPACE).predict(CODES)
    fitted.save(tmp_path / "hurdle.pt")
    with pytest.raises(ArmillaryError, match="holds a model of kind 'hurdle', not 'deep-ensemble'"):
        DeepEnsemble.load(tmp_path / "hurdle.pt", space=SPACE)


def test_progress_grows_to_the_end(rows):
    told = []
    options = {**SHORT, "steps": 20, "steps_per_workload": 30}
    Hurdle(space=SPACE, on_progress=lambda *at: told.append(at), **options).fit(InMemoryLog(rows), PROBLEM)
    assert told == [(step, 30) for step in range(1, 31)]


def test_a_setting_of_its_own_is_kept(rows, tmp_path):
    model = Hurdle(space=SPACE, caution=1.0, **{**SHORT, "steps": 20}).fit(InMemoryLog(rows), PROBLEM)
    model.save(tmp_path / "m.model")
    again = surrogates.read(tmp_path / "m.model", SPACE)
    np.testing.assert_allclose(again.predict(CODES).mean, model.predict(CODES).mean)
    assert Hurdle(space=SPACE, setting=Setting(caution=0.2))._setting == Setting(caution=0.2)
