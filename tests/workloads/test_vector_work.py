from __future__ import annotations

import pytest

from armillary.workloads.vector_work import VectorUse, VectorWork, merge_work


def test_equal_work_under_two_names_is_merged():
    first, second = (
        VectorWork("a", "pool", adds=9, reads=9, writes=1),
        VectorWork("b", "pool", adds=9, reads=9, writes=1),
    )
    other = VectorWork("a", "pool", adds=8, reads=9, writes=1)
    assert merge_work([VectorUse(first, 2), VectorUse(other), VectorUse(second, 3)]) == (
        VectorUse(first, 5),
        VectorUse(other, 1),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "sort"}, "kind='sort' is not allowed; choose one of"),
        ({"kind": "pool", "adds": -1}, "adds=-1 is not allowed"),
        ({"kind": "pool", "reads": 3, "passed": 4}, "passed=4 must be at most reads=3"),
    ],
)
def test_impossible_work_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        VectorWork("x", **fields)


def test_work_that_is_never_done_is_refused():
    with pytest.raises(ValueError, match="count=0 is not allowed"):
        VectorUse(VectorWork("x", "pool"), 0)
