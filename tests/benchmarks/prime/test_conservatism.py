import pytest

from armillary.benchmarks.prime import conservatism
from armillary.benchmarks.prime.runs import Runs
from armillary.benchmarks.result import BenchOptions
from armillary.surrogates.selection import Candidate

FIRST = {"steps": 500.0, "neither": 0.61, "both": 0.7}


@pytest.fixture
def regrets(monkeypatch):
    """Each training ends as far from the optimum as the test says, by its name, and a little farther with each seed."""
    over = {"the whole grid": 1.0, "alpha = beta = 0": 1.5, "alpha = beta = 0.1": 1.1}

    def one(self, method, task, seed, **grid):
        assert self.schedule == "halving"
        name = next(n for n, training in conservatism.TRAININGS.items() if dict(training.grid) == grid)
        return {
            "runtime_s": 1e-3 * over[name] * (1 + 0.01 * seed),
            "feasible_of_top": 0.5,
            "evaluations_within": 9.0,
        }

    monkeypatch.setattr(Runs, "one", one)
    monkeypatch.setattr(conservatism, "regret", lambda _, runtime_s: 1e3 * runtime_s)
    monkeypatch.setattr(conservatism, "_selection", lambda *_: {"chosen": [0.1, 0.0, 0.5], "first": FIRST})
    return over


def options(folder, quick=True, applications=()):
    return BenchOptions(None, quick, 0, folder, lambda *_: None, applications=applications)


def test_the_grid_stands_beside_networks_with_fixed_weights(regrets, tmp_path):
    result = conservatism.run(options(tmp_path))
    assert [(row["application"], row["trained"]) for row in result.rows] == [
        (application, name) for application in ("mobilenet_v2", "m4_like") for name in conservatism.TRAININGS
    ]
    assert [row["member_steps"] for row in result.rows[:3]] == [21_000 + 2000, 2000 + 2000, 2000 + 2000]
    assert result.rows[1]["published"] == pytest.approx(374.52 / 207.43)
    assert [check.value for check in result.checks] == pytest.approx([1.5, 1.1])
    assert result.ok
    assert "published: 2.36" in result.checks[0].goal
    assert result.notes[1] == "  mobilenet_v2, seed 0, after 500 steps: neither 0.610, both 0.700."


def test_conservatism_that_does_not_pay_fails(regrets, tmp_path):
    regrets["alpha = beta = 0"] = 1.005
    regrets["alpha = beta = 0.1"] = 0.9
    assert [check.ok for check in conservatism.run(options(tmp_path)).checks] == [False, False]


def test_the_full_run_has_three_applications_and_the_median_of_three_seeds(regrets, tmp_path):
    result = conservatism.run(options(tmp_path, quick=False))
    assert len(result.rows) == 9
    assert result.rows[0]["over_optimum"] == pytest.approx(1.01)
    assert result.rows[0]["worst_seed"] == pytest.approx(1.02)
    assert result.rows[0]["alpha_beta"] == "0.1, 0; 0.1, 0; 0.1, 0"
    assert len(result.notes) == 1 + 9


def test_any_application_of_table_13_may_be_asked_for(regrets, tmp_path):
    rows = conservatism.run(options(tmp_path, applications=("unet",))).rows
    assert [row["application"] for row in rows] == ["unet"] * 3


def test_pairs_are_compared_where_all_of_them_took_the_same_steps():
    scores = {(0.0, 0.0): 0.5, (0.1, 0.0): 0.6, (0.0, 0.1): 0.3, (0.1, 0.1): 0.4, (1.0, 1.0): 0.2}
    later = [Candidate(1.0, 1.0, 1000, 0.9)]
    first = conservatism.first_of([Candidate(*pair, 500, score) for pair, score in scores.items()] + later)
    assert list(first.values()) == [500, 0.5, 0.6, 0.3, 0.4]
