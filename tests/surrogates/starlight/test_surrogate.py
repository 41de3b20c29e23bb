"""Starlight as a surrogate of layers."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates.layers import Prior
from armillary.surrogates.starlight import surrogate
from armillary.surrogates.starlight.surrogate import Starlight
from armillary.testing.layer_surrogates import LayerSurrogateContract, example


class TestStarlight(LayerSurrogateContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kind(cls):
        return surrogate.KIND


def test_an_update_learns_rows_that_the_fit_did_not_know():
    """The rows that come later take three times as long as the others: only the update tells."""
    rows, prior = example(120)
    first = np.arange(60)
    model = Starlight(SPACE).fit(rows.select(first), prior.select(first))
    late = rows.hardware == rows.hardware[-1]
    slow = replace(rows, delay_cycles=np.where(late, 3.0, 1.0) * rows.delay_cycles)
    before = model.predict_layers(slow.mapped, prior)
    after = model.update(slow, prior).predict_layers(slow.mapped, prior)
    known = late & rows.feasible
    assert known.any()
    off = [np.abs(np.log(found.mean / slow.delay_cycles))[known].mean() for found in (before, after)]
    assert off[1] < 0.7 * off[0]
    assert model.facts()["learned_from"] == rows.feasible.sum()


def test_priors_join_row_by_row():
    _, prior = example(40)
    parts = [prior.select(np.arange(15)), prior.select(np.arange(15, 40))]
    joined = Prior.joined(parts)
    assert joined.source == prior.source
    np.testing.assert_array_equal(joined.feasible, prior.feasible)
    for name, column in prior.metrics.items():
        np.testing.assert_array_equal(joined.metrics[name], column)
