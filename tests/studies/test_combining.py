import numpy as np
import pytest

from armillary.problems.criteria import Objective
from armillary.spaces.space import Parameter, Space
from armillary.studies.combining import Combination, combined
from armillary.testing.optimizers import evaluation
from armillary.types import ArmillaryError, Evaluations

SPACE = Space("line", (Parameter("x", (1, 2, 3)),))
LESS, MORE = Objective("runtime_s"), Objective("runtime_s", "maximize")


def rows(*told):
    """Rows of (workload, x, runtime), the runtime None where the design is infeasible."""
    from dataclasses import replace

    found = []
    for workload, x, runtime in told:
        design = SPACE.design([x - 1])
        metrics = None if runtime is None else {"runtime_s": runtime, "area_mm2": 10.0 * x + (workload == "b")}
        found.append(replace(evaluation(design, metrics), workload=workload))
    return Evaluations.from_list(found)


def test_the_mean_is_weighted():
    values = np.array([[1.0, 4.0], [3.0, 2.0]])
    assert Combination.of(["a", "b"])(values, LESS).tolist() == [2.0, 3.0]
    assert Combination.of(["a", "b"], (3, 1))(values, LESS).tolist() == [1.5, 3.5]


def test_the_worst_stands_beside_the_best_that_is_known_of_its_workload():
    worst = Combination.of(["a", "b"], worst=True).beside({"a": 1.0, "b": 2.0})
    values = np.array([[1.0, 4.0], [3.0, 2.0]])
    assert worst(values, LESS).tolist() == [1.5, 4.0]
    assert worst(values, MORE).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("names", "weights", "worst", "message"),
    [
        ([], (), False, "name at least one workload"),
        (["a", "a"], (), False, "workload 'a' is named twice"),
        (["a", "b"], (1,), False, r"1 weights do not fit 2 workloads \['a', 'b'\]"),
        (["a", "b"], (1, -1), False, "each must be a positive number"),
        (["a", "b"], (1, float("nan")), False, "each must be a positive number"),
        (["a", "b"], (1, 2), True, "exclude each other"),
    ],
)
def test_what_cannot_be_combined_is_refused(names, weights, worst, message):
    with pytest.raises(ArmillaryError, match=message):
        Combination.of(names, weights, worst=worst)


def test_a_design_counts_where_every_workload_has_it():
    found = combined(
        rows(("a", 1, 1.0), ("a", 2, 2.0), ("b", 1, 3.0), ("b", 3, 9.0), ("c", 1, 99.0)),
        Combination.of(["a", "b"]), [LESS], ["area_mm2"],
    )  # fmt: skip
    (row,) = found.to_list()
    assert row.design.as_dict() == {"x": 1}
    assert row.workload == "a + b"
    assert row.metrics == {"runtime_s": 2.0, "area_mm2": 11.0}  # of what is bounded the largest counts


def test_a_design_that_fails_on_one_workload_fails():
    found = combined(rows(("a", 1, 1.0), ("b", 1, None)), Combination.of(["a", "b"]), [LESS], [])
    (row,) = found.to_list()
    assert (row.feasible, row.metrics) == (False, {})
    assert row.failure is not None


def test_one_workload_stays_as_it_is():
    found = combined(rows(("a", 1, 1.0), ("b", 1, 3.0), ("a", 1, 2.0)), Combination.of(["a"]), [LESS], [])
    assert found.metrics["runtime_s"].tolist() == [1.0, 2.0]
    assert set(found.workload) == {"a"}


def test_the_order_of_designs_is_that_in_which_they_were_complete():
    told = rows(("a", 3, 1.0), ("a", 1, 1.0), ("b", 1, 1.0), ("b", 3, 1.0))
    found = combined(told, Combination.of(["a", "b"]), [LESS], [])
    assert found.design["x"].tolist() == [1, 3]


def test_how_they_are_combined_is_said():
    assert Combination.of(["a"]).words == ""
    assert Combination.of(["a", "b"]).words == "the mean of the workloads"
    assert Combination.of(["a", "b"], (3, 1)).words == "the weighted mean of the workloads (a 75%, b 25%)"
    assert "worst" in Combination.of(["a", "b"], worst=True).words
