"""Workers of a real Ray cluster: what a worker answers, and what becomes of a study when parts of the cluster die."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from armillary.execution import workers_of
from armillary.execution.limits import Limits
from armillary.execution.local import LocalExecutor
from armillary.log.store import Log
from armillary.testing.evaluators import told
from armillary.types import ArmillaryError, Candidate, Cost
from execution.cluster import nodes, sent
from execution.fakes import WORKLOAD, asked, design, make, spec

ray = pytest.importorskip("ray")
TESTS = Path(__file__).parents[1]
SIZES = (11, 12, 13, 14, 15, 16, 17, 18)  # more than a second each: their workers keep them
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


@pytest.fixture(scope="module", autouse=True)
def importable():
    """Let the processes of the cluster import what the tests send them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def two_nodes(importable):
    with nodes(2) as cluster:
        yield cluster
        ray.shutdown()


@pytest.fixture
def workers(two_nodes):
    return workers_of("ray", two_nodes.address)


def executor_on(workers, log=None, **limits):
    return LocalExecutor(log, limits=Limits(workers=workers, **limits), make=make)


def kinds(evaluations):
    return [e.failure.kind if e.failure else "" for e in evaluations]


def test_workers_answer_as_this_process_does(workers, tmp_path, log, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "1")  # as a worker has
    designs = [design(name, n) for n, name in enumerate(("good", "infeasible", "raises", "too long", "accident"))]
    candidates = [Candidate(one) for one in designs] + [Candidate(design("good", 7), {"a": "given"})]
    found = list(executor_on(workers, log).run(spec(tmp_path), candidates, WORKLOAD))
    here = list(LocalExecutor(make=make).run(spec(tmp_path), candidates, WORKLOAD))
    assert [told(e) for e in found] == [told(e) for e in here]
    assert sorted(log.evaluations("fakes").failure_kind) == sorted(kinds(found))
    again = executor_on(workers, log)
    assert kinds(again.run(spec(tmp_path), candidates[:2], WORKLOAD)) == ["", "infeasible"]
    assert again.evaluated == 0


def test_layers_alone_and_mapped_ones_run_on_workers_too(workers, tmp_path, log):
    layers = [use.layer for use in WORKLOAD.layers]
    runs = executor_on(workers, log).run_layers(spec(tmp_path, "layers"), Candidate(design("good")), layers)
    here = LocalExecutor(make=make).run_layers(spec(tmp_path, "layers"), Candidate(design("good")), layers)
    assert runs == here
    assert len(log.layer_runs("fakes").to_list()) == len(layers)


def test_a_candidate_that_kills_its_worker_every_time_fails_and_the_others_go_on(workers, tmp_path, log):
    candidates = [Candidate(design(*one)) for one in (("killed", 1), ("good", 1), ("killed", 9), ("good", 2))]
    found = list(executor_on(workers, log).run(spec(tmp_path), candidates, WORKLOAD))
    assert kinds(found) == ["", "", "error", ""]
    assert "accident, 3 times: its process died" in str(found[2].failure)
    times = Counter(asked(tmp_path))
    assert times["killed 9"] - 3 in (0, 1)  # once more if it travelled with others at first
    assert len(log) == 4


def test_a_wrong_request_ends_the_run_with_its_message(workers, tmp_path):
    with pytest.raises(ArmillaryError, match="tool not found: pip install tool"):
        list(executor_on(workers).run(spec(tmp_path), [Candidate(design("wrong"))], WORKLOAD))


def test_limits_hold_on_workers(workers, tmp_path):
    hanging = spec(tmp_path, cost=Cost.MINUTES)
    (found,) = executor_on(workers, time_limit_s=1.0).run(hanging, [Candidate(design("hangs"))], WORKLOAD)
    assert str(found.failure) == "timeout: no result within 1 s"


def test_long_ones_are_kept_by_their_worker_and_the_log_is_in_the_order_of_sending(workers, tmp_path, log):
    executor = executor_on(workers, log)
    finished = [e.design["size"] for _, e in executor.run_as_they_finish(spec(tmp_path), sent(18, 11, 12), WORKLOAD)]
    assert sorted(finished) == [11, 12, 18]
    assert log.evaluations("fakes").design["size"].tolist() == [18, 11, 12]
    assert len(log.fragments()) == 3
    assert len(os.listdir(log.path)) == 3  # the mark is gone


