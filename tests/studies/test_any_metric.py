"""Studies of metrics that no row tells, that follow from others, or that only some designs have."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from armillary import evaluators
from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator
from armillary.evaluators.kind import EvaluatorKind, Options
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.problems.criteria import Objective, upper_bounds
from armillary.spaces.samplers import sample
from armillary.studies.comparing import compared
from armillary.studies.design import DesignRequest, run_design
from armillary.studies.goals import options_for
from armillary.studies.importance import importances
from armillary.studies.search import SearchRequest, load_search, run_search
from armillary.studies.stages import Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Candidate, Cost, Fidelity

BOUNDS = {"area_mm2": 29.0}
SEARCH = SearchRequest("w", "d", "edge_tpu", "random", 300, bounds=upper_bounds(BOUNDS))
DESIGN = DesignRequest("w", "d", "edge_tpu", upper_bounds(BOUNDS), samples=1500, top=8)
SPEC = evaluators.spec_of("edge_tpu", Fidelity.ANALYTICAL)


@pytest.fixture(scope="module")
def rows(workload, template):
    return EdgeTpuEvaluator().evaluate_codes(sample(template.space, 2000, "random", 0), workload)


@pytest.fixture
def setting(template, workload, tmp_path):
    return Setting(
        folder=StudyFolder(tmp_path),
        template=template,
        workload=workload,
        problem=template.problem("power_mw", BOUNDS),
        spec=SPEC,
        executor=LocalExecutor(),
        log=Log(tmp_path / "log"),
        command="",
    )


def power_mw(metrics):
    return metrics["energy_pj"] * 1e-9 / metrics["runtime_s"]


@pytest.mark.usefixtures("short_schedule")
def test_designs_for_a_metric_that_follows_from_others(template, workload, tmp_path):
    request = replace(
        DESIGN, objectives=(Objective("power_mw"),), bounds=upper_bounds({**BOUNDS, "runtime_area_s_mm2": 0.1})
    )
    study = run_design(request, template, workload, StudyFolder(tmp_path), command="")
    assert study.winner.metrics["power_mw"] == pytest.approx(power_mw(study.winner.metrics))
    assert study.winner.metrics["runtime_area_s_mm2"] <= 0.1
    assert study.winner.metrics["power_mw"] <= study.best_of_log.metrics["power_mw"]
    legal = study.legal(study.log)
    assert study.measured(study.log)[legal].min() == pytest.approx(study.best_of_log.metrics["power_mw"])
    assert sum(study.importances.shares.values()) == pytest.approx(1.0)


def test_searches_for_a_metric_that_follows_from_others(template, workload, tmp_path):
    run_search(replace(SEARCH, objectives=(Objective("power_mw"),)), template, workload, StudyFolder(tmp_path))
    study = load_search(StudyFolder(tmp_path), template, workload)
    powers = study.measured(study.log)[study.legal(study.log)]
    assert study.winner.metrics["power_mw"] == pytest.approx(powers.min())
    assert powers.max() > powers.min()


def test_misses_a_metric_that_the_evaluator_does_not_tell(template, workload, tmp_path):
    wanted = "no metric 'dram_stall_cycles', which is the objective; they have .*'runtime_s'"
    for run, request in ((run_search, SEARCH), (run_design, DESIGN)):
        folder = StudyFolder(tmp_path / run.__name__)
        with pytest.raises(ArmillaryError, match=wanted):
            run(replace(request, objectives=(Objective("dram_stall_cycles"),)), template, workload, folder, command="")
    assert len(Log(tmp_path / "run_search" / "log").evaluations("edge_tpu")) < SEARCH.budget  # not after all of it
    with pytest.raises(ArmillaryError, match="'busy_cycles', which the objective bounds"):
        run_search(
            replace(SEARCH, bounds=upper_bounds({"busy_cycles": 1.0})), template, workload, StudyFolder(tmp_path / "s")
        )


def test_what_never_reached_a_feasible_design_is_not_missed(rows, template):
    failed = rows.select(~rows.feasible)
    assert np.isinf(template.problem("dram_stall_cycles").values(replace(failed, metrics={}))).all()


def test_importances_need_positive_numbers_of_enough_designs(rows, template):
    problem = template.problem("runtime_s", BOUNDS)
    runtime = rows.metrics["runtime_s"].copy()
    runtime[np.flatnonzero(rows.feasible)[:50]] = 0.0
    some_zero = importances(rows.with_metrics({"runtime_s": runtime}), problem, 0)
    assert sum(some_zero.values()) == pytest.approx(1.0)
    few = importances(rows.select(np.flatnonzero(rows.feasible)[:5]), problem, 0)
    assert few == dict.fromkeys(template.space.names, 0.0)


def test_importances_of_what_is_maximised_are_those_of_its_reciprocal(rows, template):
    most = replace(template.problem(), objectives=(Objective("runtime_s", "maximize"),))
    inverse = rows.with_metrics({"runtime_s": 1 / rows.metrics["runtime_s"]})
    assert importances(rows, most, 0) == pytest.approx(importances(inverse, template.problem(), 0))


class OwnGoal(Options):
    """A goal that is no mapper's."""

    goal: Literal["spin", "rest"] = "spin"


class Mapped(Options):
    """The goal of a mapper."""

    goal: Literal["edp", "delay", "energy"] = "edp"


@pytest.mark.parametrize(("options", "found"), [(OwnGoal, {}), (Mapped, {"goal": "energy"})])
def test_a_goal_of_an_evaluators_own_is_left_alone(monkeypatch, options, found):
    kind = EvaluatorKind("t", Fidelity.ANALYTICAL, "t", "1", Cost.SECONDS, lambda spec, own: None, options)
    monkeypatch.setattr(evaluators, "kind_of", lambda template, fidelity: kind)
    assert options_for("t", Fidelity.ANALYTICAL, ["energy_pj"], {}) == found


class BrokenForTheBaseline:
    """The Edge TPU's evaluator, whose tool breaks on one design."""

    spec = SPEC

    def __init__(self, broken):
        self._broken = broken

    def evaluate(self, candidates, workload):
        if any(candidate.design == self._broken for candidate in candidates):
            raise RuntimeError("the tool broke")
        return EdgeTpuEvaluator().evaluate(candidates, workload)


def test_a_baseline_whose_evaluation_breaks_ends_no_study(setting, template, workload):
    evaluator = BrokenForTheBaseline(template.baseline)
    best = next(e for e in evaluator.evaluate(
        [Candidate(d) for d in template.space.designs(sample(template.space, 20, "random", 1))], workload
    ) if e.feasible)  # fmt: skip
    found = compared(replace(setting, executor=LocalExecutor(make=lambda spec: evaluator)), best, "", best, "")
    assert str(found.baseline.failure) == "error: RuntimeError: the tool broke"
    assert found.winner.metrics["power_mw"] == pytest.approx(power_mw(best.metrics))


def test_without_a_baseline_there_is_none(setting, template, workload):
    best = EdgeTpuEvaluator().evaluate([Candidate(template.baseline)], workload)[0]
    bare = replace(setting, template=replace(template, baseline=None))
    assert compared(bare, best, "", best, "").baseline is None
