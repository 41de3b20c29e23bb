import json
from importlib import resources

import numpy as np
import pytest

from armillary.benchmarks.prime import edge_tpu_optimum
from armillary.benchmarks.prime.edge_tpu_optimum import KNOWN, known_optima, regret
from armillary.benchmarks.prime.scenarios import AREA_MM2, ENC, V2, scenarios
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators.edge_tpu.enumeration import Enumeration, Scenario
from armillary.evaluators.edge_tpu.evaluator import DELAY_VERSION, EdgeTpuEvaluator
from armillary.workloads import zoo


def recorded():
    return json.loads((resources.files("armillary.benchmarks.prime") / KNOWN).read_text())


def test_every_recorded_optimum_is_what_its_design_takes():
    assert recorded()["delay_version"] == DELAY_VERSION
    for row in recorded()["scenarios"]:
        codes = np.array([row["codes"]])
        runs = [EdgeTpuEvaluator().evaluate_codes(codes, zoo.build(name)) for name in row["workloads"]]
        assert np.mean([r.metrics["runtime_s"][0] for r in runs]) == pytest.approx(row["runtime_s"], rel=1e-12)
        assert runs[0].metrics["area_mm2"][0] <= row["area_mm2"]


def test_every_scenario_of_the_tables_is_recorded():
    assert set(known_optima()) == set(scenarios())


def test_no_optimum_of_several_is_better_than_their_own():
    optima = known_optima()
    for scenario, runtime in optima.items():
        alone = [optima.get(Scenario((name,), AREA_MM2), 0.0) for name in scenario.workloads]
        if scenario.area_mm2 <= AREA_MM2:
            assert runtime >= np.mean(alone) * (1 - 1e-12)


def test_regret_is_a_ratio_to_the_optimum():
    scenario = Scenario((V2,), AREA_MM2)
    assert regret(scenario, 2 * known_optima()[scenario]) == pytest.approx(2.0)
    assert np.isnan(regret(Scenario((V2, ENC), 11.0), 1.0))


def test_a_stopped_run_goes_on_and_says_what_it_found(tmp_path, monkeypatch):
    """Two parts of the space instead of a hundred, of small designs only."""
    monkeypatch.setattr(edge_tpu_optimum, "_QUICK", (Scenario((ENC,), 0.9),))
    monkeypatch.setattr(Enumeration, "parts", property(lambda _: 12))
    plain = Enumeration.__init__
    monkeypatch.setattr(Enumeration, "__init__", lambda self, *args: plain(self, *args, compiled=False))
    said = []
    options = BenchOptions(None, True, 0, tmp_path, lambda *progress: said.append(progress))
    first = edge_tpu_optimum.run(options)
    assert first.rows[0]["legal designs"] > 0
    assert first.checks[0].ok
    assert said[-1][1:] == (12, 12)
    monkeypatch.setattr(Enumeration, "part", None)  # everything is read again
    assert edge_tpu_optimum.run(options).rows == first.rows


@pytest.mark.slow
def test_the_optimum_of_one_workload_is_found_again(tmp_path):
    options = BenchOptions(None, True, 0, tmp_path, lambda *_: None)
    result = edge_tpu_optimum.run(options)
    assert result.ok
