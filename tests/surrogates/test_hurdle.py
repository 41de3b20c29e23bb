import numpy as np
import pytest

from armillary import surrogates
from armillary.hardware.templates.edge_tpu import SPACE
from armillary.log.store import InMemoryLog
from armillary.spaces.samplers import sample
from armillary.surrogates import hurdle as module
from armillary.surrogates.deep_ensemble import DeepEnsemble
from armillary.surrogates.hurdle import Hurdle
from armillary.surrogates.prime_fitted import FittedPrime
from armillary.surrogates.prime_training import Rung, Schedule
from armillary.testing.surrogates import SurrogateContract
from armillary.types import ArmillaryError, Evaluations
from armillary.workloads import zoo
from armillary.workloads.context import context_of
from surrogates.test_prime import OBJECTIVE, rows_of

SHORT = Schedule(rungs=(Rung(1, 20),), warmup=100, batch=32, learning_rate=1e-3, refit=100)
CODES = sample(SPACE, 500, "random", 4)


class BriefEnsemble(DeepEnsemble):
    """A deep ensemble of fewer steps."""

    def __init__(self, **options):
        super().__init__(**options, steps=300)


@pytest.fixture(scope="module", autouse=True)
def brief():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DeepEnsemble", BriefEnsemble)
        yield


def hurdle(**options):
    return Hurdle(space=SPACE, schedule=SHORT, **options)


@pytest.fixture(scope="module")
def rows():
    return rows_of("mobilenet_v2", 4000)


@pytest.fixture(scope="module")
def fitted(rows):
    return hurdle().fit(InMemoryLog(rows), OBJECTIVE)


class TestHurdle(SurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls):
        return lambda log, objective, seed: hurdle(seed=seed).fit(log, objective)


def test_a_smaller_chance_makes_a_design_look_worse(rows, fitted):
    blind = hurdle(surprise=0.0).fit(InMemoryLog(rows), OBJECTIVE)
    told, value = fitted.predict(CODES), blind.predict(CODES)
    np.testing.assert_allclose(told.mean, value.mean * told.p_feasible**-0.2)
    assert (told.mean > value.mean).all()


def test_it_tells_feasible_from_infeasible(fitted):
    assert isinstance(fitted, surrogates.TellsReliability)
    assert fitted.brier < 0.15
    assert sum(rows for _, _, rows in fitted.reliability) > 100
    assert fitted.facts()["seconds"] > 0


def test_save_and_load_predict_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "model.pt")
    loaded = surrogates.read(tmp_path / "model.pt", SPACE)
    assert isinstance(loaded, Hurdle)
    assert (loaded._surprise, loaded._lean) == (fitted._surprise, fitted._lean)
    for name in ("mean", "std", "p_feasible"):
        np.testing.assert_array_equal(getattr(loaded.predict(CODES), name), getattr(fitted.predict(CODES), name))
    assert (loaded.objective, loaded.facts(), loaded.reliability) == (
        fitted.objective,
        fitted.facts(),
        fitted.reliability,
    )


def test_several_unseen_workloads_ask_the_network_once_for_each_that_is_known(rows, monkeypatch):
    both = InMemoryLog(Evaluations.concat([rows, rows_of("m6_like")]))
    fitted = hurdle().fit(both, OBJECTIVE)
    asked, standard = [], FittedPrime.standard
    monkeypatch.setattr(FittedPrime, "standard", lambda *args: asked.append(args) or standard(*args))
    unseen = [context_of(zoo.build(name)) for name in ("unet", "m4_like")]
    first, second = (fitted.predict(CODES, context).mean for context in unseen)
    assert len(asked) == 2 + len(unseen)
    assert not np.array_equal(first, second)
    assert np.allclose(fitted.predict(CODES[::-1], unseen[0]).mean, first[::-1])


def test_of_an_unseen_workload_it_leans_on_those_it_knows(rows):
    both = InMemoryLog(Evaluations.concat([rows, rows_of("mobilenet_edgetpu", 4000)]))
    fitted = hurdle(lean=1.0, surprise=0.0).fit(both, OBJECTIVE)
    known = [context_of(zoo.build(name)) for name in ("mobilenet_v2", "mobilenet_edgetpu")]
    unseen = [context_of(zoo.build(name)) for name in ("unet", "t_rnn_dec")]
    orders = [np.argsort(fitted.predict(CODES, context).mean) for context in unseen]
    np.testing.assert_array_equal(*orders)  # all lean, no context: only the scales differ
    standard = np.mean([fitted._standard(CODES, row)[0] for row in fitted._value.fitted.contexts], axis=0)
    np.testing.assert_array_equal(orders[0], np.argsort(standard))
    leaning = [fitted.predict(CODES, context).mean for context in [*known, *unseen]]
    fitted._lean = 0.0
    trusting = [fitted.predict(CODES, context).mean for context in [*known, *unseen]]
    same = [np.array_equal(*means) for means in zip(leaning, trusting, strict=True)]
    assert same == [True, True, False, False]


def test_of_several_workloads_the_value_is_the_mean_of_both_networks(rows, fitted):
    both = InMemoryLog(Evaluations.concat([rows, rows_of("mobilenet_edgetpu", 4000)]))
    several = hurdle(surprise=0.0).fit(both, OBJECTIVE)
    context = context_of(zoo.build("mobilenet_v2"))
    features = several._value.fitted.features(context.as_dict())
    parts = [part.standard(CODES, features)[0] for part in (several._value.fitted, several._chance)]
    assert not np.allclose(*parts)
    scale = several._value.fitted.scale(features)
    np.testing.assert_allclose(several.predict(CODES, context).mean, scale.restore(np.mean(parts, axis=0)))
    alone, value = fitted.predict(CODES, context), fitted._value.predict(CODES, context)
    np.testing.assert_allclose(alone.mean, value.mean * alone.p_feasible**-0.2)


def test_warnings_are_those_of_its_parts(fitted):
    assert fitted.below_the_log(0.1) is not None
    assert fitted.below_the_log(29.0) is None
    assert fitted.unlike(context_of(zoo.build("mobilenet_v2"))) is None


def test_bad_settings_and_other_models_are_refused(fitted, tmp_path):
    with pytest.raises(ArmillaryError, match=r"surprise=-1 is not allowed"):
        hurdle(surprise=-1)
    with pytest.raises(ArmillaryError, match=r"lean=1.5 is not allowed"):
        hurdle(lean=1.5)
    with pytest.raises(ArmillaryError, match="has not been fitted"):
        hurdle().predict(CODES)
    fitted._chance.save(tmp_path / "other.pt")
    with pytest.raises(ArmillaryError, match="holds a model of kind 'deep-ensemble', not 'hurdle'"):
        Hurdle.load(tmp_path / "other.pt", space=SPACE)


def test_progress_grows_to_the_end(rows):
    told = []
    hurdle(on_progress=lambda done, total: told.append((done, total))).fit(InMemoryLog(rows), OBJECTIVE)
    done = [d for d, _ in told]
    assert done == sorted(done)
    assert told[-1] == (1000, 1000)
    assert {total for _, total in told} == {1000}
