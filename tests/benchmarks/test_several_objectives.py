from functools import partial

import numpy as np
import pytest

from armillary.benchmarks import several_objectives as bench
from armillary.benchmarks.result import BenchOptions
from armillary.cores import one_thread

EDGE = bench.TASKS[0]


def options(tmp_path):
    return BenchOptions(data=None, quick=True, seed=3, out=tmp_path, on_progress=lambda *_: None)


def test_both_templates_trade_the_same_three_metrics_within_what_can_be_built():
    for task, template in zip(bench.TASKS, ("edge_tpu", "gemmini"), strict=True):
        problem = task.problem()
        assert problem.space.name == task.spec.template == template
        assert [objective.metric for objective in problem.objectives] == ["runtime_s", "energy_pj", "area_mm2"]
        assert [bound.metric for bound in problem.bounds] == ["area_mm2"]


def test_a_search_is_measured_once_and_its_volume_rises(tmp_path):
    with one_thread():
        first = bench.searched(tmp_path, EDGE, "random", 3, (10, 20, 40))
    assert first["hypervolume"] == sorted(first["hypervolume"])
    assert first["hypervolume"][-1] > 0
    assert 0 < first["feasible"] <= 1
    assert bench.part(tmp_path, EDGE, "random", 3, (10, 20, 40)).path.exists()
    assert bench.searched(tmp_path, EDGE, "random", 3, (10, 20, 40)) == first
    other = bench.part(tmp_path, EDGE, "random", 4, (10, 20, 40)).path
    assert not other.exists()


def test_every_method_has_a_row_and_every_rival_a_check(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "TASKS", (EDGE,))
    monkeypatch.setattr(bench, "METHODS", ("random", "nsga2"))
    monkeypatch.setattr(bench, "OURS", "nsga2")
    monkeypatch.setattr(bench, "_QUICK", (10, 20))
    monkeypatch.setattr(bench, "in_processes", lambda jobs, _done: [job() for job in jobs.values()])
    found = bench.run(options(tmp_path))
    assert [row["method"] for row in found.rows] == ["random", "nsga2"]
    assert all(row["10"] <= row["20"] == row["worst_seed"] == row["best_seed"] for row in found.rows)
    (check,) = found.checks
    assert check.value == found.rows[1]["20"]
    assert check.ok == (found.rows[1]["20"] > found.rows[0]["20"])
    assert (tmp_path / "table.csv").is_file()
    assert (tmp_path / "edge_tpu.html").is_file()


@pytest.mark.parametrize(("ours", "holds"), [(5.0, [True, True, True]), (4.0, [True, True, False]), (1.0, [False] * 3)])
def test_a_check_holds_only_above_the_rival(ours, holds):
    means = {name: np.array([9.0, value]) for name, value in zip(bench.METHODS, (2.0, 3.0, 4.0, ours), strict=True)}
    check = partial(bench._checks, EDGE, means, (256, 512))
    assert [found.ok for found in check()] == holds
    assert "after 512 evaluations" in check()[0].name
