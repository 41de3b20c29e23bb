import pytest

from armillary.benchmarks.prime.edge_tpu_sanity import _floor_checks, _share_checks, _without_fixed, run
from armillary.benchmarks.result import BenchOptions


def test_every_published_check_holds(tmp_path):
    result = run(BenchOptions(data=None, quick=True, seed=1, out=tmp_path, on_progress=lambda *step: None))
    assert [check for check in result.checks if not check.ok] == []
    assert len(result.rows) == 9


def test_the_edge_tpus_ratio_is_told_without_what_no_design_changes():
    whole, half, none = _without_fixed(3.0, 2.0, 1.0).values()
    assert (whole, half, none) == (1.5, 2.5 / 1.5, 2.0)


@pytest.mark.parametrize(
    ("feasible", "published", "ok"),
    [
        (0.06, 0.1, True), (0.19, 0.1, True), (0.39, 0.3, True), (0.21, 0.3, True),
        (0.04, 0.1, False), (0.21, 0.1, False), (0.41, 0.3, False), (0.19, 0.3, False),
    ],
)  # fmt: skip
def test_a_share_must_be_near_in_difference_and_in_ratio(feasible, published, ok):
    (check,) = _share_checks([{"application": "some", "feasible": feasible, "feasible published": published}])
    assert check.ok == ok


def test_a_fixed_time_is_held_against_published_designs_faster_than_the_pool():
    row = {"application": "some", "min ms": 1.0, "min published": 100.0, "least published": 90.0}
    (below,), (above,) = (list(_floor_checks([{**row, "fixed ms": fixed}])) for fixed in (0.8, 0.95))
    assert below.ok
    assert not above.ok
    assert list(_floor_checks([{**row, "fixed ms": 0.95, "least published": 100.0}])) == []
