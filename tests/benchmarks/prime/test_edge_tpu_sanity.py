from armillary.benchmarks.prime.edge_tpu_sanity import run
from armillary.benchmarks.result import BenchOptions


def test_every_published_check_holds(tmp_path):
    result = run(BenchOptions(data=None, quick=True, seed=1, out=tmp_path, on_progress=lambda *step: None))
    assert [check for check in result.checks if not check.ok] == []
    assert len(result.rows) == 9
