import csv
from dataclasses import replace

import pytest

from armillary.benchmarks import BENCHES
from armillary.benchmarks.prime import tables as prime_tables
from armillary.benchmarks.prime.runs import Runs, joint_values
from armillary.benchmarks.prime.scenarios import ALL, TABLE_3, TABLE_4, TABLE_13
from armillary.benchmarks.prime.tables import TABLES
from armillary.benchmarks.result import BenchOptions, geometric_mean
from armillary.hardware.templates.edge_tpu import EDGE_TPU, SPACE


@pytest.fixture
def measured(monkeypatch):
    """Every run measures what the test says, by method."""
    latencies = {"prime": 1.0, "hurdle": 1.5, "firefly": 2.0}

    def medians(self, method, task, **settings):
        median = latencies.get(method, 3.0)
        found = {
            "runtime_s": median,
            "worst_seed_s": 2 * median,
            "evaluations": 10_000.0,
            "feasible_of_top": 0.5,
        }
        return {**found, "evaluations": float(settings.get("top", 256))} if method in ("prime", "hurdle") else found

    monkeypatch.setattr(Runs, "medians", medians)
    monkeypatch.setattr(Runs, "prepare", lambda *_: None)
    monkeypatch.setattr(prime_tables, "log_best", lambda *_, **__: 4.0)
    return latencies


def options(folder):
    return BenchOptions(None, True, 0, folder, lambda *_: None)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_prints_ours_beside_the_published(name, measured, tmp_path):
    result = BENCHES.load(name)(options(tmp_path))
    table = TABLES[name]
    rows = {(row["task"], row["method"]): row for row in result.rows}
    assert len(rows) == len(result.rows) == len(table.tasks) * (1 + len(table.methods))
    for task in table.tasks:
        for method in table.methods:
            row = rows[task.label, method]
            assert row["over_prime"] > 0
            assert row["worst_seed"] == pytest.approx((1 if method == "best of log" else 2) * row["over_optimum"])
            published = task.published.get("log" if method == "best of log" else method)
            if published is not None:
                assert row["published"] == pytest.approx(published / task.published["prime"])
    with (tmp_path / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    assert result.checks
    worst = [row["worst_seed"] for row in result.rows if row["method"] == "prime"]
    assert any("worst seeds: prime" in note and f"prime {geometric_mean(worst):.4f}" in note for note in result.notes)


def test_the_claims_of_table_3_hold_or_not(measured, tmp_path):
    won = prime_tables.table3(options(tmp_path))
    assert [check.ok for check in won.checks] == [True, True, True, True]
    assert won.checks[0].value == pytest.approx(4.0)
    measured["firefly"] = 1.2
    behind = prime_tables.table3(options(tmp_path))
    assert [check.ok for check in behind.checks] == [True, True, False, True]
    measured["firefly"] = 0.9
    lost = prime_tables.table3(options(tmp_path))
    assert [check.ok for check in lost.checks] == [True, False, False, True]


def test_table_4_looks_at_scenarios_of_five_and_more(measured, tmp_path):
    checks = prime_tables.table4(options(tmp_path)).checks
    assert [check.goal for check in checks] == ["all 5"] * 3 + ["at most 1%"] * 2
    assert [check.ok for check in checks] == [True] * 3 + [False, True]
    assert [check.value for check in checks[3:]] == pytest.approx([256 / 10_000, 100 / 10_000])
    assert (tmp_path / "figure.html").exists()


def test_published_figures_agree_with_the_papers_own_means():
    gains = dict.fromkeys(("bayesian", "firefly", "mbo", "log"), 1.0)
    for task in TABLE_3:
        for name in gains:
            gains[name] *= (task.published[name] / task.published["prime"]) ** (1 / 9)
    assert gains == pytest.approx({"bayesian": 1.58, "firefly": 1.54, "mbo": 1.61, "log": 2.46}, abs=0.01)
    over = dict.fromkeys(("firefly", "mbo"), 1.0)
    for task in TABLE_4:
        for name in over:
            over[name] *= (task.published[name] / task.published["prime"]) ** (1 / 7)
    assert over == pytest.approx({"firefly": 1.20, "mbo": 1.27}, abs=0.011)
    assert [task.target[0] for task in TABLE_13] == list(ALL)


@pytest.fixture
def one_design(monkeypatch):
    """Every run finds the published Edge TPU, or a smaller one."""

    def one(self, method, task, seed, **settings):
        design = dict(EDGE_TPU.as_dict())
        design["dram_bandwidth_gbps"] = 30 if method == "prime" else 25
        codes = SPACE.encode([SPACE.design_from(design, "test")])
        return {"runtime_s": float(joint_values(codes, replace(task, area_mm2=98.0))[0]), "codes": codes[0].tolist()}

    monkeypatch.setattr(Runs, "one", one)
    monkeypatch.setattr(Runs, "prepare", lambda *_: None)


def test_two_designs_are_taken_apart(one_design, tmp_path):
    result = prime_tables.table11_12(options(tmp_path))
    rows = {row["what"]: row for row in result.rows}
    assert rows["t_rnn_enc"]["firefly/PRIME"] > 1
    assert (rows["dram_bandwidth_gbps"]["PRIME"], rows["dram_bandwidth_gbps"]["firefly"]) == (30, 25)
    assert rows["area_mm2"]["firefly/PRIME"] == 1
    assert result.ok
    assert "t_rnn_enc" in (tmp_path / "figure.html").read_text()


def test_a_design_is_held_against_the_edge_tpu(one_design, tmp_path):
    result = prime_tables.table14(options(tmp_path))
    assert [row["area, Edge TPU/PRIME"] for row in result.rows] == [1.0] * 9
    assert result.rows[-1]["Edge TPU/PRIME"] > 1
    assert "t_rnn_enc" in (tmp_path / "figure.html").read_text()
