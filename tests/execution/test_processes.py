"""Evaluations in processes of their own: side by side, under limits, and whatever happens to a process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.optimizers.firefly import Firefly
from armillary.problems.criteria import Objective
from armillary.problems.outcomes import Outcomes
from armillary.problems.problem import Problem
from armillary.spaces.space import Parameter
from armillary.types import ArmillaryError, Candidate, Cost
from execution.fakes import SPACE, WORKLOAD, asked, design, make, spec
from tools.programs import survivors

SIZES = SPACE.parameters[1]
TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "2")


def minutes(folder, kind="plain", **options):
    return spec(folder, kind, Cost.MINUTES, **options)


def run(executor, evaluator, *designs):
    return list(executor.run(evaluator, [Candidate(one) for one in designs], WORKLOAD))


def tool_of(folder):
    """Return the number of the program that a hanging evaluation runs, once it runs."""
    for _ in range(1500):
        path = folder / "tool"
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("no tool was started")


def test_several_run_side_by_side_and_come_in_the_order_of_the_request(tmp_path, log):
    designs = [design("slow", size) for size in (15, 1, 2)]
    found = run(LocalExecutor(log, make=make), minutes(tmp_path), *designs)
    assert [e.design["size"] for e in found] == [15, 1, 2]
    assert [e.metrics["runtime_s"] for e in found] == [16.0, 2.0, 3.0]
    # the first took longest: the others were in the log before it
    assert log.evaluations("fakes").design["size"].tolist() == [1, 2, 15]
    assert sorted(asked(tmp_path)) == ["slow 1", "slow 15", "slow 2"]


def test_a_study_finds_the_same_with_one_worker_and_with_two(tmp_path, monkeypatch):
    space = replace(SPACE, parameters=(Parameter("does", ("slow", "infeasible", "good"), kind="categorical"), SIZES))
    found = {}
    for cores in ("1", "2"):
        monkeypatch.setenv("ARMILLARY_CORES", cores)
        (tmp_path / cores).mkdir()
        executor = LocalExecutor(Log(tmp_path / cores / "log"), make=make)
        optimizer = Firefly(Problem(space, (Objective("runtime_s"),)), seed=7)
        for _ in range(3):
            candidates = optimizer.ask(4)
            evaluations = list(executor.run(minutes(tmp_path / cores), candidates, WORKLOAD))
            optimizer.tell(candidates, Outcomes.of_each(evaluations))
            found[cores] = found.get(cores, []) + [
                (e.design, e.feasible, e.metrics.get("runtime_s")) for e in evaluations
            ]
    assert found["1"] == found["2"]
    assert len(found["1"]) == 12


def test_failures_are_rows_as_in_one_process(tmp_path, log):
    does = ("good", "raises", "infeasible", "too long", "accident")
    executor = LocalExecutor(log, limits=Limits(retries=1), make=make)
    found = run(executor, minutes(tmp_path), *(design(name, number) for number, name in enumerate(does)))
    assert [str(e.failure) if e.failure else "" for e in found] == [
        "",
        "error: ValueError: size 1 is odd",
        "memory_bytes needs 2, has 1",
        "timeout: not done after 10 cycles",
        "error: accident, 2 times: tool: ended by SIGKILL",
    ]
    assert (executor.evaluated, executor.feasible, len(log)) == (5, 1, 5)


def test_a_wrong_request_stops_the_run(tmp_path, log):
    others = [design("slow", 10) for _ in range(12)]  # of a second each
    with pytest.raises(ArmillaryError, match="tool not found: pip install tool"):
        run(LocalExecutor(log, make=make), minutes(tmp_path), design("wrong"), *others)
    assert len(asked(tmp_path)) < 12
    assert len(log) < 12


def test_the_cores_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "7")
    for count, each in ((3, 2.0), (1, 7.0)):
        found = run(LocalExecutor(make=make), minutes(tmp_path), *(design("good", size) for size in range(count)))
        assert [e.metrics["area_mm2"] for e in found] == [each] * count  # the fakes tell their cores so
    assert os.environ["ARMILLARY_CORES"] == "7"


def test_a_limit_of_time_ends_one_evaluation_and_what_it_runs(tmp_path, log):
    executor = LocalExecutor(log, limits=Limits(time_limit_s=2.0), make=make)
    found = run(executor, minutes(tmp_path), design("good"), design("hangs"), design("slow", 1))
    assert [str(e.failure) if e.failure else "" for e in found] == ["", "timeout: no result within 2 s", ""]
    assert found[1].seconds == 2.0
    assert not survivors([tool_of(tmp_path)])
    assert sorted(asked(tmp_path)) == ["good 0", "hangs 0", "slow 1"]
    run(executor, minutes(tmp_path), design("good"), design("hangs"))
    assert asked(tmp_path) == ["hangs 0"]


def test_a_limit_of_memory_gives_a_failed_row(tmp_path):
    limits = Limits(memory_limit_bytes=2 << 30)
    found = run(LocalExecutor(limits=limits, make=make), minutes(tmp_path), design("hungry"), design("good"))
    assert [str(e.failure) if e.failure else "" for e in found] == ["error: MemoryError", ""]


def test_a_limit_that_leaves_no_room_to_work_gives_failed_rows(tmp_path):
    limits = Limits(memory_limit_bytes=1 << 20, retries=0)
    found = run(LocalExecutor(limits=limits, make=make), minutes(tmp_path), design("good", 1), design("good", 2))
    assert [e.failure.kind for e in found] == ["error", "error"]
    assert "accident, 1 times: its process " in str(found[0].failure)


def test_a_killed_process_is_an_accident_and_done_again(tmp_path, log):
    executor = LocalExecutor(log, limits=Limits(retries=2), make=make)
    found = run(executor, minutes(tmp_path), design("killed", 2), design("killed", 3), design("good"))
    assert [e.feasible for e in found] == [True, False, True]
    assert str(found[1].failure) == "error: accident, 3 times: its process was ended by signal 9"
    assert sorted(asked(tmp_path)) == ["good 0", *["killed 2"] * 3, *["killed 3"] * 3]
    assert log.evaluations("fakes").failure_kind.tolist().count("error") == 1


def test_one_alone_without_a_limit_stays_here(tmp_path):
    """A process takes seconds to start."""
    executor = LocalExecutor(make=lambda asked_for: make(asked_for))  # which no other process could import
    (found,) = run(executor, minutes(tmp_path), design("good"))
    assert found.feasible


def test_ending_the_run_ends_the_processes(tmp_path):
    results = LocalExecutor(make=make).run(
        minutes(tmp_path), [Candidate(design("good")), Candidate(design("hangs"))], WORKLOAD
    )
    assert next(results).feasible
    tool = tool_of(tmp_path)
    results.close()
    assert not survivors([tool])


def started(folder, log, cost, *sizes, does="slow"):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)])}
    command = [sys.executable, "-m", "execution.runner", folder, log, cost, does, *sizes]
    return subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def killed_after(results, *arguments):
    """Start a run, kill it at a result, and return the sizes whose results it told."""
    with started(*arguments) as process:
        told = [int(process.stdout.readline()) for _ in range(results)]
        process.kill()
    return told


@pytest.mark.parametrize("cost", list(Cost)[1:])
def test_a_run_that_is_killed_loses_at_most_a_second_of_work(tmp_path, cost):
    """Slow ones take a tenth of a second for each of their size; those of a second are kept at once."""
    log = tmp_path / "log"
    told = killed_after(4, tmp_path, log, cost, 11, 12, 13, 14, 15, 16)
    assert told == [11, 12, 13, 14]
    kept = Log(log).evaluations("fakes").design["size"].tolist()
    assert set(told) <= set(kept)
    asked(tmp_path)
    again = LocalExecutor(Log(log), make=make)
    list(again.run(spec(tmp_path, cost=cost), [Candidate(design("slow", size)) for size in kept], WORKLOAD))
    assert asked(tmp_path) == []


def test_short_ones_are_kept_together_every_second(tmp_path):
    log = tmp_path / "log"
    told = killed_after(9, tmp_path, log, Cost.SECONDS, 2, 3, 4, 1, 0, 5, 6, 7, 8, 9, 10, 11)
    kept = len(Log(log))
    assert len(told) - 4 <= kept <= len(told) + 1
    assert len(Log(log).fragments()) <= 3


def test_what_a_killed_run_had_begun_ends_with_it(tmp_path):
    process = started(tmp_path, tmp_path / "log", Cost.MINUTES, 1, 2, does="hangs")
    tool = tool_of(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not survivors([tool])