def test_results_travel_where_workers_do_not_see_the_log(workers, tmp_path):
    log = Log("memory://only-here")
    list(executor_on(workers, log).run(spec(tmp_path), sent(11, 12), WORKLOAD))
    assert sorted(log.evaluations("fakes").design["size"].tolist()) == [11, 12]


def test_candidates_are_taken_when_a_worker_is_about_to_be_free(workers, tmp_path):
    taken = []

    def candidates():
        for number in range(10**9):
            taken.append(number)
            yield Candidate(design("slow", 3))

    finished = executor_on(workers).run_as_they_finish(spec(tmp_path), candidates(), WORKLOAD)
    for _ in range(6):
        next(finished)
    finished.close()
    assert len(taken) <= 6 + 4


def test_another_version_of_ours_is_refused(workers, tmp_path, monkeypatch):
    monkeypatch.setattr("armillary.__version__", "0.0.0")
    with pytest.raises(ArmillaryError, match=r"has Armillary .*, and 0\.0\.0 sends the jobs; install one version"):
        list(executor_on(workers).run(spec(tmp_path), sent(1), WORKLOAD))


def started(address, folder, log, *sizes):
    command = [sys.executable, "-m", "execution.cluster", address, folder, log, *sizes]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(address, folder, log):
    with started(address, folder, log, *SIZES) as process:
        lines = process.stdout.read().split()
    assert process.returncode == 0, lines
    return sorted(map(int, lines))


def each_once(log):
    rows = Log(log).evaluations("fakes")
    return sorted(rows.design["size"].tolist()) == sorted(SIZES) and rows.feasible.all()


def busy_workers(cluster):
    """Return the numbers of the processes of a cluster that do jobs."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    children = [pid for raylet in raylets for pid in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()]
    return [int(pid) for pid in children if "ray::_work" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.slow
def test_a_killed_driver_loses_nothing_that_was_finished_and_its_study_resumes(two_nodes, tmp_path):
    for results in (1, 3):
        log = tmp_path / f"log{results}"
        with started(two_nodes.address, tmp_path, log, *SIZES) as process:
            first = [int(process.stdout.readline()) for _ in range(results)]
            process.kill()
        assert set(first) <= set(Log(log).evaluations("fakes").design["size"].tolist())
        assert finish(two_nodes.address, tmp_path, log) == sorted(SIZES)
        assert each_once(log)


@pytest.mark.slow
def test_a_killed_worker_costs_its_evaluation_and_no_more(two_nodes, tmp_path):
    log = tmp_path / "log"
    with started(two_nodes.address, tmp_path, log, *SIZES) as process:
        process.stdout.readline()
        time.sleep(0.4)
        busy = busy_workers(two_nodes)
        assert busy
        os.kill(busy[0], signal.SIGKILL)
        rest = process.stdout.read().split()
    assert (process.returncode, len(rest)) == (0, len(SIZES) - 1)
    assert each_once(log)
    assert len(asked(tmp_path)) == len(SIZES) + 1


@pytest.mark.slow
def test_a_killed_node_costs_its_evaluation_and_another_does_it(tmp_path):
    log = tmp_path / "log"
    with nodes(2) as cluster:
        other = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        with started(cluster.address, tmp_path, log, *SIZES) as process:
            process.stdout.readline()
            cluster.remove_node(other, allow_graceful=False)
            rest = process.stdout.read().split()
    assert (process.returncode, len(rest)) == (0, len(SIZES) - 1)
    assert each_once(log)


@pytest.mark.slow
def test_a_killed_head_ends_the_run_with_a_message_and_another_cluster_goes_on(tmp_path):
    log = tmp_path / "log"
    with nodes(2) as cluster:
        with started(cluster.address, tmp_path, log, *SIZES) as process:
            first = int(process.stdout.readline())
            cluster.head_node.kill_gcs_server(check_alive=False)
            rest = process.stdout.read()
        assert process.returncode == 3, rest
        assert "the head of the Ray cluster at" in rest
        assert first in Log(log).evaluations("fakes").design["size"]
    with nodes(2) as cluster:
        assert finish(cluster.address, tmp_path, log) == sorted(SIZES)
    assert each_once(log)
