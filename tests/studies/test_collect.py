import numpy as np
import pytest

from armillary.evaluators import spec_of
from armillary.execution import local
from armillary.execution.known import logged
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.collect import collect
from armillary.types import ArmillaryError, Fidelity
from armillary.workloads import zoo
from armillary.workloads.layer import Workload

SPEC = spec_of("edge_tpu", Fidelity.ANALYTICAL)


def designs(log, space):
    rows = log.evaluations(space.name)
    return sorted(map(tuple, space.encode_columns(rows.design).tolist()))


def collected(template, workload, log, **options):
    return collect(template, workload, LocalExecutor(log), SPEC, **options)


def test_logs_every_sample_once(template, workload, tmp_path):
    log = Log(tmp_path)
    first = collected(template, workload, log, samples=500, seed=3)
    again = collected(template, workload, log, samples=500, seed=3)
    assert (first.evaluated, again.evaluated, again.already_logged) == (500, 0, 500)
    assert first.feasible == int(log.evaluations("edge_tpu").feasible.sum())
    assert designs(log, template.space) == sorted(map(tuple, sample(template.space, 500, "sobol", 3).tolist()))


def test_resumes_after_an_interruption(template, workload, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "BATCH_ROWS", 100)
    log = Log(tmp_path)

    def interrupt(stage, done, total):
        if done >= 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collected(template, workload, log, samples=700, on_progress=interrupt)
    assert len(log) == 300
    assert collected(template, workload, log, samples=700).evaluated == 400
    assert designs(log, template.space) == sorted(map(tuple, sample(template.space, 700, "sobol", 0).tolist()))


def test_a_log_serves_several_workloads(template, workload, tmp_path):
    log = Log(tmp_path)
    for network in (workload, zoo.build("unet")):
        assert collected(template, network, log, samples=50).evaluated == 50
    assert len(logged(log, template.space.name, workload)) == 50


def test_refuses_another_workload_of_the_same_name(template, workload, tmp_path):
    log = Log(tmp_path)
    collected(template, workload, log, samples=20)
    impostor = Workload(workload.name, zoo.build("unet").layers)
    with pytest.raises(ArmillaryError, match="holds another workload named 'mobilenet_v2'"):
        collected(template, impostor, log, samples=20)


def test_reports_progress_to_the_end(template, workload, tmp_path):
    seen = []
    collected(template, workload, Log(tmp_path), samples=50, on_progress=lambda *step: seen.append(step))
    assert seen[-1] == ("evaluating mobilenet_v2", 50, 50)
    assert np.all(np.diff([done for _, done, _ in seen]) >= 0)
