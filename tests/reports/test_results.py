from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from armillary.hardware.templates.edge_tpu import TEMPLATE
from armillary.problems.criteria import Bound
from armillary.problems.problem import Problem
from armillary.studies.results import Candidates, Contender, Proof, Selection, Trial
from armillary.types import Design, Failure
from reports.plausible import explained


def test_a_contender_that_failed_is_not_explained(results):
    with pytest.raises(ValueError, match=r"contender Winner failed \(area_mm2\) and so cannot be explained"):
        replace(results.winner, failure=Failure("infeasible", "area_mm2"))


def test_a_contender_without_an_explanation_has_no_parts(results):
    bare = replace(results.winner, explanation=None)
    assert (bare.layers, bare.rates) == ((), None)
    assert {*bare.area_parts_mm2, *bare.energy_parts_pj, *bare.overhead_s} == set()
    assert bare.layer_seconds().shape == (0,)


def test_layers_take_their_cycles_at_the_clock(results):
    cycles = [layer.delay_cycles for layer in results.winner.layers]
    assert results.winner.layer_seconds().tolist() == pytest.approx([c / 800e6 for c in cycles])


def test_a_proof_has_a_prediction_for_every_row(results):
    with pytest.raises(ValueError, match=r"cheaper has shape \(2,\), expected \(3,\)"):
        Proof(results.log.select(slice(0, 3)), np.zeros(2))


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
        replace(results, baseline=explained(results.baseline, layers=results.baseline.layers[1:]))
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


def test_only_bounds_that_leave_designs_out_are_told(results):
    largest = float(TEMPLATE.area_mm2(np.array([results.space.cardinalities]) - 1)[0])
    for area, told in ((largest, {}), (0.999 * largest, {"area_mm2": 0.999 * largest})):
        bounds = (Bound("area_mm2", at_most=area), Bound("power_mw", at_most=1e12))
        study = replace(results, problem=replace(results.problem, bounds=bounds))
        assert study.bounds == {**told, "power_mw": 1e12}  # no law tells of a power


def test_metrics_that_follow_from_others_are_measured(results):
    log, feasible = results.log, results.log.feasible
    power = log.metrics["energy_pj"] * 1e-9 / log.metrics["runtime_s"]
    bound = float(np.median(power[feasible]))
    study = replace(results, problem=Problem.minimising(results.space, "edp_pj_cycles", {"power_mw": bound}))
    assert np.array_equal(study.legal(log)[feasible], (power <= bound)[feasible])
    assert 0 < study.legal(log).sum() < feasible.sum()
    assert np.isnan(study.measured(log)[~feasible]).all()


def test_rows_that_lack_a_metric_are_not_legal(results):
    bare = replace(results.log, metrics={})
    assert not results.legal(bare).any()
    assert np.isnan(results.measured(bare)).all()
