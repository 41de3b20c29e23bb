import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from armillary.evaluators import spec_of
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.problems.criteria import Objective, upper_bounds
from armillary.reports.page import charts, write_report
from armillary.studies import design as module
from armillary.studies.collect import collect
from armillary.studies.design import DesignRequest, load_design, run_design
from armillary.studies.design_file import read_design
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Layer, LayerUse, Workload

REQUEST = DesignRequest(
    source="mobilenet_v2",
    digest="d",
    template="edge_tpu",
    bounds=upper_bounds({"area_mm2": 29.0}),
    samples=3000,
    top=32,
    schedule="quick",
)

pytestmark = pytest.mark.usefixtures("short_schedule")


def run(folder, template, workload, request=REQUEST, **options):
    return run_design(request, template, workload, StudyFolder(folder), command="armillary design", **options)


def collected(template, workload, log, samples):
    spec = spec_of("edge_tpu", Fidelity.ANALYTICAL)
    return collect(template, workload, LocalExecutor(log), spec, samples=samples)


@pytest.fixture
def finished(tmp_path_factory, template, workload):
    """A finished study; made once, copied for every test."""
    kept = tmp_path_factory.getbasetemp() / "finished"
    if not kept.exists():
        run(kept, template, workload)
    copy = tmp_path_factory.mktemp("study") / "study"
    shutil.copytree(kept, copy)
    return copy


def test_ends_with_a_verified_design_within_the_bound(finished, template, workload):
    study = load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))
    assert study.winner.metrics["area_mm2"] <= 29.0
    assert study.winner.metrics["runtime_s"] <= study.best_of_log.metrics["runtime_s"]
    assert len(study.candidates.evaluations) == len(study.candidates.predicted) == 32
    assert len(study.log) == 3000
    assert set(study.stage_seconds) == set(module.STAGES)
    written = read_design(finished / "design.yaml", template.space)
    assert written == study.winner.design
    assert yaml.safe_load((finished / "design.yaml").read_text())["workload"] == workload.name


def test_proposals_are_designs_the_log_did_not_have(finished, template):
    study = load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))
    logged = set(map(tuple, template.space.encode_columns(study.log.design).tolist()))
    assert not logged & set(map(tuple, template.space.encode_columns(study.candidates.evaluations.design).tolist()))


def test_a_finished_study_is_not_done_again(finished, template, workload):
    def fail(stage, done, total):
        assert stage in ("evaluating mobilenet_v2", "comparing"), stage

    before = (finished / "design.yaml").read_text()
    run(finished, template, workload, on_progress=fail)
    assert (finished / "design.yaml").read_text() == before


def test_resumes_after_interruptions_in_every_stage(finished, template, workload, tmp_path):
    """One study is interrupted at the start and at the end of every stage, and resumed each time."""
    seen, met = [], set()

    def interrupt(*step):
        seen.append(step)
        stage, done, total = step
        for when, due in (("start", True), ("end", done == total)):
            if due and (stage, when) not in met:
                met.add((stage, when))
                raise KeyboardInterrupt

    for _ in range(20):
        try:
            run(tmp_path / "s", template, workload, on_progress=interrupt)
            break
        except KeyboardInterrupt:
            continue
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages == [
        "evaluating mobilenet_v2", "training hurdle", "optimising the surrogate", "verifying candidates",
        "comparing",
    ]  # fmt: skip
    assert met == {(stage, when) for stage in stages for when in ("start", "end")}
    assert (tmp_path / "s" / "design.yaml").read_text() == (finished / "design.yaml").read_text()
    assert told(Log(tmp_path / "s" / "log"), template.space) == told(Log(finished / "log"), template.space)


def told(log, space):
    """Return what a log says, in no order and without when and how long."""
    rows = log.evaluations(space.name)
    runtimes = np.nan_to_num(rows.metrics["runtime_s"], nan=-1.0)
    return sorted(zip(map(tuple, space.encode_columns(rows.design).tolist()), runtimes.tolist(), strict=True))


def test_killed_between_the_two_appends_of_verified_candidates(finished, template, workload):
    """The log has the candidates already, the study does not know it: they are not logged twice."""
    shutil.rmtree(finished / "verified")
    before = (finished / "design.yaml").read_text()
    run(finished, template, workload)
    assert len(Log(finished / "log")) == 3032
    assert (finished / "design.yaml").read_text() == before


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"sampler": "sobel"}, "did you mean 'sobol'"),
        ({"schedule": "long", "surrogate": "prime"}, "schedule 'long' is unknown"),
        ({"surrogate": "coms"}, "surrogate 'coms' has no model file"),
        ({"surrogate": "prim"}, "did you mean 'prime'"),
        ({"bounds": upper_bounds({"area_mm2": 0.001})}, "the least of any design of edge_tpu is"),
        ({"bounds": upper_bounds({"area_mm2": -1.0})}, "must be a positive number"),
        ({"objectives": (Objective("speed"),)}, "unknown metric 'speed'"),
    ],
    ids=str,
)
def test_a_wrong_request_takes_no_folder(wrong, match, template, workload, tmp_path):
    with pytest.raises(ArmillaryError, match=match):
        run(tmp_path / "s", template, workload, replace(REQUEST, **wrong))
    assert not (tmp_path / "s").exists()


def test_a_folder_serves_one_request(finished, template, workload):
    with pytest.raises(
        ArmillaryError,
        match=r"holds a study with bounds=\[\{'metric': 'area_mm2', 'at_most': 29\.0, .*\], not \[.*18\.0",
    ):
        run(finished, template, workload, replace(REQUEST, bounds=upper_bounds({"area_mm2": 18.0})))


