from dataclasses import replace

import pytest

from armillary.log.store import Log
from armillary.studies.search import SearchRequest, run_search
from armillary.studies.study_folder import StudyFolder
from armillary.types import ArmillaryError

REQUEST = SearchRequest(source="w", digest="d", template="edge_tpu", optimizer="firefly", area_mm2=29.0, budget=1024)


@pytest.mark.parametrize("optimizer", ["firefly", "random"])
def test_spends_its_budget_and_logs_it(optimizer, template, workload, tmp_path):
    found = run_search(replace(REQUEST, optimizer=optimizer), template, workload, StudyFolder(tmp_path))
    assert found.evaluated == len(Log(tmp_path / "log")) == 1024
    assert found.best.metrics["area_mm2"] <= 29.0


def test_resumes_where_it_was(template, workload, tmp_path):
    def interrupt(stage, done, total):
        if done >= 512:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(REQUEST, template, workload, StudyFolder(tmp_path / "a"), on_progress=interrupt)
    resumed = run_search(REQUEST, template, workload, StudyFolder(tmp_path / "a"))
    whole = run_search(REQUEST, template, workload, StudyFolder(tmp_path / "b"))
    assert resumed.best.design == whole.best.design
    assert len(Log(tmp_path / "a" / "log")) == 1024


def test_refuses_an_unknown_optimizer(template, workload, tmp_path):
    with pytest.raises(ArmillaryError, match="did you mean 'firefly'"):
        run_search(replace(REQUEST, optimizer="fireflies"), template, workload, StudyFolder(tmp_path))
