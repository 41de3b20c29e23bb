"""Mapped layers, each on a design of its own."""

from dataclasses import replace

import pytest

from armillary.execution import local
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.types import ArmillaryError, Cost, Failure, MappedLayer
from execution.fakes import WORKLOAD, asked, design, make, spec

A, B = (use.layer for use in WORKLOAD.layers)
ONE = MappedLayer(design("good", 1), A, "L0 K4", "two")
OTHER = MappedLayer(design("good", 2), B, "L0 K2 P3", "two")


def mapped(folder, **options):
    return spec(folder, "mapped", **options)


def ran(executor, evaluator, *wanted):
    return dict(executor.run_mapped(evaluator, wanted))


def test_runs_are_kept_with_their_networks_and_not_run_again(tmp_path, log):
    evaluator = mapped(tmp_path)
    first = LocalExecutor(log, make=make)
    found = ran(first, evaluator, ONE, OTHER)
    assert [(found[i].design, found[i].layer, found[i].mapping, found[i].network) for i in (0, 1)] == [
        (one.design, one.layer, one.mapping, one.network) for one in (ONE, OTHER)
    ]
    assert [found[i].metrics["delay_cycles"] for i in (0, 1)] == [5, 8]
    assert (first.evaluated, first.feasible) == (2, 2)
    rows = log.layer_runs("fakes")
    assert sorted(zip(rows.layer, rows.network, rows.workload, strict=True)) == [("a", "two", ""), ("b", "two", "")]
    assert {text.partition(", ")[2] for text in rows.options} == {'"kind": "mapped", "mappings": "given"}'}
    asked(tmp_path)
    for executor in (first, LocalExecutor(log, make=make)):
        before = executor.evaluated
        assert ran(executor, evaluator, OTHER, ONE) == {0: found[1], 1: found[0]}
        assert (asked(tmp_path), executor.evaluated) == ([], before)


@pytest.mark.parametrize(
    "other",
    [{"network": "another"}, {"mapping": "L0 K2"}, {"design": design("good", 3)}, {"layer": replace(A, K=5)}],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_run(other, tmp_path, log):
    ran(LocalExecutor(log, make=make), mapped(tmp_path), ONE)
    executor = LocalExecutor(log, make=make)
    ran(executor, mapped(tmp_path), ONE, replace(ONE, **other))
    assert executor.evaluated == 1


def test_what_ended_before_an_interruption_is_kept(tmp_path, log):
    executor = LocalExecutor(log, make=make)
    runs = executor.run_mapped(mapped(tmp_path), [ONE, OTHER])
    next(runs)
    runs.close()
    assert log.layer_runs("fakes").layer.tolist() == ["b"]
    again = LocalExecutor(log, make=make)
    assert len(ran(again, mapped(tmp_path), ONE, OTHER)) == 2
    assert again.evaluated == 1


def test_no_more_than_a_second_of_work_is_kept_back(tmp_path, log, monkeypatch):
    monkeypatch.setattr(local, "_KEPT_BACK_S", 0.0)
    runs = LocalExecutor(log, make=make).run_mapped(mapped(tmp_path), [ONE, OTHER])
    next(runs)
    assert len(log.layer_runs("fakes")) == 1
    runs.close()


def test_failures_are_rows_and_only_broken_ones_run_again(tmp_path, log):
    wanted = [replace(ONE, design=design(does, 1)) for does in ("infeasible", "raises", "too long", "good")]
    executor = LocalExecutor(log, make=make)
    found = ran(executor, mapped(tmp_path), *wanted)
    assert found[0].failure == Failure("infeasible", "memory_bytes", needed=2.0, available=1.0)
    assert str(found[1].failure) == "error: ValueError: size 1 is odd"
    assert str(found[2].failure) == "timeout: not done after 10 cycles"
    assert (found[1].network, found[1].mapping) == ("two", "L0 K4")
    assert (executor.evaluated, executor.feasible) == (4, 1)
    again = LocalExecutor(log, make=make)
    ran(again, mapped(tmp_path), *wanted)
    assert again.evaluated == 2


@pytest.mark.parametrize(("accidents", "failure"), [(2, None), (3, "error: accident, 3 times: tool: ended by SIGKILL")])
def test_an_accident_is_tried_again_after_the_others(accidents, failure, tmp_path):
    wanted = [ONE, replace(ONE, design=design("passing", accidents))]
    runs = list(LocalExecutor(make=make).run_mapped(mapped(tmp_path), wanted))
    assert [number for number, _ in runs] == [0, 1]
    assert (runs[1][1].failure and str(runs[1][1].failure)) == failure


def test_a_wrong_request_ends_it(tmp_path):
    with pytest.raises(ArmillaryError, match="tool not found"):
        ran(LocalExecutor(make=make), mapped(tmp_path), replace(ONE, design=design("wrong")))


def test_an_evaluator_without_the_capability_is_refused(tmp_path):
    with pytest.raises(ArmillaryError, match="evaluator fake runs no mapped layers"):
        ran(LocalExecutor(make=make), spec(tmp_path), ONE)


def test_limits_end_one_alone(tmp_path, log):
    wanted = [ONE, replace(ONE, design=design("hangs"))]
    executor = LocalExecutor(log, limits=Limits(time_limit_s=8), make=make)
    found = ran(executor, mapped(tmp_path, cost=Cost.MINUTES), *wanted)
    assert found[0].metrics == {"delay_cycles": 5.0}
    assert (found[1].failure.kind, found[1].network, found[1].layer) == ("timeout", "two", A)


def test_without_a_log_nothing_is_known(tmp_path):
    executor = LocalExecutor(make=make)
    ran(executor, mapped(tmp_path), ONE)
    ran(executor, mapped(tmp_path), ONE)
    assert executor.evaluated == 2
    assert not Log(tmp_path / "log").fragments()