def test_reuses_and_extends_a_log(template, workload, tmp_path):
    log = Log(tmp_path / "log")
    collected(template, workload, log, 3000)
    study = run(tmp_path / "s", template, workload, replace(REQUEST, log=str(tmp_path / "log")))
    assert len(study.log) == 3000
    assert len(Log(tmp_path / "log")) == 3032
    assert not (tmp_path / "s" / "log").exists()


def test_refuses_a_log_of_another_space(template, workload, tmp_path):
    log = Log(tmp_path / "log")
    collected(template, workload, log, 10)
    foreign = replace(log.evaluations("edge_tpu"), space="other")
    shutil.rmtree(tmp_path / "log")
    Log(tmp_path / "log").append(foreign)
    with pytest.raises(ArmillaryError, match=r"'other'.*'edge_tpu'"):
        run(tmp_path / "s", template, workload, replace(REQUEST, log=str(tmp_path / "log")))


def test_says_why_nothing_is_feasible(template, tmp_path):
    endless = Workload("endless", (LayerUse(Layer("l", "gemm", K=1, C=10**9)),))
    with pytest.raises(ArmillaryError, match=r"none of its 200 rows of endless is feasible; most often"):
        run(tmp_path / "s", template, endless, replace(REQUEST, samples=200))


def test_says_what_is_the_smallest_where_no_logged_design_is_within_the_bound(template, workload, tmp_path):
    with pytest.raises(
        ArmillaryError, match=r"none keeps to area_mm2 <= 0\.6; the least of them have area_mm2 \d+\.\d+\. Loosen"
    ):
        run(tmp_path / "s", template, workload, replace(REQUEST, samples=600, bounds=upper_bounds({"area_mm2": 0.6})))
    assert not (tmp_path / "s" / "model.pt").exists()


def test_goes_on_once_samples_were_added_as_the_message_says(template, workload, tmp_path):
    few = replace(REQUEST, samples=2)
    with pytest.raises(ArmillaryError, match=rf"--workload mobilenet_v2 --samples 4 --log {tmp_path / 's' / 'log'}`"):
        run(tmp_path / "s", template, workload, few)
    collected(template, workload, Log(tmp_path / "s" / "log"), 3000)
    assert len(run(tmp_path / "s", template, workload, few).log) == 3000


def test_a_study_with_a_relative_log_is_readable_from_elsewhere(template, workload, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    run(tmp_path / "s", template, workload, replace(REQUEST, log="log"))
    monkeypatch.chdir(tmp_path)
    assert len(load_design(StudyFolder(tmp_path / "s"), template, zoo.build("mobilenet_v2")).log) == 3000


def test_the_report_shows_the_study(finished, template, tmp_path):
    study = load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))
    write_report(study, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for text in ("mobilenet_v2", "Edge TPU", "armillary design", f"armillary report {finished}"):
        assert text in page


@pytest.mark.slow
def test_a_study_with_prime_shows_its_grid(template, workload, tmp_path):
    study = run(tmp_path / "s", template, workload, replace(REQUEST, surrogate="prime"))
    assert study.selection.trials[study.selection.chosen].kendall > 0
    assert study.reliability is None
    assert {"selection", "predicted"} <= set(charts(study))


def test_a_study_tells_how_well_it_knows_what_is_feasible(finished, template):
    study = load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))
    assert 0 < study.reliability.brier < 0.2
    assert study.selection is None
    assert "reliability" in charts(study)
    assert f"Brier score {study.reliability.brier:.3f}" in charts(study)["reliability"].caption


def test_a_damaged_study_file_is_named(finished, template):
    (finished / "results.json").write_text("{")
    with pytest.raises(ArmillaryError, match=r"results\.json: is damaged"):
        load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))


def test_an_unfinished_study_says_how_to_finish(finished, template):
    (finished / "results.json").unlink()
    with pytest.raises(ArmillaryError, match=r"has no results\.json, so it is no finished study"):
        load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))


def test_importances_add_up(finished):
    shares = json.loads((finished / "results.json").read_text())["importances"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_verification_equals_the_evaluator(finished, template, workload):
    from armillary.evaluators.edge_tpu.evaluator import EdgeTpuEvaluator

    verified = load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2")).candidates.evaluations
    again = EdgeTpuEvaluator().evaluate_codes(template.space.encode_columns(verified.design), workload)
    assert np.array_equal(again.metrics["runtime_s"], verified.metrics["runtime_s"], equal_nan=True)


def test_works_for_a_network_with_streaming_parameters(template, tmp_path):
    study = run(tmp_path / "s", template, zoo.build("t_rnn_enc"), replace(REQUEST, samples=2000))
    assert study.winner.metrics["runtime_s"] <= study.baseline.metrics["runtime_s"]


@pytest.mark.parametrize("name", ["study.json", "stages.json", "proposals.json"])
def test_a_damaged_stage_file_is_named(name, finished, template, workload):
    (finished / name).write_text('{"half":')
    with pytest.raises(ArmillaryError, match=rf"{name}: is damaged .*; delete it and run the study's command again"):
        run(finished, template, workload)


def test_a_study_of_another_version_is_refused(finished, template):
    (finished / "study.json").write_text('{"schema_version": 1}')
    with pytest.raises(ArmillaryError, match="has schema_version=1, this Armillary reads 4"):
        load_design(StudyFolder(finished), template, zoo.build("mobilenet_v2"))


def test_a_damaged_model_is_named(finished, template, workload):
    (finished / "model.pt").write_bytes((finished / "model.pt").read_bytes()[:1000])
    with pytest.raises(ArmillaryError, match=r"model\.pt is no model file"):
        run(finished, template, workload)
