import json
import os
from functools import partial

from armillary.benchmarks.result import in_processes

WORK = """
import json, os

def work(path):
    import scipy.linalg, sklearn.ensemble, torch, threadpoolctl
    threads = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    path.write_text(json.dumps({"process": os.getpid(), "threads": [*threads, torch.get_num_threads()]}))
"""


def test_processes_use_one_thread_each_also_in_libraries_that_a_job_loads(tmp_path, monkeypatch):
    (tmp_path / "some_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
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
