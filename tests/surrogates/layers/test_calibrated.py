"""A factor on what a cheap evaluator says."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates import layers, model_file
from armillary.surrogates.layers import calibrated
from armillary.surrogates.layers.calibrated import Calibrated
from armillary.testing.layer_surrogates import FACTOR, LayerSurrogateContract, example
from armillary.types import ArmillaryError


class TestCalibrated(LayerSurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return calibrated.KIND


@pytest.fixture(scope="module")
def rows_and_prior():
    return example()


def fitted(rows, prior, metric="delay_cycles"):
    return Calibrated(SPACE, metric).fit(rows, prior)


def test_the_factor_is_the_median_ratio(rows_and_prior):
    rows, prior = rows_and_prior
    assert fitted(rows, prior).facts()["factor"] == pytest.approx(FACTOR, rel=0.01)
    assert fitted(rows, prior, "energy_pj").facts()["factor"] == 1.0
    delay = rows.delay_cycles.copy()
    delay[np.flatnonzero(rows.feasible)[:20]] *= 1000  # of seventy and more
    assert fitted(replace(rows, delay_cycles=delay), prior).facts()["factor"] == pytest.approx(FACTOR, rel=0.02)


def test_the_interval_is_that_of_layers_that_were_held_out(rows_and_prior):
    """Each layer has a factor of its own: within a layer nothing varies, from layer to layer much."""
    rows, prior = rows_and_prior
    own = np.array([1.0, 2.0, 4.0, 8.0, 16.0])[rows.layer]
    model = fitted(replace(rows, delay_cycles=own * prior.metrics["delay_cycles"]), prior)
    found = model.predict_layers(rows.mapped, prior)
    known = rows.feasible
    assert model.facts()["factor"] == pytest.approx(4.0)
    # the ends are the extreme layers' residuals: of 16 from the median of the others, 2 to 4; of 1 from 4 to 8
    assert ((found.high / found.mean)[known] >= 3.99).all()
    assert ((found.high / found.mean)[known] <= 8.01).all()
    assert ((found.low / found.mean)[known] >= 0.124).all()
    assert ((found.low / found.mean)[known] <= 0.251).all()


def test_chances_count_what_came_of_the_evaluators_word(rows_and_prior):
    rows, prior = rows_and_prior
    said = np.flatnonzero(prior.feasible)
    feasible = prior.feasible.copy()
    feasible[said[: len(said) // 2]] = False
    found = fitted(replace(rows, feasible=feasible), prior).predict_layers(rows.mapped, prior)
    assert found.p_feasible[said] == pytest.approx((len(said) - len(said) // 2 + 1) / (len(said) + 2))
    others = int((~prior.feasible).sum())
    assert others > 5
    assert found.p_feasible[~prior.feasible] == pytest.approx(1 / (others + 2))
    assert np.isnan(found.mean[~prior.feasible]).all()


def test_another_metric_and_one_layer_are_refused(rows_and_prior):
    rows, prior = rows_and_prior
    with pytest.raises(ArmillaryError, match="metric 'area_mm2' is not allowed"):
        Calibrated(SPACE, "area_mm2")
    with pytest.raises(ArmillaryError, match=r"two layers or more; there are .* of 1"):
        fitted(replace(rows, layer=np.zeros_like(rows.layer)), prior)


def test_a_model_of_another_kind_predicts_no_layers(tmp_path, rows_and_prior):
    path = tmp_path / "model.pt"
    fitted(*rows_and_prior).save(path)
    assert layers.read(path, SPACE).metric == "delay_cycles"
    assert (model_file.kind_of(path), model_file.space_of(path)) == ("calibrated", "gemmini")
    from armillary.problems.problem import Problem

    model_file.save(path, "hurdle", SPACE, Problem.minimising(SPACE), {}, {})
    with pytest.raises(ArmillaryError, match=r"kind 'hurdle', which predicts no layers; those are \['calibrated', "):
        layers.read(path, SPACE)
