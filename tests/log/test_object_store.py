"""A log in an S3-compatible store: Moto's server on this machine, spoken to by s3fs as a real one is."""

import os
import subprocess
import sys

import pytest

from armillary.log.compaction import compact
from armillary.log.query import query
from armillary.log.store import Log

server = pytest.importorskip("moto.server")
pytest.importorskip("s3fs")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
WRITERS, APPENDS = 2, 3
APPEND = """
import sys
from armillary.log.store import Log
source, target = Log(sys.argv[1]), Log(sys.argv[2])
for _ in range(int(sys.argv[3])):
    target.append(source.evaluations("edge_tpu"))
"""


@pytest.fixture(scope="module")
def store():
    """Provide the address of a store with a bucket `armillary`, for this process and those that it starts."""
    import fsspec

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        kind = fsspec.get_filesystem_class("s3")
        kind.clear_instance_cache()  # of other tests, which had no credentials
        fsspec.filesystem("s3").mkdir("armillary")
        yield f"http://127.0.0.1:{port}"
        kind.clear_instance_cache()
    running.stop()


def test_rows_come_back_and_are_queried_compacted_and_named_once(store, evaluations):
    log, rows = Log("s3://armillary/one"), evaluations(40)
    log.append(rows)
    name = log.append(rows.select(slice(0, 3)))
    with pytest.raises(FileExistsError):
        log.append(rows, name)
    assert len(Log("s3://armillary/one")) == 43
    (counted,) = query("s3://armillary/one", "SELECT count(*) AS n, sum(pes_x) AS s FROM log").to_pylist()
    assert (counted["n"], int(counted["s"])) == (43, int(rows.design["pes_x"].sum() + rows.design["pes_x"][:3].sum()))
    (found, *_) = compact(log)
    assert (found.before, found.after, found.rows) == (2, 1, 43)
    assert Log("s3://armillary/one").evaluations(rows.space).design["pes_x"].tolist() == [
        *rows.design["pes_x"].tolist(), *rows.design["pes_x"][:3].tolist()
    ]  # fmt: skip


def test_writers_at_once_lose_and_double_no_row(store, evaluations, tmp_path):
    source, rows = Log(tmp_path / "source"), evaluations(25)
    source.append(rows)
    command = [sys.executable, "-c", APPEND, str(source.path), "s3://armillary/many", str(APPENDS)]
    writers = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(WRITERS)]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    log = Log("s3://armillary/many")
    assert (len(log.fragments()), len(log), log.skipped) == (WRITERS * APPENDS, WRITERS * APPENDS * len(rows), [])
    read = log.evaluations(rows.space)
    assert read.design["pes_x"].sum() == WRITERS * APPENDS * rows.design["pes_x"].sum()
