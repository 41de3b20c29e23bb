import numpy as np

from armillary.problems.rung import are_whole
from armillary.testing.optimizers import evaluation
from armillary.types import Design, Evaluations


def test_rows_that_say_where_they_stopped_are_not_whole():
    rows = Evaluations.from_list([evaluation(Design("line", (("place", k),)), {"area_mm2": 1.0}) for k in range(3)])
    rows.options[:] = ['{"clock": "until"}', '{"until": "synthesis"}', ""]
    assert are_whole(rows).tolist() == [True, False, True]
    assert are_whole(rows.select(np.zeros(0, dtype=int))).tolist() == []
