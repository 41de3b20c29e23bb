import pytest

from armillary.benchmarks.prime import online as prime_online
from armillary.benchmarks.prime.online import BUDGETS, METHODS, run
from armillary.benchmarks.result import BenchOptions


@pytest.fixture
def options(tmp_path):
    return BenchOptions(None, True, 0, tmp_path / "online", lambda *_: None)


def test_every_budget_is_compared(options, monkeypatch):
    def one(method, name, seed, most, _):
        assert most == 512
        return {str(b): (1.1 if method == "prime-online" else 1.2) + 10 / b for b in BUDGETS}

    monkeypatch.setattr(prime_online, "in_processes", lambda *_: None)
    monkeypatch.setattr(prime_online, "_one", one)
    result = run(options)
    assert [row["method"] for row in result.rows] == list(METHODS)
    assert result.rows[-1]["512"] == pytest.approx(1.1 + 10 / 512)
    assert len(result.checks) == 5
    assert result.ok
    assert (options.out / "table.csv").exists()
    assert (options.out / "figure.html").exists()
    monkeypatch.setattr(
        prime_online, "_one", lambda method, *_: one("random" if method == "prime-online" else "x", 0, 0, 512, 0)
    )
    assert run(options).checks[-1].ok is False


@pytest.mark.parametrize("method", ["firefly", "prime-online"])
def test_a_curve_falls_towards_the_optimum_and_is_kept(method, options):
    curve = prime_online._one(method, "m6_like", 0, 128, options)
    assert curve["64"] >= curve["128"] >= 1.0
    assert prime_online._one(method, "m6_like", 0, 128, options) == curve
