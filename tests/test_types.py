import operator
from datetime import datetime
from itertools import product

import numpy as np
import pytest

from armillary.types import Design, Evaluation, Evaluations, Failure, Fidelity, options_from, options_text


def evaluation(runtime=1.0, area=5.0, failure=None, space="s", width=4, mode="fast"):
    return Evaluation(
        design=Design(space, (("width", width), ("mode", mode))),
        workload="w",
        context={"ops": 3.0},
        evaluator="e",
        version="1",
        fidelity=Fidelity.ANALYTICAL,
        metrics={"area_mm2": area} if failure else {"runtime_s": runtime, "area_mm2": area},
        feasible=failure is None,
        failure=failure,
        seconds=0.5,
        seed=7,
        time=datetime(2026, 1, 2, 3, 4, 5, 6),
    )


NO_MEMORY = Failure("infeasible", "core_memory_bytes", "conv_1", 100.0, 50.0)


def test_columns_and_rows_round_trip():
    rows = [evaluation(), evaluation(failure=NO_MEMORY, width=8), evaluation(2.0, mode="slow")]
    table = Evaluations.from_list(rows)
    back = table.to_list()
    assert back[0] == rows[0]
    assert back[2] == rows[2]
    assert str(back[1].failure) == str(NO_MEMORY)
    assert back[1].metrics == {"area_mm2": 5.0}


def test_select_and_concat_undo_each_other():
    table = Evaluations.from_list([evaluation(float(i + 1)) for i in range(6)])
    joined = Evaluations.concat([table.select(slice(0, 2)), table.select(np.arange(2, 6))])
    assert joined.to_list() == table.to_list()


def test_concat_fills_what_a_part_lacks():
    failed = Evaluations.from_list([evaluation(failure=NO_MEMORY)])
    joined = Evaluations.concat([Evaluations.from_list([evaluation()]), failed])
    assert np.isnan(joined.metrics["runtime_s"][1])


def test_concat_refuses_other_spaces():
    with pytest.raises(ValueError, match="do not join"):
        Evaluations.concat([Evaluations.from_list([evaluation()]), Evaluations.from_list([evaluation(space="t")])])


def test_one_table_holds_one_space():
    with pytest.raises(ValueError, match="several spaces"):
        Evaluations.from_list([evaluation(), evaluation(space="t")])


def test_a_feasible_evaluation_has_no_failure_and_an_infeasible_one_has():
    fields = {f: getattr(evaluation(), f) for f in Evaluation.__dataclass_fields__}
    with pytest.raises(ValueError, match="no failure"):
        Evaluation(**{**fields, "failure": NO_MEMORY})
    with pytest.raises(ValueError, match="states its failure"):
        Evaluation(**{**fields, "feasible": False})


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (NO_MEMORY, "layer conv_1: core_memory_bytes needs 100, has 50"),
        (Failure("infeasible", "area_mm2", needed=120.0, available=98.0), "area_mm2 needs 120, has 98"),
        (Failure("error", detail="tool broke"), "error: tool broke"),
        (Failure("infeasible"), "infeasible"),
    ],
)
def test_a_failure_says_what_lacks_where(failure, text):
    assert str(failure) == text


def test_a_design_names_its_parameters():
    design = evaluation().design
    assert design["width"] == 4
    with pytest.raises(KeyError, match="has no parameter 'depth'"):
        design["depth"]


def test_rows_that_broke_tell_nothing_about_their_designs():
    failures = [None, NO_MEMORY, Failure("error", detail="tool broke"), Failure("timeout", detail="60 s")]
    assert Evaluations.from_list([evaluation(failure=f) for f in failures]).settled().tolist() == [1, 1, 0, 0]


def test_more_metrics_leave_the_others_as_they_are():
    table = Evaluations.from_list([evaluation(1.0), evaluation(2.0)]).with_metrics({"energy_pj": np.array([3.0, 4.0])})
    assert [row.metrics for row in table.to_list()] == [
        {"runtime_s": 1.0, "area_mm2": 5.0, "energy_pj": 3.0},
        {"runtime_s": 2.0, "area_mm2": 5.0, "energy_pj": 4.0},
    ]


def test_equal_options_are_equal_as_text_and_come_back():
    options = {"mapper": "random", "full": True, "depth": 3, "share": 0.25}
    assert options_text(options) == options_text(dict(reversed(options.items())))
    assert options_text(options) != options_text({**options, "depth": 4})
    assert options_from(options_text(options)) == options
    assert options_text({}) == ""
    assert options_from("") == {}


RANKED = (Fidelity.ANALYTICAL, Fidelity.RTL, Fidelity.PHYSICAL)
ORDERS = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: o.__name__)
def test_a_truer_fidelity_is_greater(order):
    for (i, one), (j, other) in product(enumerate(RANKED), repeat=2):
        assert order(one, other) == order(i, j)
    assert sorted((Fidelity.PHYSICAL, Fidelity.ANALYTICAL, Fidelity.RTL)) == list(RANKED)


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: o.__name__)
@pytest.mark.parametrize(("one", "other"), [*product([Fidelity.EXTERNAL], Fidelity), (Fidelity.RTL, "physical")])
def test_what_has_no_rank_has_no_order(order, one, other):
    for pair in ((one, other), (other, one)):
        with pytest.raises(TypeError, match="have no order; compare two of analytical, rtl and physical"):
            order(*pair)


def test_a_fidelity_is_its_name():
    assert [str(fidelity) for fidelity in Fidelity] == ["analytical", "rtl", "physical", "external"]
    assert Fidelity("rtl") == "rtl"
    assert Fidelity.EXTERNAL.rank is None
