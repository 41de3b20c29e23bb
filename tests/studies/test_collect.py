from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from armillary.evaluators import spec_of
from armillary.evaluators.physical.space import hardware_of, parted
from armillary.evaluators.recording import record
from armillary.execution import local
from armillary.execution.known import logged
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.collect import collect
from armillary.studies.subject import Shipped
from armillary.types import ArmillaryError, Cost, Failure, Fidelity
from armillary.workloads import zoo
from armillary.workloads.algorithm import Algorithm
from armillary.workloads.layer import Workload

SPEC = spec_of("edge_tpu", Fidelity.ANALYTICAL)
SVM = Workload("svm", (), algorithm=Algorithm("svm", "inference", 8, weights=(0.5,) * 8))
LAYOUTS = Shipped("axiline", Fidelity.PHYSICAL, {"aim": "speed"})


class Quick:
    """An evaluator of layouts that has none, and fails where the core is full; interrupted after so many."""

    algorithms = ("svm",)

    def __init__(self, spec, most):
        self.spec, self.left = spec, most

    def evaluate(self, candidates, workload):
        return [self._one(candidate, workload) for candidate in candidates]

    def _one(self, candidate, workload):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        failure = Failure("infeasible", "placement") if candidate.design["utilization"] == 0.8 else None
        return record(self.spec, candidate, workload, {"area_mm2": 1.0, "delay_cycles": 9.0}, failure, seconds=2.0)


def laid_out(template, log, *, most=1000, **options):
    spec = replace(LAYOUTS.simulator().spec, cost=Cost.SECONDS)
    return collect(template, SVM, LocalExecutor(log, make=partial(Quick, most=most)), spec, **options)


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


@pytest.mark.parametrize("sampler", ["lhs", "sobol", "halton"])
def test_every_architecture_is_laid_out_at_every_point(sampler, tmp_path):
    template, log = LAYOUTS.template([SVM]), Log(tmp_path)
    asked = {"samples": 5, "points": 6, "sampler": sampler, "seed": 3}
    with pytest.raises(KeyboardInterrupt):
        laid_out(template, log, **asked, most=13)
    assert len(log) == 13
    assert laid_out(template, log, **asked).evaluated == 17
    assert laid_out(template, log, **asked).already_logged == 30
    rows = log.evaluations("axiline.physical")
    designs = [parted(design) for design in template.space.designs(template.space.encode_columns(rows.design))]
    architectures, points = ({str(part[i]) for part in designs} for i in (0, 1))
    assert (len(architectures), len(points)) == (5, 6)
    assert len({str(design) for design in designs}) == len(rows) == 30
    assert template.exists(template.space.encode_columns(rows.design)).all()
    assert len({hardware_of("axiline", part[0]) for part in designs}) == 5
    assert set(rows.design["aim"].tolist()) == {"speed"}
    np.testing.assert_array_equal(rows.feasible, rows.design["utilization"] != 0.8)
    assert set(rows.metrics["delay_cycles"][rows.feasible].tolist()) == {9.0}
    assert set(rows.seconds.tolist()) == {2.0}


def test_samples_of_layouts_are_designs_that_exist(tmp_path):
    template, log = LAYOUTS.template([SVM]), Log(tmp_path)
    assert laid_out(template, log, samples=40).evaluated == 40
    rows = log.evaluations("axiline.physical")
    assert template.exists(template.space.encode_columns(rows.design)).all()


def test_architectures_are_different_hardware(tmp_path):
    open_ = {"dimension": (13, 14), "cycles": (7, 13), "input_width": (4,), "internal_width": (8,)}
    template, log = LAYOUTS.template([SVM]), Log(tmp_path)  # 13 and 14 in 7, 13 in 13 and 14 in 13 cycles
    assert laid_out(template, log, samples=3, points=1, choices=open_).evaluated == 3
    columns = log.evaluations("axiline.physical").design
    pairs = zip(columns["dimension"].tolist(), columns["cycles"].tolist(), strict=True)
    assert {(-(-elements // cycles), cycles) for elements, cycles in pairs} == {(2, 7), (1, 13), (2, 13)}
    with pytest.raises(ArmillaryError, match="80 by the sampler 'sobol' are 3 different ones as hardware"):
        laid_out(template, log, samples=4, points=1, choices=open_)


def test_points_are_of_designs_that_are_laid_out(template, workload, tmp_path):
    with pytest.raises(ArmillaryError, match="points=3: designs of edge_tpu have no knobs; choose --fidelity physical"):
        collected(template, workload, Log(tmp_path), samples=2, points=3)
    few = {"clock_ns": (0.7,), "utilization": (0.5, 0.6), "aspect_ratio": (1.0,)}
    with pytest.raises(ArmillaryError, match=r"3 different designs are not to be had: among .* are 2 of the 2 in"):
        laid_out(LAYOUTS.template([SVM]), Log(tmp_path), samples=2, points=3, choices=few)
    assert laid_out(LAYOUTS.template([SVM]), Log(tmp_path), samples=2, points=2, choices=few).evaluated == 4
    found = Log(tmp_path).evaluations("axiline.physical").design
    assert {name: tuple(sorted(set(found[name].tolist()))) for name in few} == few
