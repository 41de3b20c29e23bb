from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks.starlight.scores import Guess, over_repeats, scores, within
from benchmarks.starlight.rows import rows


def test_scores_of_a_constant_factor():
    some = rows()
    true = some.data.delay_cycles
    found = scores(Guess(1.1 * true, 1.05 * true, 1.2 * true), some)
    assert found["mean_error"] == pytest.approx(0.1)
    assert found["rmsle"] == pytest.approx(np.log(1.1))
    assert found["coverage"] == 0.0
    for name in ("spearman", "spearman_edp", "within_layer"):
        assert found[name] == pytest.approx(1.0)
    half = np.arange(len(some)) % 2 == 0
    assert scores(Guess(true, np.where(half, 0.9, 1.01) * true, 1.1 * true), some)["coverage"] == half.mean()
    assert scores(Guess(true), some)["coverage"] is None


def test_edp_has_the_rows_own_energy():
    some = rows()
    falling = replace(some.data, energy_pj=some.data.delay_cycles**-2)
    found = scores(Guess(np.ones(len(some))), replace(some, data=falling))
    assert found["spearman"] is None
    assert found["spearman_edp"] == pytest.approx(1.0)


def test_ranks_are_within_groups_that_are_large_enough():
    true = np.arange(11.0)
    said = np.array([0, 1, 2, 3, 7, 6, 5, 4, 10, 9, 8.0])
    groups = np.repeat([5, 2, 9], [4, 4, 3])
    assert within(groups, said, true) == pytest.approx(0.0)  # the median of 1 and -1; three rows are too few
    assert within(groups, said, true, smallest=3) == pytest.approx(-1.0)
    assert within(groups[8:], said[8:], true[8:]) is None


def test_repeats_give_medians_and_the_worst_rank():
    found = over_repeats(
        [{"spearman": s, "rmsle": r, "coverage": None} for s, r in ((0.9, 1.0), (0.7, 3.0), (0.8, 2.5))]
    )
    assert found == {"spearman": 0.8, "worst_spearman": 0.7, "rmsle": 2.5, "coverage": None}
