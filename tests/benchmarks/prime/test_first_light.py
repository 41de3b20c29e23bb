from armillary.benchmarks.prime import first_light
from armillary.benchmarks.prime.paper import APPLICATIONS
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.prime import schedules as prime_schedules
from armillary.surrogates.prime.schedules import Rung, Schedule


def test_an_application_is_measured(monkeypatch):
    shortest = Schedule(rungs=(Rung(30, 2),), warmup=10, batch=16, learning_rate=1e-3, checkpoint=2, mining_period=2)
    monkeypatch.setitem(prime_schedules.SCHEDULES, "brief", shortest)
    (published,) = [a for a in APPLICATIONS if a.workload == "t_rnn_enc"]
    found = first_light._measure(published, 20, 0, "cpu")
    assert found["legal_rows"] == published.log_rows // 20
    assert found["pool_s"] < found["log_s"]
    assert found["firefly_s"] < found["log_s"]
    assert 0 < found["random_s"] < 10 * found["firefly_s"]


def test_an_application_is_measured_once(tmp_path, monkeypatch):
    options = BenchOptions(None, True, 0, tmp_path, lambda *_: None)
    monkeypatch.setattr(first_light, "_measure", lambda *given: {"given": list(given[1:])})
    assert first_light._one(APPLICATIONS[0], 10, 3, options) == {"given": [10, 3, "cpu"]}
    monkeypatch.setattr(first_light, "_measure", None)
    assert first_light._one(APPLICATIONS[0], 10, 3, options) == {"given": [10, 3, "cpu"]}
