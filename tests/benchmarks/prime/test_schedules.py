import pytest

from armillary.benchmarks.prime import schedules as prime_schedules
from armillary.benchmarks.prime.runs import Runs
from armillary.benchmarks.prime.schedules import APPLICATIONS, COMPARED
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.prime.schedules import SCHEDULES


@pytest.fixture
def trained_for(monkeypatch):
    """Every training takes as long as the test says, and a longer one ends nearer to the optimum."""
    seconds = {"brief": 60.0, "quick": 150.0, "full": 500.0, "halving": 900.0}

    def one(self, method, task, seed, **grid):
        runtime = 2e-3 - 1e-6 * seconds[self.schedule] - (1e-5 if grid else 0)
        return {"runtime_s": runtime, "training_seconds": seconds[self.schedule], "feasible_of_top": 1.0}

    monkeypatch.setattr(Runs, "one", one)
    monkeypatch.setattr(prime_schedules, "_facts", lambda *_: {"kendall": 0.5, "alpha": 0.1, "beta": 0.0})
    return seconds


def options(folder, quick):
    return BenchOptions(None, quick, 0, folder, lambda *_: None)


def test_every_schedule_is_compared(trained_for, tmp_path):
    result = prime_schedules.run(options(tmp_path, quick=False))
    assert [row["schedule"] for row in result.rows] == [training.name for training in COMPARED for _ in APPLICATIONS]
    steps = {row["schedule"]: row["member_steps"] for row in result.rows}
    assert steps["full"] == SCHEDULES["full"].member_steps(30) + 6000
    assert steps["halving, alpha = beta = 0"] == 500 + 500 + 1000 + 2000
    assert len(result.checks) == 1 + 5 * 3
    shorter_is_worse = [check for check in result.checks if "`full`" in check.name]
    assert [check.ok for check in shorter_is_worse] == [False] * 3
    assert result.checks[0].ok  # `halving` is not meant to be short
    assert (tmp_path / "figure.html").exists()
    assert "hours on one core" in result.notes[0]


def test_the_quick_comparison_leaves_the_long_schedules_out(trained_for, tmp_path):
    rows = prime_schedules.run(options(tmp_path, quick=True)).rows
    assert [row["schedule"] for row in rows] == ["brief"] * 2 + ["brief, alpha = beta = 0"] * 2
    assert rows[2]["over_optimum"] < rows[0]["over_optimum"]  # the grid reaches the training


def test_a_slow_training_is_told(trained_for, tmp_path):
    trained_for["brief"] = 700.0
    assert not prime_schedules.run(options(tmp_path, quick=True)).checks[0].ok


def test_every_pair_trains_by_itself_before_halving_drops_any():
    schedule = SCHEDULES["halving"]
    assert schedule.warmup == 0
    assert (schedule.rungs[0].members, schedule.rungs[0].steps) == (30, 500)
