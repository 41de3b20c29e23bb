"""What is known of a mapped layer before it is simulated."""

import numpy as np
import pytest

from armillary.hardware.templates.gemmini import SPACE
from armillary.surrogates.layers import Prior
from armillary.surrogates.starlight.encoding import NAMES
from armillary.surrogates.starlight.features import features_of
from armillary.testing.layer_surrogates import example
from armillary.types import MappedLayer


@pytest.fixture(scope="module")
def known():
    rows, prior = example(40)
    return rows.select(prior.feasible), prior.select(prior.feasible)


def features(rows, prior):
    return features_of(SPACE, rows.codes, rows.mapped, prior)


def test_the_delay_stands_over_the_tiles_of_scratchpad_and_accumulator(known):
    rows, prior = known
    text = "L3[WIO] K2 P4 - L2[WI] Q8 K4X - L1[O] C2 C4X - L0[W] P2"
    first = rows.mapped[0]
    mapped = [MappedLayer(first.design, first.layer, text)]
    one = Prior({"delay_cycles": np.array([2.0**12])}, np.array([True]), prior.source)
    found = features_of(SPACE, rows.codes[:1], mapped, one)[0]
    tiles = found[-len(NAMES) - 4 : -len(NAMES)]
    assert tiles == pytest.approx([3.0, 6.0, 12.0 - 3.0, 12.0 - 6.0])


def test_they_are_finite_and_each_row_has_its_own(known):
    rows, prior = known
    every = features(rows, prior)
    assert np.isfinite(every).all()
    order = np.array([3, 0, 5])
    np.testing.assert_array_equal(features(rows.select(order), prior.select(order)), every[order])


def test_no_truth_is_among_them(known):
    rows, prior = known
    other = type(rows)(**{**vars(rows), "delay_cycles": rows.delay_cycles[::-1], "energy_pj": rows.energy_pj[::-1]})
    np.testing.assert_array_equal(features(other, prior), features(rows, prior))
