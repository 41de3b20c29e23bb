"""The bench on a stand-in for the flow: formulas of energy and area."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.benchmarks import parts
from armillary.benchmarks.ppa import exploration as bench
from armillary.benchmarks.ppa import tasks
from armillary.benchmarks.result import BenchOptions
from armillary.evaluators.function import FunctionEvaluator
from armillary.hardware.template import Template
from armillary.log.store import Log
from armillary.optimizers.ppa_ladder import PpaLadder
from armillary.optimizers.ppa_motpe import PpaMotpe
from armillary.problems.rung import Rung
from armillary.spaces.space import Parameter, Space
from armillary.studies.layout_picks import promised
from armillary.surrogates.auto.process import Process
from armillary.surrogates.ppa import stack
from armillary.surrogates.ppa.surrogate import Ppa
from armillary.types import EvaluatorSpec, Fidelity
from armillary.workloads.layer import Workload

SPACE = Space("standin", (Parameter("cycles", tuple(range(1, 25))), Parameter("clock_ns", tuple(range(1, 9)))))
WORKLOAD = Workload("product", (), numbers={"features": 6.0})


def flow(values):
    lanes, period_ns = 24 / values["cycles"], max(values["clock_ns"], 2.0)
    area_mm2 = 1e-4 * (2.0 + lanes * (1.0 + 1.0 / values["clock_ns"]))
    runtime_s = 2e-11 * (values["cycles"] + 3) * period_ns
    return {
        "area_mm2": area_mm2,
        "energy_pj": 5.0 + 5e9 * runtime_s * area_mm2,
        "runtime_s": runtime_s,
        "power_mw": 0.5,
    }


def task():
    template = Template("standin", SPACE)
    spec = EvaluatorSpec("axiline", Fidelity.PHYSICAL, "standin", "1")  # whose code counts to what is kept
    bounds = tasks.svm().bounds
    problem = template.asked(tasks.OBJECTIVES, bounds, (WORKLOAD,))
    return tasks.Task(template, WORKLOAD, bounds, spec, lambda spec: Stopping(flow, problem, spec))


class Stopping(FunctionEvaluator):
    """The stand-in, which takes 4 seconds, or stops after 1 with figures that are an eighth too low."""

    def __init__(self, function, problem, spec):
        def stopped(values):
            early = {"first_cpu_s": 0.9 + 1e-6 * values["cycles"] + 1e-8 * values["clock_ns"], "look_cpu_s": 0.1}
            if "until" in spec.options:
                return {name: 0.875 * value for name, value in function(values).items()} | early
            return function(values) | {"first_cpu_s": early["first_cpu_s"], "rest_cpu_s": 4.0 - early["first_cpu_s"]}

        super().__init__(stopped, problem, spec)

    def rungs(self):
        return (Rung("first", replace(self.spec, options={"until": "first"})),)


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.setattr(Ppa, "members", (Process,))
    monkeypatch.setattr(stack, "_MANY_FOLDS", 2)
    monkeypatch.setitem(PpaMotpe.__init__.__kwdefaults__, "trials", 32)
    monkeypatch.setitem(promised.__kwdefaults__, "trials", 32)
    monkeypatch.setattr(parts, "in_processes", lambda jobs, _done: [job() for job in jobs.values()])
    monkeypatch.setattr(bench, "QUICK_BUDGETS", (20,))
    monkeypatch.setitem(PpaLadder.__init__.__kwdefaults__, "trials", 32)
    return bench.compared(BenchOptions(None, True, 0, tmp_path, lambda *_: None), task), tmp_path


def test_methods_stand_beside_random_layouts_and_layouts_are_shared(found):
    result, folder = found
    assert [row["method"] for row in result.rows] == [bench.LOOP, bench.LADDER, bench.MOTPE]
    assert all(row["20"] > 0 for row in result.rows)
    loop, ladder, motpe = result.rows
    assert loop["plain_error"] < 0.05
    assert np.isnan(motpe["plain_error"])
    assert result.checks[0].name.startswith("hypervolume of the loop after 20 layouts over that of 40")
    assert (folder / "hypervolume.html").exists()
    rows = Log(folder / "layouts").evaluations(SPACE.name)
    designs = list(zip(*(column.tolist() for column in rows.design.values()), strict=True))
    assert len(designs) == len(set(designs))  # none was made twice
    assert len(designs) < bench.QUICK_RANDOM + 3 * 20
    assert loop["layouts"] == motpe["layouts"] == 20
    assert loop["spent"] == pytest.approx(20, rel=1e-3)
    assert 19.5 < ladder["spent"] < 21.5
    assert 15 <= ladder["layouts"] <= 20
    asked = Log(folder / "rungs").evaluations(SPACE.name)
    assert len(asked) > bench.START
    assert set(asked.options) == {'{"until": "first"}'}
