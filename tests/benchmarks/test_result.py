import json
import os
import sys
from functools import partial

from armillary.benchmarks.result import in_processes, machine

WORK = """
import json, os

def work(path):
    import scipy.linalg, sklearn.ensemble, torch, threadpoolctl
    from armillary.cores import available
    threads = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    threads += [torch.get_num_threads(), available()]
    path.write_text(json.dumps({"process": os.getpid(), "threads": threads}))
"""


def test_processes_use_one_thread_each_also_in_libraries_that_a_job_loads(tmp_path, monkeypatch):
    (tmp_path / "some_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("ARMILLARY_CORES", raising=False)
    from some_work import work

    jobs = {tmp_path / name: partial(work, tmp_path / name) for name in "abc"}
    told = []
    in_processes(jobs, lambda done, total: told.append((done, total)))
    for path in jobs:
        found = json.loads(path.read_text())
        assert found["process"] != os.getpid()
        assert len(found["threads"]) > 3
        assert set(found["threads"]) == {1}
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "ARMILLARY_CORES" not in os.environ


def test_no_more_processes_than_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMILLARY_CORES", "1")
    (tmp_path / "some_work.py").write_text("import os\ndef work(path): path.write_text(str(os.getpid()))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "some_work", raising=False)
    from some_work import work

    jobs = {tmp_path / name: partial(work, tmp_path / name) for name in "abc"}
    in_processes(jobs, lambda done, total: None)
    assert len({path.read_text() for path in jobs}) == 1
    assert os.environ["ARMILLARY_CORES"] == "1"
    assert machine().startswith("1 core, ")
