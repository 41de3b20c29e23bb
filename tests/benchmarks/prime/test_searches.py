import pytest

from armillary.benchmarks.prime import curves as prime_curves
from armillary.benchmarks.prime import searches as prime_searches
from armillary.benchmarks.prime.curves import regrets
from armillary.benchmarks.prime.searches import BUDGETS, METHODS, run
from armillary.benchmarks.result import BenchOptions


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 0, tmp_path / "online", lambda *_: None)


def test_every_budget_is_compared(options, monkeypatch):
    def found(_, method, name, seed, budgets):
        assert budgets == BUDGETS[:3]
        return [(1.1 if method == "portfolio" else 1.2) + 10 / b for b in budgets]

    monkeypatch.setattr(prime_searches, "in_processes", lambda *_: None)
    monkeypatch.setattr(prime_searches, "regrets", found)
    result = run(options)
    assert [row["method"] for row in result.rows] == list(METHODS)
    assert result.rows[-1]["256"] == pytest.approx(1.1 + 10 / 256)
    assert len(result.checks) == 4
    assert result.ok
    assert (options.out / "table.csv").exists()
    assert (options.out / "figure.html").exists()
    monkeypatch.setattr(
        prime_searches, "regrets", lambda _, method, *more: found(_, {"portfolio": "random"}.get(method), *more)
    )
    assert run(options).checks[-1].ok is False


@pytest.mark.parametrize("method", ["firefly", pytest.param("portfolio", marks=pytest.mark.slow)])
def test_a_curve_falls_towards_the_optimum_and_is_kept(method, tmp_path, monkeypatch):
    curve = regrets(tmp_path, method, "m6_like", 0, (64, 128))
    assert curve[0] >= curve[1] >= 1.0
    monkeypatch.setattr(prime_curves, "best_so_far", None)  # it is read again
    assert regrets(tmp_path, method, "m6_like", 0, (64, 128)) == curve
