from armillary.benchmarks.prime.edge_tpu_sanity import _without_fixed, run
from armillary.benchmarks.result import BenchOptions


def test_every_published_check_holds(tmp_path):
    result = run(BenchOptions(data=None, quick=True, seed=1, out=tmp_path, on_progress=lambda *step: None))
    assert [check for check in result.checks if not check.ok] == []
    assert len(result.rows) == 9


def test_the_edge_tpus_ratio_is_told_without_what_no_design_changes():
    whole, half, none = _without_fixed(3.0, 2.0, 1.0).values()
    assert (whole, half, none) == (1.5, 2.5 / 1.5, 2.0)
