import pytest

from armillary.benchmarks import BENCHES
from armillary.benchmarks.prime import tables as prime_tables
from armillary.benchmarks.prime.heldout import TABLE
from armillary.benchmarks.prime.runs import LogFacts, Runs
from armillary.benchmarks.prime.scenarios import ALL, HELD_OUT
from armillary.benchmarks.result import BenchOptions


@pytest.fixture
def legal(monkeypatch):
    """The share of the hurdle's proposals that is legal, by application."""
    shares = dict.fromkeys(HELD_OUT, 1.0)

    def medians(self, method, task, **_):
        return {
            "runtime_s": 1.0 if method == "hurdle" else 2.0,
            "worst_seed_s": 3.0,
            "evaluations": 256.0,
            "evaluations_within": 1.0,
            "log_rows": 29_000.0,
            "feasible_of_top": shares[task.target[0]],
        }

    monkeypatch.setattr(Runs, "medians", medians)
    monkeypatch.setattr(Runs, "prepare", lambda *_: None)
    monkeypatch.setattr(prime_tables, "log_facts", lambda *_: LogFacts(4.0, 4.0, 29_000, 10))
    return shares


def run(folder, quick=False):
    return BENCHES.load("prime-heldout")(BenchOptions(None, quick, 0, folder, lambda *_: None))


def test_nothing_held_out_is_an_application_of_the_paper():
    assert set(HELD_OUT).isdisjoint(ALL)
    assert all(task.train == task.target for task in TABLE.tasks)


def test_one_network_whose_proposals_are_illegal_fails_the_check(legal, tmp_path):
    result = run(tmp_path)
    assert len(result.rows) == len(HELD_OUT) * 5
    assert [check.ok for check in result.checks] == [True, True]
    legal["vit_b"] = 0.9
    assert [check.ok for check in run(tmp_path).checks] == [False, True]


def test_quick_is_two_networks(legal, tmp_path):
    result = run(tmp_path, quick=True)
    assert {row["task"] for row in result.rows} == {"resnet50, 29 mm2", "bert, 29 mm2"}
    assert len(result.checks) == 2
