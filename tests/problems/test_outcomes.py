from dataclasses import replace

import numpy as np
import pytest

from armillary.problems.outcomes import Outcomes
from armillary.testing.optimizers import evaluation
from armillary.types import Design, Evaluations, LayerRun
from armillary.workloads.layer import Layer

DESIGNS = [Design("line", (("x", x),)) for x in range(3)]
TOLD = [{"runtime_s": 1.0, "area_mm2": 9.0}, None, {"area_mm2": 2.0}]
EACH = [evaluation(design, metrics) for design, metrics in zip(DESIGNS, TOLD, strict=True)]


def test_a_metric_that_is_not_told_is_not_known():
    outcomes = Outcomes.of_each(EACH)
    assert len(outcomes) == 3
    np.testing.assert_array_equal(outcomes.metrics["runtime_s"], [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(outcomes.metrics["area_mm2"], [9.0, np.nan, 2.0])
    assert outcomes.feasible.tolist() == [True, False, True]
    assert [str(failure) for failure in outcomes.failures] == ["None", "contract", "None"]


def test_rows_of_a_log_say_what_their_evaluations_say():
    rows, each = Outcomes.of(Evaluations.from_list(EACH)), Outcomes.of_each(EACH)
    assert list(rows.metrics) == list(each.metrics)
    for name, column in rows.metrics.items():
        np.testing.assert_array_equal(column, each.metrics[name])
    assert rows.feasible.tolist() == each.feasible.tolist()
    assert list(map(str, rows.failures)) == list(map(str, each.failures))


def test_evaluations_tell_their_layers_and_rows_do_not():
    run = LayerRun(DESIGNS[0], Layer("a", "gemm"), "L0[WIO] N1", {"delay_cycles": 1.0})
    told = [replace(EACH[0], layers=(run,)), EACH[1]]
    assert Outcomes.of_each(told).layers == ((run,), ())
    assert Outcomes.of(Evaluations.from_list(told)).layers == ()


def test_nothing_becomes_of_nothing():
    assert len(Outcomes.of_each([])) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metrics": {"runtime_s": np.ones(3)}}, r"metric runtime_s has shape \(3,\), expected \(2,\)"),
        ({"failures": (None,)}, "1 failures do not belong to 2 candidates"),
        ({"layers": ((), (), ())}, "3 layers do not belong to 2 candidates"),
    ],
)
def test_columns_of_other_lengths_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Outcomes(**{"metrics": {}, "feasible": np.ones(2, dtype=bool), **wrong})
