from dataclasses import replace

import pytest

from armillary.benchmarks.prime import layerwise_runs
from armillary.benchmarks.prime import table6 as prime_table6
from armillary.benchmarks.prime.layerwise_runs import AREA_SHARE, Task, log_of, run_once
from armillary.benchmarks.prime.table6 import PUBLISHED, run
from armillary.benchmarks.result import BenchOptions
from armillary.hardware import templates
from armillary.workloads import zoo

TRANSFORMER = PUBLISHED[4].task


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 0, tmp_path / "table", lambda *_: None)


def test_every_row_stands_beside_the_published_ones(options, monkeypatch):
    monkeypatch.setattr(prime_table6, "in_processes", lambda *_: None)
    monkeypatch.setattr(
        prime_table6, "run_once", lambda task, method, *_: {"runtime_s": 1e9 if method == "prime" else 2e9}
    )
    assert {r["task"] for r in run(options).rows} == {"mobilenet_v2, nvdla"}
    result = run(replace(options, quick=False))
    firefly = {r["task"]: r for r in result.rows if r["method"] == "firefly"}
    assert len(firefly) == 6
    assert firefly["resnet50, nvdla"]["published"] == pytest.approx(3.13 / 2.83)
    assert all(r["over_prime"] == 2.0 for r in firefly.values())
    assert all(r["over_optimum"] > 1 for r in result.rows)
    assert [check.ok for check in result.checks] == [False, True]
    assert (options.out / "table.csv").exists()
    assert "resnet50, nvdla" in (options.out / "figure.html").read_text()


def test_the_worst_seed_stands_beside_the_median(options, monkeypatch):
    monkeypatch.setattr(prime_table6, "in_processes", lambda *_: None)
    monkeypatch.setattr(prime_table6, "run_once", lambda task, method, seed, _: {"runtime_s": 1e9 * (1 + seed)})
    rows = [r for r in run(replace(options, quick=False)).rows if r["method"] == "genetic"]
    assert [r["worst_seed"] / r["over_optimum"] for r in rows] == pytest.approx([3 / 2] * 6)


def test_published_figures_agree_with_the_papers_own_means():
    gains = [1.0, 1.0]
    for row in PUBLISHED:
        gains[0] *= (row.evolutionary / row.prime) ** (1 / 6)
        gains[1] *= (row.log / row.prime) ** (1 / 6)
    assert gains == pytest.approx([1.06, 3.75], abs=0.01)


@pytest.mark.parametrize("method", [pytest.param("deep-ensemble", marks=pytest.mark.slow), "genetic"])
def test_a_run_ends_between_the_optimum_and_the_log(method, options, monkeypatch):
    problem, log = TRANSFORMER.problem, log_of(TRANSFORMER, options)
    found = run_once(TRANSFORMER, method, 0, options)
    assert problem.satisfied(log).sum() == 800
    logged = log.metrics["delay_cycles"][problem.satisfied(log)].min()
    assert TRANSFORMER.optimum_cycles() <= found["runtime_s"] * (1 + 1e-6)
    assert found["runtime_s"] < logged
    monkeypatch.setattr(layerwise_runs, "_offline", None)
    monkeypatch.setattr(layerwise_runs, "_online", None)
    assert run_once(TRANSFORMER, method, 0, options) == found


def test_the_bound_is_a_share_of_the_largest_design():
    template = templates.load("shidiannao", zoo.build("transformer"))
    assert Task("transformer", "shidiannao").area_mm2 == AREA_SHARE * template.max_area_mm2
