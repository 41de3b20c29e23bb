"""What a study tells of its objective where that follows from other metrics."""

import numpy as np
import pytest

from armillary.evaluators import spec_of
from armillary.execution.local import LocalExecutor, evaluated_codes
from armillary.log.store import Log
from armillary.spaces.samplers import sample
from armillary.studies.importance import importances
from armillary.studies.proving import proven, read_proof
from armillary.studies.stages import Setting
from armillary.studies.study_folder import StudyFolder
from armillary.types import Fidelity

SPEC = spec_of("edge_tpu", Fidelity.ANALYTICAL)


@pytest.fixture(scope="module")
def problem(template):
    return template.problem("runtime_area_s_mm2", {"area_mm2": 29.0})


@pytest.fixture(scope="module")
def rows(template, workload):
    return evaluated_codes(SPEC, template.space, sample(template.space, 400, "sobol", 0), workload)


def test_the_best_by_a_metric_that_follows_from_others_are_measured_again(problem, template, workload, rows, tmp_path):
    folder = StudyFolder(tmp_path)
    setting = Setting(folder, template, workload, problem, SPEC, LocalExecutor(), Log(folder.log), "")
    proof = proven(setting, rows, [SPEC], None, most=3)
    best = np.sort(problem.values(rows))[:3]
    np.testing.assert_array_equal(proof.cheaper, best)
    np.testing.assert_allclose(problem.values(proof.evaluations), best)
    again = read_proof(folder, template.space.name)
    assert again.cheaper.tolist() == best.tolist()
    assert [e.design for e in again.evaluations.to_list()] == [e.design for e in proof.evaluations.to_list()]


def test_a_metric_that_follows_from_others_has_importances(problem, rows):
    shares = importances(rows, problem, 0)
    assert set(shares) == set(problem.space.names)
    assert sum(shares.values()) == pytest.approx(1.0)
