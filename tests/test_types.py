from datetime import datetime

import numpy as np
import pytest

from armillary.types import (
    METRICS,
    ArmillaryError,
    Design,
    Evaluation,
    Evaluations,
    Failure,
    Fidelity,
    Objective,
)


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


def test_objective_knows_which_rows_are_legal():
    table = Evaluations.from_list([evaluation(area=5.0), evaluation(area=50.0), evaluation(failure=NO_MEMORY)])
    assert Objective("runtime_s", {"area_mm2": 29.0}).satisfied(table).tolist() == [True, False, False]
    assert not Objective("runtime_s", {"energy_pj": 1.0}).satisfied(table).any()


@pytest.mark.parametrize(("metric", "bounds", "match"), [("speed", {}, "speed"), ("runtime_s", {"area_mm2": -1}, "-1")])
def test_objective_refuses_nonsense(metric, bounds, match):
    with pytest.raises(ArmillaryError, match=match):
        Objective(metric, bounds)


def test_derived_metrics():
    values = {"energy_pj": 4e9, "delay_cycles": 10.0, "runtime_s": 2e-3}
    assert METRICS["edp_pj_cycles"].derive(values) == 4e10
    assert METRICS["power_mw"].derive(values) == pytest.approx(2000.0)
