"""The dissertation's Starlight as a surrogate of layers."""

from functools import partial

import numpy as np
import pytest

from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates.layers import LayerSurrogateKind, LearnsBeforehand, kind_of
from armillary.surrogates.starlight import paper
from armillary.surrogates.starlight.low import Schedule
from armillary.surrogates.starlight.paper import StarlightPaper
from armillary.testing.layer_surrogates import LayerSurrogateContract, analytical, example
from armillary.types import ArmillaryError

SHORT = partial(StarlightPaper, samples=1_000, schedule=Schedule(epochs=40, batch=64), epochs=60)


class TestStarlightPaper(LayerSurrogateContract):
    most_error = 0.6  # it does not start from the prior

    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return LayerSurrogateKind(SHORT, paper.KIND.read)

    def test_it_knows_how_many_rows_it_learned(self, fitted):
        facts = fitted.facts()
        assert facts["learned_from"] == example()[0].feasible.sum()
        assert 900 < facts["learned_beforehand"] <= 1_000
        assert np.isfinite(facts["likelihood"])


@pytest.fixture(scope="module")
def cheap():
    return analytical(200, StarlightPaper.analytical_options)


def shortest(**options):
    return StarlightPaper(SPACE, schedule=Schedule(epochs=1), epochs=1, **options)


def test_it_learns_many_rows_of_the_bound_beforehand():
    model = kind_of("starlight-paper").make(space=SPACE, metric="delay_cycles", seed=0)
    assert isinstance(model, LearnsBeforehand)
    assert (model.samples, dict(model.analytical_options)) == (65_536, {"timing": "roofline"})


def test_the_prior_decides_only_what_can_run(cheap):
    rows, prior = example(60)
    model = shortest()
    model.learn_beforehand(cheap)
    found = model.fit(rows, prior).predict_layers(rows.mapped, prior)
    np.testing.assert_array_equal(np.isnan(found.mean), ~prior.feasible)
    twice = type(prior)({name: 2 * column for name, column in prior.metrics.items()}, prior.feasible, prior.source)
    np.testing.assert_array_equal(model.predict_layers(rows.mapped, twice).mean, found.mean)


def test_energy_is_learned_from_energies(cheap):
    rows, prior = example(60)
    delays, energies = shortest(), shortest(metric="energy_pj")
    for model in (delays, energies):
        model.learn_beforehand(cheap)
        model.fit(rows, prior)
    known = rows.feasible
    said = [np.median(np.log(m.predict_layers(rows.mapped, prior).mean[known])) for m in (delays, energies)]
    true = [np.median(np.log(values[known])) for values in (rows.delay_cycles, rows.energy_pj)]
    assert said == pytest.approx(true, abs=1.5)
    assert abs(true[0] - true[1]) > 3.0


def test_what_it_cannot_learn_from_is_refused(cheap):
    rows, prior = example(60)
    with pytest.raises(ArmillaryError, match="metric 'area_mm2' is not allowed"):
        StarlightPaper(SPACE, "area_mm2")
    with pytest.raises(ArmillaryError, match="learns analytical rows beforehand; call learn_beforehand first"):
        shortest().fit(rows, prior)
    with pytest.raises(ArmillaryError, match="20 feasible analytical rows or more; there are 12"):
        shortest().learn_beforehand(cheap.select(np.flatnonzero(cheap.feasible)[:12]))
