from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary.reports.content import (
    BOUNDS,
    Candidates,
    ChipRates,
    Contender,
    LayerResult,
    Selection,
    Trial,
)
from armillary.types import Design, Failure


def layer(**changes):
    usual = LayerResult("a", "conv", 1, 100.0, 10.0, 5.0, 10.0, 1.0, 50.0, 0.5, "dram")
    return replace(usual, **changes)


def test_intensity_is_work_per_dram_byte():
    assert layer().macs_per_dram_byte == 2.0
    assert layer(dram_bytes=0.0).macs_per_dram_byte == float("inf")


def test_an_unknown_bound_is_refused():
    with pytest.raises(ValueError, match=r"layer a: bound='luck' is not allowed; choose one of \['compute'"):
        layer(bound="luck")


def test_rates_are_positive():
    with pytest.raises(ValueError, match=r"clock_hz=0 is not allowed; it must be positive"):
        ChipRates(0, 1.0, 1.0)


def test_layers_need_rates_and_no_failure(results):
    with pytest.raises(ValueError, match="has layers but no rates"):
        replace(results.winner, rates=None)
    with pytest.raises(ValueError, match="cannot have layers"):
        replace(results.winner, failure=Failure("infeasible", "area_mm2"))


def test_predictions_match_the_candidates_in_number(results):
    with pytest.raises(ValueError, match=r"predicted has shape \(3,\), expected \(256,\)"):
        Candidates(results.candidates.evaluations, np.zeros(3))


def test_the_chosen_trial_exists():
    with pytest.raises(ValueError, match="chosen=1 is not allowed; there are 1 trials"):
        Selection((Trial(0.1, 0.1, 100, 0.5),), 1)


def test_contenders_are_of_one_space_one_workload_and_distinct_names(results):
    foreign = Contender("Foreign", Design("elsewhere", ()), {})
    with pytest.raises(ValueError, match="contender Foreign is a design of 'elsewhere', not of 'edge_tpu'"):
        replace(results, baseline=foreign)
    with pytest.raises(ValueError, match="list different layers"):
        replace(results, baseline=replace(results.baseline, layers=results.baseline.layers[1:]))
    with pytest.raises(ValueError, match="two contenders share a name"):
        replace(results, baseline=replace(results.baseline, name="Winner"))


def test_the_best_of_the_log_is_listed_once(results):
    assert [role for role, _ in results.contenders()] == ["winner", "log", "baseline"]
    same = replace(results, winner=results.best_of_log)
    assert [role for role, _ in same.contenders()] == ["winner", "baseline"]
    assert same.winner_is_from_log


def test_legal_rows_are_feasible_and_within_bounds(results):
    legal = results.legal(results.log)
    assert 0 < legal.sum() < results.log.feasible.sum()
    assert (results.log.metrics["area_mm2"][legal] <= 29.0).all()
    assert not (legal & ~results.log.feasible).any()


def test_rows_that_lack_a_metric_are_not_legal(results):
    bare = replace(results.log, metrics={})
    assert not results.legal(bare).any()
    assert np.isnan(results.measured(bare)).all()


def test_bounds_name_every_limit():
    assert set(BOUNDS) == {"compute", "dram", "on-chip", "overhead"}
