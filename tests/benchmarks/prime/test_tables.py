import csv
from dataclasses import replace

import pytest

from armillary.benchmarks import BENCHES
from armillary.benchmarks.prime import tables as prime_tables
from armillary.benchmarks.prime.runs import LogFacts, Runs
from armillary.benchmarks.prime.scenarios import ALL, TABLE_3, TABLE_4, TABLE_13
from armillary.benchmarks.prime.tables import TABLES
from armillary.benchmarks.result import BenchOptions, geometric_mean
from armillary.types import ArmillaryError


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
            "evaluations_within": 40.0 if method == "hurdle" else float("inf"),
            "log_rows": 32_000.0,
            "feasible_of_top": 0.5,
        }
        return {**found, "evaluations": float(settings.get("top", 256))} if method in ("prime", "hurdle") else found

    monkeypatch.setattr(Runs, "medians", medians)
    monkeypatch.setattr(Runs, "prepare", lambda *_: None)
    monkeypatch.setattr(prime_tables, "log_facts", lambda *_: LogFacts(4.0, 3.5, 1000, 100))
    return latencies


def options(folder, quick=False):
    return BenchOptions(None, quick, 0, folder, lambda *_: None)


def shown(method):
    """The name that is printed for a method of PRIME's paper."""
    if method == "bayesian":
        return "bayesian, learning from 300 rows at most"
    return method.replace("prime", "PRIME (ours, brief)", 1) if method.startswith("prime") else method


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_prints_ours_beside_the_published(name, measured, tmp_path):
    result = BENCHES.load(name)(options(tmp_path))
    table = TABLES[name]
    rows = {(row["task"], row["method"]): row for row in result.rows}
    assert len(rows) == len(result.rows) == len(table.tasks) * (1 + len(table.methods))
    for task in table.tasks:
        for method in table.methods:
            row = rows[task.label, shown(method)]
            assert row["over_log"] == pytest.approx(4e3 / row["latency_ms"])
            assert row["over_prime"] > 0
            assert row["worst_seed"] == pytest.approx((1 if method == "best of log" else 2) * row["over_optimum"])
            published = task.published.get("log" if method == "best of log" else method)
            if published is not None:
                assert row["published"] == pytest.approx(published / task.published["prime"])
    with (tmp_path / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    assert result.checks
    worst = [row["worst_seed"] for row in result.rows if row["method"] == shown("prime")]
    assert any("worst seeds: PRIME" in note and f"brief) {geometric_mean(worst):.4f}" in note for note in result.notes)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_quick_is_a_part_with_the_same_columns(name, measured, tmp_path):
    table, result = TABLES[name], BENCHES.load(name)(options(tmp_path, quick=True))
    tasks = {row["task"] for row in result.rows}
    assert tasks == {task.label for task in table.few or table.tasks}
    assert len(tasks) == len(table.few or table.tasks)
    assert {row["method"] for row in result.rows} == {shown(m) for m in table.columns if m not in table.slow}
    assert {"prime"}.isdisjoint(table.slow)
    assert table.quick().expected_s(1) < 2 * 8 * 60  # of one core, so that two end within eight minutes


def test_what_is_printed_first_says_how_large_the_run_is_and_what_the_logs_hold(measured, tmp_path):
    size, logs, _ = prime_tables.table3(options(tmp_path, quick=True)).preface
    assert size.startswith(
        "Size: 3 rows, 1 seed; PRIME trains 1,400 steps over its grid of 30 and 1,000 per application"
    )
    assert "online methods evaluate 10,000 to 10,000. " in size
    assert "Complete: 9 rows, 3 seeds" in size
    assert "10% to 10% of their rows, and for 3 of 3 rows of this table one of them is faster" in logs


def test_a_table_may_have_some_applications_alone(measured, tmp_path):
    some = replace(options(tmp_path), seeds=1, applications=("t_rnn_enc", "unet"))
    result = prime_tables.table3(some)
    assert list(dict.fromkeys(row["task"] for row in result.rows)) == ["unet, 29 mm2", "t_rnn_enc, 29 mm2"]
    assert result.preface[0].startswith("Size: 2 rows, 1 seed")
    assert result.checks[1].goal == "at least 2 of 2"
    quick = prime_tables.table3(replace(some, quick=True, applications=("unet",)))  # none that `--quick` has otherwise
    assert {row["task"] for row in quick.rows} == {"unet, 29 mm2"}
    pairs = replace(some, applications=("mobilenet_v2", "mobilenet_v3_large", "m5_like", "m6_like"))
    assert {row["task"] for row in prime_tables.table4(pairs).rows} == {"V2 V3 M5 M6, 29 mm2"}


def test_an_application_that_no_row_is_of_is_refused(measured, tmp_path):
    some = options(tmp_path)
    with pytest.raises(ArmillaryError, match=r"'resnet50' is not in this table; choose one of \['m4_like', 'm5_like'"):
        prime_tables.table3(replace(some, applications=("unet", "resnet50")))
    with pytest.raises(ArmillaryError, match=r"\['unet'\] are not all targets of any row; the rows have \[\["):
        prime_tables.table4(replace(some, applications=("unet",)))


def test_a_gain_grows_as_the_fixed_time_is_left_out(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(prime_tables, "fixed_s", lambda _: 0.5)
    monkeypatch.setattr(prime_tables, "known_optima", dict)
    notes = prime_tables.table3(options(tmp_path)).notes
    assert any(f"  hurdle: {4 / 1.5:.2f} / {3.75 / 1.25:.2f} / {3.5 / 1.0:.2f} over the log" in note for note in notes)


def test_evaluations_to_a_percent_stand_beside_the_rows_of_the_log(measured, tmp_path):
    notes = prime_tables.table3(options(tmp_path)).notes
    assert "  hurdle: 40 to 40 in 9 of 9 rows, after a log of 32,000 to 32,000." in notes
    assert "  firefly: in none of 9 rows." in notes


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
