"""What optuna-dashboard shows of an exported log; it is an extra, so the test asks whether it is there."""

import io
import json
import warnings

import pytest
from optuna.storages import get_storage

from armillary.integrations.optuna import export
from armillary.problems.criteria import Bound, Objective
from armillary.spaces.space import Parameter, Space
from armillary.studies.problem import Problem
from armillary.studies.study import Study
from armillary.types import Metric

optuna_dashboard = pytest.importorskip("optuna_dashboard")


def asked(application, path):
    """Return what a path of the dashboard answers."""
    status = []
    environment = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
                   "SERVER_PORT": "8080", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}  # fmt: skip
    body = b"".join(application(environment, lambda line, _headers, *_: status.append(line)))
    assert status == ["200 OK"]
    return json.loads(body)


def test_the_dashboard_shows_the_trials_while_they_come(tmp_path):
    space = Space("toy", (Parameter("a", (1, 2, 4, 8)), Parameter("b", tuple(range(10)), "ordinal")))
    metrics = {"delay": Metric("ns"), "area": Metric("mm2")}
    problem = Problem(space, (Objective("delay"),), (Bound("area", at_most=4),), metrics=metrics)
    study, url = Study(problem, "random"), f"sqlite:///{tmp_path / 'runs.db'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for trials in (10, 20):
            study.optimize(lambda d: {"delay": 9 / d["a"] + d["b"], "area": d["a"]} if d["b"] else "timing", 10)
            export(study.evaluations, problem, url)
            application = optuna_dashboard.wsgi(get_storage(url))
            (listed,) = asked(application, "/api/studies")["study_summaries"]
            assert listed["study_name"] == "toy"
            shown = asked(application, f"/api/studies/{listed['study_id']}")
            assert len(shown["trials"]) == trials
    assert shown["objective_names"] == ["delay"]
    states = [trial["state"] for trial in shown["trials"]]
    assert states == ["Complete" if ok else "Fail" for ok in study.evaluations.feasible]
    reasons = [a["value"] for t in shown["trials"] for a in t["user_attrs"] if a["key"] == "reason"]
    assert set(reasons) == {"timing"}
