"""The figures of the Polaris chapter, on trials that stand in for simulations."""

from dataclasses import asdict

import numpy as np
import pytest

from armillary.benchmarks.polaris import figures, runs
from armillary.benchmarks.polaris.figures import _needed, _no_worse, _tables
from armillary.benchmarks.result import BenchOptions
from armillary.workloads.layer import Layer

EDP = {"polaris": 100.0, "closed-form": 99.5, "dosa": 300.0, "spotlight": 210.0}
FULL_OF_DELAY = {"one": (8.0, 1.0), "two": (1.0, 8.0), "three": (3.0, 3.0)}


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 0, tmp_path / "bench", lambda *_: None)


@pytest.fixture
def trials(monkeypatch):
    """Every method falls to its own end in as many steps as it may simulate."""
    asked = []

    def trial(method, network, sizes, seed, options, design=None):
        name = next(name for name, one in [*runs.METHODS.items(), ("", method)] if one == method)
        end = EDP.get(name or method.optimizer, 150.0)
        asked.append((name or method.optimizer, sizes, design))
        values = np.linspace(end, 2 * end, sizes.evaluations)[::-1].tolist()
        best = {"dim": 16, "scratchpad_kib": 64, "accumulator_kib": 32, "delay_cycles": 10.0, "energy_pj": end / 10}
        return {"values": values, "best": best, "seconds": 1.0, "runs": _runs()}

    monkeypatch.setattr(figures, "trial", trial)
    monkeypatch.setattr(figures, "bound_of", lambda network, *_: f"{network}: bound")
    return asked


def _runs():
    layers = [asdict(Layer(name, "gemm", K=4, C=4)) for name in ("a", "b")]
    return [
        {"layer": layer, "mapping": mapping, "runs": 1, "delay_cycles": delay, "energy_pj": energy}
        for layer in layers
        for mapping, (delay, energy) in FULL_OF_DELAY.items()
    ]


def test_every_combination_of_mappings_is_looked_at(options, trials):
    rows = {row["choice"]: row for row in figures.fig62(options).rows}
    # of each layer alone 8, 8 and 9 are the products: the first is taken twice, (16, 2); the least is of one of each
    assert rows["sum of products"]["edp_pj_cycles"] == 32.0
    assert rows["product of sums"]["edp_pj_cycles"] == 32.0
    assert rows["sum of products"]["over_least"] == 1.0
    assert (options.out / "figure.html").exists()
    ((name, sizes, _),) = trials
    assert (name, sizes.hardware, sizes.software) == ("polaris", 1, 7)


def test_the_sum_of_products_may_miss_the_least(options, trials, monkeypatch):
    told = [dict(row) for row in _runs()]
    told[1]["energy_pj"] = told[5 - 1]["energy_pj"] = 7.5  # now each layer's own best is "two" of delay 1
    told[0]["delay_cycles"] = 7.4  # but for the first, which then has one of each kind
    monkeypatch.setattr(figures, "trial", lambda *_: {"runs": told})
    result = figures.fig62(options)
    over = {row["choice"]: row["over_least"] for row in result.rows}
    assert over["product of sums"] == 1.0
    assert over["sum of products"] > 1.01
    assert over["one rate"] <= over["sum of products"]
    assert not result.checks[0].ok


def test_tables_hold_each_mapping_once():
    costs, counts = _tables([*_runs(), *_runs()])
    assert [table.shape for table in costs] == [(2, 3), (2, 3)]
    assert costs[0][:, 1].tolist() == [1.0, 8.0]
    assert counts.tolist() == [1.0, 1.0]


def test_co_design_compares_all_methods_with_the_default(options, trials):
    result = figures.fig63(options)
    rows = {row["method"]: row for row in result.rows}
    assert set(rows) == set(runs.METHODS)
    assert rows["dosa"]["times_polaris"] == pytest.approx(3.0)
    assert rows["polaris"]["edp_first"] == 200.0
    assert [check.ok for check in result.checks] == [True, True, True]
    assert [check.value for check in result.checks[1:]] == pytest.approx([3.0, 2.1])
    assert "bert: bound" in result.notes
    assert (options.out / "table.csv").exists()
    assert (options.out / "figure.html").exists()


def test_published_ratios_that_are_missed_are_told(options, trials, monkeypatch):
    monkeypatch.setitem(EDP, "dosa", 250.0)
    monkeypatch.setitem(EDP, "spotlight", 198.0)
    monkeypatch.setitem(EDP, "offline", 90.0)
    monkeypatch.setitem(EDP, "polaris-scratch", 98.0)
    assert [check.ok for check in figures.fig63(options).checks] == [False, False, False]


def test_software_is_designed_on_dosas_design(options, trials):
    result = figures.fig64(options)
    rows = {row["method"]: row for row in result.rows}
    assert {name: row["simulations"] for name, row in rows.items()} == {
        "dosa": 1, "closed-form": 1, "polaris": 12, "offline": 12, "spotlight": 12, "random": 12,
    }  # fmt: skip
    assert all(
        design == {"dim": 16, "scratchpad_kib": 64, "accumulator_kib": 32}
        for name, _, design in trials
        if name != "dosa"
    )


@pytest.mark.parametrize("name", ["fig65", "fig66", "acquisition", "improvements"])
def test_curves_end_where_the_trials_do(options, trials, name):
    result = getattr(figures, name)(options)
    assert (options.out / "bert.html").exists()
    by_method = {}
    for row in result.rows:
        by_method.setdefault(row["method"], []).append(row["edp"])
    for method, values in by_method.items():
        assert values == sorted(values, reverse=True)
        if method in EDP:
            assert values[-1] == EDP[method]
    assert result.checks


def test_worse_than_a_hundredth_is_worse():
    def checked(value):
        rows = [{"network": "n", "method": "polaris", "edp": 1.0}, {"network": "n", "method": "x", "edp": value}]
        return _no_worse(rows, ["n"])[0].ok

    assert checked(0.991)
    assert not checked(0.989)


def test_a_warm_start_needs_half_the_simulations():
    plain = [{"values": [9.0, 8.0, 7.0, 6.0]}]
    assert _needed([{"values": [7.0, 6.0, 5.0, 5.0]}], plain) == ("2 of 4", True)
    assert _needed([{"values": [7.0, 6.5, 6.0, 5.0]}], plain) == ("3 of 4", False)
    assert _needed([{"values": [9.0, 9.0, 9.0, 9.0]}], plain) == ("not reached in 4", False)
