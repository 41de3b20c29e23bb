import numpy as np
import pytest

from armillary.benchmarks.prime import schedules as prime_schedules
from armillary.benchmarks.prime.runs import Runs
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.prime.schedules import SCHEDULES


@pytest.fixture
def trained_for(monkeypatch):
    """Every training takes as long as the test says, and a longer one ends nearer to the optimum."""
    seconds = {"brief": 60.0, "quick": 150.0, "full": 500.0}

    def one(self, method, task, seed):
        runtime = 2e-3 - 1e-6 * seconds[self.schedule]
        return {"runtime_s": runtime, "training_seconds": seconds[self.schedule]}

    monkeypatch.setattr(Runs, "one", one)
    monkeypatch.setattr(prime_schedules, "_facts", lambda *_: {"kendall": 0.5, "alpha": 0.1, "beta": 0.0})
    return seconds


@pytest.fixture
def of_the_records_delays(monkeypatch):
    """As if the paper's schedule had learned from today's delays."""
    monkeypatch.setattr(prime_schedules, "DELAY_VERSION", prime_schedules._record()["delay_version"])


def options(folder, quick):
    return BenchOptions(None, quick, 0, folder, lambda *_: None)


def test_every_schedule_is_compared(trained_for, of_the_records_delays, tmp_path):
    result = prime_schedules.run(options(tmp_path, quick=False))
    assert [row["schedule"] for row in result.rows] == ["brief"] * 2 + ["quick"] * 2 + ["full"] * 2 + [
        prime_schedules.PAPER
    ] * 2
    assert result.rows[5]["member_steps"] == SCHEDULES["full"].member_steps(30) + 6000
    assert len(result.checks) == 5
    shorter_is_worse = [check for check in result.checks if "`full`" in check.name]
    assert [check.ok for check in shorter_is_worse] == [False, False]
    assert result.checks[0].ok
    assert (tmp_path / "figure.html").exists()
    assert "hours on one core" in result.notes[0]
    assert "left out" not in result.notes[1]


def test_what_learned_from_other_delays_is_left_out(trained_for, tmp_path, monkeypatch):
    monkeypatch.setattr(prime_schedules, "DELAY_VERSION", "another")
    result = prime_schedules.run(options(tmp_path, quick=True))
    assert [row["schedule"] for row in result.rows] == ["brief"] * 2 + ["quick"] * 2
    assert len(result.checks) == 3
    assert "It is left out: it learned from version 1 of the delays" in result.notes[1]


def test_a_slow_training_is_told(trained_for, tmp_path):
    trained_for["quick"] = 700.0
    assert not prime_schedules.run(options(tmp_path, quick=True)).checks[0].ok


def test_the_recorded_proposals_of_the_paper_schedule_are_legal(trained_for, of_the_records_delays, tmp_path):
    rows = prime_schedules.run(options(tmp_path, quick=True)).rows
    recorded = [row for row in rows if row["schedule"] == prime_schedules.PAPER]
    assert [row["application"] for row in recorded] == list(prime_schedules.APPLICATIONS)
    assert all(1 <= row["over_optimum"] < np.inf for row in recorded)  # infinite if illegal
    assert all(0.5 < row["kendall"] < 1 for row in recorded)
